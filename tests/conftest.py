"""Shared fixtures: a home of its own for every test, and nothing left running after it."""

import gc
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil
import pytest
from hypothesis import settings

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
# How long an example takes says something of the machine's load, not of the program.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


LIVE: Final = ("ui", "probe", "engine")
"""Folders whose tests start windows, threads and processes, which a busy machine may upset."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A live test that fails is run again, twice at most, and named as such at the end of the log:
    what fails for good still fails, what fails now and then is seen there and to be mended.
    """
    here = Path(__file__).parent
    for item in items:
        if item.path.relative_to(here).parts[0] in LIVE:
            item.add_marker(pytest.mark.flaky(reruns=2))


def pytest_collection_finish() -> None:
    """Every module is loaded: none of it is looked through again, and garbage less often, which
    takes a fifth off what sizing costs.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@pytest.fixture(autouse=True)
def app_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test has its own data, config and cache folders."""
    home = tmp_path / "home"
    monkeypatch.setenv("RIG_ADVISOR_HOME", str(home))
    return home


def _settled(condition: object, seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():  # type: ignore[operator]
            return True
        gc.collect()
        time.sleep(0.02)
    return condition()  # type: ignore[operator,no-any-return]


def _children() -> list[psutil.Process]:
    """Child processes, theirs too. Most tests have none, which POSIX tells without the list of all
    processes.
    """
    if hasattr(os, "waitid"):
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return []
    return psutil.Process().children(recursive=True)


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    """A test that leaves a thread or a child process behind fails."""
    threads_before = set(threading.enumerate())
    children_before = {child.pid for child in _children()}
    yield

    def threads() -> list[str]:
        return [
            t.name
            for t in set(threading.enumerate()) - threads_before
            # hypothesis and Qt own threads that live as long as the process.
            if not t.name.startswith("Dummy-")
        ]

    def children() -> list[psutil.Process]:
        return [c for c in _children() if c.pid not in children_before]

    assert _settled(lambda: not threads()), f"threads left running: {threads()}"
    assert _settled(lambda: not children()), f"child processes left running: {children()}"
