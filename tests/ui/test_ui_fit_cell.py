"""The chosen cell: why it does not fit, what would help, and what llama.cpp itself says of it."""

import datetime as dt
import threading

import psutil
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QCheckBox, QLabel, QPushButton

from advisor import answers, llm
from advisor.advice.hardware_prices import shipped_names
from advisor.advice.instead import priced
from advisor.advice.usage import Usage
from advisor.basis import Basis
from advisor.engine import dry_run as dry_runs
from advisor.engine.dry_run import DryRun
from advisor.engine.log import BreakdownRow
from advisor.errors import EngineError
from advisor.hardware.compose import parse_rig
from advisor.hardware.rig import Host, Rig
from advisor.session import ModelChoice
from advisor.sizing import size
from advisor.sizing.settings import RunSettings
from advisor.sizing.ways_out import Change
from advisor.ui import checks, services
from advisor.ui.focus import LINE
from advisor.ui.header import Header
from advisor.ui.pages.fit import FitPage
from advisor.ui.pages.fit_plan import PlacePicker
from advisor.ui.pages.fit_run import RunCard
from advisor.ui.state import AppState
from advisor.ui.widgets.figures import FigureRow
from tests import tiny

ONE_CARD = "RTX 4090 + 64 GB DDR5-6000"
MIB = 1 << 20
HOST = Rig(name="host", hosts=(Host(ram_available=8 << 30),))


@pytest.fixture
def fit(qtbot, state):
    page = FitPage(state)
    page.catch_up()
    qtbot.addWidget(page)
    page.resize(1132, 716)
    page.show()
    yield page
    page.closing()


def ask(qtbot, state, model: str, file_type: str, ctx: int, *, rig: str = ONE_CARD) -> None:
    state.set_rig(parse_rig(rig))
    state.choose_model(model, file_type)
    state.change_settings(ctx=ctx)
    qtbot.waitUntil(
        lambda: (
            state.plan is not None
            and (state.plan.file_type, state.plan.settings.ctx) == (file_type, ctx)
        ),
    )


def ways(fit: FitPage) -> dict[str, QPushButton]:
    found = fit.why.findChildren(QPushButton)
    return {b.accessibleName().removeprefix("Apply: "): b for b in found if b.isVisibleTo(fit.why)}


def words(fit: FitPage) -> str:
    return "\n".join(x.text() for x in fit.why.findChildren(QLabel) if x.isVisibleTo(fit.why))


def shows_plan(fit: FitPage) -> bool:
    """Whether all cards are of the present question: they are filled in turns."""
    return fit.state.present_plan is not None and not fit._unseen


def shows_why(fit: FitPage) -> bool:
    """Whether it is of the present plan, and all of it."""
    due = fit.state.present_plan is None or fit._show_plan in fit._unseen
    return not due and fit.why.isVisible() and fit.why.isEnabled()


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


def test_a_way_out_is_applied(fit, state, qtbot) -> None:
    ask(qtbot, state, "Qwen/Qwen3-30B-A3B", "Q6_K", 32768)
    qtbot.waitUntil(lambda: shows_why(fit))
    assert "RTX 4090) lacks 2.8 GiB" in words(fit)
    assert "perplexity" in words(fit)

    ways(fit)["Take Q5_K_M instead of Q6_K"].click()

    qtbot.waitUntil(lambda: state.plan is not None and state.plan.file_type == "Q5_K_M")
    assert state.plan.verdict in {"fits", "tight"}


def test_another_card_is_a_what_if(fit, state, qtbot) -> None:
    ask(qtbot, state, "meta-llama/Llama-3.3-70B-Instruct", "Q4_K_M", 32768)
    qtbot.waitUntil(lambda: shows_why(fit))
    assert "USD" in words(fit)

    ways(fit)["Add 2 more RTX 4090"].click()

    assert state.rig.name == "3x RTX 4090 + 64 GB"
    qtbot.waitUntil(lambda: state.plan is not None and len(state.plan.devices) == 3)
    assert state.plan.verdict == "fits"
    qtbot.waitUntil(lambda: not fit.why.isVisible())


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


def test_a_part_in_ram_that_was_asked_for_is_not_called_too_slow(fit, state, qtbot) -> None:
    state.change_settings(n_cpu_moe="fit")
    ask(qtbot, state, "Qwen/Qwen3-30B-A3B", "Q8_0", 32768)
    qtbot.waitUntil(lambda: shows_why(fit))
    assert state.plan.verdict == "offload"
    assert state.plan.speed.decode_tps.mid > state.usage.min_decode_tps
    assert "A part lies in RAM" in words(fit)
    assert "you want" not in words(fit)


