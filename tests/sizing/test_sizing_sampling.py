"""What llama-server takes to choose a token: beside the speed, and only where it matters."""

import pytest

from advisor.basis import Range
from advisor.hardware.compose import parse_rig
from advisor.sizing import sampling, size
from advisor.sizing.explain import explain_speed
from advisor.sizing.plan import Speed
from advisor.sizing.settings import RunSettings
from tests.sizing.speed_cases import model


def speed(rig: str, name: str) -> Speed:
    return size(model(name), parse_rig(rig), RunSettings(ctx=4096)).speed


def test_a_large_vocabulary_takes_longer_to_choose_from() -> None:
    few, many = (
        sampling.sampling_seconds(model(name)) for name in ("llama-2-7b", "openai/gpt-oss-20b")
    )
    known = sampling.sampling()
    assert few == pytest.approx(known.base_us * 1e-6 + 32_000 * known.ns_per_token * 1e-9)
    assert many - few == pytest.approx((201_088 - 32_000) * known.ns_per_token * 1e-9)


def test_it_comes_on_top_of_the_terms_of_decoding() -> None:
    """Which stay llama-bench's, as published figures are."""
    found = speed("RTX 5090 + 64 GB DDR5-6000", "openai/gpt-oss-20b")
    served = sampling.served_tps(found)
    assert found.decode_tps is not None
    assert served is not None
    terms = sum(term.seconds for term in found.decode_terms)
    assert 1 / found.decode_tps.mid == pytest.approx(terms)
    for end in ("low", "mid", "high"):
        seconds = 1 / getattr(found.decode_tps, end)
        assert 1 / getattr(served, end) == pytest.approx(seconds + found.sampling_s)


@pytest.mark.parametrize(
    ("rig", "name", "told"),
    [
        ("RTX 5090 + 64 GB DDR5-6000", "openai/gpt-oss-20b", True),
        ("RTX 5090 + 64 GB DDR5-6000", "llama-2-7b", False),
        ("RTX 3060 + 64 GB DDR5-6000", "Qwen/Qwen3-8B", False),
        ("CPU only 64 GB DDR5-5600", "Qwen/Qwen3-8B", False),
    ],
)
def test_it_is_told_where_it_takes_three_per_cent_or_more(rig: str, name: str, told: bool) -> None:
    found = speed(rig, name)
    sentence = sampling.sentence(found)
    notes = explain_speed(found, RunSettings(ctx=4096))["speed.decode"].notes
    assert bool(sentence) is told
    assert (sentence in notes) is told
    assert found.decode_tps is not None
    served = sampling.served_tps(found)
    assert served is not None
    assert (served.mid <= 0.97 * found.decode_tps.mid) is told


def test_the_bench_is_told_of_what_is_written_and_the_other_way_round() -> None:
    found = speed("RTX 5090 + 64 GB DDR5-6000", "openai/gpt-oss-20b")
    written = sampling.served_tps(found)
    assert found.decode_tps is not None
    assert written is not None
    assert f"about {written.mid:,.0f} tok/s" in sampling.sentence(found)
    back = sampling.on_a_bench(written, found.sampling_s)
    assert f"about {found.decode_tps.mid:,.0f} tok/s" in back
    slow = Range.exactly(10.0)
    assert not sampling.on_a_bench(slow, found.sampling_s)
    # A vocabulary that is not known costs nothing that is known.
    assert sampling.served(slow, 0.0) == slow


def test_a_wish_is_held_against_what_is_written() -> None:
    found = speed("RTX 5090 + 64 GB DDR5-6000", "openai/gpt-oss-20b")
    written, bench = sampling.served_tps(found), found.decode_tps
    assert written is not None
    assert bench is not None
    assert sampling.reaches(bench, found.sampling_s, 0.999 * written.mid)
    assert not sampling.reaches(bench, found.sampling_s, (written.mid + bench.mid) / 2)
    assert not sampling.reaches(None, found.sampling_s, 0.0)


def test_nothing_is_said_of_a_speed_that_is_not_known() -> None:
    assert not sampling.sentence(Speed())
    assert sampling.served_tps(Speed()) is None
