"""`detect --json` on every machine of the fake NVML, against facts that were reviewed."""

import json
from pathlib import Path
from typing import Any

import fake_nvml
import pytest

from advisor.cli import main
from advisor.hardware.saved import imported, rig_from_json
from advisor.units import MIB

REVIEWED: dict[str, Any] = json.loads(
    (Path(__file__).resolve().parents[1] / "data/hardware/detect.json").read_text(encoding="utf-8")
)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fake_nvml.build(tmp_path_factory.mktemp("nvml"))


def summary(device: dict[str, Any]) -> dict[str, Any]:
    """What sizes and speeds rest on; memory shared with this very host is left out."""

    def mib(name: str) -> int | None:
        return None if device[name] is None else device[name] // MIB

    told = {
        "name": device["name"],
        "table": device["table_id"],
        "memory_mib": "the host's" if device["unified"] else mib("memory_total"),
        "used_mib": "the host's" if device["unified"] else mib("memory_used"),
        "bandwidth_gbs": device["bandwidth_gbs"],
        "capability": device["compute_capability"],
        "architecture": device["architecture"],
        "driver": device["driver"],
        "pcie": [device["pcie"][n] for n in ("max_generation", "max_width")],
        "nvlink_gbs": device["nvlink_gbs"],
        "power_limit_w": device["power_limit_w"],
        "marks": [n for n in ("unified", "integrated", "laptop", "mig") if device[n]],
        "programs": [[p["name"], p["memory"] and p["memory"] // MIB] for p in device["processes"]],
        "unknown": sorted(device["unknown"]),
    }
    return {name: value for name, value in told.items() if value not in (None, [], [None, None])}


@pytest.mark.parametrize("scenario", sorted(fake_nvml.SCENARIOS))
def test_detect(scenario: str, library: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with fake_nvml.installed(library, tmp_path / "scenario.txt") as machine:
        machine.become(scenario)
        assert main(["detect", "--json"]) == 0
        printed = capsys.readouterr().out
        assert main(["detect"]) == 0
        for device in json.loads(printed)["devices"]:
            assert device["name"] in capsys.readouterr().out
            break
    rig = json.loads(printed)
    found = {
        "devices": [summary(device) for device in rig["devices"]],
        "ignored": [device["name"] for device in rig["ignored"]],
        "problems": rig["problems"],
        "between": sorted({peer["path"] for peer in rig["peers"]}),
    }
    assert found == REVIEWED[scenario]
    # And another machine can take it up.
    assert imported(rig_from_json(printed)).imagined


def test_every_scenario_is_reviewed():
    assert set(REVIEWED) == set(fake_nvml.SCENARIOS)
