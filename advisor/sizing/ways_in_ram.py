"""Ways out of red cells by RAM: a part of the model there, of a smaller file too, or more of it."""

import math
from collections.abc import Iterator, Mapping

from advisor.llm.model import Model
from advisor.llm.quality import model_loss
from advisor.sizing.plan import Plan, Verdict
from advisor.sizing.speed_sums import model_sums
from advisor.sizing.ways_out import FIT, Case, Change, free, lost, smaller
from advisor.units import GIB, rate

_KEPT_SPEED = 0.02
"""A run that keeps less of its speed is no way out."""
_RAM_TIMES = (2, 4)
"""Multiples of the RAM that are tried."""
_OFFLOAD: frozenset[Verdict] = frozenset({"offload"})


def _in_ram(case: Case, plan: Plan) -> str:
    """What a plan keeps in RAM, in words."""
    experts, layers = plan.settings.n_cpu_moe, plan.settings.n_gpu_layers
    if layers == "all":
        return f"the experts of {experts} layers" if experts else "some layers"
    held = sum(len(device.layers) for device in plan.devices)
    total = 1 + (case.model.hp.n_layer_all if case.model.hp else held)
    return f"{total - held} of {total} layers"


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


def _too_slow(case: Case, model: Model) -> bool:
    """Whether RAM at its data-sheet bandwidth reads too slowly what devices cannot hold anyway."""
    known, bandwidth = model_sums(model), case.rig.host.ram_bandwidth_gbs
    if case.least_tps is None or known is None or bandwidth is None:
        return False
    looked_up = sum(t.nbytes for t in model.tensors if t.name.endswith("token_embd.weight"))
    held = sum(device.memory_free or 0 for device in case.rig.devices)
    used = known.n_expert_used / known.n_expert if known.n_expert else 1.0
    return (model.nbytes - looked_up - held) * used * case.least_tps > bandwidth * 1e9


def ram(case: Case, now: Plan) -> Iterator[Change]:
    """Experts or layers in RAM."""
    if not _may_use_ram(case, now) or case.model.nbytes > free(case.rig):
        return
    if _too_slow(case, case.model):
        return
    plan = case.plan(FIT)
    slower = None if plan is None or plan.verdict != "offload" else _slower(now, plan)
    if plan is None or slower is None:
        return
    away, cost = slower
    title = f"Keep {_in_ram(case, plan)} in RAM"
    if found := case.change("ram", title, cost, away, fields=FIT, accept=_OFFLOAD):
        yield found


def smaller_in_ram(case: Case, now: Plan) -> Iterator[Change]:
    """A smaller file with a part in RAM, where RAM does not hold as much of this one."""
    if not _may_use_ram(case, now):
        return
    for model in smaller(case):
        if model.nbytes > free(case.rig) or _too_slow(case, model):
            continue
        plan = case.plan(FIT, model=model)
        slower = None if plan is None or plan.verdict != "offload" else _slower(now, plan)
        if plan is None or slower is None:
            continue
        away, cost = slower
        found = case.change(
            "smaller_in_ram",
            f"Take {model.file_type} and keep {_in_ram(case, plan)} in RAM",
            f"{model_loss(model).sentence} {cost}",
            lost(model) + away,
            model=model,
            fields=FIT,
            accept=_OFFLOAD,
        )
        if found:
            yield found
            return


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
        if case.model.nbytes > free(rig):
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
