"""In which order ROCm counts GPUs: the kernel's compute topology, /sys/class/kfd (amdkfd).

The runtime numbers the nodes that compute, graphics within a processor too, in this order
(ROCR-Runtime, amd_filter_device.cpp: BuildDeviceUuidList).
"""

from pathlib import Path
from typing import NamedTuple


class Node(NamedTuple):
    """A GPU as ROCm knows it."""

    pci_address: str
    """``"0000:03:00.0"``."""
    uuid: str
    """``"GPU-…"`` in upper case; empty where the GPU has no number of its own."""


def nodes(root: Path = Path("/")) -> tuple[Node, ...]:
    """Every GPU of the topology in ROCm's order; empty without amdkfd."""
    folder = root / "sys/class/kfd/kfd/topology/nodes"
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    found: list[Node] = []
    for name in sorted((n for n in names if n.isdigit()), key=int):
        facts = _facts(folder / name / "properties")
        if not facts.get("simd_count"):
            continue  # a processor
        place, own = facts.get("location_id", 0), facts.get("unique_id", 0)
        address = (
            f"{facts.get('domain', 0):04x}:{place >> 8:02x}:{place >> 3 & 31:02x}.{place & 7:x}"
        )
        found.append(Node(address, f"GPU-{own:016X}" if own else ""))
    return tuple(found)


def _facts(path: Path) -> dict[str, int]:
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.split() for line in lines)
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
