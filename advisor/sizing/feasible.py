"""Whether a model fits with a part in RAM, without the search for the fastest placement.

One placement whose exact bytes leave the margin is proof. It is looked for where it is most
probable, between what RAM and what the devices can hold, then where RAM takes all it can.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import NamedTuple

from advisor.llm.model import Model
from advisor.sizing.allocation import Allocation, Room, allocate
from advisor.sizing.compute import ComputeBuffers
from advisor.sizing.layer_bytes import LayerBytes, layer_bytes
from advisor.sizing.placement import HOST
from advisor.sizing.settings import RunSettings
from advisor.sizing.tables import PerModel
from advisor.sizing.verdict import left_of

_BALANCED = 2
"""Placements to look at between the limits: the first tells how large the buffers are."""
_FILLED = 4
"""Placements to look at where RAM takes all it can."""
_RAM_SHARE = 0.3
"""Of what is left over, as much stays in RAM: layers round on devices, not in RAM."""
_CERTAIN = 75
"""Percent of the smallest compute buffers of any placement that was tried: none has less."""
_MADE = 8
"""How many placements that were tried are kept."""
_ROOMS = 8
"""How many rooms that were too little are kept."""
_ENDLESS = 1 << 62


def held_by(model: Model, settings: RunSettings, space: Room) -> RunSettings | None:
    """A placement with a part in RAM that leaves the margin; None where none was found.

    ``settings`` leave layers and experts open.
    """
    case = case_of(model, settings, space.backends)
    trial = _trial(model, case, space, (0,) * (len(space.free) + 1))
    if trial is None or case is None or not (trial.still_fits() or trial.fits()):
        return None
    return None if case.held is None else trial.settle(case.held)


def holds(model: Model, case: "Case | None", space: Room, beside: tuple[int, ...]) -> bool | None:
    """Whether a part in RAM makes it fit; None where that was neither found nor ruled out.

    None too where everything may stay on the devices. ``beside``: about what a run takes beside its
    layers on every device and, last, on the host.
    """
    trial = _trial(model, case, space, beside)
    if trial is None or case is None or trial.may_stay():
        return None
    if trial.still_fits():
        return True
    if any(space.within(other) for other in case.too_little):
        return False
    if trial.fits():
        return True
    if trial.never_fits():
        case.is_too_little(space)
        return False
    return None


def learn(case: "Case | None", space: Room, found: Allocation, *, fits: bool) -> None:
    """Keep what the search for the fastest placement found where ``holds`` had no answer.

    ``found``: its placement. Free memory changes all the time and placements seldom: the next time
    the placement itself tells, and less memory than was too little is too little.
    """
    if case is None:
        return
    if fits:
        case.held = _held_in(found)
    else:
        case.is_too_little(space)


class _Held(NamedTuple):
    """Layers in RAM, layers whose experts are in RAM, and layers per device."""

    layers: int
    experts: int
    counts: tuple[int, ...]


def _held_in(found: Allocation) -> _Held:
    where = found.placement
    counts = tuple(where.layer_device.count(d) for d in range(len(found.weights.devices)))
    return _Held(where.layer_device.count(HOST), len(where.experts_on_host), counts)


class _Layers:
    """A model's layers: experts go to RAM before whole layers do, the output layer never."""

    def __init__(self, loads: LayerBytes, *, kept: bool) -> None:
        """``kept``: whether devices keep the caches of their layers."""
        caches = loads.context if kept else (0,) * len(loads.context)
        self.thin = [a + b for a, b in zip(loads.dense, caches, strict=True)]
        self.experts = loads.experts
        self.n_experts = max((il + 1 for il, size in enumerate(loads.experts) if size), default=0)
        away = sum(loads.experts)
        self.moved = [
            *accumulate(loads.experts[: self.n_experts], initial=0),
            *(away + size for size in accumulate(self.thin[:-1])),
        ]
        """Bytes in RAM after every step."""
        self.total = sum(self.thin) + away
        self.whole = self.sizes(0, 0)
        """Bytes of every layer."""

    def step(self, least: int, most: int) -> tuple[int, int]:
        """Layers and experts in RAM: the step farthest from too little and from too much there."""
        wanted = least + (most - least) * (1 - _RAM_SHARE)
        above = min(bisect_left(self.moved, wanted), len(self.moved) - 1)
        at = max(
            (max(above - 1, 0), above),
            key=lambda at: min(
                (most - self.moved[at]) / _RAM_SHARE,
                (self.moved[at] - least) / (1 - _RAM_SHARE),
            ),
        )
        return max(at - self.n_experts, 0), min(at, self.n_experts)

    def least(self, ram: int, room: int) -> Iterator[tuple[int, int]]:
        """As many experts as RAM takes beside every number of layers, if ``room`` bytes hold the
        rest.
        """
        in_ram = 0
        for layers, (thin, experts) in enumerate(zip(self.thin, self.experts, strict=True)):
            if in_ram > ram:
                return
            moved, away = in_ram, layers
            while away < self.n_experts and moved + self.experts[away] <= ram:
                moved += self.experts[away]
                away += 1
            if self.total - moved <= room:
                yield layers, away
            in_ram += thin + experts

    def sizes(self, layers: int, experts: int) -> list[int]:
        """Bytes of every layer that is on a device."""
        return [
            size + (0 if il < experts else self.experts[il])
            for il, size in enumerate(self.thin[layers:], layers)
        ]

    def in_ram(self, layers: int, experts: int) -> int:
        """Bytes that went to RAM."""
        return sum(self.thin[:layers]) + sum(self.experts[: max(layers, experts)])


