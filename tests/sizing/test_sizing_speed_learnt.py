"""Speed as measured rows and probes correct it: they go first, and ranges hold."""

import math
from dataclasses import replace

import numpy as np
import pytest

from advisor.basis import Range
from advisor.cli.request import Sizer
from advisor.errors import SettingsError
from advisor.hardware.compose import parse_rig
from advisor.llm.catalogue import catalogue
from advisor.sizing import size
from advisor.sizing.bench_rows import BenchRow, bench_data, year
from advisor.sizing.calibration import IDENTITY, Calibration
from advisor.sizing.settings import RunSettings
from advisor.sizing.speed_data import speed_data
from advisor.sizing.speed_similar import (
    NORMAL_80,
    Case,
    Process,
    as_usual,
    correction,
    deepness,
    likeness,
    usual_builds,
)
from tests.sizing.speed_cases import mid, model, speed

STRIX = "Ryzen AI Max+ 395 (Strix Halo, 128GB)"


def rows_of_one_case() -> list[BenchRow]:
    ids = {entry.id for entry in catalogue().entries}
    seen: dict[tuple[object, ...], int] = {}
    rows = [r for r in bench_data().rows if r.decode_error is not None and r.model in ids]
    for r in rows:
        key = (r.shape, r.gpu, r.backend, r.file_type, r.n_gpu, r.depth)
        seen[key] = seen.get(key, 0) + 1
    return [
        r
        for r in rows
        if seen[r.shape, r.gpu, r.backend, r.file_type, r.n_gpu, r.depth] == 1 and r.n_gpu == 1
    ]


def test_a_measured_row_beats_the_formula_and_says_so() -> None:
    row = next(r for r in rows_of_one_case() if r.gpu == "GeForce RTX 5070" and r.depth == 0)
    found = speed(model(row.model, row.file_type), parse_rig("RTX 5070"), file_bytes=row.file_bytes)
    assert mid(found) == pytest.approx(row.decode_tps, rel=0.02)
    assert any(row.url and row.url in note for note in found.notes)
    other = speed(model("Qwen/Qwen3-32B"), parse_rig("RTX 5070"))
    assert not any("measured row" in note for note in other.notes)


def test_a_file_on_disk_follows_what_was_measured_of_its_model() -> None:
    row = next(r for r in rows_of_one_case() if r.gpu == "GeForce RTX 5070" and r.depth == 0)
    entry = model(row.model, row.file_type)
    file = replace(entry, id="renamed.gguf", name="Mine", source="gguf")
    found = speed(file, parse_rig("RTX 5070"), file_bytes=row.file_bytes)
    assert any(row.url and row.url in note for note in found.notes)
    assert (
        found.decode_tps
        == speed(entry, parse_rig("RTX 5070"), file_bytes=row.file_bytes).decode_tps
    )


def test_a_card_that_nobody_measured_gets_a_wider_range() -> None:
    model = catalogue().find("Qwen/Qwen3-8B").model("Q4_K_M")
    measured = {row.gpu for row in bench_data().rows if row.backend == "cuda"}

    def spread_of(gpu: str) -> float:
        speed = size(model, parse_rig(f"{gpu} + 64 GB DDR5-6000"), RunSettings(ctx=8192)).speed
        assert speed.decode_tps is not None
        return math.log(speed.decode_tps.high / speed.decode_tps.low)

    def widen_of(gpu: str, backend: str = "cuda") -> float:
        case = Case("no such model", gpu, backend, "cuda-ada", "Q4_K_M", False, 0)
        return correction("decode", case, 1).widen

    assert "GeForce RTX 4090" in measured
    assert "L40" not in measured
    assert widen_of("GeForce RTX 4090") == 1
    unmeasured = speed_data().similar_decode.unmeasured
    assert widen_of("GeForce RTX 4090", "vulkan-of-no-row") == unmeasured
    assert widen_of("L40") == unmeasured >= 1
    assert spread_of("L40") > 1.1 * spread_of("RTX 4090")


def test_corrections_of_every_shipped_case_are_its_own_error() -> None:
    for row in rows_of_one_case():
        found = correction("decode", Case.of(row), row.n_gpu)
        assert row.decode_error is not None
        assert found.error == pytest.approx(row.decode_error, abs=1e-6)
        assert found.rows == (row,)


