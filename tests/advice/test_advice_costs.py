"""Costs: examples worked by hand to the cent, and what must hold whatever the numbers are."""

import datetime as dt
import re
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.advice import prices
from advisor.advice.costs import ApiCost, api_cost, break_even, hybrid_cost, local_cost
from advisor.advice.influences import Comparison, influences
from advisor.advice.money import ZERO, Span, amounts, cents, energy_cost, price
from advisor.advice.power import Power, estimate, measured
from advisor.advice.serving import LocalRun
from advisor.advice.usage import Usage
from advisor.basis import Basis, Range
from advisor.hardware.compose import parse_rig

NOW = dt.datetime(2026, 11, 23, 14, tzinfo=dt.UTC)


def run(*, decode=50.0, prefill=1000.0, busy=410.0, idle=50.0, spread=1.0):
    def around(value):
        return Range(low=value / spread, mid=value, high=value * spread)

    power = Power(around(busy), around(idle), Basis.COMPUTED, "test")
    return LocalRun(around(decode), around(prefill), power)


def need(**update):
    base = {
        "requests_per_month": 1000,
        "prompt_tokens": 2000,
        "output_tokens": 500,
        "cached_share": Decimal("0.5"),
        "electricity_price": Decimal("0.30"),
        "hours_per_day": 8,
    }
    return Usage(**(base | update))


def flat(amount):
    return ApiCost(Span.exactly(Decimal(amount)), Span.exactly(Decimal(amount)), Decimal(0))


def api(name):
    return prices.api_price(next(a for a in prices.api_models() if a.id == name), NOW)


