"""The design kit: colours for light and dark, spacing, type sizes, fonts and the style sheet.

Colours carry meaning and are never alone: every tone has a pattern (``widgets/patterns.py``) and
words beside it. Hues are chosen to stay apart for red-green blind readers: fits is blue-green,
tight is amber, offload is violet, does-not-fit is grey.
"""

import functools
import os
import re
from dataclasses import dataclass
from typing import Final, Literal

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QFont, QFontDatabase, QPalette
from PySide6.QtWidgets import QApplication, QWidget

from advisor import resources
from advisor.ui.sheet import SHEET

Scheme = Literal["system", "light", "dark"]
Tone = Literal["plain", "good", "tight", "offload", "bad", "none", "accent"]
"""What a colour says: good fits, tight fits barely, offload is part in RAM, bad is an error,
none does not fit or is absent."""
Series = Literal["weights", "context", "compute", "output", "driver", "other", "left", "line"]
"""What a part of memory is, the same everywhere: bars, plots and the report."""

FAMILY: Final = "Inter"
SPACE: Final = 8
"""The spacing unit in px; gaps are multiples of its half."""
GAP: Final = 14
"""Between cards, and between a page and its edges."""
RADIUS: Final = 10

BODY: Final = 13
SMALL: Final = 11
TITLE: Final = 14
HEADLINE: Final = 20
NUMBER: Final = 32
"""Type sizes in px; there are no others."""


@dataclass(frozen=True, slots=True)
class Colours:
    """One colour scheme. Text on its ground has a contrast of at least 4.5:1."""

    dark: bool
    ground: str
    surface: str
    sunken: str
    line: str
    line_strong: str
    text: str
    muted: str
    accent: str
    accent_hover: str
    on_accent: str
    accent_soft: str
    ticked: str
    """Ground of a box that is ticked in white."""
    good: str
    good_soft: str
    tight: str
    tight_soft: str
    offload: str
    offload_soft: str
    bad: str
    bad_soft: str
    none: str
    none_soft: str
    weights: str
    context: str
    compute: str
    output: str
    driver: str
    other: str
    left: str

    def tone(self, tone: Tone) -> tuple[QColor, QColor]:
        """Ink and ground of a tone."""
        if tone == "plain":
            return QColor(self.text), QColor(self.sunken)
        if tone == "accent":
            return QColor(self.accent), QColor(self.accent_soft)
        return QColor(getattr(self, tone)), QColor(getattr(self, f"{tone}_soft"))

    def series(self, series: Series) -> QColor:
        """Colour of one part of memory."""
        return QColor(self.text if series == "line" else getattr(self, series))


LIGHT: Final = Colours(
    dark=False,
    ground="#f4f5f7",
    surface="#ffffff",
    sunken="#eceff2",
    line="#e0e4e9",
    line_strong="#c3cad3",
    text="#1a202c",
    muted="#5c6878",
    accent="#2360c5",
    accent_hover="#1b4fa6",
    on_accent="#ffffff",
    accent_soft="#e6eefc",
    ticked="#2360c5",
    good="#0f6b52",
    good_soft="#d5f0e6",
    tight="#855100",
    tight_soft="#fdedc9",
    offload="#4a4fc0",
    offload_soft="#e3e5fb",
    bad="#b3341b",
    bad_soft="#fbe4de",
    none="#5c6570",
    none_soft="#e9ecef",
    weights="#2360c5",
    context="#7c56d3",
    compute="#d98a1e",
    output="#c2578f",
    driver="#8494a8",
    other="#c3ccd7",
    left="#ffffff",
)

DARK: Final = Colours(
    dark=True,
    ground="#12161d",
    surface="#1a202a",
    sunken="#252d39",
    line="#2a3240",
    line_strong="#465266",
    text="#e8ecf2",
    muted="#9aa6b6",
    accent="#72a5ff",
    accent_hover="#93baff",
    on_accent="#0c1422",
    accent_soft="#1e304e",
    ticked="#2f6fe0",
    good="#5fd0a8",
    good_soft="#153a30",
    tight="#eab754",
    tight_soft="#413110",
    offload="#a3a6ff",
    offload_soft="#2b2d57",
    bad="#ff9079",
    bad_soft="#47221b",
    none="#98a3b1",
    none_soft="#252c37",
    weights="#5b92f0",
    context="#a586ee",
    compute="#e6a64a",
    output="#dd83b3",
    driver="#76869c",
    other="#465264",
    left="#1a202a",
)

_current: Colours = LIGHT
_Role = QPalette.ColorRole


def colours() -> Colours:
    """The scheme on screen. Widgets that paint read it in ``paintEvent``."""
    return _current


def load_fonts() -> None:
    """Make the bundled Inter known to Qt."""
    for weight in ("Regular", "Medium", "SemiBold", "Bold"):
        QFontDatabase.addApplicationFont(str(resources.path("fonts", f"Inter-{weight}.otf")))


def font(size: int = BODY, weight: QFont.Weight = QFont.Weight.Normal) -> QFont:
    """Inter with figures of equal width and without contextual alternates.

    The alternates swap characters ("x" between digits, a hyphen between letters): what is on
    screen must be what was typed, and stay so in a PDF.
    """
    return QFont(_font(size, weight))


