"""The watchdog tells a child that hangs from a computer that slept, by a clock of its own."""

from types import SimpleNamespace

import pytest

from advisor.probe import watch
from advisor.probe.watch import Limits, Watchdog


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=100.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr(watch, "time", clock)
    monkeypatch.setattr(Watchdog, "_cpu_seconds", lambda *_: 0.0)
    return clock


def look_for(watchdog: Watchdog, clock: SimpleNamespace, seconds: int) -> None:
    for _ in range(seconds * 5):
        clock.now += 0.2
        watchdog.look(None)


def test_sleep_is_no_silence_and_silence_after_it_is(clock):
    given_up: list[bool] = []
    watchdog = Watchdog(Limits(), lambda: given_up.append(True))
    watchdog.start(SimpleNamespace(pid=1))
    look_for(watchdog, clock, 20)
    clock.now += 3600
    look_for(watchdog, clock, 9)
    assert not given_up
    look_for(watchdog, clock, 3)
    assert given_up == [True]
    assert watchdog.silent_s == pytest.approx(30, abs=0.5)