class TestByHand:
    @pytest.mark.parametrize(
        ("low", "high", "said"),
        [
            ("7.367", "30.03", "7.37–30.03 EUR"),
            ("0.101", "0.104", "0.10 EUR"),
            ("812.4", "1234.56", "812.40–1,235 EUR"),
        ],
    )
    def test_a_range_of_money_has_its_currency_once(self, low, high, said):
        assert amounts(Span(Decimal(low), Decimal(low), Decimal(high)), "EUR") == said

    def test_what_is_bought_is_priced_without_cents(self):
        said = [price(Decimal(amount), "USD") for amount in ("280", "211.40", "3449", "99.5")]
        assert said == ["280 USD", "211 USD", "3,449 USD", "99.50 USD"]

    def test_the_guides_electricity(self):
        # 0.8 kW x 720 h x $0.12 = $69.12 (the guide's 30 days)
        assert energy_cost(Decimal(800), Decimal(720), Decimal("0.12")) == Decimal("69.12")

    def test_a_month_of_a_new_machine(self):
        # 1,000 new tokens at 1,000/s and 500 at 50/s: 11 s.
        # 360 W above idle for 11 s = 1.1 Wh = 0.00033; idle 50 W x 243.5 h = 12.175 kWh = 3.6525
        # 1,000 less 30 % over 36 months = 19.4444. Together 23.0969 + 0.33 = 23.43.
        cost = local_cost(need(), run(), Span.exactly(1000))
        assert cost.ways[0].seconds.mid == 11
        assert cost.per_request.mid == Decimal("0.00033")
        assert cents(cost.fixed.mid) == Decimal("23.10")
        assert cents(cost.monthly(1000).mid) == Decimal("23.43")
        assert cents(cost.horizon(1000).mid) == Decimal("843.37")
        # 8 h x 30.4375 days = 876,600 s / 11 s
        assert cost.capacity.mid.quantize(Decimal(1)) == 79691
        assert cents(cost.busy_hours(1000).mid) == Decimal("3.06")

    def test_a_machine_that_is_switched_off_between_jobs(self):
        # 410 W x 11 s = 1.25278 Wh x 0.30 = 0.000375833; nothing else.
        cost = local_cost(need(idle="off"), run())
        assert cost.fixed == ZERO
        assert cents(cost.monthly(100_000).mid) == Decimal("37.58")

    def test_a_machine_that_is_on_anyway_pays_only_what_is_added(self):
        cost = local_cost(need(idle="on anyway"), run())
        assert cost.fixed == ZERO
        assert cost.per_request.mid == Decimal("0.00033")

    def test_the_guides_break_even_is_57_not_600(self):
        # $3,600 over 36 months and 800 W all day at $0.12: 100 + 70.128 a month; $3 a request.
        usage = need(
            electricity_price=Decimal("0.12"),
            hours_per_day=24,
            resale_share=Decimal(0),
            prompt_tokens=1_000_000,
            context=1 << 20,
        )
        machine = run(busy=800, idle=800, decode=100, prefill=10_000)
        cost = local_cost(usage, machine, Span.exactly(3600))
        assert cents(cost.fixed.mid) == Decimal("170.13")
        even = break_even(cost, flat("3"))
        assert even.mid.quantize(Decimal("0.1")) == Decimal("56.7")
        assert even.reachable

    def test_an_api_bill(self):
        # Sonnet 5.5: 1,000 new at $2/M, 1,000 cached at $0.10/M, 500 out at $10/M,
        # the new ones written at $2.50/M: 0.0025 + 0.0001 + 0.005 = 0.0076
        bill = api_cost(need(written_share=Decimal(1)), api("claude-sonnet-5-5"))
        assert bill.per_request.mid == Decimal("0.0076")
        assert bill.monthly(1000).mid == Decimal("7.6")

    def test_an_api_bill_in_euros(self):
        bill = api_cost(
            need(written_share=Decimal(0), currency="EUR", usd_rate=Decimal("0.9")),
            api("claude-sonnet-5-5"),
        )
        assert bill.per_request.mid == Decimal("0.0071") * Decimal("0.9")

    def test_hybrid_sends_long_requests_out(self):
        # 10 % of 1,000 requests have 100,000 tokens. Haiku 5.5, half cached, nothing written:
        # long 50,000 x 0.1 + 50,000 x 0.01 + 500 x 0.5 = 5,750 micro-dollars; 100 of them 0.575.
        # Local: 900 x 0.00033 + 3.6525 = 3.9495. Together 4.5245.
        usage = need(
            long_share=Decimal("0.1"), long_prompt_tokens=100_000, written_share=Decimal(0)
        )
        mixed = hybrid_cost(usage, run(), api("claude-haiku-5-5"), holds_long=False)
        assert mixed.local_share == Decimal("0.9")
        assert mixed.monthly(1000).mid == Decimal("4.5245")

    def test_hybrid_sends_out_what_the_hours_do_not_hold(self):
        # Half of it, 79,691 requests: 3.6525 + 79,691 x 0.00033 = 29.9505. The others at
        # 1,000 x 0.1 + 1,000 x 0.01 + 500 x 0.5 = 360 micro-dollars: 28.6888. Together 58.6393.
        usage = need(requests_per_month=159_382, written_share=Decimal(0))
        mixed = hybrid_cost(usage, run(), api("claude-haiku-5-5"), holds_long=True)
        assert mixed.local_share.quantize(Decimal("0.001")) == Decimal("0.500")
        assert cents(mixed.monthly(159_382).mid) == Decimal("58.64")


class TestBreakEven:
    def test_free_hardware_wins_from_the_first_request(self):
        cost = local_cost(need(idle="off"), run())
        assert break_even(cost, flat("0.01")).mid == 0

    def test_an_api_cheaper_than_electricity_is_never_beaten(self):
        cost = local_cost(need(), run(), Span.exactly(1000))
        even = break_even(cost, flat("0.0001"))
        assert even.mid is None
        assert not even.reachable

    def test_a_machine_too_slow_does_not_reach_it(self):
        slow = run(decode=1, prefill=10)
        even = break_even(local_cost(need(), slow, Span.exactly(5000)), flat("0.02"))
        assert even.mid is not None
        assert not even.reachable

    def test_uncertainty_widens_it(self):
        exact = break_even(local_cost(need(), run(), Span.exactly(1000)), flat("0.01"))
        loose = break_even(local_cost(need(), run(spread=1.5), Span.exactly(1000)), flat("0.01"))
        assert exact.low == exact.mid == exact.high
        assert loose.low < loose.mid < loose.high


