"""Memory of a run at every place: predicted, by llama.cpp's log, and measured. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from advisor.engine.log import BufferSize
from advisor.probe.buffers import Buffers
from advisor.probe.residency import Residency
from advisor.probe.result import Component, Observation, Phase, PlaceResult
from advisor.probe.sampler import HOST
from advisor.probe.trace import Trace
from advisor.sizing.plan import DevicePlan, HostPlan, Plan
from advisor.units import MIB, size

UNREAD_NOTICED: Final = 64 * MIB
UNREAD_SHARE: Final = 0.02
"""Weights that were not read are worth a word when they are this much, and this share of all."""


def places(
    plan: Plan | None,
    trace: Trace,
    phases: Sequence[Phase],
    *,
    buffers: Buffers,
    program: int | None,
    program_planned: int | None = None,
    files_needed: int | None = None,
) -> tuple[PlaceResult, ...]:
    """Memory at every place of the plan: predicted, allocated by the log, and measured.

    program: bytes that the child held before it loaded anything; program_planned: what was
    predicted of that; files_needed: bytes of its files' pages that it works with, of an engine that
    keeps more (see ``kept``).
    """
    if plan is None:
        return ()
    by_log = buffers.by_place([device.name for device in plan.devices])
    working = working_since(phases)
    results = [_device(d, trace, by_log.get(d.name, {})) for d in plan.devices]
    own = Component(name="program", planned=program_planned, engine=program)
    peak = _peak_in_use(trace, working, files_needed)
    results.append(_host(plan.host, trace, by_log.get(HOST, {}), peak, own))
    return tuple(results)


def working_since(phases: Sequence[Phase]) -> int:
    """When the first measured prompt ran: from then on memory is what the model needs.

    Before, the whole file was read, and its pages counted although they may be taken back.
    """
    for wanted in ("prefill", "warm-up"):
        for phase in phases:
            if phase.name == wanted:
                return phase.start_ms
    return 0


def measuring_since(phases: Sequence[Phase]) -> int | None:
    """When the first speed was measured: nothing is loaded any more. None: it never was."""
    return next((p.start_ms for p in phases if p.name in {"prefill", "decode"}), None)


def stopping_since(phases: Sequence[Phase]) -> int | None:
    """When it began to end: the child gives its memory back. None: it did not."""
    return next((p.start_ms for p in phases if p.name == "stopping"), None)


def in_bytes(kib: float | None) -> int | None:
    """Bytes of a sample in KiB."""
    return None if kib is None else int(kib) << 10


def _first(trace: Trace, place: str, quantity: Literal["used", "available"]) -> int | None:
    series = trace.get(place, quantity)
    if series is None:
        return None
    return in_bytes(next((v for v in series.values if v is not None), None))


def _lowest(trace: Trace, place: str, quantity: Literal["used", "available"]) -> int | None:
    series = trace.get(place, quantity)
    known = [] if series is None else [v for v in series.values if v is not None]
    return in_bytes(min(known, default=None))


def _device(plan: DevicePlan, trace: Trace, log: Mapping[str, int]) -> PlaceResult:
    before = _first(trace, plan.name, "used")
    own = in_bytes(trace.peak(plan.name, "process"))
    peak = in_bytes(trace.peak(plan.name, "used"))
    rise = None if peak is None or before is None else peak - before
    measured = own or rise
    free = None if plan.capacity is None or peak is None else plan.capacity - peak
    accounted = sum(log.values())
    driver = None if measured is None or not log else max(0, measured - accounted)
    return PlaceResult(
        name=plan.name,
        title=plan.title,
        capacity=plan.capacity,
        before=before,
        peak=measured,
        planned=plan.total,
        lowest_free=free,
        components=(
            Component(name="weights", planned=plan.weights, engine=log.get("weights")),
            Component(name="context", planned=plan.context, engine=log.get("context")),
            Component(name="compute", planned=plan.compute, engine=log.get("compute")),
            *_beside(plan, log),
            Component(name="driver", planned=plan.driver, engine=driver),
        ),
    )


def _host(
    plan: HostPlan, trace: Trace, log: Mapping[str, int], peak: int | None, program: Component
) -> PlaceResult:
    available = _first(trace, HOST, "available")
    return PlaceResult(
        name=HOST,
        title="RAM",
        capacity=plan.free_before if available is None else available,
        before=None,
        peak=peak,
        load_peak=in_bytes(trace.peak(HOST, "used")),
        planned=None if plan.total is None else plan.total + (program.planned or 0),
        lowest_free=_lowest(trace, HOST, "available"),
        components=(
            Component(name="weights", planned=plan.weights, engine=log.get("weights")),
            Component(name="context", planned=plan.context, engine=log.get("context")),
            Component(name="compute", planned=plan.compute, engine=log.get("compute")),
            Component(name="output", planned=plan.output, engine=log.get("output")),
            *_beside(plan, log),
            program,
        ),
    )


def _peak_in_use(trace: Trace, working_ms: int, files_needed: int | None) -> int | None:
    """Most RAM that the child held while it worked, less pages of files that it only kept."""
    used, file = trace.get(HOST, "used"), trace.get(HOST, "file")
    if used is None or file is None or files_needed is None:
        return in_bytes(trace.peak(HOST, "used", since_ms=working_ms))
    most = files_needed >> 10
    held = [
        whole - max(0, pages - most)
        for at, whole, pages in zip(trace.times_ms, used.values, file.values, strict=True)
        if at >= working_ms and whole is not None and pages is not None
    ]
    return in_bytes(max(held, default=None))


def _beside(plan: DevicePlan | HostPlan, log: Mapping[str, int]) -> list[Component]:
    """What drafts tokens, and the projector, where a run has them."""
    parts = [
        Component(name="draft", planned=plan.draft, engine=log.get("draft")),
        Component(name="projector", planned=plan.projector, engine=log.get("projector")),
    ]
    return [part for part in parts if part.planned != 0 or part.engine]


def unread(residency: Residency | None, buffers: Buffers, at_ms: int) -> tuple[Observation, ...]:
    """Why less was held than planned: weights of the file that no token of the run needed."""
    if residency is None:
        return ()
    copied = sum(b.size for b in buffers.model if b.kind == "model" and not _is_file(b))
    left = residency.weights - residency.read - copied
    if left < UNREAD_NOTICED or left < residency.weights * UNREAD_SHARE:
        return ()
    sentence = f"{size(left)} of the weights were never read from the file"
    if residency.experts_in_all > residency.experts_used:
        sentence += (
            f": {residency.experts_used:,} of {residency.experts_in_all:,} experts in it were used"
        )
    sentence += ". The plan counts them all, as a longer run would; this one held less."
    return (Observation(kind="unread", at_ms=at_ms, sentence=sentence),)


def kept(
    trace: Trace, phases: Sequence[Phase], buffers: Buffers, at_ms: int, files_needed: int
) -> tuple[Observation, ...]:
    """What is not counted in its peak: pages of the file that were only read to be copied.

    ``files_needed``: bytes of its files' pages that it works with: weights where they lie in the
    model's file, and its own program and libraries.
    """
    held = in_bytes(trace.peak(HOST, "file", since_ms=working_since(phases)))
    more = 0 if held is None else held - files_needed
    if not buffers.model or more < UNREAD_NOTICED:
        return ()
    sentence = (
        f"{size(more)} more of RAM were pages of files that it had only read while loading. This "
        "llama.cpp leaves them to the system, which takes them back when others need memory; the "
        "line on the plot has them, the peak does not."
    )
    return (Observation(kind="kept", at_ms=at_ms, sentence=sentence, place=HOST),)


def _is_file(buffer: BufferSize) -> bool:
    return buffer.place.endswith("_Mapped")
