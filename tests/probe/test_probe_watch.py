"""The watchdog tells a child that hangs from a computer that slept, by a clock of its own."""

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from advisor.probe import watch
from advisor.probe.family import Family
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


_BUSY = "held = bytearray(200 << 20); held[::4096] = b'1' * (200 << 8)\nwhile True: pass"


def _both(family: Family, pid: int) -> tuple[float, int]:
    return family.seconds(pid) or 0.0, family.resident(pid) or 0


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_what_stands_above_llama_cpp_counts_with_it():
    """On macOS and Windows a worker waits for the user's llama.cpp: it alone holds nothing and does
    nothing, so its RAM was told as the run's, and a busy one was ended as if it hung."""
    script = [sys.executable, "-c", _BUSY]
    command = ["/bin/sh", "-c", '"$@" & wait', "sh", *script]
    with subprocess.Popen(command, start_new_session=True) as worker:
        try:
            alone, whole = Family(stands_above=False), Family(stands_above=True)
            until = time.monotonic() + 60
            while time.monotonic() < until:
                seconds, resident = _both(whole, worker.pid)
                if seconds > 0.5 and resident > 200 << 20:
                    break
                time.sleep(0.05)
            assert seconds > 0.5
            assert resident > 200 << 20
            assert alone.resident(worker.pid) is not None
            seconds, resident = _both(alone, worker.pid)
            assert seconds < 0.3
            assert resident < 50 << 20
        finally:
            os.killpg(worker.pid, signal.SIGKILL)
    assert Family().seconds(worker.pid) is None
    assert Family().resident(worker.pid) is None
