"""Several answers at once: the rule against published runs, and what capacity follows from it."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.advice.batching import LEVELS, faster, gains, kind, most, rows
from advisor.advice.costs import local_cost
from advisor.advice.engine import Engine
from advisor.advice.money import cents
from advisor.advice.power import Power
from advisor.advice.serving import LocalRun, Way
from advisor.advice.timing import roughly, timed
from advisor.advice.usage import Usage, preset
from advisor.advice.variants import Variant, loss_of
from advisor.basis import Basis, Range
from advisor.hardware.compose import parse_rig
from advisor.llm.catalogue import catalogue
from advisor.sizing import size
from advisor.sizing.settings import RunSettings
from tests.volumes import no_cheaper_months

BATCH = preset("batch").apply(Usage())


def run(*, decode=40.0, slots=1, cache_share=0.0, experts=False):
    power = Power(Range.exactly(400.0), Range.exactly(60.0), Basis.COMPUTED, "test")
    return LocalRun(
        Range.exactly(decode),
        Range.exactly(2000.0),
        power,
        slots=slots,
        cache_share=cache_share,
        gains=gains("cuda", experts=experts),
    )


def test_every_series_is_one_that_can_be_used():
    for row in rows():
        assert 2 <= len(row.tps) <= len(LEVELS), row.device
        assert all(tps > 0 for tps in row.tps)
        assert row.source.startswith(("https://", "measured by this project on 2026-"))


def test_tokens_are_chosen_one_by_one_however_many_answer():
    """Batches are computed faster together; llama-server looks through every answer's words."""
    plain = run(decode=200.0, slots=64)
    choosing = replace(plain, sampling_s=0.0005)
    for without, level in zip(plain.levels(BATCH), choosing.levels(BATCH), strict=False):
        n, gain = level.at_once, level.faster.mid
        assert without == level
        # 5 ms a token, a tenth of it on the choice.
        each = 1 / (n * (0.0045 / gain + 0.0005))
        assert choosing.pace(level) == pytest.approx(200.0 if n == 1 else each)
        taken = [r.seconds(BATCH, way=Way(level)).mid for r in (plain, choosing)]
        assert (taken[1] > taken[0]) == (n > 1)


@pytest.mark.parametrize("of", ["cuda", "cuda-hbm", "metal", "rocm", "rocm-hbm", "vulkan"])
@pytest.mark.parametrize("experts", [False, True])
def test_more_at_once_gain_at_most_in_proportion(of, experts):
    """The search's bounds rest on this."""
    for gain in gains(of, experts=experts):
        assert 1 <= gain.low <= gain.mid <= gain.high <= gain.at_once
        assert gain.mid <= most(of, experts=experts)


@pytest.mark.parametrize("experts", [False, True])
def test_gains_end_where_nobody_measured_more_at_once(experts):
    measured = {
        of: max(len(row.tps) for row in rows() if row.kind == of and row.experts == experts)
        for of in ("cuda", "cuda-hbm", "metal")
    }
    for of, most_rows in measured.items():
        assert [g.at_once for g in gains(of, experts=experts)] == list(LEVELS[1:most_rows])
    # Nothing is known of Vulkan's: no more than two other backends tell.
    assert gains("vulkan", experts=experts)[-1].at_once == 16


def test_a_data_centre_card_takes_64_answers_at_once():
    """H100: eight answers gain less than on other cards, 64 still gain."""
    h100, gb10 = (kind(parse_rig(name).devices) for name in ("H100 SXM", "DGX Spark"))
    assert (h100, gb10) == ("cuda-hbm", "cuda")
    assert kind(parse_rig("H100 SXM + RTX 4090").devices) == "cuda"
    eight = [next(g for g in gains(of, experts=False) if g.at_once == 8) for of in (h100, gb10)]
    assert eight[0].mid < 0.75 * eight[1].mid
    assert gains(h100, experts=False)[-1].mid > 4 * eight[0].mid
    # With experts each answer reads other ones, and 8-token kernels beat those for 16.
    experts = {g.at_once: g for g in gains(h100, experts=True)}
    assert experts[16].low < experts[8].low < experts[64].mid < gains(h100, experts=False)[-1].mid


