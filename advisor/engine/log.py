"""Read llama.cpp's log, one line at a time, into typed events. Pure; unknown lines give nothing.

Wordings are those of b6000 (July 2025) to b11549 (2026); time stamps, levels and colours in front
of a line do not matter. Sizes are printed in MiB and kept in bytes here.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

from advisor.units import MIB

BufferKind = Literal["model", "context", "state", "compute", "output", "projector"]
FailureKind = Literal[
    "out-of-memory",
    "unknown-architecture",
    "bad-file",
    "assertion",
    "device-lost",
    "wrong-build",
    "old-driver",
    "old-build",
    "address",
    "settings",
]
"""wrong-build: it has no code for this GPU; old-driver: the GPU's driver is too old for it;
old-build: it is too old for the file.
"""


@dataclass(frozen=True, slots=True)
class BreakdownHeader:
    """A memory breakdown begins; rows follow."""


@dataclass(frozen=True, slots=True)
class BreakdownRow:
    """One row of a memory breakdown (fit.cpp:common_memory_breakdown_print). Whole MiB, floored."""

    name: str
    """``"CUDA0"``, ``"Host"``, ``"CPU_REPACK"``."""
    model: int
    context: int
    compute: int
    description: str = ""
    total: int | None = None
    free: int | None = None
    """Free memory when it was printed; the host and extra buffer types have none."""

    @property
    def is_device(self) -> bool:
        """Whether the row is an accelerator's."""
        return self.total is not None


@dataclass(frozen=True, slots=True)
class BufferSize:
    """A buffer that llama.cpp allocated, in bytes (printed with two decimals of a MiB)."""

    kind: BufferKind
    place: str
    """Buffer type: ``"CUDA0"``, ``"CPU_Mapped"``, ``"CUDA_Host"``; empty where the line does not
    say (a projector's weights).
    """
    size: int


@dataclass(frozen=True, slots=True)
class CacheSize:
    """One KV cache: cells, layers and bytes."""

    cells: int
    layers: int
    streams: int
    size: int
    k_type: str
    k_size: int
    v_type: str
    v_size: int


@dataclass(frozen=True, slots=True)
class Offloaded:
    """Layers on accelerators, the output layer counted."""

    layers: int
    of: int


@dataclass(frozen=True, slots=True)
class LoadingTensors:
    """Weights are being read from now on."""


@dataclass(frozen=True, slots=True)
class NewContext:
    """A context is made: caches, buffers and outputs from now on are its own."""


@dataclass(frozen=True, slots=True)
class LoadingDraft:
    """Buffers from now on are those of what drafts tokens: another model, or an MTP context."""


@dataclass(frozen=True, slots=True)
class ProjectorOn:
    """The multimodal projector's weights will lie at ``place`` (its backend)."""

    place: str


@dataclass(frozen=True, slots=True)
class ProjectorNeeds:
    """What the projector takes, weights and buffer, by llama.cpp's estimate while it fits."""

    size: int


@dataclass(frozen=True, slots=True)
class WarmingUp:
    """Weights are loaded; an empty run follows."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The server takes requests. ``address`` is a URL; empty: our worker says that all is done."""

    address: str = ""