class _Made(NamedTuple):
    """The bytes of one placement, which depend on what is free only where a draft model takes the
    rest.
    """

    totals: list[int | None]
    """Per device."""
    used: list[int]
    """The devices that anything lies on."""
    host: int | None
    compute: ComputeBuffers | None
    lies: list[int]
    """Per device, bytes of layers."""
    in_ram: int
    """Bytes of what went to RAM."""
    lasting: bool
    """Whether the bytes stay when other memory is free."""


@dataclass(slots=True)
class Case:
    """What is remembered of a model under some settings, whatever is free."""

    settings: RunSettings
    """They leave layers and experts open."""
    layers: _Layers
    beside: tuple[int, ...] = ()
    """What the last placement took beside its layers, per device and on the host."""
    held: _Held | None = None
    """The last placement that left the margin."""
    made: dict[_Held, _Made] = field(default_factory=dict[_Held, _Made])
    """The last placements that were tried."""
    too_little: "list[Room]" = field(default_factory=list["Room"])
    """Where no placement was found, though none was proof of that."""

    def is_too_little(self, space: Room) -> None:
        """Remember a room where no placement was found."""
        others = [other for other in self.too_little if not other.within(space)]
        self.too_little = [*others, space][-_ROOMS:]


def _make_case(model: Model, key: tuple[RunSettings, tuple[str, ...]]) -> Case | None:
    settings, backends = key
    if settings.fit_kv or settings.override_tensor or settings.tensor_split:
        return None
    if settings.n_gpu_layers != "fit" or settings.n_cpu_moe != "fit":
        return None
    if settings.split_mode != "layer" or not backends:
        return None
    loads = layer_bytes(model, settings, backends[0])
    return None if loads is None else Case(settings, _Layers(loads, kept=settings.kv_offload))


_cases = PerModel(_make_case)


def case_of(model: Model, settings: RunSettings, backends: tuple[str, ...]) -> Case | None:
    """What is remembered of a model under settings that leave layers and experts open.

    None where only the solver knows, which may choose more than those.
    """
    return _cases(model, (settings, backends))


def _shared_out(sizes: Sequence[int], room: Sequence[int]) -> tuple[int, ...]:
    """Layers per device, in order, so that every device is about as full as the others."""
    ends = list(accumulate(sizes, initial=0))
    whole, borders = sum(room), [0]
    for taken in accumulate(room[:-1]):
        wanted = ends[-1] * taken / whole
        end = bisect_left(ends, wanted)
        if wanted - ends[end - 1] < ends[end] - wanted:
            end -= 1
        borders.append(max(end, borders[-1]))
    borders.append(len(sizes))
    return tuple(b - a for a, b in pairwise(borders))


def _filled(sizes: Sequence[int], room: Sequence[int]) -> tuple[int, ...] | None:
    """Layers per device, every device filled in turn; None where that does not hold all."""
    ends = list(accumulate(sizes, initial=0))
    borders = [0]
    for capacity in room:
        borders.append(bisect_right(ends, ends[borders[-1]] + max(capacity, 0)) - 1)
    if borders[-1] < len(sizes):
        return None
    return tuple(b - a for a, b in pairwise(borders))


def _trial(
    model: Model, case: Case | None, space: Room, beside: tuple[int, ...]
) -> "_Trial | None":
    """None where only the solver knows."""
    if case is None or space.host is None or None in space.free:
        return None
    room = [
        (value or 0) - (driver or 0) - case.settings.margin
        for value, driver in zip(space.free, space.driver, strict=True)
    ]
    case.beside = case.beside or beside
    return _Trial(model, case, space, room, space.host)


