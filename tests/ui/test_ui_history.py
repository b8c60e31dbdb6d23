"""Changes of the question are taken back and made again."""

from PySide6.QtGui import QKeySequence

from advisor.hardware.compose import parse_rig
from advisor.session import Session
from advisor.ui.app import preferences
from advisor.ui.history import MOST, History
from advisor.ui.state import AppState
from advisor.ui.window import MainWindow


def test_each_change_is_taken_back_and_made_again(state: AppState) -> None:
    rig = state.rig
    state.choose_model("Qwen/Qwen3-8B", "Q4_K_M")
    state.change_settings(ctx=8192)
    state.set_rig(parse_rig("RTX 4090 + 64 GB"))
    told: list[str] = []
    state.noticed.connect(told.append)
    seen: list[str] = []
    state.rig_changed.connect(lambda: seen.append("rig"))
    state.settings_changed.connect(lambda: seen.append("settings"))
    state.undo()
    assert state.rig == rig
    state.undo()
    assert state.settings.ctx == 32768
    state.undo()
    assert state.choice is None
    assert seen == ["rig", "settings"]
    state.redo()
    state.redo()
    assert state.choice is not None
    assert (state.choice.model, state.settings.ctx) == ("Qwen/Qwen3-8B", 8192)
    assert told[0] == "Undone: rig"
    assert told[-1] == "Done again: settings"
    state.set_rig(parse_rig("RTX 3090 + 64 GB"))
    assert not state.history.can_redo


def test_another_session_has_its_own_changes(state: AppState) -> None:
    state.change_settings(ctx=8192)
    assert state.history.can_undo
    state.begin_session()
    state.undo()
    assert state.settings.ctx == 32768
    assert not state.history.can_undo


def test_what_a_report_recorded_is_complete_again(state: AppState) -> None:
    record = Session(title="mine")
    state.replace_session(record, None)
    state.change_settings(ctx=8192)
    state.set_report(title="other", note="", choices=record.report)
    state.undo()
    assert state.settings.ctx == record.settings.ctx
    assert state.session.title == "other"  # the report's making is no part of the question


def test_a_long_history_forgets_its_beginning() -> None:
    history, now = History(), Session()
    for ctx in range(1024, 1024 + 2 * MOST):
        settings = now.settings.model_copy(update={"ctx": ctx})
        then = now.model_copy(update={"settings": settings})
        history.changed(now, then)
        now = then
    steps = 0
    while (before := history.undo(now)) is not None:
        now, steps = before, steps + 1
    assert steps == MOST


def test_the_menu_offers_what_there_is(qtbot, state: AppState) -> None:
    window = MainWindow(preferences())
    qtbot.addWidget(window)
    assert not window.menu.undo.isEnabled()
    window.state = state
    state.history.clear()
    state.file_changed.connect(window._show_title)
    state.change_settings(ctx=8192)
    assert window.menu.undo.shortcut() == QKeySequence(QKeySequence.StandardKey.Undo)
    window.menu.undo.trigger()
    assert state.settings.ctx == 32768
    assert not window.menu.undo.isEnabled()
    window.menu.redo.trigger()
    assert state.settings.ctx == 8192
    window.state = None