def test_far_from_measured_rows_the_range_is_wider() -> None:
    near = correction("decode", Case.of(rows_of_one_case()[0]), 1)
    far = correction("decode", Case("x", "y", "cuda", "cuda-ada", "IQ2_M", True, 0), 1)
    assert far.spread > near.spread
    assert abs(far.error) < 0.15


def test_reviewed_rows_have_source_and_date() -> None:
    data = bench_data()
    assert len(data.rows) > 300
    assert len({row.id for row in data.rows}) == len(data.rows)
    for row in data.rows:
        assert row.url, row.id
        assert (row.decode_error is None) == (row.decode_tps is None or bool(row.left_out)), row.id
        assert row.speed_class in speed_data().classes


def test_recorded_errors_are_what_is_promised() -> None:
    decode, prefill = speed_data().errors_decode, speed_data().errors_prefill
    assert decode["all"].median <= 7
    assert decode["all"].p90 <= 20
    assert decode["moe"].median <= 12
    assert prefill["all"].median <= 18
    assert prefill["all"].p90 <= 40
    assert prefill["all, build not told"].p90 <= 40
    # Of cards, too, whose constants are borrowed or that builds for special cases were run on.
    assert decode["never fitted"].p90 <= 27
    assert prefill["never fitted"].p90 <= 40
    for name, group in (*decode.items(), *prefill.items()):
        # Few rows of other pages, and prompts read in unknown steps.
        few = name.startswith("never fitted")
        least = 70 if few else 73 if name.startswith("all, nor") else 78
        assert least <= group.coverage <= (95 if few else 90)


def test_calibration_narrows_and_is_said() -> None:
    rig, of = parse_rig("RTX 4090"), model("Qwen/Qwen3-8B")
    plain = speed(of, rig)
    slow = {"bandwidth_factor": 0.5, "latency_factor": 2, "spread": 0.02}
    found = speed(of, rig, Calibration(**slow, source="probe"))
    assert found.calibrated_by == "probe"
    assert not plain.calibrated_by
    assert plain.decode_tps is not None
    assert found.decode_tps is not None
    spread = math.log(found.decode_tps.high / found.decode_tps.low)
    assert spread < math.log(plain.decode_tps.high / plain.decode_tps.low)
    assert mid(found) < mid(plain) * 0.6
    assert IDENTITY.is_identity


def test_a_probe_makes_prefill_on_the_cpu_known() -> None:
    rig, of = parse_rig("64 GB DDR5-5600"), model("Qwen/Qwen3-0.6B")
    assert speed(of, rig).prefill_tps is None
    known = Calibration(host_bandwidth_gbs=30, host_prefill_tflops=0.2, source="probe")
    found = speed(of, rig, known)
    assert found.prefill_tps is not None
    assert any(term.name == "CPU: arithmetic" for term in found.prefill_terms)


def test_a_doubted_row_says_less_of_its_like() -> None:
    how = speed_data().similar_decode.model_copy(update={"gpu_model_backend": 0.2})
    row = Case.of(bench_data().rows[0])
    near = replace(row, file_type="Q5_K_M")
    believed, doubted = (
        float(Process([row], np.array([0.3]), np.array([weight]), how)([near])[0][0])
        for weight in (1.0, 0.05)
    )
    assert 0 < doubted < believed < 0.3


def test_the_middle_is_not_above_what_is_likeliest_and_several_cards_have_a_width() -> None:
    how = speed_data().similar_prefill
    assert 0 <= how.centre < 0.6
    case = Case("nobody/measured", "GeForce RTX 3090", "cuda", "cuda-ampere", "Q4_K_M", False, 0)
    alone, four = correction("prefill", case, 1), correction("prefill", case, 4)
    assert four.error == alone.error
    assert four.widen == pytest.approx(alone.widen * how.several)
    assert how.several != 1


