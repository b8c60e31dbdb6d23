"""What the tests of sensors share: recordings, a kernel's files, compiled stand-ins."""

import ctypes
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advisor.hardware.readings import DEVICE_COLUMNS, NAN
from advisor.units import GIB, MIB

PATH = Path(__file__).resolve().parents[1] / "data" / "hardware" / "recorded.json"
RECORDED: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))
HERE = Path(__file__).parent
POOL = (64 * GIB, 50 * GIB)


def cases(kind: str) -> list[Any]:
    """One parameter for each recording of a kind."""
    return [pytest.param(case, id=name) for name, case in RECORDED[kind].items()]


def new_row() -> np.ndarray:
    """A device's columns, all unknown."""
    return np.full(len(DEVICE_COLUMNS), NAN)


def column(row: np.ndarray, name: str) -> float:
    """One of them."""
    return float(row[DEVICE_COLUMNS.index(name)])


def compiled(name: str, folder: Path) -> ctypes.CDLL:
    """A stand-in in C, built and loaded."""
    target = folder / f"{name}.so"
    flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"]
    command = ["gcc", *flags, "-o", str(target), str(HERE / f"{name}.c")]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(target))


def until(wanted: Callable[[], bool]) -> None:
    """Wait for it, a minute at most."""
    deadline = time.monotonic() + 60
    while not wanted():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Kernel:
    """A /sys and a /proc with cards and programs that a test decides."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def card(self, number: int, **files: str) -> Path:
        folder = self.root / f"sys/class/drm/card{number}/device"
        for name, content in files.items():
            target = folder / name.replace("__", "/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content + "\n")
        return folder

    def program(self, pid: int, number: int, fdinfo: str) -> None:
        opened = self.root / f"proc/{pid}"
        (opened / "fd").mkdir(parents=True, exist_ok=True)
        (opened / "fdinfo").mkdir(exist_ok=True)
        link = opened / f"fd/{number}"
        if not link.is_symlink():
            link.symlink_to("/dev/dri/renderD128")
        (opened / f"fdinfo/{number}").write_text(fdinfo)


def radeon(linux: Kernel, **more: str) -> Path:
    """A Radeon RX 7900 XTX."""
    return linux.card(
        0,
        vendor="0x1002",
        device="0x744c",
        revision="0xc8",
        uevent="DRIVER=amdgpu\nPCI_SLOT_NAME=0000:08:00.0",
        mem_info_vram_total=str(24560 * MIB),
        mem_info_vram_used=str(1228 * MIB),
        mem_info_gtt_total=str(32 * GIB),
        mem_info_gtt_used=str(90 * MIB),
        gpu_busy_percent="7",
        mem_busy_percent="3",
        power__runtime_status="active",
        hwmon__hwmon3__temp1_input="44000",
        hwmon__hwmon3__freq1_input="1420000000",
        **more,
    )
