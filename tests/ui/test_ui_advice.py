"""The Advice page on the real engine: the form, the verdict, the example."""

import datetime as dt
import re
import threading
from decimal import Decimal

import pytest
from advice_page import MODEL, picked, settled, typed, words
from PySide6.QtWidgets import QComboBox

from advisor import answers
from advisor.advice import scenarios
from advisor.advice.usage import preset
from advisor.ui.pages.advice import AdvicePage
from advisor.ui.pages.advice_plot import picture
from advisor.ui.pages.advice_prices import KNOWN, NAME, OWN, PricesDialog
from advisor.ui.state import AppState


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
        assert ready.wait(300)
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
    pieces = {again.table.item(r, NAME).text(): r for r in range(again.table.rowCount())}
    assert all(name[0].isupper() or name[0].isdigit() for name in pieces)
    known = again.table.item(pieces["Server DDR5 per GB"], KNOWN).text()
    assert re.fullmatch(r"\d+\.\d\d–\d+\.\d\d new", known)
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
    qtbot.waitUntil(lambda: "no-such-model" in page.banner.sentence)
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
    qtbot.waitUntil(lambda: page._depth == "whole")
    page.catch_up()
    assert not page._progress.isVisible()
    page.case._fits.click()
    cells = page.case.sizes.map.cells
    assert page.case.sizes.map.isVisible()
    assert cells.columns == ("1M",)
    assert len(cells.rows) == len(page.case.sizes._rows)
    state.choose_model(MODEL, "Q4_K_M")
    settled(qtbot, page)
    qtbot.waitUntil(lambda: not page.case.isVisible())
