"""One variant on one rig: whether it fits, its speed for the need, and the power it draws."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import accumulate
from typing import Final, TypeVar, cast

from advisor.advice import batching, power
from advisor.advice.costs import LocalRun
from advisor.advice.usage import Usage
from advisor.advice.variants import Variant
from advisor.basis import Basis, Range
from advisor.errors import SettingsError
from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.sizing import memory, size
from advisor.sizing.allocation import Allocation, Room, allocate, room
from advisor.sizing.calibration import Calibration
from advisor.sizing.compute import compute_buffers
from advisor.sizing.layer_bytes import LayerBytes, layer_bytes
from advisor.sizing.placement import HOST, Placement
from advisor.sizing.plan import Plan, Speed, Verdict
from advisor.sizing.settings import RunSettings
from advisor.sizing.solver import solve
from advisor.sizing.speed import predict
from advisor.sizing.verdict import Judgement, headrooms, judged

T = TypeVar("T")

_CACHE_TERMS: Final = ("ead KV cache", "Attention")
"""How ``advisor.sizing.speed`` names what every answer does for its own cache."""
_REMEMBERED: Final = 200_000
"""Answers that are kept, some hundred bytes each."""


@dataclass(frozen=True)
class MeasuredRun:
    """What a probe measured on the rig in question. Speeds in tokens per second."""

    model_id: str
    file_type: str
    kv: str
    decode_tps: float
    prefill_tps: float | None
    device_watts: float | None
    """Of all cards together while tokens were made."""
    source: str
    """``"probe of 2026-11-23 14:05"``."""

    def of(self, variant: Variant) -> bool:
        """Whether this variant was run."""
        model = variant.model
        return (self.model_id.lower(), self.file_type, self.kv) == (
            model.id.lower(),
            model.file_type,
            variant.kv,
        )


Lengths = tuple[int, int, int, Decimal]
"""Of a usage, all that sizes and speeds depend on."""


def lengths(usage: Usage) -> Lengths:
    """Context, prompt, answer and the share of the prompt that repeats."""
    return usage.context, usage.prompt_tokens, usage.output_tokens, usage.cached_share


class Engine:
    """How the engine is asked: settings to start from, and what probes taught about this rig.

    Remembers every answer, so that a usage that differs in volume, prices or rules alone costs
    nothing to time again.
    """

    def __init__(
        self,
        settings: RunSettings,
        calibration: Calibration | None = None,
        measured: Sequence[MeasuredRun] = (),
    ) -> None:
        self.settings, self.calibration, self.measured = settings, calibration, tuple(measured)
        self.buffers: dict[tuple[str, str], int | None] = {}
        """Compute buffer of one card by model and cache type, for rough answers; None is refused
        by llama.cpp."""
        self.loads: dict[tuple[object, ...], Layers | None] = {}
        """Layers to place by variant, context and backend, likewise."""
        self.known: dict[tuple[object, ...], object] = {}
        self._there: Engine | None = None

    def elsewhere(self) -> "Engine":
        """For another rig: nothing was measured there."""
        if self.calibration is None and not self.measured:
            return self
        if self._there is None:
            self._there = Engine(self.settings)
            self._there.buffers, self._there.loads = self.buffers, self.loads
        return self._there

    def once(self, key: tuple[object, ...], work: "Callable[[], T]") -> T:
        """``work``'s answer, worked out the first time that ``key`` is asked for."""
        if key not in self.known:
            if len(self.known) >= _REMEMBERED:
                self.known.clear()
            self.known[key] = work()
        return cast("T", self.known[key])


@dataclass(frozen=True)
class Timed:
    """The outcome. ``run`` is None where speed or power is not known, the notes say why."""

    judgement: Judgement
    ctx: int
    run: LocalRun | None
    ttft_s: Range | None
    notes: tuple[str, ...] = ()
    answer_tps: Range | None = None
    """How fast it answers, known even where ``run`` is not."""
    rough: bool = False
    """Placed by sums over layers, with one compute buffer for all cards."""
    settings: RunSettings | None = None
    """With the placement that was found; None where it is rough or does not fit."""


