"""Why a run does not fit, and the smallest changes that make it fit, each with what it costs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from advisor.hardware.rig import Device, Rig
from advisor.llm.model import Model
from advisor.sizing import ways_in_ram
from advisor.sizing import ways_out as ways
from advisor.sizing.calibration import Calibration
from advisor.sizing.plan import Plan, Verdict
from advisor.sizing.planner import size
from advisor.sizing.settings import RunSettings
from advisor.sizing.ways_out import GREEN, Case, Change
from advisor.units import rate
from advisor.units import size as people

SHOWN = 3
_NAMED = 3
"""As many cards are named one by one."""


@dataclass(frozen=True, slots=True)
class WhyNot:
    """What is missing, and the smallest changes, at most three, no two of a kind.

    Every change was sized: the run after it is green, and fast enough where a speed was asked for.
    """

    missing: str
    changes: tuple[Change, ...]


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
    if case.least_tps is None or known is None or now.verdict == "no":
        return ""
    return f"It would decode {rate(known.mid)}; you want {rate(case.least_tps)}."


def why_not(
    models: Mapping[str, Model],
    file_type: str,
    rig: Rig,
    settings: RunSettings,
    *,
    calibration: Calibration | None = None,
    least_tps: float | None = None,
    cards: Sequence[Device] = (),
    cancelled: Callable[[], bool] = lambda: False,
) -> WhyNot:
    """What is missing, and the three smallest changes that turn the run green.

    ``models``: the same model in the file types that may be taken instead. ``least_tps``: a run
    that decodes slower is not green. ``cards``: those that could be had, cheapest first. A part in
    RAM counts as a way out, although such a cell is not green. ``cancelled`` is asked before every
    plan; what was found until then comes back. Raises SettingsError where llama.cpp
    would refuse the run as asked for.
    """
    now = size(models[file_type], rig, settings, calibration=calibration)
    # What fits with little left is helped by nothing that leaves as little.
    enough: frozenset[Verdict] = frozenset({"fits"} if now.verdict == "tight" else GREEN)
    whole = now.settings.n_gpu_layers == "all"
    caches = sum(device.context or 0 for device in now.devices) if whole else 0
    case = Case(
        models, file_type, rig, settings, calibration, enough, least_tps, cards, cancelled, caches
    )
    if now.verdict == "fits" and case.fast(now):
        return WhyNot("", ())
    found = [
        *ways.programs(case),
        *ways.flash(case),
        *ways.split(case),
        *ways.tensor(case, now),
        *ways.slots(case),
        *ways.kv(case),
        *ways.context(case, now),
        *ways.file_types(case),
        *ways_in_ram.ram(case, now),
        *ways.gpu(case),
    ]
    kinds = {way.kind for way in found}
    if "kv" not in kinds:
        # A smaller cache may leave room for a file that loses less than the one that fits alone.
        alone = [way for way in found if way.kind == "file_type"]
        both = list(ways.both(case))
        if both and all(both[0].size < way.size for way in alone):
            found = [way for way in found if way.kind != "file_type"] + both
    if "ram" not in kinds:
        if not {"file_type", "both"} & {way.kind for way in found}:
            found += ways_in_ram.smaller_in_ram(case, now)
        found += ways_in_ram.more_ram(case, now)
    if "gpu" not in kinds and len(found) < SHOWN:
        found += ways.card(case)
    missing = _missing(now, rig) or _slow(case, now)
    return WhyNot(missing, tuple(sorted(found, key=lambda way: way.size)[:SHOWN]))
