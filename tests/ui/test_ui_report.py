"""The Report page as a person uses it: preview, choices kept in the session, export, troubles."""

import json
import time
from pathlib import Path

import pytest
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QAbstractButton, QWidget

from advisor import session as sessions
from advisor.advice import advise as advising
from advisor.hardware.rig import Rig
from advisor.report.build import Section
from advisor.report.plain import to_text
from advisor.ui.pages.report import ReportPage
from advisor.ui.state import AppState
from advisor.ui.texts import rig_name

MODEL = "Qwen/Qwen3-0.6B"


@pytest.fixture
def page(qtbot, state: AppState) -> ReportPage:
    page = ReportPage(state)
    qtbot.addWidget(page)
    page.resize(1132, 716)
    page.show()
    page.shown()
    return page


@pytest.fixture
def filled(qtbot, page: ReportPage, state: AppState) -> ReportPage:
    state.choose_model(MODEL, "Q8_0")
    shown(qtbot, page, at_least=2)
    return page


def shown(qtbot, page: ReportPage, at_least: int = 1) -> None:
    qtbot.waitUntil(lambda: page.preview.page_count() >= at_least and not page._stale)


def test_the_real_pages_are_shown_two_abreast_or_larger(filled: ReportPage, qtbot) -> None:
    first, second, *_ = filled.preview._labels
    assert first.pixmap().width() == second.pixmap().width() >= 360
    qtbot.waitUntil(lambda: second.x() > first.x() and second.y() == first.y())
    small = first.pixmap().width()
    filled._toggle_zoom()
    qtbot.waitUntil(lambda: filled.preview._labels[0].pixmap().width() > 1.8 * small)
    assert filled.header_buttons()[0].accessibleName() == "Whole pages"


def test_choices_are_part_of_the_session(filled: ReportPage, state: AppState, qtbot) -> None:
    filled.title_field.setText("For the lab")
    filled.note_field.setPlainText("As agreed.")
    filled.sections[Section.SOURCES].setChecked(False)
    filled.paper.setCurrentIndex(1)
    session = state.session
    assert (session.title, session.note) == ("For the lab", "As agreed.")
    assert session.report.left_out == {"sources"}
    assert session.report.paper == "Letter"
    filled.region.setCurrentIndex(filled.region.findData("de_DE"))
    filled.memory_unit.setCurrentIndex(1)
    report = state.session.report
    assert (report.region, report.decimal_bytes) == ("de_DE", True)
    qtbot.waitUntil(
        lambda: filled._document is not None and filled._document.title == "For the lab"
    )
    state.replace_session(sessions.Session(), None)
    assert filled.title_field.text() == ""
    assert filled.sections[Section.SOURCES].isChecked()
    assert (filled.region.currentData(), filled.memory_unit.currentData()) == (None, False)


def test_a_region_that_is_not_offered_is_kept_and_shown(page: ReportPage, state: AppState) -> None:
    choices = sessions.ReportChoices(region="nb_NO")
    state.replace_session(state.session.model_copy(update={"report": choices}), None)
    assert page.region.currentData() == "nb_NO"
    assert page.region.currentText().startswith("Norway")
    page.title_field.setText("x")
    assert state.session.report.region == "nb_NO"


def test_what_another_window_saved_is_not_saved_over(
    state: AppState, qtbot, tmp_path: Path
) -> None:
    target = tmp_path / "lab.rig.json"
    with qtbot.waitSignal(state.saved):
        state.save(target)
    other = sessions.save(sessions.Session(title="theirs"), target)
    with qtbot.waitSignal(state.failed) as told:
        state.save(target)
    assert "changed by another window" in told.args[0]
    assert sessions.load(target) == other
    for replace in (True, False):
        with qtbot.waitSignal(state.saved):
            state.save(target, replace=replace)
    assert sessions.load(target).rig == state.rig


def machine(big_rig: Rig, name: str = "RTX 4090") -> Rig:
    devices = tuple(d.model_copy(update={"name": name}) for d in big_rig.devices)
    update = {"imagined": False, "devices": devices, "detected_at": "2026-11-25T12:00:00"}
    return big_rig.model_copy(update={**update, "name": "This machine"})


