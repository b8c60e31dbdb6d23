"""The Report page as a person uses it: preview, choices kept in the session, export, troubles."""

import json
import time
from pathlib import Path

import pytest
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QAbstractButton, QWidget

from advisor import session as sessions
from advisor.advice import advise as advising
from advisor.report.build import Section
from advisor.ui.pages.report import ReportPage
from advisor.ui.state import AppState

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
    qtbot.waitUntil(
        lambda: page.preview.page_count() >= at_least and not page._stale, timeout=60_000
    )


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
    assert state.save(target)
    other = sessions.save(sessions.Session(title="theirs"), target)
    with qtbot.waitSignal(state.failed) as told:
        assert not state.save(target)
    assert "changed by another window" in told.args[0]
    assert sessions.load(target) == other
    assert state.save(target, replace=True)
    assert state.save(target)


def test_an_export_opens_as_the_session(
    filled: ReportPage, state: AppState, qtbot, tmp_path: Path
) -> None:
    filled.title_field.setText("For the lab")
    qtbot.waitUntil(
        lambda: filled._document is not None and filled._document.title == "For the lab"
    )
    filled.export_pdf(tmp_path / "out.pdf")
    qtbot.waitUntil(lambda: "Saved as" in filled.banner.sentence, timeout=20_000)
    again = sessions.load(tmp_path / "out.pdf")
    assert (again.title, again.model) == ("For the lab", state.session.model)
    assert again.data == sessions.DataVersions.current()
    assert again.prices
    filled.export_page(tmp_path / "out.html")
    qtbot.waitUntil(lambda: "out.html" in filled.banner.sentence, timeout=20_000)
    filled._copy()
    assert "For the lab" in QGuiApplication.clipboard().text()


def test_a_failed_export_is_told_and_can_be_repeated(
    filled: ReportPage, qtbot, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    filled.export_pdf(tmp_path / "file" / "out.pdf")
    qtbot.waitUntil(lambda: "could not be saved" in filled.banner.sentence, timeout=20_000)
    assert filled.export.isEnabled()


def test_working_it_out_can_be_cancelled_and_taken_up_again(
    page: ReportPage, state: AppState, qtbot, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    real = advising.search

    def slow(*arguments: object, cancelled, **rest: object) -> object:  # type: ignore[no-untyped-def]
        for _ in range(2000):
            if cancelled():
                break
            time.sleep(0.005)
        seen.append(cancelled())
        return real(*arguments, cancelled=cancelled, **rest)

    monkeypatch.setattr(advising, "search", slow)
    state.choose_model(MODEL, "Q8_0")
    qtbot.waitUntil(lambda: "% done" in page.preview.sentence, timeout=30_000)
    page._cancel()
    qtbot.waitUntil(lambda: True in seen, timeout=30_000)
    assert page.preview.sentence == "There is no report yet."
    monkeypatch.setattr(advising, "search", real)
    page.preview._action.click()
    shown(qtbot, page, at_least=2)


def test_a_model_that_cannot_be_read_is_told(page: ReportPage, state: AppState, qtbot) -> None:
    state.choose_model("/nowhere/model.gguf")
    qtbot.waitUntil(lambda: page.banner.sentence != "", timeout=30_000)
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
    with qtbot.waitSignal(state.failed, timeout=20_000) as told:
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
        qtbot.waitUntil(lambda name=name: f"{name}." in filled.banner.sentence, timeout=20_000)
        with qtbot.waitSignal(state.session_replaced, timeout=20_000):
            state.open_file(target)
        assert state.path is None
        shown(qtbot, filled, at_least=2)
