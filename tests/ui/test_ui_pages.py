"""Machine and Fit on real services: what they answer, and that everything has a name."""

from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAccessible
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel, QLineEdit, QWidget

from advisor import answers
from advisor.advice.picks import Pick
from advisor.hardware.compose import parse_rig
from advisor.hardware.rig import Rig
from advisor.report.document import Table
from advisor.report.sections.fit import fit_blocks
from advisor.ui import opening, services
from advisor.ui.app import preferences
from advisor.ui.fit_cells import fit_matrix
from advisor.ui.page import Page, scrolling
from advisor.ui.pages.fit import FitPage
from advisor.ui.pages.fit_best import BestList
from advisor.ui.pages.machine import MachinePage
from advisor.ui.pages.machine_models import LEAST_NAME, ModelsCard
from advisor.ui.state import AppState
from advisor.ui.widgets.basics import column
from advisor.ui.widgets.row_table import sorting_menu
from advisor.ui.window import MainWindow, page_entries
from advisor.units import GIB

MODEL = "Qwen/Qwen3-0.6B"


def words(widget: QWidget) -> str:
    labels = widget.findChildren(QLabel)
    return "\n".join(label.text() for label in labels if label.isVisibleTo(widget))


@pytest.fixture
def fit(qtbot, state: AppState) -> FitPage:
    page = FitPage(state)
    page.catch_up()
    qtbot.addWidget(page)
    page.resize(1132, 716)
    page.show()
    return page


def chosen(qtbot, state: AppState, model: str = MODEL, file_type: str | None = "Q4_K_M") -> None:
    state.choose_model(model, file_type)
    qtbot.waitUntil(lambda: state.plan is not None)


def test_fit_shows_what_runs_until_a_model_is_chosen(fit: FitPage, state: AppState, qtbot) -> None:
    qtbot.waitUntil(lambda: fit.best.isVisible() and bool(fit.best.picks.picks))
    assert not fit._side.isVisible()
    fit._this.click()
    qtbot.waitUntil(fit._empty.isVisible)
    assert not fit.best.isVisible()
    with qtbot.waitSignal(state.model_wanted):
        fit._choose()
    fit._all.click()
    fit.best.table.activated.emit(fit.best.picks.index(0, 0))
    qtbot.waitUntil(lambda: state.plan is not None)
    qtbot.waitUntil(fit.matrix.isVisible)
    assert not fit._empty.isVisible()
    assert not fit.best.isVisible()
    assert fit._side.isVisible()


def test_fit_asks_for_no_model_where_its_session_brings_one(state: AppState, qtbot) -> None:
    chosen(qtbot, state)
    page = FitPage(state)
    page.catch_up()
    qtbot.addWidget(page)
    page.show()
    qtbot.waitUntil(lambda: bool(page.matrix.map.cells.rows))
    assert page.matrix.isVisible()
    assert not page._empty.isVisible()


def test_fit_shows_the_matrix_and_the_cell_in_question(fit: FitPage, state, qtbot) -> None:
    chosen(qtbot, state)
    qtbot.waitUntil(lambda: bool(fit.matrix.map.cells.rows))
    types = [row.title for row in fit.matrix.map.cells.rows]
    assert "Q4_K_M" in types
    assert "Q8_0" in types
    current = fit.matrix.map.currentIndex()
    assert types[current.row()] == "Q4_K_M"
    assert fit.matrix.map.cells.columns[current.column()] == "32k"
    assert "fits in VRAM at 32k" in fit._answer.text()


def test_choosing_a_cell_changes_the_session_and_its_plan(fit: FitPage, state, qtbot) -> None:
    chosen(qtbot, state)
    qtbot.waitUntil(lambda: bool(fit.matrix.map.cells.rows))
    types = [row.title for row in fit.matrix.map.cells.rows]
    fit.matrix.map.setFocus()
    with qtbot.waitSignal(state.plan_changed):
        fit.matrix.map.setCurrentIndex(fit.matrix.map.cells.index(types.index("Q8_0"), 0))
    assert state.choice is not None
    assert (state.choice.file_type, state.settings.ctx) == ("Q8_0", 4096)
    assert state.plan is not None
    assert (state.plan.file_type, state.plan.settings.ctx) == ("Q8_0", 4096)


