"""Compute buffers: the scratch memory that llama.cpp reserves for one batch.

``reserve`` builds the graph that llama.cpp would build, places it as its scheduler would and
measures it as its allocator would. ``nodes`` and ``ops`` are ggml's tensors, ``builder`` and what
it feeds are llama-graph.cpp's blocks, ``graphs_*`` the architectures, ``tower`` and
``graphs_vision`` the projectors of mtmd; ``scheduler``, ``fusion``,
``allocator`` and ``replay`` stand for ggml-backend.cpp, the CUDA backend and ggml-alloc.c.
"""

from collections.abc import Sequence

from advisor.llm.model import Model
from advisor.sizing.compute.backends import ROUGH_BACKENDS
from advisor.sizing.compute.buffers import ComputeBuffers
from advisor.sizing.compute.projector import picture_side, projector_compute
from advisor.sizing.compute.reserve import reserve
from advisor.sizing.placement import Placement
from advisor.sizing.settings import RunSettings

__all__ = [
    "ROUGH_BACKENDS",
    "ComputeBuffers",
    "compute_buffers",
    "picture_side",
    "projector_compute",
]


def compute_buffers(
    model: Model, settings: RunSettings, placement: Placement, backends: Sequence[str]
) -> ComputeBuffers | None:
    """Bytes per device and on the host; None when the architecture's graph is not known.

    ``backends`` names the backend of every device ("cuda", "vulkan" …); empty: CPU only. See
    ``backends`` for how far each backend's own rules are followed.
    """
    return reserve(model, settings, placement, backends)
