"""The verdict: what must hold whatever the options are, and that it reads as a sentence."""

import datetime as dt
import re
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.advice import prices
from advisor.advice.assessment import assess
from advisor.advice.hardware_prices import HardwarePrice
from advisor.advice.options import EFFORT, Kind, Option, Purchase
from advisor.advice.power import Power
from advisor.advice.serving import LocalRun
from advisor.advice.usage import LOSS_WORDS, Usage
from advisor.advice.verdict import choose, conclude, dominates, pareto, rank
from advisor.advice.wording import leans_on, standing
from advisor.basis import Basis, Range
from advisor.hardware.rig import Rig

NOW = dt.datetime(2026, 11, 23, 14, tzinfo=dt.UTC)
RIG = Rig(name="RTX 4090 + 64 GB")
LOCAL_KINDS = [k for k in EFFORT if k not in {"API", "hybrid"}]


def local(
    *,
    kind: Kind = "keep",
    price=0,
    speed=40.0,
    loss="small",
    tier=2,
    fits=True,
    busy=400.0,
    ident="x",
):
    cost = HardwarePrice(
        name="card",
        kind="gpu",
        condition="new",
        low=Decimal(price),
        mid=Decimal(price),
        high=Decimal(price),
        date="2026-11-01",
        source="test",
    )
    power = Power(Range.exactly(busy), Range.exactly(60.0), Basis.COMPUTED, "test")
    run = LocalRun(
        Range(low=speed * 0.8, mid=speed, high=speed * 1.2), Range.exactly(1000.0), power
    )
    return Option(
        id=f"{kind}|{ident}",
        kind=kind,
        title=f"{kind} {ident}",
        model_id="m",
        model_name="Model",
        file_type="Q4_K_M",
        loss=loss,
        tier=tier,
        rig=RIG,
        fits=fits,
        headroom=1 << 30 if fits else -(1 << 30),
        ctx=1 << 20,
        run=run,
        ttft_s=Range.exactly(1.0),
        purchases=(Purchase("card", Decimal(1), cost),) if price else (),
    )


def rented(name="deepseek-flash"):
    api = next(a for a in prices.api_models() if a.id == name)
    price = prices.api_price(api, NOW)
    return Option(
        id=f"API|{name}",
        kind="API",
        title=api.title,
        tier=api.tier,
        api=price,
        relation="like class",
    )


@st.composite
def locals_(draw):
    return local(
        kind=draw(st.sampled_from(LOCAL_KINDS)),
        price=draw(st.sampled_from([0, 300, 1000, 5000])),
        speed=draw(st.sampled_from([3.0, 9.0, 20.0, 40.0, 41.0, 120.0])),
        loss=draw(st.sampled_from(LOSS_WORDS)),
        tier=draw(st.integers(1, 4)),
        fits=draw(st.sampled_from([True, True, True, False, None])),
        busy=draw(st.sampled_from([150.0, 400.0, 900.0])),
        ident=str(draw(st.integers(0, 10**6))),
    )


apis = st.sampled_from(["deepseek-flash", "claude-haiku-5-5", "claude-opus-5-5", "kimi-k3"]).map(
    rented
)
menus = st.lists(st.one_of(locals_(), locals_(), apis), min_size=1, max_size=8).map(
    lambda found: list({o.id: o for o in found}.values())
)
needs = st.builds(
    Usage,
    requests_per_month=st.sampled_from([1, 100, 3000, 50_000, 1_000_000]),
    min_decode_tps=st.sampled_from([0.0, 10.0, 30.0]),
    max_loss=st.sampled_from(LOSS_WORDS),
    data_may_leave=st.booleans(),
    must_work_offline=st.booleans(),
    budget=st.sampled_from([None, Decimal(0), Decimal(500), Decimal(3000)]),
    horizon_months=st.sampled_from([6, 36]),
)


def worse(option, how):
    """The same but for one thing that is worse."""
    if how == "tier":
        return replace(option, id=f"{option.id}-", tier=option.tier - 1)
    if how == "loss":
        heavier = LOSS_WORDS[min(LOSS_WORDS.index(option.loss) + 1, len(LOSS_WORDS) - 1)]
        return replace(option, id=f"{option.id}-", loss=heavier)
    speed = option.run.decode_tps
    slower = Range(low=speed.low * 0.7, mid=speed.mid * 0.7, high=speed.high * 0.7)
    return replace(option, id=f"{option.id}-", run=replace(option.run, decode_tps=slower))


