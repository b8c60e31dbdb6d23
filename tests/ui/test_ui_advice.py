"""The Advice page on the real engine: the form, the verdict, the plot, the table, the example."""

import datetime as dt
import threading
from collections.abc import Iterator
from decimal import Decimal

import pytest
from PySide6.QtCore import QCoreApplication, QPoint, Qt
from PySide6.QtWidgets import QComboBox, QLabel, QLineEdit, QWidget

from advisor import answers
from advisor.advice import scenarios
from advisor.advice.usage import preset
from advisor.advice.whatif import name
from advisor.advice.wording import standing
from advisor.ui.pages.advice import AdvicePage
from advisor.ui.pages.advice_cards import best_of_each
from advisor.ui.pages.advice_plot import picture
from advisor.ui.pages.advice_prices import NAME, OWN, PricesDialog
from advisor.ui.state import AppState

MODEL = "Qwen/Qwen3-32B"
LONG = 120_000


def words(widget: QWidget) -> str:
    labels = widget.findChildren(QLabel)
    return "\n".join(label.text() for label in labels if label.isVisibleTo(widget))


@pytest.fixture
def page(qtbot, state: AppState) -> Iterator[AdvicePage]:
    page = AdvicePage(state)
    page.catch_up()
    qtbot.addWidget(page)
    page.resize(1132, 716)
    page.show()
    page.shown()
    yield page
    page.closing()


@pytest.fixture
def answered(qtbot, page: AdvicePage, state: AppState) -> AdvicePage:
    state.choose_model(MODEL, "Q4_K_M")
    settled(qtbot, page)
    return page


def settled(qtbot, page: AdvicePage) -> None:
    qtbot.waitUntil(lambda: page.advice is not None and not page._stale, timeout=LONG)
    page.catch_up()
    QCoreApplication.processEvents()  # new labels are shown in a turn of their own


def typed(page: AdvicePage, key: str, content: str) -> None:
    box = page.form.fields[key]
    assert isinstance(box, QLineEdit)
    box.setText(content)
    box.editingFinished.emit()


def picked(box: QComboBox, value: object) -> None:
    box.setCurrentIndex(box.findData(value))
    box.activated.emit(box.currentIndex())


def test_asks_for_a_model_first(page: AdvicePage, state: AppState, qtbot) -> None:
    assert page.advice is None
    assert "Choose a model" in words(page)
    assert not page._content.isVisible()


def test_verdict_is_that_of_the_engine(answered: AdvicePage, state: AppState) -> None:
    advice = answered.advice
    assert advice is not None
    assert state.rig is not None
    same = answers.advice_of(state.session, state.rig, at=dt.datetime.now(dt.UTC))
    assert same is not None
    assert advice.headline == same.headline
    on_screen = words(answered)
    assert advice.headline in on_screen
    assert all(reason in on_screen for reason in advice.reasons)
    assert not answered._progress.isVisible()


def test_everything_it_rests_on_can_be_read(answered: AdvicePage) -> None:
    assert answered.advice is not None
    answered.verdict._rests.click()
    on_screen = words(answered.verdict).lower()
    assert all(line.lower() in on_screen for line in answered.advice.assumptions)
    assert all(line.lower() in on_screen for line in answered.advice.unknowns)


def test_a_change_in_the_form_is_answered(answered: AdvicePage, state: AppState, qtbot) -> None:
    before = answered.advice
    assert before is not None
    typed(answered, "requests_per_month", "2.400".replace(".", ","))
    assert state.usage.requests_per_month == 2400
    assert answered.verdict.headline.text() == before.headline
    settled(qtbot, answered)
    assert answered.advice is not before
    assert answered.advice is not None
    assert answered.advice.usage.requests_per_month == 2400
    assert answered.verdict.note.text() == ""


def test_an_earlier_answer_is_marked_as_earlier_where_it_takes_longer(
    answered: AdvicePage, state, qtbot, monkeypatch
) -> None:
    ready = threading.Event()
    real = answers.advice_of

    def slow(*args, **kwargs):
        assert ready.wait(60)
        return real(*args, **kwargs)

    monkeypatch.setattr(answers, "advice_of", slow)
    typed(answered, "requests_per_month", "4000")
    qtbot.waitUntil(lambda: "worked out again" in answered.verdict.note.text())
    assert answered._progress.isVisible()
    ready.set()
    settled(qtbot, answered)
    assert answered.verdict.note.text() == ""