@functools.cache
def _font(size: int, weight: QFont.Weight) -> QFont:
    result = QFont(FAMILY)
    result.setPixelSize(size)
    result.setWeight(weight)
    result.setFeature(QFont.Tag("tnum"), 1)
    result.setFeature(QFont.Tag("calt"), 0)
    return result


def mono(size: int = BODY - 1) -> QFont:
    """The system's fixed-width font, for commands."""
    result = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
    result.setPixelSize(size)
    return result


def wanted_scheme(saved: str | None) -> Scheme:
    """RIG_ADVISOR_THEME, or the saved setting, or the system's."""
    for choice in (os.environ.get("RIG_ADVISOR_THEME"), saved):
        if choice == "light":
            return "light"
        if choice == "dark":
            return "dark"
    return "system"


def resolve(scheme: Scheme, app: QApplication) -> Colours:
    """The colours of a scheme; "system" asks the desktop."""
    if scheme == "system":
        dark = app.styleHints().colorScheme() == Qt.ColorScheme.Dark
        return DARK if dark else LIGHT
    return DARK if scheme == "dark" else LIGHT


def apply(app: QApplication, scheme: Scheme) -> None:
    """Put a scheme on screen at once; ``recolour.change`` does it while a window is in use."""
    begin(app, scheme)
    for window in app.topLevelWidgets():
        for widget in (window, *window.findChildren(QWidget)):
            renew(widget)


def begin(app: QApplication, scheme: Scheme) -> None:
    """Take a scheme: what is made from now on is in its colours, what is there once `renew`-ed."""
    global _current  # noqa: PLW0603 - one screen, one scheme
    _current = resolve(scheme, app)
    app.setPalette(palette(_current))
    # Once: for another style or font Qt styles every widget anew, and all below it each time.
    if app.font().family() != FAMILY:
        app.setStyle("Fusion")
        app.setFont(font())


def dress(window: QWidget) -> None:
    """Give a window without a parent the style sheet, for all that is and comes in it.

    The application has none: with one, whatever is put into a parent is styled at once with all
    below it, so that a part built from the inside out is styled once for each of its levels. Below
    a window it is styled once, when it gets there.
    """
    window.setStyleSheet(stylesheet())


def renew(widget: QWidget) -> None:
    """Give a widget that was on screen the present scheme's colours; its children are others."""
    if widget.testAttribute(Qt.WidgetAttribute.WA_WState_Polished):
        style = widget.style()
        style.unpolish(widget)
        style.polish(widget)
        widget.update()


_ROLES: Final[dict[str, tuple[QPalette.ColorRole, ...]]] = {
    "ground": (_Role.Window,),
    "surface": (_Role.Base, _Role.Button, _Role.ToolTipBase),
    "sunken": (_Role.AlternateBase,),
    "line": (_Role.Mid,),
    "line_strong": (_Role.Dark,),
    "text": (_Role.Text, _Role.WindowText, _Role.ButtonText, _Role.ToolTipText),
    "muted": (_Role.PlaceholderText,),
    "accent": (_Role.Highlight,),
    "on_accent": (_Role.HighlightedText,),
    # For the style sheet alone: nothing here has links, or frames that the native style draws.
    "ticked": (_Role.Accent,),
    "accent_hover": (_Role.LinkVisited,),
    "accent_soft": (_Role.Light,),
    "good": (_Role.Midlight,),
    "tight": (_Role.Link,),
    "offload": (_Role.Shadow,),
    "bad": (_Role.BrightText,),
}
"""Colours of a scheme by the roles that they have in Qt's palette; the first is the sheet's."""


def palette(c: Colours) -> QPalette:
    """A Qt palette of the scheme, for the style sheet and for all that the native style draws."""
    result = QPalette()
    for name, roles in _ROLES.items():
        for role in roles:
            result.setColor(role, QColor(getattr(c, name)))
    for target in (_Role.Text, _Role.WindowText, _Role.ButtonText):
        result.setColor(QPalette.ColorGroup.Disabled, target, QColor(c.muted))
    return result


def chevron() -> str:
    """File of the sign that something opens: grey that shows on every ground."""
    return resources.path("icons", "chevron.png").as_posix()


def set_role(widget: QWidget, role: str) -> None:
    """Give a widget a role of the style sheet ("title", "primary", …), also after it was shown."""
    if widget.property("role") == role:
        return
    widget.setProperty("role", role)
    widget.style().unpolish(widget)
    widget.style().polish(widget)


@functools.cache
def stylesheet() -> str:
    """The windows' style sheet: ``SHEET`` with colours by their roles in the palette."""
    sheet = SHEET
    values = {name: f"palette({_css(roles[0])})" for name, roles in _ROLES.items()}
    values["chevron"] = chevron()
    values["tick"] = resources.path("icons", "tick.png").as_posix()
    # Longest names first: "accent" is the beginning of "accent_soft".
    for name in sorted(values, key=len, reverse=True):
        sheet = sheet.replace(f"@{name}", values[name])
    return sheet


def _css(role: QPalette.ColorRole) -> str:
    """``"placeholder-text"`` of PlaceholderText."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", role.name).lower()
