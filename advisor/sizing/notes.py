"""What a person should know beside a plan's figures."""

import functools
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from advisor.hardware.rig import Device, Rig
from advisor.llm.model import Model, Projector
from advisor.sizing import memory
from advisor.sizing.allocation import Allocation, Room
from advisor.sizing.bench_rows import BenchRow, bench_data
from advisor.sizing.compute import ROUGH_BACKENDS, picture_side
from advisor.sizing.placement import HOST
from advisor.sizing.settings import RunSettings
from advisor.sizing.speed_class import class_of
from advisor.sizing.speed_data import speed_data
from advisor.sizing.verdict import headrooms
from advisor.sizing.weights import WeightTable, weight_table
from advisor.units import GIB, MIB, tokens
from advisor.units import size as people

_LISTED: Final = ("cuda", "rocm", "metal", "sycl", "vulkan", "cpu")
"""Backends in the order in which llama.cpp registers them."""
_NAMES: Final = {**ROUGH_BACKENDS, "cuda": "CUDA", "rocm": "ROCm"}
"""For people."""
_TOLD: Final = 2
"""Measured cards that are named where a kind of device has the constants of theirs."""


def _unknowns(model: Model, rig: Rig, allocation: Allocation, space: Room) -> list[str]:
    found: list[str] = []
    if model.hp is None:
        found.append(
            "This version does not know the model's architecture: the weights are exact, the rest "
            "is unknown. Ask llama.cpp with a dry run."
        )
    elif allocation.context is None:
        found.append(
            "How this architecture keeps its context is not known here. A dry run asks llama.cpp."
        )
    elif allocation.compute is None:
        found.append("The compute buffer is not known for this case. Ask llama.cpp with a dry run.")
    for device, driver in zip(rig.devices, space.driver, strict=True):
        if device.memory_total is None:
            found.append(f"How much memory {device.name} has is not known.")
        if driver is None:
            backend = _NAMES.get(device.backend, device.backend)
            found.append(
                f"What the {backend} driver takes on {device.name} beside llama.cpp was "
                "never measured; it is left out until a probe has measured it."
            )
    if space.host is None:
        found.append("How much RAM the rig has is not known.")
    return list(dict.fromkeys(found))


def _weights(model: Model, settings: RunSettings, allocation: Allocation) -> list[str]:
    found: list[str] = []
    if model.missing:
        found.append(
            f"{model.id} lacks {people(model.missing)}: a download that is not finished, or a "
            "damaged file. Sizes follow from its header; a probe runs a ghost in its place."
        )
    if model.published:
        found.append(model.published)
    table = weight_table(model, "cpu", load_mtp=settings.load_mtp)
    if table.tied and allocation.placement.layer_device[-1] != HOST:
        found.append(
            f"The token embedding is also the output matrix, so its {people(table.tied)} are kept "
            "twice: in RAM and on the device."
        )
    everything = weight_table(model, "cpu", load_mtp=True)
    skipped = _in_layers(everything) - _in_layers(table)
    if skipped:
        found.append(
            f"{people(skipped)} of multi-token-prediction layers stay in the file; they load only "
            "with --spec-type draft-mtp."
        )
    loaded = _in_layers(table) - _in_layers(weight_table(model, "cpu", load_mtp=False))
    if loaded and settings.spec_type == "none":
        found.append(
            f"llama-server loads {people(loaded)} of multi-token-prediction layers only where it "
            "drafts with them (--spec-type draft-mtp), which takes more memory than this; with "
            "this command they stay in the file."
        )
    if any(table.stays) or any(weight_table(model, "cuda", load_mtp=True).stays):
        found.append("CUDA cannot multiply TQ1_0 and TQ2_0, so llama.cpp keeps those in RAM.")
    if not allocation.placement.on_device and settings.repack:
        found.append(
            "On the CPU llama.cpp may repack part of the weights (CPU_REPACK): same bytes, which "
            "its own “Host” figure leaves out."
        )
    return found


def _in_layers(table: WeightTable) -> int:
    """Bytes in a model's layers."""
    return sum(table.dense) + sum(table.experts)


def to_be_named(rig: Rig) -> bool:
    """Whether llama.cpp would use other devices by itself, or these in another order.

    It lists one backend after the other (ggml-backend-reg.cpp), and leaves integrated graphics out
    where this machine has another GPU (llama.cpp:llama_prepare_model_devices).
    """
    local = [device for device in rig.devices if not device.host_index]
    places = [_LISTED.index(device.backend) for device in local]
    return places != sorted(places) or len({device.integrated for device in local}) > 1


