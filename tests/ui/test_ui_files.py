"""Files and folders that a person opens or drops: models, their projectors, folders of models."""

import json
from pathlib import Path

import pytest
import tiny
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QFileDialog, QWidget

from advisor.errors import ModelError, UnknownModel
from advisor.llm import model_folders
from advisor.llm.catalogue import catalogue
from advisor.llm.ghost import MARK, ghost_of
from advisor.ui import opening
from advisor.ui.app import preferences
from advisor.ui.missing import tell_problem
from advisor.ui.pages.advice import AdvicePage
from advisor.ui.pages.fit import FitPage
from advisor.ui.state import AppState
from advisor.ui.widgets.basics import Banner
from advisor.ui.widgets.model_picker import ModelPicker
from advisor.ui.window import MainWindow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model with its projector, an unfinished and a damaged file, under names as people have."""
    folder = tmp_path / "Größere Modelle, noch zu prüfen"
    folder.mkdir()
    with ghost_of(tiny.dense(), tmp_path) as ghost:
        content = ghost.path.read_bytes()
        (tmp_path / "stand-in.gguf").write_bytes(content)
        content = content.replace(MARK.encode(), b"x" * len(MARK))
        (folder / "Mein Modell (Kopie) – überlang.gguf").write_bytes(content)
        (folder / "nur halb da.gguf").write_bytes(content[: len(content) * 2 // 3])
    (folder / "kaputt.gguf").write_bytes(content[:400])
    tiny.projector(folder).rename(folder / "mmproj-Mein Modell.gguf")
    return folder


def test_a_folder_of_models_is_looked_in_from_now_on(state: AppState, folder: Path, qtbot) -> None:
    with qtbot.waitSignal(state.model_wanted):
        state.open_file(folder)
    assert model_folders.named() == (folder,)
    found = {file.name for file in opening.local_files() if file.place == folder.name}
    assert found == {"Mein Modell (Kopie) – überlang", "nur halb da", "kaputt"}
    window = QWidget()
    qtbot.addWidget(window)
    picker = ModelPicker(window)
    picker.bind(state)
    picker._found(opening.local_files())
    picker._forget_folder(folder)
    assert model_folders.named() == ()
    qtbot.waitUntil(lambda: folder.name not in {file.place for file in picker._files})


def test_enter_waits_for_the_catalogue(state: AppState, qtbot) -> None:
    window = QWidget()
    qtbot.addWidget(window)
    picker = ModelPicker(window)
    picker.bind(state)
    QTest.keyClicks(picker.search, "Qwen3 4")
    QTest.keyClick(picker.search, Qt.Key.Key_Return)
    QTest.keyClicks(picker.search, "B")  # goes on: Enter was for something else
    picker._ready({})
    assert state.choice is None
    picker._read = False
    picker.search.setText("Qwen3 8B")
    QTest.keyClick(picker.search, Qt.Key.Key_Return)
    picker._ready({})
    assert state.choice is not None
    assert state.choice.model == "Qwen/Qwen3-8B"


def test_arrow_keys_wait_for_the_catalogue(state: AppState, qtbot) -> None:
    window = QWidget()
    qtbot.addWidget(window)
    picker = ModelPicker(window)
    picker.bind(state)
    for key in (Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_Down):
        QTest.keyClick(picker.search, key)
    picker._ready({})
    assert picker.list.currentIndex().row() == 2
    QTest.keyClick(picker.search, Qt.Key.Key_Up)
    assert picker.list.currentIndex().row() == 1
    picker._read = False
    QTest.keyClick(picker.search, Qt.Key.Key_PageDown)
    picker.search.setText("Qwen3 8B")  # goes on: the keys were for something else
    picker._ready({})
    assert picker.list.currentIndex().row() == 0


def test_a_mistyped_name_finds_what_comes_nearest(state: AppState, qtbot) -> None:
    window = QWidget()
    qtbot.addWidget(window)
    picker = ModelPicker(window)
    picker.bind(state)
    picker._ready({})
    picker.search.setText("Quen3 8B")
    assert picker._choices.items[0].model == "Qwen/Qwen3-8B"
    assert "come nearest" in picker._said.text()
    picker.search.setText("zzzzz")
    assert picker._said.text().startswith("No model is called that.")
    layout = picker.layout()
    assert layout.indexOf(picker._said) < layout.indexOf(picker.list)
    picker.search.setText("inkl")
    assert picker._said.text().startswith("llama.cpp b11434 can't run Inkling")
    assert picker._choices.items[0].model == "zai-org/GLM-5.3-Flash"
    QTest.keyClick(picker.search, Qt.Key.Key_Return)
    assert state.choice is None
    picker.search.setText("Qwen3 8B")
    assert not picker._said.text()


def test_a_folder_without_models_is_told(state: AppState, tmp_path: Path, qtbot) -> None:
    (tmp_path / "empty").mkdir()
    with qtbot.waitSignal(state.failed) as told:
        state.open_file(tmp_path / "empty")
    assert "no GGUF file" in told.args[0]
    assert model_folders.named() == ()


def test_a_stand_in_is_not_taken_for_a_model(state: AppState, folder: Path, qtbot) -> None:
    with qtbot.waitSignal(state.failed) as told:
        state.open_file(folder.parent / "stand-in.gguf")
    assert "no weights" in told.args[0]
    assert state.choice is None


def test_what_opens_nowhere_says_what_would(state: AppState, tmp_path: Path, qtbot) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with qtbot.waitSignal(state.failed) as told:
        state.open_file(tmp_path / "notes.txt")
    assert "a GGUF model, a folder of GGUF models" in told.args[0]


def test_a_projector_goes_beside_the_model(state: AppState, folder: Path, qtbot) -> None:
    projector = folder / "mmproj-Mein Modell.gguf"
    with qtbot.waitSignal(state.failed) as told:
        state.open_file(projector)
    assert "Choose its model first" in told.args[0]
    state.choose_model(str(next(folder.glob("Mein*.gguf"))))
    with qtbot.waitSignal(state.settings_changed):
        state.open_file(projector)
    assert state.settings.mmproj == str(projector)
    assert state.choice is not None
    assert "Mein Modell" in state.choice.model
    with qtbot.waitSignal(state.settings_changed):
        state.choose_model("Qwen/Qwen3-8B", "Q4_K_M")
    assert not state.settings.mmproj  # it was the other one's


def test_of_a_model_dropped_with_its_projector_the_model_opens(folder: Path, qtbot) -> None:
    window = MainWindow(preferences())
    qtbot.addWidget(window)
    opened: list[Path] = []
    window.open_path = opened.append
    data = QMimeData()
    data.setUrls(
        [QUrl.fromLocalFile(str(file)) for file in sorted(folder.glob("[Mm]*.gguf"))[::-1]]
    )
    copy = Qt.DropAction.CopyAction
    buttons, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    window.dropEvent(QDropEvent(QPointF(50, 50), copy, data, buttons, keys))
    assert [path.name for path in opened] == ["Mein Modell (Kopie) – überlang.gguf"]
    window.close()


def test_a_config_becomes_a_model_of_the_catalogue(state: AppState, tmp_path: Path, qtbot) -> None:
    file = tmp_path / "My new MoE" / "config.json"
    file.parent.mkdir()
    file.write_text(json.dumps(tiny.MOE))
    with qtbot.waitSignal(state.plan_changed):
        state.open_file(file)
        qtbot.waitUntil(lambda: state.choice is not None)
    assert state.choice is not None
    assert catalogue().find("My new MoE").id == state.choice.model
    opening.forget_model(state.choice.model)
    with pytest.raises(UnknownModel):
        catalogue().find("My new MoE")


def test_an_adapters_config_is_told_from_a_models(state: AppState, tmp_path: Path, qtbot) -> None:
    file = tmp_path / "adapter_config.json"
    file.write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": "Qwen/Qwen3-8B"}))
    with qtbot.waitSignal(state.failed) as told:
        state.open_file(file)
    assert "changes Qwen/Qwen3-8B" in told.args[0]


def test_a_file_is_sized_in_every_file_type(state: AppState, folder: Path, qtbot) -> None:
    page = FitPage(state)
    qtbot.addWidget(page)
    page.show()
    state.choose_model(str(next(folder.glob("Mein*.gguf"))))
    qtbot.waitUntil(page._every.isVisible)
    qtbot.waitUntil(lambda: len(page.matrix.map.cells.rows) == 1)
    page._every.click()
    qtbot.waitUntil(lambda: len(page.matrix.map.cells.rows) > 8)
    qtbot.waitUntil(lambda: not page._every.isVisible())
    page.closing()


def test_a_file_that_is_gone_can_be_found_again(state: AppState, folder: Path, qtbot) -> None:
    there = folder / "Mein Modell (Kopie) – überlang.gguf"
    with qtbot.waitSignal(state.plan_changed):
        state.choose_model(str(folder / "umbenannt.gguf"))
    assert state.missing == folder / "umbenannt.gguf"
    page = QWidget()
    qtbot.addWidget(page)
    banner = Banner()
    banner.setParent(page)
    tell_problem(banner, state, page)
    assert "It was moved, renamed or deleted" in banner.sentence
    banner._action.click()
    (dialog,) = page.findChildren(QFileDialog)
    with qtbot.waitSignal(state.plan_changed):
        dialog.fileSelected.emit(str(there))
    dialog.close()
    assert state.missing is None
    assert state.model is not None
    assert state.model.path == there


def test_a_file_that_cannot_be_read_leaves_nothing_of_the_model_before(
    state: AppState, folder: Path, qtbot
) -> None:
    fit = FitPage(state)
    qtbot.addWidget(fit)
    fit.show()
    state.choose_model(str(folder / "Mein Modell (Kopie) – überlang.gguf"))
    qtbot.waitUntil(lambda: bool(fit.matrix.map.cells.rows))
    state.choose_model(str(folder / "kaputt.gguf"))
    qtbot.waitUntil(lambda: fit._answer.text() == "kaputt.gguf cannot be sized.")
    qtbot.waitUntil(lambda: not fit.matrix.map.cells.rows)
    assert fit._reason.text() == fit.matrix.unit.text() == ""
    assert not any(part.isVisible() for part in (fit._every, fit.matrix.check_all))
    assert not any(part.isEnabled() for part in (fit._probe, fit._bigger))
    fit.closing()


def test_an_answer_that_comes_late_is_not_of_the_model_chosen_since(state: AppState, qtbot) -> None:
    state.choose_model("Qwen/Qwen3-8B", "Q8_0")
    qtbot.waitUntil(lambda: state._job is not None)
    state.choose_model("kaputt.gguf")
    with qtbot.waitSignal(state.plan_changed):
        pass  # the first one heard
    assert state.problem
    assert state.plan is state.model is None


def test_where_there_is_no_advice_the_last_one_is_gone(state: AppState, qtbot) -> None:
    page = AdvicePage(state)
    qtbot.addWidget(page)
    page._answers.show()
    page.verdict.headline.setText("Keep this rig")
    page._complain(ModelError("kaputt.gguf ends in the middle of its header."))
    assert page.verdict.headline.text() == "There is no advice."
    assert page._answers.isHidden()
    assert page.verdict._rests.isHidden()
    assert page.banner.sentence.startswith("kaputt.gguf")
    page.closing()