def test_where_no_build_is_told_the_middle_is_lower_by_what_not_knowing_adds() -> None:
    """As kernels got faster, builds that one may have are rather slower than the usual one."""
    case = Case("nobody/measured", STRIX, "vulkan", "vulkan-strix-halo", "Q4_K_M", True, 0)
    usual = as_usual(case, usual_builds(Case.of(row) for row in bench_data().rows))
    assert usual.built is not None
    lower: dict[str, float] = {}
    for kind, how in (
        ("decode", speed_data().similar_decode),
        ("prefill", speed_data().similar_prefill),
    ):
        untold, told = correction(kind, case, 1), correction(kind, usual, 1)
        assert untold.spread > told.spread
        deviations = (untold.spread - told.spread) * NORMAL_80 / how.multiple(experts=True, far=0)
        lower[kind] = untold.error - told.error - how.centre * deviations
    assert lower["decode"] == pytest.approx(0, abs=1e-9)
    assert 0.02 < lower["prefill"] < 0.3


def test_ranges_follow_what_kept_back_rows_needed() -> None:
    how = speed_data().similar_prefill
    assert how.multiple(experts=False, far=0.0) == how.z
    assert how.multiple(experts=True, far=1.0) == how.z_experts_deep
    assert deepness(0) == 0
    assert deepness(1_000_000) == 1


def test_an_older_build_reads_a_prompt_as_its_time_did() -> None:
    def reads(model_id: str = "Qwen/Qwen3-14B", **told: object) -> Range:
        asked = {"model": model_id, "file_type": "Q8_0", "rig": STRIX, "ctx": 8192}
        found = Sizer().plan({**asked, "backend": "vulkan", **told}).speed.prefill_tps
        assert found is not None
        return found

    old, new, untold = reads(built="2025-07"), reads(built="2026-08"), reads()
    assert old.mid < untold.mid
    assert old.mid < 0.8 * new.mid
    # A row of July 2025 speaks for its own time, less for another.
    then = reads("Qwen/Qwen3-32B", built="2025-07").mid
    assert then < reads("Qwen/Qwen3-32B", built="2026-08").mid
    # What is not told may be either, so its range is the wider one.
    assert untold.high / untold.low > new.high / new.low


def test_months_of_builds_are_years() -> None:
    assert year(None) is None
    assert year("") is None
    assert year("2026-01") == pytest.approx(2026 + 1 / 24)
    assert year("2026-01-28") == year("2026-01")
    assert year("2025") == 2025.5
    with pytest.raises(SettingsError, match="built"):
        Sizer().plan({"model": "Qwen/Qwen3-8B", "rig": "RTX 4090", "ctx": 512, "built": "now"})


def test_a_build_that_is_not_told_is_as_near_as_measured_ones_are() -> None:
    rows = [Case.of(row) for row in bench_data().rows[:40]]
    asked = replace(rows[0], built=None)
    now = likeness([asked], rows, 1.4, 1.0)["class_built"][0]
    told = np.array(
        [likeness([replace(asked, built=r.built)], rows, 1.4, 1.0)["class_built"][0] for r in rows]
    )
    alike = [r.speed_class == asked.speed_class for r in rows]
    assert now == pytest.approx(told[alike].mean(axis=0))
    assert likeness([asked], [asked], 1.4, 1.0)["class_flash"][0, 0] == 1


def test_builds_of_one_time_err_alike_with_the_same_backend_whatever_the_card() -> None:
    known = Case("a", "GeForce RTX 3090", "cuda", "cuda-ampere", "Q4_K_M", False, 0, 2024.0)
    other = replace(known, model="b", gpu="L40S", speed_class="cuda-ada")
    how = speed_data().similar_decode.model_copy(update={"backend_built": 0.05})
    process = Process([known], np.array([0.3]), np.array([1.0]), how)
    then, later, elsewhere = process(
        [other, replace(other, built=2026.0), replace(other, backend="vulkan")]
    )[0]
    assert then > later > elsewhere == 0


def test_experts_compute_slower_where_a_micro_batch_gives_each_few_tokens() -> None:
    def experts(ubatch: int) -> float:
        asked = {"model": "Qwen/Qwen3-30B-A3B", "rig": STRIX, "backend": "vulkan", "ctx": 8192}
        plan = Sizer().plan({**asked, "n_prompt": 2048, "ubatch_size": ubatch})
        return sum(t.seconds for t in plan.speed.prefill_terms if t.name.endswith(": experts"))

    # 8 of 128 experts: each gets a sixteenth of the tokens.
    tile = speed_data().backends["vulkan"].prefill_tile
    expected = (1 + tile / (128 / 16)) / (1 + tile / (1024 / 16))
    assert experts(128) / experts(1024) == pytest.approx(expected)
