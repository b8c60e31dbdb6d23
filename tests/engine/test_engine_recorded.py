"""Logs as they were written: by a llama.cpp that we built, and as people posted them."""

import json
from pathlib import Path

import pytest

from advisor.engine import bench
from advisor.engine.bench import read_step, read_test
from advisor.engine.log import (
    BreakdownHeader,
    BreakdownRow,
    BufferSize,
    CacheSize,
    Event,
    Failure,
    LoadingTensors,
    Offloaded,
    Ready,
    Timing,
    WarmingUp,
    read_line,
)

DATA = Path(__file__).parents[1] / "data" / "engine"
ISSUES = json.loads((DATA / "issues.json").read_text(encoding="utf-8"))
MIB = 1 << 20


def lines(name: str) -> list[str]:
    return (DATA / name).read_text(encoding="utf-8").splitlines()


def words(event: Event) -> str:  # noqa: PLR0911 - one per kind
    """An event as the recorded expectations write it."""
    match event:
        case BufferSize():
            return f"{event.kind} {event.place} {event.size / MIB:.2f}"
        case Offloaded():
            return f"Offloaded {event.layers}/{event.of}"
        case BreakdownRow(total=int(total)):
            parts = "+".join(
                str(size // MIB) for size in (event.model, event.context, event.compute)
            )
            return f"BreakdownRow {event.name} {parts} of {total // MIB}"
        case CacheSize():
            return f"CacheSize {event.cells}"
        case Failure(size=None):
            return f"Failure {event.kind}"
        case Failure():
            return f"Failure {event.kind} {event.size}"
        case _:
            return type(event).__name__


@pytest.mark.parametrize("issue", ISSUES, ids=[i["about"] for i in ISSUES])
def test_logs_that_people_posted(issue):
    found = [event for event in map(read_line, issue["lines"]) if event is not None]
    assert [words(event) for event in found] == issue["events"]


def test_a_whole_run_of_llama_server():
    """b11434 on a CPU: Qwen3 MoE ghost, 4096 tokens of context, one request, then SIGTERM."""
    found = [event for event in map(read_line, lines("b11434-server.log")) if event is not None]
    kinds = [type(event) for event in found]
    assert kinds[:2] == [BreakdownHeader, BreakdownRow]
    assert found[1] == BreakdownRow("Host", 58 * MIB, 8 * MIB, 15 * MIB)
    for kind in (LoadingTensors, WarmingUp, Ready):
        assert kinds.count(kind) == 1
    buffers = {(b.kind, b.place): b.size for b in found if isinstance(b, BufferSize)}
    assert buffers["model", "CPU_Mapped"] == round(58.18 * MIB)
    assert buffers["context", "CPU"] == 8 * MIB
    (cache,) = (event for event in found if isinstance(event, CacheSize))
    assert (cache.cells, cache.layers, cache.streams) == (4096, 4, 1)
    assert Ready("unix://engine.sock") in found
    assert [t.kind for t in found if isinstance(t, Timing)] == ["prompt", "generation"]
    assert not [event for event in found if isinstance(event, Failure)]


def test_a_whole_run_of_llama_bench():
    log = lines("b11434-bench.log")
    prompt, generation = (t for t in map(read_test, log) if t is not None)
    assert (prompt.n_prompt, prompt.n_gen, prompt.depth) == (64, 0, 0)
    assert (generation.n_prompt, generation.n_gen) == (0, 8)
    assert prompt.tps > 0
    assert generation.spread >= 0
    steps = [step.what for step in map(read_step, log) if step is not None]
    assert steps == ["load", "warm-up", "prefill", "prefill", "warm-up", "decode", "decode"]
    assert not [line for line in log if isinstance(read_line(line), Failure)]


def test_other_lines_are_no_results():
    for line in ("", "{", "{}", '{"n_prompt": "x"}', "llama-bench: benchmark 1/2: done", "[1]"):
        assert read_test(line) is None
        assert read_step(line) is None


def test_the_settings_that_llama_bench_makes():
    from advisor.sizing.settings import RunSettings  # noqa: PLC0415 - only here

    planned = bench.planned_settings(RunSettings(ctx=32768, parallel=4, batch_size=1024))
    assert (planned.ctx, planned.parallel, planned.n_outputs) == (512, 1, 1024)
    drafting = RunSettings(spec_type="draft-mtp", load_mtp=True, n_rs_seq=3, swa_full=True)
    assert bench.planned_settings(drafting) == bench.planned_settings(RunSettings())


def test_a_run_with_a_draft_model_and_a_projector():
    """b11434 on a CPU: two breakdowns while it fits, then the models one after the other."""
    from advisor.engine.dry_run import _Collected  # noqa: PLC0415 - only here
    from advisor.probe.buffers import Buffers  # noqa: PLC0415 - only here

    buffers, collected = Buffers(), _Collected(wanted=2)
    for line in lines("b11434-companions.log"):
        event = read_line(line)
        collected.line(line)
        if event is not None:
            buffers.take(event)
            collected.take(event)
    main, draft = collected.tables
    assert main == [BreakdownRow("Host", 17 * MIB, 6 * MIB, 13 * MIB)]
    assert draft == [BreakdownRow("Host", 13 * MIB, 4 * MIB, 13 * MIB)]
    assert collected.projector == round(0.91 * MIB)
    parts = buffers.by_place([])["host"]
    assert parts["weights"] == round(17.83 * MIB)
    assert parts["context"] == 6 * MIB
    assert parts["draft"] == pytest.approx((13.30 + 4.00 + 13.02 + 0.02) * MIB, abs=9)
    assert parts["projector"] == pytest.approx((0.85 + 0.07) * MIB, abs=9)


def test_an_older_server_that_leaves_the_draft_out_does_not_keep_us_waiting():
    from advisor.engine.dry_run import _Collected  # noqa: PLC0415 - only here

    collected = _Collected(wanted=2)
    for line in lines("b11434-companions.log"):
        if "extra model" in line:
            break
        event = read_line(line)
        collected.line(line)
        if event is not None:
            collected.take(event)
    assert not collected.done.is_set()
    collected.line("I common_params_fit_impl: projected to use 67 MiB of host memory")
    assert collected.done.is_set()
    assert len(collected.tables) == 1
