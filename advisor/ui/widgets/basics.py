"""Text, cards, chips, banners: the parts that pages are laid out with."""

from collections.abc import Callable
from typing import Final, Literal, TypeVar

from PySide6.QtCore import QCoreApplication, QEvent, QRect, QRectF, QSize, Qt
from PySide6.QtGui import (
    QAccessible,
    QAccessibleEvent,
    QFont,
    QPainter,
    QPaintEvent,
    QResizeEvent,
)
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QLayout,
    QPushButton,
    QSizePolicy,
    QStyle,
    QVBoxLayout,
    QWidget,
)

from advisor.ui import design

TextRole = Literal[
    "body",
    "name",
    "explained",
    "muted",
    "small",
    "strong",
    "title",
    "headline",
    "number",
    "brand",
    "good",
    "tight",
    "bad",
]
_HEIGHTS_KEPT: Final = 8
L = TypeVar("L", QHBoxLayout, QVBoxLayout)
ButtonRole = Literal["plain", "primary", "danger", "link", "segment"]


def text(content: str = "", role: TextRole = "body", *, wrap: bool = False) -> QLabel:
    """A label in one of the design's type roles. Plain text, never HTML."""
    label = _Wrapped(content) if wrap else QLabel(content)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setProperty("role", role)
    return label


class _Wrapped(QLabel):
    """A paragraph: as high as its width asks for, and no minimum that a narrow width would ask."""

    def __init__(self, content: str) -> None:
        super().__init__(content)
        self.setWordWrap(True)
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self._heights: dict[tuple[str, int], int] = {}
        """By text and width, in the present font."""

    def heightForWidth(self, width: int) -> int:  # noqa: N802 - Qt's name
        """Kept: every layout around it asks again, and Qt breaks the lines anew each time."""
        asked = self.text(), width
        found = self._heights.get(asked)
        if found is None:
            if len(self._heights) >= _HEIGHTS_KEPT:
                self._heights.clear()
            found = self._heights[asked] = super().heightForWidth(width)
        return found

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802 - Qt's name
        """In another font or style its lines are others."""
        if event.type() in {QEvent.Type.FontChange, QEvent.Type.StyleChange}:
            self._heights.clear()
        super().changeEvent(event)

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """One line; the layout asks ``heightForWidth`` for the rest."""
        return QSize(40, self.fontMetrics().height())


def button(
    label: str,
    on_click: Callable[[], None] | None = None,
    role: ButtonRole = "plain",
    *,
    tip: str = "",
) -> QPushButton:
    """A push button in one of the design's roles; its label is its accessible name."""
    result = QPushButton(label)
    result.setProperty("role", role)
    result.setAccessibleName(label)
    result.setCursor(Qt.CursorShape.PointingHandCursor)
    if tip:
        result.setToolTip(tip)
        result.setAccessibleDescription(tip)
    if on_click is not None:
        result.clicked.connect(lambda _checked=False: on_click())
    return result


def row(*parts: QWidget | QLayout | int | None, spacing: int = design.SPACE) -> QHBoxLayout:
    """Parts side by side; None is the stretch, a number is a gap in px."""
    return _fill(QHBoxLayout(), parts, spacing)


def column(*parts: QWidget | QLayout | int | None, spacing: int = design.SPACE) -> QVBoxLayout:
    """Parts below each other; None is the stretch, a number is a gap in px."""
    return _fill(QVBoxLayout(), parts, spacing)


def _fill(layout: L, parts: tuple[QWidget | QLayout | int | None, ...], spacing: int) -> L:
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(spacing)
    for part in parts:
        if part is None:
            layout.addStretch(1)
        elif isinstance(part, int):
            layout.addSpacing(part)
        elif isinstance(part, QLayout):
            layout.addLayout(part)
        else:
            layout.addWidget(part)
    return layout


def clear(layout: QLayout, first: int = 0) -> None:
    """Take everything from ``first`` on out of a layout and delete it."""
    while (item := layout.takeAt(first)) is not None:
        widget, inner = item.widget(), item.layout()
        if widget is not None:
            widget.hide()
            widget.deleteLater()
        elif inner is not None:
            clear(inner)
            inner.deleteLater()


