"""What a backend can run and how much memory it takes for a node's result.

The rules are those of the CUDA backend (ggml-cuda.cu: supports_op, get_alloc_size, offload_op) on
a device with tensor cores (compute capability 7.5 or higher); other accelerators are taken to be
like it. The CPU, always the last backend, runs everything.
"""

from typing import Final

from advisor.sizing.compute.nodes import F16, F32, Node, is_contiguous

DEVICE_ALIGNMENT: Final = 128
"""ggml-cuda.cu:ggml_backend_cuda_buffer_type_get_alignment."""
HOST_ALIGNMENT: Final = 32
"""ggml-impl.h:TENSOR_ALIGNMENT."""
NO_PRODUCT: Final = frozenset({"TQ1_0", "TQ2_0"})
"""Types that CUDA cannot multiply with; such weights stay in RAM."""
EXACT_SOURCE: Final = "exact source"
"""Tag of a product over experts that may not round its source, which CUDA does not offer."""
_ROW_PADDING: Final = 512
_OFFLOAD_MIN_BATCH: Final = 32
_CONVERTED_KV: Final = frozenset({"F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"})
_FATTN_SIZES: Final = frozenset({40, 64, 72, 80, 96, 112, 128, 256})
_FATTN_SIZES_GQA: Final = {192: (128, 8), 320: (256, 32), 512: (512, 1), 576: (512, 1)}
"""Head size of K → head size of V, and what the number of heads per KV head must divide by."""


def flash_attn_supported(node: Node) -> bool:
    """Whether a kernel exists (fattn.cu:ggml_cuda_get_best_fattn_kernel)."""
    q, k, v = node.src[:3]
    mask = node.src[3] if len(node.src) > 3 else None
    ratio = q.ne[2] // k.ne[2]
    size = k.ne[0]
    if size in _FATTN_SIZES:
        if v.ne[0] != size:
            return False
    elif size in _FATTN_SIZES_GQA:
        size_v, divisor = _FATTN_SIZES_GQA[size]
        grouped = ratio >= 2 and mask is not None and k.ne[1] % 256 == 0
        for t in (q, k, v, mask):
            if t is not None and t.type.block == 1 and any(nb % 16 for nb in t.nb[1:]):
                grouped = False
        if v.ne[0] != size_v or not grouped or ratio % divisor:
            return False
    else:
        return False
    if k.type.name not in _CONVERTED_KV or v.type.name not in _CONVERTED_KV:
        return False
    return mask is None or mask.ne[2] == 1


def _rows_contiguous(a: Node) -> bool:
    return a.ne[0] == a.type.block or a.nb[0] == a.type.size


def _supports_scan(node: Node) -> bool:
    state, a = node.src[0], node.src[3]
    if a.ne[0] == 1:
        return state.ne[0] in (96, 128, 256) and state.ne[1] % 16 == 0
    return state.ne[0] == 16 and state.ne[1] == 1 and state.ne[2] % 128 == 0


def _supports_indexer(node: Node) -> bool:
    q, k = node.src[:2]
    if q.ne[0] != 128 or q.ne[1] not in (64, 32, 4):
        return False
    return all(t.type.block > 1 or not any(nb % 16 for nb in t.nb[1:]) for t in (q, k))


def _supports_product(node: Node) -> bool:
    if node.tag == EXACT_SOURCE or node.src[0].type.name in NO_PRODUCT:
        return False
    return all(t.nb[0] == t.type.size for t in node.src[:2])


def device_supports(node: Node) -> bool:  # noqa: PLR0911 - one rule per op
    """Whether an accelerator can run this op (ggml_backend_cuda_device_supports_op)."""
    op = node.op
    if op == "FLASH_ATTN_EXT":
        return flash_attn_supported(node)
    if op in {"UNARY", "GROUP_NORM", "RMS_NORM_BACK"}:
        return is_contiguous(node.src[0])
    if op == "GLU":
        return is_contiguous(node.src[0], 1)
    if op in {"NORM", "RMS_NORM", "L2_NORM", "SUM_ROWS", "MEAN", "SUM"}:
        return _rows_contiguous(node.src[0])
    if op == "ROPE":
        return node.src[0].nb[0] == node.src[0].type.size and is_contiguous(node.src[0], 2)
    if op == "SSM_CONV":
        return node.src[0].ne[1] % 128 == 0
    if op == "SSM_SCAN":
        return _supports_scan(node)
    if op == "LIGHTNING_INDEXER":
        return _supports_indexer(node)
    if op == "REPEAT":
        return node.src[0].type in (F32, F16)
    if op in {"MUL_MAT", "MUL_MAT_ID"}:
        return _supports_product(node)
    return True


def wants_offload(node: Node) -> bool:
    """Whether a device takes an op whose weight is in host memory (offload_op)."""
    if node.op == "GET_ROWS":
        return False
    if node.op == "MUL_MAT":
        batch = node.ne[1]
    elif node.op in {"MUL_MAT_ID", "ROPE"}:
        batch = node.ne[2]
    else:
        batch = node.ne[1] * node.ne[2] * node.ne[3]
    return batch >= _OFFLOAD_MIN_BATCH


def _elements(a: Node) -> int:
    return a.ne[0] * a.ne[1] * a.ne[2] * a.ne[3]


def device_alloc_size(node: Node) -> int:
    """Bytes on a device: quantized rows are padded, flash attention keeps F16 copies of K and V.

    ggml-cuda.cu:ggml_backend_cuda_buffer_type_get_alloc_size,
    fattn.cu:ggml_cuda_flash_attn_ext_get_alloc_size.
    """
    size = node.size
    if node.op == "FLASH_ATTN_EXT" and flash_attn_supported(node):
        k, v = node.src[1:3]
        if k.type is not F16:
            size = -(-size // 128) * 128 + _elements(k) * 2
        k_memory = k.view_src or k
        shared = v.view_src is not None and (
            v.view_src is k or (v.view_src is k_memory and v.offset == k.offset)
        )
        if v.type is not F16 and not shared:
            size = -(-size // 128) * 128 + _elements(v) * 2
    if node.type.block > 1 and node.ne[0] % _ROW_PADDING:
        size += node.type.row_bytes(_ROW_PADDING - node.ne[0] % _ROW_PADDING)
    return size
