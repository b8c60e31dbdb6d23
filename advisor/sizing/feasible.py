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
from advisor.sizing.layer_bytes import LayerBytes, layer_bytes
from advisor.sizing.placement import HOST
from advisor.sizing.settings import RunSettings
from advisor.sizing.tables import PerModel
from advisor.sizing.verdict import headrooms

_BALANCED = 2
"""Placements to look at between the limits: the first tells how large the buffers are."""
_FILLED = 4
"""Placements to look at where RAM takes all it can."""
_RAM_SHARE = 0.3
"""Of what is left over, as much stays in RAM: layers round on devices, not in RAM."""
_CERTAIN = 75
"""Percent of the smallest compute buffers of any placement that was tried: none has less."""
_ROOMS = 8
"""How many rooms that were too little are kept."""
_ENDLESS = 1 << 62


def held_by(model: Model, settings: RunSettings, space: Room) -> RunSettings | None:
    """A placement with a part in RAM that leaves the margin; None where none was found.

    ``settings`` leave layers and experts open.
    """
    trial = _trial(model, settings, space, (0,) * (len(space.free) + 1))
    if trial is None or not trial.fits() or trial.memory.held is None:
        return None
    return trial.settle(trial.memory.held)


def holds(model: Model, settings: RunSettings, space: Room, beside: tuple[int, ...]) -> bool | None:
    """Whether a part in RAM makes it fit; None where that was neither found nor ruled out.

    None too where everything may stay on the devices. ``beside``: about what a run takes beside its
    layers on every device and, last, on the host.
    """
    trial = _trial(model, settings, space, beside)
    if trial is None or trial.may_stay():
        return None
    if trial.fits():
        return True
    known = any(space.within(other) for other in trial.memory.too_little)
    return False if known or trial.never_fits() else None


def learn(
    model: Model, settings: RunSettings, space: Room, found: Allocation, *, fits: bool
) -> None:
    """Keep what the search for the fastest placement found where ``holds`` had no answer.

    ``found``: its placement. Free memory changes all the time and placements seldom: the next time
    the placement itself tells, and less memory than was too little is too little.
    """
    trial = _trial(model, settings, space, (0,) * (len(space.free) + 1))
    if trial is None:
        return
    if fits:
        trial.memory.held = _held_in(found)
    else:
        others = [other for other in trial.memory.too_little if not other.within(space)]
        trial.memory.too_little = [*others, space][-_ROOMS:]


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


def _make_layers(model: Model, key: tuple[RunSettings, str]) -> _Layers | None:
    settings, backend = key
    loads = layer_bytes(model, settings, backend)
    return None if loads is None else _Layers(loads, kept=settings.kv_offload)


_layers = PerModel(_make_layers)


@dataclass(slots=True)
class _Memory:
    """What is remembered of a model under some settings, whatever is free."""

    beside: tuple[int, ...] = ()
    """What the last placement took beside its layers, per device and on the host."""
    held: _Held | None = None
    """The last placement that left the margin."""
    made: dict[_Held, Allocation] = field(default_factory=dict[_Held, Allocation])
    """Its bytes, which do not depend on what is free but where a draft model takes the rest."""
    too_little: "list[Room]" = field(default_factory=list["Room"])
    """Where no placement was found, though none was proof of that."""


_memories: PerModel[tuple[RunSettings, tuple[str, ...]], _Memory] = PerModel(
    lambda _model, _key: _Memory()
)


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
    model: Model, settings: RunSettings, space: Room, beside: tuple[int, ...]
) -> "_Trial | None":
    """None where only the solver knows, which may choose more than layers and experts."""
    if settings.fit_kv or settings.override_tensor or settings.tensor_split:
        return None
    if settings.n_gpu_layers != "fit" or settings.n_cpu_moe != "fit":
        return None
    if settings.split_mode != "layer" or space.host is None or not space.backends:
        return None
    layers = _layers(model, (settings, space.backends[0]))
    free = [value for value in space.free if value is not None]
    if layers is None or len(free) < len(space.free):
        return None
    room = [
        value - (driver or 0) - settings.margin
        for value, driver in zip(free, space.driver, strict=True)
    ]
    memory = _memories(model, (settings, space.backends))
    memory.beside = memory.beside or beside
    return _Trial(model, settings, space, layers, room, space.host, memory)


