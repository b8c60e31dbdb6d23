"""The shell: light to import, keyboard driven, and it survives what it is given."""

import subprocess
import sys
from pathlib import Path

import pytest
from PySide6.QtCore import QEvent, QMimeData, QObject, QPointF, QSettings, Qt, QUrl
from PySide6.QtGui import QDropEvent, QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel, QPushButton, QWidget

from advisor import __version__, paths, third_party
from advisor import session as sessions
from advisor.hardware.rig import Rig
from advisor.session import Session
from advisor.ui import crash, design, jobs, services
from advisor.ui.about import AboutDialog
from advisor.ui.app import preferences
from advisor.ui.curtain import Curtain
from advisor.ui.header import Header
from advisor.ui.page import Page, scrolling
from advisor.ui.pages.machine import MachinePage
from advisor.ui.widgets.basics import Card, column, text
from advisor.ui.window import MainWindow, page_entries
from advisor.ui.words import WordsDialog

HEAVY = {"pydantic", "numpy", "pyqtgraph", "xllamacpp", "pynvml", "psutil"}


def test_first_paint_needs_no_heavy_library() -> None:
    code = "import sys; import advisor.ui.app; print(*sorted(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "PySide6.QtWidgets" in run.stdout
    assert not HEAVY & {name.partition(".")[0] for name in run.stdout.split()}


