"""What a backend can run and how much memory it takes for a node's result.

CUDA's rules (ggml-cuda.cu: supports_op, get_alloc_size, offload_op) on a device with tensor cores
(compute capability 7.5 or higher) are followed in full; ROCm is built from the same source. Of
Vulkan and Metal the bytes per node and flash attention's conditions are their own; what else they
can run is taken to be the same, and how they reorder a graph is not followed, which moves a peak by
some percent: within 64 nodes Metal runs early what waits for nothing (ggml-metal-common.cpp:
ggml_graph_optimize) and keeps the inputs of what it fuses (ggml-metal-fusion.cpp:
ggml_metal_fusion_add_alloc_deps), and Vulkan orders likewise (ggml-vulkan.cpp:
ggml_vk_graph_optimize). The CPU, always the last backend, runs everything.
"""

from collections.abc import Mapping
from typing import Final, Literal

from advisor.sizing.compute.nodes import F16, F32, Node, is_contiguous
from advisor.sizing.left_in_ram import NO_PRODUCT, scannable

Rules = Literal["cuda", "joined", "rpc", "vulkan", "metal"]
"""Whose rules size a device's nodes. Joined: CUDA devices that -sm tensor makes one of
(ggml-backend-meta.cpp), which take over no operation from RAM and prolong nothing. Nor does a
device of another machine (ggml-rpc.cpp), which claims to run everything and is asked for sizes."""

ROUGH_BACKENDS: Final[Mapping[str, str]] = {
    "vulkan": "Vulkan",
    "metal": "Metal",
    "sycl": "SYCL",
}
"""Backends whose own order of operations is not followed, with their names for people."""

DEVICE_ALIGNMENT: Final[Mapping[Rules, int]] = {
    "cuda": 128,
    "joined": 128,
    "rpc": 128,
    "vulkan": 32,
    "metal": 32,
}
"""ggml-cuda.cu:ggml_backend_cuda_buffer_type_get_alignment, ggml-metal.cpp; Vulkan's is the
driver's minStorageBufferOffsetAlignment, 4 to 64; a far device has its own, CUDA's here."""
HOST_ALIGNMENT: Final = 32
"""ggml-impl.h:TENSOR_ALIGNMENT."""
EXACT_SOURCE: Final = "exact source"
"""Tag of a product over experts that may not round its source, which CUDA does not offer."""
_ROW_PADDING: Final = 512
_SUPER_BLOCK: Final = 256
OFFLOAD_MIN_BATCH: Final = 32
_CONVERTED_KV: Final = frozenset({"F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"})
_FEW_TOKENS_KV: Final = frozenset({"F16", "BF16", "Q4_0", "Q8_0"})
"""Types of K and V, equal ones, that the kernel for few tokens is built for by default
(ggml-cuda/CMakeLists.txt: GGML_CUDA_FA_QUANTS)."""
_FATTN_SIZES: Final = frozenset({40, 64, 72, 80, 96, 112, 128, 256})
_FATTN_SIZES_GQA: Final = {192: (128, 8), 320: (256, 32), 512: (512, 1), 576: (512, 1)}
"""Head size of K → head size of V, and what the number of heads per KV head must divide by."""


_OF_BACKEND: Final[Mapping[str, Rules]] = {
    "vulkan": "vulkan",
    "metal": "metal",
    "joined": "joined",
    "rpc": "rpc",
}


def rules_of(backend: str) -> Rules:
    """Whose rules size the buffers of a backend."""
    return _OF_BACKEND.get(backend, "cuda")


_METAL_FATTN_SIZES: Final = frozenset(
    {32, 40, 48, 64, 72, 80, 96, 112, 128, 192, 256, 320, 512, 576}
)
_METAL_KV: Final = frozenset({"F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"})
_VULKAN_KV: Final = _METAL_KV | {"IQ4_NL"}


def flash_attn_supported(node: Node, rules: Rules = "cuda") -> bool:
    """Whether a kernel exists."""
    k, v = node.src[1:3]
    if rules == "rpc":
        return True
    if rules == "vulkan":
        # ggml-vulkan.cpp:ggml_backend_vk_device_supports_op
        both = {k.type.name, v.type.name}
        return (
            not k.ne[0] % 8
            and not v.ne[0] % 8
            and both <= _VULKAN_KV
            and ("BF16" not in both or len(both) == 1)
        )
    if rules == "metal":
        # ggml-metal-device.m:ggml_metal_device_supports_op
        sized = node.src[0].ne[0] in _METAL_FATTN_SIZES and k.ne[0] >= v.ne[0]
        return sized and k.type is v.type and k.type.name in _METAL_KV
    return _cuda_flash_attn(node)