def no_hard_constraint_is_broken(best, usage):
    option = best.option
    if not usage.data_may_leave or usage.must_work_offline:
        assert option.api is None
    if option.rig is not None:
        assert option.fits is True
        assert usage.accepts_loss(option.loss)
        assert option.run is not None
        assert best.busy_hours_per_day is not None
        assert option.run.decode_tps.mid >= usage.min_decode_tps
        assert best.busy_hours_per_day <= Decimal(str(usage.hours_per_day))
    if usage.budget is not None:
        assert best.hardware.mid <= usage.budget


def no_option_worsens(before, after, usage):
    if before is not None:
        assert after is not None
        assert rank([before, after], usage)[0].option.id == after.option.id


def front_is_what_nothing_dominates(assessed, best, usage):
    front = pareto(assessed, usage)
    slowly = {a.option.id for a in assessed if a.meets} - {
        b.option.id for a in assessed for b in assessed if dominates(a, b)
    }
    assert {a.option.id for a in front} == slowly
    assert (not front) == (best is None)
    if best is not None:
        assert best.option.id in slowly


@settings(max_examples=100, deadline=None)
@given(
    menu=menus,
    twin=locals_(),
    how=st.sampled_from(["tier", "loss", "speed"]),
    usage=needs,
)
def test_what_holds_of_every_verdict(menu, twin, how, usage):
    """Of any options: with a pair of which one is the other made worse, and without them."""
    pair = [assess(o, usage) for o in (worse(twin, how), twin)]
    known = {a.option.id: a for a in (*(assess(o, usage) for o in menu), *pair)}
    every = list(known.values())
    few = [a for a in every if a not in pair]
    best = choose(every, usage)
    front_is_what_nothing_dominates(every, best, usage)
    no_option_worsens(choose(few, usage), best, usage)
    alone = choose(pair, usage)
    no_option_worsens(alone, best, usage)
    assert alone is None or alone is pair[1] or not dominates(pair[1], pair[0])
    backwards = choose(every[::-1], usage)
    assert (best and best.option.id) == (backwards and backwards.option.id)
    if best is not None:
        no_hard_constraint_is_broken(best, usage)
        assert not any(dominates(other, best) for other in every)


@settings(max_examples=20, deadline=None)
@given(menu=menus, usage=needs)
def test_advice_is_one_sentence_and_says_what_is_wrong(menu, usage):
    advice = conclude(menu, usage, rig_name="This machine", at=NOW)
    assert advice.headline.endswith(".")
    assert "\n" not in advice.headline
    if advice.best is None:
        assert "meets this need" in advice.headline
        assert all(a.failures for a in advice.assessments)
    assert len(advice.assessments) == len(menu)


