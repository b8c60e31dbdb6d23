"""The search for the best placement of one model, with its caches where the settings say.

Every placement is a triple: whole layers in RAM, layers whose experts are in RAM, borders between
devices. Per triple the time is a sum over layers, so ``borders`` finds the best borders exactly,
and a bound (no placement is faster than one without limits of memory) says which pairs of layers
and experts cannot win. Compute buffers follow from a placement and not the other way round: the
search starts with the smallest that were seen, asks for the exact bytes of what it found, and goes
on with what it learnt until its answer holds. Then it looks for a faster one that larger buffers
than its own ruled out, with the smallest that were seen and the exact ones of every run it tried.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import inf

import numpy as np
from numpy.typing import NDArray

from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.sizing.allocation import Allocation, Room, allocate
from advisor.sizing.borders import NO_RUN, Bytes, Floats, cheapest, packs
from advisor.sizing.calibration import Calibration
from advisor.sizing.layer_bytes import LayerBytes
from advisor.sizing.layer_costs import goal_settings, layer_costs, weights_of
from advisor.sizing.overrides import Targets
from advisor.sizing.placement import HOST, Placement, layer_devices
from advisor.sizing.settings import RunSettings
from advisor.sizing.speed import predict
from advisor.sizing.tables import PerModel
from advisor.sizing.verdict import headrooms
from advisor.sizing.weights import moved_weights, weight_table

ALIKE = 0.005
"""llama.cpp's own split is kept where a better one saves less of the time."""
_ROUNDS = 16
"""Exact answers that one search may ask for; two to four are usual."""
_LOOKS = 32
"""Exact answers that the search for a faster placement may ask for; none or one is usual."""
_DOUBT = 8 << 20
"""Bytes by which a buffer may be smaller than the smallest that was seen of its role."""
_LAST_RESORT = 1e9
"""Seconds: what has no known speed is taken where nothing else fits."""
LAST, FIRST, BEGINS = 3, 6, 12
"""Added to the role of a run that holds the output layer, lies on the first device, which gets a
copy of what a batch needs from RAM, or begins behind RAM on another device. The rest of a role says
how many of the run's experts are away: 0 none, 1 some, 2 all. Compute buffers differ by role."""


def goal_seconds(
    model: Model,
    rig: Rig,
    settings: RunSettings,
    placement: Placement,
    calibration: Calibration | None = None,
) -> float | None:
    """What the goal wants least of; None where the speed is not known."""
    judged = goal_settings(settings)
    speed = predict(model, rig, judged, placement, calibration)
    once, prompt = weights_of(rig, judged)
    if speed.decode_tps is None or (prompt and speed.prefill_tps is None):
        return None
    seconds = once / speed.decode_tps.mid
    return seconds + (prompt / speed.prefill_tps.mid if speed.prefill_tps else 0.0)


def _place(number: int, start: int) -> int:
    """The part of a role that says where a run lies."""
    return FIRST if number == 0 else 0 if start else BEGINS


@dataclass(frozen=True, slots=True)
class Answer:
    """One placement: layers in RAM, layers with experts in RAM, layers per device."""

    cost: float
    layers: int
    experts: int
    counts: tuple[int, ...]
    """() for llama.cpp's own split."""


_Run = tuple[int, int, int]
"""Number of a device among those that take part, first layer behind those in RAM, and end."""
_Buffers = dict[tuple[bool, bool], dict[int, int]]
"""Compute buffers that were seen: by layers and experts in RAM, then by a run's role."""


def _none_seen(_model: Model, _key: object) -> _Buffers:
    return {}


_seen: PerModel[tuple[RunSettings, tuple[str, ...]], _Buffers] = PerModel(_none_seen)
"""The smallest of each role. They do not depend on free memory, so that the next search on a like
rig begins with them; it raises its own copy where a placement turns out to need more."""


