"""Why a run does not fit, and the smallest changes that make it fit, each with what it costs."""

import math
from collections.abc import Iterator, Mapping, Sequence
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

Kind = Literal[
    "programs", "flash", "split", "slots", "kv", "context", "file_type", "both", "ram", "gpu"
]

SHOWN = 3
_USABLE_CONTEXT = 4096
"""A context below it is not offered as a way out."""
_GREEN: frozenset[Verdict] = frozenset({"fits", "tight"})
_KEPT_SPEED = 0.02
"""A run that keeps less of its speed is no way out."""
_MORE_CARDS = 3
"""As many more cards of a kind are tried."""
_WIDE = frozenset({"f16", "bf16", "f32"})


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
    fields: Mapping[str, object]
    """The run settings to change."""


@dataclass(frozen=True, slots=True)
class WhyNot:
    """What is missing, and the smallest changes, at most three, no two of a kind.

    Every change was sized: the run after it is green, and fast enough where a speed was asked for.
    """

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
    least_tps: float | None

    def fast(self, plan: Plan) -> bool:
        """Whether a plan decodes as fast as asked for; an unknown speed is not."""
        if self.least_tps is None:
            return True
        known = plan.speed.decode_tps
        return known is not None and known.mid >= self.least_tps

    def green(self, plan: Plan | None) -> bool:
        """Whether the run after a change is a way out."""
        return plan is not None and plan.verdict in self.enough and self.fast(plan)

    def change(
        self,
        kind: Kind,
        title: str,
        cost: str,
        size: float,
        *,
        model: Model | None = None,
        rig: Rig | None = None,
        fields: Mapping[str, object] | None = None,
        accept: frozenset[Verdict] | None = None,
    ) -> Change | None:
        """A change if it is a way out, which only its own plan tells."""
        fields = fields or {}
        plan = self.plan(model=model, rig=rig, **fields)
        if plan is None or plan.verdict not in (accept or self.enough) or not self.fast(plan):
            return None
        return Change(
            kind=kind,
            title=title,
            cost=cost,
            size=size,
            file_type=(model or self.model).file_type,
            rig=rig or self.rig,
            plan=plan,
            fields=fields,
        )

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
    """Close the fewest programs, the largest first; all of them where their sizes are not known."""
    if not any(device.memory_used for device in case.rig.devices):
        return
    sized = sorted(
        (
            (process.memory, number, process)
            for number, device in enumerate(case.rig.devices)
            for process in device.processes
            if process.memory
        ),
        key=lambda found: -found[0],
    )
    used = [device.memory_used or 0 for device in case.rig.devices]
    closed: list[str] = []
    freed = 0
    for memory, number, process in sized:
        used[number] = max(0, used[number] - memory)
        closed.append(process.name)
        freed += memory
        if found := _closed(case, used, closed, freed):
            yield found
            return
    names = sorted({p.name for d in case.rig.devices for p in d.processes})
    held = sum(device.memory_used or 0 for device in case.rig.devices)
    if found := _closed(case, [0] * len(used), names, held):
        yield found


def _closed(case: _Case, used: Sequence[int], names: Sequence[str], freed: int) -> Change | None:
    devices = tuple(
        device.model_copy(update={"memory_used": left})
        for device, left in zip(case.rig.devices, used, strict=True)
    )
    unique = list(dict.fromkeys(names))
    who = ", ".join(unique[:4]) + (f" and {len(unique) - 4} more" if len(unique) > 4 else "")
    return case.change(
        "programs",
        f"Close {who}" if who else "Close other programs on the GPU",
        f"Nothing; it gives back {people(freed)}.",
        0.0,
        rig=case.rig.model_copy(update={"devices": devices}),
    )


def _flash(case: _Case) -> Iterator[Change]:
    if case.settings.flash_attn == "off":
        cost = "Nothing where the device supports it."
        fields = {"flash_attn": "on"}
        if found := case.change("flash", "Turn flash attention on", cost, 0.1, fields=fields):
            yield found


def _split(case: _Case) -> Iterator[Change]:
    """The solver's borders where llama.cpp's own leave one card too little."""
    asked = case.settings
    if len(case.rig.devices) < 2 or asked.tensor_split or asked.split_mode != "layer":
        return
    plan = case.plan(n_gpu_layers="fit", n_cpu_moe="fit", fit_kv=False)
    if plan is None or not plan.settings.tensor_split or plan.verdict == "offload":
        return
    shares = ",".join(f"{share:g}" for share in plan.settings.tensor_split)
    found = case.change(
        "split",
        f"Split the layers by hand: -ts {shares}",
        "Nothing; the cards keep their order.",
        0.2,
        fields={
            "tensor_split": plan.settings.tensor_split,
            "n_gpu_layers": plan.settings.n_gpu_layers,
            "n_cpu_moe": plan.settings.n_cpu_moe,
        },
    )
    if found:
        yield found


def _slots(case: _Case) -> Iterator[Change]:
    slots = case.settings.parallel
    if slots > 1:
        cost = f"{slots - 1} of {slots} slots."
        fields = {"parallel": 1}
        if found := case.change("slots", "Serve one request at a time", cost, 1.0, fields=fields):
            yield found


