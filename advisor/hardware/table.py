"""The GPU table of resources/gpus.json, and matching a card to its entry without guessing."""

import difflib
import functools
import re
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from advisor import resources
from advisor.hardware.rig import Backend
from advisor.units import GIB, MIB


class LimitStep(BaseModel):
    """The share of a machine's memory that its GPU may use, up to a size of machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    up_to_gib: float | None
    fraction: float


class MemoryLimit(BaseModel):
    """How much of one shared memory pool a driver lets its GPU use."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: tuple[LimitStep, ...]
    source: str
    date: str

    def usable(self, pool: int) -> int:
        """Bytes of a pool of ``pool`` bytes that the GPU may use, with the driver as installed."""
        for step in self.steps:
            if step.up_to_gib is None or pool <= step.up_to_gib * GIB:
                return int(pool * step.fraction) // MIB * MIB
        return pool


class GpuEntry(BaseModel):
    """One GPU as its vendor sells it. Fields in ``unverified`` were not read a second time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    label: str | None = None
    """What to call it where the full name is clumsy."""
    vendor: str
    aliases: tuple[str, ...] = ()
    architecture: str
    """Class of the speed model: ``"ada"``, ``"rdna3"``, ``"apple-m3"`` …"""
    backend: Backend
    """What llama.cpp is usually run with on it."""
    compute_capability: tuple[int, int] | None = None
    multiprocessors: int | None = None
    """SMs, compute units, Xe cores or GPU cores, as the vendor counts."""
    pci_ids: tuple[str, ...] = ()
    """``vendor:device`` or ``vendor:device:revision``, lower-case hexadecimal."""
    laptop: bool = False
    unified: bool = False
    integrated: bool = False
    slots: int | None = None
    """Width of the reference board in expansion slots."""
    memory_options_gib: tuple[int, ...] = ()
    """Sizes a unified-memory machine of this kind is sold with."""
    memory_limit: str | None = None
    """Key of the table's ``memory_limits`` for unified memory."""
    memory_gib: float
    """Nominal; the largest option of a unified-memory machine."""
    dies: int = 1
    """Devices that a module is to drivers and llama.cpp, of which this entry is one."""
    memory_reported_mib: int | None = None
    """The driver's total where it is well below the nominal size."""
    memory_type: str | None = None
    bandwidth_gbs: float | None = None
    fp16_tflops: float | None = None
    tdp_w: float | None = None
    pcie_gen: int | None = None
    pcie_lanes: int | None = None
    nvlink_gbs: float | None = None
    launch_date: str | None = None
    launch_msrp_usd: float | None = None
    launch_msrp_source: str | None = None
    """Where and when it was published."""
    street_price_usd: float | None = None
    street_price_date: str | None = None
    street_price_source: str | None = None
    source: str
    date: str
    note: str | None = None
    unverified: tuple[str, ...] = ()

    @property
    def short_name(self) -> str:
        """Without brand prefixes: ``"RTX 4090"``, ``"RX 7900 XTX"``, ``"M3 Ultra"``."""
        return self.label or re.sub(r"^(GeForce|Radeon|Tesla|Instinct|Apple) ", "", self.name)

    def origin(self, field: str) -> str:
        """Source and date of one field, with the doubt where there is one."""
        doubt = ", unverified" if field in self.unverified else ""
        return f"GPU table ({self.source}, {self.date}{doubt})"


class Processors(BaseModel):
    """Processors with the same graphics inside, of those that are entries of the table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    graphics: str
    """The entry's name."""
    names: tuple[str, ...]
    desktop: bool = False
    """Sold for boards, where others come in laptops and small computers."""
    memory_gib: int | None = None
    """Of the memory on its package, all that its machine has; None where that is the machine's."""
    source: str
    date: str


class Integrated(BaseModel):
    """Graphics within processors, which a large carve-out must not make into graphics cards."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    date: str
    pci_ids: dict[str, str]
    """``vendor:device`` to a name."""
    processors: tuple[Processors, ...]


class GpuTable(BaseModel):
    """Every GPU the app knows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    date: str
    notes: tuple[str, ...]
    memory_limits: dict[str, MemoryLimit]
    integrated: Integrated
    gpus: tuple[GpuEntry, ...]

    def usable_memory(self, entry: GpuEntry, memory: int | None = None) -> int:
        """Bytes llama.cpp can have of an imagined GPU with ``memory`` bytes (None: as sold)."""
        if entry.memory_limit is not None:
            pool = int(entry.memory_gib * GIB) if memory is None else memory
            return self.memory_limits[entry.memory_limit].usable(pool)
        if memory is not None:
            return memory
        if entry.memory_reported_mib is not None:
            return entry.memory_reported_mib * MIB
        return int(entry.memory_gib * GIB)


