"""Where nothing meets a need: what comes nearest, by how much, and what would open what."""

import datetime as dt
import functools
from decimal import Decimal
from math import log2

import pytest

from advisor.advice.advise import advise
from advisor.advice.assessment import assess
from advisor.advice.money import money
from advisor.advice.nearest import relaxations
from advisor.advice.usage import Limits, Usage, preset
from advisor.advice.whatif import name
from advisor.advice.workings import Workings
from advisor.hardware.compose import parse_rig
from advisor.llm.catalogue import catalogue
from advisor.units import tokens

NOW = dt.datetime(2026, 11, 23, 14, tzinfo=dt.UTC)
SMALL = parse_rig("RTX 3060 12GB + 16 GB DDR4-3200")
CHAT = preset("chat").apply(Usage()).model_copy(update={"data_may_leave": False})
WORKINGS = Workings()
QWEN = "Qwen/Qwen3-32B"
LLAMA = "meta-llama/Llama-3.3-70B-Instruct"


@functools.cache
def asked(usage, name=QWEN):
    entry = catalogue().find(name)
    return advise(usage, SMALL, [entry], at=NOW, current=entry.model("Q4_K_M"), workings=WORKINGS)


def need(**update):
    return Usage.model_validate(CHAT.model_dump() | update)


class TestTooFast:
    """70 billion parameters at 900 tokens per second, on a small rig."""

    def advice(self):
        return asked(need(min_decode_tps=900), LLAMA)

    def test_the_nearest_is_the_fastest_that_money_buys(self):
        advice = self.advice()
        assert advice.best is None
        nearest = advice.assessments[0]
        assert nearest.option.kind == "new build"
        assert nearest.option.plan is not None
        known = [a.decode_tps.mid for a in advice.assessments if a.decode_tps]
        assert nearest.decode_tps.mid == max(known)
        assert nearest.failures == (f"{nearest.decode_tps.mid:.0f} tok/s, below the 900 asked for",)

    def test_the_sentence_names_it_and_by_how_much_it_misses(self):
        advice = self.advice()
        assert "nearest comes “Build a new machine" in advice.headline
        assert "below the 900 asked for" in advice.headline
        assert advice.reasons[0].startswith("That would cost")
        assert any(r.startswith("Keep this rig") and "does not fit" in r for r in advice.reasons)

    def test_what_would_open_what_is_told_with_its_price(self):
        whens = [change.when for change in self.advice().changes]
        assert whens[0] == "if prompts may leave the machine"
        speeds = [
            change for change in self.advice().changes if change.when.endswith("tok/s is enough")
        ]
        assert len(speeds) == 2
        assert all("USD to buy" in change.then for change in speeds)

    def test_near_misses_are_listed_nearest_first(self):
        found = self.advice().assessments
        misses = [a.miss for a in found if a.option.api is None]
        assert len(misses) >= 8
        assert misses == sorted(misses)
        assert not any(a.meets for a in found)


def test_what_relaxed_limits_found_never_meets_the_need():
    """Passive cards would do for 200 USD; nobody said that they are acceptable."""
    advice = asked(need(budget=200))
    assert advice.best is None
    assert all(a.failures for a in advice.assessments)
    opened = {change.when: change.then for change in advice.changes}
    assert "P100" in opened["if cards without fans are acceptable"]
    passive = next(a for a in advice.assessments if "P100" in a.option.title)
    assert passive.failures == ("has cards without fans",)
    spending = [when for when in opened if when.endswith("to spend")]
    assert spending
    assert "above the budget of 200 USD" in advice.headline


def test_noise_is_one_of_the_things_that_are_told():
    quiet = Limits(quiet=True, used_parts=False)
    advice = asked(need(min_decode_tps=110, limits=quiet.model_dump()))
    assert advice.best is None
    loud = [a for a in advice.assessments if "is not quiet" in a.failures]
    assert "if noise does not matter" in {change.when for change in advice.changes} or not loud
    assert all(a.failures for a in advice.assessments)


