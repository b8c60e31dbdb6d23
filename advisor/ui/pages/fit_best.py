"""What can I run? The catalogue on this rig, ranked, with filters; filled while it is sized."""

from typing import Any, Final

from PySide6.QtCore import (
    QModelIndex,
    Qt,
    QTimer,
    Signal,
)
from PySide6.QtGui import QColor, QFont, QHideEvent
from PySide6.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QHeaderView,
    QLineEdit,
    QTableView,
    QWidget,
)

from advisor import units
from advisor.advice.closer import Closer, closed_up
from advisor.advice.picks import Pick
from advisor.advice.wish import ABILITIES, Wish
from advisor.llm.intelligence import CODING, data
from advisor.probe.calibrate import learn
from advisor.ui import design, services
from advisor.ui.jobs import Job, run_task
from advisor.ui.state import AppState
from advisor.ui.texts import VERDICT_TONES, pace, tr, verdict_word
from advisor.ui.widgets.basics import column, row, text
from advisor.ui.widgets.flow import Flow
from advisor.ui.widgets.row_table import Index, RowsModel, row_table

ROW_HEIGHT: Final = 30
_NAME, _INDEX, _SPEED, _VERDICT = 0, 1, 3, 4
_BILLIONS: Final = (4, 9, 16, 35, 80, 150)


class PickTable(RowsModel):
    """Picks in their order. Rows come one by one and are shown in batches."""

    def __init__(self) -> None:
        heads = (
            tr("Model"),
            tr("Index"),
            tr("Type"),
            tr("tok/s"),
            tr("On this rig"),
            tr("Quality loss"),
        )
        super().__init__(frozenset({_INDEX, _SPEED}), heads)
        self.picks: list[Pick] = []

    def show_picks(self, picks: list[Pick]) -> None:
        """Other picks; where they are the same models, lines stay chosen and in sight."""
        found = sorted(picks, key=lambda pick: pick.order)

        def put() -> None:
            self.picks = found

        before, after = ([pick.entry.id for pick in each] for each in (self.picks, found))
        self.put_rows(before, after, put)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008, D102, N802 - Qt's signature
        return 0 if parent.isValid() else len(self.picks)

    def words(self, pick: Pick, column: int) -> str:
        """What a cell says."""
        cell = pick.cell
        speed = tr("unknown") if cell.decode is None else pace(pick, "").strip()
        _better, several, worst = pick.loss.word.rpartition(" to ")
        return (
            pick.name,
            pick.standing.words,
            cell.file_type,
            speed if pick.fast or cell.decode is None else tr("{speed}, slow").format(speed=speed),
            verdict_word(cell.verdict),
            tr("up to {loss}").format(loss=worst) if several else pick.loss.word,
        )[column]

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:  # noqa: ANN401, D102
        pick, place = self.picks[index.row()], index.column()
        found: Any = None
        if role == Qt.ItemDataRole.DisplayRole:
            found = self.words(pick, place)
        elif role == Qt.ItemDataRole.TextAlignmentRole:
            found = self.alignment(place)
        elif role == Qt.ItemDataRole.FontRole and place == _NAME:
            found = design.font(design.BODY, QFont.Weight.DemiBold)
        elif role == Qt.ItemDataRole.ForegroundRole and place == _VERDICT:
            found = QColor(design.colours().tone(VERDICT_TONES[pick.cell.verdict])[0])
        elif role == Qt.ItemDataRole.AccessibleTextRole:
            found = f"{self.heads[place]}: {self.words(pick, place)}"
        elif role == Qt.ItemDataRole.ToolTipRole:
            licence = pick.entry.licence or tr("licence not known")
            left = pick.cell.headroom
            room = tr("{size} left").format(size=units.size(left)) if left and left > 0 else ""
            parts = (
                pick.entry.id,
                pick.standing.sentence,
                licence,
                room,
                pick.loss.sentence,
                pick.in_use,
            )
            found = " · ".join(part for part in parts if part)
        return found


