"""The host: firmware tables, containers, WSL, privacy, and a bandwidth that is measured once."""

import struct
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor import paths
from advisor.errors import RigError
from advisor.hardware import bandwidth, cgroups, macos, smbios
from advisor.hardware.bandwidth import (
    RamBandwidth,
    cached_ram_bandwidth,
    measure_ram_bandwidth,
)
from advisor.hardware.doctor import examine
from advisor.hardware.host import private_path, read_host
from advisor.hardware.rig import Rig
from advisor.units import GIB


def module(
    locator: str, bank: str, *, mib: int = 32768, kind: int = 0x22, speed: int = 6000
) -> bytes:
    """An SMBIOS memory device (type 17, version 3.2 layout) as firmware writes it."""
    size, extended = (mib, 0) if mib < 0x7FFF else (0x7FFF, mib)
    body = struct.pack(
        "<BBHHHHHHBBBBBHHBBBBBIH",
        17,
        0x28,
        0x1100,
        0x1000,
        0xFFFE,
        64,
        64,
        size,
        9,
        0,
        1,
        2,
        kind,
        0x80,
        speed,
        3,
        4,
        5,
        6,
        2,
        extended,
        speed,
    )
    body += bytes(0x28 - len(body))
    names = [locator, bank, "G Skill", "00000000", "Not Specified", "F5-6000J3040G32G"]
    return body + b"".join(name.encode() + b"\0" for name in names) + b"\0"


END = bytes([127, 4, 0, 0]) + b"\0\0"
BIOS = bytes([0, 24, 0, 0, 1, 2]) + bytes(18) + b"American Megatrends\0F31\0\0"


def test_desktop_with_two_channels():
    blob = BIOS + module("DIMM 1", "P0 CHANNEL A") + module("DIMM 1", "P0 CHANNEL B") + END
    modules = smbios.parse(blob)
    assert [m.size for m in modules] == [32 * GIB] * 2
    assert modules[0].kind == "DDR5"
    kind, bandwidth, source = smbios.summary(modules)
    assert kind == "DDR5-6000"
    assert bandwidth == pytest.approx(96)
    assert source == "SMBIOS: 2 channels × 6000 MT/s × 8 B, theoretical"


@pytest.mark.parametrize(
    ("slots", "channels"),
    [
        ([("DIMM_A1", "BANK 0"), ("DIMM_B1", "BANK 1")], 2),
        ([("DIMM_A1", "BANK 0"), ("DIMM_A2", "BANK 1"), ("DIMM_B1", "BANK 2")], 2),
        ([("Controller0-ChannelA-DIMM0", "BANK 0"), ("Controller1-ChannelB-DIMM0", "BANK 0")], 2),
        ([("P1-DIMMA1", "P0_Node0_Channel0_Dimm0"), ("P2-DIMMA1", "x")], 2),
        ([("DIMM 0", "P0 CHANNEL A")], 1),
        ([("Slot 1", "here"), ("Slot 2", "there")], None),
    ],
)
def test_channels_by_slot_names(slots: list[tuple[str, str]], channels: int | None):
    modules = smbios.parse(b"".join(module(*slot) for slot in slots) + END)
    assert smbios.channels(modules) == channels


def test_empty_slots_and_unlike_modules():
    empty = module("DIMM_A2", "BANK 1", mib=0)
    assert smbios.parse(empty + END) == ()
    assert smbios.summary(()) == (None, None, None)
    mixed = smbios.parse(module("DIMM_A1", "a") + module("DIMM_B1", "b", speed=4800) + END)
    assert smbios.summary(mixed)[0] == "DDR5-4800"
    kinds = smbios.parse(module("DIMM_A1", "a") + module("DIMM_B1", "b", kind=0x1A) + END)
    assert smbios.summary(kinds) == (None, None, None)


@given(st.binary(max_size=300), st.integers(0, 200))
def test_damaged_tables_never_raise(noise: bytes, cut: int):
    good = module("DIMM_A1", "P0 CHANNEL A") + END
    smbios.parse(noise)
    smbios.parse(good[:cut] + noise)