@dataclass(slots=True)
class _Trial:
    """A few placements of one model, tried with exact bytes."""

    model: Model
    case: Case
    space: Room
    room: list[int]
    """Bytes per device, the margin left."""
    ram: int
    smallest: int = _ENDLESS
    """Of the compute buffers of devices."""
    on_host: int = _ENDLESS
    """The least that lies on the host whatever moves there."""

    def may_stay(self) -> bool:
        """Whether everything may stay on the devices, as far as the buffers of one try tell."""
        sizes = self.case.layers.whole
        if self.case.layers.total > sum(max(value, 0) for value in self.room):
            return False
        if _filled(sizes, self.room) is None:
            return False
        self._holds(_Held(0, 0, _shared_out(sizes, self.room)))
        return _filled(sizes, self.at_best()) is not None

    def at_best(self) -> list[int]:
        """Room for layers beside the least that buffers may take."""
        return [value - self.smallest * _CERTAIN // 100 for value in self.room]

    def still_fits(self) -> bool:
        """Whether the last placement that left the margin does so here."""
        held = self.case.held
        return held is not None and self._holds(held)

    def fits(self) -> bool:
        """Whether another placement was found that leaves the margin."""
        return self._looks(self._balanced, _BALANCED) or self._looks(self._crammed, _FILLED)

    def _looks(self, propose: "Callable[[list[int], int], Iterator[_Held]]", times: int) -> bool:
        """Try what is proposed for the room that the last placement showed, until it repeats."""
        tried: set[_Held] = set()
        for _ in range(times):
            beside = self.case.beside
            room = [a - b for a, b in zip(self.room, beside, strict=False)]
            ram = self.ram - beside[HOST]
            found = next((held for held in propose(room, ram) if held not in tried), None)
            if found is None:
                return False
            tried.add(found)
            if self._holds(found):
                return True
        return False

    def _balanced(self, room: list[int], ram: int) -> "Iterator[_Held]":
        if min(room) <= 0 and self.smallest == _ENDLESS:
            # The guess is with a buffer for every copy of a pipeline, which a run with RAM has not.
            room = self.room
        if min(room) > 0:
            layers, experts = self.case.layers.step(self.case.layers.total - sum(room), ram)
            counts = _shared_out(self.case.layers.sizes(layers, experts), room)
            yield _Held(layers, experts, counts)

    def _crammed(self, room: list[int], ram: int) -> "Iterator[_Held]":
        for layers, experts in self.case.layers.least(ram, sum(max(value, 0) for value in room)):
            counts = _filled(self.case.layers.sizes(layers, experts), room)
            if counts is not None:
                yield _Held(layers, experts, counts)

    def never_fits(self) -> bool:
        """Whether no placement fits even with smaller buffers than any that was tried.

        With as much in RAM as it holds, every device is filled in turn.
        """
        ram = self.ram - self.on_host
        if self.on_host == _ENDLESS or self.case.layers.total <= ram:
            return False
        return next(self._crammed(self.at_best(), ram), None) is None

    def settle(self, held: _Held) -> RunSettings:
        """The asked settings with numbers put in."""
        update: dict[str, object] = {
            "n_gpu_layers": len(self.case.layers.thin) - held.layers if held.layers else "all",
            "n_cpu_moe": held.experts,
        }
        if len(held.counts) > 1:
            update["tensor_split"] = tuple(float(count) for count in held.counts)
        return self.case.settings.model_copy(update=update)

    def _holds(self, held: _Held) -> bool:
        """Whether a placement leaves the margin; what it takes beside its layers is kept."""
        case, made = self.case, self.case.made.get(held)
        if made is None:
            made = self._make(held)
            if made.lasting:
                if len(case.made) >= _MADE:
                    case.made.clear()
                case.made[held] = made
        left = left_of(made.totals, made.host, self.space)
        self._note(made)
        margin, ram = case.settings.margin, left[HOST]
        if all((left[d] or 0) >= margin for d in made.used) and ram is not None and ram >= 0:
            case.held = held
            return True
        return False

    def _make(self, held: _Held) -> _Made:
        layers, space = self.case.layers, self.space
        allocation = allocate(self.model, self.settle(held), space.backends, space.free)
        sizes = iter(layers.sizes(held.layers, held.experts))
        devices = range(len(self.room))
        return _Made(
            totals=[allocation.device_total(device) for device in devices],
            used=[device for device in devices if allocation.in_use(device)],
            host=allocation.host_total,
            compute=allocation.compute,
            lies=[sum(next(sizes) for _ in range(count)) for count in held.counts],
            in_ram=layers.in_ram(held.layers, held.experts),
            lasting=allocation.draft is None,
        )

    def _note(self, made: _Made) -> None:
        host, compute = made.host, made.compute
        if host is None or compute is None:
            return
        totals = [total or 0 for total in made.totals]
        shared = sum(total for total, one in zip(totals, self.space.unified, strict=True) if one)
        rest = host + shared - made.in_ram
        self.case.beside = (*(a - b for a, b in zip(totals, made.lies, strict=True)), rest)
        self.smallest = min(self.smallest, *compute.devices)
        self.on_host = min(self.on_host, rest - compute.host * (100 - _CERTAIN) // 100)
