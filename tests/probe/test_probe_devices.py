"""A whole probe on cards that are not there: the real NVML reader, and a server that moves them."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import fake_nvml
import pytest

from advisor.engine.builds import ask
from advisor.hardware import detect
from advisor.probe.devices import MonitoredDevices
from advisor.probe.prepare import prepare, probe_of
from advisor.probe.question import Ended, Noticed
from advisor.probe.result import ProbeResult
from advisor.sizing.settings import RunSettings
from tests import tiny

MIB = 1 << 20
STAND_IN = Path(__file__).with_name("stand_in_gpus.py")
HELD = {"weights": 4096 * MIB, "context": 512 * MIB, "compute": 300 * MIB, "driver": 500 * MIB}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs a compiled libnvidia-ml")


@pytest.fixture
def cards(tmp_path, monkeypatch) -> Iterator[fake_nvml.Machine]:
    monkeypatch.setenv("STAND_IN_STORY", str(tmp_path / "story.json"))
    program = tmp_path / "llama-server"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {STAND_IN} "$@"\n')
    program.chmod(0o755)
    with fake_nvml.installed(fake_nvml.build(tmp_path), tmp_path / "scenario.txt") as fake:
        yield fake


def run(
    folder: Path, events: list[dict], *, cards: int, seconds: float, unlisted: bool = False
) -> tuple[ProbeResult, list]:
    story = {
        "places": {f"CUDA{card}": HELD for card in range(cards)},
        "host": {"weights": 64 * MIB},
        "load_s": 0.5,
        "tps": 40,
        "events": events,
        "unlisted": unlisted,
    }
    (folder / "story.json").write_text(json.dumps(story))
    ready = prepare(
        tiny.dense(), detect(), RunSettings(ctx=1024), builds=(ask(folder / "llama-server"),),
        seconds=seconds,
    )  # fmt: skip
    heard: list = []
    probe = probe_of(ready, devices=MonitoredDevices(ready.question.rig), on_event=heard.append)
    return probe.run(), heard


def test_eight_cards_and_what_happens_to_them(cards, tmp_path):
    cards.become("eight-h100")
    events = [
        {"after_s": 0.5, "card": 2, "facts": {"throttle": 0x40}},
        {"after_s": 0.8, "card": 5, "other": 3 << 30},
    ]
    result, heard = run(tmp_path, events, cards=8, seconds=4.0)
    assert result.ending.state == "done", result.ending
    assert [place.name for place in result.places] == [*(f"CUDA{n}" for n in range(8)), "host"]
    for place in result.places[:8]:
        assert place.before == 4 * MIB
        assert place.peak == sum(HELD.values())
        parts = {part.name: part.engine for part in place.components}
        assert {name: parts[name] for name in HELD} == HELD
    assert result.place("CUDA5").lowest_free == result.place("CUDA4").lowest_free - (3 << 30)
    found = {(o.kind, o.place): o for o in result.observations}
    assert "CUDA2: its clocks were lowered" in found["throttled", "CUDA2"].sentence
    assert "took 3.0 GiB of CUDA5" in found["other-program", "CUDA5"].sentence
    assert not [key for key in found if key[0] in ("throttled", "other-program")][2:]
    # Told while it ran, and not again at the end.
    told = [event.observation.kind for event in heard if isinstance(event, Noticed)]
    assert told.count("throttled") == told.count("other-program") == 1
    assert isinstance(heard[-1], Ended)
    assert len(result.power) == 8
    assert all(power.mean_w > 100 for power in result.power)
    # It sleeps for a fortieth of a second a token; a busy machine wakes it late.
    assert 10 < result.speeds[0].decode_tps < 44


def test_a_card_that_falls_off_the_bus(cards, tmp_path):
    cards.become("rtx-4090-pair")
    events = [
        {"after_s": 0.3, "card": 1, "facts": {"lost": 1}},
        {"after_s": 0.8, "card": 1, "ends": True},
    ]
    result = run(tmp_path, events, cards=2, seconds=3.0)[0]
    ending = result.ending
    assert ("lost", "CUDA1") in {(o.kind, o.place) for o in result.observations}
    assert (ending.state, ending.cause) == ("failed", "device-lost")
    assert ending.sentence.startswith("CUDA1 stopped answering while")


def test_a_driver_that_lists_no_programs(cards, tmp_path):
    """As in many containers: what the card holds more than before is the run's, and none of it is
    said to be another's."""
    cards.become("h200")
    result, _heard = run(tmp_path, [], cards=1, seconds=2.0, unlisted=True)
    assert result.ending.state == "done", result.ending
    place = result.place("CUDA0")
    assert place.before == 0
    assert place.peak == sum(HELD.values())
    parts = {part.name: part.engine for part in place.components}
    assert {name: parts[name] for name in HELD} == HELD
    assert not [o for o in result.observations if o.kind == "other-program"]