def root_with(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def test_this_machine():
    host = read_host()
    memory = psutil.virtual_memory()
    assert host.ram_total is not None
    assert host.ram_total <= memory.total
    assert host.threads is not None
    assert 0 < host.threads <= (psutil.cpu_count() or 0)
    assert host.disk_free
    assert host.name == ""
    for field in ("ram_type", "ram_bandwidth_gbs", "laptop"):
        assert getattr(host, field) is not None or host.unknown[field]


def test_firmware_chassis_and_system(tmp_path: Path):
    table = module("DIMM 1", "P0 CHANNEL A") + module("DIMM 1", "P0 CHANNEL B") + END
    root = root_with(
        tmp_path,
        {
            "sys/firmware/dmi/tables/DMI": table,
            "sys/class/dmi/id/chassis_type": "10\n",
            "etc/os-release": 'NAME="Fedora Linux"\nPRETTY_NAME="Fedora Linux 43"\n',
            "proc/sys/kernel/osrelease": "6.17.4-300.fc43.x86_64\n",
            "proc/cpuinfo": "processor\t: 0\nmodel name\t: AMD Ryzen 9  7950X 16-Core\n",
        },
    )
    host = read_host(root=root)
    assert host.ram_type == "DDR5-6000"
    assert host.ram_bandwidth_gbs == pytest.approx(96)
    assert host.laptop is True
    assert host.os == "Fedora Linux 43, kernel 6.17.4-300.fc43.x86_64"
    assert host.cpu == "AMD Ryzen 9 7950X 16-Core"
    assert not host.wsl


def test_a_mac_names_its_processor(monkeypatch):
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setattr(macos, "run", lambda *command: "Apple M3 Max\n" if "-n" in command else "")
    assert read_host().cpu == "Apple M3 Max"


@pytest.mark.parametrize(
    ("flags", "kernel", "cores", "threads", "told"),
    [
        ("fpu avx2 hypervisor", "6.8.0-generic", 16, 16, 8),
        ("fpu avx2 hypervisor", "6.8.0-generic", 1, 1, 1),
        # It shows which threads share a core.
        ("fpu avx2 hypervisor", "6.8.0-generic", 8, 16, 8),
        ("fpu avx2", "6.8.0-generic", 16, 16, 16),
        ("fpu avx2 hypervisor", "6.6.87-microsoft-standard-WSL2", 16, 16, 16),
    ],
)
def test_a_virtual_machines_processors_are_threads(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    flags: str,
    kernel: str,
    cores: int,
    threads: int,
    told: int,
):
    (tmp_path / "proc/sys/kernel").mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/osrelease").write_text(kernel)
    (tmp_path / "proc/cpuinfo").write_text(f"model name\t: Intel Xeon\nflags\t\t: {flags}\n")
    counts = {True: threads, False: cores}
    monkeypatch.setattr(psutil, "cpu_count", lambda logical=True: counts[logical])
    host = read_host(root=tmp_path)
    assert (host.cores, host.threads) == (told, threads)
    assert ("half of the virtual" in host.sources["cores"]) == (told < cores)


def test_wsl_and_containers(tmp_path: Path):
    root = root_with(
        tmp_path,
        {
            "proc/sys/kernel/osrelease": "5.15.167.4-microsoft-standard-WSL2",
            "etc/os-release": 'PRETTY_NAME="Ubuntu 24.04 LTS"',
            "sys/fs/cgroup/memory.max": "2147483648\n",
        },
    )
    host = read_host(root=root)
    assert host.wsl
    assert host.os == "Ubuntu 24.04 LTS in WSL 2"
    assert host.ram_total == 2 * GIB
    assert host.ram_available is not None
    assert host.ram_available <= 2 * GIB
    assert "container" in host.sources["ram_total"]
    unlimited = root_with(tmp_path / "b", {"sys/fs/cgroup/memory.max": "max\n"})
    assert read_host(root=unlimited).ram_total == psutil.virtual_memory().total


V1 = "sys/fs/cgroup/memory/"
V2 = "sys/fs/cgroup/"


@pytest.mark.parametrize(
    ("files", "total", "left"),
    [
        # What is in use is no more to be had, but for pages of files.
        (
            {
                V2 + "memory.max": "8589934592",
                V2 + "memory.current": "6442450944",
                V2 + "memory.stat": "anon 4294967296\nactive_file 1073741824\ninactive_file 3\n",
            },
            8 * GIB,
            3 * GIB + 3,
        ),
        # A service: the group that limits it is above its own.
        (
            {
                "proc/self/cgroup": "0::/system.slice/advisor.service/runs\n",
                V2 + "system.slice/advisor.service/runs/memory.max": "max",
                V2 + "system.slice/advisor.service/memory.max": "4294967296",
                V2 + "system.slice/advisor.service/memory.current": "5368709120",
            },
            4 * GIB,
            0,
        ),
        (
            {
                "proc/self/cgroup": "9:name=systemd:/x\n4:memory:/jobs/7\n",
                V1 + "memory.limit_in_bytes": "9223372036854771712",
                V1 + "jobs/7/memory.limit_in_bytes": "2147483648",
                V1 + "jobs/7/memory.usage_in_bytes": "1073741824",
                V1 + "jobs/7/memory.stat": "inactive_file 9\ntotal_inactive_file 536870912\n",
            },
            2 * GIB,
            3 * GIB // 2,
        ),
    ],
)
def test_a_limit_of_memory_is_what_can_be_had(
    tmp_path: Path, files: dict[str, str], total: int, left: int
):
    limit = cgroups.memory_limit(root_with(tmp_path, files))
    assert limit is not None
    assert (limit.total, limit.left()) == (total, left)


def test_memory_without_a_limit(tmp_path: Path):
    unlimited = {V2 + "memory.max": "max", V1 + "memory.limit_in_bytes": "9223372036854771712"}
    assert cgroups.memory_limit(root_with(tmp_path, unlimited)) is None
    assert cgroups.memory_limit(tmp_path / "nothing") is None


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({V2 + "cpu.max": "150000 100000"}, 1.5),
        ({V2 + "cpu.max": "max 100000"}, None),
        (
            {
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "400000",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            4,
        ),
        (
            {
                "proc/self/cgroup": "3:cpu,cpuacct:/a\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "50000",
                "sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "100000",
            },
            0.5,
        ),
        ({}, None),
    ],
)
def test_a_share_of_processors(tmp_path: Path, files: dict[str, str], quota: float | None):
    assert cgroups.processors(root_with(tmp_path, files)) == quota


