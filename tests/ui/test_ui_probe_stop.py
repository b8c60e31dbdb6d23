"""Stop in each phase of a real run: it ends at once, says when, and leaves nothing behind."""

from collections.abc import Iterator

import psutil
import pytest
from PySide6.QtCore import Qt

from advisor.hardware.rig import Host, Rig
from advisor.probe.run import PhaseStarted
from advisor.ui.pages.probe import ProbePage
from advisor.ui.state import AppState
from tests import tiny

GIB = 1 << 30


@pytest.fixture
def stoppable(designed: None, qtbot) -> Iterator[ProbePage]:
    """A tiny model that is probed on this machine for as long as it takes to press Stop."""
    state = AppState()
    state.detected = Rig(name="This machine", hosts=(Host(cpu="a CPU", ram_available=8 * GIB),))
    state.choose_model("tiny-qwen3")
    state._replan.stop()
    state.model = tiny.dense()
    state.session = state.session.model_copy(
        update={"settings": state.settings.model_copy(update={"ctx": 2048, "n_prompt": 64})}
    )
    page = ProbePage(state)
    qtbot.addWidget(page)
    page.resize(1130, 740)
    page.head.budget.setItemData(0, 1)
    page.head.budget.setCurrentIndex(2)
    page.show()
    with qtbot.waitSignal(page.controller.prepared, timeout=20_000):
        page._soon.start()
    yield page
    page.closing()
    state._replan.stop()
    state.close()
    state.deleteLater()  # on this thread, not wherever garbage is collected


@pytest.mark.engine
@pytest.mark.parametrize(
    ("phase", "words"),
    [
        ("starting", "before llama.cpp had started"),
        ("loading", "while the model was loaded"),
        ("prefill", "while it read a prompt"),
        ("decode", "while it generated"),
    ],
)
def test_stop_in_each_phase(stoppable: ProbePage, qtbot, phase: str, words: str) -> None:
    page, head = stoppable, stoppable.head
    said = []

    def press(event: object) -> None:
        if isinstance(event, PhaseStarted) and event.phase.name == phase and not said:
            qtbot.mouseClick(head.stop_button, Qt.MouseButton.LeftButton)
            said.append(head.state.accessibleName())

    page.controller.happened.connect(press)
    with qtbot.waitSignal(page.controller.finished, timeout=60_000) as ended:
        page.start()
    (result,) = ended.args
    assert result.ending.state == "stopped"
    assert said == ["Stopping …"]
    # Where a phase is short it may be over before it is heard of, and the next one is named.
    assert words in head.state.accessibleName() or result.phases[-1].name != phase
    assert not psutil.Process().children(recursive=True)
    assert head.run_button.isVisible()
    assert head.run_button.isEnabled()
    assert not head.stop_button.isVisible()
    assert page.state.session.probes == (), "it measured nothing whole"

    page.controller.happened.disconnect(press)
    head.budget.setCurrentIndex(0)
    with qtbot.waitSignal(page.controller.finished, timeout=60_000) as ended:
        qtbot.mouseClick(head.run_button, Qt.MouseButton.LeftButton)
    assert ended.args[0].ending.state == "done"
    assert head.state.accessibleName() == "The probe ran to its end."
