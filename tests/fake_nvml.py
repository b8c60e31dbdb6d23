"""Machines with NVIDIA GPUs that are not here: scenarios for the fake NVML, and how to use it.

By hand: ``python tests/fake_nvml.py rtx-4090-pair FOLDER`` builds the library and the scenario and
prints the environment to start the app with.
"""

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pynvml

MIB = 1 << 20
Facts = dict[str, object]
_SOURCE = Path(__file__).parent / "hardware" / "fake_nvml.c"

# What nvidia-smi and NVML show for such cards; clocks and bus widths give their bandwidth.
CARDS: dict[str, Facts] = {
    "4090": {
        "name": "NVIDIA GeForce RTX 4090",
        "pci_id": 0x268410DE,
        "total": 24564 * MIB,
        "reserved": 484 * MIB,
        "used": 1100 * MIB,
        "capability": 89,
        "cores": 16384,
        "bus_width": 384,
        "max_clock2": 10501,
        "max_clock1": 3105,
        "clock1": 210,
        "clock2": 405,
        "power": 24_300,
        "power_limit": 450_000,
        "power_default": 450_000,
        "temperature0": 38,
        "utilisation": 3,
        "throttle": 1,
        "pcie_gen": 1,
        "pcie_width": 16,
        "pcie_max_gen": 4,
        "pcie_max_width": 16,
        "pcie_kbs0": 1200,
        "pcie_kbs1": 3400,
        "ecc": 0,
        "display": 1,
        "display_mode": 1,
        "compute": "",
        "graphics": "",
    },
    "3090": {
        "name": "NVIDIA GeForce RTX 3090",
        "pci_id": 0x220410DE,
        "total": 24576 * MIB,
        "reserved": 319 * MIB,
        "used": 12 * MIB,
        "capability": 86,
        "cores": 10496,
        "bus_width": 384,
        "max_clock2": 9751,
        "power_limit": 350_000,
        "power_default": 350_000,
        "power": 18_000,
        "pcie_gen": 4,
        "pcie_width": 16,
        "pcie_max_gen": 4,
        "pcie_max_width": 16,
        "display": 0,
        "compute": "",
    },
    "5090": {
        "name": "NVIDIA GeForce RTX 5090",
        "pci_id": 0x2B8510DE,
        "total": 32607 * MIB,
        "reserved": 532 * MIB,
        "used": 640 * MIB,
        "capability": 120,
        "cores": 21760,
        "bus_width": 512,
        "max_clock2": 14001,
        "max_clock1": 3090,
        "clock1": 180,
        "power": 15_900,
        "power_limit": 575_000,
        "power_default": 575_000,
        "temperature0": 34,
        "utilisation": 0,
        "throttle": 1,
        "pcie_gen": 1,
        "pcie_width": 16,
        "pcie_max_gen": 5,
        "pcie_max_width": 16,
        "display": 0,
        "compute": "",
    },
    # A card for servers without cooling of its own: no tensor cores, no graphics.
    "p40": {
        "name": "Tesla P40",
        "pci_id": 0x1B3810DE,
        "total": 24576 * MIB,
        "reserved": 131 * MIB,
        "used": 0,
        "capability": 61,
        "cores": 3840,
        "bus_width": 384,
        "max_clock2": 3615,
        "power": 49_000,
        "power_limit": 250_000,
        "power_default": 250_000,
        "temperature0": 61,
        "utilisation": 0,
        "pcie_gen": 3,
        "pcie_width": 8,
        "pcie_max_gen": 3,
        "pcie_max_width": 16,
        "ecc": 1,
        "display": 0,
        "compute": "",
    },
    "4090-laptop": {
        "name": "NVIDIA GeForce RTX 4090 Laptop GPU",
        "pci_id": 0x275710DE,
        "total": 16376 * MIB,
        "reserved": 300 * MIB,
        "used": 350 * MIB,
        "capability": 89,
        "cores": 9728,
        "bus_width": 256,
        "max_clock2": 9001,
        "power": 14_000,
        "power_limit": 80_000,
        "pcie_gen": 1,
        "pcie_width": 8,
        "pcie_max_gen": 4,
        "pcie_max_width": 8,
        "temperature0": 51,
    },
    "h100": {
        "name": "NVIDIA H100 80GB HBM3",
        "pci_id": 0x233010DE,
        "total": 81559 * MIB,
        "reserved": 551 * MIB,
        "used": 4 * MIB,
        "capability": 90,
        "cores": 16896,
        "bus_width": 5120,
        "max_clock2": 2619,
        "power_limit": 700_000,
        "power_default": 700_000,
        "power": 71_000,
        "pcie_gen": 5,
        "pcie_width": 16,
        "pcie_max_gen": 5,
        "pcie_max_width": 16,
        "ecc": 1,
        "mig": 0,
        "utilisation": 0,
        "temperature0": 31,
        "clock1": 345,
        "max_clock1": 1980,
        "throttle": 1,
        "pcie_kbs0": 800,
        "pcie_kbs1": 900,
        "display": 0,
        "display_mode": 0,
        "clock2": 2619,
        "compute": "",
        "graphics": "",
        "field90": 25_000,
        **{f"nvlink{link}": 1 for link in range(18)},
    },
    # In a virtual machine, by this project's own run of 2026-11-26 (driver 580.159.04).
    "h200": {
        "name": "NVIDIA H200",
        "pci_id": 0x233510DE,
        "total": 143771 * MIB,
        "reserved": 644_939_776,
        "used": 0,
        "capability": 90,
        "cores": 16896,
        "bus_width": 6016,
        "max_clock2": 3201,
        "max_clock1": 1980,
        "clock1": 345,
        "clock2": 3201,
        "power": 81_481,
        "power_limit": 700_000,
        "power_default": 700_000,
        "temperature0": 37,
        "utilisation": 0,
        "throttle": 1,
        "pcie_gen": 5,
        "pcie_width": 16,
        "pcie_max_gen": 5,
        "pcie_max_width": 16,
        "ecc": 1,
        "mig": 0,
        "display": 0,
        "display_mode": 1,
        "compute": "",
        "graphics": "",
        **{f"nvlink{link}": 0 for link in range(18)},
    },
    # DGX Spark as recorded with driver 580.126.09 (ArcticTraining#345, nvtop#426, llama-swap#782):
    # no memory, no power limit, a made-up PCIe link, but programs with their memory.
    "gb10": {
        "name": "NVIDIA GB10",
        "pci_id": 0x2E1210DE,
        "capability": 121,
        "cores": 6144,
        "power": 11_170,
        "temperature0": 36,
        "utilisation": 0,
        "pcie_gen": 1,
        "pcie_width": 1,
        "pcie_max_gen": 1,
        "pcie_max_width": 1,
        "display": 0,
        "compute": f"114687:{19135 * MIB}",
    },
    # Grace Hopper: HBM of its own beside the processor's LPDDR5X.
    "gh200": {
        "name": "NVIDIA GH200 480GB",
        "pci_id": 0x234210DE,
        "total": 97871 * MIB,
        "reserved": 618 * MIB,
        "used": 1 * MIB,
        "capability": 90,
        "cores": 16896,
        "bus_width": 6144,
        "max_clock2": 2619,
        "power": 90_000,
        "power_limit": 900_000,
        "power_default": 900_000,
        "temperature0": 33,
        "ecc": 1,
        "mig": 0,
        "display": 0,
        "compute": "",
        **{f"nvlink{link}": 0 for link in range(18)},
    },
}