def test_a_price_of_ones_own_is_entered_and_taken_back(answered, state, qtbot) -> None:
    dialog = PricesDialog(state, answered, about="5090")
    qtbot.addWidget(dialog)
    table = dialog.table
    shown_ = [row for row in range(table.rowCount()) if not table.isRowHidden(row)]
    row = next(r for r in shown_ if table.item(r, NAME).text() == "RTX 5090")
    assert all("5090" in table.item(r, NAME).text() for r in shown_)
    table.item(row, OWN).setText("many")
    dialog.accept()
    assert "RTX 5090: enter" in dialog.problem.text()
    assert state.usage.own_prices == ()
    table.item(row, OWN).setText("99999")
    assert "is far from" in dialog.problem.text()
    table.item(row, OWN).setText("1,234.50")
    dialog.accept()
    assert [(p.name, p.amount) for p in state.usage.own_prices] == [
        ("RTX 5090", Decimal("1234.50"))
    ]
    assert "1 yours" in answered.form.prices.text()
    settled(qtbot, answered)
    bought = [p for a in answered.advice.assessments for p in a.option.purchases]
    assert all(
        p.price.condition == "your price" and p.price.mid == Decimal("1234.50")
        for p in bought
        if p.name == "RTX 5090"
    )
    again = PricesDialog(state, answered)
    qtbot.addWidget(again)
    assert again.table.item(row, OWN).text() == "1,234.5"
    again.table.item(row, OWN).setText("")
    again.accept()
    assert state.usage.own_prices == ()


def test_no_api_is_advised_where_data_must_stay(answered: AdvicePage, state, qtbot) -> None:
    box = answered.form.fields["data_may_leave"]
    assert isinstance(box, QComboBox)
    picked(box, False)
    settled(qtbot, answered)
    assert answered.advice is not None
    assert all(a.option.api is None for a in answered.advice.assessments if a.meets)


@pytest.mark.parametrize(
    ("key", "content", "name"),
    [
        ("requests_per_month", "0", "Requests a month"),
        ("cached_share", "140", "of it repeated"),
        ("electricity_price", "cheap", "Electricity, USD/kWh"),
        ("currency", "€", "Currency"),
    ],
)
def test_a_wrong_entry_is_named_as_the_form_names_it(
    page: AdvicePage, state: AppState, key: str, content: str, name: str
) -> None:
    before = state.usage
    typed(page, key, content)
    assert name in page.banner.sentence
    assert content in page.banner.sentence
    assert state.usage == before


def test_entries_that_only_fit_together_may_follow_each_other(page, state) -> None:
    typed(page, "prompt_tokens", "24,000")
    assert "longer than the context" in page.banner.sentence
    typed(page, "context", "32k")
    assert page.banner.sentence == ""
    assert (state.usage.prompt_tokens, state.usage.context) == (24_000, 32_768)


def test_a_preset_fills_the_form_and_is_recognized(page: AdvicePage, state: AppState) -> None:
    picked(page.form.preset, "agent")
    assert state.usage.prompt_tokens == preset("agent").prompt_tokens
    assert page.form.preset.currentData() == "agent"
    typed(page, "requests_per_month", "77")
    assert page.form.preset.currentData() is None


def test_a_place_brings_its_price_and_asks_for_the_rate(page, state, qtbot) -> None:
    picked(page.form.place, "DE")
    assert (state.usage.electricity_price, state.usage.currency) == (Decimal("0.384"), "EUR")
    qtbot.waitUntil(lambda: "US dollar" in page.banner.sentence)
    assert page.form.fields["budget"].accessibleName() == "Budget, EUR"


def test_limits_of_the_machine_reach_the_usage(page: AdvicePage, state: AppState) -> None:
    typed(page, "limits.supply_w", "850")
    typed(page, "limits.free_slots", "0")
    assert (state.usage.limits.supply_w, state.usage.limits.free_slots) == (850, 0)
    typed(page, "limits.supply_w", "")
    assert state.usage.limits.supply_w is None


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
    qtbot.waitUntil(lambda: answered.verdict.headline.text() != told, timeout=LONG)
    assert state.usage.requests_per_month == before
    assert plot._x_max == grid.x_max
    qtbot.mouseMove(plot, start)
    qtbot.mouseRelease(plot, Qt.MouseButton.LeftButton, pos=start)
    plot._choose(before)
    settled(qtbot, answered)
    qtbot.waitUntil(lambda: answered._trial is None and answered._tried is None, timeout=LONG)
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
        assert any(
            name.startswith(f"{influence.name} from {influence.low_input}") for name in names
        )