def _names(rig: Rig) -> list[str]:
    found: list[str] = []
    if to_be_named(rig):
        found.append(
            "llama.cpp would not take these devices in this order by itself, so -dev names them. "
            "Where one backend sees another's cards it numbers them too: llama-server "
            "--list-devices tells."
        )
    rates = [d.fp16_tflops or 0.0 for d in rig.devices if d.backend == "cuda" and not d.host_index]
    if rates != sorted(rates, reverse=True):
        found.append(
            "CUDA counts the fastest card as the first, whatever its slot: set "
            "CUDA_DEVICE_ORDER=PCI_BUS_ID for the order of the slots, as probes do, and compare it "
            "with llama-server --list-devices."
        )
    return found


def _backends(rig: Rig, settings: RunSettings) -> list[str]:
    """How far the rules of other backends than CUDA are followed."""
    found: list[str] = []
    backends = {device.backend for device in rig.devices}
    names = [name for key, name in ROUGH_BACKENDS.items() if key in backends]
    if names:
        found.append(
            f"The compute buffer on {' and '.join(names)} follows CUDA's order of operations with "
            f"the backend's own size rules; its reordering may move it by some percent."
        )
    if "metal" in backends and settings.ctk != settings.ctv:
        found.append(
            "Metal's flash attention wants K and V of the same type; with different ones llama.cpp "
            "computes attention without it, and refuses a quantized V."
        )
    return found


def _beside(model: Model, settings: RunSettings, allocation: Allocation) -> list[str]:
    """Drafting and the projector."""
    found: list[str] = []
    drafts = settings.spec_type != "none"
    if settings.spec_type == "draft-simple" and model.draft is None:
        found.append(
            "The draft model (--model-draft) was not read, so what it takes is not counted."
        )
    elif drafts and allocation.draft is not None and allocation.draft_on(HOST) is None:
        found.append(
            "What drafting takes is not known here: the context or the graph of what drafts is "
            "not. Ask llama.cpp."
        )
    if drafts:
        found.append(
            "Speeds are without drafting: what it gains depends on how often drafts are accepted. "
            "A probe measures it."
        )
    if settings.mmproj and model.projector is None:
        found.append("The projector (--mmproj) was not read, so what it takes is not counted.")
    if model.projector is not None:
        found.append(_projector(model.projector, allocation))
        if model.projector.path is None:
            found.append(
                f"The projector is sized as the converter would write it in "
                f"{model.projector.file_type}, from the numbers that the model's vision_config "
                "states. A published file in another type is larger or smaller: name it to be sure."
            )
    return found


def _projector(projector: Projector, allocation: Allocation) -> str:
    """What is not known of a projector."""
    side = picture_side(projector)
    if not allocation.projector_buffer or side is None:
        return (
            f"Of the projector ({projector.kind}) only the weights are counted: the graph of its "
            "kind, or of its sound encoder, is not known here, and with it the buffer that "
            "llama-server reserves when it starts. Leave room, or ask llama.cpp (dry run)."
        )
    return (
        "The projector's buffer is what llama-server reserves when it starts, for a picture of "
        f"{side} × {side} pixels; a larger picture makes it grow when it comes."
    )


def _server(model: Model, settings: RunSettings, host: int | None) -> list[str]:
    """What llama-server keeps in RAM as it is used."""
    if host is None or host < 0:
        return []
    found: list[str] = []
    if settings.cache_ram < 0:
        found.append("The prompt cache has no limit (--cache-ram -1): it may fill the RAM.")
    elif settings.cache_ram * MIB > host:
        found.append(
            f"llama-server also keeps up to {people(settings.cache_ram * MIB)} of prompts in RAM "
            "(--cache-ram); lower it when RAM is short."
        )
    checkpoints = memory.checkpoint_bytes(model, settings) or 0
    if checkpoints > min(host, GIB):
        found.append(
            f"Up to {settings.ctx_checkpoints} context checkpoints per slot may take "
            f"{people(checkpoints)} of RAM (--ctx-checkpoints)."
        )
    return found


def too_full(rig: Rig, left: Sequence[int | None]) -> str:
    """Why speed is unknown on cards so full that their driver may move a part to RAM, else "".

    ``left``: bytes that remain by device, None where nothing lies on it or it is not known.
    """
    spill = speed_data().spill
    full = [
        f"{people(room)} on {device.name}"
        for device, room in zip(rig.devices, left, strict=False)
        if device.backend in spill.backends and not device.unified
        if room is not None and 0 <= room < spill.least_mib * MIB
    ]
    if not full:
        return ""
    left_over = " and ".join(dict.fromkeys(full))
    return (
        f"Speed is unknown: only {left_over} is left. So near the end of a card's memory its "
        "driver may move a part to RAM without a word, and decoding slows down several times "
        f"({spill.seen}). Leave 1 GiB, as llama.cpp does (--fit-target), or let a probe measure it."
    )


def of_few_rows(devices: Iterable[Device]) -> tuple[str, ...]:
    """Whose speeds have a wider range because few, or none, of devices like them were found."""
    return tuple(dict.fromkeys(filter(None, map(_of_few_rows, devices))))


