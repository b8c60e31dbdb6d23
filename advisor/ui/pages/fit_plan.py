"""The chosen cell's plan: which memory holds what, and every figure's explanation."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QButtonGroup, QWidget

from advisor import units
from advisor.basis import Basis, Explanation
from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.sizing.plan import DevicePlan, Plan
from advisor.ui import design
from advisor.ui.checks import Checked, Pair
from advisor.ui.pages.fit_check import CheckLine
from advisor.ui.texts import VERDICT_TONES, verdict_text
from advisor.ui.turns import Turn
from advisor.ui.widgets.basics import Card, Chip, Elided, column, row, text
from advisor.ui.widgets.figure_list import FigureList, Line
from advisor.ui.widgets.paint_turns import BUDGET_S
from advisor.ui.widgets.row_button import RowButton
from advisor.ui.widgets.stacked_bar import Part, StackedBar

Figure = tuple[str, str, design.Series, int | None]
"""Key, name, series, bytes."""
_USUAL_PLACES: Final = 3
"""Two cards and the RAM."""
_USUAL_PARTS: Final[tuple[design.Series, ...]] = (
    "other",
    "weights",
    "context",
    "compute",
    "driver",
    "left",
)
"""Of a card's memory, in the order in which they are listed."""


@dataclass(frozen=True, slots=True)
class Place:
    """One memory: a device's or the host's, with what lies in it."""

    key: str
    """As in ``Plan.explanations``: "CUDA0", "host"."""
    title: str
    capacity: int | None
    free_before: int | None
    parts: tuple[Figure, ...]
    headroom: int | None
    note: str = ""
    said: Mapping[str, Pair] = field(default_factory=dict[str, Pair])
    """llama.cpp's own figures, by the parts' keys."""

    @property
    def others(self) -> int | None:
        """Held by other programs."""
        if self.capacity is None or self.free_before is None:
            return None
        return max(0, self.capacity - self.free_before)


def _titles(plan: Plan) -> list[str]:
    return [device.title for device in plan.devices]