def test_no_other_thread_makes_a_class_of_qt(app_home: Path) -> None:
    """PySide makes them when they are asked for, and two threads at once ended the process."""
    code = """
import os
from PySide6 import QtCore, QtGui, QtWidgets
from advisor.ui import app, window

def run_task(*_arguments, **_more):
    left = [n for m in (QtCore, QtGui, QtWidgets) for n in set(dir(m)) - set(vars(m))]
    print("left to other threads:", left, flush=True)
    os._exit(0)

window.jobs.run_task = run_task
app.run([])
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "left to other threads: []" in run.stdout


@pytest.fixture
def window(qtbot) -> MainWindow:
    window = MainWindow(preferences())
    qtbot.addWidget(window)
    with qtbot.waitActive(window):
        window.show()
    return window


def start(window: MainWindow, qtbot) -> None:
    window.load_after_first_paint()
    qtbot.waitUntil(lambda: window.state is not None)
    state = window.state
    assert state is not None
    # What was left of the last window is looked for beside that.
    qtbot.waitUntil(lambda: state.detected is not None and window.header.rig.isEnabled())


def test_window_loads_and_reads_this_machine(window: MainWindow, qtbot) -> None:
    start(window, qtbot)
    assert window.page("machine") is not None
    assert window.header.rig.isEnabled()
    window.close()


def test_a_machine_that_cannot_be_read_is_not_waited_for(
    window: MainWindow, qtbot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> Rig:
        raise RuntimeError("a sensor that nobody foresaw")

    monkeypatch.setattr(services, "detect", broken)
    with qtbot.capture_exceptions() as raised:
        window.load_after_first_paint()
        qtbot.waitUntil(lambda: window.state is not None and window.state.unread)
    assert [str(value) for _, value, _ in raised] == ["a sensor that nobody foresaw"]
    page = window.page("machine")
    assert isinstance(page, MachinePage)
    assert page.answer.headline.text().startswith("This machine could not be read.")
    monkeypatch.undo()
    window.detect()
    state = window.state
    assert state is not None
    qtbot.waitUntil(lambda: state.rig is not None)
    assert not state.unread
    window.close()


def test_what_does_not_load_is_not_waited_for(
    window: MainWindow, qtbot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("advisor.ui.window.HEAVY", ("no_such_library",))
    with qtbot.capture_exceptions() as raised:
        window.load_after_first_paint()
        qtbot.waitUntil(lambda: bool(raised) and not jobs.any_running())
    labels = [label.text() for label in window.findChildren(QLabel)]
    assert "Rig Advisor could not start" in labels
    assert "Reading this machine…" not in labels
    window.close()


def test_pages_follow_the_keyboard(window: MainWindow, qtbot) -> None:
    start(window, qtbot)
    qtbot.keyClick(window, Qt.Key.Key_2, Qt.KeyboardModifier.ControlModifier)
    assert window.page("fit") is not None
    # The list of pages is one stop of Tab, at the page on screen.
    entries = window.rail.findChildren(QPushButton)
    stops = [e.text() for e in entries if e.focusPolicy() & Qt.FocusPolicy.TabFocus]
    assert stops == ["Fit", "Session…"]
    window.close()


def keys_to_popup(words: str) -> None:
    """Typed as a person does: they go to the popup on screen, whatever that is."""
    popup = QApplication.activePopupWidget()
    assert popup is not None
    QTest.keyClicks(popup.focusWidget() or popup, words)


@pytest.mark.qt_log_ignore("This plugin does not support", extend=True)
def test_a_model_can_be_looked_for_before_the_libraries_are_loaded(
    window: MainWindow, qtbot
) -> None:
    qtbot.mouseClick(window.header.model, Qt.MouseButton.LeftButton)
    keys_to_popup("qwen3 0.")
    picker = window.header.model_picker
    start(window, qtbot)
    assert QApplication.activePopupWidget() is picker
    assert QApplication.focusWidget() is picker.search
    keys_to_popup("6B")
    assert picker.search.text() == "qwen3 0.6B"
    QTest.keyClick(picker.search, Qt.Key.Key_Return)
    state = window.state
    assert state is not None
    qtbot.waitUntil(lambda: state.choice is not None)
    assert state.choice is not None
    assert state.choice.model == "Qwen/Qwen3-0.6B"
    assert not picker.isVisible()
    assert window._current == "fit"
    window.close()


def test_what_is_dropped_before_the_libraries_are_loaded_is_opened_after_what_was_left(
    window: MainWindow, qtbot, tmp_path: Path
) -> None:
    ended = paths.data() / "sessions" / "autosave-1234abcd-999999999.rig.json"
    sessions.save(Session(title="left by the last window"), ended)
    file = tmp_path / "dropped.rig.json"
    sessions.save(Session(title="dropped"), file)
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(file))])
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    window.dropEvent(QDropEvent(QPointF(5, 5), Qt.DropAction.CopyAction, data, left, none))
    start(window, qtbot)
    state = window.state
    assert state is not None
    qtbot.waitUntil(lambda: state.session.title == "dropped")
    assert state.path == file
    assert not ended.exists()
    window.close()


def test_a_file_that_is_no_model_gives_a_sentence(
    window: MainWindow, qtbot, tmp_path: Path
) -> None:
    start(window, qtbot)
    bad = tmp_path / "broken.gguf"
    bad.write_bytes(b"GGUF and then nothing")
    window.open_path(bad)
    qtbot.waitUntil(lambda: bool(window.banner.sentence))
    assert "broken.gguf" in window.banner.sentence
    window.open_path(tmp_path)
    assert window.banner.sentence == "", "the next file is not the one that was broken"
    window.close()


def test_a_session_is_saved_opened_and_restored(window: MainWindow, qtbot, tmp_path: Path) -> None:
    start(window, qtbot)
    state = window.state
    assert state is not None
    state.choose_model("Qwen/Qwen3-0.6B", "Q8_0")
    state.change_settings(ctx=8192)
    file = tmp_path / "mine.rig.json"
    with qtbot.waitSignal(state.saved):
        state.save(file)
    assert "mine" in window.windowTitle()
    window.menu.begin()
    assert state.choice is None
    window.open_path(file)
    qtbot.waitUntil(lambda: state.choice is not None)
    assert state.settings.ctx == 8192
    assert state.choice is not None
    assert state.choice.file_type == "Q8_0"
    window.close()


def test_theme_choice_is_kept_and_repaints(qtbot, window: MainWindow, qapp: QApplication) -> None:
    window.menu.choose_theme("dark")
    assert design.colours() is design.DARK
    assert not window.updatesEnabled()
    curtain = window.findChild(Curtain)
    assert curtain is not None
    qtbot.waitUntil(lambda: window.updatesEnabled() and curtain.isHidden())
    changed = window.grab().toImage()
    design.apply(qapp, "light")
    assert window.grab().toImage() != changed
    design.apply(qapp, "dark")
    assert window.grab().toImage() == changed
    assert (
        QSettings(preferences().fileName(), QSettings.Format.IniFormat).value("window/theme")
        == "dark"
    )
    design.apply(qapp, "light")


def test_environment_overrides_the_saved_theme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RIG_ADVISOR_THEME", "dark")
    assert design.wanted_scheme("light") == "dark"
    monkeypatch.setenv("RIG_ADVISOR_THEME", "nonsense")
    assert design.wanted_scheme("light") == "light"
    assert design.wanted_scheme(None) == "system"


def test_every_page_has_a_module_and_class() -> None:
    assert [entry.key for entry in page_entries()] == [
        "machine",
        "fit",
        "probe",
        "advice",
        "report",
    ]


def test_crash_window_shows_what_a_report_would_hold(qtbot) -> None:
    try:
        _ = {}["missing"]
    except KeyError as error:
        details = repr(error)
    dialog = crash.CrashDialog(details)
    qtbot.addWidget(dialog)
    assert details in dialog.details.toPlainText()
    dialog._copy()
    assert "Rig Advisor" in QApplication.clipboard().text()


def _luminance(colour: str) -> float:
    def linear(part: int) -> float:
        value = part / 255
        return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4

    r, g, b = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)


def _contrast(one: str, other: str) -> float:
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [design.LIGHT, design.DARK], ids=["light", "dark"])
def test_text_is_readable_on_every_ground(scheme: design.Colours) -> None:
    pairs = [
        (scheme.text, scheme.surface),
        (scheme.text, scheme.ground),
        (scheme.muted, scheme.surface),
        (scheme.muted, scheme.ground),
        (scheme.accent, scheme.surface),
        (scheme.accent, scheme.accent_soft),
        (scheme.on_accent, scheme.accent),
    ]
    pairs += [
        (getattr(scheme, tone), getattr(scheme, f"{tone}_soft"))
        for tone in ("good", "tight", "offload", "bad", "none")
    ]
    assert [(a, b, round(_contrast(a, b), 2)) for a, b in pairs if _contrast(a, b) < 4.5] == []


def test_about_says_versions_and_every_licence(qtbot) -> None:
    parent = QWidget()
    qtbot.addWidget(parent)
    about = AboutDialog(parent)
    qtbot.waitUntil(lambda: about.list.count() > 0)
    assert f"Rig Advisor: {__version__}" in about.words
    names = {about.list.item(line).text().rpartition(" ")[0] for line in range(about.list.count())}
    # What pyproject.toml names, and the typeface.
    assert {"PySide6_Essentials", "pydantic", "numpy", "xllamacpp", "gguf", "Inter"} <= names
    for line in range(about.list.count()):
        about.list.setCurrentRow(line)
        assert ":" in about.licence.toPlainText().partition("\n")[0]
    qt = next(part for part in third_party.components() if part.name == "PySide6_Essentials")
    assert "GNU LESSER GENERAL PUBLIC LICENSE" in qt.text()
    about._copy()
    assert QGuiApplication.clipboard().text() == about.words


class _Drawing(Page):
    def __init__(self) -> None:
        super().__init__(None)  # pyright: ignore[reportArgumentType] - it asks for nothing
        self.drawn: list[str] = []

    def first(self) -> None:
        self.drawn.append("first")

    def second(self) -> None:
        self.drawn.append("second")


def test_a_hidden_page_draws_once_when_it_is_seen(qtbot) -> None:
    page = _Drawing()
    qtbot.addWidget(page)
    for _ in range(3):
        page.when_seen(page.first)
        page.when_seen(page.second)
    assert not page.drawn
    page.show()
    qtbot.waitUntil(lambda: page.drawn == ["first", "second"])
    page.when_seen(page.first)
    assert page.drawn[2:] == ["first"]
    page.hide()
    page.when_seen(page.second)
    page.catch_up()
    assert page.drawn[3:] == ["second"]


class _Look(QObject):
    """The heights in which a label was painted."""

    def __init__(self, label: QLabel) -> None:
        super().__init__()
        self.heights: list[int] = []
        label.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        if event.type() == QEvent.Type.Paint and isinstance(watched, QLabel):
            self.heights.append(watched.height())
        return False


def test_nothing_is_painted_before_its_card_has_grown_with_it(window: MainWindow, qtbot) -> None:
    label = text("one line", wrap=True)
    inner, content = Card("inner"), QWidget()
    inner.body.addWidget(label)
    between = QWidget()
    between.setLayout(column(inner))
    content.setLayout(column(between, text("\n".join("a page that scrolls" * 5), wrap=True)))
    window._stack.addWidget(scrolling(content))
    window._stack.setCurrentIndex(window._stack.count() - 1)
    qtbot.waitUntil(lambda: label.isVisible() and label.height() > 0)
    look = _Look(label)
    label.setText("\n".join("many lines"))
    QApplication.sendEvent(window, QEvent(QEvent.Type.UpdateRequest))
    assert set(look.heights) == {label.heightForWidth(label.width())}


def test_the_rigs_name_is_shortened_before_the_models(qtbot) -> None:
    header = Header()
    qtbot.addWidget(header)
    header.rig.show_choice("2x RTX 4090 + 128 GB DDR5-6000", warning="imagined")
    header.model.show_choice("DeepSeek V4 Flash 0731", "MXFP4_MOE")
    header.show_buttons([QPushButton("Why not bigger?"), QPushButton("Probe this")])
    for width in (900, 845, 760):  # without captions, it gives up what is too much for all three
        header.resize(width, 56)
        header.show()
        QApplication.processEvents()
        least = header.rig.minimumSizeHint().width()
        assert header.model.width() == header.model.sizeHint().width() or (
            header.rig.width() == least
        )
    assert header.rig.width() < header.rig.sizeHint().width()
    header.resize(1400, 56)
    QApplication.processEvents()
    whole = header.model.sizeHint().width()
    assert header.model.width() == whole
    assert header.rig.width() == header.rig.sizeHint().width()


def test_long_names_leave_the_context_whole(qtbot) -> None:
    """It read “Conte 12…” beside a file of a long name."""
    header = Header()
    qtbot.addWidget(header)
    header.resize(1132, 56)
    header.show()
    header.rig.show_choice("2x RTX 3090 + 2x RTX 4090 + 256 GB DDR4-3200", "two cards", warning="i")
    header.model.show_choice("A very long name " * 6, "mixed")
    header.context.show_choice("128k")
    header.show_buttons([QPushButton("Why not bigger?"), QPushButton("Probe this")])
    qtbot.waitUntil(lambda: header.context.width() >= header.context.sizeHint().width())
    assert header.context.x() + header.context.width() < header.width()


def test_a_wide_window_shows_long_rigs_whole(qtbot) -> None:
    header = Header()
    qtbot.addWidget(header)
    header.rig.show_choice("RTX 5090 + 2x RTX 3090 + 192 GB DDR5-5600", warning="imagined")
    header.resize(1772, 56)
    header.show()
    QApplication.processEvents()
    words = header.rig._choice
    assert words.width() >= words.fontMetrics().horizontalAdvance(words.accessibleName())


def test_who_knows_no_word_finds_what_they_mean(window: MainWindow, qtbot) -> None:
    start(window, qtbot)
    page = window.page("machine")
    assert isinstance(page, MachinePage)
    page.catch_up()
    links = page.findChildren(QPushButton)
    next(b for b in links if b.text() == "What do the words mean?").click()
    (dialog,) = window.findChildren(WordsDialog)
    assert dialog.focusWidget() is dialog.search
    everything = dialog.shown()
    assert {"VRAM", "Token", "KV cache", "Ghost"} <= set(everything)
    dialog.search.setText("graphics CARD slot")
    assert dialog.shown() == ["PCIe x16, x8, x4"]
    dialog.search.setText("wombat")
    assert not dialog.shown()
    dialog.search.clear()
    assert dialog.shown() == everything
    dialog.reject()
    keys = {action.shortcut().toString() for action in window.menu.actions()}
    assert "F1" in keys
