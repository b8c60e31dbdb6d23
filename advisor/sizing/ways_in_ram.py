"""Ways out of red cells by RAM: a part of the model there, of a smaller file too, or more of it."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.llm.quality import model_loss
from advisor.sizing.plan import Plan, Verdict
from advisor.sizing.settings import FIT
from advisor.sizing.solver import least_seconds
from advisor.sizing.ways_bounds import least_loaded
from advisor.sizing.ways_files import lost, smaller
from advisor.sizing.ways_out import WHOLE, Case, Change, free
from advisor.sizing.weights import weight_table
from advisor.units import GIB, rate

_KEPT_SPEED = 0.02
"""A run that keeps less of its speed is no way out."""
_RAM_TIMES = (2, 4)
"""Multiples of the RAM that are tried."""
_OFFLOAD: frozenset[Verdict] = frozenset({"offload"})
_CLOSE = 1.05
"""Costs of layers leave out what depends on a placement as a whole."""


def _in_ram(case: Case, plan: Plan) -> str:
    """What a plan keeps in RAM, in words."""
    experts, layers = plan.settings.n_cpu_moe, plan.settings.n_gpu_layers
    if layers == "all":
        return f"the experts of {experts} layers" if experts else "some layers"
    held = sum(len(device.layers) for device in plan.devices)
    total = 1 + (case.model.hp.n_layer_all if case.model.hp else held)
    more = int(experts) - (total - held) if isinstance(experts, int) else 0
    also = f" and the experts of {more} more" if more > 0 else ""
    return f"{total - held} of {total} layers{also}"


def _may_use_ram(case: Case, now: Plan) -> bool:
    return (
        bool(case.rig.devices)
        and case.settings.n_gpu_layers in {"all", "fit"}
        and now.verdict in {"no", "offload"}
    )


def _slower(now: Plan, plan: Plan) -> tuple[float, str] | None:
    """How much a part in RAM takes away, and in words; None where next to nothing is left."""
    before, after = now.speed.decode_tps, plan.speed.decode_tps
    if before is None or after is None:
        return 3.0, "Slower; how much is not known."
    kept = after.mid / before.mid
    if kept < _KEPT_SPEED:
        return None
    if kept >= 1:
        return 0.5, f"It decodes {rate(after.mid)}."
    return 0.5 + math.log2(1 / kept), (
        f"Decoding falls to {rate(after.mid)}; with everything on devices it would be "
        f"{rate(before.mid)}."
    )


def _hopeless(case: Case, model: Model, rig: Rig | None = None) -> bool:
    """Whether no placement with a part in RAM fits, or none is fast enough."""
    asked = case.settings.model_copy(
        # As quick as with the context empty, which is what a plan tells of.
        update={"goal": "decode", "depth": max(case.settings.depth, 1), **WHOLE}
    )
    if asked.fit_kv or asked.spec_type != "none" or model.draft is not None:
        return False
    machine = rig or case.rig
    loaded = weight_table(model, "cpu", load_mtp=asked.load_mtp)
    if sum(loaded.dense) + sum(loaded.experts) > free(machine):
        return True
    seconds = least_seconds(model, machine, asked, case.buffer, case.known_of(rig))
    slowest = math.inf if case.least_tps is None else 1 / case.least_tps
    return seconds == math.inf or seconds > slowest * _CLOSE


def ram(case: Case, now: Plan) -> Iterator[Change]:
    """Experts or layers in RAM."""
    if not _may_use_ram(case, now) or _hopeless(case, case.model):
        return
    found = _with_ram(case, now, case.model)
    if found is not None:
        plan, away, cost = found
        title = f"Keep {_in_ram(case, plan)} in RAM"
        if change := case.change("ram", title, cost, away, fields=FIT, accept=_OFFLOAD):
            yield change


def _with_ram(case: Case, now: Plan, model: Model) -> tuple[Plan, float, str] | None:
    """The plan of a file with a part in RAM, what it takes away, and that in words."""
    plan = case.plan(FIT, model=model)
    if plan is None or plan.verdict != "offload":
        return None
    if not case.fast(plan):
        case.slow.append(plan)
        return None
    slower = _slower(now, plan)
    return None if slower is None else (plan, *slower)


def smaller_in_ram(case: Case, now: Plan) -> Iterator[Change]:
    """A smaller file with a part in RAM, where RAM does not hold as much of this one."""
    if not _may_use_ram(case, now):
        return
    files = [model for model in smaller(case) if not _hopeless(case, model)]

    def attempt(model: Model) -> Change | None:
        found = _with_ram(case, now, model)
        if found is None:
            return None
        plan, away, cost = found
        return case.change(
            "smaller_in_ram",
            f"Take {model.file_type} and keep {_in_ram(case, plan)} in RAM",
            f"{model_loss(model).sentence} {cost}",
            lost(model) + away,
            model=model,
            fields=FIT,
            accept=_OFFLOAD,
        )

    if change := _first(files, attempt):
        yield change


def _first(files: Sequence[Model], attempt: Callable[[Model], Change | None]) -> Change | None:
    """The first of ever smaller files that is enough; of its neighbour one knows that it is not.

    A search for a placement takes a while, so that halving pays.
    """
    if not files:
        return None
    found = attempt(files[0])
    if found is not None or len(files) == 1:
        return found
    too_large, enough = 0, len(files) - 1
    found = attempt(files[enough])
    while found is not None and enough - too_large > 1:
        middle = (too_large + enough) // 2
        if better := attempt(files[middle]):
            found, enough = better, middle
        else:
            too_large = middle
    return found


def _modules(size: int) -> str:
    """As memory modules are sold: "64 GB" holds 64 GiB, less what the system keeps."""
    return f"{round(size / GIB / 8) * 8 or round(size / GIB)} GB"


def more_ram(case: Case, now: Plan) -> Iterator[Change]:
    """More RAM, for a model or its part that does not fit into what there is."""
    host, devices = case.rig.host, case.rig.devices
    total = host.ram_total
    if total is None or any(device.unified for device in devices) or now.verdict != "no":
        return
    if devices and not _may_use_ram(case, now):
        return
    fields: Mapping[str, object] = FIT if devices else {}
    for times in _RAM_TIMES:
        grown = (times - 1) * total
        more = host.model_copy(
            update={
                "ram_total": total + grown,
                "ram_available": (host.ram_available or total) + grown,
            }
        )
        rig = case.rig.model_copy(update={"hosts": (more, *case.rig.hosts[1:]), "imagined": True})
        if least_loaded(case.model) > free(rig) or (devices and _hopeless(case, case.model, rig)):
            continue
        plan = case.plan(fields, rig=rig)
        if plan is None or plan.verdict == "no":
            continue
        slower = _slower(now, plan)
        if slower is None:
            return
        away, cost = slower
        where = f" and keep {_in_ram(case, plan)} there" if plan.verdict == "offload" else ""
        found = case.change(
            "more_ram",
            f"Put in {_modules(total + grown)} of RAM instead of {_modules(total)}{where}",
            f"Memory modules; the board has to take them. {cost}",
            4.0 + times + away,
            rig=rig,
            fields=fields,
            accept=case.enough | _OFFLOAD,
        )
        if found:
            yield found
            return
