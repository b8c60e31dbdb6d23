"""How much memory Intel cards have, by their drivers' questions and files."""

import ctypes
import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sensor_cases import POOL, RECORDED, Kernel, cases, compiled

from advisor.hardware import linux_gpus
from advisor.hardware.detection import set_aside
from advisor.hardware.doctor import examine
from advisor.hardware.drm_memory import OwnMemory, lent_memory, own_memory
from advisor.hardware.rig import Host, Rig
from advisor.units import GIB

A750 = RECORDED["intel-memory"]["a750-xe"]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return compiled("fake_intel_drm", tmp_path_factory.mktemp("drm"))


@pytest.fixture
def ioctl(library: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    """fcntl's ioctl, answered by the stand-in."""

    def ask(_handle: int, request: int, data: ctypes.Structure) -> int:
        if library.fake_ioctl(ctypes.c_ulong(request), ctypes.byref(data)):
            raise OSError(errno.EINVAL, "Invalid argument")
        return 0

    monkeypatch.setattr("fcntl.ioctl", ask)
    monkeypatch.setenv("FAKE_TILES", "1")
    monkeypatch.setenv("FAKE_RAM", str(POOL[0]))
    monkeypatch.setenv("FAKE_VRAM", str(A750["size"]))
    return ask


def arc(linux: Kernel, driver: str, **more: str) -> Path:
    folder = linux.card(
        1,
        vendor="0x8086",
        device=A750["device"],
        uevent=f"DRIVER={driver}\nPCI_SLOT_NAME=0000:03:00.0",
        drm__renderD129__dev="226:129",
        **more,
    )
    node = linux.root / "dev/dri/renderD129"
    node.parent.mkdir(parents=True)
    node.write_text("")
    return folder


@pytest.mark.usefixtures("ioctl")
@pytest.mark.parametrize("driver", ["i915", "xe"])
def test_its_driver_is_asked(linux: Kernel, driver: str):
    arc(linux, driver)
    (card,) = linux_gpus.read_devices(POOL, root=linux.root)
    assert card.table_id == "Arc A750"
    assert card.memory_total == A750["size"]
    assert card.sources["memory_total"] == f"kernel ({driver}): memory regions"
    assert card.alternatives["memory_total"][0].source.startswith("GPU table")
    assert card.memory_used is None  # without rights it is not told
    rig = Rig(name="", devices=(card,), hosts=(Host(),))
    assert "conflict" not in {finding.code for finding in examine(rig)}


@pytest.mark.usefixtures("ioctl")
@pytest.mark.parametrize("driver", ["i915", "xe"])
def test_administrators_are_told_what_is_used(linux: Kernel, driver: str, monkeypatch):
    monkeypatch.setenv("FAKE_VRAM_USED", str(A750["usage"]))
    arc(linux, driver)
    (card,) = linux_gpus.read_devices(POOL, root=linux.root)
    assert card.memory_used == A750["usage"]


@pytest.mark.parametrize("driver", ["i915", "xe"])
def test_tiles_are_one_card(linux: Kernel, driver: str, ioctl: Any, monkeypatch):
    monkeypatch.setenv("FAKE_TILES", "2")
    folder = arc(linux, driver)
    told = own_memory(folder, driver, root=linux.root, ioctl=ioctl)
    assert told is not None
    assert told.total == 2 * A750["size"]


@pytest.mark.usefixtures("ioctl")
@pytest.mark.parametrize("driver", ["i915", "xe"])
def test_graphics_within_a_processor_have_none(linux: Kernel, driver: str, monkeypatch):
    monkeypatch.setenv("FAKE_TILES", "0")
    folder = arc(linux, driver)
    assert own_memory(folder, driver, root=linux.root) is None
    (folder / "uevent").write_text(f"DRIVER={driver}\nPCI_SLOT_NAME=0000:00:02.0\n")
    (folder / "device").write_text("0x46a6\n")
    (within,) = linux_gpus.read_devices(POOL, root=linux.root)
    assert set_aside([within])[0] == ()
    assert within.memory_total == POOL[0] * 3 // 4


@pytest.mark.parametrize(
    ("driver", "device", "sizes"),
    [
        # Its name, then what the kernel reports and what is lent of it, in GiB.
        ("i915", "0x7d55", ("Arc (Meteor Lake)", 64, 48)),
        ("i915", "0x7d51", ("Arc 140T", 4, 2)),
        ("xe", "0x64a0", ("Arc 140V", 32, 32)),  # an older kernel's xe has halved it already
        ("xe", "0xb080", ("Arc B390", 64, 48)),
    ],
)
@pytest.mark.usefixtures("ioctl")
def test_those_of_the_table_have_what_mesa_lends_of_the_ram(
    linux: Kernel, monkeypatch, driver: str, device: str, sizes: tuple[str, int, int]
):
    name, reports, gib = sizes
    monkeypatch.setenv("FAKE_TILES", "0")
    monkeypatch.setenv("FAKE_RAM", str(reports * GIB))
    folder = arc(linux, driver)
    (folder / "uevent").write_text(f"DRIVER={driver}\nPCI_SLOT_NAME=0000:00:02.0\n")
    (folder / "device").write_text(f"{device}\n")
    (within,) = linux_gpus.read_devices(POOL, root=linux.root)
    assert within.name == name
    assert within.unified
    assert within.memory_total == gib * GIB
    assert "anv_restrict_sys_heap_size" in within.sources["memory_total"]
    assert set_aside([within])[0] == (within,)
    rig = Rig(name="", devices=(within,), hosts=(Host(ram_total=POOL[0]),))
    limits = [found for found in examine(rig) if found.code == "memory-limit"]
    assert "ANV_SYS_MEM_LIMIT" in limits[0].advice


@pytest.mark.parametrize(("driver", "gib"), [("i915", 48), ("xe", 32)])
def test_without_an_answer_a_kernel_is_taken_for_an_older_one(linux: Kernel, driver: str, gib: int):
    """The node here is no GPU: the real ioctl refuses."""
    folder = arc(linux, driver)
    assert lent_memory(folder, driver, POOL[0], root=linux.root)[0] == gib * GIB


def answers(size: int) -> Callable[[int, int, Any], object]:
    """A driver that says how long its answer is, and then nothing."""

    def ask(_handle: int, _request: int, data: Any) -> object:
        if hasattr(data, "size"):
            data.size = size
        else:
            item = ctypes.c_int32.from_address(data.items + 8)
            item.value = size
        return 0

    return ask


@pytest.mark.parametrize("driver", ["i915", "xe"])
@pytest.mark.parametrize("size", [-22, 0, 4, 16, 40, 1 << 30])
def test_answers_that_make_no_sense(linux: Kernel, driver: str, size: int):
    folder = arc(linux, driver)
    assert own_memory(folder, driver, root=linux.root, ioctl=answers(size & 0x7FFFFFFF)) is None


@pytest.mark.parametrize("driver", ["i915", "xe", "vfio-pci"])
def test_a_driver_that_cannot_be_asked(linux: Kernel, driver: str):
    """The node here is no GPU: the real ioctl refuses, and the table says what such a card has."""
    arc(linux, driver)
    (card,) = linux_gpus.read_devices(POOL, root=linux.root)
    assert card.memory_total == 8 * GIB
    assert card.sources["memory_total"].startswith("nominal")


@pytest.mark.parametrize("case", cases("intel-vram-files"))
def test_files_that_everybody_may_read(linux: Kernel, case: dict[str, Any]):
    folder = arc(linux, case["driver"], **case["files"])
    told = own_memory(folder, case["driver"], root=linux.root)
    assert told == OwnMemory(case["total"], None, f"kernel (sysfs): {case['name']}")


def test_a_file_that_makes_no_sense(linux: Kernel):
    folder = arc(linux, "xe", tile0__physical_vram_size_bytes="many")
    assert own_memory(folder, "xe", root=linux.root) is None
