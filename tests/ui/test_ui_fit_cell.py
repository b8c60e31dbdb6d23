"""The chosen cell's cards: memory, speed, the command, and what stands there until then."""

import threading
from collections.abc import Callable

import pytest
from fit_page import ONE_CARD, ask, shows_plan
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QLabel, QPushButton

from advisor import llm
from advisor.hardware.compose import parse_rig
from advisor.sizing import size
from advisor.sizing.settings import RunSettings
from advisor.ui import services
from advisor.ui.focus import LINE
from advisor.ui.header import Header
from advisor.ui.pages import fit as fit_page
from advisor.ui.pages.fit import FitPage
from advisor.ui.pages.fit_plan import PlacePicker
from advisor.ui.pages.fit_run import RunCard
from advisor.ui.state import AppState
from advisor.ui.widgets.figures import FigureRow


def test_another_rigs_tightest_memory_is_shown_first(fit, state, qtbot) -> None:
    def shown() -> list[str]:
        found = fit.plan.findChildren(PlacePicker)
        return [p.property("place") for p in found if p.isVisible() and p.isChecked()]

    ask(qtbot, state, "Qwen/Qwen3-8B", "Q4_K_M", 8192)
    qtbot.waitUntil(lambda: shown() == ["CUDA0"])

    def pickers() -> dict[str, PlacePicker]:
        return {p.property("place"): p for p in fit.plan.findChildren(PlacePicker)}

    qtbot.waitUntil(lambda: "host" in pickers())  # the card is filled in turns
    pickers()["host"].click()
    state.change_settings(ctx=4096)
    qtbot.waitUntil(lambda: state.plan.settings.ctx == 4096 and shows_plan(fit))
    assert shown() == ["host"], "of the same rig what was chosen stays"
    ask(qtbot, state, "Qwen/Qwen3-8B", "Q4_K_M", 8192, rig="RTX 3060 12GB + 64 GB")
    qtbot.waitUntil(lambda: shown() == ["CUDA0"])


def test_parts_whose_turn_comes_after_another_rig_wait_for_its_plan(
    fit, state, qtbot, monkeypatch
) -> None:
    """A plan of two cards beside a rig of three was out of range."""
    ask(qtbot, state, "Qwen/Qwen3-8B", "Q8_0", 8192, rig="2x RTX 3090 + 64 GB DDR5-6000")
    fit.catch_up()
    asked: list[tuple[int, int]] = []
    plain = services.card_findings

    def findings(model, rig, settings, probes, plan):
        asked.append((len(rig.devices), len(plan.devices)))
        return plain(model, rig, settings, probes, plan)

    monkeypatch.setattr(services, "card_findings", findings)
    fit._show_plan()  # its parts' turns are still to come
    state.set_rig(parse_rig("3x RTX 3090 + 64 GB DDR5-6000"))
    fit.catch_up()
    qtbot.waitUntil(lambda: (3, 3) in asked)
    assert all(cards == planned for cards, planned in asked)


def test_every_one_of_many_cards_gets_its_bar(fit, state, qtbot) -> None:
    ask(qtbot, state, "Qwen/Qwen3-8B", "Q8_0", 8192, rig="8x RTX 3090 + 64 GB DDR5-6000")

    def bars() -> list[str]:
        pickers = [p for p in fit.plan.findChildren(PlacePicker) if p.isVisibleTo(fit.plan)]
        return [str(picker.property("place")) for picker in pickers]

    qtbot.waitUntil(lambda: bars() == [*(f"CUDA{n}" for n in range(8)), "host"])
    ask(qtbot, state, "Qwen/Qwen3-8B", "Q4_K_M", 8192)
    qtbot.waitUntil(lambda: bars() == ["CUDA0", "host"])


def test_a_command_that_would_not_run_says_so(fit, state, qtbot) -> None:
    card = "RTX 3060 12GB + 16 GB DDR4-3200"
    ask(qtbot, state, "meta-llama/Llama-3.1-70B-Instruct", "Q8_0", 4096, rig=card)
    qtbot.waitUntil(fit.run._warning.isVisible)
    state.choose_cell("IQ2_XXS", 4096)
    qtbot.waitUntil(fit.run._warning.isHidden)


