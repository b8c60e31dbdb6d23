"""When a llama.cpp was built follows from what it calls itself, and speeds follow from that."""

from importlib.metadata import version
from itertools import pairwise

import pytest

from advisor.cli.request import with_backend
from advisor.errors import SettingsError
from advisor.hardware.compose import parse_rig
from advisor.llm.open import load
from advisor.sizing import build_dates, size
from advisor.sizing.build_dates import built_year, dated_builds, month, words
from advisor.sizing.calibration import IDENTITY
from advisor.sizing.settings import RunSettings
from advisor.sizing.speed_ideal import ideal, least
from advisor.ui.services import changed_settings


def test_the_table_runs_one_way_and_knows_the_engine_and_every_row() -> None:
    marks, versions = dated_builds().builds, dated_builds().versions
    assert all(a.build < b.build and a.date < b.date for a, b in pairwise(marks))
    assert all(a.order < b.order and a.month <= b.month for a, b in pairwise(versions))
    year, number, build = version("xllamacpp").split(".")
    assert int(build) <= marks[-1].build, "the engine is newer than the table: add a mark"
    assert month(f"b{build}") == f"{year}-{int(number):02}"
    assert f"{marks[-1].date}" > build_dates.newest_month()


@pytest.mark.parametrize(
    ("told", "when"),
    [
        # As pages state them that are no marks of the table.
        ("b5863", "2025-07"),
        ("b6077", "2025-08"),
        ("b7423", "2025-12"),
        ("b9187", "2026-05"),
        ("b10549", "2026-08"),
        ("b11434", "2026-10"),
        ("v0.4.1-dev", "2026-09"),
        ("v0.6.0", "2026-10"),
        ("2026-08-22", "2026-08"),
        ("2025", "2025"),
        ("b99999", "2026-10"),
        ("b900", ""),
        ("v0.0.1", ""),
        ("any", ""),
        ("unknown", ""),
        ("", ""),
    ],
)
def test_builds_versions_and_dates_have_a_month(told: str, when: str) -> None:
    assert month(told) == when


def test_months_never_go_back_with_the_number() -> None:
    months = [month(f"b{number}") for number in range(2276, 12_000, 41)]
    assert months == sorted(months)


def test_what_is_beyond_the_table_is_said_to_be() -> None:
    assert words("b10549") == "2026-08 (b10549)"
    assert words("b99999") == "2026-10 or later (b99999)"
    assert words("v9.0.0") == "2026-10 or later (v9.0.0)"
    assert words("2026-08") == "2026-08"


def test_what_tells_no_build_is_refused_with_what_to_say() -> None:
    for wrong in ("last year", "b", "2026-13", "2026-1", "v1"):
        with pytest.raises(SettingsError, match=r"say a month \(2026-08\), its build"):
            changed_settings(RunSettings(), {"built": wrong})
    assert changed_settings(RunSettings(), {"built": " 9870 "}).built == "b9870"


def test_a_build_newer_than_every_row_counts_as_the_newest() -> None:
    newest = build_dates.newest_month()
    assert built_year("2031-01") == built_year("b99999") == built_year(newest)
    assert built_year("any") is built_year("") is built_year("b900") is None
    model, rig = load("Qwen/Qwen3-8B", "Q4_K_M"), parse_rig("Ryzen AI Max+ 395 128GB")
    later, now = (
        size(model, rig, RunSettings(ctx=4096, built=told)).speed for told in ("2031-01", newest)
    )
    assert later == now


def test_a_speed_says_which_build_it_is_about() -> None:
    model, rig = load("Qwen/Qwen3-8B", "Q4_K_M"), parse_rig("RTX 4090 + 64 GB DDR5-6000")

    def said(built: str) -> tuple[object, str]:
        plan = size(model, rig, RunSettings(ctx=4096, built=built))
        *parts, last = plan.explanations["speed.prefill"].terms
        assert plan.speed.prefill_tps is not None
        total = sum(float(part.value or 0) for part in parts)
        assert 1 / total == pytest.approx(plan.speed.prefill_tps.mid)
        assert plan.explanations["speed.prefill"].formula.startswith("1 / (")
        return last.value, last.source

    assert said("2025-08") == ("of 2025-08", "rows of builds near it count more")
    assert said("b99999")[0] == "of 2026-10 or later (b99999)"
    assert build_dates.newest_month() in said("2099-01")[1]
    assert said("")[0] == said("any")[0] == "any build"
    on_cpu = size(model, with_backend(rig, "cpu"), RunSettings(ctx=4096))
    assert all(term.unit == "s" for term in on_cpu.explanations["speed.decode"].terms)


@pytest.mark.parametrize("built", ["", "2025-08", "2026-09"])
def test_no_card_reads_a_prompt_faster_than_its_bound(built: str) -> None:
    """Rows of newer builds on RDNA 3 let expect half of the formula's time."""
    settings = RunSettings(ctx=4096, built=built)
    rig = with_backend(parse_rig("RX 7900 XTX + 64 GB DDR5-6000"), "rocm")
    for name in ("Qwen/Qwen3-14B", "mistralai/Mistral-Nemo-Instruct-2407"):
        model = load(name, "Q4_K_M")
        plan = size(model, rig, settings)
        assert plan.speed.prefill_tps is not None
        bound = least([(rig.devices[0], IDENTITY)], [ideal(model, settings)], 512)
        assert bound.prefill[0, 0] * plan.speed.prefill_tps.mid <= 1.001


def test_a_prompt_follows_the_rows_of_its_own_builds_time() -> None:
    """Vulkan read this mixture twice as fast in April 2026 as in August 2025, by rows of both.

    Another machine's of February 2026 (779 tok/s) takes part of that back.
    """
    model, rig = load("Qwen/Qwen3-30B-A3B", "Q4_K_M"), parse_rig("Ryzen AI Max+ 395 128GB")
    for built, measured in (("2025-08", 646), ("b8600", 1342)):
        found = size(model, rig, RunSettings(ctx=4096, built=built)).speed
        assert found.prefill_tps is not None
        assert found.prefill_tps.mid == pytest.approx(measured, rel=0.1)
        assert any(f"measured row: {measured:,} tok/s" in note for note in found.notes)
