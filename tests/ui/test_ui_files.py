"""Files and folders that a person opens or drops: models, their projectors, folders of models."""

from pathlib import Path

import pytest
import tiny
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent
from PySide6.QtWidgets import QWidget

from advisor.llm import model_folders
from advisor.llm.ghost import ghost_of
from advisor.ui import services
from advisor.ui.app import preferences
from advisor.ui.state import AppState
from advisor.ui.widgets.model_picker import ModelPicker
from advisor.ui.window import MainWindow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model with its projector, an unfinished and a damaged file, under names as people have."""
    folder = tmp_path / "Größere Modelle, noch zu prüfen"
    folder.mkdir()
    with ghost_of(tiny.dense(), tmp_path) as ghost:
        content = ghost.path.read_bytes()
        (folder / "Mein Modell (Kopie) – überlang.gguf").write_bytes(content)
        (folder / "nur halb da.gguf").write_bytes(content[: len(content) * 2 // 3])
    (folder / "kaputt.gguf").write_bytes(content[:400])
    tiny.projector(folder).rename(folder / "mmproj-Mein Modell.gguf")
    return folder


def test_a_folder_of_models_is_looked_in_from_now_on(state: AppState, folder: Path, qtbot) -> None:
    with qtbot.waitSignal(state.model_wanted, timeout=10_000):
        state.open_file(folder)
    assert model_folders.named() == (folder,)
    found = {file.name for file in services.local_files() if file.place == folder.name}
    assert found == {"Mein Modell (Kopie) – überlang", "nur halb da", "kaputt"}
    window = QWidget()
    qtbot.addWidget(window)
    picker = ModelPicker(state, window)
    picker._found(services.local_files())
    picker._forget_folder(folder)
    assert model_folders.named() == ()
    qtbot.waitUntil(lambda: folder.name not in {file.place for file in picker._files})


def test_a_folder_without_models_is_told(state: AppState, tmp_path: Path, qtbot) -> None:
    (tmp_path / "empty").mkdir()
    with qtbot.waitSignal(state.failed, timeout=10_000) as told:
        state.open_file(tmp_path / "empty")
    assert "no GGUF file" in told.args[0]
    assert model_folders.named() == ()


def test_what_opens_nowhere_says_what_would(state: AppState, tmp_path: Path, qtbot) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with qtbot.waitSignal(state.failed, timeout=10_000) as told:
        state.open_file(tmp_path / "notes.txt")
    assert "a GGUF model or a folder" in told.args[0]


def test_a_projector_goes_beside_the_model(state: AppState, folder: Path, qtbot) -> None:
    projector = folder / "mmproj-Mein Modell.gguf"
    with qtbot.waitSignal(state.failed, timeout=10_000) as told:
        state.open_file(projector)
    assert "Choose its model first" in told.args[0]
    state.choose_model(str(next(folder.glob("Mein*.gguf"))))
    with qtbot.waitSignal(state.settings_changed, timeout=10_000):
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
