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

from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.sizing.allocation import Allocation, Room, allocate, place_model
from advisor.sizing.borders import Bytes, Floats, cheapest
from advisor.sizing.calibration import Calibration
from advisor.sizing.goal import goal_seconds
from advisor.sizing.layer_bytes import LayerBytes
from advisor.sizing.layer_costs import layer_costs
from advisor.sizing.pipeline import Pipeline
from advisor.sizing.placement import HOST, Placement
from advisor.sizing.search_needs import Needs
from advisor.sizing.settings import RunSettings
from advisor.sizing.verdict import headrooms

ALIKE = 0.005
"""llama.cpp's own split is kept where a better one saves less of the time."""
_ROUNDS = 16
"""Exact answers that one search may ask for; two to four are usual."""
_LOOKS = 32
"""Exact answers that the search for a faster placement may ask for; none or one is usual."""
_LAST_RESORT = 1e9
"""Seconds: what has no known speed is taken where nothing else fits."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One placement: layers in RAM, layers with experts in RAM, layers per device."""

    cost: float
    layers: int
    experts: int
    counts: tuple[int, ...]
    """() for llama.cpp's own split."""


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
        self.needs = needs = Needs(model, space, asked, loads)
        self.devices, self.n = needs.devices, needs.n
        everything = (needs.dense + needs.experts + needs.context).tolist()
        self.costs = layer_costs(model, rig, asked, everything, calibration)
        self.steps = self.costs.steps.on(self.devices)
        self.by_hand = (
            len(self.devices) > 1 and asked.split_mode == "layer" and not asked.tensor_split
        )
        self.pipeline: Pipeline | None = None
        """With everything on devices, where they read a prompt in a pipeline."""
        whole = place_model(model, asked, space.backends, space.free)
        if self.by_hand and self.costs.prompt is not None and whole.n_copies > 1:
            self.pipeline = Pipeline(self.costs.prompt[self.devices], self.costs.pipeline)
        self.host_rest = {False: 0, True: 0}
        """Bytes on the host that do not depend on the placement: with everything on devices, where
        llama.cpp may keep copies for a pipeline, and with a part in RAM, which ends that.
        """
        self.bound, self.kept, self.ram = self._tables()
        on_host = Placement(layer_device=(HOST,) * self.n)
        alone = goal_seconds(model, rig, asked, on_host, calibration)
        self.alone = _LAST_RESORT if alone is None else alone
        """The cost of everything in RAM, where prompts are computed and not copied."""

    def _tables(self) -> tuple[Floats, Bytes, Bytes]:
        """For [layers, experts] in RAM: a time that no placement beats, bytes that stay on devices
        and bytes that lie in RAM.
        """
        costs, needs, n = self.costs, self.needs, self.n
        away = costs.thin[self.devices].min(axis=0) + costs.experts
        here = costs.whole[self.devices].min(axis=0)
        host, thin, whole, rest, parts, context = (
            np.concatenate(([0], np.cumsum(part)))
            for part in (costs.host, away, here, needs.thin, needs.experts, needs.context)
        )
        layers, experts = np.ogrid[: n + 1, :n]
        border = np.maximum(layers, experts)
        bound = host[layers] + (thin[border] - thin[layers]) + (whole[n] - whole[border])
        kept = rest[n] - rest[layers] + parts[n] - parts[border]
        dense = np.concatenate(([0], np.cumsum(needs.dense)))
        caches = context[layers] if self.asked.kv_offload else context[n]
        ram = dense[layers] + parts[border] + caches + 0 * border
        if self.pipeline is not None:
            bound[0, 0] -= self.pipeline.most()
        apart, devices = self._apart(kept)
        steps = self.steps.least(devices)
        return bound + apart + (steps + costs.once) * (layers < n), kept, ram

    def _apart(self, kept: Bytes) -> tuple[Floats, Bytes]:
        """What no placement of so many bytes avoids beside the fastest time of every layer: the
        seconds that slower devices add, since the fastest hold no more than their room, and how
        many devices there are at least.
        """
        costs, needs = self.costs, self.needs
        room = np.maximum(needs.room(), 0)
        times = np.array([costs.thin[self.devices], costs.whole[self.devices]])
        sizes = np.array([needs.thin, needs.thin + needs.experts])
        slower = times - times.min(axis=1, keepdims=True)
        each = (slower / np.maximum(sizes, 1)[:, None]).min(axis=(0, 2))
        order = each.argsort()
        ends = np.concatenate(([0], np.cumsum(room[order])))
        seconds = np.concatenate(([0.0], np.cumsum((room * each)[order])))
        largest = np.cumsum(np.sort(room)[::-1])
        return np.interp(kept, ends, seconds), np.searchsorted(largest, kept) + 1

    def _given(self, counts: Sequence[int], layers: int, experts: int) -> float | None:
        """The cost of given borders; None where they do not fit."""
        if not self.needs.fits(counts, layers, experts):
            return None
        costs, total = self._costs_of(layers, experts), 0.0
        for number, (end, count) in enumerate(zip(accumulate(counts), counts, strict=True)):
            total += float(costs[number, end - count : end].sum())
        return total + self.steps.total(counts) - self._saved(counts, layers, experts)

    def _saved(self, counts: Sequence[int], layers: int, experts: int) -> float:
        """What a pipeline saves of the cost."""
        piped = self.pipeline if not layers and not experts else None
        return 0.0 if piped is None else piped.saved(counts)

    def _costs_of(self, layers: int, experts: int) -> Floats:
        """Per device and layer behind ``layers``."""
        _sizes, away = self.needs.sizes(layers, experts)
        whole, thin = self.costs.whole[self.devices], self.costs.thin[self.devices]
        return np.where(away, thin[:, layers:], whole[:, layers:])

    def cut(self, layers: int, experts: int) -> Answer | None:
        """The best borders for what lies in RAM; None where nothing fits."""
        ram = float(self.costs.host[:layers].sum())
        ram += float(self.costs.experts[layers : max(experts, layers)].sum())
        if not self.needs.copies_fit(layers, experts):
            return None
        if layers == self.n:
            return Answer(self.alone, layers, experts, ())
        ram += self.costs.once
        if not self.by_hand:
            plain = self._given(self.needs.usual(layers), layers, experts)
            return None if plain is None else Answer(ram + plain, layers, experts, ())
        found = None
        if self.needs.may_fit(layers, experts):
            need, costs = self.needs.need(layers, experts), self._costs_of(layers, experts)
            piped = self.pipeline if not layers and not experts else None
            search = cheapest if piped is None else piped.cheapest
            found = search(need, self.needs.room(), costs, self.steps)
        if found is None:
            return None
        plain = self._given(self.needs.usual(layers), layers, experts)
        if plain is not None and ram + plain <= (ram + found[0]) * (1 + ALIKE):
            return Answer(ram + plain, layers, experts, ())
        return Answer(ram + found[0], layers, experts, found[1])

    def propose(
        self,
        layers: Sequence[int],
        experts: Sequence[int],
        *,
        ram: int | None,
        below: float = inf,
    ) -> Answer | None:
        """The cheapest placement as far as buffers are known, if it costs less than ``below``.

        ``ram``: bytes that RAM holds; None: no limit.

        Best first: the pair that may be fastest is cut first, and once no other pair may be faster
        than the best cut, it is proven.
        """
        self.needs.forget()
        where = np.ix_(layers, experts)
        bound = self.bound[where].copy()
        bound[self.kept[where] > self.needs.largest(layers, experts)] = inf
        if ram is not None:
            rest = np.full(bound.shape, self.host_rest[True])
            if not layers[0] and not experts[0]:
                rest[0, 0] = self.host_rest[False]
            bound[self.ram[where] + rest > ram] = inf
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

    def least(self, layers: Sequence[int], experts: Sequence[int], buffers: int) -> float:
        """A time that no placement beats; inf where none fits beside so many bytes of ``buffers``.

        Nothing is sized for it: bytes of layers against all memory, and the time each layer takes
        where it is fastest.
        """
        where = np.ix_(layers, experts)
        rooms = self.needs.largest(layers, experts)
        held = self.kept[where] <= np.maximum(rooms - buffers, 0)
        if self.space.host is not None:
            held &= self.ram[where] <= self.space.host
        bound = self.bound[where].copy()
        bound[~held] = inf
        if layers[-1] == self.n:
            bound[-1] = np.where(held[-1], min(self.alone, float(bound[-1].min())), inf)
        return float(bound.min())

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
        self.needs.hopeful = False
        for _ in range(_ROUNDS):
            answer = self.propose(layers, experts, ram=self._ram(known=known))
            if answer is None or self._holds(answer, limited=known):
                break
        else:
            answer = None
        answer = self._faster(answer, layers, experts, known=known)
        return None if answer is None else self.settle(answer)

    def _ram(self, *, known: bool) -> int | None:
        return (self.space.host or 0) if known else None

    def _holds(self, answer: Answer, *, limited: bool) -> bool:
        """Whether a placement keeps the margin, by its exact bytes."""
        settings = self.settle(answer)
        allocation = allocate(self.model, settings, self.space.backends, self.space.free)
        return self._learn(answer, allocation, limited=limited)

    def _faster(
        self, best: Answer | None, layers: Sequence[int], experts: Sequence[int], *, known: bool
    ) -> Answer | None:
        """A placement that the largest buffers of their roles ruled out and exact ones do not."""
        self.needs.hopeful = True
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
            part = bool(answer.layers or answer.experts)
            self.host_rest[part] = max(rest, self.host_rest[part] + 1)
        changed = self._noted(answer, allocation)
        if keeps:
            return True
        if not changed:
            for device, lacking in short.items():
                self.needs.missing[device] += max(lacking, 0)
        return False

    def _noted(self, answer: Answer, allocation: Allocation) -> bool:
        """Whether a buffer turned out to be larger than was known."""
        compute = allocation.compute
        return compute is not None and self.needs.note(
            answer.layers, answer.experts, answer.counts, compute
        )