@pytest.mark.parametrize(
    ("own", "quota", "told"),
    [
        (range(16), "max 100000", (8, 16)),
        (range(16), "300000 100000", (3, 3)),
        (range(16), "20000 100000", (1, 1)),
        ((0, 1, 2, 3), "max 100000", (2, 4)),  # threads of two cores
        ((0, 2, 4, 6), "max 100000", (4, 4)),
    ],
)
def test_only_processors_that_may_be_used_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, own, quota: str, told: tuple[int, int]
):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: set(own), raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    monkeypatch.setattr(psutil, "cpu_count", lambda logical=True: 16 if logical else 8)
    siblings = "sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    pairs = {siblings.format(n): f"{n & ~1}-{n | 1}\n" for n in range(16)}
    host = read_host(root=root_with(tmp_path, {**pairs, V2 + "cpu.max": quota}))
    assert (host.cores, host.threads) == told
    assert ("may use" in host.sources["cores"]) == (told[0] < 8)
    assert host.limited_to == (told[0] if told[0] < 8 else None)
    findings = {found.code: found for found in examine(Rig(name="here", hosts=(host,)))}
    # llama.cpp would begin eight threads.
    assert ("processors" in findings) == (told[0] < 8)
    if told[0] < 8:
        assert f"-t {told[0]};" in findings["processors"].advice


