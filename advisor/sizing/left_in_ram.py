"""Weights that a device cannot compute with, so that llama.cpp leaves them in RAM.

llama-model-loader.cpp:weight_buft_supported asks the device for one op with each weight.
"""

from collections.abc import Collection
from typing import Final

from advisor.llm.hyperparameters import Hyperparameters

LEAVES: Final = frozenset({"cuda", "rocm"})
"""Backends that leave some weights in RAM."""
NO_PRODUCT: Final = frozenset({"TQ1_0", "TQ2_0"})
"""Types that CUDA cannot multiply with (ggml-cuda.cu:ggml_backend_cuda_device_supports_op)."""
EXACT: Final = frozenset({"mistral4"})
"""Architectures whose chosen experts are multiplied in full precision
(llama-graph.cpp:build_moe_ffn, GGML_PREC_F32)."""
NO_EXACT: Final = frozenset({"cuda", "rocm", "vulkan"})
"""Backends that do not: weights lie on the device, and are copied to RAM to be computed with
(ggml_backend_cuda_device_supports_op, ggml_backend_vk_device_supports_op)."""
_SCANNING: Final = frozenset({
    "mamba", "mamba2", "jamba", "falcon-h1", "plamo2", "granitehybrid", "nemotron_h",
    "nemotron_h_moe",
})  # fmt: skip
"""Architectures whose ``ssm_a`` goes into a selective scan, not a product."""
_LAZY: Final = frozenset({"gemma4", "qwen4exp"})
_LAZY_BYTES: Final = 4 << 30
_SCANNED_STATES: Final = (96, 128, 256)
_CONV_CHANNELS: Final = 128


def computed_in_ram(hp: Hyperparameters | None, backends: Collection[str]) -> bool:
    """Whether devices of such backends leave all products with chosen experts to the processor.

    Of a prompt too: batches are copied to a device only for what it computes
    (ggml-backend.cpp:ggml_backend_sched_backend_id_from_cur).
    """
    return hp is not None and hp.arch in EXACT and not NO_EXACT.isdisjoint(backends)


def scannable(d_state: int, head: int, heads: int, *, scalar: bool) -> bool:
    """Whether CUDA scans states of ``d_state`` values; ``scalar``: one decay per head (Mamba 2)."""
    if scalar:
        return d_state in _SCANNED_STATES and head % 16 == 0
    return d_state == 16 and head == 1 and heads % 128 == 0


def may_be_left(name: str) -> bool:
    """Whether a weight of this name may be left for more than its type."""
    return ".ssm_" in name or name == "d2t"


def read_lazily(hp: Hyperparameters | None, name: str, nbytes: int) -> bool:
    """Whether a table is read from its file row by row, whatever ``-ot`` says of it.

    llama-model-loader.cpp:lazy_read, TENSOR_READ_LAZY; that is so by default (``--lazy-mode``).
    """
    lazy = hp is not None and hp.arch in _LAZY and name == "per_layer_token_embd.weight"
    return lazy and nbytes > _LAZY_BYTES


def left_in_ram(
    hp: Hyperparameters | None, name: str, type_name: str, shape: tuple[int, ...]
) -> bool:
    """Whether CUDA leaves a weight in RAM."""
    if type_name in NO_PRODUCT or name == "d2t":  # rows of whole numbers (eagle3.cpp)
        return True
    if hp is None or ".ssm_" not in name:
        return False
    if name.endswith(".ssm_conv1d.weight"):
        return shape[-1] % _CONV_CHANNELS != 0
    if not name.endswith(".ssm_a") or hp.arch not in _SCANNING:
        return False
    first, heads = (*shape, 1)[:2]
    d_state = hp.ssm_d_state if first == 1 else first
    return not scannable(d_state, hp.ssm_d_inner // max(heads, 1), heads, scalar=first == 1)
