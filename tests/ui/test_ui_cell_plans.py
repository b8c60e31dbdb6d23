"""A matrix's cells with a part in RAM say what their plans say, without being chosen."""

from dataclasses import replace

import pytest

from advisor import units
from advisor.hardware.compose import parse_rig
from advisor.sizing.settings import RunSettings
from advisor.ui.cell_plans import CellPlans
from advisor.ui.fit_cells import question_of
from advisor.ui.pages.fit import FitPage
from advisor.ui.state import AppState


@pytest.fixture
def fit(qtbot, state: AppState) -> FitPage:
    page = FitPage(state)
    page.catch_up()
    qtbot.addWidget(page)
    page.resize(1132, 716)
    page.show()
    return page


def speeds(fit: FitPage) -> dict[tuple[str, str], str]:
    """What the cells with a part in RAM say, by file type and context."""
    shown = fit.matrix.map.cells
    return {
        (row.title, ctx): cell.sub
        for row, line in zip(shown.rows, shown.cells, strict=True)
        for ctx, cell in zip(shown.columns, line, strict=True)
        if cell.main.startswith("RAM")
    }


def settled(fit: FitPage) -> bool:
    """Whether the matrix belongs to the question, and none of its cells is a guess any more."""
    asked, state = fit.matrix.found, fit.state
    of_this = asked is not None and asked.question == question_of(
        state.choice, state.rig, state.settings, state.session.probes
    )
    return of_this and bool(speeds(fit)) and not any("~" in say for say in speeds(fit).values())


def test_cells_with_a_part_in_ram_are_planned_by_themselves(
    fit: FitPage, state: AppState, qtbot
) -> None:
    state.set_rig(parse_rig("RTX 4090 + RTX 3060 12GB + 64 GB DDR5-6000"))
    state.change_settings(ctx=16384)
    state.choose_model("Qwen/Qwen3-32B", "Q8_0")
    qtbot.waitUntil(lambda: settled(fit))
    found = fit.matrix.found
    assert found is not None
    guesses = {
        (row.file_type, units.tokens(ctx)): units.rate(cell.decode_tps, "t/s")
        for row in found.rows
        for ctx, cell in zip(found.contexts, row.cells, strict=True)
        if cell.verdict == "offload"
    }
    said = speeds(fit)
    assert len(said) >= 3
    assert any(guesses[place] != say for place, say in said.items())
    # Every figure is the one that choosing its cell shows.
    for (file_type, ctx), say in said.items():
        state.choose_cell(file_type, next(n for n in found.contexts if units.tokens(n) == ctx))
        qtbot.waitUntil(
            lambda wanted=(file_type, ctx): (
                state.plan is not None
                and (state.plan.file_type, units.tokens(state.plan.settings.ctx)) == wanted
            ),
        )
        assert units.rate(state.plan.speed.decode_tps.mid, "t/s") == say
        assert state.plan.verdict == "offload"
    qtbot.waitUntil(lambda: settled(fit))
    assert speeds(fit) == said

    state.change_settings(parallel=2)
    qtbot.waitUntil(lambda: not settled(fit))
    qtbot.waitUntil(lambda: settled(fit))
    # What was planned before is known at once.
    state.change_settings(parallel=1)
    qtbot.waitUntil(lambda: settled(fit))
    assert speeds(fit) == said


def test_a_plan_may_be_there_before_the_matrix_is_drawn(fit: FitPage, state: AppState, qtbot):
    """Parts of a page are drawn in turns, and the plan's may come first."""
    state.set_rig(parse_rig("RTX 4090 + RTX 3060 12GB + 64 GB DDR5-6000"))
    state.choose_model("Qwen/Qwen3-32B", "Q8_0")
    qtbot.waitUntil(lambda: settled(fit) and state.present_plan is not None)
    matrix, plan = fit.matrix, state.present_plan
    found = matrix.found
    assert found is not None
    matrix.plans.stop()
    matrix.plans = CellPlans(matrix)
    matrix.take(found)
    matrix.plan_made()
    assert matrix.plans.said((plan.file_type, state.settings.ctx)) is not None
    # Nor are cells planned as those of the question before, where the page is shown in between.
    fit.hide()
    other = replace(found, question=question_of(state.choice, state.rig, RunSettings(ctx=4096), ()))
    matrix.take(other)
    assert matrix.plans.said((plan.file_type, state.settings.ctx)) is None
    with qtbot.waitSignal(matrix.plans.told):
        fit.show()


def test_cells_are_planned_only_while_somebody_looks(fit: FitPage, state: AppState, qtbot) -> None:
    state.set_rig(parse_rig("RTX 4090 + RTX 3060 12GB + 64 GB DDR5-6000"))
    state.choose_model("Qwen/Qwen3-32B", "Q8_0")
    qtbot.waitUntil(lambda: bool(speeds(fit)))
    fit.hide()
    with qtbot.assertNotEmitted(fit.matrix.plans.told, wait=400):
        pass
    fit.show()
    qtbot.waitUntil(lambda: settled(fit))
