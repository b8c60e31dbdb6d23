"""run_task: results, expected errors, bugs, progress and cancellation."""

import threading

import pytest
import shiboken6
from PySide6.QtCore import QAbstractEventDispatcher, QObject, QThread, QThreadPool

from advisor.errors import RigError
from advisor.ui.jobs import Job, cancel_all, run_task


def test_result_arrives_on_the_gui_thread(qtbot, qapp) -> None:
    seen: list[tuple[int, bool, bool]] = []
    worker: list[QThread] = []

    def work(_job: Job) -> int:
        worker.append(QThread.currentThread())
        return 7

    def done(result: int) -> None:
        on_gui = QThread.currentThread() is qapp.thread()
        seen.append((result, on_gui, worker[0] is qapp.thread()))

    run_task(work, on_result=done)
    qtbot.waitUntil(lambda: bool(seen))
    assert seen == [(7, True, False)]


def test_results_come_in_turns_of_their_own(qtbot) -> None:
    turns: list[int] = [0]
    came: list[int] = []
    QAbstractEventDispatcher.instance().aboutToBlock.connect(lambda: turns.append(0))
    pool = QThreadPool()
    for _job in range(3):
        run_task(lambda _job: None, on_result=lambda _none: came.append(len(turns)), pool=pool)
    pool.waitForDone()  # all of them are there when the event loop looks
    qtbot.waitUntil(lambda: len(came) == 3)
    assert len(set(came)) == 3


def test_expected_failure_reaches_on_error(qtbot) -> None:
    seen: list[str] = []

    def work(_job: Job) -> None:
        raise RigError("no such rig")

    run_task(
        work, on_result=lambda _r: seen.append("result"), on_error=lambda e: seen.append(str(e))
    )
    qtbot.waitUntil(lambda: bool(seen))
    assert seen == ["no such rig"]


def test_a_bug_is_raised_on_the_gui_thread(qtbot) -> None:
    def work(_job: Job) -> None:
        raise ZeroDivisionError

    with qtbot.captureExceptions() as caught:
        job = run_task(
            work, on_result=lambda _r: None, on_error=lambda _e: pytest.fail("swallowed")
        )
        with qtbot.waitSignal(job.finished):
            pass
    assert [kind for kind, _value, _trace in caught] == [ZeroDivisionError]


def test_cancelled_result_is_dropped(qtbot) -> None:
    go = threading.Event()

    def work(job: Job) -> bool:
        go.wait(300)
        return job.cancelled

    job = run_task(work, on_result=lambda _r: pytest.fail("delivered"))
    job.cancel()
    go.set()
    with qtbot.waitSignal(job.finished):
        pass


def test_nothing_is_delivered_to_a_deleted_owner(qtbot) -> None:
    go = threading.Event()
    owner = QObject()
    job = run_task(lambda _job: go.wait(300), on_result=lambda _r: pytest.fail("late"), owner=owner)
    shiboken6.delete(owner)
    go.set()
    with qtbot.waitSignal(job.finished):
        pass


def test_progress_is_told(qtbot) -> None:
    told: list[tuple[float, str]] = []

    def work(job: Job) -> None:
        job.report(0.5, "half")

    job = run_task(work, on_result=lambda _r: None, on_progress=lambda s, t: told.append((s, t)))
    with qtbot.waitSignal(job.finished):
        pass
    assert told == [(0.5, "half")]


@pytest.mark.parametrize("how", ["cancelled", "owner deleted"])
def test_progress_that_is_heard_too_late_is_dropped(qtbot, how: str) -> None:
    said = threading.Event()
    owner = QObject()

    def work(job: Job) -> None:
        job.report(0.5, "half")
        said.set()

    job = run_task(
        work,
        on_result=lambda _r: pytest.fail("late"),
        on_progress=lambda _s, _t: pytest.fail("late"),
        owner=owner,
    )
    assert said.wait(60)
    if how == "cancelled":
        job.cancel()
    else:
        shiboken6.delete(owner)
    with qtbot.waitSignal(job.finished):
        pass


def test_cancel_all_waits_for_the_pool() -> None:
    run_task(lambda job: job.cancelled, on_result=lambda _r: None)
    assert cancel_all(60_000)
