"""What the Advice page draws and lists of its answer: the plots, the cards, the table, the bars."""

from decimal import Decimal

import pytest
from advice_page import picked, settled, words
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QLineEdit, QWidget

from advisor.advice.whatif import name
from advisor.advice.wording import standing
from advisor.ui.pages.advice import AdvicePage
from advisor.ui.pages.advice_cards import best_of_each
from advisor.ui.pages.advice_options import MEETS, ROW_HEIGHT
from advisor.ui.pages.advice_plot import picture


def test_lines_of_the_plot_are_the_engines_costs(answered: AdvicePage) -> None:
    advice = answered.advice
    assert advice is not None
    shown_ = picture(advice)
    assert advice.best is not None
    assert advice.best.monthly is not None
    best = shown_.lines[0]
    for place, end in enumerate(("low", "mid", "high")):
        cost = float(getattr(advice.best.monthly, end))
        assert best.at(advice.usage.requests_per_month, place) == pytest.approx(cost)
    assert f"{advice.usage.requests_per_month:,}" in answered.plot.accessibleName()


def test_both_lines_meet_where_break_even_is_marked(answered: AdvicePage, state, qtbot) -> None:
    state.choose_model("Qwen/Qwen3-Coder-30B-A3B-Instruct", "Q4_K_M")
    picked(answered.form.preset, "agent")
    settled(qtbot, answered)
    advice = answered.advice
    assert advice is not None
    shown_ = picture(advice)
    if shown_.cross is None:
        pytest.fail("the coding agent's volume has a break-even on two RTX 4090")
    names = [line.name for line in shown_.lines]
    assert advice.compared is not None
    for assessment in advice.compared:
        cost = assessment.monthly_at(Decimal(repr(shown_.cross[1])))
        assert cost is not None
        assert float(cost.mid) == pytest.approx(shown_.cross_cost, rel=1e-6)
    assert len(set(names)) == len(names)
    assert "Break-even" in answered.plot.accessibleName()


def test_what_the_verdict_runs_here_is_probed_by_a_button(
    answered: AdvicePage, state, qtbot
) -> None:
    """Offered for this machine alone; the Probe page then has file, cache and context of it."""
    assert answered.advice is not None
    wanted = answered.advice.to_probe
    assert wanted is not None
    assert not answered.verdict.probe.isVisible()  # an imagined rig
    state.set_detected(state.rig)
    state.set_rig(None)
    settled(qtbot, answered)
    with qtbot.waitSignal(state.page_wanted) as asked:
        answered.verdict.probe.click()
    assert asked.args == ["probe"]
    assert state.choice is not None
    assert state.choice.file_type == wanted.file_type
    assert (state.settings.ctx, state.settings.ctk) == (wanted.ctx, wanted.kv_type)


def test_the_volume_is_dragged_and_moved_by_keys(answered: AdvicePage, state, qtbot) -> None:
    plot = answered.plot
    grid = plot._grid()
    start = QPoint(round(grid.x(state.usage.requests_per_month)), 60)
    end = QPoint(round(grid.x(2000)), 60)
    qtbot.mousePress(plot, Qt.MouseButton.LeftButton, pos=start)
    qtbot.mouseMove(plot, end)
    qtbot.mouseRelease(plot, Qt.MouseButton.LeftButton, pos=end)
    assert state.usage.requests_per_month == pytest.approx(2000, abs=20)
    settled(qtbot, answered)
    before = state.usage.requests_per_month
    qtbot.keyClick(plot, Qt.Key.Key_Right)
    assert state.usage.requests_per_month == pytest.approx(before * 1.1, abs=1)
    box = answered.form.fields["requests_per_month"]
    assert isinstance(box, QLineEdit)
    assert box.text() == f"{state.usage.requests_per_month:,}"