def _cards(*names: str, **system: object) -> Facts:
    facts: Facts = {"driver": "580.95.05", "cuda": 13000, "count": len(names), **system}
    for index, name in enumerate(names):
        for key, value in CARDS[name].items():
            facts[f"{index}.{key}"] = value
        facts[f"{index}.uuid"] = f"GPU-00000000-0000-0000-0000-00000000000{index}"
        facts[f"{index}.pci_address"] = f"00000000:{index + 1:02X}:00.0"
    return facts


def _without(facts: Facts, *endings: str) -> Facts:
    return {key: value for key, value in facts.items() if not key.endswith(endings)}


def _nvlinked(count: int) -> Facts:
    facts = _cards(*["h100"] * count)
    for one in range(count):
        for two in range(count):
            if one != two:
                facts[f"{one}.path{two}"] = 50 if one // 4 != two // 4 else 40
                facts[f"{one}.p2p0_{two}"] = facts[f"{one}.p2p2_{two}"] = 0
    return facts


def _mig() -> Facts:
    facts = _cards("h100")
    facts |= {"0.mig": 1, "0.mig_max": 7}
    facts |= {f"0.nvlink{link}": 0 for link in range(18)}
    for index, (profile, total, sms) in enumerate(
        [("3g.40gb", 40320 * MIB, 60), ("1g.10gb", 9984 * MIB, 16), ("1g.10gb", 9984 * MIB, 16)]
    ):
        facts |= {
            f"0.mig{index}.name": f"NVIDIA H100 80GB HBM3 MIG {profile}",
            f"0.mig{index}.uuid": f"MIG-0000000{index}",
            f"0.mig{index}.total": total,
            f"0.mig{index}.reserved": 0,
            f"0.mig{index}.used": 16 * MIB,
            f"0.mig{index}.sms": sms,
        }
    return facts