_SMALL_KV: Mapping[str, object] = {"ctk": "q8_0", "ctv": "q8_0", "flash_attn": "on"}


def _kv(case: _Case) -> Iterator[Change]:
    if case.settings.ctk not in _WIDE:
        return
    cost = kv_loss(case.model, "q8_0", "q8_0").sentence
    if found := case.change("kv", "Keep the KV cache in q8_0", cost, 0.8, fields=_SMALL_KV):
        yield found


def _context(case: _Case, now: Plan) -> Iterator[Change]:
    wanted, possible = case.settings.ctx, now.max_ctx or 0
    # A round number is easier to remember than the last 256 tokens are worth.
    rounded = 1 << (possible.bit_length() - 1) if possible else 0
    for ctx in (possible // 1024 * 1024, rounded):
        if not _USABLE_CONTEXT <= ctx < wanted:
            continue
        found = case.change(
            "context",
            f"Make do with a context of {tokens(ctx)}",
            f"{tokens(wanted - ctx)} tokens of context.",
            0.7 + math.log2(wanted / ctx),
            fields={"ctx": ctx},
        )
        if found:
            yield found
            return


def _smaller(case: _Case) -> list[Model]:
    smaller = (m for m in case.models.values() if m.nbytes < case.model.nbytes)
    return sorted(smaller, key=lambda model: -model.nbytes)


def _lost(model: Model) -> float:
    rise = model_loss(model).typical
    return 1.0 + math.log2(1 + max(100.0 if rise is None else rise, 0.0))


def _file_types(case: _Case) -> Iterator[Change]:
    for model in _smaller(case):
        title = f"Take {model.file_type} instead of {case.file_type}"
        cost = model_loss(model).sentence
        if found := case.change("file_type", title, cost, _lost(model), model=model):
            yield found
            return


def _both(case: _Case) -> Iterator[Change]:
    """A smaller cache and a smaller file together."""
    if case.settings.ctk not in _WIDE:
        return
    for model in _smaller(case):
        found = case.change(
            "both",
            f"Take {model.file_type} and keep the KV cache in q8_0",
            f"{model_loss(model).sentence} {kv_loss(model, 'q8_0', 'q8_0').sentence}",
            _lost(model) + 0.8,
            model=model,
            fields=_SMALL_KV,
        )
        if found:
            yield found
            return


def _ram(case: _Case, now: Plan) -> Iterator[Change]:
    if not case.rig.devices or case.settings.n_gpu_layers not in {"all", "fit"}:
        return
    if now.verdict not in {"no", "offload"}:
        return
    fields = {"n_gpu_layers": "fit", "n_cpu_moe": "fit"}
    plan = case.plan(n_gpu_layers="fit", n_cpu_moe="fit")
    if plan is None:
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
    title = f"Keep {what} in RAM"
    in_ram: frozenset[Verdict] = frozenset({"offload"})
    if found := case.change("ram", title, cost, lost, fields=fields, accept=in_ram):
        yield found


def _gpu(case: _Case) -> Iterator[Change]:
    if not case.rig.devices or any(device.unified for device in case.rig.devices):
        return
    card = case.rig.devices[-1]
    added = card.model_copy(
        update={"memory_used": 0, "uuid": None, "pci_address": None, "processes": ()}
    )
    for count in range(1, _MORE_CARDS + 1):
        devices = (*case.rig.devices, *[added] * count)
        rig = case.rig.model_copy(update={"devices": devices, "imagined": True})
        found = case.change(
            "gpu",
            f"Add another {card.name}" if count == 1 else f"Add {count} more {card.name}",
            "A second-hand or new card, a slot and the power for it.",
            5.0 + count,
            rig=rig,
        )
        if found:
            yield found
            return


def _slow(case: _Case, now: Plan) -> str:
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
) -> WhyNot:
    """What is missing, and the three smallest changes that turn the run green.

    ``models``: the same model in the file types that may be taken instead. ``least_tps``: a run
    that decodes slower is not green. A part in RAM counts as a way out, although such a cell is not
    green. Raises SettingsError where llama.cpp would refuse the run as asked for.
    """
    now = size(models[file_type], rig, settings, calibration=calibration)
    # What fits with little left is helped by nothing that leaves as little.
    enough: frozenset[Verdict] = frozenset({"fits"} if now.verdict == "tight" else _GREEN)
    case = _Case(models, file_type, rig, settings, calibration, enough, least_tps)
    if now.verdict == "fits" and case.fast(now):
        return WhyNot("", ())
    ways = [
        *_programs(case),
        *_flash(case),
        *_split(case),
        *_slots(case),
        *_kv(case),
        *_context(case, now),
        *_file_types(case),
        *_ram(case, now),
        *_gpu(case),
    ]
    if not any(way.kind == "kv" for way in ways):
        # A smaller cache may leave room for a file that loses less than the one that fits alone.
        alone = [way for way in ways if way.kind == "file_type"]
        both = list(_both(case))
        if both and all(both[0].size < way.size for way in alone):
            ways = [way for way in ways if way.kind != "file_type"] + both
    missing = _missing(now) or _slow(case, now)
    return WhyNot(missing, tuple(sorted(ways, key=lambda way: way.size)[:SHOWN]))