def test_plan_figures_add_up_on_screen(fit: FitPage, state, qtbot) -> None:
    chosen(qtbot, state)
    assert state.plan is not None
    for place in fit.plan._places(state.plan, state.rig):
        known = [size for _key, _name, _series, size in place.parts if size is not None]
        assert place.free_before is not None
        assert place.headroom == place.free_before - sum(known)


def test_a_shared_memory_is_called_so_and_its_use_is_the_model_s(
    fit: FitPage, state, qtbot
) -> None:
    state.set_rig(parse_rig("M3 Ultra 512GB"))
    chosen(qtbot, state)
    qtbot.waitUntil(lambda: "fits in the shared memory at 32k" in fit._answer.text())
    assert "when empty" in fit._answer.text()
    qtbot.waitUntil(lambda: bool(fit.matrix.map.cells.rows))
    # Three figures and a decimal are too wide for a cell.
    assert {
        cell.main for line in fit.matrix.map.cells.cells for cell in line if len(cell.main) > 5
    } == set()
    assert state.plan is not None
    ram = fit.plan._places(state.plan, state.rig)[-1]
    assert ram.others == 4 * GIB  # the system's, and none of the GPU's
    known = [size for _key, _name, _series, size in ram.parts if size is not None]
    assert ram.headroom == ram.free_before - sum(known)


def test_figures_of_the_plan_open(fit: FitPage, state, qtbot) -> None:
    chosen(qtbot, state)
    qtbot.waitUntil(lambda: fit.plan._plan is not None and fit.plan._figures.complete)
    weights = fit.plan._figures.rows[1]
    qtbot.mouseClick(weights.button, Qt.MouseButton.LeftButton)
    assert "=" in words(weights)


def test_what_does_not_fit_gets_a_way_out(fit: FitPage, state, qtbot) -> None:
    state.set_rig(parse_rig("RTX 3060 12 GB + 16 GB DDR4-3200"))
    chosen(qtbot, state, "meta-llama/Llama-3.1-8B-Instruct", "BF16")
    qtbot.waitUntil(lambda: "the largest that fits" in fit._reason.text())


def test_settings_are_refused_with_a_sentence(state: AppState) -> None:
    told: list[str] = []
    state.failed.connect(told.append)
    state.change_settings(parallel=0)
    assert len(told) == 1
    assert "parallel" in told[0]
    assert state.settings.parallel == 1


def test_run_texts_for_every_program(fit: FitPage, state, qtbot) -> None:
    chosen(qtbot, state)
    qtbot.waitUntil(lambda: fit.run.content.startswith("llama-server -m "))
    fit.run._choose("Ollama")
    assert "num_ctx 32768" in fit.run.content
    fit.run._choose("LM Studio")
    assert "Context Length: 32768" in fit.run.content
    fit.run._copy()
    assert QApplication.clipboard().text() == fit.run.content


def test_unknown_model_is_a_banner(fit: FitPage, state, qtbot) -> None:
    state.choose_model("nobody/no-such-model")
    qtbot.waitUntil(lambda: bool(fit.banner.sentence))
    assert "no-such-model" in fit.banner.sentence


@pytest.fixture
def machine(qtbot, state: AppState, few_models: None) -> MachinePage:
    page = MachinePage(state)
    qtbot.addWidget(page)
    page.resize(1132, 716)
    page.show()
    yield page
    page.closing()


def test_machine_shows_an_imagined_rig_plainly(
    machine: MachinePage, state: AppState, qtbot
) -> None:
    qtbot.waitUntil(lambda: machine.parts.complete)
    shown = words(machine)
    assert shown.count("RTX 4090") >= 2
    assert "imagined" in shown
    machine.what_if.words.setText("RTX 5090")
    machine.what_if._add()
    assert state.rig is not None
    assert [d.name for d in state.rig.devices] == ["RTX 4090", "RTX 4090", "RTX 5090"]
    machine.edits.without(0)
    assert [d.name for d in state.rig.devices] == ["RTX 4090", "RTX 5090"]


def test_a_rig_that_cannot_be_read_gives_a_sentence(machine: MachinePage, state) -> None:
    before = state.rig
    machine.what_if.words.setText("3x Wonderchip 9000")
    machine.what_if._try()
    assert "Wonderchip" in machine.banner.sentence
    assert state.rig is before