class Search:
    """One search, with the caches where the settings say."""

    def __init__(
        self,
        model: Model,
        rig: Rig,
        space: Room,
        asked: RunSettings,
        loads: LayerBytes,
        *,
        calibration: Calibration | None,
    ) -> None:
        self.model, self.space, self.asked = model, space, asked
        count = len(rig.devices)
        self.devices = list(range(count))
        if asked.split_mode == "none":
            self.devices = [asked.main_gpu]
        self.n = len(loads.dense)
        self.dense = np.array(loads.dense)
        self.experts = np.array(loads.experts)
        self.context = np.array(loads.context)
        kept = self.context if asked.kv_offload else np.zeros_like(self.context)
        self.thin = self.dense + kept
        self.repeated = weight_table(model, space.backends[0], load_mtp=asked.load_mtp).repeated
        everything = (self.dense + self.experts + self.context).tolist()
        self.costs = layer_costs(model, rig, asked, everything, calibration)
        self.by_hand = (
            len(self.devices) > 1 and asked.split_mode == "layer" and not asked.tensor_split
        )
        self.seen = _seen(model, (asked, space.backends))
        self.buffers: _Buffers = {key: dict(roles) for key, roles in self.seen.items()}
        self.by_others = [0] * count
        """Bytes of tensors that ``-ot`` puts on each device."""
        self.missing = [0] * count
        """Bytes that exact answers found beyond what was learnt, per device."""
        self.exact: dict[tuple[int, int], dict[_Run, int]] = {}
        """Compute buffers of runs that were tried, by layers and experts in RAM."""
        self.copies: dict[tuple[bool, bool], int] = {}
        """The first device's buffer for what a batch needs from RAM while it holds no layer: the
        smallest seen of a kind, where the answer is not to be looked at closely."""
        self.copied: dict[tuple[int, int], int] = {}
        """The same by layers and experts in RAM, exact."""
        self.hopeful = False
        """Whether buffers count as the smallest of their role, or as the largest."""
        self._by_role: dict[tuple[bool, bool], Bytes] = {}
        self._room: list[int] | None = None
        self._numbers = np.arange(self.n)
        self._backwards = np.triu(np.ones((self.n + 1, self.n + 1), dtype=np.bool_))
        """Runs that end before they begin."""
        self.host_rest = 0
        """Bytes on the host that do not depend on the placement."""
        self.bound, self.kept, self.ram = self._tables()
        on_host = Placement(layer_device=(HOST,) * self.n)
        alone = goal_seconds(model, rig, asked, on_host, calibration)
        self.alone = _LAST_RESORT if alone is None else alone
        """The cost of everything in RAM, where prompts are computed and not copied."""

    def put_by_hand(self, targets: Targets) -> None:
        """Leave room for tensors that ``-ot`` puts on devices; they cost the same everywhere."""
        moved = moved_weights(
            self.model, self.space.backends, targets, load_mtp=self.asked.load_mtp
        )
        self.by_others = list(moved)

    # --- What a run of layers needs ---------------------------------------------------------

    def _sizes(self, layers: int, experts: int) -> tuple[Bytes, NDArray[np.bool_]]:
        """Bytes of every layer behind ``layers`` on its device, and whose experts are away."""
        away = self._numbers[layers:] < experts
        return self.thin[layers:] + np.where(away, 0, self.experts[layers:]), away

    def _roles(self, layers: int, experts: int) -> NDArray[np.int64]:
        """At [j, i] the role of a run, but for where it lies."""
        has = self.experts[layers:] > 0
        away = (self._numbers[layers:] < experts) & has
        gone, all_ = (np.concatenate(([0], np.cumsum(part))) for part in (away, has))
        moved, held = gone[:, None] - gone, all_[:, None] - all_
        roles = np.where(moved <= 0, 0, np.where(moved == held, 2, 1))
        roles[-1, :] += LAST
        return roles

    def _table(self, layers: int, experts: int) -> Bytes:
        """Compute buffers by role, as far as they are known."""
        kind = (layers > 0, experts > layers)
        table = self._by_role.get(kind)
        if table is None:
            table = self._by_role[kind] = self._known_table(kind)
        return table

    def _known_table(self, kind: tuple[bool, bool]) -> Bytes:
        buffers = self.seen if self.hopeful else self.buffers
        known = buffers.get(kind, {})
        if self.hopeful:
            known = {role: max(size - _DOUBT, 0) for role, size in known.items()}
        highest = max(known.values(), default=0)
        # A role that was never seen counts as the largest one with as many experts away, or in
        # hope as nothing.
        alike = [
            max((v for r, v in known.items() if r % LAST == a), default=highest) for a in range(3)
        ]
        if self.hopeful:
            alike = [0, 0, 0]
        sizes = [known.get(role, alike[role % LAST]) for role in range(BEGINS + FIRST)]
        return np.array(sizes, dtype=np.int64)

    def need(self, layers: int, experts: int) -> list[Bytes]:
        """What every run of layers behind ``layers`` takes, buffers included, by device."""
        sizes, _away = self._sizes(layers, experts)
        total = np.concatenate(([0], np.cumsum(sizes)))
        roles, table = self._roles(layers, experts), self._table(layers, experts)
        found: list[Bytes] = []
        others = roles.copy()
        others[:, 0] += BEGINS
        for role in (roles + FIRST, others):
            need = total[:, None] - total + table[role] + self.repeated
            need[self._backwards[: len(need), : len(need)]] = NO_RUN
            found.append(need)
        needs = [found[0], *[found[1]] * (len(self.devices) - 1)]
        tried = self.exact.get((layers, experts), {}) if self.hopeful else {}
        for number in {number for number, _start, _end in tried}:
            needs[number] = needs[number].copy()
        for (number, start, end), size in tried.items():
            needs[number][end, start] = total[end] - total[start] + size + self.repeated
        return needs

    def room(self) -> list[int]:
        """Bytes that runs may take on every device that takes part."""
        if self._room is None:
            self._room = self._known_room()
        return self._room

    def _known_room(self) -> list[int]:
        return [
            (self.space.free[d] or 0)
            - (self.space.driver[d] or 0)
            - self.asked.margin
            - self.by_others[d]
            - (0 if self.hopeful else self.missing[d])
            for d in self.devices
        ]

    # --- What it costs ----------------------------------------------------------------------

    def _tables(self) -> tuple[Floats, Bytes, Bytes]:
        """For [layers, experts] in RAM: a time that no placement beats, bytes that stay on devices
        and bytes that lie in RAM.
        """
        costs, n = self.costs, self.n
        away = costs.thin[self.devices].min(axis=0) + costs.experts
        here = costs.whole[self.devices].min(axis=0)
        host, thin, whole, rest, parts, context = (
            np.concatenate(([0], np.cumsum(part)))
            for part in (costs.host, away, here, self.thin, self.experts, self.context)
        )
        layers, experts = np.ogrid[: n + 1, :n]
        border = np.maximum(layers, experts)
        bound = host[layers] + (thin[border] - thin[layers]) + (whole[n] - whole[border])
        kept = rest[n] - rest[layers] + parts[n] - parts[border]
        dense = np.concatenate(([0], np.cumsum(self.dense)))
        caches = context[layers] if self.asked.kv_offload else context[n]
        ram = dense[layers] + parts[border] + caches + 0 * border
        return bound + (costs.step + costs.once) * (layers < n), kept, ram

    def usual(self, layers: int) -> tuple[int, ...]:
        """Layers per device as llama.cpp or the given shares split them."""
        free = [float(self.space.free[d] or 0) for d in self.devices]
        shares = free
        if self.asked.tensor_split and self.asked.split_mode != "none":
            shares = [*self.asked.tensor_split, *([0.0] * len(free))][: len(free)]
        placed = layer_devices(self.n - 1, self.n - layers, tuple(self.devices), tuple(shares))
        return tuple(placed.count(device) for device in self.devices)

    def _given(self, counts: Sequence[int], layers: int, experts: int) -> float | None:
        """The cost of given borders; None where they do not fit."""
        sizes, away = self._sizes(layers, experts)
        roles, table = self._roles(layers, experts), self._table(layers, experts)
        costs = self._costs_of(layers, away)
        tried = self.exact.get((layers, experts), {}) if self.hopeful else {}
        total = 0.0
        for number, (end, space) in enumerate(zip(accumulate(counts), self.room(), strict=True)):
            start = end - counts[number]
            if start == end:
                continue
            role = int(roles[end, start]) + _place(number, start)
            buffer = tried.get((number, start, end), int(table[role]))
            if int(sizes[start:end].sum()) + buffer + self.repeated > space:
                return None
            total += float(costs[number, start:end].sum()) + self.costs.step
        return total

    def _costs_of(self, layers: int, away: NDArray[np.bool_]) -> Floats:
        """Per device and layer behind ``layers``."""
        whole, thin = self.costs.whole[self.devices], self.costs.thin[self.devices]
        return np.where(away, thin[:, layers:], whole[:, layers:])

    def _copies_fit(self, layers: int, experts: int) -> bool:
        """Whether the first device can hold what is copied to it, as far as that is known."""
        copied = self.copied.get((layers, experts), 0)
        if not self.hopeful:
            copied = max(copied, self.copies.get((layers > 0, experts > layers), 0))
        return copied <= self.room()[0]

    def cut(self, layers: int, experts: int) -> Answer | None:
        """The best borders for what lies in RAM; None where nothing fits."""
        ram = float(self.costs.host[:layers].sum())
        ram += float(self.costs.experts[layers : max(experts, layers)].sum())
        if not self._copies_fit(layers, experts):
            return None
        if layers == self.n:
            return Answer(self.alone, layers, experts, ())
        ram += self.costs.once
        if not self.by_hand:
            plain = self._given(self.usual(layers), layers, experts)
            return None if plain is None else Answer(ram + plain, layers, experts, ())
        sizes, away = self._sizes(layers, experts)
        least = int(self._table(layers, experts).min()) + self.repeated
        room = self.room()
        found = None
        if packs(sizes, [space - least for space in room]):
            need, costs = self.need(layers, experts), self._costs_of(layers, away)
            found = cheapest(need, room, costs, self.costs.step)
        if found is None:
            return None
        plain = self._given(self.usual(layers), layers, experts)
        if plain is not None and ram + plain <= (ram + found[0]) * (1 + ALIKE):
            return Answer(ram + plain, layers, experts, ())
        return Answer(ram + found[0], layers, experts, found[1])

    # --- The search -------------------------------------------------------------------------

    def propose(
        self,
        layers: Sequence[int],
        experts: Sequence[int],
        *,
        ram: int | None,
        below: float = inf,
    ) -> Answer | None:
        """The cheapest placement as far as buffers are known, if it costs less than ``below``.

        Best first: the pair that may be fastest is cut first, and once no other pair may be faster
        than the best cut, it is proven.
        """
        self._by_role, self._room = {}, None
        where = np.ix_(layers, experts)
        bound = self.bound[where].copy()
        bound[self.kept[where] > self._largest(layers, experts)] = inf
        if ram is not None:
            bound[self.ram[where] > ram] = inf
        # Experts of layers that are in RAM anyway change nothing.
        spare = np.array(experts)[None, 1:] <= np.array(layers)[:, None]
        bound[:, 1:][spare] = inf
        best: Answer | None = None
        flat = bound.ravel()
        for place in np.argsort(flat, kind="stable"):
            if flat[place] >= (below if best is None else best.cost):
                break
            line, column = divmod(int(place), len(experts))
            answer = self.cut(layers[line], experts[column])
            if answer is not None and answer.cost < (below if best is None else best.cost):
                best = answer
        return best

    def _largest(self, layers: Sequence[int], experts: Sequence[int]) -> Floats:
        """Bytes of layers that all devices can hold at most, beside the smallest buffers."""
        space = self.room()
        most = np.empty((2, 2))
        for some, away in ((False, False), (False, True), (True, False), (True, True)):
            table = self._table(int(some), int(some) + int(away))
            elsewhere = min(table[:FIRST].min(), table[BEGINS:].min())
            least = (table[FIRST:BEGINS].min(), *[elsewhere] * (len(space) - 1))
            most[int(some), int(away)] = sum(
                max(value - buffer - self.repeated, 0)
                for value, buffer in zip(space, least, strict=True)
            )
        behind = np.array(experts)[None, :] > np.array(layers)[:, None]
        return most[(np.array(layers) > 0).astype(int)[:, None], behind.astype(int)]

    def settle(self, answer: Answer) -> RunSettings:
        """The asked settings with numbers put in."""
        update: dict[str, object] = {
            "n_gpu_layers": "all" if not answer.layers else self.n - answer.layers,
            "n_cpu_moe": answer.experts,
        }
        if answer.counts:
            update["tensor_split"] = tuple(float(count) for count in answer.counts)
        return self.asked.model_copy(update=update)

    def solve(
        self, layers: Sequence[int], experts: Sequence[int], *, limited: bool = True
    ) -> RunSettings | None:
        """The best placement whose exact bytes leave the margin; None where there is none.

        ``limited``: by the RAM there is.
        """
        known = self.space.host is not None and limited
        self.hopeful = False
        for _ in range(_ROUNDS):
            answer = self.propose(layers, experts, ram=self._ram(known=known))
            if answer is None or self._holds(answer, limited=known):
                break
        else:
            answer = None
        answer = self._faster(answer, layers, experts, known=known)
        return None if answer is None else self.settle(answer)

    def _ram(self, *, known: bool) -> int | None:
        return (self.space.host or 0) - self.host_rest if known else None

    def _holds(self, answer: Answer, *, limited: bool) -> bool:
        """Whether a placement keeps the margin, by its exact bytes."""
        settings = self.settle(answer)
        allocation = allocate(self.model, settings, self.space.backends, self.space.free)
        return self._learn(answer, allocation, limited=limited)

    def _faster(
        self, best: Answer | None, layers: Sequence[int], experts: Sequence[int], *, known: bool
    ) -> Answer | None:
        """A placement that the largest buffers of their roles ruled out and exact ones do not."""
        self.hopeful = True
        for _ in range(_LOOKS):
            below = inf if best is None else best.cost / (1 + ALIKE)
            answer = self.propose(layers, experts, ram=self._ram(known=known), below=below)
            if answer is None:
                break
            if self._holds(answer, limited=known):
                best = answer
        return best

    def _learn(self, answer: Answer, allocation: Allocation, *, limited: bool) -> bool:
        """Whether the margin is kept; what was wrong about buffers is known from now on."""
        left = headrooms(allocation, self.space)
        used = {d for d in range(len(self.space.free)) if allocation.in_use(d)}
        short = {d: self.asked.margin - (left[d] or 0) for d in used}
        keeps = all(value <= 0 for value in short.values())
        ram = left[HOST]
        if limited and ram is not None and ram < 0:
            keeps = False
            held = int(self.ram[answer.layers, answer.experts])
            rest = (self.space.host or 0) - ram - held
            self.host_rest = max(rest, self.host_rest + 1)
        changed = self._note(answer, allocation)
        if keeps:
            return True
        if not changed:
            for device, lacking in short.items():
                self.missing[device] += max(lacking, 0)
        return False

    def _note(self, answer: Answer, allocation: Allocation) -> bool:
        """Keep the buffers of a placement; whether one is larger than was known."""
        compute = allocation.compute
        if compute is None:
            return False
        kind = (answer.layers > 0, answer.experts > answer.layers)
        counts = answer.counts or self.usual(answer.layers)
        changed = False
        copied = compute.devices[self.devices[0]]
        if copied and not counts[0]:
            changed = self.copies.get(kind, copied + 1) > copied
            self.copies[kind] = min(self.copies.get(kind, copied), copied)
            self.copied[answer.layers, answer.experts] = copied
        if answer.layers == self.n:
            return changed
        known, seen = (table.setdefault(kind, {}) for table in (self.buffers, self.seen))
        tried = self.exact.setdefault((answer.layers, answer.experts), {})
        roles = self._roles(answer.layers, answer.experts)
        for number, (end, count) in enumerate(zip(accumulate(counts), counts, strict=True)):
            if not count:
                continue
            size = compute.devices[self.devices[number]]
            tried[number, end - count, end] = size
            role = int(roles[end, end - count]) + _place(number, end - count)
            seen[role] = min(seen.get(role, size), size)
            changed |= known.get(role, -1) < size
            known[role] = max(known.get(role, size), size)
        return changed
