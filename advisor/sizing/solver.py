"""Where to put a model: the fewest layers or experts in RAM, and the split over unequal cards.

llama.cpp gives every device a run of neighbouring layers, so a placement is a list of borders. The
fastest one for decoding reads the most bytes from the fastest memory: the sum over devices of
bytes / bandwidth is least.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.sizing import memory, overrides
from advisor.sizing.allocation import Room, allocate, flash_attention, place_model, room
from advisor.sizing.settings import RunSettings
from advisor.sizing.verdict import headrooms
from advisor.sizing.weights import moved_weights, weight_table

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


def load_of(
    model: Model, settings: RunSettings, backend: str, targets: overrides.Targets = ()
) -> Load | None:
    """The model as a list of layers; None when its context is not known.

    Tensors that ``targets`` (``-ot``) put elsewhere are left out.
    """
    context = memory.layer_context(model, settings, backend, flash=flash_attention(model, settings))
    if context is None:
        return None
    if not settings.kv_offload:
        context = (0,) * len(context)
    table = weight_table(model, backend, load_mtp=settings.load_mtp, targets=targets)
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


class _Search:
    """One search for the fewest layers, or layers' experts, that have to stay in RAM.

    Exact bytes come from ``allocate``; between its answers a sum over layers stands in for it,
    corrected by what the last answer said about buffers.
    """

    def __init__(self, model: Model, rig: Rig, space: Room, asked: RunSettings, load: Load) -> None:
        self.model, self.space, self.asked, self.load = model, space, asked, load
        self.bandwidths = _bandwidths(rig)
        self.n_layers = len(load.dense)
        self.devices = range(len(rig.devices))
        if asked.split_mode == "none":
            self.devices = range(asked.main_gpu, asked.main_gpu + 1)
        one = len(self.devices) == 1
        self.by_hand = not one and asked.split_mode == "layer" and not asked.tensor_split
        alike = max(self.bandwidths) <= min(self.bandwidths) * (1 + _ALIKE)
        self.usual = not self.by_hand or alike
        """Whether llama.cpp's own split is good enough where it fits."""

    def settle(self, n_gpu: int, on_cpu: int, counts: Sequence[int] = ()) -> RunSettings:
        """The asked settings with numbers put in."""
        update: dict[str, object] = {
            "n_gpu_layers": "all" if n_gpu >= self.n_layers else n_gpu,
            "n_cpu_moe": on_cpu,
        }
        if counts:
            update["tensor_split"] = tuple(float(count) for count in counts)
        return self.asked.model_copy(update=update)

    def overheads(self, settings: RunSettings) -> tuple[list[int], bool]:
        """Per device, the bytes that are neither layers nor free, and whether all keep the margin.

        Buffers of a device without layers count as those of the fullest: it may get some.
        """
        allocation = allocate(self.model, settings, self.space.backends, self.space.free)
        compute = allocation.compute
        load_mtp, targets = self.asked.load_mtp, allocation.placement.overrides
        table = weight_table(self.model, self.space.backends[0], load_mtp=load_mtp)
        moved = moved_weights(self.model, self.space.backends, targets, load_mtp=load_mtp)
        buffers = compute.devices if compute else (0,) * len(self.space.free)
        highest = max(buffers, default=0)
        taken = [
            (buffers[d] or highest) + (self.space.driver[d] or 0) + table.repeated + moved[d]
            for d in range(len(self.space.free))
        ]
        left = headrooms(allocation, self.space)
        placed = set(allocation.placement.layer_device)
        keeps = all(
            value is not None and value >= self.asked.margin
            for value, device in zip(left, range(len(self.space.free)), strict=False)
            if device in placed
        )
        return taken, keeps

    def room_for(self, taken: Sequence[int]) -> list[int]:
        """Bytes that layers may take on every device."""
        return [
            (self.space.free[d] or 0) - taken[d] - self.asked.margin if d in self.devices else -1
            for d in range(len(self.space.free))
        ]

    def usual_fits(self, n_gpu: int, on_cpu: int, sizes: Sequence[int], space: list[int]) -> bool:
        """Whether the layers fit where llama.cpp would put them by itself."""
        placement = place_model(
            self.model, self.settle(n_gpu, on_cpu), self.space.backends, self.space.free
        )
        used = [0] * len(space)
        for device, size in zip(placement.layer_device[-len(sizes) :], sizes, strict=True):
            used[device] += size
        return all(a <= b for a, b in zip(used, space, strict=True) if a)

    def feasible(self, n_gpu: int, on_cpu: int, taken: Sequence[int]) -> bool:
        """Whether the layers fit in any way that is open to us."""
        if n_gpu <= 0:
            return True
        sizes = self.load.sizes(on_cpu, max(self.n_layers - n_gpu, 0))
        space = self.room_for(taken)
        if self.by_hand:
            return packs(sizes, space)
        return self.usual_fits(n_gpu, on_cpu, sizes, space)

    def borders(self, n_gpu: int, on_cpu: int, taken: Sequence[int]) -> Sequence[int] | None:
        """Layers per device, () for llama.cpp's own split, None where the layers do not fit."""
        if n_gpu <= 0:
            return ()
        sizes = self.load.sizes(on_cpu, max(self.n_layers - n_gpu, 0))
        space = self.room_for(taken)
        if self.usual and self.usual_fits(n_gpu, on_cpu, sizes, space):
            return ()
        if not self.by_hand:
            return None
        return split(sizes, space, [1 / bandwidth for bandwidth in self.bandwidths])

    def exactly(self, n_gpu: int, on_cpu: int, taken: list[int]) -> RunSettings | None:
        """Settings for just this much, their margins checked; None where they cannot be kept."""
        for _ in range(_ROUNDS):
            counts = self.borders(n_gpu, on_cpu, taken)
            if counts is None:
                return None
            settings = self.settle(n_gpu, on_cpu, counts)
            found, keeps = self.overheads(settings)
            if keeps:
                return settings
            taken = [max(a, b) for a, b in zip(found, taken, strict=True)]
        return None

    def fewest(self, top: int, step: Callable[[int], tuple[int, int]]) -> RunSettings | None:
        """The smallest step that leaves the margin; ``step``: its layers on devices and experts
        in RAM. Every step takes less from the devices than the one before.
        """
        taken, _ = self.overheads(self.settle(*step(0)))
        found = self.exactly(*step(0), taken)
        if found is not None:
            return found
        taken, _ = self.overheads(self.settle(*step((top + 1) // 2)))
        low, high, best = 1, top, None
        while low <= high:
            first = bisect_left(
                range(low, high + 1),
                True,
                key=lambda n: self.feasible(*step(n), taken),
            )
            n = low + first
            if n > high:
                return best
            settings = self.exactly(*step(n), taken)
            if settings is None:
                low = n + 1
                continue
            best, high = settings, n - 1
            # The estimate may have been too careful: look again with this step's own buffers.
            lower, _ = self.overheads(settings)
            if lower == taken:
                return best
            taken = lower
        return best


def solve(model: Model, rig: Rig, settings: RunSettings, space: Room | None = None) -> RunSettings:
    """Replace "fit" by numbers: the fastest placement among those that leave the margin.

    Experts go to RAM before whole layers do: a token reads few of them. Where nothing fits with the
    margin the result is the least that devices can hold, and the plan says that it does not fit.
    ``space``: the rig's memory where it is known better than by ``room``.
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
    space = space or room(rig)
    load = None
    if space.backends:
        targets = place_model(model, plain, space.backends, space.free).overrides
        load = load_of(model, plain, space.backends[0], targets)
    if load is None or any(free is None for free in space.free):
        return plain
    search = _Search(model, rig, space, plain, load)
    n_layers = search.n_layers
    on_cpu = n_blocks if settings.n_cpu_moe == "all" else 0
    if isinstance(settings.n_cpu_moe, int):
        on_cpu = settings.n_cpu_moe
    if wants_experts and has_experts:
        given = settings.n_gpu_layers
        n_gpu = given if isinstance(given, int) else n_layers
        found = search.fewest(n_blocks, lambda n: (n_gpu, n))
        if found is not None:
            return found
        on_cpu = n_blocks
        if not wants_layers:
            return search.settle(n_gpu, on_cpu)
    if not wants_layers:
        return plain
    found = search.fewest(n_layers - 1, lambda n: (n_layers - n, on_cpu))
    return found or search.settle(0, on_cpu)
