"""The probe page with the real embedded engine, and the plot's geometry."""

from itertools import pairwise

import psutil
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget

from advisor.hardware.rig import Host, Rig
from advisor.probe import store
from advisor.ui.pages.probe import ProbePage
from advisor.ui.state import AppState
from advisor.ui.widgets.headroom_plot import LINE, Band, HeadroomPlot, Span
from tests import tiny

GIB = 1 << 30


@pytest.fixture
def here(designed: None) -> AppState:
    """This machine and a tiny model, as if detected and chosen."""
    state = AppState()
    state.detected = Rig(name="This machine", hosts=(Host(cpu="a CPU", ram_available=8 * GIB),))
    state.choose_model("tiny-qwen3")
    state._replan.stop()
    state.model = tiny.dense()
    state.session = state.session.model_copy(
        update={"settings": state.settings.model_copy(update={"ctx": 2048, "n_prompt": 64})}
    )
    return state


@pytest.fixture
def page(here, qtbot):
    page = ProbePage(here)
    qtbot.addWidget(page)
    page.resize(1130, 740)
    page.budget.setItemData(0, 1)
    page.budget.setCurrentIndex(0)
    page.show()
    with qtbot.waitSignal(page.controller.prepared, timeout=20_000):
        page._soon.start()
    yield page
    page.closing()
    here._replan.stop()
    here.close()


def test_the_prediction_stands_before_anything_runs(page):
    assert page.plots._places
    assert page.run_button.isEnabled()
    assert "Tiny qwen3" in page._headline.text()
    assert page._ghost.isVisible()
    assert not store.entries()


@pytest.mark.engine
def test_a_probe_from_the_button_to_the_result(page, here, qtbot):
    with qtbot.waitSignal(page.controller.finished, timeout=60_000) as ended:
        qtbot.mouseClick(page.run_button, Qt.MouseButton.LeftButton)
    (result,) = ended.args
    assert result.ending.state == "done"
    assert here.session.probes == (result,)
    assert page.run_button.isVisible()
    assert not page.stop_button.isVisible()
    assert page.plots._places[0].plot.peak > 10 << 20
    assert "at most" in page.plots._places[0].plot.accessibleDescription()
    assert len(store.entries()) == 1
    # The result stays although the session changed and was planned anew.
    page._prepare()
    assert page._phase.text() == "The probe ran to its end."


@pytest.mark.engine
def test_stopping_from_the_button(page, qtbot):
    page.budget.setCurrentIndex(2)
    with qtbot.waitSignal(page.controller.started, timeout=20_000):
        page.start()
    with qtbot.waitSignal(page.controller.finished, timeout=20_000) as ended:
        qtbot.mouseClick(page.stop_button, Qt.MouseButton.LeftButton)
    assert ended.args[0].ending.state == "stopped"
    assert not psutil.Process().children(recursive=True)
    assert page.run_button.isVisible()


@pytest.mark.engine
def test_closing_the_window_ends_the_child(page, qtbot):
    with qtbot.waitSignal(page.controller.started, timeout=20_000):
        page.start()
    page.closing()
    assert not psutil.Process().children(recursive=True)


@pytest.mark.engine
def test_an_engine_killed_from_outside_is_a_sentence_on_screen(page, qtbot):
    page.budget.setCurrentIndex(2)
    with qtbot.waitSignal(page.controller.started, timeout=20_000):
        page.start()
    qtbot.waitUntil(lambda: "Generating" in page._phase.text(), timeout=20_000)
    with qtbot.waitSignal(page.controller.finished, timeout=10_000):
        for child in psutil.Process().children(recursive=True):
            child.kill()
    assert "killed from outside" in page.banner.sentence
    assert page.run_button.isEnabled()


def test_too_large_is_refused_and_may_be_run_anyway(page, here, qtbot):
    big = here.settings.model_copy(update={"ctx": 1 << 26})
    here.session = here.session.model_copy(update={"settings": big})
    with qtbot.waitSignal(page.controller.refused, timeout=20_000) as refused:
        page.start()
    sentence, overridable = refused.args
    assert "GiB of RAM" in sentence
    assert overridable
    assert page.banner.sentence == sentence
    assert page.run_button.isEnabled()


def test_an_imagined_rig_is_not_run(page, here, qtbot, big_rig):
    here.set_rig(big_rig)
    here._replan.stop()
    with qtbot.waitSignal(page.controller.refused, timeout=20_000) as refused:
        page.start()
    assert "imagined" in refused.args[0]
    assert not refused.args[1]


def test_every_control_has_a_name(page):
    for widget in page.findChildren(QWidget):
        if widget.focusPolicy() != Qt.FocusPolicy.NoFocus and widget.isVisible():
            assert widget.accessibleName(), widget


# --- The plot -----------------------------------------------------------------------------------

BANDS = (
    Band("other", "Other programs", GIB),
    Band("driver", "Driver", GIB // 2),
    Band("weights", "Weights", 18 * GIB),
    Band("context", "Context", 2 * GIB),
    Band("compute", "Compute", 3 << 20),
    Band("output", "Output", 1 << 20),
)


@pytest.fixture
def plot(qtbot, designed):
    plot = HeadroomPlot("RTX 4090")
    qtbot.addWidget(plot)
    plot.resize(640, 300)
    plot.set_prediction(BANDS, 24 * GIB)
    plot.show()
    return plot


def test_labels_never_touch(plot):
    for height in (170, 220, 300, 500):
        plot.resize(640, height)
        labels = plot._labels(plot._area())
        heights = [y for _anchor, y, _words, _series in labels]
        gaps = [b - a for a, b in pairwise(heights)]
        assert min(gaps) >= LINE - 0.01
        assert max(heights) <= plot.height()
        assert len(labels) == len(BANDS) + 1


def test_capacity_is_to_scale_only_where_that_leaves_something_to_see(plot):
    assert plot._to_scale()
    assert plot._top() >= 24 * GIB
    plot.set_prediction((Band("weights", "Weights", GIB // 2),), 24 * GIB)
    assert not plot._to_scale()
    assert plot._top() < 2 * GIB


def test_the_scale_grows_with_the_line(plot):
    plot.set_prediction((Band("weights", "Weights", GIB),), 64 * GIB)
    before = plot._top()
    plot.extend([0.0, 1.0], [0.5 * GIB, 5 * GIB])
    assert plot._top() > before
    plot.set_seconds(10)
    plot.extend([30.0], [GIB])
    assert plot._seconds > 30


def test_a_flat_line_costs_few_points(plot):
    plot.set_seconds(60)
    times = [i / 25 for i in range(1500)]
    plot.extend(times, [20 * GIB] * 1500)
    assert len(plot._line(plot._area())) < 2 * plot.width()
    assert plot.grab().width() > 0


def test_tool_tips_say_phase_and_value(plot):
    plot.set_seconds(10)
    plot.set_phases((Span("load", 0, 5), Span("decode", 5, None)))
    plot.extend([0, 6.0, 10.0], [GIB, 2 * GIB, 2 * GIB])
    area = plot._area()
    assert "load" in plot._words_at(area.left() + area.width() * 0.2)
    words = plot._words_at(area.left() + area.width() * 0.8)
    assert "decode" in words
    assert "2.0 GiB" in words
    assert plot._words_at(0) == ""


def test_patterns_make_bands_differ_without_colour(plot):
    image = plot.grab().toImage()
    area = plot._area()
    rows = {
        image.pixelColor(int(area.center().x()) + dx, int(plot._y(20 * GIB, area)) + dy).name()
        for dx in range(8)
        for dy in range(-4, 4)
    }
    assert len(rows) > 2