def test_rigs_that_nothing_beats_are_told(answered: AdvicePage) -> None:
    advice = answered.advice
    assert advice is not None
    told = answered.front.plot.accessibleName()
    unbeaten = [a for a in advice.assessments if a.option.id in advice.front and a.decode_tps]
    assert unbeaten
    assert all(name(a) in told for a in unbeaten)


def test_where_nothing_does_what_would_open_what_is_told(
    answered: AdvicePage, state: AppState, qtbot
) -> None:
    picked(answered.form.fields["data_may_leave"], False)
    typed(answered, "min_decode_tps", "2000")
    settled(qtbot, answered)
    advice = answered.advice
    assert advice is not None
    assert advice.best is None
    on_screen = words(answered.verdict)
    assert "nearest comes" in on_screen
    for change in advice.changes:
        assert f"{change.when[:1].upper()}{change.when[1:]}: {change.then}." in on_screen
    assert advice.compared is None
    assert len(picture(advice).lines) == 2
    assert answered.options.table.model().rowCount() > 3


def test_other_models_would_do_too(answered: AdvicePage, state: AppState, qtbot) -> None:
    form = answered.form
    form.also.setText("Qwen3 30B-A3B, nobody at all")
    form.also.editingFinished.emit()
    assert "nobody at all" in answered.banner.sentence
    assert state.usage.also == ()
    form.also.setText("qwen3 30b-a3b")
    form.also.editingFinished.emit()
    settled(qtbot, answered)
    assert state.usage.also == ("Qwen/Qwen3-30B-A3B",)
    assert form.also.text() == "Qwen3 30B-A3B"
    assert answered.advice is not None
    models = {a.option.model_id for a in answered.advice.assessments if a.option.rig}
    assert models == {MODEL, "Qwen/Qwen3-30B-A3B"}
    shown_ = answered.options.table.model()
    runs = [shown_.index(row, 1).data() for row in range(shown_.rowCount())]
    assert any(words.startswith("Qwen3 30B-A3B") for words in runs)


def test_an_unknown_model_is_a_sentence(page: AdvicePage, state: AppState, qtbot) -> None:
    state.choose_model("nobody/no-such-model")
    qtbot.waitUntil(lambda: "no-such-model" in page.banner.sentence, timeout=LONG)
    assert page.advice is None


@pytest.fixture
def small_example(monkeypatch: pytest.MonkeyPatch) -> None:
    """One rig, one model and two contexts of the shipped case: all of it is another test's."""
    case = scenarios.scenario("deepseek-v4-at-home")
    rig = next(r for r in case.rigs if "H200" in r.rig)
    few = {"rigs": (rig,), "models": case.models[:1], "contexts": case.contexts[-1:]}
    small = case.model_copy(update=few)
    monkeypatch.setattr(answers, "scenario", lambda _name: small)


def test_the_example_is_worked_out(
    page: AdvicePage, state: AppState, qtbot, small_example: None
) -> None:
    page._example.click()
    settled(qtbot, page)
    assert state.session.scenario == "deepseek-v4-at-home"
    assert page.advice is not None
    on_screen = words(page)
    assert page.advice.headline in on_screen
    assert "DeepSeek V4 at home" in on_screen
    # The verdict comes before the tables.
    qtbot.waitUntil(lambda: page._depth == "whole", timeout=LONG)
    page.catch_up()
    assert not page._progress.isVisible()
    page.case._fits.click()
    cells = page.case.sizes.map.cells
    assert page.case.sizes.map.isVisible()
    assert cells.columns == ("1M",)
    assert len(cells.rows) == len(page.case.sizes._rows)
    state.choose_model(MODEL, "Q4_K_M")
    settled(qtbot, page)
    qtbot.waitUntil(lambda: not page.case.isVisible(), timeout=LONG)