SCENARIOS: dict[str, Facts] = {
    "no-gpu": _cards(),
    "rtx-4090": _cards("4090"),
    "rtx-4090-pair": {
        **_cards("4090", "4090"),
        "0.path1": 30,
        "1.path0": 30,
        "0.p2p0_1": 2,
        "1.p2p0_0": 2,
    },
    "mixed": {
        **_cards("4090", "3090"),
        "1.pcie_max_width": 4,
        "1.pcie_width": 4,
        "1.power_limit": 250_000,
        "0.path1": 50,
    },
    # What hobbyists stack: five kinds of card, one in a narrow slot, one held down, one rebuilt.
    "eight-mixed": {
        **_cards("5090", "4090", "4090", "3090", "3090", "p40", "p40", "4090"),
        "1.used": 20_400 * MIB,
        "1.compute": f"4001:{19 * 1024 * MIB}",
        "pid4001": "/usr/local/bin/llama-server",
        "3.pcie_max_width": 4,
        "3.pcie_width": 4,
        "4.power_limit": 250_000,
        "6.throttle": 0x24,
        "7.name": "NVIDIA GeForce RTX 4090 D",
        "7.pci_id": 0x268510DE,
        "7.total": 49140 * MIB,
    },
    "busy": {
        **_cards("4090"),
        "0.used": 20_400 * MIB,
        "0.compute": f"4001:{6 * 1024 * MIB}",
        "0.graphics": f"4002:{9 * 1024 * MIB},4001:{2 * 1024 * MIB},4003:-1",
        "pid4001": "/home/somebody/games/game.exe --token secret",
        "pid4002": "/usr/lib/firefox/firefox",
        "0.throttle": 0x24,
    },
    "laptop": _cards("4090-laptop"),
    "eight-h100": _nvlinked(8),
    "mig": _mig(),
    "mig-empty": {**_cards("h100"), "0.mig": 1, "0.fail.nvmlDeviceGetMigDeviceHandleByIndex": 4},
    "gb10": {
        **_cards("gb10", driver="580.126.09"),
        "0.pci_address": "0000000F:01:00.0",
        "pid114687": "/usr/local/bin/python",
    },
    "gh200": _cards("gh200"),
    "h200": {**_cards("h200", driver="580.159.04"), "0.pci_address": "00000000:00:06.0"},
    # WSL 2: no per-process memory, no PCIe link, no clocks.
    "wsl": _without(
        _cards("4090", driver="581.42"),
        *(".compute", ".graphics", "throttle", "clock1"),
        *("pcie_gen", "pcie_width", "pcie_max_gen", "pcie_max_width"),
    ),
    "wddm": {**_cards("4090"), "0.driver_model": 0, "0.graphics": "77:18446744073709551615"},
    "old-driver": {**_cards("3090"), "driver": "470.256.02", "cuda": 11040, "0.memory_v1": 1},
    "unknown-card": {
        **_cards("4090"),
        "0.name": "NVIDIA GeForce RTX 4095",
        "0.pci_id": 0x26FF10DE,
    },
    "off-the-bus": {**_cards("4090", "3090"), "1.lost": 1},
    "no-handle": {**_cards("4090", "3090"), "0.fail.nvmlDeviceGetHandleByIndex_v2": 15},
    "driver-not-loaded": {**_cards("4090"), "fail.nvmlInitWithFlags": 9},
    "driver-updated": {**_cards("4090"), "fail.nvmlInitWithFlags": 18},
    "everything-fails": {**_cards("4090"), "0.fail.*": 999},
    "nothing-but-a-name": {"count": 1, "0.name": "NVIDIA GeForce RTX 4090"},
}


def text(facts: Mapping[str, object]) -> str:
    """A scenario as the fake library reads it."""
    return "".join(f"{key}={value}\n" for key, value in facts.items())


class Machine:
    """A scenario that can be changed while programs look at it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.facts: Facts = {}

    def become(self, scenario: str | Mapping[str, object]) -> None:
        """Another machine altogether."""
        self.facts = dict(SCENARIOS[scenario] if isinstance(scenario, str) else scenario)
        self._write()

    def change(self, facts: Mapping[str, object]) -> None:
        """Some facts; None takes one away."""
        self.facts |= facts
        self.facts = {key: value for key, value in self.facts.items() if value is not None}
        self._write()

    def _write(self) -> None:
        # Replaced whole: the library may read at any moment.
        scratch = self.path.with_suffix(".part")
        scratch.write_text(text(self.facts))
        scratch.replace(self.path)


def build(folder: Path) -> Path:
    """Compile the library into a folder."""
    library = folder / "libnvidia-ml.so.1"
    if not library.exists():
        flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"]
        soname = "-Wl,-soname,libnvidia-ml.so.1"
        command = ["gcc", *flags, soname, "-o", str(library), str(_SOURCE)]
        subprocess.run(command, check=True)
    return library


@contextmanager
def installed(library: Path, scenario_file: Path) -> Iterator[Machine]:
    """This process's pynvml talks to the fake library until the block ends."""
    before = pynvml.nvmlLib, dict(pynvml._nvmlGetFunctionPointer_cache)
    file_before = os.environ.get("FAKE_NVML")
    pynvml.nvmlLib = ctypes.CDLL(str(library))
    pynvml._nvmlGetFunctionPointer_cache.clear()
    os.environ["FAKE_NVML"] = str(scenario_file)
    try:
        yield Machine(scenario_file)
    finally:
        pynvml.nvmlLib = before[0]
        pynvml._nvmlGetFunctionPointer_cache.clear()
        pynvml._nvmlGetFunctionPointer_cache.update(before[1])
        if file_before is None:
            del os.environ["FAKE_NVML"]
        else:
            os.environ["FAKE_NVML"] = file_before


if __name__ == "__main__":
    name, folder = sys.argv[1], Path(sys.argv[2]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    build(folder)
    Machine(folder / "scenario.txt").become(name)
    print(f"LD_LIBRARY_PATH={folder} FAKE_NVML={folder / 'scenario.txt'}")
