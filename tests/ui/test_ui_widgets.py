"""Small widgets: what they say to eyes, keyboard and screen readers."""

import pytest
from PySide6.QtCore import QCoreApplication, QEvent, QItemSelectionModel, Qt
from PySide6.QtGui import QAccessible, QColor, QFocusEvent, QImage, QPaintEvent
from PySide6.QtWidgets import QApplication, QGraphicsView, QLabel, QWidget

from advisor.advice.capability import capability
from advisor.advice.wish import Wish
from advisor.basis import Basis, Explanation, Range, Term
from advisor.hardware.compose import parse_rig
from advisor.llm.catalogue import catalogue
from advisor.sizing.settings import RunSettings
from advisor.ui import design
from advisor.ui.texts import capability_text
from advisor.ui.widgets import patterns
from advisor.ui.widgets.basics import Banner, BigNumber, Chip, Elided, button, column
from advisor.ui.widgets.figures import FigureRow, range_text, split_value, term_value
from advisor.ui.widgets.flow import Flow
from advisor.ui.widgets.heat_map import HeatCell, HeatMap, HeatRow
from advisor.ui.widgets.marks import BasisMark
from advisor.ui.widgets.progress import Progress
from advisor.ui.widgets.range_curve import RangeCurve
from advisor.ui.widgets.reading_row import ReadingRow
from advisor.ui.widgets.sparkline import Sparkline
from advisor.ui.widgets.stacked_bar import Part, StackedBar
from advisor.units import GIB, between, rate, rates, speed, wait

EXPLAINED = Explanation(
    title="Weights",
    formula="10.0 GiB + 8.0 GiB = 18.0 GiB",
    terms=(Term(name="blocks 0–31", value=10 * GIB, unit="B", source="llama-model.cpp"),),
    notes=("A note.",),
)


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [
        (13.2, 27.8, "13 to 28 tok/s"),
        (0.04, 1.2, "0.04 to 1.2 tok/s"),
        (41.2, 41.4, "41 tok/s"),
        (950.0, 1432.0, "950 to 1,432 tok/s"),
    ],
)
def test_a_range_of_speeds_has_its_unit_once(low: float, high: float, shown: str) -> None:
    assert rates(low, high) == shown


@pytest.mark.parametrize("low", [0.00042, 0.0996, 0.31, 0.94, 0.96, 2.45, 8.7, 9.94, 9.96, 43.6])
@pytest.mark.parametrize("factor", [1, 1.004, 1.7, 40])
def test_the_ends_of_a_range_are_written_as_they_are_alone(low: float, factor: float) -> None:
    high = low * factor
    alone = dict.fromkeys((speed(low), speed(high)))
    assert between(low, high) == range_text(Range(low=low, mid=low, high=high)) == "–".join(alone)
    assert rates(low, high) == " to ".join(alone) + " tok/s"
    assert rate(low) == f"{speed(low)} tok/s"


@pytest.mark.parametrize(
    ("value", "limit", "shown"),
    [
        (24.6, 25, "24.6"),
        (24.96, 25, "24.96"),
        (24.4, 25, "24"),
        (9.97, 10, "9.97"),
        (25.3, 25, "25.3"),
        (25.0, 25, "25"),
        (1999.7, 2000, "1,999.7"),
        (0.0996, 0.1, "0.0996"),
        (3.02, 10, "3.0"),
    ],
)
def test_a_speed_stands_on_its_side_of_what_was_asked_for(
    value: float, limit: float, shown: str
) -> None:
    """“25 tok/s, below the 25 asked for”."""
    assert speed(value, limit) == shown
    assert rate(value, limit=limit) == f"{shown} tok/s"
    assert wait(value, limit=limit) == f"{shown} s" or value > 300


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0.0"),
        (0.00042, "0.00042"),
        (0.0996, "0.1"),
        (0.3, "0.30"),
        (9.96, "10"),
        (2e3, "2,000"),
    ],
)
def test_a_speed_has_two_figures_below_ten(value: float, shown: str) -> None:
    assert speed(value) == shown


def name_of(widget: QWidget) -> str:
    return QAccessible.queryAccessibleInterface(widget).text(QAccessible.Text.Name)


def labels(widget: QWidget) -> list[str]:
    return [label.text() for label in widget.findChildren(QLabel) if label.isVisibleTo(widget)]


