"""Every byte of one run by place, as plain numbers: what plans, the solver and the matrix share."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from advisor.hardware.rig import Device, Rig
from advisor.llm.model import Model
from advisor.sizing import memory, speculative, tensor_split
from advisor.sizing.calibration import Calibration
from advisor.sizing.compute import ComputeBuffers, compute_buffers, projector_compute
from advisor.sizing.driver import driver_context
from advisor.sizing.memory import ContextBytes
from advisor.sizing.placement import HOST, Placement, place, split_shares
from advisor.sizing.settings import RunSettings
from advisor.sizing.weights import (
    WeightBytes,
    matching,
    n_blocks,
    projector_weights,
    weights,
)

_CUTS = frozenset({"row", "tensor"})
"""Split modes that cut matrices across devices."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """Bytes of one placement. ``context`` and ``compute`` are None when they are not known."""

    placement: Placement
    weights: WeightBytes
    context: ContextBytes | None
    compute: ComputeBuffers | None
    output: int | None
    draft: "Allocation | None" = None
    """The context that drafts tokens, with the weights of the draft model if it has one."""
    projector: tuple[int, ...] = ()
    """Weights of the multimodal projector per device and, last, on the host; empty: none."""
    projector_buffer: tuple[int, ...] = ()
    """Its compute buffer likewise; empty: none, or not known."""

    def draft_on(self, device: int) -> int | None:
        """Bytes of what drafts on one device, or on HOST; None when a part is unknown."""
        if self.draft is None:
            return 0
        return self.draft.host_total if device == HOST else self.draft.device_total(device)

    def projector_on(self, device: int) -> int:
        """Bytes of the projector on one device, or on HOST: weights, and its buffer if known."""
        parts = (self.projector, self.projector_buffer)
        return sum(part[device] for part in parts if part)

    def companions_on(self, device: int) -> int | None:
        """Bytes of all that runs beside the main context."""
        drafting = self.draft_on(device)
        return None if drafting is None else drafting + self.projector_on(device)

    def device_total(self, device: int) -> int | None:
        """Everything of llama.cpp's on one device; None when a part is unknown."""
        beside = self.companions_on(device)
        if self.context is None or self.compute is None or beside is None:
            return None
        return (
            beside
            + self.weights.devices[device]
            + self.context.devices[device]
            + self.compute.devices[device]
        )

    def in_use(self, device: int) -> bool:
        """Whether anything lies on a device, and be it the buffer for what is copied from RAM."""
        parts = (self.context, self.compute)
        lies = any(part is not None and part.devices[device] for part in parts)
        return lies or bool(self.weights.devices[device] or self.companions_on(device) != 0)

    @property
    def host_total(self) -> int | None:
        """Everything on the host; None when a part is unknown."""
        beside = self.companions_on(HOST)
        if self.context is None or self.compute is None or self.output is None or beside is None:
            return None
        return beside + self.weights.host + self.context.host + self.compute.host + self.output


@dataclass(frozen=True, slots=True)
class Room:
    """What a rig offers: bytes that a run may take, and what drivers take beside it."""

    backends: tuple[str, ...]
    free: tuple[int | None, ...]
    """Per device, free now."""
    driver: tuple[int | None, ...]
    """Per device, the driver's own context."""
    host: int | None
    """RAM free now."""
    unified: tuple[bool, ...]
    """Devices whose memory is the host's."""

    def within(self, other: "Room") -> bool:
        """Whether a like rig offers no more than ``other``; False where that is not known."""
        if (self.backends, self.unified) != (other.backends, other.unified):
            return False
        mine, others = (
            (*(f and f - (d or 0) for f, d in zip(r.free, r.driver, strict=True)), r.host)
            for r in (self, other)
        )
        return all(
            a is not None and b is not None and a <= b for a, b in zip(mine, others, strict=True)
        )


def backend_of(device: Device) -> str:
    """What llama.cpp reaches a device by: those of other machines by RPC, whatever they are."""
    return "rpc" if device.host_index else device.backend


def room(rig: Rig, calibration: Calibration | None = None) -> Room:
    """The memory of a rig as a plan sees it; a probe's driver figures replace estimates."""
    host = rig.host
    available = host.ram_available if host.ram_available is not None else host.ram_total
    estimates = [driver_context(device) for device in rig.devices]
    drivers = tuple(found.mid if found else None for found in estimates)
    if calibration is not None and calibration.driver_bytes is not None:
        measured = calibration.driver_bytes
        if len(measured) == len(drivers):
            drivers = measured
    return Room(
        backends=tuple(map(backend_of, rig.devices)),
        free=tuple(device.memory_free for device in rig.devices),
        driver=drivers,
        host=available,
        # A far machine's shared memory is not this host's.
        unified=tuple(device.unified and not device.host_index for device in rig.devices),
    )


def flash_attention(model: Model, settings: RunSettings) -> bool:
    """Whether flash attention ends up on. "auto" is on wherever the device has the kernel.

    llama-context.cpp:llama_init_from_model: Grok never uses it.
    """
    if model.hp is not None and model.hp.arch == "grok":
        return False
    return settings.flash_attn != "off"


def place_model(
    model: Model, settings: RunSettings, backends: Sequence[str], free: Sequence[int | None]
) -> Placement:
    """Where llama.cpp would put this model. ``settings`` must be solved (no "fit")."""
    if len(backends) > 1:
        tensor_split.check(model, settings, backends)
    placement = place(
        n_layer_all=n_blocks(model),
        settings=settings,
        free=free,
        backends=backends,
        has_experts=model.hp is None or model.hp.n_expert > 0,
    )
    if placement.overrides:
        matched = matching(model, placement.overrides)
        placement = replace(placement, overrides=matched)
    return placement