@dataclass(slots=True)
class _Trial:
    """A few placements of one model, tried with exact bytes."""

    model: Model
    settings: RunSettings
    space: Room
    layers: _Layers
    room: list[int]
    """Bytes per device, the margin left."""
    ram: int
    memory: _Memory
    smallest: int = _ENDLESS
    """Of the compute buffers of devices."""
    on_host: int = _ENDLESS
    """The least that lies on the host whatever moves there."""

    def may_stay(self) -> bool:
        """Whether everything may stay on the devices, as far as the buffers of one try tell."""
        sizes = self.layers.sizes(0, 0)
        if _filled(sizes, self.room) is None:
            return False
        self._holds(_Held(0, 0, _shared_out(sizes, self.room)))
        return _filled(sizes, self.at_best()) is not None

    def at_best(self) -> list[int]:
        """Room for layers beside the least that buffers may take."""
        return [value - self.smallest * _CERTAIN // 100 for value in self.room]

    def fits(self) -> bool:
        """Whether a placement was found that leaves the margin."""
        held = self.memory.held
        if held is not None and self._holds(held):
            return True
        return self._looks(self._balanced, _BALANCED) or self._looks(self._crammed, _FILLED)

    def _looks(self, propose: "Callable[[list[int], int], Iterator[_Held]]", times: int) -> bool:
        """Try what is proposed for the room that the last placement showed, until it repeats."""
        tried: set[_Held] = set()
        for _ in range(times):
            beside = self.memory.beside
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
            layers, experts = self.layers.step(self.layers.total - sum(room), ram)
            counts = _shared_out(self.layers.sizes(layers, experts), room)
            yield _Held(layers, experts, counts)

    def _crammed(self, room: list[int], ram: int) -> "Iterator[_Held]":
        for layers, experts in self.layers.least(ram, sum(max(value, 0) for value in room)):
            counts = _filled(self.layers.sizes(layers, experts), room)
            if counts is not None:
                yield _Held(layers, experts, counts)

    def never_fits(self) -> bool:
        """Whether no placement fits even with smaller buffers than any that was tried.

        With as much in RAM as it holds, every device is filled in turn.
        """
        ram = self.ram - self.on_host
        if self.on_host == _ENDLESS or self.layers.total <= ram:
            return False
        return next(self._crammed(self.at_best(), ram), None) is None

    def settle(self, held: _Held) -> RunSettings:
        """The asked settings with numbers put in."""
        update: dict[str, object] = {
            "n_gpu_layers": len(self.layers.thin) - held.layers if held.layers else "all",
            "n_cpu_moe": held.experts,
        }
        if len(held.counts) > 1:
            update["tensor_split"] = tuple(float(count) for count in held.counts)
        return self.settings.model_copy(update=update)

    def _holds(self, held: _Held) -> bool:
        """Whether a placement leaves the margin; what it takes beside its layers is kept."""
        allocation = self.memory.made.get(held)
        if allocation is None:
            settings = self.settle(held)
            allocation = allocate(self.model, settings, self.space.backends, self.space.free)
        left = headrooms(allocation, self.space)
        self._note(held, allocation)
        used = (d for d in range(len(self.room)) if allocation.in_use(d))
        keeps = all((left[d] or 0) >= self.settings.margin for d in used)
        ram = left[HOST]
        if keeps and ram is not None and ram >= 0:
            self.memory.held = held
            self.memory.made = {held: allocation} if allocation.draft is None else {}
            return True
        return False

    def _note(self, held: _Held, allocation: Allocation) -> None:
        host, compute = allocation.host_total, allocation.compute
        totals = [allocation.device_total(device) or 0 for device in range(len(self.room))]
        if host is None or compute is None:
            return
        sizes = iter(self.layers.sizes(held.layers, held.experts))
        lies = [sum(next(sizes) for _ in range(count)) for count in held.counts]
        shared = sum(total for total, one in zip(totals, self.space.unified, strict=True) if one)
        rest = host + shared - self.layers.in_ram(held.layers, held.experts)
        self.memory.beside = (*(a - b for a, b in zip(totals, lies, strict=True)), rest)
        self.smallest = min(self.smallest, *compute.devices)
        self.on_host = min(self.on_host, rest - compute.host * (100 - _CERTAIN) // 100)
