"""The chosen cell's figures beside llama.cpp's own."""

import psutil
import pytest
from fit_page import ONE_CARD, ask

from advisor.basis import Basis
from advisor.engine import dry_run as dry_runs
from advisor.engine.dry_run import DryRun
from advisor.engine.log import BreakdownRow
from advisor.errors import EngineError
from advisor.hardware.compose import parse_rig
from advisor.hardware.rig import Host, Rig
from advisor.sizing import size
from advisor.sizing.settings import RunSettings
from advisor.ui import checks
from advisor.ui.widgets.figures import FigureRow
from tests import tiny

MIB = 1 << 20
HOST = Rig(name="host", hosts=(Host(ram_available=8 << 30),))


def test_imagined_gpus_are_out_of_llama_cpps_reach(fit, state, qtbot) -> None:
    ask(qtbot, state, "Qwen/Qwen3-0.6B", "Q4_K_M", 4096)
    qtbot.waitUntil(lambda: "not in this machine" in fit.plan.check.sentence)
    assert not fit.plan.check.busy
    with pytest.raises(EngineError, match="not in this machine"):
        checks.check(state.model, state.plan, state.rig, fit.plan.check._cancel)


@pytest.mark.engine
def test_llama_cpps_figures_replace_ours_by_themselves(fit, state, qtbot) -> None:
    ask(qtbot, state, "Qwen/Qwen3-0.6B", "Q4_K_M", 4096, rig="64 GB DDR5-6000")
    qtbot.waitUntil(lambda: "says" in fit.plan.check.sentence)

    assert "llama.cpp b" in fit.plan.check.sentence
    assert " · computed " in fit.plan.check.sentence

    def marks() -> list[object]:
        return [row._mark._basis for row in fit.plan._figures.rows if isinstance(row, FigureRow)]

    qtbot.waitUntil(lambda: marks()[1:] == [Basis.DRY_RUN] * 5)

    state.change_settings(ctx=8192)
    qtbot.waitUntil(lambda: state.plan.settings.ctx == 8192)
    qtbot.waitUntil(lambda: "says" not in fit.plan.check.sentence)


@pytest.mark.engine
def test_a_check_can_be_stopped(fit, state, qtbot) -> None:
    ask(qtbot, state, "Qwen/Qwen3-0.6B", "Q4_K_M", 4096, rig="64 GB DDR5-6000")
    qtbot.waitUntil(lambda: fit.plan.check._plan is state.plan)
    fit.plan.check.start()
    assert fit.plan.check.busy
    fit.plan.check._ask.click()
    assert not fit.plan.check.busy
    assert fit.plan.check.sentence == "Stopped."
    qtbot.waitUntil(lambda: not psutil.Process().children(recursive=True))


def test_refusals_of_llama_cpp_are_sentences(fit, state, qtbot, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> DryRun:
        message = "llama.cpp cannot read it: it is too old."
        raise EngineError(message)

    monkeypatch.setattr(checks, "dry_run", refuse)
    ask(qtbot, state, "Qwen/Qwen3-0.6B", "Q4_K_M", 4096, rig="64 GB DDR5-6000")
    qtbot.waitUntil(lambda: fit.plan.check._plan is state.plan)
    fit.plan.check.start()
    qtbot.waitUntil(lambda: not fit.plan.check.busy)
    assert fit.plan.check.sentence == "llama.cpp cannot read it: it is too old."


def said(run: DryRun) -> dict[str, checks.Pair]:
    plan = size(tiny.dense(), HOST, RunSettings(ctx=4096))
    return dict(checks.figures(plan, run)["host"])


def run_of(weights: int, repacked: int, context: int) -> dry_runs.DryRun:
    return DryRun(
        devices=(),
        host=BreakdownRow("Host", weights, context, 0),
        extra=(BreakdownRow("CPU_REPACK", repacked, 0, 0),),
        compute={},
        caches=(),
        seconds=0.0,
        engine="embedded",
    )


def test_rounding_is_no_difference_and_a_difference_is_one() -> None:
    plan = size(tiny.dense(), HOST, RunSettings(ctx=4096))
    weights, context = plan.host.weights, plan.host.context
    assert context is not None
    rounded = (weights - 3 * MIB // 2) // 2

    found = said(run_of(rounded, rounded, context + 5 * MIB))

    assert found["weights"] == checks.Pair(weights, weights)
    assert (found["context"].said, found["context"].computed) == (context + 5 * MIB, context)
    assert not found["context"].agrees
    assert "output" not in found


def test_a_rig_that_was_read_elsewhere_is_not_checked_here(fit, state, qtbot) -> None:
    elsewhere = parse_rig(ONE_CARD).model_copy(update={"imagined": False})
    state.set_detected(Rig(name="This machine", hosts=(Host(),)))
    state.set_rig(elsewhere)
    state.choose_model("Qwen/Qwen3-8B", "Q4_K_M")
    qtbot.waitUntil(lambda: "not in this machine" in fit.plan.check.sentence)
    assert not fit.plan.check._ask.isVisible()
