"""Where to put a model: layers and experts in RAM, the split over unequal cards, and the caches."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from math import inf

from advisor.errors import SettingsError
from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.sizing import refusals
from advisor.sizing.allocation import Room, allocate, is_cut, place_model, room
from advisor.sizing.calibration import Calibration
from advisor.sizing.feasible import held_by
from advisor.sizing.goal import goal_seconds
from advisor.sizing.layer_bytes import layer_bytes
from advisor.sizing.search import Answer, Search
from advisor.sizing.settings import RunSettings
from advisor.sizing.verdict import headrooms

WORTH = 0.10
"""A smaller type of KV cache has to save so much of the time to be chosen."""
_Step = dict[str, object]


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
            refusals.check(model, settings)
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
    plain = settings.model_copy(
        update={
            "n_gpu_layers": "all" if wants_layers else settings.n_gpu_layers,
            "n_cpu_moe": 0 if wants_experts else settings.n_cpu_moe,
        }
    )
    if not space.backends or any(free is None for free in space.free):
        return plain
    given = plain.n_gpu_layers
    layers: Sequence[int] = all_layers
    if not wants_layers:
        layers = [max(0, n_blocks + 1 - given) if isinstance(given, int) and given >= 0 else 0]
    fixed = n_blocks if plain.n_cpu_moe == "all" else plain.n_cpu_moe
    experts: Sequence[int] = [min(int(fixed), n_blocks)]
    if wants_experts:
        experts = all_experts if has_experts else [0]
    if is_cut(plain, space.backends):
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
    """The fastest placement that leaves nothing to RAM and keeps the margin; None where none does.

    ``settings`` are those that ask for everything on devices, whose free memory is known.
    """
    return _whole(model, rig, space, settings, ([0], [0]), calibration=calibration)


def least_seconds(
    model: Model,
    rig: Rig,
    settings: RunSettings,
    buffers: int,
    calibration: Calibration | None = None,
) -> float:
    """Seconds per token that no placement of layers and experts beats; inf where none fits.

    Nothing is sized for it. ``settings`` place everything on devices, ``buffers``: bytes that a run
    takes on them beside its layers at least. 0 where that cannot be told.
    """
    space = room(rig, calibration)
    if not space.backends or None in space.free or is_cut(settings, space.backends):
        return 0.0
    search = _searching(model, rig, space, settings, calibration)
    if search is None or model.hp is None:
        return 0.0
    experts = range(search.n) if model.hp.n_expert else range(1)
    return search.least(range(search.n + 1), experts, buffers)


def _whole(
    model: Model,
    rig: Rig,
    space: Room,
    plain: RunSettings,
    open_: tuple[Sequence[int], Sequence[int]],
    *,
    calibration: Calibration | None,
) -> RunSettings | None:
    """The fastest with the least of ``open_`` in RAM.

    A search of its own: what it learns about full devices would mislead another.
    """
    search = _searching(model, rig, space, plain, calibration)
    return None if search is None else search.solve(open_[0][:1], open_[1][:1])


def _searching(
    model: Model,
    rig: Rig,
    space: Room,
    kind: RunSettings,
    calibration: Calibration | None,
) -> Search | None:
    """A search with the caches as ``kind`` has them; None where the context is not known."""
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
        search = _searching(model, rig, space, kind, calibration)
        if search is None:
            return plain
        if kind is plain:
            answer = _whole(model, rig, space, kind, open_, calibration=calibration)
            if answer is not None:
                return answer
        searches.append(search)
        answer = search.solve(*open_)
        if answer is not None:
            found.append(answer)
    if found:
        return _best(model, rig, found, space, calibration)
    held = held_by(model, asked, space)
    if held is not None:
        return held
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