def test_a_saved_session_goes_on_with_this_machine_and_elsewhere_with_the_recorded_one(
    state: AppState, big_rig: Rig, qtbot, tmp_path: Path
) -> None:
    target = tmp_path / "lab.rig.json"
    state.set_rig(None)
    state.set_detected(machine(big_rig))
    with qtbot.waitSignal(state.saved):
        state.save(target)
    assert state.here
    assert sessions.load(target).rig == machine(big_rig)
    state.replace_session(sessions.Session(), None)
    with qtbot.waitSignal(state.session_replaced):
        state.open_file(target)
    assert state.here
    state.replace_session(sessions.Session(), None)
    state.set_detected(machine(big_rig, "RTX 3060"))
    with qtbot.waitSignal(state.session_replaced):
        state.open_file(target)
    assert state.recorded
    assert state.rig == machine(big_rig)
    assert state.rig_to_probe is not None
    assert state.rig_to_probe.imagined
    assert rig_name(state) == "This machine, as read on 2026-11-25"
    state.set_rig(None)
    # Which llama.cpp it runs is looked for meanwhile.
    assert state.rig is not None
    assert state.rig.model_copy(update={"llama_cpp": None}) == machine(big_rig, "RTX 3060")


def test_saved_results_belong_to_what_was_asked(
    filled: ReportPage, state: AppState, qtbot, tmp_path: Path
) -> None:
    target = tmp_path / "lab.rig.json"
    qtbot.waitUntil(lambda: state.present_plan is not None)
    with qtbot.waitSignal(state.saved):
        state.save(target)
    first = sessions.load(target).outcome
    assert first is not None
    assert first.verdict
    assert first.prices
    assert first.plan is not None
    state.set_report(title="Named", note="", choices=state.session.report)
    with qtbot.waitSignal(state.saved):
        state.save(target)
    named = sessions.load(target)
    assert (named.title, named.outcome and named.outcome.verdict) == ("Named", first.verdict)
    state.change_settings(ctx=8192)
    with qtbot.waitSignal(state.saved):
        state.save(target)
    fresh = sessions.load(target).outcome
    assert fresh is not None
    assert (fresh.plan, fresh.verdict, fresh.prices) == (None, "", ())
    state.autosave()
    qtbot.waitUntil(state._autosave.path.exists)


def test_what_was_opened_is_compared_until_it_is_saved_again(
    filled: ReportPage, state: AppState, qtbot, tmp_path: Path
) -> None:
    old = sessions.Outcome(verdict="Something else.")
    session = state.session.model_copy(update={"outcome": old})
    filled._outdated()
    state.replace_session(session, None)
    filled.preview.say("")
    shown(qtbot, filled, at_least=2)
    assert filled._document is not None
    assert "was saved was: Something else." in to_text(filled._document)
    state.autosave()
    state._writer.waitForDone()
    kept = sessions.load(state._autosave.path).outcome
    assert kept == old
    with qtbot.waitSignal(state.saved):
        state.save(tmp_path / "lab.rig.json")
    kept = sessions.load(tmp_path / "lab.rig.json").outcome
    assert kept is not None
    assert kept.verdict not in ("", "Something else.")


def test_a_session_that_gives_way_unsaved_is_among_the_recent_ones(state: AppState, qtbot) -> None:
    state.choose_model(MODEL, "Q8_0")
    with qtbot.waitSignal(state.noticed) as told:
        state.replace_session(sessions.Session(), None)
    assert "Open recent" in told.args[0]
    aside = sessions.recent_files()[0]
    assert "Qwen3-0.6B" in aside.name
    with qtbot.waitSignal(state.session_replaced):
        state.open_file(aside)
    assert state.choice is not None
    assert (state.choice.model, state.path) == (MODEL, None)


def test_a_recent_file_that_is_gone_is_told_and_forgotten(
    state: AppState, qtbot, tmp_path: Path
) -> None:
    target = tmp_path / "gone.rig.json"
    sessions.remember_file(target)
    with qtbot.waitSignal(state.failed) as told:
        state.open_file(target)
    assert "could not be read" in told.args[0]
    assert target not in sessions.recent_files()