def rule() -> QFrame:
    """A thin horizontal line."""
    line = QFrame()
    line.setProperty("role", "rule")
    line.setFixedHeight(1)
    return line


class Card(QFrame):
    """A surface with an optional title line; ``body`` takes the content."""

    def __init__(self, title: str = "", *, note: str = "") -> None:
        super().__init__()
        self.setProperty("role", "card")
        self.title = text(title, "title")
        self.note = Elided(note, "muted")
        self.head = row(self.title, self.note, None)
        """The title line; add chips or buttons at its end."""
        self.body = column(spacing=6)
        outer = column(spacing=design.SPACE)
        outer.setContentsMargins(16, 13, 16, 14)
        if title:
            outer.addLayout(self.head)
        outer.addLayout(self.body, 1)
        self.setLayout(outer)
        if title:
            self.setAccessibleName(title)


LEAST_CHIP = 44
"""Px of a chip that gives way."""


class Chip(QLabel):
    """A few words on a tone's ground: "fits, 2.0 GiB left"."""

    def __init__(
        self, content: str = "", tone: design.Tone = "plain", *, gives_way: bool = False
    ) -> None:
        """``gives_way``: its words end in "…" where there is no room for them."""
        super().__init__(content)
        self._gives_way = gives_way
        self.setTextFormat(Qt.TextFormat.PlainText)
        self._tone: design.Tone = tone
        self.setFont(design.font(design.SMALL))
        self.setContentsMargins(9, 3, 9, 3)
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)

    def show_tone(self, content: str, tone: design.Tone) -> None:
        """Other words, another tone."""
        self._tone = tone
        self.setText(content)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """A pill, the words on it in the tone's ink."""
        del event
        ink, ground = design.colours().tone(self._tone)
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(ground)
            shape = QRectF(self.rect()).adjusted(0, 0.5, 0, -0.5)
            painter.drawRoundedRect(shape, shape.height() / 2, shape.height() / 2)
            painter.setPen(ink)
            painter.setFont(design.font(design.SMALL, QFont.Weight.Medium))
            words = self.text()
            if self._gives_way and self.width() < self.sizeHint().width():
                right, room = Qt.TextElideMode.ElideRight, self.contentsRect().width()
                words = painter.fontMetrics().elidedText(words, right, room)
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, words)

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """As wide as its words in medium weight."""
        hint = super().sizeHint()
        return QSize(int(hint.width() * 1.03) + 2, hint.height())

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """All of its words, where it does not give way."""
        hint = super().minimumSizeHint()
        return QSize(min(hint.width(), LEAST_CHIP), hint.height()) if self._gives_way else hint


class Banner(QFrame):
    """One sentence about something that went wrong or needs a decision; can be closed."""

    def __init__(self, tone: design.Tone = "bad", *, above: int = 0) -> None:
        """``above``: px that it keeps free above itself while it is shown."""
        super().__init__()
        self._above = above
        self._tone: design.Tone = tone
        self._text = text("", wrap=True)
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._sign = text("", "strong")
        self._action = button("", role="link")
        self._action.hide()
        self._on_action: Callable[[], None] | None = None
        self._action.clicked.connect(self._act)
        close = button(self.tr("Dismiss"), self.dismiss, "link")
        layout = row(self._sign, self._text, self._action, close, spacing=10)
        layout.setStretch(1, 1)
        layout.setContentsMargins(14, 8 + above, 10, 8)
        self.setLayout(layout)
        self.hide()

    @property
    def sentence(self) -> str:
        """What it says; empty while hidden."""
        return self._text.text() if not self.isHidden() else ""

    def say(
        self,
        sentence: str,
        tone: design.Tone | None = None,
        *,
        action: str = "",
        on_action: Callable[[], None] | None = None,
    ) -> None:
        """Show a sentence, with an optional thing to do about it; screen readers are told."""
        if tone is not None:
            self._tone = tone
        self._sign.setText("!" if self._tone in {"bad", "tight"} else "i")
        self._text.setText(sentence)
        self._action.setText(action)
        self._action.setAccessibleName(action)
        self._action.setVisible(bool(action))
        self._on_action = on_action
        self.setAccessibleName(sentence)
        self.show()
        self.update()
        QAccessible.updateAccessibility(QAccessibleEvent(self, QAccessible.Event.Alert))

    def dismiss(self) -> None:
        """Hide it."""
        self.hide()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """The tone's ground with a line in its ink at the left."""
        del event
        ink, ground = design.colours().tone(self._tone)
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(ground)
            area = self.rect().adjusted(0, self._above, 0, 0)
            painter.drawRoundedRect(area, 8, 8)
            painter.setBrush(ink)
            painter.drawRoundedRect(QRect(0, area.top(), 4, area.height()), 2, 2)

    def _act(self) -> None:
        if self._on_action is not None:
            self._on_action()


