"""A server on each card: what it serves, what it draws, and the commands that start it."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.advice.assessment import assess
from advisor.advice.batching import gains
from advisor.advice.builds import Build
from advisor.advice.commands import commands
from advisor.advice.costs import local_cost
from advisor.advice.engine import Engine, MeasuredRun
from advisor.advice.influences import Comparison, influences
from advisor.advice.money import ZERO, cents
from advisor.advice.power import Power, estimate
from advisor.advice.serving import Apart, LocalRun, Server
from advisor.advice.timing import roughly, timed
from advisor.advice.upgrades import option, with_plans
from advisor.advice.usage import Usage, preset
from advisor.advice.variants import Variant, loss_of
from advisor.basis import Basis, Range
from advisor.hardware.compose import parse_rig
from advisor.llm.catalogue import catalogue
from advisor.sizing import size
from advisor.sizing.settings import RunSettings
from tests.volumes import no_cheaper_months

BATCH = preset("batch").apply(Usage())
ONE_WAITS = BATCH.model_copy(update={"batch_ok": False})


def power(busy):
    return Power(Range.exactly(busy), Range.exactly(100.0), Basis.COMPUTED, "test")


def run(decode, prefill, *, busy=500.0, **more):
    return LocalRun(Range.exactly(decode), Range.exactly(prefill), power(busy), **more)


def rig_of(*servers, busy=900.0, decode=40.0, prefill=2000.0, **more):
    apart = Apart(tuple(Server(f"CUDA{n}", one) for n, one in enumerate(servers)), power(busy))
    return run(decode, prefill, apart=apart, **more)


class TestByHand:
    # 1,050 new tokens and 200 to write. Alone: 1,050 / 2,000 + 200 / 40 = 5.525 s of a month of
    # 730.5 h: 475,982 requests.
    def test_two_equal_cards_serve_twice_as_much(self):
        card = run(40.0, 2000.0)
        need = ONE_WAITS.model_copy(update={"requests_per_month": 600_000})
        line = local_cost(need, rig_of(card, card))
        assert len(line.way.servers) == 2
        assert line.ways[-1].seconds.mid.quantize(Decimal("1e-9")) == Decimal("2.7625")
        assert int(line.capacity.mid) == 951_963
        # 900 W less 100 W idle for 2.7625 s: 0.613889 Wh at 0.18 a kWh.
        assert line.per_request.mid.quantize(Decimal("1e-9")) == Decimal("0.000110500")
        assert cents(line.per_request.mid * 600_000) == Decimal("66.30")

    def test_unequal_cards_add_their_rates(self):
        # 5.525 s and 1,050 / 1,000 + 200 / 20 = 11.05 s: 3 requests in 11.05 s.
        line = local_cost(
            ONE_WAITS.model_copy(update={"requests_per_month": 600_000}),
            rig_of(run(40.0, 2000.0), run(20.0, 1000.0), busy=650.0),
        )
        assert line.ways[-1].seconds.mid.quantize(Decimal("1e-6")) == Decimal("3.683333")
        # Both serve 713,973 with 550 W above idle, one alone 475,982 with 400 W: at 600,000 both
        # work 52.11 % of 730.5 h. 349.30 kWh, and 73.05 kWh of idling, at 0.18.
        assert cents(line.monthly(600_000).mid) == Decimal("76.02")

    def test_a_card_that_costs_more_energy_than_it_serves_stays_idle(self):
        # 800 W for 3.68 s are more than 400 W for 5.525 s.
        line = local_cost(
            BATCH.model_copy(update={"requests_per_month": 600_000}),
            rig_of(run(40.0, 2000.0), run(20.0, 1000.0), busy=900.0),
        )
        assert not line.way.servers
        assert not line.serves(600_000)

    def test_one_server_does_where_it_is_enough(self):
        card = run(40.0, 2000.0)
        line = local_cost(ONE_WAITS, rig_of(card, card))
        assert not line.way.servers
        assert line.at_once == 1

    def test_answers_at_once_on_each_come_after_servers(self):
        card = run(40.0, 2000.0, slots=4, gains=gains("cuda", experts=False))
        ways = list(rig_of(card, card, slots=4, gains=card.gains).ways(BATCH))
        assert [(len(w.servers), w.level.at_once) for w in ways] == [
            (0, 1),
            (2, 1),
            (0, 2),
            (2, 2),
            (0, 4),
            (2, 4),
        ]

    def test_cards_too_slow_for_the_need_get_no_server(self):
        need = BATCH.model_copy(update={"min_decode_tps": 30.0})
        rig = rig_of(run(40.0, 2000.0), run(40.0, 2000.0), run(20.0, 1000.0))
        assert [len(way.servers) for way in rig.ways(need)] == [0, 2]
        waiting = BATCH.model_copy(update={"max_ttft_s": 0.5})  # 1,050 / 2,000 s and a token
        assert [len(way.servers) for way in rig.ways(waiting)] == [0]


def test_half_the_requests_never_cost_more_than_all():
    more = {"slots": 4, "gains": gains("cuda", experts=False)}
    card = run(40.0, 2000.0, **more)
    need = BATCH.model_copy(update={"requests_per_month": 900_000, "hours_per_day": 12})
    done = rig_of(card, card, **more)
    line = local_cost(need, done)
    assert line.at_once > 2
    base = line.monthly(900_000).mid
    for moved in influences(Comparison(need, done, ZERO, None)):
        ends = sorted((moved.at_low, moved.at_high))
        assert ends[0] <= base <= ends[1], moved.name


def test_every_end_of_speed_and_power_reaches_the_servers():
    card = LocalRun(Range(low=20.0, mid=40.0, high=60.0), Range.exactly(2000.0), power(500))
    wide = Power(Range(low=600.0, mid=900.0, high=1500.0), Range.exactly(100.0), Basis.COMPUTED, "")
    done = replace(run(40.0, 2000.0), apart=Apart((Server("CUDA0", card),) * 2, wide))
    need = BATCH.model_copy(update={"requests_per_month": 600_000})
    moved = {i.name: i for i in influences(Comparison(need, done, ZERO, None))}
    assert moved["Speed"].swing > 0
    assert moved["Power drawn"].swing > 0


@settings(max_examples=60, deadline=None)
@given(
    speeds=st.lists(st.floats(2, 200), min_size=2, max_size=4),
    whole_and_watts=st.tuples(st.floats(2, 200), st.floats(200, 3000)),
    slots=st.integers(1, 8),
    usage=st.sampled_from([BATCH, ONE_WAITS]),
    volumes=st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)),
)
def test_more_volume_never_makes_a_request_dearer_nor_a_month_cheaper(
    speeds, whole_and_watts, slots, usage, volumes
):
    whole, busy = whole_and_watts
    more = {"slots": slots, "gains": gains("cuda", experts=False)}
    done = rig_of(*(run(s, 2000.0, **more) for s in speeds), decode=whole, busy=busy, **more)
    no_cheaper_months(done, usage, volumes)


def variant(name="Qwen/Qwen3-8B", file_type="Q4_K_M"):
    model = catalogue().find(name).model(file_type)
    return Variant(model, "f16", loss_of(model, "f16"), 1)


@pytest.mark.parametrize("how", [timed, roughly])
def test_every_card_that_holds_the_model_alone_has_a_server(how):
    rig = parse_rig("2x RTX 4090 + RTX 3060 12GB + RTX 2060 + 64 GB DDR5-6000")
    found = how(variant(), rig, BATCH, Engine(RunSettings())).run.apart
    # 5 GiB of weights and 1.1 GiB of cache: not on 6 GiB.
    assert [server.device for server in found.servers] == ["CUDA0", "CUDA1", "CUDA2"]
    fast, _, slow = (server.run.decode_tps.mid for server in found.servers)
    assert fast > 2 * slow
    assert found.power.busy.mid > estimate(rig).busy.mid


def test_no_servers_apart_where_the_model_needs_every_card():
    def apart(asked, rig):
        return timed(asked, parse_rig(rig), BATCH, Engine(RunSettings())).run.apart

    assert apart(variant("Qwen/Qwen3-32B", "Q8_0"), "2x RTX 4090 + 64 GB DDR5-6000") is None
    assert apart(variant(), "RTX 4090 + 64 GB DDR5-6000") is None


def test_what_was_measured_on_the_whole_rig_is_not_taken_for_a_card():
    probe = MeasuredRun("Qwen/Qwen3-8B", "Q4_K_M", "f16", 11.0, 100.0, None, "probe")
    rig = parse_rig("2x RTX 4090 + 64 GB DDR5-6000")
    found = timed(variant(), rig, BATCH, Engine(RunSettings(), measured=[probe])).run
    assert found.decode_tps.mid == 11.0
    assert found.apart.servers[0].run.decode_tps.mid > 50


def test_the_commands_name_a_card_and_a_port_each_and_fit():
    rig, engine = parse_rig("2x RTX 4090 + 64 GB DDR5-6000"), Engine(RunSettings())
    need = BATCH.model_copy(update={"requests_per_month": 1_000_000, "hours_per_day": 6})
    outcome = timed(variant(), rig, need, engine)
    made = with_plans(
        option(Build("keep", "Keep this rig", rig), variant(), outcome),
        variant(),
        need,
        engine,
        outcome,
    )
    found = assess(made, need)
    told = commands(found, need)
    assert [words[-4:] for words in told] == [
        ("-dev", "CUDA0", "--port", "8080"),
        ("-dev", "CUDA1", "--port", "8081"),
    ]
    slots = found.local.way.level.at_once
    assert told[0][told[0].index("-np") + 1] == str(slots)
    several = RunSettings(ctx=slots * need.context, parallel=slots)
    assert size(variant().model, parse_rig("RTX 4090 + 64 GB"), several).fits
    one = need.model_copy(update={"requests_per_month": 1, "batch_ok": False})
    assert len(commands(assess(made, one), one)) == 1
