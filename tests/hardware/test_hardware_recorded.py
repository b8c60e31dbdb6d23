"""GPUs that NVML does not know, against outputs that people recorded on their own machines."""

import json
from pathlib import Path
from typing import Any

import pytest

from advisor.hardware import linux_gpus, macos, others, windows
from advisor.hardware.detection import set_aside
from advisor.hardware.table import gpu_table
from advisor.units import GIB, MIB

PATH = Path(__file__).resolve().parents[1] / "data" / "hardware" / "recorded.json"
RECORDED: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))
MB = 1_000_000


def cases(kind: str) -> list[Any]:
    return [pytest.param(case, id=name) for name, case in RECORDED[kind].items()]


@pytest.mark.parametrize("case", cases("mac"))
def test_macs(case: dict[str, Any]):
    sysctl = f"hw.memsize: {case['memory_gib'] * GIB}\niogpu.wired_limit_mb: 0\n"
    (device,) = macos.parse(json.dumps(case["displays"]), sysctl, case["macos"])
    assert device.table_id == case["table_id"]
    assert device.bandwidth_gbs == case["bandwidth"]
    assert device.multiprocessors == case["cores"]
    assert device.unified
    limits = RECORDED["metal_limit"]["26" if case["macos"] >= 26 else "before-26"]
    if str(case["memory_gib"]) in limits:
        told = limits[str(case["memory_gib"])] * MB
        assert device.memory_total == pytest.approx(told, rel=1e-3)


@pytest.mark.parametrize(
    ("rule", "gib", "megabytes"),
    [
        (rule, int(gib), megabytes)
        for rule, kind in (("apple", "before-26"), ("apple-26", "26"))
        for gib, megabytes in RECORDED["metal_limit"][kind].items()
    ],
)
def test_what_metal_allows(rule: str, gib: int, megabytes: float):
    allowed = gpu_table().memory_limits[rule].usable(gib * GIB)
    assert allowed == pytest.approx(megabytes * MB, rel=1e-3)


@pytest.mark.parametrize("case", cases("drm"))
def test_amdgpu(case: dict[str, Any], tmp_path: Path):
    folder = tmp_path / "sys/class/drm/card0/device"
    folder.mkdir(parents=True)
    for name, content in case["files"].items():
        (folder / name).write_text(content + "\n")
    pool = int(case["pool_gib"] * GIB)
    (device,) = linux_gpus.read_devices((pool, pool), root=tmp_path)
    assert device.memory_total == case["total"]
    counted, ignored = set_aside([device])
    assert [d.name for d in counted] == ([case["counted"]] if case["counted"] else [])
    assert len(counted) + len(ignored) == 1
    if not case["counted"]:
        assert device.unified
        assert device.integrated


def test_a_large_carve_out_makes_no_card(tmp_path: Path):
    """A processor that no list knows says what it is in the header of its metrics."""
    folder = tmp_path / "sys/class/drm/card0/device"
    folder.mkdir(parents=True)
    facts = {"vendor": "0x1002", "device": "0x1fff", "mem_info_vram_total": str(16 * GIB)}
    for name, content in (facts | {"mem_info_gtt_total": str(24 * GIB)}).items():
        (folder / name).write_text(content + "\n")
    # metrics_table_header (kgd_pp_interface.h): size, format revision, content revision.
    (folder / "gpu_metrics").write_bytes(bytes([0x08, 0x01, 3, 0]) + bytes(260))
    (apu,) = linux_gpus.read_devices((48 * GIB, 40 * GIB), root=tmp_path)
    assert set_aside([apu])[0] == ()
    (folder / "gpu_metrics").write_bytes(bytes([0x78, 0x00, 1, 3]) + bytes(116))
    (card,) = linux_gpus.read_devices((48 * GIB, 40 * GIB), root=tmp_path)
    assert set_aside([card])[0] == (card,)
    assert card.memory_total == 16 * GIB


@pytest.mark.parametrize("case", cases("registry"))
def test_windows_registry(case: dict[str, Any]):
    keys = [dict(key) for key in case["keys"]]
    for key in keys:
        size = key.get("HardwareInformation.MemorySize")
        if isinstance(size, str):
            key["HardwareInformation.MemorySize"] = bytes.fromhex(size)
    counted, ignored = set_aside(windows.parse(keys, (32 * GIB, 20 * GIB)))
    assert [[d.name, d.memory_total] for d in counted] == case["counted"]
    assert [d.name for d in ignored] == case["ignored"]


@pytest.mark.parametrize("case", cases("engine"))
def test_engine(case: dict[str, Any]):
    seen = {
        "name": case["name"],
        "description": case["description"],
        "memory_total": case["total_mib"] * MIB,
        "memory_free": case["free_mib"] * MIB,
        "type": case["type"],
    }
    pool = int(case.get("pool_gib", 64) * GIB)
    (device,) = others.with_engine((), [seen], (pool, pool))
    assert device.memory_total == case["total_mib"] * MIB
    counted, _ = set_aside([device])
    assert bool(counted) == case["counted"]
    if case["expect"]:
        assert device.name == case["expect"]


def test_the_engine_knows_what_metal_allows():
    case = RECORDED["mac"]["m3-max-40"]
    sysctl = f"hw.memsize: {128 * GIB}\niogpu.wired_limit_mb: 0\n"
    ours = macos.parse(json.dumps(case["displays"]), sysctl, 15)
    seen = {
        "name": "MTL0",
        "description": "Apple M3 Max",
        "memory_total": 110100 * MIB,
        "memory_free": 110100 * MIB,
        "type": "GPU",
    }
    (device,) = others.with_engine(ours, [seen], (128 * GIB, 100 * GIB))
    assert device.memory_total == 110100 * MIB
    assert device.memory_used is None  # the engine's free memory knows of no other program
    (rule,) = device.alternatives["memory_total"]
    assert rule.value == 96 * GIB
    assert "Metal" in rule.source
