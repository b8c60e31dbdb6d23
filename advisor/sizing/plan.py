"""A plan: what llama.cpp would allocate where, how fast it would run, and why."""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

from advisor.basis import Basis, Explanation, Range
from advisor.sizing import build_rules
from advisor.sizing.settings import RunSettings

LLAMA_CPP = build_rules.OLDEST
"""The llama.cpp version whose rules the sizing engine follows where no newer one is told."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class DevicePlan(_Frozen):
    """Bytes on one accelerator. ``None`` is unknown, with the reason in the plan's notes."""

    name: str
    """llama.cpp's name: ``"CUDA0"``."""
    title: str
    """``"RTX 4090"``."""
    weights: int
    context: int | None
    compute: int | None
    driver: int | None
    """Driver context outside llama.cpp's own count."""
    capacity: int | None
    free_before: int | None
    draft: int | None = 0
    """What drafts tokens: its weights, context and compute buffer."""
    projector: int = 0
    """The multimodal projector: its weights, and its buffer where that is known (``notes``)."""
    layers: tuple[int, ...] = ()
    """Blocks whose weights lie here; the output layer is ``n_layer_all``."""

    @property
    def total(self) -> int | None:
        """Bytes that this run adds to the device."""
        if self.context is None or self.compute is None or self.draft is None:
            return None
        beside = self.draft + self.projector + (self.driver or 0)
        return self.weights + self.context + self.compute + beside

    @property
    def headroom(self) -> int | None:
        """Bytes left when it runs; negative when it does not fit."""
        if self.total is None or self.free_before is None:
            return None
        return self.free_before - self.total


class HostPlan(_Frozen):
    """Bytes in the host's memory."""

    weights: int
    context: int | None
    compute: int | None
    output: int | None
    draft: int | None = 0
    projector: int = 0
    prompt_cache: int | None = 0
    """Most bytes that llama-server's prompt cache grows to (``--cache-ram``); None: no limit. Not
    in the total: it grows with use and makes room when it is full."""
    checkpoints: int | None = 0
    """Most bytes that context checkpoints grow to; None: not known. Not in the total."""
    free_before: int | None = None

    @property
    def total(self) -> int | None:
        """Bytes that this run adds to the host."""
        if self.context is None or self.compute is None or self.output is None:
            return None
        if self.draft is None:
            return None
        beside = self.draft + self.projector + self.output
        return self.weights + self.context + self.compute + beside

    @property
    def headroom(self) -> int | None:
        """Bytes left; negative when it does not fit."""
        if self.total is None or self.free_before is None:
            return None
        return self.free_before - self.total


class KvCache(_Frozen):
    """One cache of a context."""

    cells: int
    streams: int
    bytes: int


@dataclass(frozen=True, slots=True)
class SpeedTerm:
    """One part of the time per token, or of a prompt's time. Made by the ten thousand: no model."""

    name: str
    seconds: float
    detail: str = ""
    where: int | None = None
    """Device that spends it; -1 the host; None between devices."""


class Speed(_Frozen):
    """Predicted or measured speed. None is unknown; ``notes`` say what would make it known."""

    decode_tps: Range | None = None
    prefill_tps: Range | None = None
    ttft_s: Range | None = None
    decode_terms: tuple[SpeedTerm, ...] = ()
    prefill_terms: tuple[SpeedTerm, ...] = ()
    sampling_s: float = 0.0
    """Seconds per token that llama-server takes to choose it, beside ``decode_tps``, which are
    llama-bench's (``sampling.served_tps``)."""
    basis: Basis = Basis.COMPUTED
    calibrated_by: str = ""
    """Which probes of this machine it is calibrated by; empty: by none."""
    notes: tuple[str, ...] = ()


Verdict = Literal["fits", "tight", "offload", "no", "unknown"]
"""fits: in VRAM with the margin; tight: in VRAM, less than the margin; offload: part of it in RAM;
no: not even with RAM; unknown: a size is missing. Without accelerators, RAM stands for VRAM."""


class Plan(_Frozen):
    """Sizes, speed and command of one run."""

    model_id: str
    model_name: str
    file_type: str
    settings: RunSettings
    """As resolved: "fit" and "all" are replaced by numbers where a solver chose."""
    file_bytes: int
    devices: tuple[DevicePlan, ...]
    host: HostPlan
    kv: dict[str, KvCache]
    recurrent_state: int | None
    projector_buffer: bool = True
    """Whether a projector's compute buffer is known and counted."""
    fits: bool | None
    verdict: Verdict
    headroom: int | None
    """The smallest headroom over the devices (over the host on a rig without devices)."""
    max_ctx: int | None
    """Largest context that fits with everything else as it is."""
    speed: Speed
    command: tuple[str, ...]
    basis: Basis = Basis.COMPUTED
    llama_cpp: str = LLAMA_CPP
    """The build whose rules gave the bytes (``build_rules.version_of``)."""
    notes: tuple[str, ...] = ()
    explanations: dict[str, Explanation] = {}
    """Keyed "CUDA0.weights", "host.compute", "kv.attn", "speed.decode" …"""

    @property
    def tightest(self) -> int | None:
        """Bytes left where it is tightest; below 0, of a run that does not fit: the most missing.

        What a device has left says nothing where it is the RAM that lacks.
        """
        if self.verdict != "no":
            return self.headroom
        left = [place.headroom for place in (*self.devices, self.host)]
        return min((bytes_left for bytes_left in left if bytes_left is not None), default=None)
