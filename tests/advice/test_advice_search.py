"""The search over builds: bounds that flatter, a front that is one, limits that hold."""

import sys
from decimal import Decimal

import numpy as np
import pytest
from advice_cases import BOOK, CHAT, DESKTOP, NOW, TODAY, bounds, found, model
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.advice import upgrades
from advisor.advice.advise import advise
from advisor.advice.builds import Build, builds
from advisor.advice.cards import cards
from advisor.advice.engine import Engine, lengths
from advisor.advice.hardware_prices import book_of
from advisor.advice.money import cents
from advisor.advice.shelf import shelve
from advisor.advice.skyline import front
from advisor.advice.timing import timed
from advisor.advice.usage import Limits, Usage
from advisor.advice.variants import variants
from advisor.advice.workings import Workings
from advisor.hardware.compose import parse_rig
from advisor.sizing.settings import RunSettings


class TestFront:
    @settings(max_examples=200, deadline=None)
    @given(
        st.lists(
            st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 3)),
            min_size=1,
            max_size=40,
        )
    )
    def test_is_what_a_slow_check_says(self, points):
        cost, speed, quality = (np.array(column) for column in zip(*points, strict=True))
        kept = set(front(cost.astype(float), speed, quality).points)
        for i, (c, s, q) in enumerate(points):
            beaten = any(
                (c2 <= c and s2 >= s and q2 >= q) and ((c2, s2, q2) != (c, s, q) or j < i)
                for j, (c2, s2, q2) in enumerate(points)
                if j != i
            )
            assert (i in kept) != beaten

    @settings(max_examples=200, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.integers(0, 6),
                st.integers(0, 6),
                st.integers(0, 3),
                st.integers(0, 3),
                st.integers(0, 3),
                st.booleans(),
            ),
            min_size=1,
            max_size=40,
        )
    )
    def test_bounds_that_flatter_lead_to_the_front_of_the_real_points(self, points):
        """Real cost is the bound and more, real speed the bound and less, and some are out."""
        bound_cost, bound_speed, quality, dearer, slower, _ = (
            np.array(column) for column in zip(*points, strict=True)
        )
        real_cost, real_speed = bound_cost + dearer, np.maximum(bound_speed - slower, 0)
        asked = []

        def refine(i, _beat):
            asked.append(i)
            return None if points[i][5] else (float(real_cost[i]), int(real_speed[i]))

        found = front(bound_cost.astype(float), bound_speed, quality, refine)
        assert found.complete
        assert len(asked) == len(set(asked))
        able = [i for i, point in enumerate(points) if not point[5]]
        real = {(real_cost[i], real_speed[i], quality[i]) for i in able}
        best = {
            (c, s, q)
            for c, s, q in real
            if not any(
                (c2 <= c and s2 >= s and q2 >= q) and (c2, s2, q2) != (c, s, q)
                for c2, s2, q2 in real
            )
        }
        assert {(real_cost[i], real_speed[i], quality[i]) for i in found.points} == best