class BigNumber(QWidget):
    """The one number that matters: a caption, the number with its unit, a line below."""

    def __init__(self, caption: str = "") -> None:
        super().__init__()
        self._caption = text(caption, "muted")
        self._number = text("–", "number")
        self._below = text("", "small")
        self.setLayout(column(self._caption, self._number, self._below, spacing=0))
        self.setAccessibleName(caption)

    def show_value(self, number: str, below: str = "", tone: design.Tone = "plain") -> None:
        """Another value, its ink the tone's; ``below`` says in words what the tone means."""
        self._number.setText(number)
        if self._number.property("tone") != tone:
            self._number.setProperty("tone", tone)
            self._number.style().unpolish(self._number)
            self._number.style().polish(self._number)
        self._below.setText(below)
        self.setAccessibleName(f"{self._caption.text()}: {number}. {below}")


class EmptyState(QWidget):
    """What a page says while it has nothing to show, and the way out of that."""

    def __init__(
        self,
        headline: str,
        sentence: str,
        action: str = "",
        on_action: Callable[[], None] | None = None,
    ) -> None:
        super().__init__()
        self._headline = text(headline, "headline", wrap=True)
        self._sentence = text(sentence, "muted", wrap=True)
        for label in (self._headline, self._sentence):
            label.setAlignment(Qt.AlignmentFlag.AlignHCenter)
            label.setMaximumWidth(560)
            label.setMinimumWidth(420)
        inner = column(self._headline, self._sentence, spacing=6)
        if action:
            inner.addSpacing(8)
            inner.addLayout(row(None, button(action, on_action, "primary"), None))
        self.setLayout(column(None, row(None, inner, None), None, None))

    def say(self, headline: str, sentence: str) -> None:
        """Other words."""
        self._headline.setText(headline)
        self._sentence.setText(sentence)


class Elided(QLabel):
    """A single line that ends in "…" when there is no room; the whole text is its tooltip.

    Its text stays the whole one: another would have every layout around it worked out again.
    """

    def __init__(
        self,
        content: str = "",
        role: TextRole = "body",
        mode: Qt.TextElideMode = Qt.TextElideMode.ElideRight,
        *,
        least: int = 20,
    ) -> None:
        super().__init__(content)
        self._least = least
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setProperty("role", role)
        self._mode = mode
        self.shown = content
        """What there is room for."""
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        self.setAccessibleName(content)

    def say(self, content: str) -> None:
        """Another text."""
        self.setAccessibleName(content)
        self.setText(content)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Shorten to the new width."""
        super().resizeEvent(event)
        self._fit()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """As wide as the whole text."""
        return QSize(
            self.fontMetrics().horizontalAdvance(self.text()) + 2, super().sizeHint().height()
        )

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """``least`` px, by default room for a letter and the dots; the text if it is shorter."""
        whole = self.sizeHint()
        return QSize(min(self._least, whole.width()), whole.height())

    def _fit(self) -> None:
        whole = self.text()
        self.shown = self.fontMetrics().elidedText(whole, self._mode, max(0, self.width()))
        tip = whole if self.shown != whole else ""
        if tip != self.toolTip():
            self.setToolTip(tip)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """The part of the text that there is room for."""
        if self.shown == self.text():
            super().paintEvent(event)
            return
        with QPainter(self) as painter:
            self.drawFrame(painter)
            side = QStyle.visualAlignment(self.layoutDirection(), self.alignment())
            self.style().drawItemText(
                painter,
                self.contentsRect(),
                side,
                self.palette(),
                self.isEnabled(),
                self.shown,
                self.foregroundRole(),
            )


def translate(context: str, source: str) -> str:
    """``tr`` outside a QObject."""
    return QCoreApplication.translate(context, source)