def _cuda_flash_attn(node: Node) -> bool:
    """fattn.cu:ggml_cuda_get_best_fattn_kernel."""
    q, k, v = node.src[:3]
    mask = node.src[3] if len(node.src) > 3 else None
    ratio = q.ne[2] // k.ne[2]
    size = k.ne[0]
    if size in _FATTN_SIZES:
        if v.ne[0] != size:
            return False
    elif size in _FATTN_SIZES_GQA:
        size_v, divisor = _FATTN_SIZES_GQA[size]
        if v.ne[0] != size_v or not _grouped(node) or ratio % divisor:
            return False
    else:
        return False
    if k.type.name not in _CONVERTED_KV or v.type.name not in _CONVERTED_KV:
        return False
    return mask is None or mask.ne[2] == 1


def _grouped(node: Node) -> bool:
    """Whether heads that share K are computed together (gqa_opt_applies)."""
    q, k, v = node.src[:3]
    mask = node.src[3] if len(node.src) > 3 else None
    if q.ne[2] // k.ne[2] < 2 or mask is None or k.ne[1] % 256:
        return False
    return not any(t.type.block == 1 and any(nb % 16 for nb in t.nb[1:]) for t in (q, k, v, mask))


def _reads_any_type(node: Node) -> bool:
    """Whether the kernel for few tokens is taken, which needs no F16 copies (compute 8.9)."""
    q, k, v = node.src[:3]
    size, tokens = q.ne[0], q.ne[1]
    if tokens > 2 or size > 256 or size % 64 or size == 192 or k.ne[1] % 256:
        return False
    if k.type is not v.type or k.type.name not in _FEW_TOKENS_KV:
        return False
    if k.type.block > 1 or v.type.block > 1:
        return True
    ratio = q.ne[2] // k.ne[2]
    many = ratio > 4 and (size >= 256 or k.ne[1] >= 8192)
    return tokens == 1 and ((q.ne[3] == 1 and not many) or not _grouped(node))


def _rows_contiguous(a: Node) -> bool:
    return a.ne[0] == a.type.block or a.nb[0] == a.type.size


def _supports_scan(node: Node) -> bool:
    state, a = node.src[0], node.src[3]
    return scannable(*state.ne[:3], scalar=a.ne[0] == 1)


def _supports_indexer(node: Node) -> bool:
    q, k = node.src[:2]
    if q.ne[0] != 128 or q.ne[1] not in (64, 32, 4) or k.type.name not in _CONVERTED_KV:
        return False
    return all(t.type.block > 1 or not any(nb % 16 for nb in t.nb[1:]) for t in (q, k))


def _supports_product(node: Node, rules: Rules) -> bool:
    # Of them Metal alone multiplies with such a source (ggml-metal-ops.cpp, use_amax).
    if node.tag == EXACT_SOURCE and rules != "metal":
        return False
    if node.src[0].type.name in NO_PRODUCT:
        return False
    return all(t.nb[0] == t.type.size for t in node.src[:2])


def device_supports(  # noqa: C901, PLR0911 - one rule per op
    node: Node, rules: Rules = "cuda"
) -> bool:
    """Whether an accelerator can run this op (ggml_backend_cuda_device_supports_op)."""
    op = node.op
    if rules == "rpc" or op == "FLASH_ATTN_EXT":
        return rules == "rpc" or flash_attn_supported(node, rules)
    if op in {"UNARY", "GROUP_NORM", "RMS_NORM_BACK"}:
        return is_contiguous(node.src[0])
    if op == "GLU":
        return is_contiguous(node.src[0], 1)
    if op in {"NORM", "RMS_NORM", "L2_NORM", "SUM_ROWS", "MEAN", "SUM"}:
        return _rows_contiguous(node.src[0])
    if op == "ROPE":
        return node.src[0].nb[0] == node.src[0].type.size and is_contiguous(node.src[0], 2)
    if op == "IM2COL":
        return all(is_contiguous(source) for source in node.src)
    if op == "SSM_CONV":
        return node.src[0].ne[1] % 128 == 0
    if op == "SSM_SCAN":
        return _supports_scan(node)
    if op == "LIGHTNING_INDEXER":
        return _supports_indexer(node)
    if op == "GET_ROWS" and node.src[0].type.name in {"IQ4_NL", "MXFP4"}:
        return node.src[0].ne[0] % _SUPER_BLOCK == 0
    if op == "REPEAT":
        return node.src[0].type in (F32, F16)
    if op in {"MUL_MAT", "MUL_MAT_ID"}:
        return _supports_product(node, rules)
    return True


