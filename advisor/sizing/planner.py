"""From model, rig and settings to a plan: what `rig-advisor size` and every screen asks for."""

from collections.abc import Sequence

from advisor.hardware.rig import Device, Rig
from advisor.llm.model import Model
from advisor.sizing import memory, overrides, refusals, speculative
from advisor.sizing.allocation import Allocation, Room, allocate, backend_of, room
from advisor.sizing.arguments import program_of, server_arguments
from advisor.sizing.build_rules import version_of
from advisor.sizing.calibration import Calibration
from advisor.sizing.expert_parts import in_parts
from advisor.sizing.explain import explain, explain_speed
from advisor.sizing.notes import notes, of_few_rows, to_be_named, too_full
from advisor.sizing.placement import HOST
from advisor.sizing.plan import DevicePlan, HostPlan, Plan, Speed
from advisor.sizing.settings import FIT, RunSettings
from advisor.sizing.solver import solve
from advisor.sizing.speed import predict
from advisor.sizing.verdict import headrooms, judged
from advisor.units import MIB


def device_names(devices: Sequence[Device]) -> tuple[str, ...]:
    """llama.cpp's name of every device: ``CUDA0``, ``CUDA1`` …, ``RPC0`` on another machine."""
    return overrides.device_names([backend_of(device) for device in devices])


def named_devices(rig: Rig) -> tuple[str, ...]:
    """What ``-dev`` has to say; empty where llama.cpp takes these devices in this order anyway."""
    return device_names(rig.devices) if to_be_named(rig) else ()


def max_context(
    model: Model, settings: RunSettings, space: Room, allocation: Allocation
) -> int | None:
    """Largest context that fits with this placement, and not beyond what the model was trained for.

    Exact over llama.cpp's padded contexts. Memory grows almost evenly with the context, so the
    point where a straight line between two known contexts runs out of memory is nearly always the
    answer; two more looks prove it. 0: not even the smallest fits; None: a size is unknown.
    """
    slots = 1 if settings.kv_unified else settings.parallel
    step = memory.PADDING * slots
    trained = model.hp.n_ctx_train if model.hp is not None else 0
    top = max(trained * slots, settings.ctx, step) // step

    def left(steps: int) -> int | None:
        wanted = settings.model_copy(update={"ctx": steps * step})
        grown = allocate(model, wanted, space.backends, space.free, placement=allocation.placement)
        return _least_left(grown, space)

    at_top = left(top)
    if at_top is None or at_top >= 0:
        return None if at_top is None else top * step
    # What was asked for is known already; a graph of the shortest context may be one of its own.
    asked, odd = divmod(settings.ctx, step)
    at_asked = None if odd else _least_left(allocation, space)
    low, high, at_bottom = 1, top, None
    if at_asked is not None and at_asked >= 0:
        low, at_bottom = asked, at_asked
    else:
        at_bottom = left(low)
    if at_bottom is None or at_bottom < 0:
        return None if at_bottom is None else 0
    halve = False
    while high - low > 1:
        guess = (low + high) // 2
        if not halve:
            guess = low + (high - low) * at_bottom // (at_bottom - at_top)
        guess = min(max(guess, low + 1), high - 1)
        value = left(guess)
        if value is None:
            return None
        before = high - low
        if value >= 0:
            low, at_bottom = guess, value
        else:
            high, at_top = guess, value
        halve = (high - low) * 4 > before * 3 and not halve
    return low * step


def _least_left(allocation: Allocation, space: Room) -> int | None:
    """Bytes left where it is tightest, of the devices in use and the host; None: not known."""
    known = headrooms(allocation, space)
    in_use = [
        value
        for device, value in enumerate(known[:-1])
        if allocation.in_use(device) or value is None
    ]
    if None in in_use or (known[-1] is None and not in_use):
        return None
    return min(value for value in (*in_use, known[-1]) if value is not None)


def _left_in_use(allocation: Allocation, space: Room) -> list[int | None]:
    """Bytes left on the devices that hold anything, else None."""
    return [
        left if allocation.in_use(device) else None
        for device, left in enumerate(headrooms(allocation, space)[:-1])
    ]


