"""The outcome of one probe: how it ended, what was measured, and what was predicted for it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from advisor.basis import Range
from advisor.hardware.rig import Rig
from advisor.probe.trace import Trace
from advisor.sizing.settings import RunSettings

PhaseName = Literal["starting", "loading", "warm-up", "prefill", "decode", "stopping"]
EndState = Literal["done", "stopped", "failed"]
Cause = Literal[
    "out-of-memory",
    "killed",
    "crashed",
    "hung",
    "bad-file",
    "unknown-architecture",
    "no-build",
    "device-lost",
    "no-disk",
    "refused",
    "other",
]

ObservationKind = Literal[
    "spill",
    "swap",
    "throttled",
    "power-limited",
    "asleep",
    "lost",
    "other-program",
    "busy",
    "changed-settings",
    "noise",
    "estimate",
    "unread",
    "kept",
    "slow-zeros",
]
Method = Literal["server", "llama-bench"]
"""Prompts of our own to llama-server, or a run of llama-bench."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Phase(_Frozen):
    """A stretch of the run, in milliseconds since the probe started."""

    name: PhaseName
    start_ms: int
    end_ms: int | None = None
    depth: int = 0
    """Tokens in the context when it began (prefill and decode)."""


class Ending(_Frozen):
    """How the probe ended, as a sentence for the screen."""

    state: EndState
    cause: Cause | None = None
    sentence: str
    detail: str = ""
    """The end of the engine's log, where that explains it."""


class Component(_Frozen):
    """One part of the memory at one place. Bytes; None is unknown."""

    name: Literal[
        "weights", "context", "compute", "output", "draft", "projector", "driver", "program"
    ]
    """draft: all that drafts tokens; projector: its weights (with its buffer, as llama.cpp tells
    it); driver: the GPU driver's context; program: llama.cpp itself before it loads anything.
    """
    planned: int | None
    engine: int | None
    """What llama.cpp's log says it allocated."""


class PlaceResult(_Frozen):
    """Memory at one device or in the host. Bytes; None is unknown."""

    name: str
    """llama.cpp's device name, or ``"host"``."""
    title: str
    capacity: int | None
    before: int | None
    """Held by other programs when the probe began."""
    peak: int | None
    """Most that llama.cpp held while it worked (what others held is not in it)."""
    load_peak: int | None = None
    """Most that it held while loading, file pages that the system may drop included."""
    planned: int | None
    """What the plan said it would hold."""
    lowest_free: int | None
    """Least that was free during the run: the measured headroom."""
    components: tuple[Component, ...] = ()


class SpeedPoint(_Frozen):
    """Speed at one depth of the context."""

    depth: int
    """Tokens in the context when decoding began."""
    n_prompt: int
    prefill_tps: float | None
    ttft_s: float | None
    """From sending the prompt to the first token."""
    n_decode: int
    decode_tps: float | None
    prefill_spread: float | None = None
    """Standard deviation in tok/s, where the test was repeated."""
    decode_spread: float | None = None
    prefill_predicted: Range | None = None
    decode_predicted: Range | None = None
    """What was predicted of it before the run, in tok/s; None: unknown, or not kept."""


def reads_from(method: Method, point: SpeedPoint) -> int:
    """Depth at which a point's prompt began: our prompts fill an empty context, llama-bench reads
    its own behind one that is filled already."""
    return point.depth if method == "llama-bench" else 0


class PowerResult(_Frozen):
    """Electricity of one device while tokens were made."""

    place: str
    mean_w: float
    joules_per_token: float | None


class Observation(_Frozen):
    """Something that happened during the run and that a person should know."""

    kind: ObservationKind
    at_ms: int
    sentence: str
    place: str = ""
    """Device or ``"host"`` that it is about; empty: the whole run."""


class EngineFacts(_Frozen):
    """Which llama.cpp ran."""

    name: str
    """``"embedded"``, or the path of the program."""
    version: str
    backends: tuple[str, ...] = ()


class ProbeResult(_Frozen):
    """Everything a probe leaves behind."""

    id: str
    """Unique, and sorts by time."""
    created: datetime
    """UTC."""
    rig: Rig
    model_id: str
    model_name: str
    file_type: str
    file_bytes: int
    n_params: int | None = None
    ghost: bool
    layers: tuple[int, int, int] | None = None
    """Extrapolated from ghosts with so many layers, of so many; None: measured as it is."""
    minds_zeros: bool = False
    """Whether a ghost's weights in RAM whose zeros slow a processor down held numbers, or else an
    observation says so. Versions before 2026-11-27 did not tell."""
    path: Path | None = None
    """The file that ran, where it was not a ghost."""
    settings: RunSettings
    engine: EngineFacts
    method: Method = "server"
    ending: Ending
    phases: tuple[Phase, ...] = ()
    places: tuple[PlaceResult, ...] = ()
    speeds: tuple[SpeedPoint, ...] = ()
    power: tuple[PowerResult, ...] = ()
    observations: tuple[Observation, ...] = ()
    trace: Trace = Trace()

    @property
    def title(self) -> str:
        """``"Qwen3 8B Q4_K_M"``."""
        return f"{self.model_name} {self.file_type}"

    def place(self, name: str) -> PlaceResult | None:
        """Memory at one place, None when it was not part of the run."""
        return next((p for p in self.places if p.name == name), None)


def now() -> datetime:
    """The present moment, as results store it."""
    return datetime.now(UTC)
