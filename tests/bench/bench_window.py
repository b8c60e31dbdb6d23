"""How long the window's thread is busy at once, action by action, over every page.

What counts is the processor time of one turn of the event loop: nothing on screen moves meanwhile.
The window is whole: eight cards that change all the time, every page built, a model chosen. Each
line is printed when it is measured, the worst once more at the end. Run with ``make bench``; ``-s``
shows what it prints.

The start waits until no job is left: a look at the whole catalogue, minutes where compute buffers
are not known yet, so they are kept in pytest's cache. After an action that look begins again and
would take as long; what belongs to an action comes before, so no action waits for more than
``ACT_MS`` of it, and what comes later counts with the action in which it comes.
"""

import os
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QElapsedTimer, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractScrollArea, QWidget

from advisor.hardware.compose import parse_rig
from advisor.kept_buffers import KeptBuffers
from advisor.sizing.compute import recall
from advisor.ui import design, jobs, recolour
from advisor.ui.app import preferences
from advisor.ui.pauses import Collector
from advisor.ui.widgets.row_button import RowButton
from advisor.ui.window import MainWindow

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import fake_nvml
from turns import Turns

MODEL = "Qwen/Qwen3-30B-A3B"
START_MS = 900_000
"""At the most until nothing is left to do: a first look at the catalogue on eight unlike cards."""
ACT_MS = 4_000
"""At the most until what follows from an action is on screen."""
SETTLED_MS = 400
FRAME_MS = 16.0


@pytest.fixture
def buffers(request) -> Iterator[None]:
    """Compute buffers as the program keeps them, from one run of this to the next."""
    kept = KeptBuffers(request.config.cache.mkdir("compute-buffers"))
    recall.keep_in(kept)
    yield
    recall.keep_in(None)
    kept.write()


@pytest.fixture
def window(qtbot, qapp, tmp_path: Path, buffers: None) -> Iterator[MainWindow]:
    """The window on eight mixed cards, with a model chosen and every page built."""
    with fake_nvml.installed(fake_nvml.build(tmp_path), tmp_path / "scenario.txt") as fake:
        fake.become("eight-mixed")
        design.load_fonts()
        design.apply(qapp, "light")
        collector = Collector(qapp)
        window = MainWindow(preferences())
        window.resize(1280, 800)
        window.show()
        window.load_after_first_paint()
        yield window
        window.close()
        collector.stop()


class Acts:
    """Actions in their order, and the longest turns of each."""

    def __init__(self, qtbot, qapp) -> None:
        self.worst: dict[str, float] = {}
        self._qtbot = qtbot
        self._turns = Turns(qapp)
        print(f"\n{'':34}longest, then (ms of processor time)")

    def settle(self, at_most: int = ACT_MS) -> None:
        """Until no job is left or the time is up, and a little longer."""
        self._qtbot.wait(60)
        clock = QElapsedTimer()
        clock.start()
        while jobs.any_running() and clock.elapsed() < at_most:
            self._qtbot.wait(20)
        self._qtbot.wait(SETTLED_MS)

    def do(self, name: str, act: Callable[[], object], at_most: int = ACT_MS) -> None:
        """One action, and what follows from it."""
        taken = self._turns.of(act, lambda: self.settle(at_most))
        self.worst[name] = taken[0]
        mark = "!" if taken[0] > FRAME_MS else " "
        first = " ".join(f"{turn:.1f}" for turn in taken[1:5])
        print(f"{mark} {name:32}{taken[0]:6.1f} | {first}", flush=True)

    def tell(self) -> None:
        """How many actions took longer than a frame, and which they were."""
        long = sorted((taken, name) for name, taken in self.worst.items() if taken > FRAME_MS)
        middle = statistics.median(self.worst.values())
        print(f"{len(long)} of {len(self.worst)} over {FRAME_MS:g} ms, in the middle {middle:.1f}:")
        for taken, name in reversed(long):
            print(f"  {name:32}{taken:6.1f}")


def scrolled(qtbot, widget: QWidget) -> Callable[[], None]:
    """Every list and area within a page to its end in steps, as a wheel does."""
    areas = [area for area in widget.findChildren(QAbstractScrollArea) if area.isVisible()]
    bars = [bar for area in areas if (bar := area.verticalScrollBar()).maximum()]

    def act() -> None:
        for bar in bars:
            for step in range(12):
                bar.setValue(bar.maximum() * step // 11)
                qtbot.wait(10)
            bar.setValue(0)

    return act


def opened(qtbot, page: QWidget, count: int = 6) -> Callable[[], None]:
    """Some explanations of a page."""
    rows = [row for row in page.findChildren(RowButton) if row.isVisible() and row.isCheckable()]

    def act() -> None:
        for row in rows[:count]:
            row.click()
            qtbot.wait(20)

    return act


@pytest.mark.timeout(2400)
def test_turns_of_the_whole_window(benchmark, qtbot, qapp, window: MainWindow):
    acts = Acts(qtbot, qapp)

    def start() -> None:
        qtbot.waitUntil(lambda: window.state is not None, timeout=START_MS)
        qtbot.waitUntil(lambda: window.state.detected is not None, timeout=START_MS)
        qtbot.waitUntil(lambda: len(window._pages) == 5, timeout=START_MS)

    def all_of_it() -> None:
        acts.do("start, and all pages made", start, START_MS)
        state = window.state
        acts.do("choose a model", lambda: state.choose_model(MODEL, "Q4_K_M"))
        for when in ("first", "again"):
            for key in ("fit", "probe", "advice", "report", "machine"):
                acts.do(f"{key} shown, {when}", lambda key=key: window.show_page(key))
        for key in ("fit", "probe", "advice", "report", "machine"):
            window.show_page(key)
            acts.settle()
            page = window.page(key)
            acts.do(f"{key}: dark", lambda: recolour.change(qapp, "dark"))
            acts.do(f"{key}: light", lambda: recolour.change(qapp, "light"))
            acts.do(f"{key}: resized", lambda: window.resize(1500, 900))
            acts.do(f"{key}: resized back", lambda: window.resize(1280, 800))
            acts.do(f"{key}: scrolled", scrolled(qtbot, page))
            acts.do(f"{key}: explanations", opened(qtbot, page))
            acts.do(f"{key}: another context", lambda: state.change_settings(ctx=8192))
            acts.do(f"{key}: and back", lambda: state.change_settings(ctx=32768))
            acts.do(f"{key}: imagined rig", lambda: state.set_rig(parse_rig("2x RTX 4090 + 64 GB")))
            acts.do(f"{key}: this machine", lambda: state.set_rig(None))
            acts.do(f"{key}: another model", lambda: state.choose_model("Qwen/Qwen3-8B", "Q8_0"))
            acts.do(f"{key}: and back again", lambda: state.choose_model(MODEL, "Q4_K_M"))
        picker = window.header.model_picker
        acts.do("picker opened", window.header.open_model_picker)
        for letter in "qwen3":
            acts.do(f"picker: types {letter}", lambda c=letter: QTest.keyClicks(picker.search, c))
        acts.do("picker: scrolled", scrolled(qtbot, picker))
        acts.do("picker: closed", lambda: QTest.keyClick(picker.search, Qt.Key.Key_Escape))

    benchmark.pedantic(all_of_it, rounds=1)
    acts.tell()