@pytest.mark.parametrize(("kind", "found"), [(3, 3), (0x80 | 10, 10), (None, None)])
def test_the_firmware_names_the_enclosure(kind: int | None, found: int | None):
    enclosure = b"" if kind is None else bytes([3, 9, 0, 3, 1, kind, 0, 0, 0]) + b"Maker\0\0"
    assert smbios.chassis(BIOS + enclosure + module("DIMM 1", "P0 CHANNEL A") + END) == found


@pytest.mark.parametrize(
    ("chassis", "laptop"),
    [("3", False), ("10", True), ("1", True), ("2", True)],
)
def test_a_battery_makes_a_laptop_where_the_enclosure_is_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, chassis: str, laptop: bool
):
    """A desktop's uninterruptible supply is a battery to Windows."""
    battery = SimpleNamespace(percent=80, power_plugged=True)
    monkeypatch.setattr(psutil, "sensors_battery", lambda: battery, raising=False)
    root = root_with(tmp_path, {"sys/class/dmi/id/chassis_type": chassis})
    host = read_host(root=root)
    assert (host.laptop, host.on_battery) == (laptop, False)


def test_home_stays_private():
    inside = Path("~/models").expanduser()
    assert private_path(inside) == str(Path("~") / "models")
    assert private_path(Path("/srv/models")) == "/srv/models"


def test_a_busy_machine_is_told_and_not_remembered(monkeypatch):
    monkeypatch.setattr(bandwidth, "_LEAST_GBS", 1e6)
    with pytest.raises(RigError, match="Measure again"):
        measure_ram_bandwidth("cpu", seconds=0.01)
    assert cached_ram_bandwidth("cpu", psutil.virtual_memory().total) is None


def test_measuring_is_remembered_for_this_machine_only(monkeypatch):
    monkeypatch.setattr(bandwidth, "_LEAST_GBS", 0.0)  # whatever else runs here
    total = psutil.virtual_memory().total
    assert cached_ram_bandwidth("cpu", total) is None
    measured = measure_ram_bandwidth("cpu", seconds=0.05)
    assert measured.gbs > 0.5
    assert measured.threads >= 1
    assert datetime.fromisoformat(measured.date).tzinfo == UTC
    assert cached_ram_bandwidth("cpu", total) == measured
    assert cached_ram_bandwidth("another cpu", total) is None
    assert cached_ram_bandwidth("cpu", total * 2) is None
    assert cached_ram_bandwidth("cpu", None) is None


def test_what_was_measured_in_a_container_is_found_again(tmp_path: Path, monkeypatch):
    """It was kept under the machine's RAM and looked for under the container's share of it."""
    monkeypatch.setattr(bandwidth, "_LEAST_GBS", 0.0)  # whatever else runs here
    measured = measure_ram_bandwidth("EPYC", seconds=0.01)
    root = root_with(
        tmp_path,
        {V2 + "memory.max": str(GIB), "proc/cpuinfo": "model name\t: EPYC\n"},
    )
    host = read_host(root=root)
    assert host.ram_total == GIB
    assert host.ram_bandwidth_gbs == measured.gbs


def test_host_uses_what_was_measured():
    before = read_host()
    known = RamBandwidth(
        gbs=77.5, threads=2, date="2026-11-23T10:00:00+00:00", cpu=before.cpu,
        ram_total=psutil.virtual_memory().total,
    )  # fmt: skip
    (paths.data() / "ram_bandwidth.json").write_text(known.model_dump_json())
    host = read_host()
    assert host.ram_shown == (77.5, "measured 2026-11-23: 2 threads reading")
    assert host.ram_bandwidth_gbs == (before.ram_bandwidth_gbs or 77.5), "the modules' stay"
    (paths.data() / "ram_bandwidth.json").write_text("{")
    assert read_host().ram_bandwidth_gbs == before.ram_bandwidth_gbs
