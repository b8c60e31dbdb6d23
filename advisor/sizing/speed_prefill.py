"""Prefill: prompt tokens per second, bound by arithmetic."""

import math
from dataclasses import replace
from typing import Final

from advisor.basis import Range
from advisor.hardware.rig import Device
from advisor.llm.model import Model
from advisor.sizing import speed_sums as sums
from advisor.sizing.build_dates import built_year
from advisor.sizing.interconnect import crossings, link_name, slowest_link
from advisor.sizing.left_in_ram import computed_in_ram
from advisor.sizing.placement import HOST
from advisor.sizing.plan import SpeedTerm
from advisor.sizing.settings import RunSettings
from advisor.sizing.speed_data import speed_data
from advisor.sizing.speed_host import on_processor
from advisor.sizing.speed_load import Load, cut_across, read_in_batches, works_on_caches
from advisor.sizing.speed_machine import DeviceSpeed, Machine
from advisor.sizing.speed_similar import NORMAL_80, Case, Correction, correction
from advisor.sizing.speed_sums import ModelSums
from advisor.sizing.speed_terms import (
    FLOPS,
    Number,
    PrefillConstants,
    PrefillParts,
    pipelined,
    prefill_parts,
    touched,
)
from advisor.units import MIB

MIN_OFFLOAD = 32
"""Tokens from which llama.cpp copies weights in RAM to the GPU for a batch
(ggml-cuda.cu:ggml_backend_cuda_device_offload_op)."""
COPIED: Final = "Copy weights from RAM"
"""The term of a prompt's time that they take."""
_EXACT_LAYERS: Final = (
    "Prefill is unknown: the processor computes this architecture's experts, a device the rest of "
    "their layers in RAM (leave whole layers on devices, with --cpu-moe)."
)
CACHE_COPIED: Final = "Copy KV cache from RAM"
"""The term of caches in RAM that a device works on."""


def type_group(file_type: str) -> str:
    """Group of file types with like prefill kernels; "" is the reference, Q4_K and floats."""
    if file_type in {"Q4_0", "Q4_1"}:
        return "q4_legacy"
    if file_type == "Q8_0":
        return "q8"
    if file_type == "MXFP4_MOE":
        return "fp4"
    return "k_or_i" if file_type.startswith(("Q2", "Q3", "Q5", "Q6", "IQ", "TQ")) else ""


def constants(
    device: DeviceSpeed, model: Model, factor: float, *, flash: bool = True
) -> PrefillConstants:
    """Constants of a device for one model; ``factor``: a probe's on its rate of arithmetic.

    ``flash``: whether attention is fused (``-fa``).
    """
    data = speed_data()
    group = type_group(model.file_type)
    rate = (device.matrix_rate or 0.0) * factor
    return PrefillConstants(
        bandwidth=device.constants.bandwidth,
        rate=rate,
        quantized=device.fitted.prefill_q,
        sixteen=device.fitted.prefill_16,
        experts=device.fitted.prefill_experts,
        attention=device.fitted.prefill_attention,
        bf16=device.costs.bf16_prefill if model.file_type == "BF16" else 1.0,
        type_factor=data.prefill_groups[group] if group else 1.0,
        memory=data.memory_prefill,
        launch=device.costs.prefill_launch_us * 1e-6,
        mla_attention=device.costs.mla_prefill,
        bend=device.fitted.prefill_bend,
        sharing=device.fitted.prefill_sharing,
        camping=device.fitted.prefill_camping,
        unfused=0.0 if flash else data.unfused_score.nbytes,
        score=device.costs.prefill_score,
        tile=device.costs.prefill_tile,
    )