class BestList(QWidget):
    """Filters above the list. Enter or a click takes a model to the matrix."""

    taken = Signal()

    def __init__(self, state: AppState) -> None:
        super().__init__()
        self._state = state
        self._job: Job | None = None
        self._full = False
        """Whether all of the catalogue is in it, as its filters are."""
        self._in_sight = range(0)
        """Lines that are seen, for the thread that works out their speeds."""
        self._calibrated_by = ""
        """Which probes of this machine the speeds are calibrated by; empty: by none."""
        self._search = QLineEdit()
        self._search.setPlaceholderText(self.tr("Name or maker"))
        self._search.setAccessibleName(self.tr("Name or maker"))
        self._search.setClearButtonEnabled(True)
        self._ability = self._choice(
            self.tr("Ability"),
            [(self.tr("any ability"), ""), *((name, name) for name in ABILITIES)],
        )
        self._licence = self._choice(
            self.tr("Licence"),
            [
                (self.tr("any licence"), "any"),
                (self.tr("commercial use"), "commercial"),
                (self.tr("Apache or MIT"), "open"),
            ],
        )
        sizes = [(self.tr("up to {n}B").format(n=n), n * 10**9) for n in _BILLIONS]
        self._size = self._choice(self.tr("Size"), [(self.tr("any size"), None), *sizes])
        self._least = QDoubleSpinBox()
        self._least.setRange(0, 500)
        self._least.setDecimals(0)
        self._least.setValue(state.usage.min_decode_tps)
        self._least.setSuffix(self.tr(" tok/s or more"))
        self._least.setAccessibleName(self.tr("Wanted decode speed"))
        self._least.setToolTip(
            self.tr(
                "As fast as llama-server writes, which also chooses each token; a line's "
                "tooltip tells more"
            )
        )
        self._least.setKeyboardTracking(False)
        self._least.lineEdit().setTextMargins(6, 0, 0, 0)
        self._said = text("", "muted", wrap=True)
        self.picks = PickTable()
        self.table = self._made_table()
        self.table.activated.connect(self._take)
        self.table.clicked.connect(self._take)
        self._search.setMinimumWidth(120)
        first = row(self._search, self._least)
        first.setStretch(0, 1)
        filters = Flow(spacing=design.SPACE)
        for box in (self._ability, self._licence, self._size):
            filters.addWidget(box)
        layout = column(first, filters, self._said, self.table)
        layout.setStretch(3, 1)
        layout.setContentsMargins(0, 0, 0, 0)
        self.setLayout(layout)
        self._wait = QTimer(self, singleShot=True, interval=120)
        self._wait.timeout.connect(self.start)
        self._search.textChanged.connect(self._wait.start)
        for box in (self._ability, self._licence, self._size):
            box.currentIndexChanged.connect(self._wait.start)
        self._least.valueChanged.connect(self._wait.start)
        state.usage_changed.connect(lambda: self._least.setValue(state.usage.min_decode_tps))
        state.rig_changed.connect(self._renew)
        state.settings_changed.connect(self._renew)
        state.results_changed.connect(self._renew)

    def _made_table(self) -> QTableView:
        table = row_table(self.picks, self.tr("What this rig runs best"), ROW_HEIGHT)
        table.verticalScrollBar().valueChanged.connect(self._look)
        across = table.horizontalHeader()
        across.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        across.setSectionResizeMode(_NAME, QHeaderView.ResizeMode.Stretch)
        for place, width in ((1, 48), (2, 112), (3, 100), (4, 110), (5, 108)):
            across.resizeSection(place, width)
        return table

    def _choice(self, name: str, choices: list[tuple[str, Any]]) -> QComboBox:
        box = QComboBox()
        box.setAccessibleName(name)
        for words, value in choices:
            box.addItem(words, value)
        return box

    def showEvent(self, event: Any) -> None:  # noqa: ANN401, N802 - Qt's name
        """Sized when it is looked at, not before."""
        super().showEvent(event)
        if self._job is None:
            self.start()

    def hideEvent(self, event: QHideEvent) -> None:  # noqa: N802 - Qt's name
        """A list that is not full yet does not keep what took its place waiting."""
        super().hideEvent(event)
        if not self._full and not event.spontaneous():
            self._drop()

    def _drop(self) -> None:
        if self._job is not None:
            self._job.cancel()
            self._job = None

    def _renew(self) -> None:
        self._drop()
        if self.isVisible():
            self._wait.start()

    def wish(self) -> Wish:
        """What the filters say."""
        ability = self._ability.currentData()
        return Wish(
            ctx=self._state.settings.ctx,
            least_tps=self._least.value(),
            abilities=frozenset([ability] if ability else []),
            licence=self._licence.currentData(),
            most_params=self._size.currentData(),
            words=tuple(self._search.text().lower().split()),
        )

    def start(self) -> None:
        """Size the catalogue anew; the first models show at once."""
        state = self._state
        if state.rig is None:
            return
        self._drop()
        self._full = False
        rig, settings, probes, wish = state.rig, state.settings, state.session.probes, self.wish()
        arrived: list[Pick] = []
        sized: list[bool] = []
        self._calibrated_by, self._in_sight = "", range(0)
        self._said.setText(self.tr("Sizing the catalogue…"))

        def work(job: Job) -> list[Pick]:
            for pick in services.best(rig, settings, probes, wish, lambda: job.cancelled):
                arrived.append(pick)
                if services.is_milestone(len(arrived)):
                    job.report(-1.0, "")
            sized.append(True)
            job.report(-1.0, "")
            closer = Closer(rig, wish, services.plain(settings), learn(rig, probes))
            for closed in closed_up(arrived, closer, in_sight=lambda: self._in_sight):
                if job.cancelled:
                    break
                arrived[:] = closed
                job.report(-1.0, "")
            return arrived

        def done(found: list[Pick]) -> None:
            self._full = True
            self._calibrated_by = services.calibrated_by(rig, probes)
            self._show(found, done=True)

        self._job = run_task(
            work,
            on_result=done,
            on_progress=lambda _share, _text: self._show(list(arrived), done=bool(sized)),
            owner=self,
        )

    def _show(self, found: list[Pick], *, done: bool) -> None:
        self.picks.show_picks(found)
        self._look()
        good = sum(pick.fast for pick in found)
        if not done:
            words = self.tr("Sizing the catalogue… {count} so far")
        elif found:
            words = self.tr(
                "{count} models run at {ctx}, {good} of them fast enough. Ordered by the "
                "{index} ({date}), less what the file type loses; ~ is an estimate."
            )
            if all(pick.cell.decode is None for pick in found):
                words = self.tr(
                    "{count} models run at {ctx}; how fast is unknown until the RAM is "
                    "measured (on Machine) or told. Ordered by the {index} ({date}), less "
                    "what the file type loses; ~ is an estimate."
                )
            least = self._least.value()
            if any(p.cell.decode and not p.fast and p.cell.decode.mid >= least for p in found):
                words += " " + self.tr("Some are too slow in llama-server only: see the tooltips.")
            if self._calibrated_by:
                words += " " + self.tr("Speeds are calibrated by the {source}.")
        else:
            words = self.tr("Nothing in the catalogue matches this and runs here.")
        self._said.setText(
            words.format(
                count=len(found),
                good=good,
                ctx=units.tokens(self._state.settings.ctx),
                index=CODING if self.wish().purpose == "code" else data().index,
                date=data().date,
                source=self._calibrated_by,
            )
        )

    def _look(self) -> None:
        top, bottom = self.table.rowAt(0), self.table.rowAt(self.table.viewport().height() - 1)
        self._in_sight = range(max(top, 0), self.picks.rowCount() if bottom < 0 else bottom + 1)

    def _take(self, index: QModelIndex) -> None:
        pick = self.picks.picks[index.row()]
        self._state.take(pick)
        self.taken.emit()
