"""Which pages of a model's file a process has really read: what memory a probe cannot see.

A mapped file takes RAM page by page as tensors are used. Experts that no token chose, and rows of
the embedding that no prompt named, are on disk still, so a short run holds less than its plan.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from advisor.errors import BadModelFile
from advisor.llm.gguf import GgufTensor, read_header

_PRESENT: Final = np.uint64(1 << 63)
"""Bit of a pagemap entry: the page is in RAM (Documentation/admin-guide/mm/pagemap.rst)."""
_READ: Final = 0.5
"""An expert was used when this share of its pages is there: faults also bring neighbours."""

_NEIGHBOURS: Final = 2
"""Experts of a tensor that may be there although only the tensors beside it were read."""

Pages = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Experts:
    """The experts of one tensor."""

    tensor: str
    used: int
    of: int


@dataclass(frozen=True, slots=True)
class Residency:
    """How much of a mapped model was read. Bytes."""

    weights: int
    read: int
    experts: tuple[Experts, ...]
    """Per tensor of experts that is read from the file; none where they were copied elsewhere."""
    untouched: int
    """Bytes of tensors of which no page was read at all: unused, or copied to another buffer."""

    @property
    def experts_used(self) -> int:
        """Experts that some token chose, over all tensors."""
        return sum(e.used for e in self.experts)

    @property
    def experts_in_all(self) -> int:
        """Experts there are, over the same tensors."""
        return sum(e.of for e in self.experts)


def look(pid: int, path: Path) -> Residency | None:
    """Which tensors of ``path`` process ``pid`` has in RAM. None where the system hides it.

    Only Linux tells (/proc/PID/pagemap); for split models the first part alone is looked at.
    """
    if sys.platform != "linux":
        return None
    try:
        header = read_header(path)
        pages = _resident_pages(pid, path)
    except (OSError, BadModelFile):
        return None
    return None if pages is None else _counted(header.tensors, pages)


def _resident_pages(pid: int, path: Path) -> Pages | None:
    """For each page of the file whether the process has it; None when it maps none of it."""
    size = os.sysconf("SC_PAGE_SIZE")
    found = np.zeros(-(-path.stat().st_size // size), dtype=np.bool_)
    name = os.path.realpath(path)
    mapped = False
    with (
        open(f"/proc/{pid}/maps", encoding="utf-8") as maps,  # noqa: PTH123
        open(f"/proc/{pid}/pagemap", "rb", buffering=0) as table,  # noqa: PTH123
    ):
        for line in maps:
            fields = line.split(maxsplit=5)
            if len(fields) < 6 or fields[5].strip() != name:
                continue
            start, end = (int(part, 16) // size for part in fields[0].split("-"))
            first = int(fields[2], 16) // size
            table.seek(start * 8)
            entries = np.frombuffer(table.read((end - start) * 8), dtype=np.uint64)
            entries = entries[: len(found) - first]
            found[first : first + len(entries)] |= (entries & _PRESENT) != 0
            mapped = True
    return found if mapped else None


def _counted(tensors: tuple[GgufTensor, ...], pages: Pages) -> Residency:
    size = os.sysconf("SC_PAGE_SIZE")
    before = np.concatenate(([0], np.cumsum(pages)))

    def share(start: int, nbytes: int) -> float:
        first, last = start // size, -(-(start + nbytes) // size)
        last = min(last, len(pages))
        return float(before[last] - before[first]) / max(1, last - first)

    weights = read = untouched = 0
    experts: list[Experts] = []
    for tensor in tensors:
        if tensor.part:
            continue
        weights += tensor.nbytes
        part = share(tensor.offset, tensor.nbytes)
        read += int(part * tensor.nbytes)
        if part == 0:
            untouched += tensor.nbytes
        elif "_exps." in tensor.name and len(tensor.shape) == 3:
            count = tensor.shape[2]
            piece = tensor.nbytes // count
            used = sum(share(tensor.offset + i * piece, piece) >= _READ for i in range(count))
            # Every token takes several experts of every layer, and faults bring the ends of
            # neighbours: one or two alone say that the tensor was copied elsewhere.
            if used > _NEIGHBOURS:
                experts.append(Experts(tensor.name, used, count))
    return Residency(weights, read, tuple(experts), untouched)
