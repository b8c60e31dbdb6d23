"""Garbage is collected between jobs, on the GUI thread, and the interpreter is left as it was."""

import gc
import sys
import threading
import weakref
from collections.abc import Iterator

import pytest
from PySide6.QtCore import Qt

from advisor.ui import jobs, pauses
from advisor.ui.jobs import run_task
from advisor.ui.pauses import Collector, keep_caches


class Knot:
    """An object that only a collection can remove."""

    def __init__(self) -> None:
        self.me = self


ALWAYS = -1
"""A threshold that any number of new objects exceeds: the interpreter's count falls with whatever
is let go of, what other tests made too."""


@pytest.fixture
def collector(qapp, monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """One that waits for no job of another test and for no number of objects."""
    monkeypatch.setattr(jobs, "_running", set())
    monkeypatch.setattr(pauses, "YOUNG", ALWAYS)
    monkeypatch.setattr(pauses, "HEAP", sys.maxsize)
    monkeypatch.setattr(pauses, "CACHES", ALWAYS)
    collector = Collector(qapp)
    yield collector
    collector.stop()
    collector.deleteLater()
    gc.unfreeze()


def dropped() -> weakref.ref[Knot]:
    return weakref.ref(Knot())


def test_the_interpreter_is_left_as_it_was(qapp) -> None:
    gc.enable()
    before = gc.isenabled(), sys.getswitchinterval()
    collector = Collector(qapp)
    assert not gc.isenabled()
    assert sys.getswitchinterval() == pytest.approx(pauses.SWITCH_S)
    collector.stop()
    collector.deleteLater()
    assert (gc.isenabled(), sys.getswitchinterval()) == before


def test_young_garbage_goes_when_nothing_is_at_work(collector: Collector) -> None:
    knot = dropped()
    assert knot() is not None
    collector.look()
    assert knot() is None


def test_a_heap_is_set_aside_and_looked_at_in_the_background(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pauses, "HEAP", ALWAYS)
    knot = dropped()
    collector.look()
    assert knot() is not None
    assert gc.get_freeze_count() > 1000
    monkeypatch.setattr(pauses, "ASIDE", gc.get_freeze_count() + 1)
    collector.look_at_all()
    assert knot() is not None, "it is little"
    monkeypatch.setattr(pauses, "ASIDE", 1000)
    collector.look_at_all()
    assert knot() is None


def test_only_who_stays_away_has_all_collected(collector: Collector) -> None:
    collector._state_changed(Qt.ApplicationState.ApplicationInactive)
    assert collector._away.isActive()
    collector._state_changed(Qt.ApplicationState.ApplicationActive)
    assert not collector._away.isActive()


def test_jobs_are_not_held_up(collector: Collector, qtbot) -> None:
    go_on, done = threading.Event(), []
    run_task(lambda _job: go_on.wait(300), on_result=done.append)
    knot = dropped()
    collector.look()
    assert knot() is not None
    go_on.set()
    qtbot.waitUntil(lambda: bool(done))
    collector.look()
    assert knot() is None


def test_caches_are_not_looked_through_again(collector: Collector) -> None:
    cache = [Knot() for _ in range(200)]
    keep_caches()
    assert gc.get_freeze_count() > len(cache)


def test_without_a_collector_nothing_is_kept_from_collection(
    qapp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pauses, "CACHES", ALWAYS)
    gc.enable()
    before = gc.get_freeze_count()
    cache = [Knot() for _ in range(200)]
    keep_caches()
    assert cache
    assert gc.get_freeze_count() == before
