"""What is said of a verdict: its headline, reasons, what would change it, and what it rests on."""

import re
from dataclasses import replace
from decimal import Decimal

from advice_menus import NOW, local, rented

from advisor.advice.assessment import assess
from advisor.advice.batching import gains
from advisor.advice.grounds import leans_on
from advisor.advice.influences import Comparison, influences
from advisor.advice.money import Span
from advisor.advice.options import Option, Purchase
from advisor.advice.usage import Usage
from advisor.advice.verdict import choose, conclude
from advisor.basis import Range
from advisor.hardware.compose import parse_rig

USAGE = Usage(requests_per_month=3000)


def test_keep():
    advice = conclude([local(tier=3), rented()], USAGE, rig_name="This machine", at=NOW)
    assert advice.headline.startswith("Keep this machine as it is and run Model Q4_K_M: about")


def test_nothing_meets_the_need():
    usage = Usage(data_may_leave=False, min_decode_tps=100)
    advice = conclude([local(), rented()], usage, rig_name="This machine", at=NOW)
    assert advice.best is None
    assert "nearest comes “keep x" in advice.headline
    assert "below the 100 asked for" in advice.headline


def test_too_close_to_call_is_said():
    menu = [local(ident="a"), local(kind="tune", ident="b", busy=401.0)]
    advice = conclude(menu, USAGE, rig_name="This machine", at=NOW)
    assert advice.close
    assert "too close to call with “tune b" in advice.headline


def test_what_is_saved_but_hardly_is_said():
    menu = [local(ident="a"), local(kind="close programs", ident="b", busy=300.0)]
    advice = conclude(menu, USAGE, rig_name="This machine", at=NOW)
    assert advice.close
    assert re.search(r"USD (less|more) than “.*”, too little to decide by\.$", advice.headline)


def test_what_is_far_dearer_and_yet_close_is_explained():
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


def test_what_would_change_it():
    faster = local(kind="add GPU", price=500, speed=100, ident="b", tier=3)
    menu = [local(speed=40, tier=3), faster, rented()]
    advice = conclude(menu, USAGE, rig_name="This machine", at=NOW)
    changes = [str(c) for c in advice.changes]
    assert any(c.startswith("if answers must be faster than 40") for c in changes)
    assert any("add GPU b" in c for c in changes)


def test_a_volume_that_is_no_break_even_says_what_happens_there():
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


def test_programs_are_not_to_be_closed_for_a_little_speed():
    """Whenever the model is to run: a laptop's user was told so where all fits beside them."""
    kept = local(speed=41.0)
    closed = local(kind="close programs", speed=44.0, ident="c")
    assert choose([assess(o, Usage()) for o in (kept, closed)], Usage()).option is kept
    best = choose([assess(o, Usage()) for o in (replace(kept, fits=False), closed)], Usage())
    assert best.option is closed


def test_a_price_for_one_or_for_a_gb_is_not_told_as_that_of_all():
    """“64 GB of DDR5: 14.60 USD” was what one GB costs."""
    (card,) = local(kind="add GPU", price=300).purchases
    gb = card.price.model_copy(update={"name": "DDR5 per GB", "mid": Decimal("14.60")})
    memory = Purchase("64 GB of DDR5", Decimal(64), gb)
    bought = replace(local(kind="new build"), purchases=(replace(card, count=Decimal(2)), memory))
    told = leans_on(assess(bought, Usage()), None, NOW.date())
    assert any(t.startswith("2x card: 600 USD, 300 USD each (new") for t in told)
    assert any(t.startswith("64 GB of DDR5: 934 USD, 14.60 USD a GB (new") for t in told)


def test_what_is_here_and_nearly_fast_enough_is_said():
    """Nobody should buy a card for a third of a token a second without being told."""
    menu = [local(speed=9.7), local(kind="add GPU", price=209, speed=70, ident="b")]
    usage = Usage(data_may_leave=False)
    advice = conclude(menu, usage, rig_name="This machine", at=NOW)
    assert advice.best is not None
    assert advice.best.option.kind == "add GPU"
    assert "if 9.7 tok/s is enough: keep x, Model Q4_K_M" in map(str, advice.changes)
    far = conclude([local(speed=5.0), menu[1]], usage, rig_name="This machine", at=NOW)
    assert not any(c.when.endswith(" is enough") for c in far.changes)


def test_what_the_model_was_not_trained_for_is_no_answer():
    """llama-server caps a slot there (tools/server/server-context.cpp, n_ctx_slot)."""
    usage = Usage(context=65536)
    short = replace(local(), trained_ctx=40960)
    assert assess(replace(short, trained_ctx=65536), usage).meets
    found = assess(short, usage)
    assert found.failures == ("the model was trained for 40k at once, not the 64k asked for",)


