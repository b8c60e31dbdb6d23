"""Why a run does not fit, and the smallest changes that make it fit, each with what it costs."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from advisor.errors import SettingsError
from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.llm.quality import kv_loss, model_loss
from advisor.sizing.calibration import Calibration
from advisor.sizing.plan import Plan, Verdict
from advisor.sizing.planner import size
from advisor.sizing.settings import RunSettings
from advisor.units import rate, tokens
from advisor.units import size as people

Kind = Literal["programs", "flash", "slots", "kv", "context", "file_type", "ram", "gpu"]

SHOWN = 3
_USABLE_CONTEXT = 4096
"""A context below it is not offered as a way out."""
_GREEN: frozenset[Verdict] = frozenset({"fits", "tight"})
_KEPT_SPEED = 0.02
"""A run that keeps less of its speed is no way out."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change and what it leads to. The run after it is ``plan``, with these choices."""

    kind: Kind
    title: str
    """What to do."""
    cost: str
    """What it costs in quality, speed, context or money, in a sentence."""
    size: float
    """How much it takes away; the smallest come first."""
    file_type: str
    rig: Rig
    plan: Plan


@dataclass(frozen=True, slots=True)
class WhyNot:
    """What is missing, and the smallest changes, at most three, no two of a kind."""

    missing: str
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class _Case:
    models: Mapping[str, Model]
    file_type: str
    rig: Rig
    settings: RunSettings
    calibration: Calibration | None
    enough: frozenset[Verdict]
    """Verdicts that a change has to lead to."""

    def green(self, plan: Plan | None) -> bool:
        """Whether the run after a change is a way out."""
        return plan is not None and plan.verdict in self.enough

    @property
    def model(self) -> Model:
        return self.models[self.file_type]

    def plan(
        self,
        *,
        model: Model | None = None,
        rig: Rig | None = None,
        **update: object,
    ) -> Plan | None:
        """The plan after a change; None where llama.cpp would refuse it."""
        settings = self.settings.model_copy(update=update)
        try:
            return size(
                model or self.model, rig or self.rig, settings, calibration=self.calibration
            )
        except SettingsError:
            return None


def _missing(plan: Plan) -> str:
    short = [
        f"{device.name} ({device.title}) lacks {people(-device.headroom)}"
        for device in plan.devices
        if device.headroom is not None and device.headroom < 0
    ]
    host = plan.host.headroom
    if host is not None and host < 0:
        short.append(f"RAM lacks {people(-host)}")
    return "; ".join(short) + "." if short else ""


def _programs(case: _Case) -> Iterator[Change]:
    held = sum(device.memory_used or 0 for device in case.rig.devices)
    if not held:
        return
    devices = tuple(d.model_copy(update={"memory_used": 0}) for d in case.rig.devices)
    rig = case.rig.model_copy(update={"devices": devices})
    plan = case.plan(rig=rig)
    if plan is not None and case.green(plan):
        names = sorted({p.name for d in case.rig.devices for p in d.processes})
        who = f" ({', '.join(names[:4])})" if names else ""
        title = f"Close other programs on the GPU{who}"
        cost = f"Nothing; they hold {people(held)}."
        yield Change("programs", title, cost, 0.0, case.file_type, rig, plan)


def _flash(case: _Case) -> Iterator[Change]:
    if case.settings.flash_attn == "off":
        plan = case.plan(flash_attn="on")
        if plan is not None and case.green(plan):
            cost = "Nothing where the device supports it."
            title = "Turn flash attention on"
            yield Change("flash", title, cost, 0.1, case.file_type, case.rig, plan)


def _slots(case: _Case) -> Iterator[Change]:
    slots = case.settings.parallel
    if slots > 1:
        plan = case.plan(parallel=1)
        if plan is not None and case.green(plan):
            title = "Serve one request at a time"
            cost = f"{slots - 1} of {slots} slots."
            yield Change("slots", title, cost, 1.0, case.file_type, case.rig, plan)


def _kv(case: _Case) -> Iterator[Change]:
    if case.settings.ctk not in {"f16", "bf16", "f32"}:
        return
    plan = case.plan(ctk="q8_0", ctv="q8_0", flash_attn="on")
    if plan is not None and case.green(plan):
        cost = kv_loss(case.model, "q8_0", "q8_0").sentence
        title = "Keep the KV cache in q8_0"
        yield Change("kv", title, cost, 0.8, case.file_type, case.rig, plan)