class TestSentences:
    usage = Usage(requests_per_month=3000)

    def test_keep(self):
        advice = conclude([local(tier=3), rented()], self.usage, rig_name="This machine", at=NOW)
        assert advice.headline.startswith("Keep this machine as it is and run Model Q4_K_M: about")

    def test_nothing_meets_the_need(self):
        usage = Usage(data_may_leave=False, min_decode_tps=100)
        advice = conclude([local(), rented()], usage, rig_name="This machine", at=NOW)
        assert advice.best is None
        assert "nearest comes “keep x" in advice.headline
        assert "below the 100 asked for" in advice.headline

    def test_too_close_to_call_is_said(self):
        menu = [local(ident="a"), local(kind="tune", ident="b", busy=401.0)]
        advice = conclude(menu, self.usage, rig_name="This machine", at=NOW)
        assert advice.close
        assert "too close to call with “tune b" in advice.headline

    def test_what_is_saved_but_hardly_is_said(self):
        menu = [local(ident="a"), local(kind="close programs", ident="b", busy=300.0)]
        advice = conclude(menu, self.usage, rig_name="This machine", at=NOW)
        assert advice.close
        assert re.search(r"USD (less|more) than “.*”, too little to decide by\.$", advice.headline)

    def test_what_is_far_dearer_and_yet_close_is_explained(self):
        """Nobody believes that 0.42 USD and 5.83 are too close to call without a reason."""
        menu = [local(busy=150.0, tier=3), rented()]
        usage = Usage(worth_changing=Decimal(2))
        advice = conclude(menu, usage, rig_name="This machine", at=NOW)
        assert advice.close
        assert advice.best.option.kind == "API"
        assert re.search(
            r", [\d.]+ USD less than “.*”, yet too close to call given the trouble of a change\.$",
            advice.headline,
        )

    def test_what_would_change_it(self):
        faster = local(kind="add GPU", price=500, speed=100, ident="b", tier=3)
        menu = [local(speed=40, tier=3), faster, rented()]
        advice = conclude(menu, self.usage, rig_name="This machine", at=NOW)
        changes = [str(c) for c in advice.changes]
        assert any(c.startswith("if answers must be faster than 40") for c in changes)
        assert any("add GPU b" in c for c in changes)

    def test_a_volume_that_is_no_break_even_says_what_happens_there(self):
        """Above 210,000 requests an API, though the rig is cheaper from 120,000 on: why?"""

        def flip(requests: int, rig: Option) -> str:
            usage = Usage(requests_per_month=requests)
            menu = [rig, replace(rented(), tier=rig.tier)]
            advice = conclude(menu, usage, rig_name="This machine", at=NOW)
            (change,) = (str(c) for c in advice.changes if "requests a month" in c.when)
            return change

        few = "(more than what is advised now can answer in the hours given)"
        assert flip(1000, local(busy=150.0)).endswith(few)
        assert flip(100_000, local(busy=900.0)).endswith("there, too little for a change)")
        assert flip(1000, local(busy=900.0)).endswith("DeepSeek API (V4.1-Flash)")

    def test_programs_are_not_to_be_closed_for_a_little_speed(self):
        """Whenever the model is to run: a laptop's user was told so where all fits beside them."""
        kept = local(speed=41.0)
        closed = local(kind="close programs", speed=44.0, ident="c")
        assert choose([assess(o, Usage()) for o in (kept, closed)], Usage()).option is kept
        best = choose([assess(o, Usage()) for o in (replace(kept, fits=False), closed)], Usage())
        assert best.option is closed

    def test_a_price_for_one_or_for_a_gb_is_not_told_as_that_of_all(self):
        """“64 GB of DDR5: 14.60 USD” was what one GB costs."""
        (card,) = local(kind="add GPU", price=300).purchases
        gb = card.price.model_copy(update={"name": "DDR5 per GB", "mid": Decimal("14.60")})
        memory = Purchase("64 GB of DDR5", Decimal(64), gb)
        bought = replace(
            local(kind="new build"), purchases=(replace(card, count=Decimal(2)), memory)
        )
        told = leans_on(assess(bought, Usage()), None, NOW.date())
        assert any(t.startswith("2x card: 600 USD, 300 USD each (new") for t in told)
        assert any(t.startswith("64 GB of DDR5: 934 USD, 14.60 USD a GB (new") for t in told)

    def test_what_is_here_and_nearly_fast_enough_is_said(self):
        """Nobody should buy a card for a third of a token a second without being told."""
        menu = [local(speed=9.7), local(kind="add GPU", price=209, speed=70, ident="b")]
        usage = Usage(data_may_leave=False)
        advice = conclude(menu, usage, rig_name="This machine", at=NOW)
        assert advice.best is not None
        assert advice.best.option.kind == "add GPU"
        assert "if 9.7 tok/s do: keep x, Model Q4_K_M" in map(str, advice.changes)
        far = conclude([local(speed=5.0), menu[1]], usage, rig_name="This machine", at=NOW)
        assert not any(c.when.endswith(" do") for c in far.changes)

    def test_what_the_model_was_not_trained_for_is_no_answer(self):
        """llama-server caps a slot there (tools/server/server-context.cpp, n_ctx_slot)."""
        usage = Usage(context=65536)
        short = replace(local(), trained_ctx=40960)
        assert assess(replace(short, trained_ctx=65536), usage).meets
        found = assess(short, usage)
        assert found.failures == ("the model was trained for 40k at once, not the 64k asked for",)

    def test_why_a_cheaper_runner_up_is_not_the_verdict_is_true(self):
        """Not that a change has to earn five where it saves fourteen."""
        usage = Usage(requests_per_month=60_000, hours_per_day=24, data_may_leave=False)
        best = local(tier=3, speed=60.0, busy=1500.0)
        cheaper = local(kind="add GPU", tier=2, speed=12.0, busy=150.0, ident="b")
        advice = conclude([best, cheaper], usage, rig_name="This machine", at=NOW)
        told = next(r for r in advice.reasons if r.startswith("Runner-up"))
        assert "less a month, which does not make up for a less able model" in told
        assert "has to earn" not in told

    def test_an_api_verdict_names_what_happens_without_it(self):
        usage = Usage(requests_per_month=20)
        menu = [local(kind="new build", price=5000), rented()]
        advice = conclude(menu, usage, rig_name="This machine", at=NOW)
        assert advice.best is not None
        assert advice.best.option.kind == "API"
        told = [c for c in advice.changes if c.when == "if no prompt may leave the machine"]
        assert told[0].then == "new build x, Model Q4_K_M"

    def test_without_an_api_its_own_cost_is_what_is_moved(self):
        usage = Usage(data_may_leave=False)
        advice = conclude([local(price=500, kind="add GPU")], usage, rig_name="x", at=NOW)
        assert advice.compared is None
        assert {"Horizon", "Resale value"} <= {i.name for i in advice.influences}
        assert not any(i.name == "API price" for i in advice.influences)
        assert advice.best is not None
        assert advice.best.monthly is not None
        for influence in advice.influences:
            ends = sorted((influence.at_low, influence.at_high))
            assert ends[0] <= advice.best.monthly.mid <= ends[1], influence.name

    def test_a_machine_too_slow_for_the_volume_says_the_hours(self):
        usage = Usage(requests_per_month=1_000_000)
        found = assess(local(), usage)
        assert any("hours a day for this volume" in f for f in found.failures)

    def test_an_unknown_speed_is_never_recommended(self):
        blind = replace(local(), run=None)
        assert not assess(blind, self.usage).meets

    def test_what_answers_too_slowly_needs_no_probe(self):
        slow = replace(local(), run=None, answer_tps=Range(low=2.0, mid=3.0, high=4.0))
        found = assess(slow, Usage(min_decode_tps=10))
        assert not found.unknown
        assert found.failures == ("3.0 tok/s, below the 10 asked for",)
        nearly = replace(slow, answer_tps=Range(low=8.0, mid=9.96, high=12.0))
        assert assess(nearly, Usage(min_decode_tps=10)).failures == (
            "9.96 tok/s, below the 10 asked for",
        )
        patient = Usage(min_decode_tps=1, max_ttft_s=None, requests_per_month=20_000)
        assert "for the answers alone" in assess(slow, patient).failures[0]
        few = patient.model_copy(update={"requests_per_month": 20})
        assert assess(slow, few).unknown

    def test_less_than_a_cent_is_said_so(self):
        usage = Usage(requests_per_month=1, batch_ok=True)
        advice = conclude([rented()], usage, rig_name="This machine", at=NOW)
        assert "less than 0.01 USD a month" in advice.headline
        assert advice.reasons[0].startswith("One request costs less than 0.01 USD")
        both = [local(tier=3, busy=60.0), rented()]
        advice = conclude(both, usage, rig_name="This machine", at=NOW)
        assert "0.00 USD" not in advice.headline

    def test_a_probe_comes_before_a_purchase(self):
        usage = Usage(data_may_leave=False)
        menu = [replace(local(), run=None), local(kind="add GPU", price=300, ident="b")]
        advice = conclude(menu, usage, rig_name="This machine", at=NOW)
        assert advice.best is not None
        assert advice.best.option.kind == "add GPU"
        assert advice.headline.startswith("Probe Model Q4_K_M on this rig first")
        fits = [replace(local(), run=None, fits=False), menu[1]]
        advice = conclude(fits, usage, rig_name="This machine", at=NOW)
        assert advice.headline.startswith("add GPU b and run")

    def test_an_unpriced_card_asks_for_its_price(self):
        option = replace(local(kind="add GPU"), unpriced=("H100 NVL",))
        assert "is not known" in " ".join(assess(option, self.usage).failures)


