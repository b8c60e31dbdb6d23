"""The plot of headroom: labels, scale, thinned lines, turns, tool tips and patterns."""

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtWidgets import QVBoxLayout, QWidget

from advisor.ui.widgets.headroom_ground import LINE, Band, axes, line
from advisor.ui.widgets.headroom_marks import Span
from advisor.ui.widgets.headroom_plot import HeadroomPlot
from advisor.ui.widgets.paint_turns import BUDGET_S, PaintTurns

GIB = 1 << 30
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
        labels = plot.ground.labels(plot.axes())
        heights = [y for _anchor, y, _words, _series in labels]
        gaps = [b - a for a, b in pairwise(heights)]
        assert min(gaps) >= LINE - 0.01
        assert max(heights) <= plot.height()
        assert len(labels) == len(BANDS) + 1


def test_capacity_is_to_scale_only_where_that_leaves_something_to_see(plot):
    assert plot.axes().to_scale
    assert plot.axes().top >= 24 * GIB
    plot.set_prediction((Band("weights", "Weights", GIB // 2),), 24 * GIB)
    assert not plot.axes().to_scale
    assert plot.axes().top < 2 * GIB


def test_the_scale_grows_with_the_line(plot):
    plot.set_prediction((Band("weights", "Weights", GIB),), 64 * GIB)
    before = plot.axes().top
    plot.extend([0.0, 1.0], [0.5 * GIB, 5 * GIB])
    assert plot.axes().top > before
    plot.set_seconds(10)
    plot.extend([30.0], [GIB])
    assert plot._seconds > 30


def test_a_flat_line_costs_few_points(plot):
    plot.set_seconds(60)
    times = [i / 25 for i in range(1500)]
    values = [20.0 * GIB] * 1500
    values[700] = 22.0 * GIB
    plot.extend(times, values)
    points = line(plot.axes(), times, values)
    assert len(points) < 2 * plot.width()
    assert min(point.y() for point in points) == pytest.approx(plot.axes().y(22 * GIB))
    assert plot.grab().width() > 0


@given(st.lists(st.tuples(st.floats(0, 70), st.floats(0, 80 * GIB)), max_size=200))
def test_thinning_a_line_keeps_its_ends_and_extremes(pairs):
    shape = axes(640, 300, compact=False, needed=70 * GIB, capacity=80 * GIB, seconds=60)
    pairs.sort(key=lambda pair: pair[0])
    points = line(shape, [t for t, _ in pairs], [v for _, v in pairs])
    whole = [(shape.x(t), shape.y(v)) for t, v in pairs]
    seen = [(point.x(), point.y()) for point in points]
    assert len(seen) <= len(whole)
    if not whole:
        return
    assert (seen[0], seen[-1]) == (whole[0], whole[-1])
    for column in {int(x) for x, _ in whole}:
        heights = [y for x, y in whole if int(x) == column]
        kept = [y for x, y in seen if int(x) == column]
        assert (min(kept), max(kept)) == (min(heights), max(heights))


def test_many_plots_take_turns(plot, qtbot):
    """What is not yet drawn anew is shown as it was; a few turns later all are."""
    others = [HeadroomPlot(f"GPU {i}") for i in range(8)]
    box = QWidget()
    qtbot.addWidget(box)
    rows = QVBoxLayout(box)
    for other in others:
        rows.addWidget(other)
        other.set_prediction(BANDS, 24 * GIB)
    allowed = PaintTurns()
    with allowed.painting():
        time.sleep(2 * BUDGET_S)
    assert not allowed.allows(plot)
    qtbot.waitUntil(lambda: allowed.allows(plot))
    box.resize(700, 1600)
    box.show()
    qtbot.waitUntil(lambda: not any(other._stale for other in others))
    box.resize(900, 1800)
    qtbot.waitUntil(lambda: not any(other._stale for other in others))


def test_tool_tips_say_phase_and_value(plot):
    plot.set_seconds(10)
    plot.set_phases((Span("load", 0, 5), Span("decode", 5, None)))
    plot.extend([0, 6.0, 10.0], [GIB, 2 * GIB, 2 * GIB])
    area = plot.axes().area
    assert "load" in plot._words_at(area.left() + area.width() * 0.2)
    words = plot._words_at(area.left() + area.width() * 0.8)
    assert "decode" in words
    assert "2.0 GiB" in words
    assert plot._words_at(0) == ""


def test_patterns_make_bands_differ_without_colour(plot):
    image = plot.grab().toImage()
    area = plot.axes().area
    rows = {
        image.pixelColor(int(area.center().x()) + dx, int(plot.axes().y(20 * GIB)) + dy).name()
        for dx in range(8)
        for dy in range(-4, 4)
    }
    assert len(rows) > 2
