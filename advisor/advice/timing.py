"""One variant on one rig: whether it fits, its speed for the need, and the power it draws."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from advisor.advice import batching, power
from advisor.advice.engine import Engine, MeasuredRun, lengths
from advisor.advice.layers import Layers
from advisor.advice.serving import Apart, LocalRun, Server
from advisor.advice.usage import Usage
from advisor.advice.variants import Variant
from advisor.basis import Basis, Range
from advisor.errors import SettingsError
from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.sizing import memory, refusals, sampling, size
from advisor.sizing.allocation import Allocation, Room, allocate, room
from advisor.sizing.compute import compute_buffers
from advisor.sizing.layer_bytes import layer_bytes
from advisor.sizing.other_splits import unlike
from advisor.sizing.placement import HOST, Placement
from advisor.sizing.plan import Plan, Speed, Verdict
from advisor.sizing.planner import device_names
from advisor.sizing.settings import RunSettings
from advisor.sizing.solver import solve
from advisor.sizing.speed import predict
from advisor.sizing.verdict import Judgement, headrooms, judged

_CACHE_TERMS: Final = ("ead KV cache", "Attention")
"""How ``advisor.sizing.speed`` names what every answer does for its own cache."""
_LONG_PROMPT: Final = 16_384
"""New tokens up to which it matters little at which depth they are read."""


@dataclass(frozen=True)
class Timed:
    """The outcome. ``run`` is None where a speed is not known, the notes say why."""

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
        refusals.check(variant.model, wanted)
    except SettingsError:
        return None
    space = room(rig, engine.calibration)
    solved = solve(variant.model, rig, wanted, space, engine.calibration)
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
    return _with_servers(replace(outcome, settings=solved), (variant, rig, usage, engine), timed)


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
    card would need; experts go to RAM first, then whole layers. Faster cards are filled first, as
    the solver does.

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
    found = _counted_in(layers, rig, free)
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


def _counted_in(layers: Layers, rig: Rig, free: Sequence[int]) -> tuple[Placement, int] | None:
    """``Layers.count_in`` with the fastest of unlike cards first; llama.cpp keeps their order."""
    if not unlike(rig):
        return layers.count_in(free)
    order = sorted(range(len(free)), key=lambda d: -(rig.devices[d].bandwidth_gbs or 0.0))
    found = layers.count_in([free[d] for d in order])
    if found is None:
        return None
    placement, in_ram = found
    first = placement.layer_device.count(HOST)
    on_cards = sorted(order[place] for place in placement.layer_device[first:])
    return replace(placement, layer_device=(HOST,) * first + tuple(on_cards)), in_ram


def roughly(
    variant: Variant,
    rig: Rig,
    usage: Usage,
    engine: Engine,
    counted: Placed | Timed | None = None,
) -> Timed | None:
    """As ``timed``, in a hundredth of the time: no graph is simulated.

    A short prompt counts at the depth of the answer, too. ``counted``: what ``placed`` has said.
    """
    found = counted or placed(variant, rig, usage, engine)
    if not isinstance(found, Placed):
        return found
    word: Verdict = "offload" if found.in_ram and rig.devices else "fits"
    speed = predict(variant.model, rig, found.settings, found.placement, engine.calibration)
    new = int(usage.new_tokens)
    if new > _LONG_PROMPT:
        # Most of it is read before the cache is as long as that.
        begun = found.settings.model_copy(update={"depth": usage.prompt_tokens - new})
        prompt = predict(variant.model, rig, begun, found.placement, engine.calibration)
        speed = speed.model_copy(update={"prefill_tps": prompt.prefill_tps})
    outcome = _outcome(
        variant,
        rig,
        usage,
        judgement=Judgement(True, 0, word),
        speed=speed,
        measured=engine.measured,
        slots=found.slots,
    )
    return _with_servers(replace(outcome, rough=True), (variant, rig, usage, engine), roughly)


def _with_servers(outcome: Timed, asked: tuple[Variant, Rig, Usage, Engine], how: "How") -> Timed:
    """Also with a server on every card that holds the variant alone, where that is several."""
    _, rig, _, _ = asked
    if outcome.run is None or len(rig.devices) < 2 or len(rig.hosts) > 1:
        return outcome
    names = device_names(rig.devices)
    found = {
        place: Server(names[place], one)
        for place in range(len(rig.devices))
        if (one := _alone(asked, place, how)) is not None
    }
    if len(found) < 2:
        return outcome
    watts = power.estimate(rig, working=frozenset(found))
    return replace(outcome, run=replace(outcome.run, apart=Apart(tuple(found.values()), watts)))


How = Callable[[Variant, Rig, Usage, Engine], Timed | None]


def _alone(asked: tuple[Variant, Rig, Usage, Engine], place: int, how: How) -> LocalRun | None:
    """How one card of a rig answers that holds the whole variant; None where it does not."""
    variant, rig, usage, engine = asked
    device, apart = rig.devices[place], engine.of_one_card(place)
    dense, _, experts = variant.bytes_read
    if dense + experts > (device.memory_free or 0):
        return None
    card = (device.table_id or device.name, device.memory_total, device.memory_used, device.pcie)
    host = rig.host.ram_total, rig.host.ram_bandwidth_gbs, rig.host.ram_read_gbs
    key = ("alone", how.__name__, card, host, variant.key, lengths(usage))

    def work() -> LocalRun | None:
        outcome = how(variant, on_one_card(rig, place), usage, apart)
        if outcome is None or outcome.judgement.verdict not in {"fits", "tight"}:
            return None
        return outcome.run

    return apart.once(key, work)


def on_one_card(rig: Rig, place: int) -> Rig:
    """The rig as a server sees it that is given one of its cards."""
    return rig.model_copy(update={"devices": rig.devices[place : place + 1]})


def planned_apart(
    variant: Variant, rig: Rig, usage: Usage, engine: Engine, outcome: Timed
) -> Plan | None:
    """The plan of one of the servers, on the card with the least room; None without any."""
    apart = outcome.run.apart if outcome.run is not None else None
    if apart is None:
        return None
    names = device_names(rig.devices)
    places = [names.index(server.device) for server in apart.servers]
    least = min(places, key=lambda place: rig.devices[place].memory_free or 0)
    settings = variant.settings(engine.settings, usage, whole=True)
    calibration = engine.of_one_card(least).calibration
    return size(variant.model, on_one_card(rig, least), settings, calibration=calibration)


def buffer_of(variant: Variant, usage: Usage, engine: Engine) -> int | None:
    """The compute buffer of one card that holds everything; None where llama.cpp refuses."""
    key = (variant.model.id, f"{variant.kv} {usage.context}")
    if key not in engine.buffers:
        settings = variant.settings(engine.settings, usage, whole=True)
        try:
            refusals.check(variant.model, settings)
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
    more = speed.sampling_s
    decode, prefill, basis = sampling.served_tps(speed), speed.prefill_tps, speed.basis
    watts = power.estimate(rig)
    notes: list[str] = []
    found = next((m for m in measured if m.of(variant)), None)
    if found is not None:
        decode, basis = Range.exactly(found.decode_tps), Basis.MEASURED
        decode = decode if found.served else sampling.served(decode, more)
        prefill = prefill if found.prefill_tps is None else Range.exactly(found.prefill_tps)
        if found.device_watts is not None:
            watts = power.measured(found.device_watts, rig, source=found.source)
        notes.append(f"speed from the {found.source}")
    if decode is None or prefill is None:
        missing = "speed" if decode is None else "time for a prompt"
        why = (*speed.notes, f"its {missing} is not known")
        return Timed(judgement, usage.context, None, None, why, decode)
    hp, kind = variant.model.hp, batching.kind(rig.devices)
    run = LocalRun(
        decode_tps=decode,
        prefill_tps=prefill,
        power=watts,
        basis=basis,
        sampling_s=more,
        slots=slots,
        cache_share=_cache_share(speed),
        gains=batching.gains(kind, experts=bool(hp and hp.n_expert)) if slots > 1 else (),
    )
    if apart := sampling.on_a_bench(decode, more):
        notes.append(apart)
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