def size(
    model: Model,
    rig: Rig,
    settings: RunSettings,
    *,
    calibration: Calibration | None = None,
    file_bytes: int | None = None,
    finely: bool = False,
    longest: bool = True,
    ghost: bool = False,
) -> Plan:
    """Bytes on every device, speed, and why, for one run.

    ``calibration``: what a probe taught about this rig. ``file_bytes``: size of the actual file
    where it is known; it scales speed. ``finely``: where the solver chooses what experts go to RAM,
    it may choose parts of a layer's (``-ot``), which takes longer. ``longest``: whether to look for
    the longest context that would fit, a third of the work. ``ghost``: as fast as a ghost of it.
    Raises SettingsError where llama.cpp would refuse to start.
    """
    settings = speculative.by_its_file(model, settings)
    refusals.check(model, settings)
    space = room(rig, calibration)
    settings = speculative.resolved(settings)
    if model.draft is not None:
        refusals.check(model.draft, speculative.draft_settings(settings, model.draft), drafts=True)
    asked, settings = settings, solve(model, rig, settings, space, calibration)
    if finely and asked.n_cpu_moe == "fit":
        settings = in_parts(model, rig, settings, space, calibration)
    allocation = allocate(model, settings, space.backends, space.free)
    full = too_full(rig, _left_in_use(allocation, space))
    if full:
        speed = Speed(notes=(full,))
    else:
        speed = predict(
            model,
            rig,
            settings,
            allocation.placement,
            calibration,
            file_bytes=file_bytes,
            ghost=ghost,
        )
        if speed.decode_tps is not None and not (calibration and calibration.of_devices):
            used = {term.where for term in speed.decode_terms}
            told = of_few_rows(d for at, d in enumerate(rig.devices) if at in used)
            speed = speed.model_copy(update={"notes": (*speed.notes, *told)})
    judgement = judged(allocation, space, settings.margin)
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
                draft=allocation.draft_on(index),
                projector=allocation.projector_on(index),
                driver=space.driver[index] if allocation.in_use(index) else 0,
                capacity=device.memory_total,
                free_before=space.free[index],
                layers=layers,
            )
        )
    shared = sum(
        device.total or 0 for device, unified in zip(devices, space.unified, strict=True) if unified
    )
    program, *mode = program_of(model)
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
            draft=allocation.draft_on(HOST),
            projector=allocation.projector_on(HOST),
            prompt_cache=None if settings.cache_ram < 0 else settings.cache_ram * MIB,
            checkpoints=memory.checkpoint_bytes(model, settings),
            free_before=None if space.host is None else space.host - shared,
        ),
        kv={} if context is None else context.kv,
        recurrent_state=None if context is None else context.state,
        projector_buffer=model.projector is None or bool(allocation.projector_buffer),
        fits=judgement.fits,
        verdict=judgement.verdict,
        headroom=judgement.headroom,
        max_ctx=max_context(model, settings, space, allocation) if longest else None,
        speed=speed,
        llama_cpp=version_of(settings.built),
        command=(
            program,
            *server_arguments(
                model,
                settings,
                n_devices=len(devices),
                n_remote_hosts=len(rig.hosts) - 1,
                devices=named_devices(rig),
            ),
            *mode,
        ),
        notes=notes(model, rig, settings, allocation, space),
        explanations={
            **explain(model, settings, allocation, rig.devices, names=names, drivers=space.driver),
            **explain_speed(speed, settings),
        },
    )


def size_anywhere(
    model: Model,
    rig: Rig,
    settings: RunSettings,
    *,
    calibration: Calibration | None = None,
    longest: bool = True,
    ghost: bool = False,
) -> Plan:
    """The plan as asked for; where nobody asked for a placement and it does not fit, with RAM.

    ``longest`` and ``ghost`` as in ``size``, which raises SettingsError.
    """

    def sized(settings: RunSettings) -> Plan:
        return size(
            model, rig, settings,
            calibration=calibration, finely=True, longest=longest, ghost=ghost,
        )  # fmt: skip

    plan = sized(settings)
    nothing_asked = settings.n_gpu_layers == "all" and settings.n_cpu_moe == 0
    if plan.verdict == "no" and nothing_asked and rig.devices:
        elsewhere = sized(settings.model_copy(update=FIT))
        if elsewhere.verdict != "no":
            return elsewhere
    return plan