class PlacePicker(RowButton):
    """A memory in two lines: its name and what is left, and its bar."""

    def __init__(self) -> None:
        super().__init__()
        self.setCheckable(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self._name = Elided("", "strong")
        self._left = text("", "muted")
        self._bar = StackedBar(height=18)
        head = row(self._name, self._left)
        head.setStretch(0, 1)
        inner = column(head, self._bar, spacing=4)
        inner.setContentsMargins(7, 5, 7, 7)
        for part in (self._name, self._left, self._bar):
            part.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setLayout(inner)

    def show_place(self, place: Place, other_programs: str) -> None:
        """Another memory."""
        self._name.say(place.title)
        if place.headroom is None:
            words = self.tr("unknown what is left")
        elif place.headroom < 0:
            words = self.tr("{size} too little").format(size=units.size(-place.headroom))
        else:
            words = self.tr("{size} left").format(size=units.size(place.headroom))
        if place.capacity is not None:
            words += self.tr(" of {size}").format(size=units.gib(place.capacity))
        self._left.setText(words)
        parts = [Part(other_programs, "other", place.others or 0)]
        parts += [Part(name, series, size or 0) for _key, name, series, size in place.parts]
        self._bar.show_parts(tuple(parts), place.capacity, place.title)
        self.setAccessibleName(f"{place.title}: {words}")


class PlanCard(Card):
    """Title and verdict, one bar per memory, the figures of the chosen one."""

    place_chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__(self.tr("Plan"))
        self._chip = Chip()
        self.head.addWidget(self._chip)
        self._sentence = text("", "muted", wrap=True)
        self._pickers = column(spacing=2)
        self._pickers.setContentsMargins(-7, 0, -7, 0)
        self._group = QButtonGroup(self)
        self._group.setExclusive(True)
        self._figures = FigureList(spacing=0)
        """Of the place that is shown."""
        self._buttons: list[PlacePicker] = []
        self._memories: list[Place] = []
        """Of the plan that is shown."""
        self._next = 0
        """Of them, the first that has no button yet."""
        self._more = Turn(self)
        self._more.due.connect(self._fill_pickers)
        self._chosen = ""
        self._plan: Plan | None = None
        self._rig: Rig | None = None
        self._checked: Checked | None = None
        self.check = CheckLine()
        self.check.checked.connect(self._show_checked)
        self.body.addWidget(self._sentence)
        self.body.addLayout(self._pickers)
        self.body.addWidget(self._figures)
        self.body.addWidget(self.check)

    def make_ahead(self) -> None:
        """The widgets that most plans need: making them takes longer than filling them."""
        self._make_pickers(_USUAL_PLACES)
        self._figures.show_lines([Line("", "", swatch=series) for series in _USUAL_PARTS])

    def show_plan(self, plan: Plan, model: Model, rig: Rig) -> None:
        """Another plan."""
        if plan is not self._plan or rig is not self._rig:
            self._checked = None
        if self._plan is not None and _titles(plan) != _titles(self._plan):
            self._chosen = ""  # of another rig the tightest is shown first
        self._plan, self._rig = plan, rig
        self.check.show_plan(plan, model, rig)
        self._refresh(plan, rig)

    def _show_checked(self, checked: Checked) -> None:
        self._checked = checked
        if self._plan is not None and self._rig is not None:
            self._refresh(self._plan, self._rig)

    def _refresh(self, plan: Plan, rig: Rig) -> None:
        self.title.setText(
            self.tr("{file_type} at {context}").format(
                file_type=plan.file_type, context=units.tokens(plan.settings.ctx)
            )
        )
        self._chip.show_tone(verdict_text(plan), VERDICT_TONES[plan.verdict])
        self._sentence.setText(self._longest(plan))
        self._sentence.setVisible(bool(self._sentence.text()))
        places = self._places(plan, rig)
        keys = [place.key for place in places]
        if self._chosen not in keys:
            self._chosen = self._tightest(places)
        self._memories, self._next = places, 0
        self._show_figures(next(place for place in places if place.key == self._chosen))
        self._more.start()

    def _fill_pickers(self) -> None:
        """Some in each turn of the event loop: eight cards are many widgets."""
        until = time.perf_counter() + BUDGET_S
        while self._next < len(self._memories):
            self._make_pickers(self._next + 1)
            picker, place = self._buttons[self._next], self._memories[self._next]
            picker.setProperty("place", place.key)
            picker.show_place(place, self._others(place))
            picker.setChecked(place.key == self._chosen)
            picker.show()
            self._next += 1
            if time.perf_counter() > until:
                break
        for picker in self._buttons[len(self._memories) :]:
            picker.hide()
        if self._next < len(self._memories):
            self._more.start()

    def _make_pickers(self, count: int) -> None:
        while len(self._buttons) < count:
            picker = PlacePicker()
            picker.clicked.connect(self._pick)
            self._group.addButton(picker)
            self._pickers.addWidget(picker)
            self._buttons.append(picker)

    def _longest(self, plan: Plan) -> str:
        if plan.max_ctx is None:
            return ""
        if plan.max_ctx == 0:
            return self.tr("Not even the shortest context fits with this placement.")
        return self.tr("The longest context that fits this way is {context} tokens.").format(
            context=f"{plan.max_ctx:,}"
        )

    def _pick(self) -> None:
        sender = self.sender()
        if isinstance(sender, QWidget) and self._plan is not None and self._rig is not None:
            self._chosen = str(sender.property("place"))
            self._refresh(self._plan, self._rig)
            self.place_chosen.emit(self._chosen)

    def _tightest(self, places: list[Place]) -> str:
        devices = [place for place in places if place.key != "host"] or places
        used = [place for place in devices if any(part[3] for part in place.parts)] or places
        return min(used, key=lambda p: p.headroom if p.headroom is not None else 1 << 62).key

    def _places(self, plan: Plan, rig: Rig) -> list[Place]:
        places = [self._device(device, plan) for device in plan.devices]
        host = plan.host
        free, shared = host.free_before, _shared(plan, rig)
        places.append(
            Place(
                key="host",
                title=self.tr("RAM"),
                capacity=rig.host.ram_total,
                # What the GPU takes of a shared memory is the model's, not other programs'.
                free_before=None if free is None else free + shared,
                parts=(
                    *([("shared", self.tr("Used by the GPU"), "driver", shared)] if shared else []),
                    ("weights", self.tr("Weights"), "weights", host.weights),
                    ("context", self.tr("Context"), "context", host.context),
                    ("compute", self.tr("Compute buffer"), "compute", host.compute),
                    ("output", self.tr("Output buffer"), "output", host.output),
                    *self._beside(host.draft, host.projector),
                ),
                headroom=host.headroom,
            )
        )
        checked = self._checked
        return places if checked is None else [_as_said(place, checked) for place in places]

    def _device(self, device: DevicePlan, plan: Plan) -> Place:
        blocks = self._blocks(device, plan)
        return Place(
            key=device.name,
            title=f"{device.title} ({device.name})" if len(plan.devices) > 1 else device.title,
            capacity=device.capacity,
            free_before=device.free_before,
            parts=(
                ("weights", self.tr("Weights"), "weights", device.weights),
                ("context", self.tr("Context"), "context", device.context),
                ("compute", self.tr("Compute buffer"), "compute", device.compute),
                *self._beside(device.draft, device.projector),
                ("driver", self.tr("Driver"), "driver", device.driver),
            ),
            headroom=device.headroom,
            note=blocks,
        )

    def _beside(self, draft: int | None, projector: int) -> tuple[Figure, ...]:
        """What runs beside the model, where there is any."""
        found: list[Figure] = []
        if draft != 0:
            found.append(("draft", self.tr("Drafting"), "output", draft))
        if projector:
            found.append(("projector", self.tr("Projector"), "weights", projector))
        return tuple(found)

    def _blocks(self, device: DevicePlan, plan: Plan) -> str:
        total = sum(len(d.layers) for d in plan.devices)
        if not device.layers:
            return self.tr("no layers")
        if len(plan.devices) > 1:
            return self.tr("layers {first}–{last}").format(
                first=device.layers[0], last=device.layers[-1]
            )
        return self.tr("{count} layers").format(count=total)

    def _others(self, place: Place) -> str:
        """Who holds what is not the model's; of an imagined machine's RAM the system alone."""
        if self._rig is not None and self._rig.imagined and place.key == "host" and place.others:
            return self.tr("Left to the system")
        return self.tr("Other programs")

    def _show_figures(self, place: Place) -> None:
        plan, rig = self._plan, self._rig
        if plan is None or rig is None:
            return
        imagined = rig.imagined
        lines = [
            Line(
                self._others(place),
                _size(place.others),
                swatch="other",
                basis=None if imagined or place.others is None else Basis.MEASURED,
                note=self.tr("none assumed") if imagined and not place.others else "",
            )
        ]
        cells = self._cells(plan)
        for key, name, series, size in place.parts:
            note = {"weights": place.note, "context": cells if size else ""}.get(key, "")
            said = place.said.get(key)
            if said is not None and not said.agrees:
                note = self.tr("computed {size}").format(size=_size(said.computed))
            lines.append(
                Line(
                    name,
                    _size(size),
                    swatch=series,
                    basis=plan.basis if said is None else Basis.DRY_RUN,
                    explanation=self._explained(f"{place.key}.{key}", said),
                    note=note,
                )
            )
        left = place.headroom
        lines.append(
            Line(
                self.tr("Left") if left is None or left >= 0 else self.tr("Missing"),
                units.size(None if left is None else abs(left)),
                swatch="left",
                basis=Basis.DRY_RUN
                if all(key in place.said for key, *_ in place.parts)
                else plan.basis,
                explanation=plan.explanations.get(f"{place.key}.total"),
            )
        )
        self._figures.show_lines(lines)

    def _explained(self, key: str, said: Pair | None) -> Explanation | None:
        """Our formula, and the neighbouring rung where there is one."""
        found = None if self._plan is None else self._plan.explanations.get(key)
        if found is None or said is None or self._checked is None:
            return found
        note = self.tr("Computed {computed} · {engine} says {said}.").format(
            computed=_size(said.computed), engine=self._checked.engine, said=_size(said.said)
        )
        return found.model_copy(update={"notes": (*found.notes, note)})

    def _cells(self, plan: Plan) -> str:
        if not plan.kv:
            return ""
        most = max(cache.cells * cache.streams for cache in plan.kv.values())
        return self.tr("{count} cells").format(count=f"{most:,}")


def _shared(plan: Plan, rig: Rig) -> int:
    """Bytes of RAM that devices take whose memory it is."""
    pairs = zip(plan.devices, rig.devices, strict=True)
    return sum(part.total or 0 for part, device in pairs if device.unified)


def _as_said(place: Place, checked: Checked) -> Place:
    """A memory with llama.cpp's figures in the place of ours."""
    said = checked.places.get(place.key, {})
    if not said:
        return place
    parts = tuple(
        (key, name, series, said[key].said if key in said else size)
        for key, name, series, size in place.parts
    )
    sizes = [size for *_, size in parts if size is not None]
    left = place.headroom
    if place.free_before is not None and len(sizes) == len(parts):
        left = place.free_before - sum(sizes)
    return replace(place, parts=parts, headroom=left, said=said)


def _size(value: int | None) -> str:
    return "0" if value == 0 else units.size(value)