def _context(case: _Case, now: Plan) -> Iterator[Change]:
    wanted, possible = case.settings.ctx, now.max_ctx or 0
    # A round number is easier to remember than the last 256 tokens are worth.
    rounded = 1 << (possible.bit_length() - 1) if possible else 0
    for ctx in (possible // 1024 * 1024, rounded):
        if not _USABLE_CONTEXT <= ctx < wanted:
            continue
        plan = case.plan(ctx=ctx)
        if plan is not None and case.green(plan):
            title = f"Make do with a context of {tokens(ctx)}"
            cost = f"{tokens(wanted - ctx)} tokens of context."
            smaller = 0.7 + math.log2(wanted / ctx)
            yield Change("context", title, cost, smaller, case.file_type, case.rig, plan)
            return


def _file_types(case: _Case) -> Iterator[Change]:
    smaller = sorted(
        (m for m in case.models.values() if m.nbytes < case.model.nbytes),
        key=lambda model: -model.nbytes,
    )
    for model in smaller:
        plan = case.plan(model=model)
        if plan is not None and case.green(plan):
            note = model_loss(model)
            rise = note.typical if note.typical is not None else 100.0
            lost = 1.0 + math.log2(1 + max(rise, 0.0))
            title = f"Take {model.file_type} instead of {case.file_type}"
            yield Change("file_type", title, note.sentence, lost, model.file_type, case.rig, plan)
            return


def _ram(case: _Case, now: Plan) -> Iterator[Change]:
    if not case.rig.devices or case.settings.n_gpu_layers not in {"all", "fit"}:
        return
    plan = case.plan(n_gpu_layers="fit", n_cpu_moe="fit")
    if now.verdict == "tight" or plan is None or plan.verdict != "offload":
        return
    experts, layers = plan.settings.n_cpu_moe, plan.settings.n_gpu_layers
    what = f"the experts of {experts} layers" if experts else "some layers"
    if layers != "all":
        held = sum(len(device.layers) for device in plan.devices)
        total = 1 + (case.model.hp.n_layer_all if case.model.hp else held)
        what = f"{total - held} of {total} layers"
    before, after = now.speed.decode_tps, plan.speed.decode_tps
    lost, cost = 3.0, "Slower; how much is not known."
    if before is not None and after is not None:
        kept = after.mid / before.mid
        if kept < _KEPT_SPEED:
            return
        lost = 0.5 + math.log2(1 / min(kept, 1.0))
        cost = f"Decoding falls to {rate(after.mid)}; with everything on devices it were "
        cost += f"{rate(before.mid)}."
    yield Change("ram", f"Keep {what} in RAM", cost, lost, case.file_type, case.rig, plan)


def _gpu(case: _Case) -> Iterator[Change]:
    if not case.rig.devices or any(device.unified for device in case.rig.devices):
        return
    card = case.rig.devices[-1]
    added = card.model_copy(
        update={"memory_used": 0, "uuid": None, "pci_address": None, "processes": ()}
    )
    rig = case.rig.model_copy(update={"devices": (*case.rig.devices, added), "imagined": True})
    plan = case.plan(rig=rig)
    if plan is not None and case.green(plan):
        cost = "A second-hand or new card, a slot and the power for it."
        yield Change("gpu", f"Add another {card.name}", cost, 6.0, case.file_type, rig, plan)


def why_not(
    models: Mapping[str, Model],
    file_type: str,
    rig: Rig,
    settings: RunSettings,
    *,
    calibration: Calibration | None = None,
) -> WhyNot:
    """What is missing, and the three smallest changes that turn the run green.

    ``models``: the same model in the file types that may be taken instead. A part in RAM counts as
    a way out, although such a cell is not green. Raises SettingsError where llama.cpp would refuse
    the run as asked for.
    """
    now = size(models[file_type], rig, settings, calibration=calibration)
    # What fits with little left is helped by nothing that leaves as little.
    enough: frozenset[Verdict] = frozenset({"fits"} if now.verdict == "tight" else _GREEN)
    case = _Case(models, file_type, rig, settings, calibration, enough)
    if now.verdict == "fits":
        return WhyNot("", ())
    ways = (
        *_programs(case),
        *_flash(case),
        *_slots(case),
        *_kv(case),
        *_context(case, now),
        *_file_types(case),
        *_ram(case, now),
        *_gpu(case),
    )
    return WhyNot(_missing(now), tuple(sorted(ways, key=lambda way: way.size)[:SHOWN]))