@dataclass(frozen=True, slots=True)
class Timing:
    """Timing of one request's prompt or of its generation, from the server's slot."""

    kind: Literal["prompt", "generation"]
    milliseconds: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Adjusted:
    """llama.cpp changed or refused to change settings to make the model fit, and goes on.

    What failed before it is no reason of a later end.
    """

    text: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that ends the run, or explains why it ended."""

    kind: FailureKind
    text: str
    """The line, without what stands in front of it."""
    place: str = ""
    size: int | None = None
    """Bytes that could not be allocated."""


Event = (
    BreakdownHeader
    | BreakdownRow
    | BufferSize
    | CacheSize
    | Offloaded
    | LoadingTensors
    | NewContext
    | LoadingDraft
    | ProjectorOn
    | ProjectorNeeds
    | WarmingUp
    | Ready
    | Timing
    | Adjusted
    | Failure
)

MAX_LINE: Final = 4096
"""Longer lines are cut before they are looked at."""

_DETAIL: Final = (": input tensor '", ": loading tensor ", ": dev = ", ": filtered", "print_info: ")
"""In lines of which a large model has ten thousand, and that tell of no event."""
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
_PREFIX: Final = re.compile(
    r"^\s*(?:\d+(?:\.\d+){3} )?(?:[DIWET] )?(?:(?:srv|cmn|slot|que|res) +)?"
)
_BREAKDOWN: Final = re.compile(r"memory_breakdown_print: \|(?P<row>.*)\|\s*$")
_ROW: Final = re.compile(
    r"^\s*- (?P<name>\S+)(?: \((?P<desc>.*)\))?\s*\|"
    r"(?:\s*(?P<total>\d+) = (?P<free>\d+) \+ \()?"
    r"\s*(?P<own>\d+) =\s*(?P<model>\d+) \+\s*(?P<context>\d+) \+\s*(?P<compute>\d+)"
)
_BUFFER: Final = re.compile(
    r":\s+(?P<place>\S+)\s+(?:DSV4 .+ )?"
    r"(?P<kind>model|KV|RS|state|compute|output)\s+buffer size =\s*(?P<size>\d+(?:\.\d+)?) MiB"
)
_BUFFER_KINDS: Final[dict[str, BufferKind]] = {
    "model": "model",
    "KV": "context",
    "RS": "state",
    "state": "state",
    "compute": "compute",
    "output": "output",
}
_PROJECTOR_BUFFER: Final = re.compile(
    r"(?:alloc|reserve)_compute_meta:\s+(?P<place>\S+)\s+compute buffer size =\s*(?P<size>[\d.]+)"
)
_PROJECTOR_SIZE: Final = re.compile(r"load_hparams: model size:\s*(?P<size>[\d.]+) MiB")
_PROJECTOR_ON: Final = re.compile(r"CLIP using (?P<place>\S+) backend")
_PROJECTOR_NEEDS: Final = re.compile(r"memory usage of mmproj is (?P<size>[\d.]+) MiB")
_DRAFT: Final = re.compile(r"loading draft model '|creating MTP draft context")
_CACHE: Final = re.compile(
    r"size =\s*(?P<size>[\d.]+) MiB \(\s*(?P<cells>\d+) cells,\s*(?P<layers>\d+) layers,"
    r"\s*(?P<a>\d+)(?:/\s*(?P<b>\d+))? seqs\)"
    r", K \((?P<kt>\w+)\):\s*(?P<k>[\d.]+) MiB, V \((?P<vt>\w+)\):\s*(?P<v>[\d.]+) MiB"
)
_OFFLOADED: Final = re.compile(r"offloaded (?P<n>\d+)/(?P<of>\d+) layers to GPU")
_TIMING: Final = re.compile(
    r"(?P<what>prompt eval|eval) time =\s*(?P<ms>[\d.]+) ms /\s*(?P<n>\d+) (?:tokens|runs)"
)
_PREPARED: Final = "rig-advisor-ready"
"""What our worker prints when the embedded engine serves and memory was tidied up."""
_LISTENING: Final = re.compile(r"listening on (?P<address>\w+://\S+)")
_ALLOCATING: Final = re.compile(
    r"allocating (?P<size>[\d.]+) MiB on device (?P<device>\d+): \S+ failed: (?P<why>.*)"
)
_FAILED_BUFFER: Final = re.compile(
    r"failed to allocate (?P<place>\S+) buffer of size (?P<size>\d+)"
)
_FAILED_ALLOCATION: Final = re.compile(
    r"Device memory allocation of size (?P<size>\d+) failed"
    r"|can't allocate (?P<bytes>\d+) Bytes of memory on"
    r"|failed to allocate Metal buffer of (?P<metal>\d+) bytes"
)
_FAILED_MIB: Final = re.compile(r"failed to allocate buffer, size =\s*(?P<size>[\d.]+) MiB")
_HARMLESS: Final = re.compile(r"pinned memory|failed to mlock")
"""It goes on in another way (ggml-cuda.cu:ggml_cuda_host_malloc, llama-mmap.cpp:llama_mlock)."""
_OOM: Final = re.compile(
    r"out of memory|Not enough memory|unable to allocate \S+ buffer"
    r"|failed to allocate (?:buffer|compute)"
    r"|CUBLAS_STATUS_ALLOC_FAILED|hipErrorOutOfMemory"
    r"|ErrorOutOf(?:Device|Host)Memory|ERROR_OUT_OF_(?:DEVICE|HOST)_MEMORY"
    r"|insufficient memory|std::bad_alloc|Cannot allocate memory|ERROR_OUT_OF_RESOURCES"
    r"|the resource allocation failed|failed to allocate output buffer",
    re.IGNORECASE,
)
_ARCHITECTURE: Final = re.compile(r"(?:unknown|unsupported) model architecture: '(?P<arch>[^']*)'")
_ASSERTION: Final = re.compile(
    r"GGML_ASSERT\(|GGML_ABORT|fatal error|Assertion ['`].*['`] failed", re.IGNORECASE
)
_BAD_FILE: Final = re.compile(
    r"invalid magic characters|failed to (?:open|read) GGUF|failed to read (?:magic|tensor)"
    r"|is not within the file bounds|tensor '[^']*' has|missing tensor|wrong number of tensors"
    r"|wrong shape|key not found in model|error loading model hyperparameters"
    r"|error loading model vocabulary|model is corrupted|failed to open .*\.gguf"
    r"|corrupted model|invalid split (?:file|count)|illegal split file|failed to load GGUF split"
    r"|GGUFv1 is no longer supported|exceeds remaining file size"
)
_OLD_BUILD: Final = re.compile(
    r"has invalid ggml type|unknown pre-tokenizer type|unknown tokenizer: "
    r"|this software only supports up to version|bad GGUF version"
)
_WRONG_BUILD: Final = re.compile(
    r"no kernel image is available|device kernel image is invalid|invalid device function"
    r"|unsupported toolchain|no binary for the GPU|rocBLAS error: Cannot read",
    re.IGNORECASE,
)
_OLD_DRIVER: Final = re.compile(
    r"error: CUDA driver version is insufficient|error: forward compatibility was attempted"
)
_LOST: Final = re.compile(
    r"ErrorDeviceLost|DeviceLostError|ERROR_DEVICE_LOST|device lost|GPU is lost|fallen off the bus"
    r"|(?:CUDA|ROCm|MUSA) error: (?:unspecified launch|an illegal)|Memory access fault by GPU"
    r"|no CUDA-capable device|GPU Hang|Remote RPC server crashed",
    re.IGNORECASE,
)
_ADDRESS: Final = re.compile(
    r"couldn't bind (?:HTTP )?(?:server )?socket|address already in use", re.IGNORECASE
)
_SETTINGS: Final = re.compile(
    r"V cache quantization requires flash_attn|quantized V cache .*requires|error: invalid argument"
    r"|error while handling argument|not supported with (?:this|split)"
)
_ADJUSTED: Final = re.compile(
    r"context size reduced|failed to fit params|set n_gpu_layers to"
    r"|retrying without pipeline parallelism"
)


def _mib(text: str) -> int:
    return round(float(text) * MIB)


def plain(line: str) -> str:
    """A line without colours, time stamp, level and component."""
    return _PREFIX.sub("", _COLOUR.sub("", line[:MAX_LINE])).strip()


def read_line(line: str) -> Event | None:
    """The event that a line tells of, None for all others. Never raises, whatever the line."""
    if any(words in line for words in _DETAIL):
        return None
    text = plain(line)
    if "compute_meta" in text and (match := _PROJECTOR_BUFFER.search(text)):
        return BufferSize("projector", match["place"], _mib(match["size"]))
    if "buffer size =" in text and (match := _BUFFER.search(text)):
        return BufferSize(_BUFFER_KINDS[match["kind"]], match["place"], _mib(match["size"]))
    if "breakdown_print" in text and (match := _BREAKDOWN.search(text)):
        return _row(match["row"])
    if match := _CACHE.search(text):
        return _cache(match)
    return _progress(text) or _beside(text) or _failure(text)


def _row(row: str) -> BreakdownHeader | BreakdownRow | None:
    if "memory breakdown" in row:
        return BreakdownHeader()
    match = _ROW.match(row)
    if match is None:
        return None
    total, free = match["total"], match["free"]
    return BreakdownRow(
        name=match["name"],
        description=match["desc"] or "",
        total=int(total) * MIB if total else None,
        free=int(free) * MIB if free else None,
        model=int(match["model"]) * MIB,
        context=int(match["context"]) * MIB,
        compute=int(match["compute"]) * MIB,
    )


def _cache(match: re.Match[str]) -> CacheSize:
    return CacheSize(
        cells=int(match["cells"]),
        layers=int(match["layers"]),
        streams=int(match["b"] or match["a"]),
        size=_mib(match["size"]),
        k_type=match["kt"],
        k_size=_mib(match["k"]),
        v_type=match["vt"],
        v_size=_mib(match["v"]),
    )


def _progress(text: str) -> Event | None:
    event: Event | None = None
    if "loading model tensors" in text:
        event = LoadingTensors()
    elif "constructing llama_context" in text:
        event = NewContext()
    elif "warming up the model" in text:
        event = WarmingUp()
    elif text == _PREPARED:
        event = Ready()
    elif match := _LISTENING.search(text):
        event = Ready(match["address"])
    elif match := _OFFLOADED.search(text):
        event = Offloaded(int(match["n"]), int(match["of"]))
    elif match := _TIMING.search(text):
        kind = "prompt" if match["what"] == "prompt eval" else "generation"
        event = Timing(kind, float(match["ms"]), int(match["n"]))
    elif _ADJUSTED.search(text):
        event = Adjusted(text)
    return event


def _beside(text: str) -> Event | None:
    """Models beside the model: what drafts, and the projector (tools/mtmd/clip.cpp)."""
    event: Event | None = None
    if _DRAFT.search(text):
        event = LoadingDraft()
    elif match := _PROJECTOR_SIZE.search(text):
        event = BufferSize("projector", "", _mib(match["size"]))
    elif match := _PROJECTOR_ON.search(text):
        event = ProjectorOn(match["place"])
    elif match := _PROJECTOR_NEEDS.search(text):
        event = ProjectorNeeds(_mib(match["size"]))
    return event


def _failure(text: str) -> Failure | None:
    if _HARMLESS.search(text):
        return None
    if match := _ARCHITECTURE.search(text):
        return Failure("unknown-architecture", text, place=match["arch"])
    if found := _refused_size(text):
        return found
    kinds: tuple[tuple[FailureKind, re.Pattern[str]], ...] = (
        ("wrong-build", _WRONG_BUILD),
        ("old-driver", _OLD_DRIVER),
        ("old-build", _OLD_BUILD),
        ("device-lost", _LOST),
        ("out-of-memory", _OOM),
        ("settings", _SETTINGS),
        ("address", _ADDRESS),
        ("bad-file", _BAD_FILE),
        ("assertion", _ASSERTION),
    )
    return next((Failure(kind, text) for kind, pattern in kinds if pattern.search(text)), None)


def _refused_size(text: str) -> Failure | None:
    """Memory that could not be had, where the line says how much."""
    place, size = "", 0
    if match := _ALLOCATING.search(text):
        place, size = f"device {match['device']}", _mib(match["size"])
    elif match := _FAILED_BUFFER.search(text):
        place, size = match["place"], int(match["size"])
    elif match := _FAILED_ALLOCATION.search(text):
        size = int(match["size"] or match["bytes"] or match["metal"])
    elif match := _FAILED_MIB.search(text):
        size = _mib(match["size"])
    return Failure("out-of-memory", text, place, size) if match else None
