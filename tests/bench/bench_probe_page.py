"""How long the window's thread is busy at once while the Probe page shows eight devices.

What counts is the processor time of one turn of the event loop: nothing else on screen moves
meanwhile. Run with ``make bench``; ``-s`` shows what they print.
"""

import os
import random
import statistics
from collections.abc import Callable, Iterator

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from turns import Turns

from advisor.hardware.compose import parse_rig
from advisor.probe.trace import Fresh
from advisor.sizing import size
from advisor.sizing.settings import RunSettings
from advisor.ui import design, recolour
from advisor.ui.pages.probe import ProbePage
from advisor.ui.pauses import Collector
from advisor.ui.state import AppState
from tests import tiny

SECONDS, HZ = 60, 20
SAMPLE_MS = 1000 // HZ


@pytest.fixture
def page(qapp) -> Iterator[ProbePage]:
    design.load_fonts()
    design.apply(qapp, "light")
    state = AppState()
    page = ProbePage(state)
    page._soon.stop()
    page._empty.hide()
    page._content.show()
    page.resize(1130, 740)
    collector = Collector(qapp)
    yield page
    collector.stop()
    page.closing()
    state.close()


def test_turns_of_a_page_with_eight_devices(benchmark, qtbot, qapp, page: ProbePage):
    turns = Turns(qapp)
    plan = size(tiny.dense(), parse_rig("8x H100 + 512 GB DDR5-4800"), RunSettings(ctx=2048))
    noise = random.Random(3)
    lines = [f"{'':22}longest, then (ms)"]

    def measure(name: str, act: Callable[[], object]) -> None:
        qtbot.wait(50)
        turns.taken.clear()
        act()
        qtbot.wait(400)
        slow = sorted(turns.taken, reverse=True)
        lines.append(f"{name:22}{slow[0]:5.1f} | {' '.join(f'{t:.1f}' for t in slow[1:5])}")

    def show_plan() -> None:
        page._show_plan(plan, 1 << 26)

    def grow(index: int, at_ms: int) -> None:
        values = {
            (place.name, "used"): [int(20 + 10 * noise.random()) << 20]
            for place in page.plots._places
        }
        page.plots.extend(Fresh(index, [at_ms], values))

    def all_of_it() -> None:
        measure("page and first plan", lambda: (show_plan(), page.show()))
        measure("hidden and shown", lambda: (page.hide(), page.show()))
        measure("resized", lambda: page.resize(1500, 900))
        measure("a run begins", page._started)
        qtbot.wait(50)
        turns.taken.clear()
        for index in range(SECONDS * HZ):
            grow(index, SAMPLE_MS * index)
            qtbot.wait(1)
        slow = sorted(turns.taken)
        lines.append(
            f"{SECONDS} s at {HZ} Hz: median {statistics.median(slow):.1f} ms, 99 % below "
            f"{slow[int(0.99 * len(slow))]:.1f} ms, longest {slow[-1]:.1f} ms"
        )
        measure("resized, 60 s shown", lambda: page.resize(1300, 800))
        measure("another axis", lambda: grow(SECONDS * HZ, 100_000))
        measure("another plan", show_plan)
        measure("dark", lambda: recolour.change(qapp, "dark"))

    benchmark.pedantic(all_of_it, rounds=1)
    print("\n" + "\n".join(lines))