class TestScreen:
    def test_bounds_flatter_the_engine(self):
        usage = CHAT.model_copy(update={"min_decode_tps": 0.0, "max_ttft_s": None})
        wanted = variants([model(), model("Qwen/Qwen3-8B")], usage, RunSettings())
        shelf = list(builds(DESKTOP, usage, BOOK, TODAY))[::60]
        pairs = bounds(shelf, wanted, usage)
        assert len(pairs.cost)
        engine = Engine(RunSettings())
        for i in range(0, len(pairs.cost), 7):
            build, variant = shelf[pairs.build[i]], wanted[pairs.variant[i]]
            real = timed(variant, build.rig, usage, engine)
            if real is not None and real.run is not None:
                assert real.run.decode_tps.mid <= pairs.speed[i] * 1.001, build.title

    @pytest.mark.parametrize(
        "name",
        [
            "Qwen/Qwen3-8B",
            "Qwen/Qwen3-30B-A3B",  # measured rows of its own
            "openai/gpt-oss-120b",
            "deepseek-ai/DeepSeek-V4-Flash",
        ],
    )
    def test_no_refined_pair_is_better_than_its_bounds(self, name):
        usage = CHAT.model_copy(update={"min_decode_tps": 0.0, "max_ttft_s": None})
        rig = parse_rig("RTX 4090 + 128 GB DDR5-6000")
        wanted = variants([model(name)], usage, RunSettings())
        shelf = shelve(list(builds(rig, usage, BOOK, TODAY))[::5])
        asked = upgrades._Search(shelf, wanted, usage, Engine(RunSettings()))
        steps = upgrades._steps(asked.pairs.speed, usage.fast_enough_tps)
        looked = 0
        for i in range(0, len(asked.pairs.cost), max(1, len(asked.pairs.cost) // 150)):
            real = asked.refine(i, -1)
            if real is None:
                continue
            looked += 1
            title = asked.of(i)[0].title
            assert real[0] >= asked.pairs.cost[i] * 0.999, title
            assert real[1] <= steps[i], title
            # What is said to be no faster than that is left out; at one step less it is not.
            assert asked.refine(i, real[1] - 1) == real, title
        assert looked > 30

    def test_what_is_ruled_out_does_not_fit(self):
        usage = CHAT.model_copy(update={"min_decode_tps": 0.0, "max_ttft_s": None})
        wanted = variants([model("meta-llama/Llama-3.1-70B-Instruct")], usage, RunSettings())
        shelf = list(builds(DESKTOP, usage, BOOK, TODAY))[:40]
        pairs = bounds(shelf, wanted, usage)
        kept = {(int(b), int(v)) for b, v in zip(pairs.build, pairs.variant, strict=True)}
        out = [(b, v) for b in range(len(shelf)) for v in range(len(wanted)) if (b, v) not in kept]
        assert out
        for b, v in out[::11]:
            real = timed(wanted[v], shelf[b].rig, usage, Engine(RunSettings()))
            assert real is None or not real.judgement.fits


class TestSearch:
    def test_is_deterministic(self):
        one, two = found(), found()
        assert [o.id for o in one.options] == [o.id for o in two.options]

    def test_a_new_machine_is_priced_even_where_more_cards_here_are_cheaper(self):
        rig = parse_rig("RTX 4090 + 64 GB DDR5-6000")
        result = found(rig=rig, name="Qwen/Qwen3-32B")
        new = [o for o in result.options if o.kind == "new build" and o.fits]
        assert min(o.hardware(CHAT).mid for o in new) < 4000

    def test_stops_when_cancelled(self):
        stopped = found(cancelled=lambda: True)
        assert not stopped.complete
        assert stopped.worked_out == 0

    def test_options_of_the_front_are_rough_until_settled(self):
        result = found()
        some = next(o for o in result.options if o.rough)
        exact = result.exactly(some)
        assert exact.id == some.id
        assert not exact.rough
        assert exact.plan is not None


class TestWorkings:
    """What earlier questions left makes the next one quick and never another."""

    def asked(self, usage, workings=None):
        rig = parse_rig("RTX 4090 + 64 GB DDR5-6000")
        current = model().model("Q4_K_M")
        return advise(usage, rig, [model()], at=NOW, current=current, workings=workings)

    def test_an_answer_is_the_same_whatever_was_asked_before(self):
        kept = Workings()
        self.asked(CHAT.model_copy(update={"requests_per_month": 7}), kept)
        for update in (
            {"requests_per_month": 90_000},
            {"electricity_price": Decimal("0.5")},
            {"max_loss": "small", "data_may_leave": False},
            {"limits": Limits(free_slots=1)},
            {"prompt_tokens": 4000},
        ):
            usage = CHAT.model_copy(update=update)
            warm, cold = (
                [(advice.headline, a.option.id, a.monthly) for a in advice.assessments]
                for advice in (self.asked(usage, kept), self.asked(usage))
            )
            assert warm == cold, update

    def test_only_lengths_make_the_engine_work_again(self, monkeypatch):
        """Other prices may ask for pairs that nobody asked for before, and for none twice."""
        asked: list[tuple[object, ...]] = []

        def noted(name, real):
            def ask(variant, rig, *rest, **more):
                signature = Build("keep", "", rig).signature
                asked.append((name, variant.key, signature, lengths(rest[0])))
                return real(variant, rig, *rest, **more)

            return ask

        for name in ("upgrades.roughly", "upgrades.timed"):
            module, function = name.split(".")
            real = getattr(sys.modules[f"advisor.advice.{module}"], function)
            monkeypatch.setattr(f"advisor.advice.{name}", noted(name, real))
        kept = Workings()
        self.asked(CHAT, kept)
        before = len(asked)
        for update in (
            {"electricity_price": Decimal("0.4")},
            {"horizon_months": 48},
            {"resale_share": Decimal("0.1")},
        ):
            self.asked(CHAT.model_copy(update=update), kept)
        # The very rig counts as another where it is bought.
        here = Build("keep", "", parse_rig("RTX 4090 + 64 GB DDR5-6000")).signature
        others = [key for key in asked if key[2] != here]
        assert len(others) == len(set(others)) > before / 2
        assert len(asked) - before < before / 5


class TestOwnPrices:
    def test_a_price_of_ones_own_replaces_the_reviewed_one_to_the_cent(self):
        usage = CHAT.model_copy(update={"currency": "EUR", "usd_rate": Decimal("0.92")})
        usage = usage.with_own_price("RTX 5090", Decimal("1999.99"))
        built = next(
            b for b in builds(DESKTOP, usage, book_of(usage), TODAY) if b.title == "Add RTX 5090"
        )
        card = built.purchases[0]
        assert card.price.condition == "your price"
        assert cents(usage.from_usd(card.usd.mid)) == Decimal("1999.99")

    def test_a_card_without_a_price_joins_with_ones_own(self):
        assert "H100 NVL" in cards(BOOK, TODAY, used=True)[1]
        usage = CHAT.with_own_price("H100 NVL", Decimal(9000))
        shelf, unpriced = cards(book_of(usage), TODAY, used=True)
        assert "H100 NVL" in {c.entry.short_name for c in shelf}
        assert "H100 NVL" not in unpriced

    def test_taking_it_back_restores_the_reviewed_price(self):
        usage = CHAT.with_own_price("RTX 5090", Decimal(1)).with_own_price("RTX 5090", None)
        assert usage == CHAT


class TestAdvise:
    def test_a_rig_that_does_it_is_kept(self):
        rig = parse_rig("RTX 4090 + 64 GB DDR5-6000")
        advice = advise(CHAT, rig, [model()], at=NOW, current=model().model("Q4_K_M"))
        assert advice.best is not None
        assert advice.best.option.kind in {"keep", "tune"}
        assert not advice.best.option.rough
        assert advice.best.option.plan is not None
        assert advice.searched > 1000
        # No card at any price would be cheaper than what is there: its lack is no news.
        assert not any("no known price" in text for text in advice.unknowns)

    def test_private_data_gets_a_machine_and_never_an_api(self):
        usage = CHAT.model_copy(update={"data_may_leave": False, "min_decode_tps": 30.0})
        rig = parse_rig("RTX 3060 12GB + 32 GB DDR4-3200")
        dense = model("Qwen/Qwen3-32B")
        advice = advise(usage, rig, [dense], at=NOW, current=dense.model("Q4_K_M"))
        assert not any(a.option.api for a in advice.assessments)
        assert advice.best is not None
        assert advice.best.option.kind not in {"keep", "tune"}
        assert any("no known price" in text for text in advice.unknowns)
        keep = next(a for a in advice.assessments if a.option.kind == "keep")
        assert not keep.meets

    def test_long_requests_go_out_in_a_hybrid(self):
        usage = Usage(
            requests_per_month=100_000,
            long_share=Decimal("0.02"),
            long_prompt_tokens=400_000,
            written_share=Decimal(0),
        )
        rig = parse_rig("RTX 4090 + 64 GB DDR5-6000")
        advice = advise(usage, rig, [model()], at=NOW, current=model().model("Q4_K_M"))
        mixed = [a for a in advice.assessments if a.option.kind == "hybrid" and a.meets]
        assert mixed
        assert all(a.hybrid is not None and a.hybrid.local_share < 1 for a in mixed)
