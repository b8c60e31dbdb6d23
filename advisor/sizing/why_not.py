"""Why a run does not fit, and the smallest changes that make it fit, each with what it costs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.sizing import ways_bought as bought
from advisor.sizing import ways_files as files
from advisor.sizing import ways_in_ram
from advisor.sizing import ways_out as ways
from advisor.sizing import ways_split as splits
from advisor.sizing.calibration import Calibration
from advisor.sizing.plan import Plan, Verdict
from advisor.sizing.planner import size
from advisor.sizing.sampling import pace, served_tps
from advisor.sizing.settings import RunSettings
from advisor.sizing.ways_closing import programs, with_programs
from advisor.sizing.ways_out import (
    GREEN,
    NOTHING_INSTEAD,
    Case,
    Change,
    Instead,
    free,
    shares,
)
from advisor.units import rate, tokens
from advisor.units import size as people

SHOWN = 3
_BOUGHT, _ANOTHER = 6.0, 5.0
"""What a further card takes away at least, and what another model mostly does."""
_NAMED = 3
"""As many cards are named one by one."""


@dataclass(frozen=True, slots=True)
class WhyNot:
    """What is missing, and the smallest changes, at most three, no two of a kind.

    Every change was sized: the run after it is green, and fast enough where a speed was asked for.
    """

    missing: str
    changes: tuple[Change, ...]
    nearest: str = ""
    """Where a speed was asked for and little reaches it: the fastest that fits."""
    prompts: tuple[Change, ...] = ()
    """Beside them: what would read prompts faster that wait for copies of weights from RAM."""


def _missing(plan: Plan, rig: Rig) -> str:
    lacking = [d for d in plan.devices if d.headroom is not None and d.headroom < 0]
    short = [f"{d.name} ({d.title}) lacks {people(-(d.headroom or 0))}" for d in lacking]
    if len(lacking) > _NAMED:
        total = sum(-(device.headroom or 0) for device in lacking)
        short = [f"{len(lacking)} of {len(plan.devices)} cards lack {people(total)} together"]
    host = plan.host.headroom
    # Beside a device that shares the RAM, what RAM lacks is the same memory again.
    shared = lacking and any(device.unified for device in rig.devices)
    if host is not None and host < 0 and not shared:
        short.append(f"RAM lacks {people(-host)}")
    return "; ".join(short) + "." if short else ""


def _slow(case: Case, now: Plan) -> str:
    known = now.speed.decode_tps
    if case.least_tps is None or known is None or now.verdict == "no" or case.fast(now):
        return ""
    return f"It would {pace(now.speed, limit=case.least_tps)}; you want {rate(case.least_tps)}."


def _in_all(now: Plan, rig: Rig) -> str:
    """What a run needs of all memories together, where they do not have it."""
    parts = [now.host.total, *(device.total for device in now.devices)]
    if None in parts or not rig.devices:
        return ""
    needed = sum(part or 0 for part in parts)
    if now.verdict != "no" or needed <= free(rig):
        return ""
    return f" It takes {people(needed)} in all; this machine has {people(free(rig))} to give."


def _nearest(case: Case) -> str:
    """The fastest that fits, of what was tried on this rig and is slower than asked for."""
    here = [plan for plan in case.slow if plan.model_id == case.model.id and _is_here(plan, case)]
    best = max(here, key=_speed, default=None)
    if best is None or case.least_tps is None or not _speed(best):
        return ""
    where = " with a part in RAM" if best.verdict == "offload" else ""
    split = best.settings.tensor_split
    if split not in {(), case.settings.tensor_split} and not where:
        where = f" with the layers split by hand (-ts {shares({'tensor_split': split})})"
    return (
        f"The fastest that fits here: {best.file_type}{where} at {tokens(best.settings.ctx)} "
        f"of context, {rate(_speed(best), limit=case.least_tps)} of the {rate(case.least_tps)} you "
        "want."
    )


def _is_here(plan: Plan, case: Case) -> bool:
    names = [device.title for device in plan.devices]
    return names == [device.name for device in case.rig.devices]


def _speed(plan: Plan) -> float:
    known = served_tps(plan.speed)
    return 0.0 if known is None else known.mid


def why_not(
    models: Mapping[str, Model],
    file_type: str,
    rig: Rig,
    settings: RunSettings,
    *,
    calibration: Calibration | None = None,
    least_tps: float | None = None,
    instead: Instead = NOTHING_INSTEAD,
    cancelled: Callable[[], bool] = lambda: False,
    so_far: Callable[[WhyNot], None] = lambda _found: None,
) -> WhyNot:
    """What is missing, and the three smallest changes that turn the run green.

    ``models``: the same model in the file types that may be taken instead. ``least_tps``: a run
    that decodes slower is not green. ``instead``: what could be had. A part in RAM counts as a way
    out, although such a cell is not green. ``cancelled`` is asked before every plan; what was found
    until then comes back. ``so_far`` gets what is known as soon as it is. Raises SettingsError
    where llama.cpp would refuse the run as asked for.
    """
    now = size(models[file_type], rig, settings, calibration=calibration)
    # What fits with little left is helped by nothing that leaves as little.
    enough: frozenset[Verdict] = frozenset({"fits"} if now.verdict == "tight" else GREEN)
    whole = now.settings.n_gpu_layers == "all"
    case = Case(
        models,
        file_type,
        rig,
        settings,
        calibration,
        enough,
        least_tps,
        instead,
        cancelled,
        caches=sum(place.context or 0 for place in (now.host, *now.devices)) if whole else 0,
        buffer=_least_buffer(now) if whole else 0,
    )
    if now.verdict == "fits" and case.fast(now):
        return WhyNot("", ())
    if now.verdict in {"fits", "tight"}:
        case.slow.append(now)
    missing = _missing(now, rig) + _in_all(now, rig) or _slow(case, now)

    def told(found: Sequence[Change]) -> WhyNot:
        nearest = _nearest(case) if len(found) < SHOWN else ""
        return WhyNot(missing, tuple(sorted(found, key=lambda way: way.size)[:SHOWN]), nearest)

    found = _without_search(case, now)
    so_far(told(found))
    for more in chain([_in_ram(case, now, found)], _instead(case, now, found)):
        if more:
            found += more
            so_far(told(found))
    return told(found)


def _without_search(case: Case, now: Plan) -> list[Change]:
    """Changes on this rig that leave everything where it was asked for."""
    split = list(splits.split(case))
    # Where a split is enough alone, no file needs one.
    by_hand = not split
    found = [
        *programs(case),
        *ways.flash(case),
        *split,
        *splits.tensor(case, now),
        *ways.slots(case),
        *ways.kv(case),
        *ways.context(case, now),
        *files.file_types(case, by_hand=by_hand),
    ]
    if not any(way.kind == "kv" for way in found):
        # A smaller cache may leave room for a file that loses less than the one that fits alone.
        alone = [way for way in found if way.kind == "file_type"]
        both = list(files.both(case, by_hand=by_hand))
        if both and all(both[0].size < way.size for way in alone):
            found = [way for way in found if way.kind != "file_type"] + both
    return found or list(with_programs(case))


def _in_ram(case: Case, now: Plan, found: Sequence[Change]) -> list[Change]:
    """A part in RAM, for which a placement has to be searched."""
    ways_out = list(ways_in_ram.ram(case, now))
    if not ways_out and not any(way.kind in {"file_type", "both"} for way in found):
        ways_out += ways_in_ram.smaller_in_ram(case, now)
    return ways_out


def _instead(case: Case, now: Plan, found: Sequence[Change]) -> Iterator[list[Change]]:
    """What has to be bought, and other models, as far as they may be among the smallest.

    ``found`` grows by what comes from here.
    """
    if not _settled(found, _BOUGHT):
        yield list(bought.gpu(case))
        if not any(way.kind == "ram" for way in found):
            yield list(ways_in_ram.more_ram(case, now))
    if not _settled(found, _ANOTHER):
        yield list(bought.siblings(case))
    if len(found) < SHOWN:
        yield list(bought.models(case))
    for way in (bought.cards, bought.machines):
        if len(found) < SHOWN:
            yield list(way(case, found))


def _settled(found: Sequence[Change], size: float) -> bool:
    """Whether nothing that takes away so much can be among the smallest."""
    return sum(way.size <= size for way in found) >= SHOWN


def _least_buffer(now: Plan) -> int:
    """Half of the smallest compute buffer of a device with layers: no run has less on any."""
    return min((device.compute or 0 for device in now.devices if device.layers), default=0) // 2