def test_where_two_things_are_in_the_way_the_nearest_lacks_both():
    usage = need(context=32768, prompt_tokens=20000, max_ttft_s=2, min_decode_tps=200, budget=500)
    advice = asked(usage)
    nearest = advice.assessments[0]
    assert nearest.option.kind != "keep"
    assert len(nearest.failures) > 1
    keep = next(a for a in advice.assessments if a.option.kind == "keep")
    assert nearest.miss < keep.miss
    assert advice.assessments[-1].option.api is not None


def test_a_request_that_the_model_was_trained_for_is_not_rounded_away():
    """40,400 tokens fit into the 40k that Qwen3 32B was trained for, not only into 64k."""
    usage = need(context=131072, prompt_tokens=40000, output_tokens=400, max_ttft_s=None)
    advice = asked(usage)
    assert advice.best is None
    (opened,) = (c for c in advice.changes if c.when.endswith("at once is enough"))
    assert opened.when == "if 40k at once is enough"
    assert "USD to buy" in opened.then
    assert advice.assessments[0].option.purchases


def test_fewer_requests_are_priced_at_as_many_as_are_told():
    """What one request a month costs was told beside 120,000."""
    usage = need(requests_per_month=900_000, budget=1000)
    advice = asked(usage)
    assert advice.best is None
    told = [c for c in advice.changes if c.when.endswith("requests a month at most")]
    assert told
    for change in told:
        most = int(change.when.split()[1].replace(",", ""))
        fewer = usage.model_copy(update={"requests_per_month": most})
        what = change.then.rsplit(", ", 2)[0]
        there = next(assess(a.option, fewer) for a in advice.assessments if name(a) == what)
        assert there.local.serves(most)
        assert there.monthly is not None
        assert f", {money(there.monthly.mid, 'USD')} a month" in change.then


def test_what_was_placed_for_a_shorter_context_tells_what_it_holds():
    """Sized for one request's 2,560 tokens, it holds 21,248: the need misses by little."""
    entry = catalogue().find(QWEN)
    card = parse_rig("RTX 4090 + 64 GB DDR5-6000")
    short = need(context=4096)
    advice = advise(short, card, [entry], at=NOW, current=entry.model("Q4_K_M"), workings=WORKINGS)
    kept = next(a.option for a in advice.assessments if a.option.kind == "keep")
    most = kept.plan.max_ctx
    assert 4096 < most < 32768
    found = assess(kept, need(context=32768))
    assert found.failures == (f"holds {tokens(most)} at once, not the 32k asked for",)
    assert found.miss == pytest.approx(log2(32768 / most))


@pytest.mark.parametrize(
    ("update", "count"),
    [({}, 8), ({"data_may_leave": True}, 7), ({"min_decode_tps": 0, "max_ttft_s": None}, 6)],
)
def test_every_relaxation_asks_one_thing_less(update, count):
    usage = need(budget=100, **update)
    found = list(relaxations(usage))
    assert len(found) == count
    for relaxed in found:
        changed = {
            key
            for key, value in relaxed.usage.model_dump().items()
            if value != usage.model_dump()[key]
        }
        assert len(changed) == 1 or changed == {"data_may_leave", "must_work_offline"}


def test_a_miss_is_counted_in_doublings():
    advice = asked(need(min_decode_tps=900), LLAMA)
    found = next(a for a in advice.assessments if a.decode_tps and len(a.failures) == 1)
    half = need(min_decode_tps=float(found.decode_tps.mid) * 2)
    assert assess(found.option, half).miss == pytest.approx(1)
    dear = need(min_decode_tps=0, budget=found.hardware.mid / Decimal(4))
    assert assess(found.option, dear).miss == pytest.approx(2)


def test_nothing_is_looked_for_once_it_is_stopped():
    entry = catalogue().find(QWEN)
    advice = advise(need(min_decode_tps=900), SMALL, [entry], at=NOW, cancelled=lambda: True)
    assert advice.best is None
    assert not advice.changes