def test_figure_opens_to_its_explanation(qtbot) -> None:
    row = FigureRow("Weights", "18.0 GiB", basis=Basis.COMPUTED, explanation=EXPLAINED)
    qtbot.addWidget(row)
    row.resize(340, 30)
    row.show()
    assert name_of(row.button) == "Weights: 18.0 GiB, computed"
    row.button.setFocus()
    qtbot.keyClick(row.button, Qt.Key.Key_Space)
    assert EXPLAINED.formula in labels(row)
    assert "A note." in labels(row)
    row.show_value("9.0 GiB", basis=Basis.MEASURED)
    assert EXPLAINED.formula not in labels(row)
    assert row.button.focusPolicy() == Qt.FocusPolicy.NoFocus


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ("18.0 GiB", ("18.0", "GiB")),
        ("36–41 tok/s", ("36–41", "tok/s")),
        ("1.1 of 24.0 GiB", ("1.1", "of 24.0 GiB")),
        ("unknown", None),
        ("AMD EPYC", None),
    ],
)
def test_only_the_number_of_a_value_is_bold(value: str, parts: tuple[str, str] | None) -> None:
    assert split_value(value) == parts


def test_ranges_and_terms_are_told_as_people_read_them() -> None:
    assert range_text(None) == "unknown"
    assert range_text(Range(low=36.2, mid=38, high=41)) == "36–41"
    assert range_text(Range(low=2.14, mid=2.3, high=2.6)) == "2.1–2.6"
    assert range_text(Range(low=7.7, mid=11, high=15.2)) == "7.7–15"
    assert range_text(Range(low=0.034, mid=0.05, high=0.09)) == "0.034–0.09"
    assert range_text(Range(low=0.0837, mid=0.1, high=0.197)) == "0.084–0.20"
    assert range_text(Range.exactly(38.9)) == "39"
    assert term_value(Term(name="K", value=GIB, unit="B")) == "1.0 GiB"
    assert term_value(Term(name="cells", value=8192)) == "8,192"
    assert term_value(Term(name="x", value=None)) == "unknown"


def heat(qtbot) -> HeatMap:
    view = HeatMap("File types by contexts")
    qtbot.addWidget(view)
    rows = (HeatRow("Q8_0", "8.1 GiB", "small"), HeatRow("Q4_K_M", "4.7 GiB", "small"))
    cells = tuple(
        tuple(HeatCell(f"+{r}.{c}", "39 t/s", "good", f"{r} by {c}: fits") for c in range(3))
        for r in range(2)
    )
    view.show_cells(rows, ("4k", "8k", "16k"), cells)
    view.resize(500, 260)
    view.show()
    return view


def test_cells_of_one_tone_all_say_whose_memory_or_none_does(qtbot) -> None:
    view = HeatMap("File types by contexts")
    qtbot.addWidget(view)
    narrow = HeatCell("RAM 8.2", "", "offload", "", "8.2")
    wide = HeatCell("RAM 1,021.0", "", "offload", "", "1,021.0")
    fits = HeatCell("+0.7", "", "good", "", "0.7")
    view.show_cells((HeatRow("Q8_0"),), ("4k", "8k", "16k"), ((narrow, wide, fits),))
    cells = view.model()
    room = view.fontMetrics().horizontalAdvance("RAM 10.0") + 4
    assert [cells.says_less(cell, room) for cell in (narrow, wide, fits)] == [True, True, False]
    view.show_cells((HeatRow("Q8_0"),), ("4k", "16k"), ((narrow, fits),))
    assert not cells.says_less(narrow, room)


def test_heat_map_is_walked_with_arrow_keys(qtbot) -> None:
    view = heat(qtbot)
    view.mark(0, 0)
    told: list[tuple[int, int]] = []
    view.chosen.connect(lambda row, column: told.append((row, column)))
    view.setFocus()
    qtbot.keyClick(view, Qt.Key.Key_Right)
    qtbot.keyClick(view, Qt.Key.Key_Down)
    assert told == [(0, 1), (1, 1)]


def test_a_heat_map_that_gets_the_focus_chooses_nothing(qtbot) -> None:
    view = heat(qtbot)
    told: list[tuple[int, int]] = []
    view.chosen.connect(lambda row, column: told.append((row, column)))
    QApplication.sendEvent(
        view, QFocusEvent(QEvent.Type.FocusIn, Qt.FocusReason.ActiveWindowFocusReason)
    )
    assert told == []
    assert not view.currentIndex().isValid()
    qtbot.keyClick(view, Qt.Key.Key_Down)
    assert told == [(0, 0)]


def test_heat_map_is_told_to_screen_readers(qtbot) -> None:
    view = heat(qtbot)
    table = QAccessible.queryAccessibleInterface(view)
    assert table.text(QAccessible.Text.Name) == "File types by contexts"
    assert view.cells.data(view.cells.index(1, 2), Qt.ItemDataRole.AccessibleTextRole) == (
        "1 by 2: fits"
    )


