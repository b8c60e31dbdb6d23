"""What llama.cpp reserves for one context: the graph, where it runs, and the bytes it takes.

This is the accounting of llama.cpp's memory fit (no_alloc). It forgets which nodes a context pins
to a device (ggml_backend_sched_reserve_size resets the scheduler), so on several GPUs a real run
hands over one activation less per device: 4 × 4·n_embd·n_ubatch bytes with pipeline copies.
"""

from collections.abc import Sequence
from dataclasses import replace

from advisor.llm.model import Model
from advisor.llm.tensor import TYPES
from advisor.sizing import memory
from advisor.sizing.compute.buffers import ComputeBuffers
from advisor.sizing.compute.builder import Backends, Builder, Shape
from advisor.sizing.compute.backends import device_supports
from advisor.sizing.compute.graphs import GRAPHS
from advisor.sizing.compute.scheduler import Scheduler
from advisor.sizing.placement import HOST, Placement
from advisor.sizing.settings import RunSettings


def shape_of(model: Model, settings: RunSettings, *, flash: bool) -> Shape | None:
    """The reserved micro-batch (llama-context.cpp:sched_reserve, graph_reserve)."""
    rule = memory.memory_rule(model, settings)
    if rule is None:
        return None
    sizes = memory.resolve(settings)
    n_tokens = min(sizes.n_ctx, sizes.n_ubatch)
    limit = settings.n_outputs or settings.parallel
    n_outputs = min(n_tokens, limit)
    n_tokens = -(-n_tokens // sizes.n_seq) * sizes.n_seq
    counted = {cache.kind: memory.cells(cache, settings, sizes) for cache in rule.caches}
    return Shape(
        n_tokens=n_tokens,
        n_seqs=sizes.n_seq,
        n_outputs=n_outputs,
        n_stream=1 if settings.kv_unified else sizes.n_seq,
        n_kv={kind: cells for kind, (cells, _) in counted.items()},
        streams={kind: streams for kind, (_, streams) in counted.items()},
        flash=flash,
        v_transposed=settings.flash_attn == "off",
        type_k=TYPES[settings.ctk.upper()],
        type_v=TYPES[settings.ctv.upper()],
        n_rs_seq=settings.n_rs_seq,
    )


def _backends(placement: Placement, used: Sequence[int]) -> Backends:
    cpu = len(used)
    index = {device: i for i, device in enumerate(used)} | {HOST: cpu}
    layers = tuple(index[device] for device in placement.layer_device)
    return Backends(
        cpu=cpu,
        layers=layers,
        experts_on_cpu=placement.experts_on_host,
        kv_offload=placement.kv_offload,
    )


def reserve(
    model: Model, settings: RunSettings, placement: Placement, n_devices: int
) -> ComputeBuffers | None:
    """Bytes per device and on the host; None when the graph is not known."""
    hp = model.hp
    if hp is None or hp.arch not in GRAPHS:
        return None
    flash = settings.flash_attn != "off" and hp.arch != "grok"
    shape = shape_of(model, settings, flash=flash)
    if shape is None:
        return None
    used = [settings.main_gpu] if settings.split_mode == "none" and n_devices else range(n_devices)
    placed = _backends(placement, used)
    tensors = {t.name: t for t in model.tensors}
    builder = Builder(hp, tensors, shape, placed)
    GRAPHS[hp.arch](builder)
    if flash and settings.flash_attn == "auto" and placed.cpu and any(
        node.op == "FLASH_ATTN_EXT" and not device_supports(node) for node in builder.nodes
    ):
        builder = Builder(hp, tensors, replace(shape, flash=False), placed)
        GRAPHS[hp.arch](builder)
    sizes = Scheduler(placed.cpu, n_copies=placement.n_copies).measure(builder.nodes, builder.leafs)
    devices = [0] * n_devices
    for device, size in zip(used, sizes[:-1], strict=True):
        devices[device] = size
    return ComputeBuffers(devices=tuple(devices), host=sizes[-1])