def place_weights(
    model: Model,
    settings: RunSettings,
    placement: Placement,
    backends: Sequence[str],
    free: Sequence[int | None],
) -> WeightBytes:
    """Bytes of the weights, cut across devices where the split mode says so."""
    placed = weights(model, settings, placement, backends)
    if not is_cut(settings, backends):
        return placed
    if _is_known_cut(model, settings, backends):
        cut = tensor_split.cut_weights(model, settings, placement, backends)
    else:
        cut = _spread(placed.devices, split_shares(settings, free))
    return WeightBytes(devices=cut, host=placed.host)


def is_cut(settings: RunSettings, backends: Sequence[str]) -> bool:
    """Whether every matrix is cut across devices; one alone is never told the split mode."""
    return settings.split_mode in _CUTS and len(backends) > 1


def _is_known_cut(model: Model, settings: RunSettings, backends: Sequence[str]) -> bool:
    """Whether it is known how every tensor is cut: by -sm tensor, on devices that are alike."""
    alike = len(set(backends)) == 1 and backends[0] in {"cuda", "rocm"}
    return settings.split_mode == "tensor" and model.hp is not None and alike


def allocate(
    model: Model,
    settings: RunSettings,
    backends: Sequence[str],
    free: Sequence[int | None],
    *,
    placement: Placement | None = None,
) -> Allocation:
    """Place the model and add everything up. ``settings`` must be solved (no "fit")."""
    settings = speculative.resolved(settings)
    found = _allocate(model, settings, backends, free, placement)
    drafting = _drafting(model, settings, backends, free, found)
    if drafting is None and model.projector is None:
        return found
    found = replace(found, draft=drafting)
    if model.projector is None:
        return found
    # clip.cpp:clip_ctx takes the first GPU, whatever the main model uses, or the CPU.
    on_host = not settings.mmproj_offload or not backends
    buffer = projector_compute(model.projector, "" if on_host else backends[0])
    return replace(
        found,
        projector=projector_weights(model.projector, backends, on_host=on_host),
        projector_buffer=_spots(buffer, len(backends)) if buffer else (),
    )


def _spots(buffer: tuple[int, int], n_devices: int) -> tuple[int, ...]:
    """A projector's buffer on the first device and on the host, by place."""
    on_device, on_host = buffer
    return (*[on_device, *([0] * n_devices)][:n_devices], on_host)


def _drafting(
    model: Model,
    settings: RunSettings,
    backends: Sequence[str],
    free: Sequence[int | None],
    main: Allocation,
) -> Allocation | None:
    """The context that drafts, and the weights of a draft model.

    server-context.cpp:load_model: it comes after the main model, so a draft model is split by what
    that leaves free. An MTP context runs on the weights of the main model.
    """
    wanted = speculative.draft_settings(settings, model.draft)
    if settings.spec_type == "draft-mtp":
        made = _allocate(model, wanted, backends, free, main.placement)
        return replace(made, weights=WeightBytes(devices=(0,) * len(backends), host=0))
    if settings.spec_type == "none" or model.draft is None:
        return None
    totals = [main.device_total(device) for device in range(len(backends))]
    left = [
        None if a is None or b is None else max(a - b, 0) for a, b in zip(free, totals, strict=True)
    ]
    return _allocate(model.draft, wanted, backends, left, None)


def _allocate(
    model: Model,
    settings: RunSettings,
    backends: Sequence[str],
    free: Sequence[int | None],
    placement: Placement | None,
) -> Allocation:
    if placement is None:
        placement = place_model(model, settings, backends, free)
    placed = place_weights(model, settings, placement, backends, free)
    caches = memory.context(
        model, settings, placement, backends, flash=flash_attention(model, settings)
    )
    compute = None
    if not is_cut(settings, backends):
        compute = compute_buffers(model, settings, placement, backends)
    elif not _is_known_cut(model, settings, backends):
        caches = None if settings.split_mode == "tensor" else caches
    elif caches is not None:
        caches = tensor_split.cut_context(model, settings, placement, backends, caches)
        compute = _joined_compute(model, settings, placement, len(backends))
    return Allocation(
        placement=placement,
        weights=placed,
        context=caches,
        compute=compute,
        output=memory.output_bytes(model, settings),
    )


def _joined_compute(
    model: Model, settings: RunSettings, placement: Placement, n_devices: int
) -> ComputeBuffers | None:
    """Compute buffers under -sm tensor, where the devices are one to the scheduler.

    ggml-backend-meta.cpp:buffer_type_alloc_buffer gives every device a buffer for whole tensors.
    """
    layers = tuple(0 if device != HOST else HOST for device in placement.layer_device)
    one = replace(placement, layer_device=layers, n_copies=1)
    # llama-context.cpp:llama_init_from_model: without a kernel for it the host computes.
    always = settings.model_copy(update={"flash_attn": "on"})
    found = compute_buffers(model, always, one, ("joined",))
    return found and ComputeBuffers(devices=found.devices * n_devices, host=found.host)


def _spread(devices: Sequence[int], shares: Sequence[float]) -> tuple[int, ...]:
    """The same bytes divided by share: matrices cut across devices, not layer by layer."""
    total, whole = sum(devices), sum(shares)
    cuts = [round(total * sum(shares[: i + 1]) / whole) for i in range(len(devices))]
    return tuple(b - a for a, b in zip([0, *cuts], cuts, strict=False))