def test_heat_map_keeps_its_place_when_cells_change(qtbot) -> None:
    view = heat(qtbot)
    view.mark(1, 2)
    told: list[tuple[int, int]] = []
    view.chosen.connect(lambda row, column: told.append((row, column)))
    model = view.cells
    view.show_cells(model.rows, model.columns, model.cells)
    assert (view.currentIndex().row(), view.currentIndex().column()) == (1, 2)
    assert told == []
    view.mark(None, None)
    assert not view.selectionModel().hasSelection()
    assert told == []
    flag = QItemSelectionModel.SelectionFlag.ClearAndSelect
    view.selectionModel().setCurrentIndex(model.index(0, 0), flag)
    assert told == [(0, 0)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_tones_differ_in_pattern_not_only_in_colour(qapp: QApplication, scheme) -> None:
    design.apply(qapp, scheme)
    assert len({patterns.TONES[t] for t in ("good", "tight", "offload")}) == 3
    series = ("weights", "context", "compute", "output", "driver", "other")
    assert len({patterns.SERIES[s] for s in series}) == len(series)
    design.apply(qapp, "light")


def grab(widget: QWidget) -> QImage:
    return widget.grab().toImage()


def test_bar_shows_what_does_not_fit(qtbot) -> None:
    bar = StackedBar()
    qtbot.addWidget(bar)
    bar.resize(200, 22)
    bar.show_parts((Part("Weights", "weights", 12 * GIB),), 24 * GIB, "RTX 4090")
    assert name_of(bar) == "RTX 4090: Weights 12.0 GiB / 24.0 GiB"
    half = grab(bar)
    assert half.pixelColor(40, 4).name() == design.LIGHT.weights
    assert half.pixelColor(160, 4).name() == design.LIGHT.sunken
    bar.show_parts((Part("Weights", "weights", 48 * GIB),), 24 * GIB, "RTX 4090")
    over = grab(bar)
    assert over.pixelColor(40, 4).name() == design.LIGHT.weights
    assert over.pixelColor(150, 4).name() != design.LIGHT.weights


def test_marks_have_words() -> None:
    assert [BasisMark(b).word for b in (Basis.COMPUTED, Basis.DRY_RUN, Basis.MEASURED)] == [
        "computed",
        "dry-run",
        "measured",
    ]
    assert name_of(BasisMark("measured")) == "measured"


def test_banner_speaks_and_acts(qtbot) -> None:
    banner = Banner()
    qtbot.addWidget(banner)
    acted: list[bool] = []
    banner.say("The file is damaged.", action="Open another", on_action=lambda: acted.append(True))
    assert banner.sentence == "The file is damaged."
    assert name_of(banner) == "The file is damaged."
    banner._action.click()
    assert acted == [True]
    banner.dismiss()
    assert banner.sentence == ""


def test_big_number_says_its_number() -> None:
    number = BigNumber("Headroom now")
    number.show_value("2.09 GiB", "predicted 2.20", "good")
    assert name_of(number) == "Headroom now: 2.09 GiB. predicted 2.20"


def test_elided_text_keeps_its_whole_in_the_tooltip(qtbot) -> None:
    label = Elided("a very long name of a rig with many cards")
    qtbot.addWidget(label)
    label.resize(60, 20)
    label.show()
    assert label.shown.endswith("…")
    assert label.toolTip() == "a very long name of a rig with many cards"


class Asked(QWidget):
    """Counts how often its layout is asked for again."""

    times = 0

    def event(self, event: QEvent) -> bool:
        self.times += event.type() == QEvent.Type.LayoutRequest
        return super().event(event)


def test_elided_text_leaves_the_layouts_around_it_alone(qtbot) -> None:
    holder, label = Asked(), Elided("a very long name of a rig with many cards", least=20)
    qtbot.addWidget(holder)
    holder.setLayout(column(label))
    holder.resize(300, 40)
    with qtbot.waitExposed(holder):
        holder.show()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest.value)
    holder.times = 0
    holder.resize(60, 40)
    QCoreApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest.value)
    assert label.shown != label.text()
    assert not holder.times


def test_elided_text_is_painted_as_it_is_shown(qtbot) -> None:
    label, short = Elided("a very long name of a rig with many cards"), Elided("")
    for each in (label, short):
        qtbot.addWidget(each)
        each.resize(80, 20)
        each.show()
    short.say(label.shown)
    assert short.shown == short.text()
    assert label.grab().toImage() == short.grab().toImage()


def test_flow_wraps_like_words(qtbot) -> None:
    holder = QWidget()
    qtbot.addWidget(holder)
    flow = Flow(spacing=4)
    for word in ("one", "two", "three", "four", "five"):
        flow.addWidget(button(word))
    holder.setLayout(flow)
    assert flow.heightForWidth(120) > flow.heightForWidth(2000)


