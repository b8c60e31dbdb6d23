"""One device's facts as they are read: each with its source, or with why it is missing."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from advisor.hardware.nvml_library import LOST, NvmlError, NvmlLibrary
from advisor.hardware.rig import Reading

SOURCE = "NVML"


@dataclass
class Fields:
    """Values of one device, with where each came from or why it is missing."""

    values: dict[str, Any] = field(default_factory=dict[str, Any])
    sources: dict[str, str] = field(default_factory=dict[str, str])
    unknown: dict[str, str] = field(default_factory=dict[str, str])
    alternatives: dict[str, tuple[Reading, ...]] = field(
        default_factory=dict[str, tuple[Reading, ...]]
    )

    def read(self, name: str, ask: Callable[[], Any]) -> Any:  # noqa: ANN401 - NVML's own types
        """One field, None when it cannot be read. Raises NvmlError for a lost GPU only."""
        try:
            value = ask()
        except NvmlError as error:
            if error.code in LOST:
                raise
            self.unknown[name] = f"{SOURCE}: {error.reason}"
            return None
        self.put(name, value, SOURCE)
        return value

    def put(self, name: str, value: object, source: str) -> None:
        """A known fact, which replaces what was unknown of it."""
        self.values[name] = value
        self.sources[name] = source
        self.unknown.pop(name, None)

    def also(self, name: str, value: str | float | None, source: str) -> None:
        """What another source says of a fact."""
        earlier = self.alternatives.get(name, ())
        self.alternatives[name] = (*earlier, Reading(value=value, source=source))


def read_memory(nvml: NvmlLibrary, handle: object, found: Fields) -> int | None:
    """Fills total, reserved and used; returns the raw total that tells variants apart."""
    fields = ("memory_total", "memory_used", "memory_reserved")
    try:
        total, reserved, used = nvml.memory(handle)
    except NvmlError as error:
        if error.code in LOST:
            raise
        found.unknown.update(dict.fromkeys(fields, f"{SOURCE}: {error.reason}"))
        return None
    if total <= 0:
        found.unknown.update(dict.fromkeys(fields, f"{SOURCE} reports 0 bytes"))
        return None
    if reserved is None:
        found.put("memory_total", total, f"{SOURCE} memory v1: includes what the driver reserves")
        found.put("memory_used", used, f"{SOURCE} memory v1: includes what the driver reserves")
        found.unknown["memory_reserved"] = f"{SOURCE}: this driver is too old to report it"
        return total
    # cudaMemGetInfo, which llama.cpp asks, leaves out what the driver keeps for itself.
    found.put("memory_total", max(0, total - reserved), f"{SOURCE}: total less reserved")
    found.put("memory_reserved", reserved, SOURCE)
    found.put("memory_used", used, SOURCE)
    found.also("memory_total", float(total), f"{SOURCE}: total, reserved memory included")
    return total


def short_name(reported: str) -> str:
    """A driver's name without vendor and brand: ``"RTX 4090 D"``."""
    text = re.sub(r"\((?:R|TM|C)\)|[®™]", "", reported, flags=re.IGNORECASE)
    text = re.sub(r"\b(NVIDIA|AMD|Intel|GeForce|Radeon|Tesla|Graphics|Corporation)\b", "", text)
    return " ".join(text.split()) or " ".join(reported.split())


def architecture_of(capability: tuple[int, int] | None) -> str | None:
    """The class of the speed model by CUDA compute capability (CUDA programming guide)."""
    if capability is None:
        return None
    exact = {(7, 5): "turing", (8, 9): "ada", (12, 1): "gb10", (8, 7): "jetson-orin"}
    exact |= {(6, 0): "pascal-gp100"}
    exact |= dict.fromkeys(((10, 0), (10, 3)), "blackwell-datacenter")
    exact |= dict.fromkeys(((10, 1), (11, 0)), "jetson-thor")  # CUDA 13 renamed it
    by_major = {5: "maxwell", 6: "pascal", 7: "volta", 8: "ampere", 9: "hopper", 10: "blackwell"}
    by_major |= {11: "blackwell", 12: "blackwell"}
    return exact.get(capability) or by_major.get(capability[0])