def prefill(
    model: Model,
    known: ModelSums,
    settings: RunSettings,
    parts: list[Load],
    box: Machine,
    *,
    in_pipeline: bool,
) -> tuple[Range | None, tuple[SpeedTerm, ...], tuple[str, ...]]:
    """Range of tok/s, terms in seconds per prompt token, notes.

    ``in_pipeline``: whether llama.cpp hands micro-batches from device to device without waiting.
    """
    ubatch = min(settings.ubatch_size, settings.batch_size, settings.n_prompt)
    used = known.n_expert_used / known.n_expert if known.n_expert else 1.0
    notes: list[str] = []
    n = len(box.devices)
    stays = works_on_caches(settings, kv_offload=settings.kv_offload)
    shared = _shared(model, parts, box, ubatch, attention=not stays)
    if isinstance(shared, str):
        return None, (), (shared,)
    parts, copies = shared
    devices = dict([box.batches]) | box.devices if box.batches else box.devices
    on_devices = [load for load in parts if load.where != HOST]
    cut = settings.split_mode == "tensor" and len(on_devices) > 1
    each: list[tuple[float, float, list[SpeedTerm]]] = []
    for load in cut_across(on_devices) if cut else on_devices:
        device = devices[load.where]
        if device.matrix_rate is None:
            return (
                None,
                (),
                (f"Prefill is unknown: the matrix rate of {device.title} is not known.",),
            )
        change = device_correction(model, known, settings, device, box)
        named = _on_device(model, load, settings, device, box, used, math.exp(change.error))
        seconds = sum(term.seconds for term in named)
        each.append((seconds, seconds * change.spread, named))
        if change.rows:
            row = change.rows[0]
            notes.append(
                f"Prefill follows a measured row: {row.prefill_tps:,.0f} tok/s on {row.gpu} "
                f"({row.source})."
            )
    if cut:
        each = [max(each, key=lambda found: found[0])]
    total, doubt = sum(found[0] for found in each), sum(found[1] for found in each)
    terms = [term for found in each for term in found[2]]
    if n > 1 and in_pipeline:
        power = min(device.costs.pipeline for device in box.devices.values())
        # The slowest holds the others up: as many alike devices would take as long.
        stages = total / max(found[0] for found in each)
        pipe = float(pipelined(stages, settings.n_prompt, ubatch, power))
        terms = [replace(t, seconds=t.seconds * pipe) for t in terms]
        total, doubt = total * pipe, doubt * pipe
    elif cut:
        reduced = _all_reduces(known, [box.rig.devices[load.where] for load in on_devices], ubatch)
        if isinstance(reduced, str):
            return None, (), (reduced,)
        terms.append(reduced)
        total += reduced.seconds
        doubt += reduced.seconds * speed_data().tensor_split.prefill_spread
    built = built_year(settings.built)
    extra = _host(parts, box, ubatch, used, copies=copies, stays=stays, built=built)
    if isinstance(extra, str):
        return None, (), (extra,)
    for term, spread in (*_network(known, on_devices, box, ubatch), *extra):
        terms.append(term)
        total += term.seconds
        doubt += term.seconds * spread
    if total <= 0:
        return None, (), tuple(notes)
    width = NORMAL_80 * doubt / total
    mid = 1 / total
    return (
        Range(low=mid * math.exp(-width), mid=mid, high=mid * math.exp(width)),
        tuple(terms),
        tuple(notes),
    )


def _all_reduces(known: ModelSums, devices: list[Device], ubatch: int) -> SpeedTerm | str:
    """Two sums of every token's hidden state per block, in BF16 where they are large."""
    split, link, n = speed_data().tensor_split, slowest_link(devices), len(devices)
    if link is None:
        return "Prefill is unknown: the link between the cards of a tensor split is not known."
    blocks = float(known.layers[:, sums.BLOCKS].sum())
    size = known.n_embd * 2 * 2 * (n - 1) / n
    wait = (split.moe_us if known.n_expert else split.dense_us) * 1e-6
    return SpeedTerm(
        name="All-reduce",
        seconds=2 * blocks * (wait / ubatch + size / (link[0] * 1e9 * split.prefill_share)),
        detail=f"{2 * blocks:.0f} × {size * ubatch / MIB:.1f} MiB per micro-batch over "
        f"{split.prefill_share:.2f} of {link[1]} ({split.source})",
    )


def _on_device(  # noqa: PLR0917 - what a device's part of a prompt depends on
    model: Model,
    load: Load,
    settings: RunSettings,
    device: DeviceSpeed,
    box: Machine,
    used: float,
    factor: float,
) -> list[SpeedTerm]:
    """A device's part of the time of a prompt, per token; ``factor``: by measured rows."""
    ubatch = min(settings.ubatch_size, settings.batch_size, settings.n_prompt)
    read = float(touched(load.columns, used, ubatch))
    flash = settings.flash_attn != "off"
    found = prefill_parts(
        constants(device, model, box.calibration.prefill_factor, flash=flash),
        load.columns,
        load.prefill_attention,
        read,
        ubatch,
        used=used,
    )
    return [
        SpeedTerm(
            name=f"{device.title}: {label}",
            seconds=value * factor,
            detail=how + by_rows(factor),
            where=load.where,
        )
        for label, how in _details(found, load, device, read, ubatch)
        if (value := float(getattr(found, label))) > 0
    ]


def _shared(
    model: Model, parts: list[Load], box: Machine, ubatch: int, *, attention: bool
) -> tuple[list[Load], bool] | str:
    """Who computes what of a prompt, and whether what lies in RAM is copied for it, or why that is
    not known. ``attention``: see ``read_in_batches``."""
    if not (box.devices or box.batches) or ubatch < MIN_OFFLOAD:
        return parts, False
    if computed_in_ram(model.hp, box.backends):
        blocks = any(part.columns[sums.BLOCKS] for part in parts if part.where == HOST)
        return _EXACT_LAYERS if blocks else (parts, False)
    if box.batches is not None:
        parts = read_in_batches(parts, box.batches[0], attention=attention)
    return parts, True


def _network(
    known: ModelSums, on_devices: list[Load], box: Machine, ubatch: int
) -> list[tuple[SpeedTerm, float]]:
    """Every micro-batch's hidden states cross to other machines and back; as in decoding."""
    hosts = [box.rig.devices[at].host_index for at in sorted(load.where for load in on_devices)]
    links = [link for link in crossings(box.rig, hosts) if link is not None]
    if not links:
        return []
    size = known.n_embd * 4
    seconds = sum(x.latency_us * 1e-6 / ubatch + size / (x.bandwidth_gbs * 1e9) for x in links)
    detail = f"{len(links)} × one way, {size * ubatch / MIB:.1f} MiB per micro-batch each"
    return [(SpeedTerm(name="Network", seconds=seconds, detail=detail), 0.5)]


