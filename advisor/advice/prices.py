"""What an API charges for a request, from bundled data and never over the network.

Prices come from ``genai-prices``: its tables, read directly, so that nothing in it can go online;
``resources/api_overrides.json`` corrects what they cannot say. All arithmetic is exact (Decimal).
"""

import functools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from advisor import resources
from advisor.advice.usage import Usage
from advisor.errors import PriceError

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice

_MTOK = Decimal(1_000_000)
_SLOTS_PER_DAY = 96
"""Quarter hours: peak windows start on full and half hours."""

Relation = Literal["same weights", "successor", "like class"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Confirmation(_Frozen):
    """Another place that gave the same price."""

    date: date
    source: str


class ApiModel(_Frozen):
    """One model at one host, as reviewed in resources/api_models.json."""

    id: str
    title: str
    provider: str
    ref: str
    tier: int
    """Capability class, 1 to 5; a reviewer's judgement."""
    context: int | None
    """Prompt and answer, in tokens, where the price data does not say."""
    weights: tuple[str, ...]
    """Catalogue models whose weights it serves."""
    succeeds: tuple[str, ...]
    """Catalogue models it replaces in its family."""
    note: str
    confirmed: Confirmation | None = None
    """None: nobody else was found who gives this price."""


class _ApiModels(_Frozen):
    date: str
    source: str
    tier_from_params: tuple[tuple[int, int], ...]
    tier_exceptions: dict[str, int]
    apis: tuple[ApiModel, ...]


class _Window(_Frozen):
    provider: str
    models: tuple[str, ...]
    off_peak_hour_utc: int
    peak_weekdays: tuple[int, ...]
    weekdays_from: date
    peak_from: date
    reason: str
    source: str


class _Overrides(_Frozen):
    date: str
    windows: tuple[_Window, ...]


@dataclass(frozen=True, slots=True)
class Rate:
    """US dollars per million tokens; above a tier's start all tokens pay the tier's rate."""

    base: Decimal
    tiers: tuple[tuple[int, Decimal], ...] = ()

    def at(self, prompt_tokens: int) -> Decimal:
        """The rate for a request with a prompt of that length."""
        rate = self.base
        for start, tier_rate in self.tiers:
            if prompt_tokens > start:
                rate = tier_rate
        return rate


@dataclass(frozen=True, slots=True)
class Tariff:
    """What one model charges at one moment."""

    input: Rate
    output: Rate
    cache_read: Rate | None = None
    """None: repeated tokens cost as much as new ones."""
    cache_write: Rate | None = None
    """None: writing to the cache costs nothing extra."""

    def request(
        self, *, prompt: int, output: int, cached: Decimal | int = 0, written: Decimal | int = 0
    ) -> Decimal:
        """US dollars for one request. ``cached`` and ``written`` are parts of ``prompt``."""
        read = (self.cache_read or self.input).at(prompt)
        write = (self.cache_write or self.input).at(prompt)
        plain = prompt - cached - written
        tokens = (
            plain * self.input.at(prompt)
            + cached * read
            + written * write
            + output * self.output.at(prompt)
        )
        return tokens / _MTOK


@dataclass(frozen=True, slots=True)
class PriceRange:
    """Money per request, in US dollars: off-peak, expected, all of it at peak."""

    low: Decimal
    mid: Decimal
    high: Decimal


@dataclass(frozen=True)
class ApiPrice:
    """One API's price at a moment, over a week of peak and off-peak hours."""

    api: ApiModel
    schedule: tuple[tuple[Decimal, Tariff], ...]
    """Shares of a week and their tariffs; the shares sum to 1."""
    context_window: int | None
    at: datetime
    source: str
    notes: tuple[str, ...] = ()

    def request(self, usage: Usage, *, prompt_tokens: int | None = None) -> PriceRange:
        """US dollars for one of this usage's requests, or one with a longer prompt."""
        prompt = prompt_tokens or usage.prompt_tokens
        cached = prompt * usage.cached_share
        written = (prompt - cached) * usage.written_share
        priced = sorted(
            (
                tariff.request(
                    prompt=prompt, output=usage.output_tokens, cached=cached, written=written
                ),
                share,
            )
            for share, tariff in self.schedule
        )
        low, high = priced[0][0], priced[-1][0]
        if usage.peak_share is None:
            mid = sum((price * share for price, share in priced), Decimal(0))
        else:
            mid = low + (high - low) * usage.peak_share
        return PriceRange(low, mid, high)


@dataclass(frozen=True)
class Candidate:
    """An API that could do the work of a local model, and why it is proposed."""

    relation: Relation
    price: ApiPrice


@functools.cache
def api_models() -> tuple[ApiModel, ...]:
    """Every API that can be proposed."""
    return _api_data().apis


@functools.cache
def _api_data() -> _ApiModels:
    return resources.load(_ApiModels, "api_models.json")


@functools.cache
def _overrides() -> _Overrides:
    return resources.load(_Overrides, "api_overrides.json")


@functools.cache
def _model_infos() -> dict[tuple[str, str], "ModelInfo"]:
    # Importing the tables takes over a second: only when a price is asked for.
    from genai_prices.data import providers  # noqa: PLC0415

    return {(p.id, m.id): m for p in providers for m in p.models}


@functools.cache
def data_version() -> str:
    """The version of the bundled price data, which stands for its date."""
    from importlib.metadata import version  # noqa: PLC0415 - reads the disk

    return f"genai-prices {version('genai-prices')}"


def api_price(api: ApiModel, at: datetime, *, batch: bool = False) -> ApiPrice:
    """The price of ``api`` at ``at``, which must carry a time zone. ``batch``: nobody waits.

    Raises PriceError when the bundled data has no price for it.
    """
    moment = at.astimezone(UTC)
    info = _model_infos().get((api.provider, api.ref))
    if info is None:
        raise PriceError(f"The bundled price data has no price for {api.title}.")
    schedule = _schedule(api.provider, api.ref, moment.date(), batch)
    if not schedule:
        raise PriceError(f"The bundled price data has no token price for {api.title}.")
    notes = _coming_changes(info, moment)
    if api.note:
        notes += (api.note,)
    return ApiPrice(
        api=api,
        schedule=schedule,
        context_window=api.context or info.context_window,
        at=at,
        source=f"{data_version()}, {api.provider}/{api.ref}, {_confirmed(api)}",
        notes=notes,
    )


def _confirmed(api: ApiModel) -> str:
    found = api.confirmed
    if found is None:
        return "not confirmed elsewhere"
    return f"confirmed as of {found.date.isoformat()} ({found.source})"


def tier_of(model_id: str, n_params: int) -> int:
    """The capability class of a catalogue model: a reviewed exception, or its size."""
    data = _api_data()
    known = {name.lower(): tier for name, tier in data.tier_exceptions.items()}
    if model_id.lower() in known:
        return known[model_id.lower()]
    return next((tier for limit, tier in data.tier_from_params if n_params <= limit), 5)


def candidates(model_id: str, n_params: int, usage: Usage, at: datetime) -> tuple[Candidate, ...]:
    """APIs that could replace the model for this usage, cheapest first within each relation.

    Same weights come first, then the family's successor, then others of at least its class. Those
    whose window is too small, or that the usage forbids, are left out.
    """
    if not usage.api_allowed:
        return ()
    tier = tier_of(model_id, n_params)
    found: list[Candidate] = []
    for api in api_models():
        relation = _relation(api, model_id, tier)
        if relation is None or (usage.same_model_api_only and relation != "same weights"):
            continue
        price = _price_of(api.id, at, usage.batch_ok)
        if price.context_window is not None and price.context_window < _longest(usage):
            continue
        found.append(Candidate(relation, price))
    order: dict[Relation, int] = {"same weights": 0, "successor": 1, "like class": 2}
    return tuple(
        sorted(
            found,
            key=lambda c: (order[c.relation], c.price.request(usage).mid, c.price.api.id),
        )
    )


@functools.lru_cache(maxsize=512)
def _price_of(api_id: str, at: datetime, batch: bool) -> ApiPrice:
    """``api_price``: several models ask for the same one within one question."""
    return api_price(next(a for a in api_models() if a.id == api_id), at, batch=batch)


def _longest(usage: Usage) -> int:
    return max(usage.prompt_tokens, usage.long_prompt_tokens) + usage.output_tokens


def _relation(api: ApiModel, model_id: str, tier: int) -> Relation | None:
    model = model_id.lower()
    if model in (w.lower() for w in api.weights):
        return "same weights"
    if model in (w.lower() for w in api.succeeds):
        return "successor"
    # One class above is still a fair comparison when it is cheaper; two are another product.
    return "like class" if tier <= api.tier <= tier + 1 else None


@functools.lru_cache(maxsize=1024)
def _schedule(
    provider: str,
    ref: str,
    day_of_prices: date,
    batch: bool,
) -> tuple[tuple[Decimal, Tariff], ...]:
    """Shares of a week by tariff: the prices of one UTC date, every quarter hour, all weekdays."""
    info = _model_infos()[provider, ref]
    context = {"processing": "batch"} if batch else None
    midnight = datetime.combine(day_of_prices, time(), UTC)
    day: Counter[Tariff] = Counter()
    for slot in range(_SLOTS_PER_DAY):
        tariff = _tariff(info.get_prices(midnight + timedelta(minutes=15 * slot), context))
        if tariff is not None:
            day[tariff] += 1
    window = next(
        (
            w
            for w in _overrides().windows
            if w.provider == provider and info.id in w.models and len(day) > 1
        ),
        None,
    )
    peak_days = 7
    week: Counter[Tariff] = Counter()
    if window is not None:
        off_peak_hour = midnight + timedelta(hours=window.off_peak_hour_utc)
        off_peak = _tariff(info.get_prices(off_peak_hour, context))
        if day_of_prices < window.peak_from:
            peak_days = 0
        elif day_of_prices >= window.weekdays_from:
            peak_days = len(window.peak_weekdays)
        if off_peak is not None:
            week[off_peak] += (7 - peak_days) * _SLOTS_PER_DAY
    for tariff, slots in day.items():
        week[tariff] += slots * peak_days
    total = sum(week.values())
    return tuple(
        (Decimal(slots) / total, tariff)
        for tariff, slots in sorted(week.items(), key=lambda item: item[0].input.base)
        if slots
    )


def _tariff(prices: "ModelPrice") -> Tariff | None:
    values: dict[str, Any] = vars(prices)
    # Input may be free and left out; a price without output tokens is not one for text.
    if values.get("output_mtok") is None:
        return None
    return Tariff(
        input=_rate(values.get("input_mtok")) or Rate(Decimal(0)),
        output=_rate(values["output_mtok"]) or Rate(Decimal(0)),
        cache_read=_rate(values.get("cache_read_mtok")),
        cache_write=_rate(values.get("cache_write_mtok")),
    )


def _rate(value: Any) -> Rate | None:  # noqa: ANN401 - Decimal, TieredPrices or None
    if value is None:
        return None
    if isinstance(value, Decimal):
        return Rate(value)
    return Rate(value.base, tuple((tier.start, tier.price) for tier in value.tiers))


def _coming_changes(info: "ModelInfo", moment: datetime) -> tuple[str, ...]:
    """Price steps that the data already knows of."""
    if not isinstance(info.prices, list):
        return ()
    starts: Iterable[date] = (
        start
        for conditional in info.prices
        if (start := getattr(conditional.constraint, "start_date", None)) is not None
    )
    return tuple(
        f"The price changes on {start.isoformat()}."
        for start in sorted(starts)
        if start > moment.date()
    )