def test_costs_follow_while_the_volume_is_dragged(answered: AdvicePage, state, qtbot) -> None:
    before, plot = state.usage.requests_per_month, answered.plot
    grid, told = plot._grid(), answered.verdict.headline.text()
    start = QPoint(round(grid.x(before)), 60)
    qtbot.mousePress(plot, Qt.MouseButton.LeftButton, pos=start)
    qtbot.mouseMove(plot, QPoint(round(grid.x(2000)), 60))
    qtbot.waitUntil(lambda: answered.verdict.headline.text() != told)
    assert state.usage.requests_per_month == before
    assert plot._x_max == grid.x_max
    qtbot.mouseMove(plot, start)
    qtbot.mouseRelease(plot, Qt.MouseButton.LeftButton, pos=start)
    plot._choose(before)
    settled(qtbot, answered)
    qtbot.waitUntil(lambda: answered._trial is None and answered._tried is None)
    assert answered.advice is not None
    assert answered.verdict.headline.text() == answered.advice.headline


def test_cards_show_the_best_of_every_kind(answered: AdvicePage) -> None:
    advice = answered.advice
    assert advice is not None
    chosen = best_of_each(advice)
    told = words(answered.options.cards)
    assert advice.best in chosen.values()
    assert {"API", "Keep"} <= set(chosen)
    for a in chosen.values():
        assert name(a) in told
        assert standing(a, advice.best, advice.usage) in told


def test_the_table_lists_every_option_best_first(answered: AdvicePage) -> None:
    advice = answered.advice
    assert advice is not None
    model = answered.options.table.model()
    few = model.rowCount()
    answered.options._all.click()
    assert few < model.rowCount() == len(advice.assessments)
    answers_ = [str(model.index(row, 6).data()) for row in range(model.rowCount())]
    judged = [a.meets for a in advice.assessments]
    assert [words_.startswith("yes") for words_ in answers_] == judged
    table = answered.options.table
    table.selectRow(2)
    chosen = [model.index(2, column).data() for column in range(7)]
    header = table.horizontalHeader()
    for order in (Qt.SortOrder.AscendingOrder, Qt.SortOrder.DescendingOrder):
        header.setSortIndicator(4, order)
        months = [model.index(row, 4).data() for row in range(model.rowCount())]
        known = [float(month.replace(",", "")) for month in months if month]
        assert known == sorted(known, reverse=order == Qt.SortOrder.DescendingOrder)
        assert all(months[: len(known)])
        row = table.currentIndex().row()
        assert [model.index(row, column).data() for column in range(7)] == chosen
    header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
    assert [model.index(2, column).data() for column in range(7)] == chosen


def test_a_row_tells_what_to_buy_and_where_the_price_is_from(answered: AdvicePage, qtbot) -> None:
    advice = answered.advice
    assert advice is not None
    answered.options._all.click()
    place = next(n for n, a in enumerate(advice.assessments) if a.option.purchases)
    answered.options.table.selectRow(place)
    purchase = advice.assessments[place].option.purchases[0]
    qtbot.waitUntil(lambda: purchase.price.source in words(answered.options._details))
    told = words(answered.options._details)
    assert purchase.name in told
    assert purchase.price.condition in told


def test_bars_name_what_moves_the_answer(answered: AdvicePage) -> None:
    advice = answered.advice
    assert advice is not None
    names = [
        widget.accessibleName()
        for widget in answered.movers.findChildren(QWidget)
        if widget.accessibleName()
    ]
    for influence in advice.influences[:3]:
        assert any(name.startswith(f"{influence.name} {influence.inputs}") for name in names)


def test_rigs_that_nothing_beats_are_told(answered: AdvicePage) -> None:
    advice = answered.advice
    assert advice is not None
    told = answered.front.plot.accessibleName()
    unbeaten = [a for a in advice.assessments if a.option.id in advice.front and a.decode_tps]
    assert unbeaten
    assert all(name(a) in told for a in unbeaten)


def test_rows_are_as_high_as_what_speaks_against_an_option(answered: AdvicePage) -> None:
    options = answered.options
    options._all.click()
    table = options.table
    tall = [n for n in range(table.model().rowCount()) if table.rowHeight(n) > ROW_HEIGHT]
    long = max(
        range(table.model().rowCount()), key=lambda n: len(table.model().index(n, MEETS).data())
    )
    assert long in tall
    assert len(tall) < table.model().rowCount()
    assert table.height() >= sum(table.rowHeight(n) for n in range(table.model().rowCount()))