def test_tab_goes_down_the_plan_as_one_reads_it(fit, state, qtbot) -> None:
    ask(qtbot, state, "Qwen/Qwen3-0.6B", "Q4_K_M", 4096, rig="2x RTX 4090 + 64 GB DDR5-6000")
    side = fit._side.widget()
    fit.plan._buttons[1].click()  # other figures, made anew

    qtbot.waitUntil(lambda: shows_plan(fit) and fit.plan._figures.complete)

    def tops() -> list[int]:
        first = fit.plan._buttons[0]
        chain = [first]
        while (after := chain[-1].nextInFocusChain()) is not first:
            chain.append(after)
        walked = [w for w in chain if side.isAncestorOf(w) and w.isVisible()]
        stops = [w for w in walked if w.focusPolicy() & Qt.FocusPolicy.TabFocus]
        return [w.mapTo(side, QPoint(0, 0)).y() // LINE for w in stops]

    qtbot.waitUntil(lambda: len(tops()) > 8 and tops() == sorted(tops()))


def test_what_llama_server_does_not_run_is_told_of_the_program_that_does(qtbot, state):
    card = RunCard(state)
    qtbot.addWidget(card)

    def offered() -> list[str]:
        buttons = card.findChildren(QPushButton)
        return [b.text() for b in buttons if b.isCheckable() and not b.isHidden()]

    rig = parse_rig(ONE_CARD)
    card.show_plan(size(llm.load("Qwen/Qwen3-0.6B", "Q8_0"), rig, RunSettings()))
    assert offered() == ["llama-server", "Ollama", "LM Studio"]
    qtbot.mouseClick(
        next(b for b in card.findChildren(QPushButton) if b.text() == "Ollama"),
        Qt.MouseButton.LeftButton,
    )
    assert "Modelfile" in card.content
    card.show_plan(size(llm.load("google/flan-t5-small", "Q8_0"), rig, RunSettings()))
    assert offered() == ["llama-completion"]
    assert card.content.startswith("llama-completion")


def test_a_card_is_shown_once_it_has_something_to_say(state: AppState, qtbot) -> None:
    page = FitPage(state)
    qtbot.addWidget(page)
    state.choose_model("Qwen/Qwen3-0.6B", "Q8_0")
    qtbot.waitUntil(lambda: state.plan is not None)
    page.show()
    cards = (page.plan, page.places, page.run, page.notes)
    assert all(card.isHidden() for card in cards)
    page.catch_up()
    assert not any(card.isHidden() for card in cards)
    assert page.run.content
    pickers = [picker for picker in page.plan._buttons if not picker.isHidden()]
    assert len(pickers) == 3  # two cards and the RAM
    page.closing()


@pytest.mark.parametrize(
    ("model", "file_type", "told"),
    [("openai/gpt-oss-20b", "MXFP4_MOE", True), ("Qwen/Qwen3-32B", "Q4_K_M", False)],
)
def test_what_a_server_takes_to_choose_a_token_is_told_where_it_matters(  # noqa: PLR0917
    fit, state, qtbot, model, file_type, told
) -> None:
    ask(qtbot, state, model, file_type, 4096)
    qtbot.waitUntil(lambda: shows_plan(fit))
    shown = [x.text() for x in fit.speed.findChildren(QLabel) if x.isVisible()]
    assert any("tok/s" in words for words in shown)
    assert sum("llama-server writes about" in words for words in shown) == int(told)


def test_the_wait_for_a_long_prompt_stands_beside_the_speed(fit, state, qtbot) -> None:
    def waits() -> list[str]:
        rows = fit.findChildren(FigureRow)
        names = [row.button.accessibleName() for row in rows if row.isVisibleTo(fit)]
        return [name for name in names if name.startswith("…")]

    ask(qtbot, state, "Qwen/Qwen3-8B", "Q4_K_M", 32768)
    qtbot.waitUntil(lambda: len(waits()) == 2)
    assert "8,192" in waits()[0]
    assert "fills the context" in waits()[1]
    state.change_settings(ctx=8192)
    qtbot.waitUntil(lambda: len(waits()) == 1)


def test_another_model_has_its_name_before_its_plan(fit, state, qtbot, monkeypatch) -> None:
    """The header showed the end of an id, and the headline the model before, for seconds."""
    ask(qtbot, state, "Qwen/Qwen3-8B", "Q4_K_M", 8192)
    qtbot.waitUntil(lambda: "Qwen3 8B" in fit._answer.text())
    header = Header()
    qtbot.addWidget(header)
    header.bind(state)
    go_on, plan = threading.Event(), services.plan

    def plan_later(*asked):
        go_on.wait(300)
        return plan(*asked)

    monkeypatch.setattr(services, "plan", plan_later)
    state.choose_model("allenai/OLMoE-1B-7B-0924-Instruct", "Q4_K_M")
    try:
        name = "OLMoE 1B-7B"
        qtbot.waitUntil(lambda: header.model.accessibleName() == f"Model: {name}, Q4_K_M")
        qtbot.waitUntil(lambda: fit._answer.text() == f"Sizing {name}…")
        assert state.model is None
    finally:
        go_on.set()
    qtbot.waitUntil(lambda: state.plan is not None and state.model is not None)
    qtbot.waitUntil(lambda: fit._answer.text().startswith(name))
    # Another file type of the same model leaves its headline until there is the other's.
    go_on.clear()
    state.choose_cell("Q8_0", 8192)
    try:
        assert (state.model, state.model_name) == (None, name)
        fit._compute()
        assert fit._answer.text().startswith(name)
    finally:
        go_on.set()


def test_the_header_tells_the_type_that_nobody_chose(state, qtbot) -> None:
    header = Header()
    qtbot.addWidget(header)
    header.bind(state)
    state.choose_model("openai/gpt-oss-20b")
    wanted = "Model: gpt-oss 20B, MXFP4_MOE"
    qtbot.waitUntil(lambda: header.model.accessibleName() == wanted)


def test_nothing_of_another_model_or_rig_stands_under_a_new_name(
    fit, state, qtbot, monkeypatch
) -> None:
    """Cells and plan of the one before looked like the new one's until its own came."""
    cards = (fit.plan, fit.speed, fit.places, fit.run, fit.notes, fit.why)
    go_on, plan, matrix = threading.Event(), services.plan, fit_page.fit_matrix

    def plan_later(*asked):
        go_on.wait(300)
        return plan(*asked)

    def matrix_later(*asked):
        go_on.wait(300)
        return matrix(*asked)

    def answered() -> bool:
        return shows_plan(fit) and fit.matrix.found is not None and fit.matrix.map.isVisible()

    ask(qtbot, state, "Qwen/Qwen3-8B", "Q4_K_M", 8192)
    qtbot.waitUntil(answered)
    with qtbot.waitActive(fit):
        fit.activateWindow()
    fit.matrix.map.setFocus()
    assert fit.matrix.map.hasFocus()
    monkeypatch.setattr(services, "plan", plan_later)
    monkeypatch.setattr(fit_page, "fit_matrix", matrix_later)

    def changes(change: Callable[[], None], told: str) -> None:
        go_on.clear()
        change()
        try:
            qtbot.waitUntil(lambda: fit.matrix.found is None)
            assert not fit.matrix.map.isVisible()
            assert not any(card.isVisible() for card in cards)
            assert fit._answer.text().startswith("Sizing ")
            assert not fit._reason.text()
        finally:
            go_on.set()
        qtbot.waitUntil(answered)
        assert told in fit._answer.text()
        assert fit.plan.isVisible()
        assert fit.matrix.map.hasFocus(), "the keyboard comes back to the cells"

    changes(lambda: state.choose_model("Qwen/Qwen3-0.6B", "Q8_0"), "Qwen3 0.6B Q8_0")
    changes(lambda: state.set_rig(parse_rig("RTX 3060 12GB + 16 GB")), "Qwen3 0.6B Q8_0")
    # Another context or file type of the same leaves the cells where they are.
    go_on.clear()
    state.change_settings(ctx=4096)
    try:
        fit._compute()
        assert fit.matrix.found is not None
        assert fit.matrix.map.isVisible()
    finally:
        go_on.set()
