"""Where to put a model: the fewest layers or experts in RAM, and the split over unequal cards.

llama.cpp gives every device a run of neighbouring layers, so a placement is a list of borders. The
fastest one for decoding reads the most bytes from the fastest memory: the sum over devices of
bytes / bandwidth is least.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.sizing import memory
from advisor.sizing.allocation import (
    Allocation,
    Room,
    allocate,
    flash_attention,
    headrooms,
    room,
)
from advisor.sizing.settings import RunSettings
from advisor.sizing.weights import weight_table

_ALIKE = 0.1
"""Cards whose bandwidths differ by less are filled by free memory, as llama.cpp does."""
_ROUNDS = 4
"""Compute buffers depend on the split that they limit; this many corrections settle it."""


@dataclass(frozen=True, slots=True)
class Load:
    """What there is to place: bytes per layer, the last being the output layer."""

    dense: tuple[int, ...]
    experts: tuple[int, ...]
    context: tuple[int, ...]

    def sizes(self, on_cpu: int, first: int) -> list[int]:
        """Bytes per layer from ``first`` on, with the experts of ``on_cpu`` layers in RAM."""
        return [
            self.dense[il] + self.context[il] + (0 if il < on_cpu else self.experts[il])
            for il in range(first, len(self.dense))
        ]


def load_of(model: Model, settings: RunSettings, backend: str) -> Load | None:
    """The model as a list of layers; None when its context is not known."""
    context = memory.layer_context(model, settings, backend, flash=flash_attention(model, settings))
    if context is None:
        return None
    if not settings.kv_offload:
        context = (0,) * len(context)
    table = weight_table(model, backend, load_mtp=settings.load_mtp)
    return Load(
        dense=(*table.dense, table.output + table.tied),
        experts=(*table.experts, 0),
        context=(*context, 0),
    )


def packs(sizes: Sequence[int], room_for: Sequence[int]) -> bool:
    """Whether runs of neighbouring layers fit into the devices, in order.

    Filling every device as far as it goes is enough to know: what fits in any way fits so too.
    """
    device, used = 0, 0
    for size in sizes:
        while device < len(room_for) and used + size > room_for[device]:
            device, used = device + 1, 0
        if device == len(room_for):
            return False
        used += size
    return True


def split(sizes: Sequence[int], room_for: Sequence[int], cost: Sequence[float]) -> list[int] | None:
    """Layers per device at the least sum of bytes × cost; None when nothing fits.

    Dynamic programming over borders: best[j] after device d is the cheapest way to place the first
    j layers on devices up to d. The run that ends at j may start wherever it still fits, a window
    that only moves forward, so its cheapest start comes from a monotone queue and one device costs
    as many steps as there are layers.
    """
    prefix = [0, *accumulate(sizes)]
    n = len(sizes)
    infinite = float("inf")
    best = [0.0] + [infinite] * n
    starts: list[list[int]] = []
    for capacity, price in zip(room_for, cost, strict=True):
        window: deque[int] = deque()
        after, start = [infinite] * (n + 1), [0] * (n + 1)
        value = [best[i] - price * prefix[i] for i in range(n + 1)]
        for j in range(n + 1):
            while window and value[window[-1]] >= value[j]:
                window.pop()
            window.append(j)
            while prefix[j] - prefix[window[0]] > max(capacity, 0):
                window.popleft()
            after[j] = value[window[0]] + price * prefix[j]
            start[j] = window[0]
        best = after
        starts.append(start)
    if best[n] == infinite:
        return None
    counts: list[int] = []
    end = n
    for start in reversed(starts):
        counts.append(end - start[end])
        end = start[end]
    return counts[::-1]


def _bandwidths(rig: Rig) -> list[float]:
    known = [device.bandwidth_gbs for device in rig.devices if device.bandwidth_gbs]
    slowest = min(known, default=1.0)
    return [device.bandwidth_gbs or slowest for device in rig.devices]


@dataclass
class _Search:
    """One search; settings change from try to try."""

    model: Model
    rig: Rig
    space: Room
    asked: RunSettings

    def __post_init__(self) -> None:
        self.bandwidths = _bandwidths(self.rig)
        self.devices = range(len(self.rig.devices))
        self.n_layers = 1 + (self.model.hp.n_layer_all if self.model.hp else 0)

    def settle(self, n_gpu: int, on_cpu: int, shares: Sequence[float] = ()) -> RunSettings:
        """The asked settings with numbers put in."""
        update: dict[str, object] = {
            "n_gpu_layers": "all" if n_gpu >= self.n_layers else n_gpu,
            "n_cpu_moe": on_cpu,
        }
        if shares:
            update["tensor_split"] = tuple(float(share) for share in shares)
        return self.asked.model_copy(update=update)

    def allocation(self, settings: RunSettings) -> Allocation:
        """Exact bytes of a try."""
        return allocate(self.model, settings, self.space.backends, self.space.free)

    def comfortable(self, settings: RunSettings) -> bool:
        """Whether every device keeps the wanted margin."""
        allocation = self.allocation(settings)
        left = headrooms(allocation, self.space)[:-1]
        placed = allocation.placement.layer_device
        return all(
            value is not None and value >= self.asked.margin
            for device, value in enumerate(left)
            if device in placed
        )

    def overheads(self, settings: RunSettings) -> list[int]:
        """Bytes per device that are neither weights nor context: buffers, driver, margin."""
        allocation = self.allocation(settings)
        compute = allocation.compute
        table = weight_table(self.model, self.space.backends[0], load_mtp=self.asked.load_mtp)
        highest = max(compute.devices, default=0) if compute else 0
        return [
            (compute.devices[d] or highest if compute else 0)
            + (self.space.driver[d] or 0)
            + table.repeated
            + self.asked.margin
            for d in self.devices
        ]

    def by_hand(self, load: Load, n_gpu: int, on_cpu: int) -> RunSettings | None:
        """The cheapest borders for so many layers on devices, checked against the exact bytes."""
        sizes = load.sizes(on_cpu, self.n_layers - n_gpu)
        cost = [1 / bandwidth for bandwidth in self.bandwidths]
        taken = self.overheads(self.settle(n_gpu, on_cpu))
        for _ in range(_ROUNDS):
            room_for = [(self.space.free[d] or 0) - taken[d] for d in self.devices]
            counts = split(sizes, room_for, cost)
            if counts is None:
                return None
            settings = self.settle(n_gpu, on_cpu, counts)
            left = headrooms(self.allocation(settings), self.space)[:-1]
            short = [
                max(0, self.asked.margin - value) if value is not None and counts[d] else 0
                for d, value in enumerate(left)
            ]
            if not any(short):
                return settings
            taken = [a + b for a, b in zip(taken, short, strict=True)]
        return None

    def attempt(self, load: Load, n_gpu: int, on_cpu: int) -> RunSettings | None:
        """Settings for so many layers on devices and experts in RAM, if they fit."""
        alike = max(self.bandwidths) <= min(self.bandwidths) * (1 + _ALIKE)
        usual = self.settle(n_gpu, on_cpu)
        single = len(self.devices) == 1 or self.asked.split_mode == "none"
        fixed = bool(self.asked.tensor_split) or self.asked.split_mode != "layer"
        if single or alike or fixed:
            if self.comfortable(usual):
                return usual
            if single or fixed:
                return None
        return self.by_hand(load, n_gpu, on_cpu)

    def fewest(self, load: Load, top: int, tries: "_Tries") -> RunSettings | None:
        """The first of ``top`` + 1 ever smaller loads that fits, by halving."""
        found = tries(load, top)
        if found is None:
            return None
        low, high = 0, top
        while low < high:
            middle = (low + high) // 2
            settings = tries(load, middle)
            if settings is None:
                low = middle + 1
            else:
                found, high = settings, middle
        return found


class _Tries:
    """Ways of taking ``step`` more from the devices."""

    def __init__(self, search: _Search, *, experts: bool, on_cpu: int) -> None:
        self.search, self.experts, self.on_cpu = search, experts, on_cpu

    def __call__(self, load: Load, step: int) -> RunSettings | None:
        n_layers = self.search.n_layers
        if self.experts:
            asked = self.search.asked.n_gpu_layers
            n_gpu = asked if isinstance(asked, int) else n_layers
            return self.search.attempt(load, n_gpu, step)
        if step >= n_layers:
            return self.search.settle(0, self.on_cpu)
        return self.search.attempt(load, n_layers - step, self.on_cpu)


def solve(model: Model, rig: Rig, settings: RunSettings) -> RunSettings:
    """Replace "fit" by numbers: the fastest placement among those that leave the margin.

    Experts go to RAM before whole layers do: a token reads few of them. Where nothing fits with the
    margin the result is the least that devices can hold, and the plan says that it does not fit.
    """
    wants_layers = settings.n_gpu_layers == "fit"
    wants_experts = settings.n_cpu_moe == "fit"
    if not wants_layers and not wants_experts:
        return settings
    n_blocks = model.hp.n_layer_all if model.hp else 0
    has_experts = model.hp is not None and model.hp.n_expert > 0
    plain = settings.model_copy(
        update={
            "n_gpu_layers": "all" if wants_layers else settings.n_gpu_layers,
            "n_cpu_moe": 0 if wants_experts else settings.n_cpu_moe,
        }
    )
    space = room(rig)
    load = None
    if space.backends:
        load = load_of(model, plain, space.backends[0])
    if load is None or any(free is None for free in space.free):
        return plain
    search = _Search(model, rig, space, plain)
    asked_experts = settings.n_cpu_moe
    on_cpu = n_blocks if asked_experts == "all" else asked_experts if asked_experts != "fit" else 0
    if wants_experts and has_experts:
        found = search.fewest(load, n_blocks, _Tries(search, experts=True, on_cpu=0))
        if found is not None:
            return found
        on_cpu = n_blocks
        if not wants_layers:
            return search.settle(search.n_layers, on_cpu)
    if not wants_layers:
        return plain
    found = search.fewest(load, search.n_layers, _Tries(search, experts=False, on_cpu=on_cpu))
    return found or search.settle(0, on_cpu)
