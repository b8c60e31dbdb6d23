"""Where to put a model: layers and experts in RAM, the split over unequal cards, and the caches."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from math import inf

from advisor.errors import SettingsError
from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.sizing import memory
from advisor.sizing.allocation import Room, allocate, place_model, room
from advisor.sizing.calibration import Calibration
from advisor.sizing.feasible import held_by
from advisor.sizing.goal import goal_seconds
from advisor.sizing.layer_bytes import layer_bytes
from advisor.sizing.search import Answer, Search
from advisor.sizing.settings import RunSettings
from advisor.sizing.verdict import headrooms, judged

WORTH = 0.10
"""A smaller type of KV cache has to save so much of the time to be chosen."""
_CUTS = frozenset({"row", "tensor"})
_Step = dict[str, object]


def left_open(settings: RunSettings) -> RunSettings | None:
    """The settings that leave to the solver what devices cannot hold; None where nothing is open.

    What nobody asked to lie anywhere may go to RAM; "fit" leaves open as much as it names.
    """
    if "fit" in {settings.n_gpu_layers, settings.n_cpu_moe}:
        return settings
    if settings.n_gpu_layers == "all" and settings.n_cpu_moe == 0:
        return settings.model_copy(update={"n_gpu_layers": "fit", "n_cpu_moe": "fit"})
    return None


def filled(settings: RunSettings) -> RunSettings:
    """With as much on devices as "fit" leaves open."""
    update: _Step = {}
    if settings.n_gpu_layers == "fit":
        update["n_gpu_layers"] = "all"
    if settings.n_cpu_moe == "fit":
        update["n_cpu_moe"] = 0
    return settings.model_copy(update=update) if update else settings


def _exactly(
    model: Model, space: Room, asked: RunSettings, steps: Sequence[_Step]
) -> RunSettings | None:
    """The first of ever smaller demands that leaves the margin, by exact bytes alone."""

    def keeps(step: _Step) -> bool:
        allocation = allocate(model, asked.model_copy(update=step), space.backends, space.free)
        left = headrooms(allocation, space)
        placed = {d for d, size in enumerate(allocation.weights.devices) if size}
        return all((left[d] or 0) >= asked.margin for d in placed)

    place = bisect_left(steps, True, key=keeps)
    return asked.model_copy(update=steps[place]) if place < len(steps) else None


def _kinds(model: Model, asked: RunSettings) -> Iterator[RunSettings]:
    """Other ways to keep the caches that may pay, the least loss first.

    Caches in RAM are tried for decoding only: what they cost a prompt has no basis here.
    """
    if not asked.fit_kv:
        return
    in_ram: list[_Step] = [{"kv_offload": False}] if asked.goal == "decode" else []
    small: _Step = {"ctk": "q8_0", "ctv": "q8_0"}
    ways = [*in_ram]
    if {asked.ctk, asked.ctv} <= {"f16", "bf16", "f32"}:
        ways += [small, *({**small, **way} for way in in_ram)]
    for way in ways:
        settings = asked.model_copy(update=way)
        try:
            memory.check(model, settings)
        except SettingsError:
            continue
        if settings != asked:
            yield settings


def solve(
    model: Model,
    rig: Rig,
    settings: RunSettings,
    space: Room | None = None,
    calibration: Calibration | None = None,
) -> RunSettings:
    """Replace "fit" by numbers: the fastest placement for the goal among those with the margin.

    Where nothing fits with the margin the result is the least that devices can hold, and the plan
    says that it does not fit. ``space``: the rig's memory where it is known better than by
    ``room``.
    """
    if settings.n_gpu_layers != "fit" and settings.n_cpu_moe != "fit":
        return settings
    space = space or room(rig, calibration)
    n_blocks = model.hp.n_layer_all if model.hp else 0
    all_layers, all_experts = range(n_blocks + 2), range(n_blocks + 1)
    has_experts = model.hp is not None and model.hp.n_expert > 0
    wants_layers = settings.n_gpu_layers == "fit"
    wants_experts = settings.n_cpu_moe == "fit"
    plain = filled(settings)
    if not space.backends or any(free is None for free in space.free):
        return plain
    given = plain.n_gpu_layers
    layers: Sequence[int] = all_layers
    if not wants_layers:
        layers = [max(0, n_blocks + 1 - given) if isinstance(given, int) and given >= 0 else 0]
    experts: Sequence[int] = [_away(plain, model)]
    if wants_experts:
        experts = all_experts if has_experts else [0]
    if plain.split_mode in _CUTS:
        return _cut_across(model, space, plain, layers, experts)
    return _search(
        model, rig, space, plain, (layers, experts), asked=settings, calibration=calibration
    )


def on_devices(
    model: Model,
    rig: Rig,
    settings: RunSettings,
    space: Room,
    calibration: Calibration | None = None,
) -> RunSettings | None:
    """The split over the devices that is the fastest with the margin; None where there is none.

    ``settings`` say what lies in RAM. What fits on the devices as asked for loses nothing and is
    taken before ``solve`` looks at RAM.
    """
    search = _begun(model, rig, space, settings, calibration)
    return None if search is None else search.solve([0], [_away(settings, model)])


def _away(settings: RunSettings, model: Model) -> int:
    """Layers whose experts the settings put in RAM."""
    n_blocks = model.hp.n_layer_all if model.hp else 0
    asked = settings.n_cpu_moe
    return n_blocks if asked == "all" else min(int(asked), n_blocks)


def _begun(
    model: Model,
    rig: Rig,
    space: Room,
    kind: RunSettings,
    calibration: Calibration | None,
) -> Search | None:
    """A search that knows nothing of buffers but what others saw; None: layers are not known."""
    targets = place_model(model, kind, space.backends, space.free).overrides
    loads = layer_bytes(model, kind, space.backends[0], targets)
    if loads is None:
        return None
    search = Search(model, rig, space, kind, loads, calibration=calibration)
    search.needs.put_by_hand(targets)
    return search


def _search(
    model: Model,
    rig: Rig,
    space: Room,
    plain: RunSettings,
    open_: tuple[Sequence[int], Sequence[int]],
    *,
    asked: RunSettings,
    calibration: Calibration | None,
) -> RunSettings:
    """The best over the ways to keep the caches. ``open_``: layers and experts that may be in RAM,
    which ``asked`` leaves open.

    What fits on the devices as asked for loses nothing and is taken, whatever RAM promises: beside
    a device that computes, the processor's speed is known by its bandwidth only.
    """
    found: list[RunSettings] = []
    searches: list[Search] = []
    for kind in (plain, *_kinds(model, plain)):
        if kind is plain:
            # A search of its own: what it learns about full devices would mislead the next one.
            whole = _begun(model, rig, space, kind, calibration)
            answer = whole and whole.solve(open_[0][:1], open_[1][:1])
            if answer is not None:
                return answer
        search = _begun(model, rig, space, kind, calibration)
        if search is None:
            return plain
        searches.append(search)
        answer = search.solve(*open_)
        if answer is not None:
            found.append(answer)
    if found:
        return _best(model, rig, found, space, calibration)
    held = held_by(model, asked, space)
    if held is not None:
        return held
    # Better less than the margin than more RAM than there is.
    as_asked = allocate(model, plain, space.backends, space.free)
    if judged(as_asked, space, plain.margin).fits:
        return plain
    least = Answer(inf, open_[0][-1], open_[1][-1], ())
    return searches[0].solve(*open_, limited=False) or searches[0].settle(least)


def _cut_across(
    model: Model,
    space: Room,
    plain: RunSettings,
    layers: Sequence[int],
    experts: Sequence[int],
) -> RunSettings:
    """Matrices cut across devices: experts leave before whole layers do."""
    n = layers[-1]
    fewer: list[_Step] = [{"n_cpu_moe": experts[-1], "n_gpu_layers": n - h} for h in layers[1:]]
    steps: list[_Step] = [*({"n_cpu_moe": k} for k in experts), *fewer]
    found = _exactly(model, space, plain, steps)
    return found or plain.model_copy(update=steps[-1])


def _best(
    model: Model,
    rig: Rig,
    found: Sequence[RunSettings],
    space: Room,
    calibration: Calibration | None,
) -> RunSettings:
    """The fastest, if it is worth what it loses."""
    best, least = found[0], inf
    for settings in found:
        placement = allocate(model, settings, space.backends, space.free).placement
        seconds = goal_seconds(model, rig, settings, placement, calibration)
        if seconds is None:
            continue
        loses = settings.ctk != best.ctk
        if seconds < least * (1 - WORTH if loses else 1):
            best, least = settings, seconds
    return best