def test_machine_says_what_it_can_run(machine: MachinePage, qtbot) -> None:
    answer = machine.answer
    QApplication.processEvents()
    before = answer.height()
    qtbot.waitUntil(lambda: "in VRAM at 32k" in answer.headline.text())
    qtbot.waitUntil(lambda: not machine._stale)
    QApplication.processEvents()
    assert answer.height() == before, "what is below has moved"
    suggested = answer._suggested
    assert all(button.isVisible() for button in suggested)
    answer.resize(suggested[-1].geometry().right(), before)
    assert [button.isVisible() for button in suggested] == [True] * (len(suggested) - 1) + [False]
    table = machine.models.table.model()
    everything = table.rowCount()
    machine.models._search.setText("gemma")
    assert 0 < table.rowCount() < everything
    machine.models._search.clear()
    menu = sorting_menu(machine.models.table)
    by = {action.text(): action for action in menu.actions()}
    by["Sort by Parameters"].trigger()
    sizes = [line.pick.model.n_params for line in machine.models._models.shown]
    assert sizes == sorted(sizes)
    by["Sort by Parameters"].trigger()
    assert sizes != sorted(sizes, reverse=True)
    assert machine.models._models.shown[0].pick.model.n_params == max(sizes)


def test_another_rigs_suggestions_do_not_come_back(machine: MachinePage, qtbot) -> None:
    answer = machine.answer
    qtbot.waitUntil(lambda: bool(answer._suggested))
    qtbot.waitUntil(lambda: not machine._stale)
    old = list(answer._suggested)
    answer.show_progress(0.1)
    answer.resize(answer.width() + 100, answer.height())
    assert not any(button.isVisible() for button in old)


def test_machines_list_says_what_plans_say(machine: MachinePage, state: AppState, qtbot) -> None:
    state.set_rig(parse_rig("RTX 3060 12GB + 64 GB DDR5-6000"))

    def lines() -> list[Pick]:
        return [line.pick for line in machine.models._models.shown]

    def planned() -> bool:
        return not machine._stale and not any(pick.rough for pick in lines())

    qtbot.waitUntil(lambda: planned() and machine.answer._answered)
    in_ram = [pick for pick in lines() if not pick.whole]
    assert len(in_ram) == 2
    for pick in in_ram:
        asked = services.plain(state.settings).model_copy(update=pick.fields)
        plan = answers.plan_of(pick.model, state.rig, asked)
        assert pick.cell.decode == plan.speed.decode_tps
    table = machine.models.table.model()
    shown = [table.index(row, 7).data() for row in range(table.rowCount())]
    assert len(shown) == 3
    assert not any("~" in words for words in shown)


def test_machine_and_fit_list_a_model_in_one_file_type(
    machine: MachinePage, state: AppState, qtbot
) -> None:
    listed = BestList(state)
    qtbot.addWidget(listed)
    for rig in ("RTX 4090 + 64 GB DDR5-6000", "RTX 3060 12GB + RTX 4090 + 64 GB DDR5-6000"):
        state.set_rig(parse_rig(rig))
        listed.show()
        listed.start()
        qtbot.waitUntil(lambda: listed._full and not machine._stale)
        shown = {line.pick.entry.id: line for line in machine.models._models.shown}
        assert shown.keys() == {pick.entry.id for pick in listed.picks.picks}
        for pick in listed.picks.picks:
            line = shown[pick.entry.id]
            assert (line.pick.cell.file_type, line.pick.fields) == (
                pick.cell.file_type,
                pick.fields,
            )
    # What it opens is placed as it was there.
    places = [line.pick.placed for line in machine.models._models.shown]
    machine.models._open(machine.models._models.index(places.index(True), 0))
    assert (state.settings.n_gpu_layers, state.settings.n_cpu_moe) == ("fit", "fit")
    state.set_usage(state.usage.model_copy(update={"min_decode_tps": 25.0}))
    assert listed.wish().least_tps == 25.0


