"""Stop in each phase of a real run: it ends at once, says when, and leaves nothing behind."""

from collections.abc import Iterator

import psutil
import pytest
from probe_page import probing
from PySide6.QtCore import Qt

from advisor.probe.run import PhaseStarted
from advisor.ui.pages.probe import ProbePage
from advisor.ui.state import AppState


@pytest.fixture
def stoppable(here: AppState, qtbot) -> Iterator[ProbePage]:
    """It goes on for as long as it takes to press Stop."""
    yield from probing(here, qtbot, budget=2)


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
    with qtbot.waitSignal(page.controller.finished) as ended:
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
    with qtbot.waitSignal(page.controller.finished) as ended:
        qtbot.mouseClick(head.run_button, Qt.MouseButton.LeftButton)
    assert ended.args[0].ending.state == "done"
    assert head.state.accessibleName() == "The probe ran to its end."