def test_an_export_opens_as_the_session(
    filled: ReportPage, state: AppState, qtbot, tmp_path: Path
) -> None:
    filled.title_field.setText("For the lab")
    qtbot.waitUntil(
        lambda: filled._document is not None and filled._document.title == "For the lab"
    )
    filled.export_pdf(tmp_path / "out.pdf")
    qtbot.waitUntil(lambda: "Saved as" in filled.banner.sentence)
    again = sessions.load(tmp_path / "out.pdf")
    assert (again.title, again.model) == ("For the lab", state.session.model)
    assert again.outcome is not None
    assert again.outcome.data == sessions.DataVersions.current()
    assert again.outcome.prices
    assert again.rig == state.rig
    filled.export_page(tmp_path / "out.html")
    qtbot.waitUntil(lambda: "out.html" in filled.banner.sentence)
    filled._copy()
    assert "For the lab" in QGuiApplication.clipboard().text()


def test_a_failed_export_is_told_and_can_be_repeated(
    filled: ReportPage, qtbot, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    filled.export_pdf(tmp_path / "file" / "out.pdf")
    qtbot.waitUntil(lambda: "could not be saved" in filled.banner.sentence)
    assert filled.export.isEnabled()


def test_working_it_out_can_be_cancelled_and_taken_up_again(
    page: ReportPage, state: AppState, qtbot, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    real = advising.search

    def slow(*arguments: object, cancelled, **rest: object) -> object:  # type: ignore[no-untyped-def]
        while not cancelled():
            time.sleep(0.005)
        seen.append(cancelled())
        return real(*arguments, cancelled=cancelled, **rest)

    monkeypatch.setattr(advising, "search", slow)
    state.choose_model(MODEL, "Q8_0")
    qtbot.waitUntil(lambda: "% done" in page.preview.sentence)
    page._cancel()
    qtbot.waitUntil(lambda: True in seen)
    assert page.preview.sentence == "There is no report yet."
    monkeypatch.setattr(advising, "search", real)
    page.preview._action.click()
    shown(qtbot, page, at_least=2)


def test_a_model_that_cannot_be_read_is_told(page: ReportPage, state: AppState, qtbot) -> None:
    state.choose_model("/nowhere/model.gguf")
    qtbot.waitUntil(lambda: page.banner.sentence != "")
    assert page.preview.sentence == "There is no report yet."


def test_everything_that_can_be_used_has_a_name(filled: ReportPage) -> None:
    controls = [w for w in filled.findChildren(QWidget) if isinstance(w, QAbstractButton)]
    controls += [filled.title_field, filled.note_field, filled.paper]
    assert [w for w in controls if w.isVisible() and not w.accessibleName()] == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"version": 99, "app_version": "9.9"}, "made by a newer Rig Advisor (9.9)"),
        ({"settings": {"ctx": -1}}, "is damaged: settings → ctx"),
    ],
)
def test_a_session_that_cannot_be_opened_is_told_and_nothing_is_replaced(
    state: AppState, qtbot, tmp_path: Path, change: dict[str, object], sentence: str
) -> None:
    target = tmp_path / "lab.rig.json"
    fields = json.loads(sessions.Session(rig=state.rig, title="theirs").to_json())
    target.write_text(json.dumps({**fields, **change}))
    before, mine = target.read_bytes(), state.session
    with qtbot.waitSignal(state.failed) as told:
        state.open_file(target)
    assert sentence in told.args[0]
    assert state.session is mine
    assert target.read_bytes() == before


def test_a_report_is_never_saved_over_by_its_session(
    filled: ReportPage, state: AppState, qtbot, tmp_path: Path
) -> None:
    for name in ("report.pdf", "REPORT.PDF"):
        target = tmp_path / name
        filled.export_pdf(target)
        qtbot.waitUntil(lambda name=name: f"{name}." in filled.banner.sentence)
        with qtbot.waitSignal(state.session_replaced):
            state.open_file(target)
        assert state.path is None
        shown(qtbot, filled, at_least=2)
