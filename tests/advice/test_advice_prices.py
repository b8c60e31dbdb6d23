"""API prices: against the bundled library's own arithmetic, with the network forbidden."""

import datetime as dt
import socket
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.advice import hardware_prices, prices
from advisor.advice.hardware_prices import PriceBook
from advisor.advice.usage import Usage, preset
from advisor.errors import PriceError

MONDAY_14 = dt.datetime(2026, 11, 23, 14, tzinfo=dt.UTC)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("something tried to use the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def api(name):
    return next(a for a in prices.api_models() if a.id == name)


def usd(name, *, prompt, output, cached=0, written=0, at=MONDAY_14):
    """Price of one request at the cheapest hour."""
    _, tariff = prices.api_price(api(name), at).schedule[0]
    return tariff.request(prompt=prompt, output=output, cached=cached, written=written)


# Published prices, worked out by hand (sources: the vendors' price pages).
@pytest.mark.parametrize(
    ("name", "request_", "expected"),
    [
        ("claude-sonnet-5-5", {"prompt": 1_000_000, "output": 2000}, "2.02"),
        ("claude-opus-5-5", {"prompt": 1_000_000, "output": 2000}, "4.04"),
        ("claude-haiku-5-5", {"prompt": 1_000_000, "output": 2000}, "0.505"),
        ("claude-haiku-5-5", {"prompt": 100_000, "output": 2000}, "0.011"),
        ("claude-haiku-5-5", {"prompt": 100_001, "output": 0}, "0.0500005"),
        ("claude-fable-5-2", {"prompt": 1_000_000, "output": 2000}, "8.08"),
        (
            "claude-sonnet-5-5",
            {"prompt": 1_000_000, "output": 2000, "cached": 900_000},
            "0.31",
        ),
        (
            "claude-sonnet-5-5",
            {"prompt": 1000, "output": 0, "cached": 900, "written": 100},
            "0.00034",
        ),
        ("deepseek-flash", {"prompt": 1_000_000, "output": 2000}, "0.1512"),
    ],
)
def test_worked_examples_are_exact(name, request_, expected):
    assert usd(name, **request_) == Decimal(expected)


def test_every_api_has_a_price_and_a_window():
    for model in prices.api_models():
        price = prices.api_price(model, MONDAY_14)
        assert sum(share for share, _ in price.schedule) == 1
        assert price.context_window, model.id
        assert ("not confirmed elsewhere" in price.source) == (model.confirmed is None)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from([a.id for a in prices.api_models()]),
    prompt=st.integers(1, 900_000),
    output=st.integers(1, 20_000),
    cached=st.integers(0, 100),
)
def test_agrees_with_the_library(name, prompt, output, cached):
    from genai_prices import types  # noqa: PLC0415 - a slow import, only here

    model = api(name)
    info = prices._model_infos()[model.provider, model.ref]
    read = prompt * cached // 100
    theirs = info.get_prices(MONDAY_14).calc_price(
        types.Usage(input_tokens=prompt, cache_read_tokens=read, output_tokens=output)
    )
    assert usd(name, prompt=prompt, output=output, cached=read) == theirs["total_price"]


def test_deepseek_peak_hours_are_35_of_168():
    price = prices.api_price(api("deepseek-flash"), MONDAY_14)
    (off, cheap), (peak, dear) = price.schedule
    assert off == 1 - peak
    assert peak == Decimal(5 * 7) / Decimal(7 * 24)
    assert dear.input.base == 2 * cheap.input.base


def test_v4_pro_keeps_a_price_of_its_own():
    """It was to be billed as V4.1-Flash from 2026-09-14; DeepSeek took that back."""
    now = prices.api_price(api("deepseek-v4-pro"), MONDAY_14)
    assert [t.input.base for _, t in now.schedule] == [Decimal("0.66"), Decimal("1.32")]
    launch = prices.api_price(api("deepseek-v4-pro"), dt.datetime(2026, 5, 1, 2, tzinfo=dt.UTC))
    assert [t.input.base for _, t in launch.schedule] == [Decimal("0.435")]