def timed(variant: Variant, rig: Rig, usage: Usage, engine: Engine) -> Timed | None:
    """Fit and speed of a variant on a rig; None where llama.cpp would refuse the settings.

    Prefill counts from the end of what is cached, decode from the middle of the answer.
    """
    wanted = variant.settings(engine.settings, usage)
    try:
        memory.check(variant.model, wanted)
    except SettingsError:
        return None
    space = room(rig, engine.calibration)
    solved = solve(variant.model, rig, wanted, space)
    allocation = allocate(variant.model, solved, space.backends, space.free)
    judgement = judged(allocation, space, solved.margin)
    if not judgement.fits:
        return Timed(judgement, usage.context, None, None)
    prompt = predict(variant.model, rig, solved, allocation.placement, engine.calibration)
    answer = predict(
        variant.model,
        rig,
        solved.model_copy(update={"depth": _deep(usage)}),
        allocation.placement,
        engine.calibration,
    )
    outcome = _outcome(
        variant,
        rig,
        usage,
        judgement=judgement,
        speed=answer.model_copy(update={"prefill_tps": prompt.prefill_tps}),
        measured=engine.measured,
        slots=_slots(allocation, space, judgement, solved.margin),
    )
    return replace(outcome, settings=solved)


def _slots(allocation: Allocation, space: Room, judgement: Judgement, margin: int) -> int:
    """How often the caches fit where they lie; 1 where a part of the model is in RAM."""
    if judgement.verdict not in {"fits", "tight"} or allocation.context is None:
        return 1
    left = headrooms(allocation, space)
    fit = [
        max(0, (free or 0) - margin) // cache
        for free, cache in zip(left, allocation.context.devices, strict=False)
        if cache
    ]
    if left[-1] is not None and any(space.unified):
        fit.append(max(0, left[-1]) // max(1, sum(allocation.context.devices)))
    return 1 + min(fit, default=0)


def _deep(usage: Usage) -> int:
    """Tokens in the cache in the middle of the answer."""
    return min(usage.prompt_tokens + usage.output_tokens // 2, usage.context - 1)


@dataclass(frozen=True, slots=True)
class Placed:
    """A variant's layers counted into a rig, not timed yet."""

    placement: Placement
    in_ram: int
    """Bytes beside the cards, caches included."""
    weights_in_ram: tuple[int, int]
    """Of them dense weights, and experts."""
    slots: int
    settings: RunSettings


def placed(variant: Variant, rig: Rig, usage: Usage, engine: Engine) -> Placed | Timed | None:
    """Layers counted into the cards by their bytes, with the margin and the compute buffer that one
    card would need; experts go to RAM first, then whole layers.

    An outcome where that is known already: it does not fit, or cannot be counted roughly. None
    where llama.cpp would refuse the settings.
    """
    model = variant.model
    space = room(rig, engine.calibration)
    backend = space.backends[0] if space.backends else "cpu"
    plain = variant.settings(engine.settings, usage, whole=True)
    which = (variant.key, usage.context, backend)
    if which not in engine.loads:
        load = layer_bytes(model, plain, backend)
        engine.loads[which] = None if load is None else Layers(load, context_bytes(model, plain))
    layers = engine.loads[which]
    if layers is None or any(free is None for free in space.free):
        return timed(variant, rig, usage, engine)
    buffer = buffer_of(variant, usage, engine)
    if buffer is None:
        return None
    taken = [buffer + (driver or 0) + plain.margin for driver in space.driver]
    free = [(value or 0) - used for value, used in zip(space.free, taken, strict=True)]
    found = layers.count_in(free)
    if found is None:
        return Timed(Judgement(False, None, "no"), usage.context, None, None, rough=True)
    placement, in_ram = found
    # Beside cards with memory of their own RAM holds the rest; one pool has to hold everything.
    needed = layers.nbytes + sum(taken) if any(space.unified) else in_ram
    if in_ram and (space.host is None or needed > space.host):
        return Timed(Judgement(False, None, "no"), usage.context, None, None, rough=True)
    left = 0.0 if in_ram else sum(free) - layers.nbytes
    slots = 1 + int(left / layers.cache) if layers.cache else 1
    deep = plain.model_copy(update={"depth": _deep(usage)})
    return Placed(placement, in_ram, layers.weights_in_ram(placement), slots, deep)


def roughly(
    variant: Variant,
    rig: Rig,
    usage: Usage,
    engine: Engine,
    counted: Placed | Timed | None = None,
) -> Timed | None:
    """As ``timed``, in a hundredth of the time: no graph is simulated.

    Prefill counts at the depth of the answer, too. ``counted``: what ``placed`` has said.
    """
    found = counted or placed(variant, rig, usage, engine)
    if not isinstance(found, Placed):
        return found
    word: Verdict = "offload" if found.in_ram and rig.devices else "fits"
    outcome = _outcome(
        variant,
        rig,
        usage,
        judgement=Judgement(True, 0, word),
        speed=predict(variant.model, rig, found.settings, found.placement, engine.calibration),
        measured=engine.measured,
        slots=found.slots,
    )
    return replace(outcome, rough=True)


def buffer_of(variant: Variant, usage: Usage, engine: Engine) -> int | None:
    """The compute buffer of one card that holds everything; None where llama.cpp refuses."""
    key = (variant.model.id, f"{variant.kv} {usage.context}")
    if key not in engine.buffers:
        settings = variant.settings(engine.settings, usage, whole=True)
        try:
            memory.check(variant.model, settings)
            engine.buffers[key] = _one_buffer(variant.model, settings)
        except SettingsError:
            engine.buffers[key] = None
    return engine.buffers[key]


def context_bytes(model: Model, settings: RunSettings) -> float:
    """Caches of the wanted context, all on one device; 0 where the rule is not known."""
    layers = model.hp.n_layer_all if model.hp is not None else 0
    placement = Placement(layer_device=(0,) * (layers + 1))
    context = memory.context(model, settings, placement, ("cuda",))
    return 0.0 if context is None else float(sum(context.devices) + context.host)


def _one_buffer(model: Model, settings: RunSettings) -> int:
    layers = model.hp.n_layer_all + 1 if model.hp is not None else 1
    placement = Placement(layer_device=(0,) * layers)
    found = compute_buffers(model, settings, placement, ("cuda",))
    return 0 if found is None else found.devices[0]


class Layers:
    """The layers of a variant, ready to be counted into cards many times."""

    def __init__(self, load: LayerBytes, cache: float = 0.0) -> None:
        self._load = load
        self.cache = cache
        """Bytes of the caches of one context."""
        self.n = len(load.dense)
        self.nbytes = sum(load.sizes(0, 0))
        self._experts = [0, *accumulate(load.experts)]
        """Bytes of the experts of the first so many layers."""
        self._dense = [0, *accumulate(load.dense)]
        self._sums: dict[int, list[int]] = {}

    def weights_in_ram(self, placement: Placement) -> tuple[int, int]:
        """Dense weights and experts that ``count_in`` left in RAM."""
        first = placement.layer_device.count(HOST)
        experts = max((first, *(il + 1 for il in placement.experts_on_host)))
        return self._dense[first], self._experts[experts]

    def _upto(self, experts_out: int) -> list[int]:
        """Bytes of the first so many layers, with so many layers' experts in RAM."""
        if experts_out not in self._sums:
            self._sums[experts_out] = [0, *accumulate(self._load.sizes(experts_out, 0))]
        return self._sums[experts_out]

    def count_in(self, free: Sequence[int]) -> tuple[Placement, int] | None:
        """Layers by device, and bytes left for RAM; None where not even the caches fit."""
        if not free:
            return Placement(layer_device=(HOST,) * self.n), self.nbytes
        experts_out = first = 0
        if self._experts[-1]:
            # Layers are whole, so a sum that fits is needed but not enough.
            room_for = sum(max(0, value) for value in free)
            least = bisect_left(self._experts, self.nbytes - room_for)
            experts_out = bisect_left(
                range(self.n),
                True,
                lo=min(least, self.n),
                key=lambda n: packed(self._upto(n), free)[-1] == self.n,
            )
            experts_out = min(experts_out, self.n - 1)
        sums = self._upto(experts_out)
        if packed(sums, free)[-1] < self.n:
            first = bisect_left(
                range(self.n + 1),
                True,
                lo=1,
                key=lambda n: packed(sums, free, n)[-1] == self.n,
            )
        devices = [HOST] * first
        start = first
        for device, end in enumerate(packed(sums, free, first)):
            devices += [device] * (end - start)
            start = end
        placement = Placement(
            layer_device=tuple(devices), experts_on_host=frozenset(range(first, experts_out))
        )
        return placement, self._experts[experts_out] + sums[first]


def packed(sums: Sequence[int], free: Sequence[int], first: int = 0) -> list[int]:
    """Where each device's run of layers ends when every one is filled as far as it goes.

    ``sums``: bytes of the first so many layers. The last end is the number of layers where all of
    them from ``first`` on fit.
    """
    ends: list[int] = []
    at = first
    for capacity in free:
        at = bisect_right(sums, sums[at] + max(capacity, 0), lo=at) - 1
        ends.append(at)
    return ends


def _outcome(
    variant: Variant,
    rig: Rig,
    usage: Usage,
    *,
    judgement: Judgement,
    speed: Speed,
    measured: Sequence[MeasuredRun],
    slots: int,
) -> Timed:
    decode, prefill, basis = speed.decode_tps, speed.prefill_tps, speed.basis
    watts = power.estimate(rig)
    notes: list[str] = []
    found = next((m for m in measured if m.of(variant)), None)
    if found is not None:
        decode, basis = Range.exactly(found.decode_tps), Basis.MEASURED
        prefill = prefill if found.prefill_tps is None else Range.exactly(found.prefill_tps)
        if found.device_watts is not None:
            watts = power.measured(found.device_watts, rig, source=found.source) or watts
        notes.append(f"speed from the {found.source}")
    if decode is None or prefill is None:
        missing = "speed" if decode is None else "time for a prompt"
        why = (*speed.notes, f"its {missing} is not known")
        return Timed(judgement, usage.context, None, None, why, decode)
    if watts is None:
        unknown = ("its power draw is not known",)
        return Timed(judgement, usage.context, None, None, unknown, decode)
    hp, backend = variant.model.hp, rig.devices[0].backend if rig.devices else "cpu"
    run = LocalRun(
        decode_tps=decode,
        prefill_tps=prefill,
        power=watts,
        basis=basis,
        slots=slots,
        cache_share=_cache_share(speed),
        gains=batching.gains(backend, experts=bool(hp and hp.n_expert)) if slots > 1 else (),
    )
    new = float(usage.new_tokens)
    ttft = Range(
        low=new / prefill.high + 1 / decode.high,
        mid=new / prefill.mid + 1 / decode.mid,
        high=new / prefill.low + 1 / decode.low,
    )
    return Timed(judgement, usage.context, run, ttft, tuple(notes), decode)


def _cache_share(speed: Speed) -> float:
    """Part of a token's time that reading its own cache takes, arithmetic on it included."""
    total = sum(term.seconds for term in speed.decode_terms)
    own = sum(t.seconds for t in speed.decode_terms if t.name.endswith(_CACHE_TERMS))
    return own / total if total else 0.0


def planned(variant: Variant, rig: Rig, usage: Usage, engine: Engine, outcome: Timed) -> Plan:
    """The whole plan of a variant that ``timed`` has sized, for reading and for its command."""
    settings = outcome.settings or variant.settings(engine.settings, usage)
    return size(variant.model, rig, settings, calibration=engine.calibration)
