"""How long the window's thread is busy at once while the Machine page shows eight cards.

What counts is the processor time of one turn of the event loop: nothing else on screen moves
meanwhile. Run with ``make bench``; ``-s`` shows what they print.
"""

import os
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from advisor.hardware import detect
from advisor.hardware.compose import parse_rig
from advisor.ui import design, recolour
from advisor.ui.pages.machine import MachinePage
from advisor.ui.pauses import Collector
from advisor.ui.state import AppState

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import fake_nvml
from turns import Turns

SEVERAL = "4x RTX 3090 + 128 GB over 10GbE with 4x RTX 4090 + 64 GB over 10GbE with M2 Ultra 192GB"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[fake_nvml.Machine]:
    """Eight cards, mixed, that change all the time."""
    with fake_nvml.installed(fake_nvml.build(tmp_path), tmp_path / "scenario.txt") as fake:
        fake.become("eight-mixed")
        yield fake


def test_turns_of_a_page_with_eight_cards(benchmark, qtbot, qapp, machine):
    design.load_fonts()
    design.apply(qapp, "light")
    state = AppState()
    collector = Collector(qapp)
    turns = Turns(qapp)
    lines = [f"{'':26}longest, then (ms)"]
    pages: list[MachinePage] = []
    rig = detect()

    def measure(name: str, act: Callable[[], object], ms: int = 600) -> None:
        qtbot.wait(50)
        turns.taken.clear()
        act()
        qtbot.wait(ms)
        slow = sorted(turns.taken, reverse=True)
        lines.append(f"{name:26}{slow[0]:5.1f} | {' '.join(f'{t:.1f}' for t in slow[1:6])}")

    def build() -> None:
        page = MachinePage(state)
        page._soon.stop()
        page._soon.timeout.disconnect()
        page.resize(1130, 740)
        pages.append(page)

    def show() -> None:
        pages[0].show()
        pages[0].shown()

    def all_of_it() -> None:
        measure("page before the machine", build)
        page = pages[0]
        measure("shown", show)
        measure("the machine is read", lambda: state.set_detected(rig), 1500)
        qtbot.waitUntil(lambda: page._live.device(7) is not None, timeout=10_000)
        assert page.parts.complete
        qtbot.wait(500)
        turns.taken.clear()
        for step in range(20):
            machine.change({f"{step % 8}.used": (2 + step) << 30, f"{step % 8}.power": step * 9000})
            qtbot.wait(500)
        slow = sorted(turns.taken)
        busy = [t for t in slow if t > 0.5]
        lines.append(
            f"10 s live: median of busy turns {statistics.median(busy):.1f} ms, longest "
            f"{' '.join(f'{t:.1f}' for t in slow[-5:])}, {sum(slow) / 100:.1f} % of a core"
        )
        measure("read again", lambda: state.set_detected(detect()), 1500)
        measure("resized", lambda: page.resize(1300, 800))
        measure("resized, four columns", lambda: page.resize(1780, 980))
        for width in range(1780, 1300, -40):
            page.resize(width, 900)
            qtbot.wait(20)
        measure("dark", lambda: recolour.change(qapp, "dark"))
        measure("imagined", lambda: state.set_rig(parse_rig("RTX 4090 + 64 GB DDR5-6000")))
        measure("several machines", lambda: state.set_rig(parse_rig(SEVERAL)), 1500)
        measure("back", lambda: state.set_rig(None), 1500)
        measure("hidden and shown", lambda: (page.hide(), page.show()))

    try:
        benchmark.pedantic(all_of_it, rounds=1)
    finally:
        for page in pages:
            page.hidden()
            page.closing()
        state.close()
        collector.stop()
    print("\n" + "\n".join(lines))
