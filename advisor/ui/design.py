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
    """The windows' style sheet: ``_SHEET`` with colours by their roles in the palette."""
    sheet = _SHEET
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


_SHEET: Final = """
QToolTip { color: @text; background: @surface; border: 1px solid @line_strong; padding: 2px 4px; }
QLabel[role="muted"] { color: @muted; }
QLabel[role="explained"] { border-bottom: 1px dotted @line_strong; }
QLabel[role="small"] { color: @muted; font-size: 11px; }
QLabel[role="strong"] { font-weight: 600; }
QLabel[role="title"] { font-size: 14px; font-weight: 600; }
QLabel[role="headline"] { font-size: 20px; font-weight: 700; }
QLabel[role="number"] { font-size: 32px; font-weight: 700; }
QLabel[tone="good"] { color: @good; }
QLabel[tone="tight"] { color: @tight; }
QLabel[tone="offload"] { color: @offload; }
QLabel[tone="bad"] { color: @bad; }
QLabel[tone="none"] { color: @muted; }
QLabel[role="good"] { color: @good; }
QLabel[role="tight"] { color: @tight; }
QLabel[role="bad"] { color: @bad; }
QLabel[role="brand"] { font-size: 14px; font-weight: 700; }
QToolButton:disabled QLabel { color: @muted; }

QFrame[role="card"] { background: @surface; border: 1px solid @line; border-radius: 10px; }
QFrame[role="well"] { background: @sunken; border: none; border-radius: 6px; }
QFrame[role="rule"] { background: @line; border: none; }
QWidget[role="rail"] { background: @surface; border-right: 1px solid @line; }
QWidget[role="header"] { background: @surface; border-bottom: 1px solid @line; }
QWidget[role="status"] { background: @surface; border-top: 1px solid @line; }
QWidget[role="popup"] { background: @surface; border: 1px solid @line_strong; }

QPushButton, QToolButton[role="picker"] {
  background: @surface; color: @accent; border: 1px solid @line_strong; border-radius: 7px;
  padding: 5px 13px; font-weight: 600; min-height: 20px;
}
QPushButton:hover, QToolButton[role="picker"]:hover { background: @accent_soft; }
QPushButton:focus, QToolButton[role="picker"]:focus {
  border: 2px solid @accent; padding: 4px 12px;
}
QPushButton:disabled { color: @muted; border-color: @line; background: @surface; }
QPushButton[role="primary"] { background: @accent; color: @on_accent; border-color: @accent; }
QPushButton[role="primary"]:hover { background: @accent_hover; }
QPushButton[role="primary"]:focus { border: 2px solid @text; }
QPushButton[role="primary"]:disabled { background: @sunken; color: @muted; border-color: @line; }
QPushButton[role="danger"] { background: @bad; color: @on_accent; border-color: @bad; }
QPushButton[role="danger"]:focus { border: 2px solid @text; }
QPushButton[role="danger"]:disabled { background: @sunken; color: @muted; border-color: @line; }
QPushButton[role="link"] {
  background: transparent; border: 1px solid transparent; border-radius: 4px; padding: 1px 3px;
  font-weight: 500; text-align: left; min-height: 16px;
}
QPushButton[role="link"]:hover { text-decoration: underline; }
QPushButton[role="link"]:focus { border: 1px solid @accent; padding: 1px 3px; }
QPushButton[role="segment"] {
  border-radius: 6px; padding: 2px 7px; min-height: 18px; font-weight: 500; color: @muted;
  border: 1px solid transparent; background: transparent;
}
QPushButton[role="segment"]:hover { color: @text; }
QPushButton[role="segment"]:checked { color: @accent; background: @accent_soft; font-weight: 600; }
QPushButton[role="segment"]:focus { border: 1px solid @accent; padding: 2px 7px; }
QPushButton[role="nav"] {
  background: transparent; border: 1px solid transparent; border-radius: 8px; color: @muted;
  font-weight: 500; text-align: left; padding: 7px 10px; min-height: 21px;
}
QPushButton[role="nav"]:hover { background: @ground; color: @text; }
QPushButton[role="nav"]:checked { background: @accent_soft; color: @accent; font-weight: 600; }
QPushButton[role="nav"]:focus { border: 1px solid @accent; padding: 7px 10px; }
QToolButton[role="picker"] { color: @text; text-align: left; padding: 5px 26px 5px 12px; }
QToolButton[role="picker"]:focus { padding: 4px 25px 4px 11px; }
QToolButton[role="picker"]::menu-indicator { image: none; }
QPushButton::menu-indicator {
  image: url(@chevron); subcontrol-origin: padding; subcontrol-position: center right; right: 7px;
}

QLineEdit, QSpinBox, QDoubleSpinBox, QComboBox {
  background: @surface; color: @text; border: 1px solid @line_strong; border-radius: 7px;
  padding: 4px 9px; min-height: 20px; selection-background-color: @accent;
  selection-color: @on_accent;
}
QLineEdit:focus, QSpinBox:focus, QDoubleSpinBox:focus, QComboBox:focus {
  border: 2px solid @accent; padding: 3px 8px;
}
QLineEdit:disabled, QSpinBox:disabled, QDoubleSpinBox:disabled, QComboBox:disabled {
  color: @muted; background: @ground; border-color: @line;
}
QAbstractSpinBox QLineEdit, QComboBox QLineEdit {
  border: none; padding: 0; min-height: 0; background: transparent;
}
QComboBox { combobox-popup: 0; }
QComboBox::drop-down { border: none; width: 24px; }
QComboBox::down-arrow { image: url(@chevron); width: 10px; height: 10px; }
QComboBox QAbstractItemView {
  background: @surface; color: @text; border: 1px solid @line_strong; outline: none;
  selection-background-color: @accent_soft; selection-color: @text; padding: 3px;
}
QSpinBox::up-button, QSpinBox::down-button, QDoubleSpinBox::up-button, QDoubleSpinBox::down-button {
  width: 0; border: none;
}
QCheckBox, QRadioButton { background: transparent; spacing: 7px; }
QCheckBox::indicator {
  width: 15px; height: 15px; border: 1px solid @line_strong; border-radius: 4px;
  background: @surface;
}
QCheckBox::indicator:checked { background: @ticked; border-color: @ticked; image: url(@tick); }
QCheckBox::indicator:focus { border: 2px solid @accent; }
QCheckBox:focus { color: @accent; }

QPlainTextEdit, QTextEdit {
  background: @ground; color: @text; border: 1px solid @line; border-radius: 7px; padding: 5px;
  selection-background-color: @accent; selection-color: @on_accent;
}
QPlainTextEdit:focus, QTextEdit:focus { border: 1px solid @accent; }
QMenu { background: @surface; color: @text; border: 1px solid @line_strong; padding: 5px; }
QMenu::item { padding: 6px 26px 6px 12px; border-radius: 5px; }
QMenu::item:selected { background: @accent_soft; color: @text; }
QMenu::item:disabled { color: @muted; }
QMenu::separator { height: 1px; background: @line; margin: 5px 8px; }

QAbstractItemView { background: @surface; border: none; outline: none; }
QTableView, QTreeView, QListView {
  background: @surface; color: @text; border: none; outline: none; gridline-color: @line;
  selection-background-color: @accent_soft; selection-color: @text;
}
QListView::item { border-radius: 6px; }
QTableView::item { padding: 0 8px; border: none; }
QTableView::item:selected { background: @accent_soft; color: @text; }
QHeaderView { background: @surface; border: none; }
QHeaderView::section {
  background: @surface; color: @muted; border: none; border-bottom: 1px solid @line;
  padding: 5px 10px; font-size: 11px; font-weight: 500;
}
QHeaderView[role="heat"]::section { padding: 5px 7px 5px 0; }
QTableCornerButton::section { background: @surface; border: none; }
QScrollArea, QScrollArea > QWidget > QWidget[role="page"] { background: transparent; border: none; }
QScrollBar:vertical { background: transparent; width: 10px; margin: 0; }
QScrollBar:horizontal { background: transparent; height: 10px; margin: 0; }
QScrollBar::handle { background: @line_strong; border-radius: 4px; margin: 1px; min-height: 28px;
  min-width: 28px; }
QScrollBar::handle:hover { background: @muted; }
QScrollBar::add-line, QScrollBar::sub-line { width: 0; height: 0; }
QScrollBar::add-page, QScrollBar::sub-page { background: transparent; }
QProgressBar {
  background: @sunken; border: none; border-radius: 3px; max-height: 6px; color: transparent;
}
QProgressBar::chunk { background: @accent; border-radius: 3px; }
QSplitter::handle { background: transparent; }
"""
