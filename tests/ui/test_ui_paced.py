"""Steps behind the window rest while this machine is measured."""

import threading

import pytest
import shiboken6
from probe_page import probing
from PySide6.QtCore import QObject

from advisor.ui import paced
from advisor.ui.jobs import Job, run_task
from advisor.ui.paced import Paced
from advisor.ui.state import AppState


class Counted:
    """Steps without end, one after the other."""

    def __init__(self, owner: QObject) -> None:
        self.done = 0
        self.paced = Paced(owner, lambda: lambda: None, self._have)
        self.paced.start()

    def _have(self, _none: None) -> None:
        self.done += 1

    def go_on(self, qtbot) -> None:
        """Steps are done; one that was begun before may be the first."""
        before = self.done
        qtbot.waitUntil(lambda: self.done > before + 1)

    def are_held(self, qtbot) -> bool:
        """Whether no step begins once those that were begun are done."""
        qtbot.waitUntil(lambda: self.paced in paced._held)
        return self.none_comes(qtbot)

    def none_comes(self, qtbot) -> bool:
        before = self.done
        qtbot.wait(150)
        return self.done == before


def test_no_step_begins_while_something_is_measured(qtbot) -> None:
    owner, first, second = QObject(), QObject(), QObject()
    steps = Counted(owner)
    steps.go_on(qtbot)
    paced.hold(first)
    paced.hold(second)
    assert steps.are_held(qtbot)
    steps.paced.start()
    paced.release(first)
    assert steps.are_held(qtbot)
    paced.release(second)
    steps.go_on(qtbot)
    steps.paced.stop()


def test_what_was_called_off_meanwhile_does_not_go_on(qtbot) -> None:
    owner, measuring = QObject(), QObject()
    steps = Counted(owner)
    paced.hold(measuring)
    assert steps.are_held(qtbot)
    steps.paced.stop()
    paced.release(measuring)
    assert steps.none_comes(qtbot)


def test_a_job_rests_between_its_steps(qtbot) -> None:
    measuring, steps, ended = QObject(), [], []
    begun = threading.Event()

    def work(job: Job) -> None:
        while not job.cancelled and len(steps) < 3:
            begun.set()
            paced.rest(lambda: job.cancelled)
            steps.append(job.cancelled)

    paced.hold(measuring)
    job = run_task(work, on_result=ended.append)
    qtbot.waitUntil(begun.is_set)
    qtbot.wait(100)
    assert steps == []
    paced.release(measuring)
    qtbot.waitUntil(lambda: bool(ended))
    assert steps == [False] * 3
    steps.clear()
    begun.clear()
    paced.hold(measuring)
    job = run_task(work, on_result=ended.append)
    qtbot.waitUntil(begun.is_set)
    job.cancel()
    with qtbot.waitSignal(job.finished):
        pass
    paced.release(measuring)
    assert steps == [True]


def test_one_that_is_gone_holds_nobody(qtbot) -> None:
    owner, measuring = QObject(), QObject()
    paced.hold(measuring)
    shiboken6.delete(measuring)
    steps = Counted(owner)
    steps.go_on(qtbot)
    steps.paced.stop()


@pytest.mark.engine
def test_a_probe_is_not_disturbed_and_planning_goes_on_after_it(here: AppState, qtbot) -> None:
    owner = QObject()
    steps = Counted(owner)
    for page in probing(here, qtbot, budget=2):
        with qtbot.waitSignal(page.controller.started):
            page.start()
        assert steps.are_held(qtbot)
        with qtbot.waitSignal(page.controller.finished):
            page.controller.stop()
        steps.go_on(qtbot)
    steps.paced.stop()
