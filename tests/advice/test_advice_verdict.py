"""The verdict: what must hold whatever the options are, and what a sane buyer would choose."""

from dataclasses import replace
from decimal import Decimal

import pytest
from advice_menus import LOCAL_KINDS, NOW, local, rented
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.advice.assessment import assess
from advisor.advice.options import EFFORT
from advisor.advice.usage import LOSS_WORDS, Usage
from advisor.advice.verdict import choose, conclude, dominates, pareto, rank
from advisor.advice.wording import standing
from advisor.basis import Range


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