def _of_few_rows(device: Device) -> str:
    found = class_of(device)
    if found is None:
        return ""
    key, fitted, borrowed = found
    if borrowed * fitted.widen == 1:
        return ""
    rows = _fitted_to(key)
    backend = _NAMES.get(device.backend, device.backend)
    if borrowed > 1:
        measured = Counter(row.gpu for row in rows).most_common(_TOLD)
        like = " and ".join(gpu for gpu, _count in measured)
        return (
            f"No published speeds of llama.cpp with {backend} on devices like {device.name} were "
            f"found: it has the constants of others ({like}), so that its range while decoding is "
            f"{borrowed * fitted.widen:.1f} times as wide. A probe narrows it."
        )
    pages = _counted(len({row.url or row.by for row in rows}), "page")
    return (
        f"Few published speeds of llama.cpp with {backend} on devices like {device.name} were "
        f"found: its constants rest on {_counted(fitted.rows_decode, 'figure')} of decoding and "
        f"{fitted.rows_prefill or 'none'} of prompts, from {pages}, so that its range while "
        f"decoding is {fitted.widen:.1f} times as wide. A probe narrows it."
    )


@functools.cache
def _fitted_to(speed_class: str) -> tuple[BenchRow, ...]:
    return tuple(
        row
        for row in bench_data().rows
        if row.speed_class == speed_class
        and not (row.decode_error is None and row.prefill_error is None)
    )


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _power_modes(rig: Rig) -> list[str]:
    modes = speed_data().power_modes
    names = dict.fromkeys(d.name for d in rig.devices if d.architecture in modes.architectures)
    if not names:
        return []
    return [f"Speeds of {' and '.join(names)} are those of its highest power mode: {modes.seen}."]


def _encoder(model: Model, settings: RunSettings) -> list[str]:
    """An encoder takes a text whole (llama-context.cpp:encode wants n_ubatch ≥ n_tokens)."""
    if model.writes and not model.served:
        said = "It reads a text with an encoder before it writes. llama-server does not do that;"
        return [f"{said} llama-completion does (it encodes what -p says)."]
    if not model.pooling and (model.memory is None or not model.memory.diffuses):
        return []
    keeps = model.memory is not None and model.memory.keeps
    longest = f"{memory.resolve(settings, causal=keeps).n_ubatch:,}"
    if not model.pooling:
        said = "It refines a whole text at once and keeps no context. Prompt and answer together"
        return [f"{said} have at most {longest} tokens: raise -ub for more."]
    said = "It scores texts" if model.pooling == "rank" else "It turns texts into vectors"
    said += "." if keeps else " and keeps no context."
    if not (keeps and model.pooling in {"last", "rank"}):  # server-context.cpp:can_split
        said += f" A text goes through in one micro-batch: beyond {longest} tokens raise -ub."
    return [said]


def notes(
    model: Model, rig: Rig, settings: RunSettings, allocation: Allocation, space: Room
) -> tuple[str, ...]:
    """Sentences for people, the most important first."""
    found = _unknowns(model, rig, allocation, space)
    sizes = memory.resolve(settings)
    if sizes.n_ctx != settings.ctx:
        found.append(
            f"llama.cpp rounds the context to {sizes.n_ctx:,} tokens, {sizes.n_ctx_seq:,} per slot."
        )
    trained = model.hp.n_ctx_train if model.hp is not None else 0
    if trained and sizes.n_ctx_seq > trained:
        found.append(
            f"The model was trained for {tokens(trained)} tokens; a longer context may not work."
        )
    if settings.depth > sizes.n_ctx_seq:
        found.append(
            f"A text of {settings.depth:,} tokens does not go into this context "
            f"({sizes.n_ctx_seq:,} per slot); speeds are what it would cost all the same."
        )
    if settings.split_mode == "row" and len(rig.devices) > 1:
        found.append(
            "With -sm row the split of the weights is an estimate by share, and the compute buffer "
            "is not known."
        )
    if settings.split_mode == "tensor" and len(rig.devices) > 1:
        found.append(
            "With -sm tensor every device holds a slice of the matrices and caches, a whole "
            "compute buffer, and what cannot be cut. What the all-reduce takes beside (NCCL, or "
            "llama.cpp's own) is not counted. It is experimental in llama.cpp."
        )
        if allocation.compute is None:
            found.append("How the matrices are cut on these devices is not known.")
    quantized = settings.ctk not in {"f16", "bf16", "f32"}
    if quantized and any(b in {"cuda", "rocm"} for b in space.backends) and settings.kv_offload:
        found.append(
            "A quantized KV cache needs an F16 copy of one layer's K and V while it computes; at "
            "long contexts this eats a part of the saving. It is in the compute buffer."
        )
    found += _names(rig)
    found += _power_modes(rig)
    found += _encoder(model, settings)
    found += _backends(rig, settings)
    found += _weights(model, settings, allocation)
    found += _beside(model, settings, allocation)
    left = headrooms(allocation, space)
    found += _server(model, settings, left[-1])
    return tuple(found)
