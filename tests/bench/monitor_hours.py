"""Whether the monitor grows: eight cards and the host at 20 Hz for as long as wanted.

``python tests/bench/monitor_hours.py MINUTES [--trace]`` writes one line a minute. Meanwhile the
machine changes as machines do: memory rises, a card falls off the bus and comes back, programs
come and go on the cards, one of them watched, and the history is read as the Machine page reads
it. ``--trace`` counts bytes that Python holds (and costs time: take the share of a core from a run
without it).
"""

import argparse
import gc
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from pathlib import Path

import psutil

from advisor.hardware.monitor import Monitor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import fake_nvml

MINUTE_S = 60.0
LOOK_S = 0.25
"""The page looks at the newest sample four times a second, and at the last minute."""


def _minute(monitor: Monitor, machine: fake_nvml.Machine, minute: int, end: float) -> None:
    """One minute of a machine's life, until ``end`` on time.monotonic()."""
    card = minute % 8
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        machine.change(
            {
                f"{card}.used": (4 + minute % 70) << 30,
                f"{card}.compute": f"{child.pid}:{3 << 30},{70_000 + minute}:{1 << 30}",
                f"pid{70_000 + minute}": f"/opt/program-{minute}",
                f"pid{70_000 + minute - 8}": None,
            }
        )
        monitor.watch(child.pid)
        lost_until = time.monotonic() + 5
        machine.change({f"{(card + 3) % 8}.lost": 1})
        while (now := time.monotonic()) < end:
            if lost_until and now > lost_until:
                machine.change({f"{(card + 3) % 8}.lost": None})
                lost_until = 0.0
            monitor.latest()
            monitor.window(60)
            time.sleep(LOOK_S)
    finally:
        monitor.watch(None)
        child.communicate(b"\n")


def main() -> None:
    """Run it; see above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("minutes", type=int)
    parser.add_argument("--trace", action="store_true")
    chosen = parser.parse_args()
    me = psutil.Process()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        library = fake_nvml.build(folder)
        with fake_nvml.installed(library, folder / "scenario.txt") as machine:
            machine.become("eight-h100")
            if chosen.trace:
                tracemalloc.start()
            monitor = Monitor().start()
            assert monitor.wait_ready(30)
            start = time.monotonic()
            print("minute,ticks,hz,core_percent,rss_kib,blocks,traced_bytes,threads,files")
            ticks, cpu, then = monitor.ticks, time.process_time(), start
            for minute in range(1, chosen.minutes + 1):
                _minute(monitor, machine, minute, start + minute * MINUTE_S)
                gc.collect()
                now = time.monotonic()
                rate = (monitor.ticks - ticks) / (now - then)
                share = 100 * (time.process_time() - cpu) / (now - then)
                ticks, cpu, then = monitor.ticks, time.process_time(), now
                traced = tracemalloc.get_traced_memory()[0] if chosen.trace else 0
                print(
                    f"{minute},{ticks},{rate:.2f},{share:.2f},{me.memory_info().rss >> 10},"
                    f"{sys.getallocatedblocks()},{traced},{threading.active_count()},"
                    f"{len(list(Path('/proc/self/fd').iterdir())) - 1}",
                    flush=True,
                )
            monitor.stop()


if __name__ == "__main__":
    main()
