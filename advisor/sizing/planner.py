"""From model, rig and settings to a plan: what `rig-advisor size` and every screen asks for."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from advisor.hardware.rig import Device, Rig
from advisor.llm.model import Model
from advisor.sizing import memory
from advisor.sizing.allocation import Allocation, Room, allocate, headrooms, room
from advisor.sizing.arguments import server_arguments
from advisor.sizing.explain import explain
from advisor.sizing.notes import notes
from advisor.sizing.plan import DevicePlan, HostPlan, Plan, Speed, Verdict
from advisor.sizing.settings import RunSettings
from advisor.sizing.solver import solve

_PREFIX: Final = {
    "cuda": "CUDA",
    "rocm": "ROCm",
    "vulkan": "Vulkan",
    "metal": "MTL",
    "sycl": "SYCL",
}
"""llama.cpp's device names: the backend's prefix and a number of its own."""


def device_names(devices: Sequence[Device]) -> tuple[str, ...]:
    """llama.cpp's name of every device: ``CUDA0``, ``CUDA1`` …"""
    seen: Counter[str] = Counter()
    names: list[str] = []
    for device in devices:
        prefix = _PREFIX.get(device.backend, device.backend.upper())
        names.append(f"{prefix}{seen[prefix]}")
        seen[prefix] += 1
    return tuple(names)


def fits(allocation: Allocation, space: Room) -> tuple[bool | None, int | None]:
    """Whether everything fits, and the smallest headroom over the devices in use.

    Without devices in use the host's headroom stands for it. Unknown RAM beside devices that hold
    everything is no obstacle; it is one where RAM has to hold a part of the model.
    """
    left = headrooms(allocation, space)
    *devices, host = left
    used = [
        value
        for value, size in zip(devices, allocation.weights.devices, strict=True)
        if size or not allocation.placement.on_device
    ]
    if not allocation.placement.on_device:
        used = []
    if any(value is None for value in used):
        return None, None
    smallest = min((value for value in used if value is not None), default=host)
    if smallest is None:
        return None, None
    if host is None:
        needed = allocation.placement.offloads
        return (False if smallest < 0 else None if needed else True), smallest
    if smallest >= 0 > host:
        return False, host if not used else smallest
    return smallest >= 0 and host >= 0, smallest


def verdict(allocation: Allocation, fit: bool | None, headroom: int | None, margin: int) -> Verdict:
    """The plan in one word, see ``Verdict``."""
    if fit is None or headroom is None:
        return "unknown"
    if not fit:
        return "no"
    if allocation.placement.on_device and allocation.placement.offloads:
        return "offload"
    return "tight" if headroom < margin else "fits"


def max_context(
    model: Model, settings: RunSettings, space: Room, allocation: Allocation
) -> int | None:
    """Largest context that fits with this placement, and not beyond what the model was trained for.

    Memory never shrinks as the context grows, so halving the interval over llama.cpp's padded
    contexts finds it exactly. 0: not even the smallest fits; None: a size is unknown.
    """
    step = memory.PADDING * (1 if settings.kv_unified else settings.parallel)
    trained = model.hp.n_ctx_train if model.hp is not None else 0
    slots = 1 if settings.kv_unified else settings.parallel
    top = max(trained * slots, settings.ctx) // step

    def works(steps: int) -> bool | None:
        wanted = settings.model_copy(update={"ctx": steps * step})
        grown = allocate(model, wanted, space.backends, space.free, placement=allocation.placement)
        return fits(grown, space)[0]

    smallest = works(1)
    if smallest is None:
        return None
    if not smallest:
        return 0
    low, high = 1, max(top, 1)
    while low < high:
        middle = (low + high + 1) // 2
        if works(middle):
            low = middle
        else:
            high = middle - 1
    return low * step


def size(model: Model, rig: Rig, settings: RunSettings) -> Plan:
    """Bytes on every device, speed, and why, for one run.

    Raises SettingsError where llama.cpp would refuse to start.
    """
    memory.check(model, settings)
    settings = solve(model, rig, settings)
    space = room(rig)
    allocation = allocate(model, settings, space.backends, space.free)
    fit, headroom = fits(allocation, space)
    names = device_names(rig.devices)
    context, compute, weights = allocation.context, allocation.compute, allocation.weights
    devices: list[DevicePlan] = []
    for index, (device, name) in enumerate(zip(rig.devices, names, strict=True)):
        layers = tuple(
            il for il, where in enumerate(allocation.placement.layer_device) if where == index
        )
        devices.append(
            DevicePlan(
                name=name,
                title=device.name,
                weights=weights.devices[index],
                context=None if context is None else context.devices[index],
                compute=None if compute is None else compute.devices[index],
                driver=space.driver[index] if layers else 0,
                capacity=device.memory_total,
                free_before=space.free[index],
                layers=layers,
            )
        )
    shared = sum(
        device.total or 0 for device, unified in zip(devices, space.unified, strict=True) if unified
    )
    return Plan(
        model_id=model.id,
        model_name=model.name,
        file_type=model.file_type,
        settings=settings,
        file_bytes=model.nbytes,
        devices=tuple(devices),
        host=HostPlan(
            weights=weights.host,
            context=None if context is None else context.host,
            compute=None if compute is None else compute.host,
            output=allocation.output,
            free_before=None if space.host is None else space.host - shared,
        ),
        kv={} if context is None else context.kv,
        recurrent_state=None if context is None else context.state,
        fits=fit,
        verdict=verdict(allocation, fit, headroom, settings.margin),
        headroom=headroom,
        max_ctx=max_context(model, settings, space, allocation),
        speed=Speed(),
        command=("llama-server", *server_arguments(model, settings, n_devices=len(devices))),
        notes=notes(model, rig, settings, allocation, space),
        explanations=explain(model, settings, allocation, rig.devices, names),
    )