def test_chip_is_as_wide_as_its_words(qtbot) -> None:
    chip = Chip("fits, 2.0 GiB left", "good")
    qtbot.addWidget(chip)
    assert chip.sizeHint().width() > chip.fontMetrics().horizontalAdvance(chip.text())


def apart(one: QColor, other: QColor) -> int:
    return sum(abs(a - b) for a, b in zip(one.getRgb(), other.getRgb(), strict=True))


def test_a_curve_within_its_range_draws_and_follows_the_scheme(qtbot, qapp: QApplication) -> None:
    plot = RangeCurve("Decode speed by depth", height=120)
    design.dress(plot)
    qtbot.addWidget(plot)
    plot.resize(320, 120)
    points = tuple((float(x), Range(low=8.0 - x, mid=9.0 - x, high=10.0 - x)) for x in range(8))
    ticks = ((0.0, "0"), (7.0, "8k"))
    plot.show_points(points, across=ticks, up=((0.0, "0"), (10.0, "10")), words="from 9 to 2")
    plot.show()
    qtbot.waitUntil(lambda: [view.width() for view in plot.findChildren(QGraphicsView)] == [320])
    schemes: tuple[design.Scheme, ...] = ("light", "dark")
    for scheme in schemes:
        design.apply(qapp, scheme)
        drawn, accent = grab(plot), QColor(design.colours().accent)
        assert drawn.pixelColor(2, 2).name() == design.colours().surface
        near = (drawn.pixelColor(x, y) for x in range(60, 240) for y in range(100))
        assert any(apart(pixel, accent) < 40 for pixel in near)
    assert name_of(plot) == "Decode speed by depth: from 9 to 2"
    # A wheel turned over it scrolls what it stands in.
    assert plot.childAt(plot.rect().center()) is None
    design.apply(qapp, "light")


def test_sparkline_needs_two_values(qtbot) -> None:
    line = Sparkline("Memory", top=10.0)
    qtbot.addWidget(line)
    line.resize(100, 30)
    line.show_values([1.0])
    empty = grab(line)
    line.show_values([1.0, 9.0, 1.0])
    assert grab(line) != empty


def test_a_reading_says_all_of_it_and_shortens_what_matters_least(qtbot) -> None:
    row = ReadingRow("Memory bandwidth")
    qtbot.addWidget(row)
    row.show_value("1,008 GB/s", note="GPU table", basis=Basis.MEASURED, tip="a long source")
    assert name_of(row) == "Memory bandwidth: 1,008 GB/s, GPU table, measured"

    def shown(width: int) -> list[str]:
        row.resize(width, row.sizeHint().height())
        row.grab()
        return [piece.glyphs.text() for piece in row._pieces or []]

    assert shown(400) == ["GB/s", "1,008", "GPU table", "Memory bandwidth"]
    assert not row._cut
    unit, number, *_, name = shown(150)
    assert (unit, number) == ("GB/s", "1,008")
    assert name.endswith("…")
    assert row._cut


@pytest.mark.parametrize(
    ("rig", "model", "words"),
    [
        # The five cards hold it by another split, as its plan does.
        (
            "RTX 5090 + 2x RTX 3090 + 2x P40 + 64 GB DDR5-6000",
            "stepfun-ai/Step-3.7-Flash",
            "Up to Step 3.7 Flash in VRAM at 32k",
        ),
        (
            "RTX 5090 + 2x RTX 3090 + 2x P40 + 64 GB DDR5-6000",
            "mistralai/Mistral-Small-4-119B-2603",
            "split unevenly or with a part in RAM",
        ),
        (
            "2x RTX 4090 + 128 GB DDR5-6000",
            "deepseek-ai/DeepSeek-V4-Flash",
            "with experts in RAM at",
        ),
    ],
)
def test_a_headline_says_experts_in_ram_only_where_the_cards_are_too_small(
    rig: str, model: str, words: str
) -> None:
    machine = parse_rig(rig)
    found = capability([catalogue().find(model)], machine, Wish(), RunSettings(ctx=32768))
    assert words in capability_text(found, machine)


def test_progress_paints_nothing_that_waits(qtbot) -> None:
    """Qt's own bar paints the whole window's waiting changes with each value."""

    class Counted(QWidget):
        painted = 0

        def paintEvent(self, _event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
            self.painted += 1

    window, bar, other = QWidget(), Progress("Cells checked"), Counted()
    qtbot.addWidget(window)
    other.setMinimumSize(50, 50)
    window.setLayout(column(bar, other))
    with qtbot.waitExposed(window):
        window.show()
    QCoreApplication.processEvents()
    before = other.painted
    other.update()
    bar.setValue(50)
    assert other.painted == before
    qtbot.waitUntil(lambda: other.painted > before)
    assert bar.value() == 50
    assert bar.updatesEnabled()
