"""What a person wants from a model: volume, lengths, limits, prices of their own."""

import functools
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from advisor import resources

LOSS_WORDS = ("near lossless", "small", "noticeable", "heavy", "broken")
"""What a quantization costs in quality, best first; the words of resources/quality.json."""

LossWord = Literal["near lossless", "small", "noticeable", "heavy", "broken"]
DAYS_PER_MONTH = Decimal("30.4375")
"""365.25 / 12."""

_FAST_ENOUGH = 4
READING_TPS = 15.0
"""Tokens per second that one reads."""

Idle = Literal["counts", "off", "on anyway"]
Share = Annotated[Decimal, Field(ge=0, le=1)]
Money = Annotated[Decimal, Field(ge=0)]


class Limits(BaseModel):
    """What the machine can take. None is not known: an option then says what it needs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    free_slots: int | None = Field(default=None, ge=0, le=16)
    """Further graphics cards that have a slot."""
    card_width: int | None = Field(default=None, ge=1, le=5)
    """Widest card that fits, in expansion slots."""
    lanes: int | None = Field(default=None, ge=0, le=256)
    """PCI Express lanes that all cards share."""
    supply_w: int | None = Field(default=None, ge=0, le=10_000)
    """Power supply."""
    max_ram_gib: int | None = Field(default=None, ge=0)
    """What the board takes."""
    used_parts: bool = True
    """Second-hand cards are acceptable."""
    server_cards: bool = False
    """Cards without fans, made for a server's airflow, are acceptable in a desktop."""
    quiet: bool = False
    """Noise matters: no server cards, at most two cards."""
    needs_windows: bool = False
    """A new machine must run Windows."""


class OwnPrice(BaseModel):
    """What a person was offered for one piece, instead of the reviewed price."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=100)
    """As resources/hardware_prices.json and the GPU table call it; memory is priced per GB."""
    amount: Annotated[Decimal, Field(ge=0, le=10_000_000)]
    """In the usage's currency."""


