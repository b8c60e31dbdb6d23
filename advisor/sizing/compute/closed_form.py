"""A closed form of the compute buffers, good to a few percent, for graphs not simulated."""

from collections.abc import Sequence

from advisor.llm.hyperparameters import Hyperparameters
from advisor.llm.model import Model
from advisor.sizing.compute.buffers import ComputeBuffers
from advisor.sizing.placement import HOST, Placement
from advisor.sizing.settings import RunSettings


def _pad(value: int, to: int) -> int:
    return -(-value // to) * to


def _mask_cells(model: Model, settings: RunSettings, n_ctx_seq: int, n_ubatch: int) -> int:
    if model.memory is None:
        return n_ctx_seq
    cells = 0
    for cache in model.memory.caches:
        if cache.cells == "full" or settings.swa_full:
            cells += n_ctx_seq
        elif cache.cells == "window":
            sequences = settings.parallel if settings.kv_unified else 1
            cells += _pad(min(n_ctx_seq, cache.span * sequences + n_ubatch), 256)
        else:
            cells += _pad(-(-n_ctx_seq // cache.span), 256)
    return cells


def _width(hp: Hyperparameters) -> int:
    """Bytes per token of the widest moment of a layer, next to the residual streams."""
    dense = 12 * max(hp.n_ff, default=4 * hp.n_embd)
    if not hp.n_expert:
        return dense
    down = 4 * hp.n_expert_used * hp.n_embd
    gate = 4 * hp.n_expert_used * hp.n_ff_exp
    if hp.n_expert_shared or hp.n_ff_shexp:
        routed = 2 * down + 3 * gate
    else:
        routed = max(2 * down + 4 * hp.n_embd, 3 * gate)
    return max(routed, dense if hp.n_layer_dense_lead else 0)


def closed_form(
    model: Model, settings: RunSettings, placement: Placement, backends: Sequence[str]
) -> ComputeBuffers | None:
    """Bytes by the measured formula: masks + max(logits, widest layer) per device."""
    hp = model.hp
    if hp is None:
        return None
    n_ctx = _pad(settings.ctx, 256)
    n_ctx_seq = n_ctx if settings.kv_unified else _pad(n_ctx // settings.parallel, 256)
    n_batch = min(n_ctx, settings.batch_size)
    n_ubatch = min(n_batch, settings.ubatch_size)
    n_outputs = min(n_ubatch, settings.n_outputs or settings.parallel)
    stream = 4 * hp.n_embd * n_ubatch
    flash = settings.flash_attn != "off"
    cells = _mask_cells(model, settings, n_ctx_seq, n_ubatch)
    masks = cells * n_ubatch * (2 if flash else 4)
    work = 4 * stream + _width(hp) * n_ubatch
    if not flash:
        work = max(work, 4 * stream + n_ctx_seq * n_ubatch * max(hp.n_head) * 4)
    logits = n_outputs * hp.n_vocab * 4 + 4 * stream
    if not backends or not placement.on_device:
        host = masks + max(logits, work)
        return ComputeBuffers(devices=(0,) * len(backends), host=host)
    copies = placement.n_copies
    inputs = masks * copies + (stream * copies if copies > 1 else 0)
    output_device = placement.layer_device[-1]
    devices: list[int] = []
    for index in range(len(backends)):
        if index not in placement.layer_device:
            devices.append(0)
        elif index == output_device:
            devices.append(inputs + max(logits, work))
        else:
            devices.append(inputs + work)
    if placement.experts_on_host and placement.layer_device[0] != HOST:
        largest = max((t.nbytes for t in model.tensors if "_exps" in t.name), default=0)
        devices = [d and max(d, largest + inputs + stream) for d in devices]
    return ComputeBuffers(devices=tuple(devices), host=inputs + 4 * stream)