def test_settings_are_changed_by_a_way_out(fit, state, qtbot) -> None:
    ask(qtbot, state, "Qwen/Qwen3-14B", "Q8_0", 40960, rig="RTX 3090 + 64 GB DDR4-3200")
    state.change_settings(parallel=4, ctx=65536)
    qtbot.waitUntil(lambda: shows_why(fit) and any("KV cache" in name for name in ways(fit)))
    ways(fit)["Keep the KV cache in q8_0"].click()
    assert (state.settings.ctk, state.settings.ctv) == ("q8_0", "q8_0")


def test_prompts_that_wait_for_copies_are_read_faster_by_what_is_offered(fit, state, qtbot) -> None:
    rig = "RTX 3090 + 128 GB DDR4-3200"
    ask(qtbot, state, "openai/gpt-oss-120b", "MXFP4_MOE", 16384, rig=rig)
    qtbot.waitUntil(lambda: shows_why(fit))
    slow = state.plan.speed.prefill_tps
    assert "Prompts wait for weights" in words(fit)
    assert "38.5 GiB of RAM stay taken" in words(fit)
    names = ("Load it with --load-mode none", "Raise the micro-batch (-ub 2048)")
    for name in names:
        qtbot.waitUntil(lambda: shows_why(fit))
        (way,) = (apply for title, apply in ways(fit).items() if title.startswith(name))
        plan = state.plan
        way.click()
        qtbot.waitUntil(lambda plan=plan: state.plan is not plan)
    assert state.plan.speed.prefill_tps.mid > 1.2 * slow.mid
    qtbot.waitUntil(lambda: "-ub 2048" in fit.run.content)
    assert "--load-mode none" in fit.run.content
    # Until the new plan's objections are worked out, those of the one before stand there.
    qtbot.waitUntil(lambda: "Prompts wait" not in words(fit))
    # And back again, on the form.
    mapped = fit._settings.findChildren(QCheckBox)
    (box,) = (box for box in mapped if box.text() == "File mapped to RAM")
    assert not box.isChecked()
    box.click()
    assert state.settings.mmap


def test_why_not_bigger_goes_to_the_nearest_cell_that_does_not_fit(fit, state, qtbot) -> None:
    ask(qtbot, state, "Qwen/Qwen3-32B", "Q4_K_M", 16384)
    qtbot.waitUntil(fit._bigger.isEnabled)
    assert not fit.why.isVisible()

    fit._bigger.click()

    assert (state.choice.file_type, state.settings.ctx) == ("Q5_K_M", 16384)
    qtbot.waitUntil(lambda: shows_why(fit))
    assert not fit._bigger.isEnabled()


def test_where_nothing_helps_it_says_what_would_be_needed(fit, state, qtbot) -> None:
    ask(qtbot, state, "deepseek-ai/DeepSeek-R1", "Q8_0", 32768, rig="RTX 3060 12GB + 16 GB")
    qtbot.waitUntil(lambda: shows_why(fit))
    assert "in all; this machine has" in words(fit)
    assert "Over an API" in words(fit)
    assert any(name.startswith("Build a new machine") for name in ways(fit))


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


def test_a_files_own_type_is_asked_about(tmp_path) -> None:
    rig = parse_rig(ONE_CARD)
    choice = ModelChoice(model="Qwen/Qwen3-32B", file_type=None)
    at = dt.datetime(2026, 11, 26, tzinfo=dt.UTC)
    asked = RunSettings(ctx=40960)
    plan = answers.plan_of(answers.load_model(choice), rig, asked)
    found = checks.why_not(choice, rig, asked, (), Usage(), plan=plan, at=at)
    assert found.changes
    assert answers.load_model(choice).file_type not in {
        c.file_type for c in found.changes if c.kind == "file_type"
    }


def test_every_card_with_a_price_is_told_with_it() -> None:
    rig = parse_rig("CPU only 64 GB")
    plan = size(tiny.dense(), rig, RunSettings(ctx=512))

    def with_(name: str) -> Change:
        more = rig.model_copy(update={"devices": parse_rig(name).devices})
        return Change("gpu", "", "", 6.0, "Q4_K_M", more, plan, {})

    names = [name for name, kind in shipped_names() if kind == "gpu"]
    told = [priced(with_(name), rig, Usage()).cost for name in names]
    assert len(told) > 30
    assert all("USD" in cost for cost in told), told


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


def test_a_rig_that_was_read_elsewhere_is_not_checked_here(fit, state, qtbot) -> None:
    elsewhere = parse_rig(ONE_CARD).model_copy(update={"imagined": False})
    state.set_detected(Rig(name="This machine", hosts=(Host(),)))
    state.set_rig(elsewhere)
    state.choose_model("Qwen/Qwen3-8B", "Q4_K_M")
    qtbot.waitUntil(lambda: "not in this machine" in fit.plan.check.sentence)
    assert not fit.plan.check._ask.isVisible()


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
    qtbot.waitUntil(lambda: header.model.accessibleName() == wanted, timeout=30_000)