def test_why_a_cheaper_runner_up_is_not_the_verdict_is_true():
    """Not that a change has to earn five where it saves fourteen."""
    usage = Usage(requests_per_month=60_000, hours_per_day=24, data_may_leave=False)
    best = local(tier=3, speed=60.0, busy=1500.0)
    cheaper = local(kind="add GPU", tier=2, speed=12.0, busy=150.0, ident="b")
    advice = conclude([best, cheaper], usage, rig_name="This machine", at=NOW)
    told = next(r for r in advice.reasons if r.startswith("Runner-up"))
    assert "less a month, which does not make up for a less able model" in told
    assert "has to earn" not in told


def test_an_api_verdict_names_what_happens_without_it():
    usage = Usage(requests_per_month=20)
    menu = [local(kind="new build", price=5000), rented()]
    advice = conclude(menu, usage, rig_name="This machine", at=NOW)
    assert advice.best is not None
    assert advice.best.option.kind == "API"
    told = [c for c in advice.changes if c.when == "if no prompt may leave the machine"]
    assert told[0].then == "new build x, Model Q4_K_M"


def test_without_an_api_its_own_cost_is_what_is_moved():
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


def test_a_machine_too_slow_for_the_volume_says_the_hours():
    usage = Usage(requests_per_month=1_000_000)
    found = assess(local(), usage)
    assert any("hours a day for this volume" in f for f in found.failures)


def test_an_unknown_speed_is_never_recommended():
    blind = replace(local(), run=None)
    assert not assess(blind, USAGE).meets


def test_what_answers_too_slowly_needs_no_probe():
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


def test_less_than_a_cent_is_said_so():
    usage = Usage(requests_per_month=1, batch_ok=True)
    advice = conclude([rented()], usage, rig_name="This machine", at=NOW)
    assert "less than 0.01 USD a month" in advice.headline
    assert advice.reasons[0].startswith("One request costs less than 0.01 USD")
    both = [local(tier=3, busy=60.0), rented()]
    advice = conclude(both, usage, rig_name="This machine", at=NOW)
    assert "0.00 USD" not in advice.headline


def test_a_probe_comes_before_a_purchase():
    usage = Usage(data_may_leave=False)
    menu = [replace(local(), run=None), local(kind="add GPU", price=300, ident="b")]
    advice = conclude(menu, usage, rig_name="This machine", at=NOW)
    assert advice.best is not None
    assert advice.best.option.kind == "add GPU"
    assert advice.headline.startswith("Probe Model Q4_K_M on this rig first")
    fits = [replace(local(), run=None, fits=False), menu[1]]
    advice = conclude(fits, usage, rig_name="This machine", at=NOW)
    assert advice.headline.startswith("add GPU b and run")


def test_an_unpriced_card_asks_for_its_price():
    option = replace(local(kind="add GPU"), unpriced=("H100 NVL",))
    assert "is not known" in " ".join(assess(option, USAGE).failures)


def test_answers_at_once_are_told_as_far_as_they_are_counted():
    """16 at once and “three cards” were said of cards with HBM, where up to 64 are counted."""
    card = parse_rig("H100 SXM + 256 GB 8-channel DDR5-4800")
    found = local()
    run = replace(found.run, slots=64, gains=gains("cuda-hbm", experts=False))
    told = leans_on(assess(replace(found, rig=card, run=run), USAGE), None, NOW.date())
    (counted,) = (line for line in told if line.startswith("Requests come one after the other"))
    assert f"up to {run.gains[-1].at_once} requests at once" in counted
    assert "llama.cpp on H100 SXM;" in counted
    alone = leans_on(assess(found, USAGE), None, NOW.date())
    assert any("Several answers at once are not counted" in line for line in alone)
    assert not any("up to" in line for line in alone)


def test_a_model_that_was_trained_for_less_is_not_the_end():
    """Nothing was offered but an API, though another model may do."""
    usage = Usage(context=131072, data_may_leave=False)
    menu = [replace(local(), trained_ctx=40960), rented()]
    told = conclude(menu, usage, rig_name="This machine", at=NOW).reasons[-1]
    assert told.startswith("Model was not trained for 128k tokens at once: under More")
    both = [*menu, replace(local(ident="b"), model_id="n", trained_ctx=32768)]
    told = conclude(both, usage, rig_name="This machine", at=NOW).reasons[-1]
    assert told.startswith("None of these models was trained")
    enough = [*menu, replace(local(ident="b", speed=1.0), model_id="n", trained_ctx=131072)]
    reasons = conclude(enough, usage, rig_name="This machine", at=NOW).reasons
    assert not any("trained for 128k" in reason for reason in reasons)


def test_what_hardware_costs_is_told_without_cents():
    """“289,990.40 … 378,240.00 USD” stood beside “324,192 USD to buy”."""
    spread = Span(Decimal("289990.40"), Decimal(324192), Decimal(378240))
    moved = influences(Comparison(USAGE, local().run, spread, None))
    (found,) = (i for i in moved if i.name == "Hardware price")
    assert found.inputs == "289,990 … 378,240 USD"
