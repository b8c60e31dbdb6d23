"""One way to meet a need, and whether and at what cost it does. No search in here."""

import datetime as dt
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal, NamedTuple

from advisor.advice.hardware_prices import HardwarePrice
from advisor.advice.money import ZERO, Span
from advisor.advice.prices import ApiPrice, Relation
from advisor.advice.serving import LocalRun
from advisor.advice.usage import LOSS_WORDS, Usage
from advisor.basis import Range
from advisor.hardware.rig import Rig
from advisor.sizing.plan import Plan

Kind = Literal[
    "keep",
    "tune",
    "close programs",
    "take out cards",
    "add RAM",
    "add GPU",
    "replace GPUs",
    "new build",
    "unified machine",
    "API",
    "hybrid",
]
EFFORT: Final[dict[Kind, int]] = {
    "keep": 0,
    "tune": 0,
    "close programs": 1,
    "API": 2,
    "take out cards": 2,
    "hybrid": 2,
    "add RAM": 3,
    "add GPU": 3,
    "replace GPUs": 4,
    "unified machine": 5,
    "new build": 6,
}
"""How much there is to do. From 2 on, an option must earn ``Usage.worth_changing`` a month."""


def quality_rank(tier: int, loss: str, kv_type: str) -> int:
    """A class of model counts as much as a word of loss, and five times as much as the cache's
    type: in the proportions of ``verdict.demerit``, so that the search leaves out nothing that it
    prefers.

    An unknown loss (an API's) counts as none.
    """
    lost = LOSS_WORDS.index(loss) if loss in LOSS_WORDS else 0
    return 5 * tier - 5 * lost - (kv_type != "f16")


@dataclass(frozen=True, slots=True)
class Purchase:
    """Something to buy."""

    name: str
    count: Decimal
    price: HardwarePrice

    @property
    def usd(self) -> Span:
        """US dollars for all of it."""
        return Span(self.price.low, self.price.mid, self.price.high).times(self.count)


@dataclass(frozen=True, eq=False)
class Option:
    """A rig with a model in a file type, an API, or both."""

    id: str
    kind: Kind
    title: str
    model_id: str = ""
    model_name: str = ""
    file_type: str = ""
    kv_type: str = "f16"
    loss: str = ""
    """What the file type costs in quality, in the words of ``LOSS_WORDS``; empty for an API."""
    tier: int = 0
    """Capability class of the model, 1 to 5."""
    rig: Rig | None = None
    fits: bool | None = None
    """On its rig, at ``ctx``; None is not known, or an API."""
    headroom: int | None = None
    ctx: int = 0
    trained_ctx: int = 0
    """What the model was trained for, at which llama-server caps a slot (tools/server,
    n_ctx_slot); 0 is not known."""
    in_ram: bool = False
    """A part of the model lies in RAM beside the cards."""
    rough: bool = False
    """Sized by sums over layers, not yet exactly."""
    plan: Plan | None = None
    """Worked out for options that are shown; its largest context decides about long requests."""
    server_plan: Plan | None = None
    """Of one of the servers, where each of several cards can have one of its own."""
    run: LocalRun | None = None
    """None: a speed is not known, the notes say why."""
    answer_tps: Range | None = None
    """How fast it answers, known even where the time for a prompt is not."""
    ttft_s: Range | None = None
    purchases: tuple[Purchase, ...] = ()
    conditions: tuple[str, ...] = ()
    """What must be true of the machine and is not known: "a free slot, two wide"."""
    impossible: tuple[str, ...] = ()
    """What the user said of the machine and this option breaks."""
    broken: tuple[str, ...] = ()
    """What the user said of anything to buy and this option breaks: found for a need without it."""
    unpriced: tuple[str, ...] = ()
    """What has to be bought and has no known price."""
    unsure_slots: int = 0
    """Slots beyond one further that have to be free, where nobody said how many are."""
    api: ApiPrice | None = None
    relation: Relation | None = None
    notes: tuple[str, ...] = ()

    @functools.cached_property
    def quality(self) -> int:
        """Rank for comparisons, see ``quality_rank``."""
        return quality_rank(self.tier, self.loss, self.kv_type)

    @property
    def runs(self) -> str:
        """What it runs, for tables: ``"Qwen3 32B Q4_K_M"``."""
        if self.rig is None:
            return "" if self.api is None else self.api.api.title
        cache = "" if self.kv_type == "f16" else f", {self.kv_type} cache"
        return f"{self.model_name} {self.file_type}{cache}"

    @functools.cached_property
    def at_launch_price(self) -> tuple[str, ...]:
        """Names of the pieces of which no offer is known: shops may ask more."""
        return tuple(p.name for p in self.purchases if p.price.condition == "launch price")

    def hardware(self, usage: Usage) -> Span:
        """What has to be paid at once, in the user's currency."""
        total = ZERO
        for purchase in self.purchases:
            total += purchase.usd
        return total.times(usage.usd_rate)


class Answers(NamedTuple):
    """What is known for a need: options, roughly sized, and a way to size one exactly."""

    options: Sequence[Option]
    exactly: Callable[[Option], Option]


def api_option(price: ApiPrice, relation: Relation) -> Option:
    """An API as an option."""
    return Option(
        id=f"API|{price.api.id}",
        kind="API",
        title=price.api.title,
        tier=price.api.tier,
        api=price,
        relation=relation,
        notes=price.notes,
    )


def old_prices(option: Option, today: dt.date) -> tuple[str, ...]:
    """Names of the pieces whose price is more than half a year old."""
    return tuple(p.name for p in option.purchases if p.price.is_old(today))