def test_columns_give_way_to_the_models_names(state: AppState, qtbot) -> None:
    card = ModelsCard(state)
    qtbot.addWidget(card)
    card.show()
    card.table.show()  # as with the first models
    header = card.table.horizontalHeader()
    wanted = LEAST_NAME + sum(card._widths.values())
    for less, hidden in ((-80, 0), (20, 1), (-80, 0)):
        card.resize(wanted - less, 400)
        qtbot.waitUntil(lambda hidden=hidden: header.hiddenSectionCount() == hidden)
        assert header.sectionSize(0) >= LEAST_NAME


def test_a_column_that_was_hidden_comes_back_as_wide_as_its_head(state: AppState, qtbot) -> None:
    card = ModelsCard(state)
    qtbot.addWidget(card)
    before = dict(card._widths)
    for place in before:
        card.table.setColumnHidden(place, True)
    card._fit_columns()
    assert card._widths == before


def test_rig_is_saved_and_opened(big_rig: Rig, tmp_path: Path) -> None:
    path = services.save_rig(big_rig, tmp_path / "rig.json")
    assert services.open_rig(path).devices == big_rig.devices
    opened = opening.open_anything(path)
    assert opened.rig is not None
    assert opened.session is None


def test_doctor_report_holds_no_names_of_programs(big_rig: Rig) -> None:
    assert "RTX 4090" in services.doctor_report(big_rig)


@pytest.mark.parametrize("key", [entry.key for entry in page_entries()])
def test_every_control_has_a_name(qtbot, key: str, big_rig: Rig) -> None:
    """Walks what screen readers see; a control without a name cannot be used by ear."""
    window = MainWindow(preferences())
    qtbot.addWidget(window)
    window.show()
    window.load_after_first_paint()
    qtbot.waitUntil(lambda: window.state is not None)
    state = window.state
    assert state is not None
    state.set_rig(big_rig)
    state.choose_model(MODEL, "Q4_K_M")
    qtbot.waitUntil(lambda: state.plan is not None)
    window.show_page(key)
    page = window.page(key)
    assert isinstance(page, Page)
    QApplication.processEvents()
    nameless = []
    for widget in [window, *window.findChildren(QWidget)]:
        if widget.focusPolicy() == Qt.FocusPolicy.NoFocus or not widget.isVisibleTo(window):
            continue
        told = QAccessible.queryAccessibleInterface(widget)
        if not told.text(QAccessible.Text.Name) and widget.focusProxy() is None:
            nameless.append(f"{type(widget).__name__} in {type(widget.parentWidget()).__name__}")
    assert nameless == []
    window.close()


def test_what_spills_is_counted_over_all_devices() -> None:
    rig = parse_rig("4x RTX 4090 + 256 GB DDR5-6000")
    choice = services.ModelChoice(model="meta-llama/Llama-3.3-70B-Instruct", file_type="BF16")
    found = fit_matrix(choice, rig, services.RunSettings(ctx=4096))
    row = next(row for row in found.rows if row.file_type == "BF16")
    free = sum(device.memory_free or 0 for device in rig.devices)
    cell = row.cells[0]
    assert cell.verdict == "offload"
    assert cell.lacking > row.nbytes - free - 3 * GIB
    matrix, models = answers.matrix_of(choice, rig, services.RunSettings(ctx=4096))
    table = next(b for b in fit_blocks(matrix, models, rig) if isinstance(b, Table))
    printed = next(line for line in table.rows if line[0].text == "BF16")
    assert printed[3].text == f"RAM {cell.lacking / GIB:,.0f}"


def test_what_gets_the_keyboard_from_outside_is_scrolled_to(qtbot) -> None:
    fields = [QLineEdit() for _ in range(40)]
    outside, content, window = QLineEdit(), QWidget(), QWidget()
    content.setLayout(column(*fields))
    area = scrolling(content)
    window.setLayout(column(outside, area))
    qtbot.addWidget(window)
    window.resize(300, 200)
    window.show()
    qtbot.waitUntil(lambda: not fields[0].visibleRegion().isEmpty())
    outside.setFocus()
    area.verticalScrollBar().setValue(area.verticalScrollBar().maximum())
    assert fields[0].visibleRegion().isEmpty()
    QTest.keyClick(outside, Qt.Key.Key_Tab)
    qtbot.waitUntil(lambda: not fields[0].visibleRegion().isEmpty())
    assert fields[0].hasFocus()