class TestInfluence:
    def test_widest_first_and_api_price_doubles(self):
        base = Comparison(need(), run(spread=1.2), Span.exactly(1000), api("claude-sonnet-5-5"))
        found = influences(base)
        assert len(found) >= 8
        assert [i.swing for i in found] == sorted((i.swing for i in found), reverse=True)
        price = next(i for i in found if i.name == "API price")
        bill = api_cost(base.usage, base.api).monthly(1000).mid
        assert price.swing == bill * Decimal("1.5")

    def test_inputs_tell_their_unit_once(self):
        base = Comparison(need(), run(spread=1.2), Span.exactly(1000), api("claude-sonnet-5-5"))
        told = {i.name: i.inputs for i in influences(base)}
        assert re.fullmatch(r"\d\.\d\d … \d\.\d\d USD/kWh", told["Electricity price"])
        assert told["API price"] == "half … double"
        assert told["Horizon"].endswith(" months")
        assert all(inputs.count("tok/s") < 2 for inputs in told.values())

    def test_what_does_not_matter_is_left_out(self):
        base = Comparison(need(idle="off"), run(), ZERO, api("claude-sonnet-5-5"))
        assert not {"Hardware price", "Resale value", "Horizon", "Speed"} & {
            i.name for i in influences(base)
        }


class TestPower:
    def test_two_cards_draw_less_than_both_limits(self):
        power = estimate(parse_rig("2x RTX 4090 + 128 GB DDR5-6000"))
        assert power.basis is Basis.COMPUTED
        assert 250 < power.busy.low < power.busy.mid < 900
        assert power.busy.high > 800
        assert power.idle.high < power.busy.low

    def test_a_mac_has_published_figures(self):
        power = estimate(parse_rig("M3 Ultra 96GB"))
        assert power.busy.high == 270

    def test_a_server_of_modules_idles_at_kilowatts(self):
        power = estimate(parse_rig("8x H100 SXM + 2 TB DDR5-4800"))
        assert power is not None
        # 8 modules of 100 W and 800 W around them, and what the supplies lose.
        assert power.idle.mid == pytest.approx((8 * 100 + 800) * 1.1)

    def test_an_unknown_limit_widens_the_range_and_is_said(self):
        rig = parse_rig("RTX 4090")
        card = rig.devices[0].model_copy(update={"power_limit_w": None, "power_default_w": None})
        blind = estimate(rig.model_copy(update={"devices": (card,)}))
        known = estimate(rig)
        assert blind.busy.low < known.busy.low < blind.busy.high
        assert "no power limit is known" in blind.source
        assert "no power limit is known" not in known.source

    def test_a_laptop_draws_less_than_a_desktop_around_its_card(self):
        laptop = estimate(parse_rig("RTX 4060 Laptop + 32 GB DDR5-5600"))
        # 115 W of card at 45 to 100 %, 15 to 60 W around it, and what the supply loses.
        assert laptop.busy.low == pytest.approx((115 * 0.45 + 15) * 1.06)
        assert laptop.busy.high == pytest.approx((115 + 60) * 1.18)
        assert laptop.idle.mid < 50

    @pytest.mark.parametrize("mac", ["M1 16GB", "M2 Pro 32GB", "M3 Pro 36GB", "M4 Max 36GB"])
    def test_every_mac_has_a_range(self, mac):
        busy = estimate(parse_rig(mac)).busy
        assert 15 <= busy.low < busy.mid < busy.high <= 150

    def test_measured_cards_narrow_the_range_and_say_so(self):
        rig = parse_rig("RTX 4090 + 64 GB DDR5-6000")
        power = measured(310.0, rig, source="probe")
        guess = estimate(rig)
        assert power.basis is Basis.MEASURED
        assert power.busy.high - power.busy.low < guess.busy.high - guess.busy.low

    def test_a_machine_without_gpus_has_a_power_too(self):
        assert estimate(parse_rig("CPU only 64 GB DDR5-5600")).busy.mid > 100