def _host(
    parts: list[Load],
    box: Machine,
    ubatch: int,
    used: float,
    *,
    copies: bool,
    stays: bool,
    built: float | None,
) -> list[tuple[SpeedTerm, float]] | str:
    """What lies in RAM: copied to a GPU per micro-batch, or computed by the CPU.

    ``copies``: whether it is copied. ``stays``: whether attention is computed by the CPU all the
    same.
    """
    load = next((p for p in parts if p.where == HOST), None)
    if load is None:
        return []
    if copies:
        if box.copies_to is None or box.copy_rate is None:
            return (
                "Prefill is unknown: weights in RAM are copied to the first GPU for every "
                "micro-batch and its PCIe link is not known."
            )
        size = float(touched(load.columns, used, box.host.distinct(ubatch)))
        over = link_name(box.copies_to)
        spread = box.host.copy_spread
        detail = (
            f"{size / 1e9:.1f} GB that {ubatch} tokens of a micro-batch choose, all to the first "
            "device"
        )
        found: list[SpeedTerm] = []
        if size:
            found.append(
                SpeedTerm(
                    name=COPIED,
                    seconds=size / box.copy_rate / ubatch,
                    detail=f"{detail} at {box.copy_rate / 1e9:.1f} GB/s{over}",
                )
            )
        if stays:
            flops = float(load.prefill_attention[FLOPS])
            words = f"{flops / 1e9:.2f} GFLOP at {box.host_attention / 1e9:,.0f} GFLOP/s"
            found.append(SpeedTerm("CPU: attention", flops / box.host_attention, words, HOST))
        elif load.prompt_cache and box.cache_rate is not None:
            found.append(
                SpeedTerm(
                    name=CACHE_COPIED,
                    seconds=load.prompt_cache / box.cache_rate / ubatch,
                    detail=f"{load.prompt_cache / 1e9:.2f} GB in the middle of the prompt at "
                    f"{box.cache_rate / 1e9:.1f} GB/s{over}",
                )
            )
        return [(term, spread) for term in found]
    return on_processor(load, box, ubatch, used=used, built=built)


def _details(
    found: PrefillParts, load: Load, device: DeviceSpeed, read: float, ubatch: int
) -> tuple[tuple[str, str], ...]:
    """Each part of the time, and how it comes about."""
    rate = (device.matrix_rate or 0.0) / device.clocked
    clock = "" if abs(device.clocked - 1) < 0.005 else f" × {device.clocked:.2f} by its watts"

    def arithmetic(operations: float, seconds: Number) -> str:
        """As much work at such a share of the card's rate: all that slows kernels is in it."""
        reached = operations / max(float(seconds) * rate * device.clocked, 1e-30)
        return (
            f"{operations / 1e9:,.3g} GFLOP a token at {rate / 1e12:,.0f} TFLOP/s"
            f"{clock} × {reached:.2f}"
        )

    dense, experts = (
        2 * float(load.columns[[quantized, sixteen]].sum())
        for quantized, sixteen in (
            (sums.DENSE_Q, sums.DENSE_16),
            (sums.EXPERTS_Q, sums.EXPERTS_16),
        )
    )
    batch = f"per micro-batch of {ubatch}"
    return (
        ("matrices", arithmetic(dense, found.matrices)),
        ("experts", arithmetic(experts, found.experts)),
        ("attention", arithmetic(float(load.prefill_attention[FLOPS]), found.attention)),
        ("memory", f"{read / 1e9:,.3g} GB read {batch}"),
        ("latency", f"launches of {int(load.columns[sums.BLOCKS])} blocks {batch}"),
    )


def by_rows(factor: float) -> str:
    """What measured rows change of a time, as the end of a sentence."""
    return f", × {factor:.2f} by measured rows" if abs(factor - 1) >= 0.005 else ""


def device_correction(
    model: Model, known: ModelSums, settings: RunSettings, device: DeviceSpeed, box: Machine
) -> Correction:
    """What measured rows say about one device's time per prompt token; as ``speed`` has it."""
    plain = not box.calibration.of_devices
    alike = len(box.devices) if len(box.kinds) == 1 else 0
    asked = settings if plain else settings.model_copy(update={"built": ""})
    found = correction("prefill", _case(model, known, device, asked), alike).on(device.widen)
    if plain:
        return found
    return Correction(found.error, box.calibration.reading_spread(found.spread))


def _case(model: Model, known: ModelSums, device: DeviceSpeed, settings: RunSettings) -> Case:
    return Case(
        model=model.shape,
        gpu=device.gpu,
        backend=device.backend,
        speed_class=device.class_key,
        file_type=model.file_type,
        experts=bool(known.n_expert),
        depth=settings.depth,
        built=built_year(settings.built),
        flash=settings.flash_attn != "off",
    )