def integrated_name(pci_id: str) -> str | None:
    """What graphics within a processor are called, None for anything else."""
    return gpu_table().integrated.pci_ids.get(":".join(pci_id.lower().split(":")[:2]))


def integrated_called(name: str) -> str | None:
    """What graphics within a processor are called that go by a name, None for anything else."""
    wanted = key(name).words
    called = gpu_table().integrated.pci_ids.values()
    return next((found for found in called if wanted and wanted == key(found).words), None)


_SAID_BESIDE = frozenset({"amd", "pro", "processor"})
"""Words of a processor's name that do not tell its graphics."""


def within(cpu: str) -> Processors | None:
    """Which graphics of the table a processor has, by its name; None for any other."""
    words = [word for word in cpu.lower().split() if word not in _SAID_BESIDE]
    for known in gpu_table().integrated.processors:
        for name in known.names:
            wanted = name.lower().split()
            if any(words[at : at + len(wanted)] == wanted for at in range(len(words))):
                return known
            # “Ryzen 7840U”, “Ultra 155H”: such a number is one processor's alone.
            if re.fullmatch(r"\d{3,4}[a-z]+", wanted[-1]) and wanted[-1] in words:
                return known
    return None


@functools.cache
def gpu_table() -> GpuTable:
    """The shipped table, validated once per process."""
    return resources.load(GpuTable, "gpus.json")


# Words that say nothing about which product it is. "arc" and "tesla" are brands; the model numbers
# that follow them are unique.
_NOISE = frozenset(
    [
        *("nvidia", "geforce", "amd", "radeon", "intel", "apple", "tesla", "instinct", "arc"),
        *(
            "graphics",
            "gpu",
            "gpus",
            "generation",
            "edition",
            "corporation",
            "inc",
            "card",
            "cards",
        ),
        *("with", "the", "a", "an", "r", "tm"),
    ]
)
_SAME = {"mobile": "laptop", "notebook": "laptop", "sxm2": "sxm", "sxm4": "sxm", "sxm5": "sxm"}
_MEMORY = re.compile(r"\b(\d+(?:\.\d+)?)\s*(gib|gb|g|tb|tib)\b")


@dataclass(frozen=True)
class Key:
    """A product name reduced to what tells products apart."""

    words: frozenset[str]
    memory_gib: float | None


def key(name: str) -> Key:
    """Reduce a name: order, case, vendor prefixes and punctuation do not count, memory is apart."""
    text = re.sub(r"\((?:r|tm|c)\)|[®™©]", " ", name.lower())
    # “Arc 140V GPU (16GB)”: what Intel's driver lends it.
    text = re.sub(r"\bgpu\s*\(\d+\s*gb\)", " ", text)
    text = re.sub(r"[_/,()\[\]+-]|\bl?p?g?ddr\dx?\b", " ", text)
    # As people run them together: “rtxa4000”, “4070tisuper”, “4080s”, “4090laptop”, “m3max”.
    text = re.sub(r"\b(rtx|gtx|rx|arc)(?=[ab]?\d)", r"\1 ", text)
    text = re.sub(r"(?<=\d)(ti(?=super|\b)|super\b|xtx\b|xt\b|gre\b)", r" \1 ", text)
    text = re.sub(r"\b(\d{4}|ti)s\b", r"\1 super", text)
    text = re.sub(r"(?<=\d|i|r)(laptop|mobile|notebook)\b", r" \1", text)
    text = re.sub(r"\b(m\d)(pro|max|ultra)\b", r"\1 \2", text)
    memory: float | None = None
    found = _MEMORY.search(text)
    if found:
        scale = 1024 if found[2].startswith("t") else 1
        memory = float(found[1]) * scale
        text = f"{text[: found.start()]} {text[found.end() :]}"
    words = (_SAME.get(word, word) for word in text.split())
    return Key(frozenset(word for word in words if word not in _NOISE), memory)


@functools.cache
def _by_words() -> dict[frozenset[str], list[tuple[GpuEntry, float | None]]]:
    index: dict[frozenset[str], list[tuple[GpuEntry, float | None]]] = {}
    for entry in gpu_table().gpus:
        for name in (entry.name, *entry.aliases):
            reduced = key(name)
            index.setdefault(reduced.words, []).append((entry, reduced.memory_gib))
    return index


@functools.cache
def _by_short_words() -> dict[frozenset[str], list[tuple[GpuEntry, float | None]]]:
    """Names as people shorten them, “3090” or “7900 XTX”, where no other product is called so.

    A bare number of AMD's is also one of its processors, and is left out, as bare thousands are.
    """
    index: dict[frozenset[str], list[tuple[GpuEntry, float | None]]] = {}
    for words, hits in _by_words().items():
        short = words - {"rtx", "rx", "gtx"}
        processor = len(short) == 1 and ("rx" in words or next(iter(short)).endswith("000"))
        if short != words and not processor and short not in _by_words():
            index.setdefault(short, []).extend(hits)
    return index


