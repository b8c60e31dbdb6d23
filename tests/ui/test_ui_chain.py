"""The whole chain in one window: machine, fit, a real probe, advice, and a PDF that reopens."""

import unicodedata
from pathlib import Path

import pytest
from pypdf import PdfReader
from PySide6.QtWidgets import QLabel, QWidget

from advisor import session as sessions
from advisor.hardware.compose import parse_rig
from advisor.ui.app import preferences
from advisor.ui.pages.advice import AdvicePage
from advisor.ui.pages.fit import FitPage
from advisor.ui.pages.probe import ProbePage
from advisor.ui.pages.report import ReportPage
from advisor.ui.state import AppState
from advisor.ui.window import MainWindow


@pytest.fixture
def window(qtbot) -> MainWindow:
    window = MainWindow(preferences())
    qtbot.addWidget(window)
    window.resize(1280, 800)
    window.show()
    window.load_after_first_paint()
    qtbot.waitUntil(lambda: window.state is not None)
    assert window.state is not None
    state = window.state
    qtbot.waitUntil(lambda: state.detected is not None and window.header.rig.isEnabled())
    return window


def shown(window: MainWindow, key: str) -> QWidget:
    window.show_page(key)
    page = window.page(key)
    assert page is not None
    return page


def words(widget: QWidget) -> str:
    return "\n".join(label.text() for label in widget.findChildren(QLabel))


def folded(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).split())


def chosen(qtbot, state: AppState, model: str, file_type: str, ctx: int) -> None:
    state.choose_model(model, file_type)
    state.change_settings(ctx=ctx)
    qtbot.waitUntil(lambda: state.plan is not None and state.plan.settings.ctx == ctx)


@pytest.mark.engine
@pytest.mark.timeout(900)
def test_from_the_machine_to_a_pdf_that_opens_again(
    window: MainWindow, qtbot, tmp_path: Path
) -> None:
    state = window.state
    assert state is not None
    assert state.rig is not None
    assert state.rig.host.ram_total

    # What fits, for a model that is not on this machine and a rig that does not exist.
    state.set_rig(parse_rig("2x RTX 5090 + 128 GB DDR5-6000"))
    chosen(qtbot, state, "deepseek-ai/DeepSeek-V4-Flash", "MXFP4_MOE", 32768)
    fit = shown(window, "fit")
    assert isinstance(fit, FitPage)
    qtbot.waitUntil(lambda: bool(fit.matrix.map.cells.rows))
    assert "Q4_K_M" in [row.title for row in fit.matrix.map.cells.rows]

    # A real probe of a ghost on this machine.
    state.set_rig(None)
    chosen(qtbot, state, "HuggingFaceTB/SmolLM2-135M-Instruct", "Q4_K_M", 1024)
    probe = shown(window, "probe")
    assert isinstance(probe, ProbePage)
    probe.head.budget.setItemData(0, 1)
    probe.head.budget.setCurrentIndex(0)
    qtbot.waitUntil(probe.head.run_button.isEnabled)
    with qtbot.waitSignal(state.results_changed):
        probe.head.run_button.click()
    result = state.session.probes[-1]
    assert result.ending.state == "done", result.ending
    assert result.ghost
    assert result.speeds[0].decode_tps
    host = result.place("host")
    assert host is not None
    assert host.peak is not None

    # A verdict from the user's own usage.
    advice = shown(window, "advice")
    assert isinstance(advice, AdvicePage)
    qtbot.waitUntil(lambda: advice.advice is not None and not advice._stale)
    headline = advice.advice.headline
    assert headline in words(advice)

    # The report, exported and opened again.
    report = shown(window, "report")
    assert isinstance(report, ReportPage)
    qtbot.waitUntil(lambda: report.preview.page_count() > 0 and not report._stale)
    target = tmp_path / "report.pdf"
    report.export_pdf(target)
    qtbot.waitUntil(lambda: target.exists() and report.export.isEnabled())
    text = folded("".join(page.extract_text() for page in PdfReader(target).pages))
    assert folded("SmolLM2 135M") in text
    # The verdict's title and, in its box, what it costs.
    for part in headline.partition(": ")[::2]:
        assert folded(part).lower() in text.lower()
    again = sessions.load(target)
    assert again.probes == sessions.for_others(state.session).probes
    assert again.model == state.session.model
    with qtbot.waitSignal(state.session_replaced):
        window.open_path(target)
    assert state.session.id == again.id
    window.close()
