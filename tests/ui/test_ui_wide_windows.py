"""Wide windows: what small ones have to scroll to stands beside the rest."""

import math

import pytest
from PySide6.QtCore import QPoint

from advisor.hardware.compose import parse_rig
from advisor.ui.pages import advice_cards
from advisor.ui.pages.advice_axes import amount
from advisor.ui.pages.advice_cards import OptionCards
from advisor.ui.pages.fit import WIDE, FitPage
from advisor.ui.state import AppState
from advisor.ui.widgets.figures import FigureRow
from advisor.ui.widgets.heat_map import HeatCell, HeatMap, HeatRow


def test_a_wide_fit_page_shows_plan_and_command_beside_each_other(state: AppState, qtbot) -> None:
    state.set_rig(parse_rig("RTX 4090 + 64 GB DDR5-6000"))
    state.choose_model("Qwen/Qwen3-30B-A3B", "Q8_0")
    page = FitPage(state)
    page.catch_up()
    qtbot.addWidget(page)
    page.resize(1772, 980)
    page.show()
    qtbot.waitUntil(lambda: page.run.isVisible() and page.why.isVisible())

    def left(part) -> int:
        return part.mapTo(page, QPoint(0, 0)).x()

    qtbot.waitUntil(lambda: left(page.plan) < left(page.run))
    assert left(page.plan) == left(page.speed)
    assert left(page.run) == left(page.why)
    page.resize(WIDE - 1, 980)
    qtbot.waitUntil(lambda: left(page.plan) == left(page.run))
    tops = [part.y() for part in (page.why, page.plan, page.speed, page.run)]
    assert tops == sorted(tops)
    page.closing()


@pytest.mark.parametrize(
    ("count", "width", "lines"), [(4, 718, 2), (5, 718, 2), (4, 1358, 1), (5, 1358, 1), (6, 718, 2)]
)
def test_option_cards_fill_their_lines(qtbot, count, width, lines) -> None:
    cards = OptionCards()
    qtbot.addWidget(cards)
    cards._cards = [advice_cards._OptionCard() for _ in range(count)]
    cards.resize(width, 300)
    cards.show()
    qtbot.waitUntil(lambda: cards.width() == width)
    rows = [cards._grid.getItemPosition(place)[0] for place in range(count)]
    assert rows == sorted(rows)
    assert len(set(rows)) == lines
    assert rows.count(0) == math.ceil(count / lines)


def test_a_map_of_one_row_ends_below_it(qtbot) -> None:
    heat = HeatMap("one file")
    qtbot.addWidget(heat)
    heat.resize(600, 700)
    heat.show_cells((HeatRow("Q8_0"),), ("4k",), ((HeatCell("+1.0", "", "good", ""),),))
    assert heat.maximumHeight() < 100


def test_what_is_unknown_has_no_basis(qtbot) -> None:
    line = FigureRow("Driver", "unknown", basis="computed")
    qtbot.addWidget(line)
    assert not line._mark.word
    line.show_value("0.6 GiB", basis="computed")
    assert line._mark.word == "computed"


def test_an_axis_counts_in_one_unit() -> None:
    assert [amount(value, 30_000) for value in (0, 7500, 15_000, 30_000)] == [
        *("0", "7.5k", "15k", "30k")
    ]
    assert [amount(value, 4000) for value in (0, 1000, 4000)] == ["0", "1,000", "4,000"]