class TestOrder:
    """What a sane buyer would choose between two that both do."""

    usage = Usage(requests_per_month=3000)

    def chosen(self, *menu):
        best = choose([assess(o, self.usage) for o in menu], self.usage)
        assert best is not None
        return best.option

    def test_a_few_cents_do_not_buy_a_worse_file(self):
        better = local(ident="a", busy=410.0)
        assert self.chosen(better, local(ident="b", loss="noticeable")) is better

    def test_why_what_is_cheaper_is_not_the_verdict_is_true(self):
        """A saving above what a change has to earn is not told to be below it."""
        better = local(ident="a", tier=3, speed=60.0, busy=3000.0)
        cheaper = local(kind="add GPU", ident="b", tier=2, speed=12.0, busy=150.0)
        usage = self.usage.model_copy(update={"requests_per_month": 60_000, "hours_per_day": 24})
        best, other = (assess(o, usage) for o in (better, cheaper))
        assert best.monthly.mid - other.monthly.mid > usage.worth_changing
        told = standing(other, best, usage)
        assert "that a change has to earn" not in told
        assert "a less able model, 12 tok/s instead of 60 tok/s and what is in doubt" in told
        small = local(kind="add GPU", ident="c", tier=3, speed=60.0, busy=2990.0)
        assert "that a change has to earn" in standing(assess(small, usage), best, usage)

    def test_a_quick_file_beats_a_slightly_better_slow_one(self):
        quick = local(ident="a", speed=43.0)
        assert self.chosen(local(ident="b", speed=11.0, loss="near lossless"), quick) is quick

    def test_money_is_not_spent_on_a_speed_in_doubt(self):
        doubtful = local(kind="add GPU", ident="a", price=450, speed=11.0)
        sound = local(kind="add GPU", ident="b", price=700, speed=20.0)
        assert self.chosen(doubtful, sound) is sound

    def test_a_twentieth_of_the_speed_is_not_worth_another_file(self):
        keep = local(ident="a", speed=38.0)
        assert self.chosen(local(kind="tune", ident="b", speed=42.0), keep) is keep
        better = local(kind="tune", ident="c", speed=34.0, loss="near lossless")
        assert self.chosen(better, keep) is better

    def test_slots_that_nobody_confirmed_weigh(self):
        one = local(kind="add GPU", ident="a", price=520)
        three = replace(local(kind="add GPU", ident="b", price=500), unsure_slots=2)
        assert self.chosen(one, three) is one

    def test_an_offer_is_worth_more_than_a_launch_price(self):
        offered = local(kind="add GPU", ident="a", price=520)
        launched = local(kind="add GPU", ident="b", price=500)
        piece = launched.purchases[0]
        price = piece.price.model_copy(update={"condition": "launch price"})
        launched = replace(launched, purchases=(replace(piece, price=price),))
        assert self.chosen(offered, launched) is offered
        assert "card is counted at its launch price" in assess(launched, self.usage).doubts

    def test_what_is_far_dearer_is_not_too_close_to_call(self):
        """A cheaper runner-up is close only where what speaks against it is little."""
        menu = [local(ident="a"), local(kind="new build", ident="b", price=5000, loss="small")]
        assert not conclude(menu, self.usage, rig_name="This machine", at=NOW).close

    def test_a_small_difference_says_from_what_on_one_counts(self):
        menu = [local(ident="a"), local(kind="add GPU", ident="b", price=30)]
        advice = conclude(menu, self.usage, rig_name="This machine", at=NOW)
        assert any("a difference counts from 5.00 USD on" in reason for reason in advice.reasons)

    def test_hours_that_only_do_at_the_expected_speed_are_in_doubt(self):
        # 0.3075 s of prompt and 10 s of answer at 40 tok/s; at 32 tok/s 12.5 s.
        usage = Usage(requests_per_month=80_000)
        found = assess(local(), usage)
        assert found.meets
        assert not found.sure
        assert "may need" in found.doubts[-1]

    def test_another_file_on_this_rig_is_no_other_thing_to_do(self):
        menu = [
            replace(local(), title="Keep this rig", model_id="m"),
            replace(local(kind="tune", ident="b"), title="Keep this rig, run Model Q3_K_M"),
        ]
        advice = conclude(menu, self.usage, rig_name="This machine", at=NOW)
        assert advice.runner_up is None
        assert not any("Keep this rig" in change.then for change in advice.changes)


@pytest.mark.parametrize("kind", LOCAL_KINDS)
def test_a_change_has_to_earn_its_trouble(kind):
    usage = Usage()
    assessed = assess(local(kind=kind), usage)
    assert assessed.score is not None
    assert assessed.monthly is not None
    extra = assessed.score - assessed.monthly.mid
    assert extra == (usage.worth_changing if EFFORT[kind] >= 2 else 0)
