"""The outcome: bytes of compute buffer per device and on the host."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ComputeBuffers:
    """Bytes that llama.cpp reserves for intermediate results (llama-context.cpp:sched_reserve)."""

    devices: tuple[int, ...]
    """One figure per device of the rig, in its order; 0 where nothing runs."""
    host: int
    """Pinned host buffer, or the CPU's own compute buffer when nothing runs on a device."""
