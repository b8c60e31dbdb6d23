"""Past probes: a list to open, compare, export and delete from, and two of them side by side."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

from PySide6.QtWidgets import QMenu, QWidget

from advisor import units
from advisor.probe.compare import Difference, differences
from advisor.probe.result import EngineFacts, ProbeResult
from advisor.probe.store import Entry
from advisor.ui.texts import moment
from advisor.ui.widgets.basics import Card, Elided, button, clear, column, row, text
from advisor.ui.widgets.figures import FigureRow
from advisor.ui.widgets.row_button import RowButton

PAST_SHOWN = 6


class CompareCard(Card):
    """The probe on screen against another: every figure that both have."""

    def __init__(self, on_stop: Callable[[], None]) -> None:
        super().__init__("")
        stop = button(self.tr("Stop comparing"), on_stop, "link")
        head = row(text(self.tr("Compared"), "title"), None, stop)
        self.body.addLayout(head)
        self._other = text("", "small", wrap=True)
        self.body.addWidget(self._other)
        self._rows = column(spacing=2)
        self.body.addLayout(self._rows)
        self.hide()

    def show_pair(self, shown: ProbeResult, other: ProbeResult) -> None:
        """The figures of ``shown``, with how far they are from those of ``other``."""
        clear(self._rows)
        when = moment(other.created)
        words = self.tr("Dotted line and grey figures: {title} at {context}, {when}")
        if other.method == "llama-bench":
            words = self.tr("Dotted line and grey figures: {title} by llama-bench, {when}")
        context = units.tokens(other.settings.ctx)
        told = words.format(title=other.title, context=context, when=when)
        if shown.engine != other.engine:
            apart = self.tr("{words}, by llama.cpp {other} instead of {shown}")
            told = apart.format(
                words=told, other=_engine(other.engine), shown=_engine(shown.engine)
            )
        self._other.setText(told)
        for difference in differences(shown, other):
            self._rows.addWidget(self._figure(difference))
        self.show()

    def _figure(self, found: Difference) -> FigureRow:
        name, is_size = self._name(found), found.unit == "B"

        def words(value: float) -> str:
            return units.size(int(value)) if is_size else units.rate(value)

        note = f"{words(found.other).removesuffix(' tok/s')} {found.relative:+.1%}"
        return FigureRow(name, words(found.shown), note=note)

    def _name(self, found: Difference) -> str:
        names = {
            "peak": self.tr("Peak, {place}"),
            "decode": self.tr("Decode at {depth}")
            if found.depth
            else self.tr("Decode, empty context"),
            "prefill": self.tr("Prefill of {depth}"),
        }
        place = self.tr("RAM") if found.place == "host" else found.place
        return names[found.kind].format(place=place, depth=units.tokens(found.depth))


def _engine(engine: EngineFacts) -> str:
    return f"{engine.version} ({', '.join(engine.backends)}; {Path(engine.name).name})"


class PastCard(Card):
    """Past probes: look at one, compare with one, export, delete."""

    def __init__(
        self,
        *,
        on_open: Callable[[str], None],
        on_compare: Callable[[str], None],
        on_export: Callable[[str, Literal["table", "csv", "json"]], None],
        on_use: Callable[[str], None],
        on_leave: Callable[[str], None],
        on_delete: Callable[[str], None],
    ) -> None:
        super().__init__("")
        self._on_open = on_open
        self._on_compare = on_compare
        self._on_export = on_export
        self._on_use = on_use
        self._on_leave = on_leave
        self._on_delete = on_delete
        self._all = button(self.tr("Show all"), role="link")
        self._all.setCheckable(True)
        self._all.toggled.connect(self._show)
        self._entries: tuple[Entry, ...] = ()
        self._used: frozenset[str] = frozenset()
        head = row(text(self.tr("Past probes"), "title"), None, self._all)
        self.body.addLayout(head)
        self._rows = column(spacing=2)
        self.body.addLayout(self._rows)
        self.show_entries(())

    def show_entries(self, entries: tuple[Entry, ...]) -> None:
        """The newest of them, and all where that is asked for."""
        self._entries = entries
        self._show()

    def mark_used(self, identities: Iterable[str]) -> None:
        """Those that the present session counts with."""
        if self._used != (used := frozenset(identities)):
            self._used = used
            self._show()

    def _show(self) -> None:
        clear(self._rows)
        entries, more = self._entries, len(self._entries) > PAST_SHOWN
        self._all.setVisible(more)
        if not entries:
            self._rows.addWidget(text(self.tr("None yet."), "muted"))
        for entry in entries if self._all.isChecked() else entries[:PAST_SHOWN]:
            self._rows.addWidget(self._row(entry))

    def _row(self, entry: Entry) -> QWidget:
        when = moment(entry.created)
        speed = units.rate(entry.decode_tps) if entry.decode_tps else entry.state
        press = RowButton()
        press.setCheckable(True)
        press.marks = False
        # llama-bench makes contexts of its own.
        context = units.tokens(entry.ctx)
        title = f"{entry.title} · {context if entry.method == 'server' else entry.method}"
        name = Elided(title)
        used = entry.id in self._used
        parts = [when, "" if entry.rig == self.tr("This machine") else entry.rig]
        under = " · ".join(filter(None, [*parts, self.tr("in this session") if used else ""]))
        inner = row(column(name, Elided(under, "small"), spacing=0), text(speed, "strong"))
        inner.setStretch(0, 1)
        inner.setContentsMargins(4, 3, 4, 3)
        press.setLayout(inner)
        press.setAccessibleName(f"{title}, {speed}, {under}")
        press.setToolTip(entry.sentence)
        press.clicked.connect(lambda _checked=False: self._on_open(entry.id))
        more = button("…", role="segment", tip=self.tr("Compare, export or delete"))
        more.setAccessibleName(self.tr("More about {name}").format(name=title))
        menu = QMenu(more)
        menu.addAction(self.tr("Compare with it"), lambda: self._on_compare(entry.id))
        menu.addSeparator()
        menu.addAction(self.tr("Copy as table"), lambda: self._on_export(entry.id, "table"))
        menu.addAction(self.tr("Save trace as CSV…"), lambda: self._on_export(entry.id, "csv"))
        menu.addAction(
            self.tr("Save everything as JSON…"), lambda: self._on_export(entry.id, "json")
        )
        menu.addSeparator()
        if used:
            menu.addAction(self.tr("Leave out of this session"), lambda: self._on_leave(entry.id))
        elif entry.state == "done":
            menu.addAction(self.tr("Count with it in this session"), lambda: self._on_use(entry.id))
        menu.addAction(self.tr("Delete"), lambda: self._on_delete(entry.id))
        more.clicked.connect(
            lambda _checked=False: menu.popup(more.mapToGlobal(more.rect().bottomLeft()))
        )
        line = QWidget()
        both = row(press, more, spacing=2)
        both.setStretch(0, 1)
        line.setLayout(both)
        return line