class Usage(BaseModel):
    """The need that every option is measured against. Money is in ``currency``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests_per_month: int = Field(default=1200, ge=1, le=1_000_000)
    prompt_tokens: int = Field(default=2050, ge=1, le=10_000_000)
    """Mean prompt, with whatever of it repeats."""
    output_tokens: int = Field(default=400, ge=1, le=1_000_000)
    cached_share: Share = Decimal("0.85")
    """Part of the prompt that repeats the beginning of an earlier one: read from a cache, here as
    at an API."""
    written_share: Share = Decimal(1)
    """Part of the rest that later requests read from the cache again; some APIs charge for writing
    it."""
    long_share: Share = Decimal(0)
    """Part of the requests that are longer than ``prompt_tokens`` by far."""
    long_prompt_tokens: int = Field(default=0, ge=0, le=10_000_000)
    context: int = Field(default=16384, ge=256, le=1 << 27)
    """Tokens that must fit at once."""
    min_decode_tps: float = Field(default=10, ge=0)
    """Slowest answer that is still useful, tokens per second."""
    max_ttft_s: float | None = Field(default=10, gt=0)
    """Longest wait for the first token of a mean request; None: any."""
    max_loss: LossWord = "noticeable"
    """Heaviest quantization loss that is acceptable."""
    also: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = Field(
        default=(), max_length=12
    )
    """Other models of the catalogue that would do as well, by id."""
    same_model_api_only: bool = False
    """Only count APIs that serve the same weights, not others of like class."""
    batch_ok: bool = False
    """Nobody waits: answers may come within a day, for which some APIs ask half."""
    data_may_leave: bool = True
    """False: no prompt may reach another company. A hard constraint."""
    must_work_offline: bool = False
    """A hard constraint as well."""
    hours_per_day: float = Field(default=8, gt=0, le=24)
    """Hours a day in which requests come and the machine may work."""
    idle: Idle = "counts"
    """Whether the machine idles through those hours for this purpose only (its idle power is a
    cost), is switched off when there is nothing to do, or is on anyway."""
    peak_share: Share | None = None
    """Part of the requests inside an API's peak hours; None: evenly spread over the week."""
    electricity_price: Money = Decimal("0.18")
    """Per kWh."""
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    usd_rate: Annotated[Decimal, Field(gt=0)] = Decimal(1)
    """Units of ``currency`` for one US dollar, set by the user."""
    horizon_months: int = Field(default=36, ge=1, le=120)
    budget: Money | None = None
    """Most to spend at once; None: no limit."""
    worth_changing: Money = Decimal(5)
    """What buying something or sending data out must save a month to be worth the trouble."""
    resale_share: Share = Decimal("0.3")
    """Part of the price of new hardware that it still brings at the end of the horizon."""

    limits: Limits = Limits()
    own_prices: tuple[OwnPrice, ...] = ()
    """At most one for each name; the last one entered counts."""

    @model_validator(mode="after")
    def _consistent(self) -> "Usage":
        if self.prompt_tokens + self.output_tokens > self.context:
            message = (
                f"a request of {self.prompt_tokens:,} + {self.output_tokens:,} tokens is longer "
                f"than the context of {self.context:,}"
            )
            raise ValueError(message)
        if self.long_share and self.long_prompt_tokens <= self.prompt_tokens:
            raise ValueError("long requests must be longer than the others")
        return self

    def with_own_price(self, name: str, amount: Decimal | str | None) -> "Usage":
        """With a price of one's own for a piece; None goes back to the reviewed one.

        Raises ValidationError for an amount that is no price.
        """
        kept = [own.model_dump() for own in self.own_prices if own.name != name]
        if amount is not None:
            kept.append({"name": name, "amount": amount})
        return Usage.model_validate(self.model_dump() | {"own_prices": kept})

    @property
    def api_allowed(self) -> bool:
        """Whether an API can be part of an answer at all."""
        return self.data_may_leave and not self.must_work_offline

    @property
    def new_tokens(self) -> Decimal:
        """Prompt tokens of a request that no cache holds."""
        return self.prompt_tokens * (1 - self.cached_share)

    @property
    def hours_per_month(self) -> Decimal:
        """Hours in a month in which the machine may work."""
        return Decimal(str(self.hours_per_day)) * DAYS_PER_MONTH

    def from_usd(self, amount: Decimal) -> Decimal:
        """US dollars in the user's currency."""
        return amount * self.usd_rate

    @property
    def fast_enough_tps(self) -> float:
        """Tokens per second from which more does not count: four times what was asked for, or what
        one reads."""
        return _FAST_ENOUGH * max(self.min_decode_tps, READING_TPS)

    def accepts_loss(self, word: str) -> bool:
        """Whether a quantization of this loss is good enough. An unknown word is not."""
        return word in LOSS_WORDS and LOSS_WORDS.index(word) <= LOSS_WORDS.index(self.max_loss)


class Preset(BaseModel):
    """A starting point for the form, with where its token counts come from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    title: str
    requests_per_month: int
    prompt_tokens: int
    output_tokens: int
    cached_share: Decimal
    written_share: Decimal
    min_decode_tps: float
    max_ttft_s: float | None
    context: int
    max_loss: LossWord
    hours_per_day: float
    batch_ok: bool = False
    source: str

    def apply(self, usage: Usage) -> Usage:
        """``usage`` with this preset's volume, lengths and limits; prices and rules stay."""
        update = self.model_dump(exclude={"id", "title", "source"})
        return Usage.model_validate(
            usage.model_dump() | update | {"long_share": 0, "long_prompt_tokens": 0}
        )


class Place(BaseModel):
    """What electricity costs somewhere."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    title: str
    price: Decimal
    """Per kWh in ``currency``."""
    currency: str
    date: str
    source: str
    note: str


class _Presets(BaseModel):
    date: str
    presets: tuple[Preset, ...]


class _Places(BaseModel):
    places: tuple[Place, ...]


@functools.cache
def presets() -> tuple[Preset, ...]:
    """The shipped presets, in the order of the form."""
    return resources.load(_Presets, "usage_presets.json").presets


@functools.cache
def places() -> tuple[Place, ...]:
    """Electricity prices to start from."""
    return resources.load(_Places, "electricity.json").places


def preset(name: str) -> Preset:
    """The preset of that id. Raises KeyError."""
    found = {p.id: p for p in presets()}
    return found[name]