def test_a_cache_gains_nothing():
    """Published runs after 4,096 and 8,192 tokens follow from those after 512."""
    by_run = {(r.device, r.model, r.prompt): r for r in rows()}
    errors = []
    for (device, model, prompt), deep in by_run.items():
        short = by_run.get((device, model, 512))
        # One machine's first series varies by a third from prompt to prompt.
        odd = (device, model) == ("Apple M2 Ultra", "openai/gpt-oss-20b")
        if prompt <= 512 or short is None or odd:
            continue
        # What the cache adds to one answer's time is its share.
        share = 1 - deep.tps[0] / short.tps[0]
        for at_once in range(1, len(deep.tps)):
            told = faster(short.tps[at_once] / short.tps[0], share)
            errors.append(abs(told / (deep.tps[at_once] / deep.tps[0]) - 1))
    errors.sort()
    assert len(errors) > 60
    assert errors[len(errors) // 2] < 0.08
    assert errors[int(len(errors) * 0.9)] < 1 / 7 + 0.1


def test_a_volume_takes_as_many_answers_at_once_as_it_needs():
    need = BATCH.model_copy(update={"requests_per_month": 1, "batch_ok": False})
    at_once = []
    for volume in (1, 300_000, 400_000, 700_000, 1_000_000):
        line = local_cost(need.model_copy(update={"requests_per_month": volume}), run(slots=16))
        assert line.serves(volume)
        at_once.append(line.at_once)
    # Alone: 1,050 / 2,000 + 200 / 40 = 5.525 s, 476,000 in the 730.5 hours of a month.
    assert at_once == [1, 1, 1, 2, 4]


def test_a_full_machine_costs_no_more_to_the_cent():
    """Above 475,982 requests it works all 730.5 hours: 340 W above idle, 248.37 kWh, 44.71."""
    need = BATCH.model_copy(update={"batch_ok": False, "idle": "on anyway"})
    for volume, cost in ((100_000, "9.39"), (475_982, "44.71"), (500_000, "44.71")):
        asked = need.model_copy(update={"requests_per_month": volume})
        line = local_cost(asked, run(slots=16))
        assert cents(line.monthly(volume).mid) == Decimal(cost)
        assert line.busy_hours(volume).mid <= Decimal("730.5")


def test_where_nobody_waits_all_slots_are_busy_whatever_the_volume():
    """1,050 / 2,000 + 200 / (40 × 3.41) s at 340 W a request."""
    line = local_cost(BATCH.model_copy(update={"requests_per_month": 10}), run(slots=4))
    assert line.at_once == 4
    gain = next(g for g in gains("cuda", experts=False) if g.at_once == 4)
    seconds = Decimal("0.525") + 5 / Decimal(repr(gain.mid))
    assert line.per_request.mid == pytest.approx(
        340 * seconds / 3_600_000 * BATCH.electricity_price
    )


def test_capacity_to_the_request():
    """Four slots: 1,050 / 2,000 + 200 / (40 × 3.41) s a request."""
    gain = next(g for g in gains("cuda", experts=False) if g.at_once == 4)
    line = local_cost(BATCH, run(slots=4))
    seconds = Decimal(1050) / 2000 + Decimal(200) / (40 * Decimal(repr(gain.mid)))
    assert line.capacity.mid == pytest.approx(BATCH.hours_per_month * 3600 / seconds)


def test_no_answer_gets_slower_than_asked():
    fast = BATCH.model_copy(update={"min_decode_tps": 32.0, "requests_per_month": 1_000_000})
    ways = list(run(slots=16).ways(fast))
    assert [way.at_once for way in ways] == [1, 2, 4]
    for way in ways:
        assert 40 * way.level.faster.mid / way.at_once >= 32


def test_sixteen_answers_may_each_be_faster_than_eight():
    """H100, K-quants: where eight are too slow, sixteen are still offered."""
    h100 = replace(run(slots=16), gains=gains("cuda-hbm", experts=False))
    pace = {level.at_once: h100.pace(level) for level in h100.levels(BATCH)}
    assert pace[16] > pace[8]
    between = BATCH.model_copy(update={"min_decode_tps": (pace[8] + pace[16]) / 2})
    assert [way.at_once for way in h100.ways(between)] == [1, 2, 4, 16]


def test_long_requests_take_the_room_of_several():
    long = BATCH.model_copy(update={"long_share": Decimal("0.1"), "long_prompt_tokens": 20_000})
    assert [way.at_once for way in run(slots=8).ways(long)] == [1, 2]


@settings(max_examples=60, deadline=None)
@given(
    slots=st.integers(1, 20),
    share=st.floats(0, 0.9),
    decode=st.floats(2, 200),
    batch_ok=st.booleans(),
    volumes=st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)),
)
def test_more_volume_never_makes_a_request_dearer_nor_a_month_cheaper(
    slots, share, decode, batch_ok, volumes
):
    done = run(decode=decode, slots=slots, cache_share=share)
    no_cheaper_months(done, BATCH.model_copy(update={"batch_ok": batch_ok}), volumes)


class TestSlots:
    """How many fit is counted where the caches lie."""

    def outcome(self, rig, how=timed, name="Qwen/Qwen3-32B", file_type="Q4_K_M"):
        model = catalogue().find(name).model(file_type)
        variant = Variant(model, "f16", loss_of(model, "f16"), 2)
        return how(variant, parse_rig(rig), BATCH, Engine(RunSettings()))

    def test_two_more_caches_of_8k_fit_beside_a_32b_on_24_gb(self):
        # 18.4 GiB of weights, 2 GiB for each cache (64 layers × 8 heads × 128 × 2 × 2 B × 8,192).
        found = self.outcome("RTX 4090 + 64 GB DDR5-6000")
        assert found.run.slots == 1 + (found.judgement.headroom - RunSettings().margin) // (1 << 31)

    @pytest.mark.parametrize("rig", ["RTX 5090 + 64 GB DDR5-6000", "M3 Ultra 96GB"])
    def test_rough_is_near_exact(self, rig):
        exact, rough = self.outcome(rig).run, self.outcome(rig, roughly).run
        assert abs(exact.slots - rough.slots) <= 1
        assert exact.cache_share == pytest.approx(rough.cache_share, rel=0.2)

    def test_with_a_part_in_ram_one_at_a_time(self):
        found = self.outcome("RTX 3060 12GB + 64 GB DDR5-6000")
        assert found.judgement.verdict == "offload"
        assert found.run.slots == 1
        assert not found.run.gains

    def test_the_settings_that_it_tells_do_fit(self):
        found = self.outcome("RTX 5090 + 64 GB DDR5-6000")
        slots = found.run.slots
        model = catalogue().find("Qwen/Qwen3-32B").model("Q4_K_M")
        several = RunSettings(ctx=slots * BATCH.context, parallel=slots)
        assert size(model, parse_rig("RTX 5090 + 64 GB DDR5-6000"), several).fits