def test_a_share_at_peak_moves_the_price_between_its_ends():
    price = prices.api_price(api("deepseek-flash"), MONDAY_14)
    usage = preset("chat").apply(Usage())
    spread = price.request(usage)
    night = price.request(usage.model_copy(update={"peak_share": Decimal(0)}))
    day = price.request(usage.model_copy(update={"peak_share": Decimal(1)}))
    assert night.mid == spread.low < spread.mid < spread.high == day.mid


def test_batch_halves_what_has_a_batch_price():
    now = prices.api_price(api("claude-haiku-5-5"), MONDAY_14).schedule[0][1]
    batch = prices.api_price(api("claude-haiku-5-5"), MONDAY_14, batch=True).schedule[0][1]
    assert batch.input.base * 2 == now.input.base


def test_an_announced_price_step_is_said():
    notes = prices.api_price(api("gemini-3.8-flash"), MONDAY_14).notes
    assert any("2027-01-01" in note for note in notes)


def test_unknown_api_says_so():
    unknown = api("deepseek-flash").model_copy(update={"ref": "no-such-model"})
    with pytest.raises(PriceError, match="no price"):
        prices.api_price(unknown, MONDAY_14)


class TestCandidates:
    def test_same_weights_first_then_the_successor(self):
        found = prices.candidates(
            "deepseek-ai/DeepSeek-V4-Flash", 284_000_000_000, Usage(), MONDAY_14
        )
        assert [c.relation for c in found][:2] == ["same weights", "successor"]
        assert found[0].price.api.id == "fireworks-v4-flash"

    def test_private_data_gets_none(self):
        private = Usage(data_may_leave=False)
        offline = Usage(must_work_offline=True)
        for usage in (private, offline):
            assert prices.candidates("Qwen/Qwen3-32B", 32_000_000_000, usage, MONDAY_14) == ()

    def test_a_window_that_is_too_small_is_left_out(self):
        usage = preset("single-million").apply(Usage())
        found = prices.candidates("Qwen/Qwen3-32B", 32_000_000_000, usage, MONDAY_14)
        assert found
        assert all(c.price.context_window >= 1_002_000 for c in found)

    def test_an_unreviewed_model_is_classed_by_size(self):
        assert prices.tier_of("nobody/tiny", 7_000_000_000) == 1
        assert prices.tier_of("nobody/huge", 1_000_000_000_000) == 4
        found = prices.candidates("nobody/tiny", 7_000_000_000, Usage(), MONDAY_14)
        assert {c.relation for c in found} == {"like class"}

    def test_only_the_same_weights_on_request(self):
        usage = Usage(same_model_api_only=True)
        found = prices.candidates("Qwen/Qwen3-32B", 32_000_000_000, usage, MONDAY_14)
        assert {c.price.api.id for c in found} == {"groq-qwen3-32b", "openrouter-qwen3-32b"}


class TestHardware:
    def test_the_users_price_wins_and_never_ages(self):
        book = PriceBook({"rtx 5090": Decimal(3333)})
        price = book.best("GeForce RTX 5090", launch_usd=1999, launch_date="2025-01-30")
        assert price.mid == 3333
        assert not price.is_old(dt.date(2030, 1, 1))

    def test_without_an_offer_the_launch_price_is_used_and_marked_old(self):
        price = PriceBook().best("GeForce RTX 2060", launch_usd=349, launch_date="2019-01-07")
        assert price.condition == "launch price"
        assert price.is_old(dt.date(2026, 11, 23))

    def test_nothing_known_is_none(self):
        assert PriceBook().best("Card of the future") is None

    def test_half_a_year_is_the_limit(self):
        price = PriceBook().part("DDR5 per GB")
        seen = dt.date.fromisoformat(price.date)
        assert not price.is_old(seen + dt.timedelta(days=183))
        assert price.is_old(seen + dt.timedelta(days=184))

    def test_every_shipped_price_is_ordered_and_sourced(self):
        for price in hardware_prices._shipped().prices:
            assert 0 < price.low <= price.mid <= price.high, price.name
            assert price.source
            assert price.date
