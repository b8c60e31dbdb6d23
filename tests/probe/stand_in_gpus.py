"""A scripted llama-server on cards that are not there: what it "allocates" shows in the fake NVML.

Both read the scenario file that ``FAKE_NVML`` names. ``STAND_IN_STORY`` names a JSON file: bytes of
the parts at each place, seconds to load, tokens per second, what happens to the cards, and whether
the driver lists no programs ("unlisted").

By hand, on eight cards: ``python tests/probe/stand_in_gpus.py --make FOLDER MODEL CTX`` makes a
folder with a llama-server, the library and a story for a model of the catalogue, and prints the
environment to start the app with.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

import fake_nvml  # noqa: E402
import stand_in  # noqa: E402
from fake_nvml import Machine  # noqa: E402

MIB = 1 << 20
HELP = """-m -c -ngl -fa -np -ctk -ctv -ub -b --host --port -lv --cache-ram --kv-unified --fit
--flash-attn [on|off|auto]  max. number of layers to store in VRAM: number, 'auto', or 'all'"""
TOKENS = 1 << 20
EVENTS = [
    {"after_s": 3, "card": 2, "facts": {"throttle": 0x40, "temperature0": 88}},
    {"after_s": 5, "card": 5, "other": 9 << 30},
    {"after_s": 9, "card": 5, "other": -(9 << 30)},
]
"""What happens by hand: one card gets hot, and on one another program comes and goes."""


class Cards:
    """The scenario while this program holds memory on its cards."""

    def __init__(self, *, unlisted: bool = False) -> None:
        self._unlisted = unlisted
        self._machine = Machine(Path(os.environ["FAKE_NVML"]))
        lines = self._machine.path.read_text().splitlines()
        self._machine.facts = dict(line.split("=", 1) for line in lines)
        self.count = int(self._machine.facts["count"])
        self._base = [int(self._fact(card, "used")) for card in range(self.count)]
        self._others = [0] * self.count
        self._held = [0] * self.count
        self._lock = threading.Lock()

    def _fact(self, card: int, name: str) -> str:
        return str(self._machine.facts[f"{card}.{name}"])

    def title(self, card: int) -> str:
        return self._fact(card, "name")

    def total_mib(self, card: int) -> int:
        return int(self._fact(card, "total")) // MIB

    def hold(self, held: list[int]) -> None:
        """Bytes of this program on every card."""
        with self._lock:
            self._held = held
            self._write({})

    def change(self, card: int, *, other: int = 0, **facts: object) -> None:
        """What happens to a card; ``other``: bytes that another program takes."""
        with self._lock:
            self._others[card] += other
            self._write({f"{card}.{name}": value for name, value in facts.items()})

    def _write(self, facts: dict[str, object]) -> None:
        for card, held in enumerate(self._held):
            facts[f"{card}.used"] = self._base[card] + held + self._others[card]
            shown = held and not self._unlisted
            facts[f"{card}.compute"] = f"{os.getpid()}:{held}" if shown else ""
        self._machine.change(facts)


def list_devices(cards: Cards) -> None:
    print("Available devices:")
    for card in range(cards.count):
        total = cards.total_mib(card)
        print(f"  CUDA{card}: {cards.title(card)} ({total} MiB, {total - 500} MiB free)")


def load(cards: Cards, story: dict) -> None:
    places = [story["places"].get(f"CUDA{card}", {}) for card in range(cards.count)]
    log = [("model", "weights"), ("KV", "context"), ("compute", "compute")]
    held = [part.get("driver", 0) for part in places]
    cards.hold(held)
    stand_in.load()
    for kind, name in log:
        for card, part in enumerate(places):
            size = part.get(name, 0)
            if not size:
                continue
            print(f"x:   CUDA{card} {kind} buffer size = {size / MIB:.2f} MiB", flush=True)
        steps = 40 if name == "weights" else 2
        for step in range(1, steps + 1):
            now = [h + p.get(name, 0) * step // steps for h, p in zip(held, places, strict=True)]
            cards.hold(now)
            time.sleep(story["load_s"] / 44)
        held = now
    host = story.get("host", {})
    for kind, name in log:
        if host.get(name):
            size = host[name] / MIB
            print(f"x:   CUDA_Host {kind} buffer size = {size:.2f} MiB", flush=True)


def happen(cards: Cards, story: dict) -> None:
    began = time.monotonic()
    for event in sorted(story.get("events", []), key=lambda e: e["after_s"]):
        time.sleep(max(0.0, began + event["after_s"] - time.monotonic()))
        if event.get("ends"):
            os.abort()
        cards.change(event["card"], other=event.get("other", 0), **event.get("facts", {}))


def main() -> None:
    arguments = sys.argv[1:]
    if "--version" in arguments:
        print("version: 11434 (a1b2c3d)")
    elif "--help" in arguments:
        print(HELP)
    elif "--list-devices" in arguments:
        list_devices(Cards())
    else:
        story = json.loads(Path(os.environ["STAND_IN_STORY"]).read_text())
        cards = Cards(unlisted=story.get("unlisted", False))
        load(cards, story)
        threading.Thread(target=happen, args=(cards, story), daemon=True).start()
        for card in range(cards.count):
            cards.change(card, power=620_000, utilisation=97, temperature0=71)
        host = arguments[arguments.index("--host") + 1]
        stand_in.serve(
            host, 1 << 30, tokens=TOKENS, tps=story["tps"], prefill_tps=40 * story["tps"]
        )


def make(folder: Path, model: str, ctx: int) -> None:
    """A llama-server for eight cards that holds what our plan says, but for the driver's share."""
    from advisor.answers import load_model  # noqa: PLC0415 - the program itself does without
    from advisor.hardware import detect  # noqa: PLC0415
    from advisor.session import ModelChoice  # noqa: PLC0415
    from advisor.sizing import size  # noqa: PLC0415
    from advisor.sizing.settings import RunSettings  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    library, scenario = fake_nvml.build(folder), folder / "scenario.txt"
    with fake_nvml.installed(library, scenario) as fake:
        fake.become("eight-h100")
        plan = size(load_model(ModelChoice(model=model)), detect(), RunSettings(ctx=ctx))
    parts = ("weights", "context", "compute", "driver")
    places = {d.name: {name: getattr(d, name) or 0 for name in parts} for d in plan.devices}
    for place in places.values():
        place["driver"] += 96 * MIB
    host = {"weights": plan.host.weights, "compute": plan.host.compute}
    story = {"places": places, "host": host, "load_s": 6, "tps": 45, "events": EVENTS}
    (folder / "story.json").write_text(json.dumps(story))
    program = folder / "llama-server"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).resolve()} "$@"\n')
    program.chmod(0o755)
    print(
        f"LD_LIBRARY_PATH={folder} FAKE_NVML={scenario} STAND_IN_STORY={folder / 'story.json'} "
        f"PATH={folder}:$PATH"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--make"]:
        make(Path(sys.argv[2]).resolve(), sys.argv[3], int(sys.argv[4]))
    else:
        main()