sums = st.decimals(min_value=0, max_value=20_000, places=2)
speeds = st.floats(min_value=0.5, max_value=500)


@settings(max_examples=200, deadline=None)
@given(
    hardware=sums,
    decode=speeds,
    spread=st.floats(min_value=1, max_value=3),
    volumes=st.tuples(st.integers(1, 1_000_000), st.integers(1, 1_000_000)),
    idle=st.sampled_from(["counts", "off", "on anyway"]),
)
def test_more_volume_never_makes_a_request_dearer(hardware, decode, spread, volumes, idle):
    cost = local_cost(need(idle=idle), run(decode=decode, spread=spread), Span.exactly(hardware))
    few, many = sorted(volumes)
    tolerance = Decimal("1e-18")
    for end in ("low", "mid", "high"):
        assert getattr(cost.each(many), end) <= getattr(cost.each(few), end) + tolerance
    each = cost.each(few)
    assert each.low <= each.mid <= each.high


@settings(max_examples=200, deadline=None)
@given(hardware=sums, decode=speeds, price=st.decimals("0.0001", "5", places=4))
def test_the_lines_meet_at_the_break_even(hardware, decode, price):
    cost = local_cost(need(), run(decode=decode), Span.exactly(hardware))
    bill = flat(price)
    even = break_even(cost, bill)
    if even.mid is None:
        assert bill.mean.mid <= cost.per_request.mid
    else:
        here = even.mid
        assert abs(cost.monthly(here).mid - bill.monthly(here).mid) < Decimal("1e-12")


@pytest.mark.parametrize("share", ["0", "0.3", "1"])
def test_a_hybrid_of_everything_local_costs_what_local_costs(share):
    usage = need(written_share=Decimal(share))
    mixed = hybrid_cost(usage, run(), api("claude-haiku-5-5"), holds_long=True)
    assert mixed.local_share == 1
    assert mixed.monthly(1000) == local_cost(usage, run()).monthly(1000)


@settings(max_examples=60, deadline=None)
@given(
    hardware=st.sampled_from([0, 1, 900, 50_000]),
    price=st.sampled_from(["0", "0.000001", "0.0004", "0.02", "3"]),
    decode=st.sampled_from([0.05, 3.0, 80.0]),
    spread=st.sampled_from([1.0, 3.0]),
    idle=st.sampled_from(["counts", "off", "on anyway"]),
    tariff=st.sampled_from(["0", "0.3"]),
    batch=st.booleans(),
)
def test_a_break_even_is_where_local_begins_to_cost_no_more(
    *, hardware, price, decode, spread, idle, tariff, batch
):
    """Whatever is free: the electricity, the hardware, the API. A hair below it the API is
    cheaper, and from it on local is; none means that no volume is enough."""
    usage = need(idle=idle, electricity_price=Decimal(tariff), batch_ok=batch)
    local = local_cost(usage, run(decode=decode, spread=spread), Span.exactly(hardware))
    even = break_even(local, flat(price))
    ends = [(even.low, 0), (even.mid, 1), (even.high, 2)]
    for crossing, end in ends:

        def gap(volume, end=end):
            cost = local.monthly(volume)
            return (cost.low, cost.mid, cost.high)[end] - Decimal(price) * volume

        if crossing is None:
            assert all(gap(Decimal(10) ** power) > 0 for power in range(13))
            continue
        slack = Decimal("1e-9") * max(Decimal(1), crossing)
        assert gap(crossing + slack) <= Decimal("1e-6")
        assert crossing == 0 or gap(crossing * Decimal("0.999")) >= -Decimal("1e-9")
