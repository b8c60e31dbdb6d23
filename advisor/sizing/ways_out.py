"""Single changes that may make a run fit, or fast enough: each is sized, and told with its cost."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from advisor.errors import SettingsError
from advisor.hardware.rig import Device, Rig
from advisor.llm.model import Model
from advisor.llm.quality import kv_loss, model_loss
from advisor.sizing.calibration import Calibration
from advisor.sizing.plan import Plan, Verdict
from advisor.sizing.planner import size
from advisor.sizing.settings import RunSettings
from advisor.sizing.speed_sums import DENSE, EXPERTS, model_sums
from advisor.units import size as people
from advisor.units import tokens

Kind = Literal[
    "programs",
    "flash",
    "split",
    "tensor",
    "slots",
    "kv",
    "context",
    "file_type",
    "both",
    "ram",
    "smaller_in_ram",
    "more_ram",
    "gpu",
    "card",
]
IN_RAM: frozenset[Kind] = frozenset({"ram", "smaller_in_ram", "more_ram"})
"""Ways out that leave a part in RAM."""

_USABLE_CONTEXT = 4096
"""A context below it is not offered as a way out."""
GREEN: frozenset[Verdict] = frozenset({"fits", "tight"})
_MORE_CARDS = 3
"""As many more cards of a kind are tried."""
_CARDS_TRIED = 6
_WIDE = frozenset({"f16", "bf16", "f32"})
_KV_SIZE = 0.8
"""How much a cache in q8_0 takes away."""
FIT: Mapping[str, object] = {"n_gpu_layers": "fit", "n_cpu_moe": "fit"}


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


@dataclass(frozen=True)
class Case:
    """What was asked, and what counts as a way out."""

    models: Mapping[str, Model]
    file_type: str
    rig: Rig
    settings: RunSettings
    calibration: Calibration | None
    enough: frozenset[Verdict]
    """Verdicts that a change has to lead to."""
    least_tps: float | None
    cards: Sequence[Device] = ()
    """Cards that could be had, cheapest first."""
    cancelled: Callable[[], bool] = lambda: False
    """Whether nobody waits any more: no further plan is made."""
    caches: int = 0
    """Bytes of caches on devices as asked for, which no file type changes; 0 where not known."""

    def fast(self, plan: Plan) -> bool:
        """Whether a plan decodes as fast as asked for; an unknown speed is not."""
        if self.least_tps is None:
            return True
        known = plan.speed.decode_tps
        return known is not None and known.mid >= self.least_tps

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
        if accept is None and self._too_large(model or self.model, rig or self.rig, fields):
            return None
        plan = self.plan(fields, model=model, rig=rig)
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
        """The model in the file type that was asked for."""
        return self.models[self.file_type]

    def _too_large(self, model: Model, rig: Rig, fields: Mapping[str, object]) -> bool:
        """Whether a file less what llama.cpp keeps in RAM, and caches, are more than devices hold.

        It spares most plans of what is hopeless, which no plan would turn green.
        """
        asked = self.settings.model_copy(update=fields)
        on_devices = asked.n_gpu_layers in {"all", "fit"} and not asked.override_tensor
        if not rig.devices or not on_devices or asked.n_cpu_moe not in {0, "fit"}:
            return False
        # A cache in q8_0 takes 17/32 of one in F16; what else is kept does not shrink.
        caches = self.caches // (2 if "ctk" in fields else 1) if fields.keys() <= _CACHE_KEYS else 0
        known = [device.memory_free for device in rig.devices]
        looked_up = sum(t.nbytes for t in model.tensors if t.name.endswith("token_embd.weight"))
        room = sum(room or 0 for room in known)
        return None not in known and model.nbytes - looked_up + caches > room

    def plan(
        self,
        fields: Mapping[str, object],
        *,
        model: Model | None = None,
        rig: Rig | None = None,
        longest: bool = False,
    ) -> Plan | None:
        """The plan after a change; None where llama.cpp would refuse it.

        ``longest``: with the longest context that would fit.
        """
        if self.cancelled():
            return None
        settings = self.settings.model_copy(update=fields)
        try:
            return size(
                model or self.model,
                rig or self.rig,
                settings,
                calibration=self.calibration,
                longest=longest,
            )
        except SettingsError:
            return None


def programs(case: Case) -> Iterator[Change]:
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


def _closed(case: Case, used: Sequence[int], names: Sequence[str], freed: int) -> Change | None:
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


def flash(case: Case) -> Iterator[Change]:
    """Flash attention, where it was turned off."""
    if case.settings.flash_attn == "off":
        cost = "Nothing where the device supports it."
        fields = {"flash_attn": "on"}
        if found := case.change("flash", "Turn flash attention on", cost, 0.1, fields=fields):
            yield found


def split(case: Case) -> Iterator[Change]:
    """The solver's borders where llama.cpp's own leave one card too little."""
    asked = case.settings
    if len(case.rig.devices) < 2 or asked.tensor_split or asked.split_mode != "layer":
        return
    if case.model.nbytes > free(case.rig):
        return
    plan = case.plan({**FIT, "fit_kv": False})
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


def slots(case: Case) -> Iterator[Change]:
    """One request at a time."""
    slots = case.settings.parallel
    if slots > 1:
        cost = f"{slots - 1} of {slots} slots."
        fields = {"parallel": 1}
        if found := case.change("slots", "Serve one request at a time", cost, 1.0, fields=fields):
            yield found


_CACHE_KEYS = frozenset({"ctk", "ctv", "flash_attn"})
_SMALL_KV: Mapping[str, object] = {"ctk": "q8_0", "ctv": "q8_0", "flash_attn": "on"}


def _small_kv_cost(model: Model) -> str:
    # What llama.cpp does to get there stands beside the KV type on the form.
    return kv_loss(model, "q8_0", "q8_0").sentence.split(". ", maxsplit=1)[0].rstrip(".") + "."


def kv(case: Case) -> Iterator[Change]:
    """A KV cache in q8_0."""
    if case.settings.ctk not in _WIDE:
        return
    cost = _small_kv_cost(case.model)
    if found := case.change("kv", "Keep the KV cache in q8_0", cost, _KV_SIZE, fields=_SMALL_KV):
        yield found


def context(case: Case, now: Plan) -> Iterator[Change]:
    """A shorter context, or a less short one with the cache in q8_0 where that alone is too big."""
    plain = _shorter(case, now, {}, "", "", 0.0)
    small: Change | None = None
    if case.settings.ctk in _WIDE:
        cost = f" {_small_kv_cost(case.model)}"
        words = "Keep the KV cache in q8_0 and make do with a context of {ctx}"
        less = case.plan(_SMALL_KV, longest=True)
        if less is not None and less.verdict not in case.enough:
            small = _shorter(case, less, _SMALL_KV, words, cost, _KV_SIZE)
    found = [change for change in (plain, small) if change is not None]
    if found:
        yield min(found, key=lambda change: change.size)


def _shorter(  # noqa: PLR0917 - one sentence in parts
    case: Case,
    plan: Plan,
    fields: Mapping[str, object],
    words: str,
    cost: str,
    beside: float,
) -> Change | None:
    wanted, possible = case.settings.ctx, plan.max_ctx or 0
    # A round number is easier to remember than the last 256 tokens are worth.
    rounded = 1 << (possible.bit_length() - 1) if possible else 0
    for ctx in (possible // 1024 * 1024, rounded):
        if not _USABLE_CONTEXT <= ctx < wanted:
            continue
        found = case.change(
            "context",
            (words or "Make do with a context of {ctx}").format(ctx=tokens(ctx)),
            f"{tokens(wanted - ctx)} tokens of context.{cost}",
            beside + 0.7 + math.log2(wanted / ctx),
            fields={**fields, "ctx": ctx},
        )
        if found:
            return found
    return None


def smaller(case: Case) -> list[Model]:
    """Smaller files of the same model, the largest first; none that breaks it."""
    found = (
        model
        for model in case.models.values()
        if model.nbytes < case.model.nbytes and model_loss(model).worst != "broken"
    )
    return sorted(found, key=lambda model: -model.nbytes)


def lost(model: Model) -> float:
    """How much a smaller file takes away."""
    rise = model_loss(model).typical
    return 1.0 + math.log2(1 + max(100.0 if rise is None else rise, 0.0))


def file_types(case: Case) -> Iterator[Change]:
    """The largest of the smaller files that is enough."""
    for model in smaller(case):
        title = f"Take {model.file_type} instead of {case.file_type}"
        cost = model_loss(model).sentence
        if found := case.change("file_type", title, cost, lost(model), model=model):
            yield found
            return


def both(case: Case) -> Iterator[Change]:
    """A smaller cache and a smaller file together."""
    if case.settings.ctk not in _WIDE:
        return
    for model in smaller(case):
        found = case.change(
            "both",
            f"Take {model.file_type} and keep the KV cache in q8_0",
            f"{model_loss(model).sentence} {_small_kv_cost(model)}",
            lost(model) + _KV_SIZE,
            model=model,
            fields=_SMALL_KV,
        )
        if found:
            yield found
            return


def free(rig: Rig) -> int:
    """Bytes that can be had in all memories together."""
    devices = sum(device.memory_free or 0 for device in rig.devices)
    return devices + (rig.host.ram_available or rig.host.ram_total or 0)


def tensor(case: Case, now: Plan) -> Iterator[Change]:
    """Every matrix cut across alike cards, where layer after layer is too slow."""
    names = {device.name for device in case.rig.devices}
    if len(case.rig.devices) < 2 or len(names) > 1 or case.settings.split_mode != "layer":
        return
    if case.fast(now):
        return
    found = case.change(
        "tensor",
        "Cut every matrix across the cards: -sm tensor",
        "Nothing in quality; it needs a quick link, and prompts may be read more slowly.",
        0.4,
        fields={"split_mode": "tensor", "tensor_split": (), "n_gpu_layers": "all"},
    )
    if found:
        yield found


def gpu(case: Case) -> Iterator[Change]:
    """More of the last card."""
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
            "A new or second-hand card, a slot and the power for it.",
            5.0 + count,
            rig=rig,
        )
        if found:
            yield found
            return


def _too_slow(case: Case, devices: Sequence[Device]) -> bool:
    """Whether data-sheet bandwidths read a token's weights too slowly, split by free memory."""
    known, free_on = model_sums(case.model), [device.memory_free or 0 for device in devices]
    if case.least_tps is None or known is None or case.settings.tensor_split or not any(free_on):
        return False
    read = float(known.layers[:, DENSE].sum() + known.layers[:, EXPERTS].sum())
    rates = [(device.bandwidth_gbs or math.inf) * 1e9 for device in devices]
    shares = (part / sum(free_on) / rate for part, rate in zip(free_on, rates, strict=True))
    return case.settings.split_mode == "layer" and read * sum(shares) * case.least_tps > 1


def card(case: Case) -> Iterator[Change]:
    """The cheapest card that is enough, beside what is there."""
    devices = case.rig.devices
    backends = {device.backend for device in devices}
    if any(device.unified for device in devices):
        return
    held = sum(device.memory_free or 0 for device in devices)
    tried = 0
    for offer in case.cards:
        known = any(device.name == offer.name for device in devices)
        too_small = held + (offer.memory_total or 0) < case.model.nbytes
        if known or too_small or (backends and offer.backend not in backends):
            continue
        if _too_slow(case, (offer, *devices)):
            continue
        tried += 1
        if tried > _CARDS_TRIED:
            return
        rig = case.rig.model_copy(update={"devices": (offer, *devices), "imagined": True})
        found = case.change(
            "card",
            f"Add one {offer.name}",
            "A new or second-hand card, a slot and the power for it.",
            6.5,
            rig=rig,
            fields={"n_gpu_layers": "all", "n_cpu_moe": 0},
        )
        if found:
            yield found
            return