def wants_offload(node: Node, rules: Rules = "cuda") -> bool:
    """Whether a device takes an op whose weight is in host memory (offload_op)."""
    if node.op == "GET_ROWS" or rules in {"joined", "rpc"}:
        return False
    if node.op == "MUL_MAT":
        batch = node.ne[1]
    elif node.op in {"MUL_MAT_ID", "ROPE"}:
        batch = node.ne[2]
    else:
        batch = node.ne[1] * node.ne[2] * node.ne[3]
    return batch >= OFFLOAD_MIN_BATCH


def _elements(a: Node) -> int:
    return a.ne[0] * a.ne[1] * a.ne[2] * a.ne[3]


_METAL_COLUMNS: Final = 64
"""ggml-metal-impl.h:OP_FLASH_ATTN_EXT_NCPSG."""
_METAL_SCALES: Final = 8 + 256 * 4
"""ggml-metal-ops.cpp:ggml_metal_op_mul_mat_id_extra_amax."""


def _shares_k(k: Node, v: Node) -> bool:
    """Whether V is a view of K (multi-head latent attention)."""
    memory = k.view_src or k
    return v.view_src is not None and (
        v.view_src is k or (v.view_src is memory and v.offset == k.offset)
    )


def _metal_attention(node: Node) -> int:
    """Scratch of flash attention: padding, block map, partial results, and K and V in F16.

    ggml-metal-ops.cpp:ggml_metal_op_flash_attn_ext_extra_*. The F16 copies are reserved whatever
    the cache's type is.
    """
    q, k, v = node.src[:3]
    mask = node.src[3] if len(node.src) > 3 else None
    batch, shared = q.ne[1], _shares_k(k, v)
    k_row, v_row = k.nb[1], v.nb[1]
    if batch >= OFFLOAD_MIN_BATCH and k.type.block > 1:
        k_row, v_row = 2 * k.ne[0], 2 * (k.ne[0] if shared else v.ne[0])
    masked = 2 * mask.ne[1] * mask.ne[2] * mask.ne[3] if mask is not None else 0
    size = _METAL_COLUMNS * (k_row * k.ne[2] * k.ne[3] + v_row * v.ne[2] * v.ne[3] + masked)
    if mask is not None:
        few = batch < 20 and q.ne[0] % 32 == 0
        rows, columns = (1, 32) if few else (8, _METAL_COLUMNS)
        blocks = -(-mask.ne[0] // columns) * -(-batch // rows) * mask.ne[2] * mask.ne[3]
        size += -(-blocks // 32) * 32
    size += 4 * min(batch, 32) * q.ne[2] * q.ne[3] * 32 * (v.ne[0] + 2)
    size += -(-2 * _elements(k) // 16) * 16
    return size if shared else size + -(-2 * _elements(v) // 16) * 16


def _metal_alloc_size(node: Node) -> int:
    """ggml-metal.cpp:ggml_backend_metal_buffer_type_get_alloc_size."""
    size = node.size
    if node.op == "MUL_MAT_ID":
        n_expert, n_tokens = node.src[0].ne[2], node.src[2].ne[1]
        return size + 4 * n_expert * (1 + n_tokens) + _METAL_SCALES
    if node.op == "FLASH_ATTN_EXT":
        return size + _metal_attention(node)
    if node.op in {"ARGSORT", "CUMSUM"}:
        return 2 * size
    if node.op == "TOP_K":
        return 8 * _elements(node.src[0])
    return size


def device_alloc_size(node: Node, rules: Rules = "cuda") -> int:
    """Bytes on a device.

    Vulkan takes what the tensor has (ggml_backend_vk_buffer_type_get_alloc_size). On CUDA quantized
    rows are padded and flash attention keeps F16 copies of a quantized K and V:
    ggml-cuda.cu:ggml_backend_cuda_buffer_type_get_alloc_size,
    fattn.cu:ggml_cuda_flash_attn_ext_get_alloc_size.
    """
    if rules == "vulkan":
        return node.size
    if rules == "metal":
        return _metal_alloc_size(node)
    size = node.size
    if node.op == "FLASH_ATTN_EXT" and flash_attn_supported(node) and not _reads_any_type(node):
        k, v = node.src[1:3]
        if k.type is not F16:
            size = -(-size // 128) * 128 + _elements(k) * 2
        if v.type is not F16 and not _shares_k(k, v):
            size = -(-size // 128) * 128 + _elements(v) * 2
    if node.type.block > 1 and node.ne[0] % _ROW_PADDING:
        size += node.type.row_bytes(_ROW_PADDING - node.ne[0] % _ROW_PADDING)
    return size
