"""Single changes that may make a run fit, or fast enough: each is sized, and told with its cost."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from advisor.errors import SettingsError
from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.llm.quality import kv_loss
from advisor.sizing import refusals
from advisor.sizing.allocation import room
from advisor.sizing.calibration import Calibration
from advisor.sizing.other_splits import nothing_asked, unlike
from advisor.sizing.plan import Plan, Verdict
from advisor.sizing.planner import size
from advisor.sizing.sampling import reaches
from advisor.sizing.settings import FIT, RunSettings
from advisor.sizing.solver import on_devices
from advisor.sizing.ways_bounds import no_ram, too_large, too_slow
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
    "machine",
    "sibling",
    "model",
    "load_mode",
    "micro_batch",
]
IN_RAM: frozenset[Kind] = frozenset({"ram", "smaller_in_ram", "more_ram"})
"""Ways out that leave a part in RAM."""
BOUGHT: frozenset[Kind] = frozenset({"gpu", "card", "more_ram", "machine"})
"""Ways out that cost money: changes of the rig."""
OTHER_MODEL: frozenset[Kind] = frozenset({"sibling", "model"})

_STEP = 1024
"""Contexts are told in such steps."""
_USABLE_CONTEXT = 4096
"""A context below it is not offered as a way out."""
GREEN: frozenset[Verdict] = frozenset({"fits", "tight"})
_WIDE = frozenset({"f16", "bf16", "f32"})
"""Types of a KV cache that one in q8_0 is smaller than."""
KV_SIZE = 0.8
"""How much a cache in q8_0 takes away."""
WHOLE: Mapping[str, object] = {"n_gpu_layers": "all", "n_cpu_moe": 0}
"""The settings that put everything on devices."""
SPLIT_SIZE = 0.2
"""How much a split by hand takes away."""


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
class Offer:
    """A rig that could be had: this one with more in it, or another."""

    title: str
    cost: str
    """What it costs in money, and what it asks of the machine."""
    rig: Rig


@dataclass(frozen=True)
class Other:
    """Another model that could do the work."""

    cost: str
    """How able it is against the one asked for."""
    away: float
    """How much of that it takes away."""
    model: Model


class AtMost(NamedTuple):
    """What another model may take at most to be worth a look, in bytes."""

    file: float = math.inf
    """Of its file, in memory."""
    read: float = math.inf
    """Of that, read for a token at the wanted speed."""


@dataclass(frozen=True)
class Instead:
    """What could be had instead of what is here, asked for only where little else helps."""

    cards: Callable[[], Iterable[Offer]] = tuple
    """This rig with more or other cards, the cheapest first."""
    machines: Callable[[], Iterable[Offer]] = tuple
    """Other rigs, the cheapest first."""
    siblings: Callable[[AtMost], Iterable[Other]] = lambda _most: ()
    """Models of the same maker, the ablest first; what takes more may be left out."""
    models: Callable[[AtMost], Iterable[Other]] = lambda _most: ()
    """Models of others, the ablest first."""


NOTHING_INSTEAD = Instead()


class _Asked(NamedTuple):
    """A change that may be one."""

    kind: Kind
    title: str
    cost: str
    size: float
    model: Model
    rig: Rig
    fields: Mapping[str, object]


def shares(split: Mapping[str, tuple[float, ...]]) -> str:
    """As ``-ts`` takes them."""
    return ",".join(f"{share:g}" for share in split["tensor_split"])


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
    instead: Instead = NOTHING_INSTEAD
    cancelled: Callable[[], bool] = lambda: False
    """Whether nobody waits any more: no further plan is made."""
    caches: int = 0
    """Bytes of caches on devices as asked for, which no file type changes; 0 where not known."""
    buffer: int = 0
    """Bytes that a device in use surely takes beside weights and caches."""
    slow: list[Plan] = field(default_factory=list[Plan])
    """What would fit, and is not fast enough."""

    def fast(self, plan: Plan) -> bool:
        """Whether a plan decodes as fast as asked for; an unknown speed is not."""
        if self.least_tps is None:
            return True
        return reaches(plan.speed.decode_tps, plan.speed.sampling_s, self.least_tps)

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
        by_hand: bool = False,
    ) -> Change | None:
        """A change if it is a way out, which only its own plan tells.

        ``by_hand``: where it is none as llama.cpp splits cards that are not alike, the solver's
        split may come with it.
        """
        fields = fields or {}
        asked = _Asked(kind, title, cost, size, model or self.model, rig or self.rig, fields)
        found = self._made(asked, accept)
        if found is not None or not by_hand:
            return found
        settings = self.settings.model_copy(update=fields)
        known = unlike(asked.rig) and nothing_asked(settings)
        split = self.split(asked.model, asked.rig, fields) if known else None
        if not split:
            return None
        title = f"{title} and split the layers by hand: -ts {shares(split)}"
        size += SPLIT_SIZE
        asked = asked._replace(title=title, size=size, fields={**fields, **split})
        return self._made(asked, accept)

    def split(
        self, model: Model, rig: Rig, fields: Mapping[str, object]
    ) -> Mapping[str, tuple[float, ...]]:
        """The solver's split with everything on devices; empty where it is llama.cpp's, or none.

        ``fields``: what else changes.
        """
        settings = self.settings.model_copy(update={**fields, **WHOLE})
        calibration = self.known_of(rig)
        space = room(rig, calibration)
        if self.cancelled() or None in space.free or self.hopeless(model, rig, {**fields, **FIT}):
            return {}
        try:
            refusals.check(model, settings)
        except SettingsError:
            return {}
        found = on_devices(model, rig, settings, space, calibration)
        return {"tensor_split": found.tensor_split} if found and found.tensor_split else {}

    def _made(self, asked: "_Asked", accept: frozenset[Verdict] | None) -> Change | None:
        if accept is None and self.hopeless(asked.model, asked.rig, asked.fields):
            return None
        plan = self.plan(asked.fields, model=asked.model, rig=asked.rig)
        if plan is None or plan.verdict not in (accept or self.enough):
            return None
        if not self.fast(plan):
            self.slow.append(plan)
            return None
        return Change(
            kind=asked.kind,
            title=asked.title,
            cost=asked.cost,
            size=asked.size,
            file_type=asked.model.file_type,
            rig=asked.rig,
            plan=plan,
            fields=asked.fields,
        )

    @property
    def model(self) -> Model:
        """The model in the file type that was asked for."""
        return self.models[self.file_type]

    @property
    def small_kv(self) -> Mapping[str, object]:
        """The settings that keep in q8_0 what the KV cache has in a wider type; empty: nothing."""
        asked = self.settings
        wide: dict[str, object] = {
            name: "q8_0" for name in ("ctk", "ctv") if getattr(asked, name) in _WIDE
        }
        return {**wide, "flash_attn": "on"} if wide else {}

    def hopeless(
        self, model: Model, rig: Rig, fields: Mapping[str, object], *, left: int = 0
    ) -> bool:
        """Whether data sheets and bytes alone tell that a run wholly on devices is no way out.

        It spares most plans. ``left``: bytes that have to stay free on every device.
        """
        asked = self.settings.model_copy(update=fields)
        on_devices = asked.n_gpu_layers in {"all", "fit"} and not asked.override_tensor
        if not rig.devices:
            return no_ram(model, rig.host, self.least_tps)
        if not on_devices or asked.n_cpu_moe not in {0, "fit"}:
            return False
        # A cache in q8_0 takes 17/32 of one in F16; what else is kept does not shrink.
        shrinks = fields.keys() & {"ctk", "ctv"}
        widest = 4 if "f32" in {self.settings.ctk, self.settings.ctv} else 2
        caches = self.caches // (widest if shrinks else 1)
        buffer = self.buffer
        if model.id != self.model.id or not fields.keys() <= _SAME_CACHES:
            caches = buffer = 0
        return too_large(model, rig.devices, caches, buffer + left) or (
            self.least_tps is not None and too_slow(model, rig.devices, asked, self.least_tps)
        )

    def known_of(self, rig: Rig | None) -> Calibration | None:
        """What probes taught about ``rig``: of one that is not there yet, nothing was measured."""
        return None if rig is not None and rig.imagined else self.calibration

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
                calibration=self.known_of(rig),
                longest=longest,
            )
        except SettingsError:
            return None


def flash(case: Case) -> Iterator[Change]:
    """Flash attention, where it was turned off."""
    if case.settings.flash_attn == "off":
        cost = "Nothing where the device supports it."
        fields = {"flash_attn": "on"}
        if found := case.change("flash", "Turn flash attention on", cost, 0.1, fields=fields):
            yield found


def slots(case: Case) -> Iterator[Change]:
    """As many requests at a time as fit."""
    asked = case.settings.parallel

    def attempt(count: int) -> Change | None:
        title = f"Serve {count} requests at a time" if count > 1 else "Serve one request at a time"
        cost = f"{asked - count} of {asked} slots."
        return case.change("slots", title, cost, 1.0, fields={"parallel": count})

    found = attempt(1) if asked > 1 else None
    enough, too_many = 1, asked
    while found is not None and too_many - enough > 1:
        middle = (enough + too_many) // 2
        if more := attempt(middle):
            found, enough = more, middle
        else:
            too_many = middle
    if found:
        yield found


_SAME_CACHES = frozenset(
    {"ctk", "ctv", "flash_attn", "n_gpu_layers", "n_cpu_moe", "tensor_split", "split_mode"}
)
"""Settings that leave the caches as large, but for their type."""


def small_kv_cost(model: Model) -> str:
    """What a cache in q8_0 costs a model, in a sentence."""
    # What llama.cpp does to get there stands beside the KV type on the form.
    return kv_loss(model, "q8_0", "q8_0").sentence.split(". ", maxsplit=1)[0].rstrip(".") + "."


def kv(case: Case) -> Iterator[Change]:
    """A KV cache in q8_0."""
    fields = case.small_kv
    if not fields:
        return
    cost = small_kv_cost(case.model)
    if found := case.change("kv", "Keep the KV cache in q8_0", cost, KV_SIZE, fields=fields):
        yield found


def context(case: Case, now: Plan) -> Iterator[Change]:
    """A shorter context, or a less short one with the cache in q8_0 where that alone is too big."""
    if case.hopeless(case.model, case.rig, {"ctx": _USABLE_CONTEXT}):
        return
    plain = _shorter(case, now, {}, "", "", 0.0)
    small: Change | None = None
    if fields := case.small_kv:
        cost = f" {small_kv_cost(case.model)}"
        words = "Keep the KV cache in q8_0 and make do with a context of {ctx}"
        less = case.plan(fields, longest=True)
        if less is not None and less.verdict not in case.enough:
            small = _shorter(case, less, fields, words, cost, KV_SIZE)
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

    def attempt(ctx: int) -> Change | None:
        if not _USABLE_CONTEXT <= ctx < wanted:
            return None
        return case.change(
            "context",
            (words or "Make do with a context of {ctx}").format(ctx=tokens(ctx)),
            f"{tokens(wanted - ctx)} tokens of context fewer.{cost}",
            beside + 0.7 + math.log2(wanted / ctx),
            fields={**fields, "ctx": ctx},
        )

    longest = possible // _STEP * _STEP
    if found := attempt(longest):
        return found
    # What lacks little more than room: a speed that is told of roomier runs, or a margin.
    enough = 1 << (possible.bit_length() - 1) if possible else 0
    found = attempt(enough)
    while found is not None and longest - enough > 2 * _STEP:
        middle = (enough + longest) // 2 // _STEP * _STEP
        if better := attempt(middle):
            found, enough = better, middle
        else:
            longest = middle
    return found


def free(rig: Rig) -> int:
    """Bytes that can be had in all memories together."""
    devices = sum(device.memory_free or 0 for device in rig.devices if not device.unified)
    shared = sum(device.memory_free or 0 for device in rig.devices if device.unified)
    return devices + max(shared, rig.host.ram_available or rig.host.ram_total or 0)