@functools.cache
def _by_pci() -> dict[str, list[GpuEntry]]:
    index: dict[str, list[GpuEntry]] = {}
    for entry in gpu_table().gpus:
        for pci_id in entry.pci_ids:
            index.setdefault(pci_id, []).append(entry)
    return index


def _sold_with(entry: GpuEntry, named: float | None, gib: float) -> bool:
    if entry.memory_options_gib:
        return gib in entry.memory_options_gib
    return abs(gib - (entry.memory_gib if named is None else named)) < 0.5


def _holds(entry: GpuEntry, memory: int) -> bool:
    """Whether a driver's total can belong to this entry: ECC and firmware take up to a tenth."""
    if entry.unified:
        return memory <= entry.memory_gib * GIB * 1.02
    return 0.9 <= memory / (entry.memory_gib * GIB) <= 1.02


def _unique(entries: list[GpuEntry]) -> list[GpuEntry]:
    return list({entry.name: entry for entry in entries}.values())


def candidates(name: str, memory: int | None = None) -> list[GpuEntry]:
    """Every entry that the name can mean. ``memory``: the driver's total in bytes, where known.

    A memory size within the name must be one the product is sold with.
    """
    wanted = key(name)
    hits = _by_words().get(wanted.words) or _by_short_words().get(wanted.words, [])
    if wanted.memory_gib is not None:
        hits = [hit for hit in hits if _sold_with(hit[0], hit[1], wanted.memory_gib)]
    if memory is not None:
        hits = [hit for hit in hits if _holds(hit[0], memory)]
    entries = _unique([entry for entry, _ in hits])
    if len(entries) > 1 and wanted.memory_gib is None and memory is None:
        # The plain name belongs to the product that carries no size in its own name.
        plain = _unique([entry for entry, named in hits if named is None])
        return plain or entries
    return entries


def same_product(name: str) -> list[GpuEntry]:
    """Entries of that name in any memory size."""
    words = key(name).words
    hits = _by_words().get(words) or _by_short_words().get(words, [])
    return _unique([entry for entry, _ in hits])


def find(name: str, *, memory: int | None = None, pci_id: str | None = None) -> GpuEntry | None:
    """The entry of a card, or None rather than a guess.

    ``pci_id`` (``"10de:2684"`` or with ``:revision``) is trusted first, the exact name second;
    the driver's total of memory tells variants apart. Identifiers that contradict the name match
    nothing.
    """
    named = candidates(name, memory) if name else []
    if pci_id:
        index = _by_pci()
        lowered = pci_id.lower()
        hits = index.get(lowered) or index.get(":".join(lowered.split(":")[:2])) or []
        if memory is not None:
            hits = [entry for entry in hits if _holds(entry, memory)]
        if len(hits) == 1 and named and key(name).words < key(hits[0].name).words:
            return hits[0]  # sold under the same name, as the 3060 Ti with GDDR6X is
        if named and hits:
            hits = [entry for entry in hits if entry in named]
            return hits[0] if len(hits) == 1 else None
        if len(hits) == 1 and not same_product(name):
            says_laptop = "laptop" in key(name).words
            return hits[0] if hits[0].laptop or not says_laptop else None
    return named[0] if len(named) == 1 else None


def dies(name: str, memory: int | None = None) -> int:
    """How many devices a name means: a module of several dies, unless it has one die's memory.

    ``memory``: bytes that are said apart from the name.
    """
    found = candidates(name)
    if len(found) != 1 or found[0].dies == 1:
        return 1
    said = key(name).memory_gib if memory is None else memory / GIB
    return 1 if said == found[0].memory_gib else found[0].dies


_MODULES = ("B200", "B300", "GH200", "MI250", "MI300X", "MI325X", "MI355X")
"""Beside those called SXM: OAM and Grace Hopper boards."""


def is_module(name: str) -> bool:
    """Whether a GPU of the table sits on a server's board, not in a slot."""
    return "SXM" in name or name.removeprefix("Instinct ").startswith(_MODULES)


def suggest(name: str, count: int = 3) -> list[str]:
    """Names of the table nearest to a mistyped one, for an error message."""
    names: dict[str, str] = {}
    for entry in gpu_table().gpus:
        for label in (entry.short_name, *entry.aliases):
            names[" ".join(sorted(key(label).words))] = entry.short_name
            names[label.lower()] = entry.short_name
    wanted = name.lower()
    close = difflib.get_close_matches(wanted, names, n=count * 3, cutoff=0.5)
    reduced = " ".join(sorted(key(name).words))
    close += difflib.get_close_matches(reduced, names, n=count * 3, cutoff=0.6)
    return list(dict.fromkeys(names[label] for label in close))[:count]
