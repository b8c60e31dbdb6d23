"""Pages are ready before someone asks for them, after what was asked for unless that takes long."""

import threading

import pytest
from PySide6.QtCore import QObject

from advisor.ui import ahead
from advisor.ui.ahead import Ahead
from advisor.ui.app import preferences
from advisor.ui.jobs import run_task
from advisor.ui.window import MainWindow, page_entries


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "QUIET_MS", 10)


def test_every_page_is_built_while_nothing_goes_on(qtbot) -> None:
    window = MainWindow(preferences())
    qtbot.addWidget(window)
    window.show()
    window.load_after_first_paint()
    keys = [entry.key for entry in page_entries()]
    qtbot.waitUntil(lambda: all(window.page(key) for key in keys))
    machine = window.page("machine")
    assert machine is not None
    assert machine.isVisible()
    assert not any(page.isVisible() for key in keys[1:] if (page := window.page(key)))
    window.close()


def test_jobs_come_first_and_stop_is_kept(qtbot, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, built = QObject(), list[str]()
    go_on, done = threading.Event(), list[object]()
    run_task(lambda _job: go_on.wait(300), on_result=done.append)

    def build(key: str) -> None:
        built.append(key)
        made.stop()

    # However long this takes, the job is waited for.
    monkeypatch.setattr(ahead, "PATIENT_MS", 600_000)
    made = Ahead(["json", "advisor.no_such_module"], ["a", "b"], build, owner)
    qtbot.waitUntil(made._timer.isActive)
    qtbot.wait(200)
    assert built == []
    go_on.set()
    qtbot.waitUntil(lambda: bool(built))
    qtbot.wait(100)
    assert built == ["a"]


def test_a_job_that_takes_long_is_built_beside(qtbot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "PATIENT_MS", 50)
    owner, built = QObject(), list[str]()
    go_on, done = threading.Event(), list[object]()
    run_task(lambda _job: go_on.wait(300), on_result=done.append)
    made = Ahead(["json"], ["a", "b"], built.append, owner)
    qtbot.waitUntil(lambda: built == ["a", "b"])
    assert not done
    go_on.set()
    made.stop()
