"""The report's part about one run: what lies where, how fast it is, and the command."""

import shlex
from collections.abc import Sequence

from advisor.report.document import (
    Bar,
    Bars,
    Block,
    Bullets,
    Cell,
    Column,
    Command,
    Heading,
    Paragraph,
    Segment,
    Table,
)
from advisor.sizing import sampling
from advisor.sizing.plan import DevicePlan, HostPlan, Plan
from advisor.sizing.waits import Wait
from advisor.units import UNKNOWN, between, gib, large_unit, rate, size, tokens, waiting

_VERDICTS = {
    "fits": "fits with room to spare",
    "tight": "fits, but leaves less free memory than is comfortable",
    "offload": "runs partly from RAM, which is slower",
    "no": "does not fit",
    "unknown": "cannot be judged, because a size is unknown",
}


MAX_NOTES = 6
_INKS = (
    "Weights", "KV cache and state", "Working buffers", "Driver",
    "Drafting", "Other programs", "Projector",
)  # fmt: skip
"""Parts of a bar in the order of their colours (style.BAR_FILLS)."""


def plan_blocks(
    plan: Plan, *, recommended: str = "", ways: Sequence[str] = (), longest: Sequence[Wait] = ()
) -> list[Block]:
    """Memory per device as bars and figures, speed, the command to repeat it.

    ``recommended`` is what the verdict would run, when that is something else; ``ways`` say what
    would make this run faster, ``longest`` how long a prompt that fills the context takes.
    """
    settings = plan.settings
    takers = ["working buffers"]
    if keeps_context(plan):
        takers.insert(0, "the KV cache (what the model remembers of the conversation)")
    if plan.devices:
        takers.append("the graphics driver")
    taken = " and by ".join(part for part in (", by ".join(takers[:-1]), takers[-1]) if part)
    intro = (
        f"{plan.model_name} as {plan.file_type} ({gib(plan.file_bytes)}) with room for "
        f"{tokens(settings.ctx)} tokens of context {_VERDICTS[plan.verdict]}. Beside the model's "
        f"weights, memory is taken by {taken}."
    )
    if recommended:
        intro += f" (This is the run in question; the verdict is another: {recommended}.)"
    blocks: list[Block] = [Heading(text="The plan, device by device"), Paragraph(text=intro)]
    # Small parts first: what is left of a page takes them, and the memory goes on the next.
    blocks += _speed(plan, longest)
    blocks.append(Paragraph(text="The command that this describes:", style="small"))
    blocks.append(Command(text=shlex.join(plan.command)))
    blocks.append(_bars(plan))
    blocks.append(_memory_table(plan))
    if told := (*ways, *plan.notes[:MAX_NOTES]):
        blocks.append(Bullets(items=told, style="small"))
    return blocks


def keeps_context(plan: Plan) -> bool:
    """Whether any place holds a cache or a state, or may: an encoder keeps neither."""
    return any(place.context != 0 for place in (*plan.devices, plan.host))


def _bars(plan: Plan) -> Bars:
    bars: list[Bar] = []
    for device in plan.devices:
        others = None
        if device.capacity is not None and device.free_before is not None:
            others = device.capacity - device.free_before
        bars.append(
            Bar(
                label=f"{device.title} ({device.name})",
                segments=_segments(
                    ("Other programs", others),
                    ("Weights", device.weights),
                    ("KV cache and state", device.context),
                    ("Working buffers", device.compute),
                    ("Drafting", device.draft),
                    ("Projector", device.projector),
                    ("Driver", device.driver),
                ),
                capacity=_in_gib(device.capacity),
                note=_left(device.headroom),
            )
        )
    host = plan.host
    # Beside devices, the RAM's whole length would leave no room to see theirs; where it holds more
    # than any of them, its bar without that length would look full.
    most = max((device.total or 0 for device in plan.devices), default=0)
    whole_ram = not plan.devices or (host.total or 0) > most
    bars.append(
        Bar(
            label="RAM",
            segments=_segments(
                ("Weights", host.weights),
                ("KV cache and state", host.context),
                ("Working buffers", _sum(host.compute, host.output)),
                ("Drafting", host.draft),
                ("Projector", host.projector),
            ),
            capacity=_in_gib(host.free_before) if whole_ram else None,
            note=_left(host.headroom),
        )
    )
    there = "what the device has" if plan.devices else "what is free now"
    if plan.devices and whole_ram:
        there += ", in RAM what is free"
    return Bars(
        title="Memory",
        unit=large_unit()[1],
        bars=tuple(bars),
        summary=f"The line at the end of a bar marks {there}.",
        inks=_INKS,
    )


def _segments(*parts: tuple[str, int | None]) -> tuple[Segment, ...]:
    return tuple(
        Segment(name=name, value=value / large_unit()[0]) for name, value in parts if value
    )


def _sum(*parts: int | None) -> int | None:
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def _in_gib(value: int | None) -> float | None:
    return None if value is None else value / large_unit()[0]


def _left(headroom: int | None) -> str:
    if headroom is None:
        return UNKNOWN
    return f"{size(headroom)} left" if headroom >= 0 else f"{size(-headroom)} too much"


def _signed(headroom: int | None) -> str:
    return size(headroom).replace("-", "−")


def _memory_table(plan: Plan) -> Table:
    places = (*plan.devices, plan.host)
    shown = any(place.draft != 0 or place.projector for place in places)
    beside = ("Beside it",) if shown else ()
    columns = (
        Column(title="Place", weight=2.4),
        *(
            Column(title=title, align="right")
            for title in ("Weights", "KV cache", "Buffers", *beside, "Driver", "Total", "Left")
        ),
    )

    def others(place: DevicePlan | HostPlan) -> tuple[Cell, ...]:
        """What drafts, and the projector."""
        both = _sum(place.draft, place.projector)
        return (Cell(text=size(both), basis=plan.basis),) if shown else ()

    rows = [
        (
            Cell(text=f"{device.title} ({device.name})", strong=True),
            Cell(text=size(device.weights), basis=plan.basis),
            Cell(text=size(device.context), basis=plan.basis),
            Cell(text=size(device.compute), basis=plan.basis),
            *others(device),
            Cell(text=size(device.driver)),
            Cell(text=size(device.total), strong=True),
            Cell(text=_signed(device.headroom)),
        )
        for device in plan.devices
    ]
    host = plan.host
    rows.append(
        (
            Cell(text="RAM", strong=True),
            Cell(text=size(host.weights), basis=plan.basis),
            Cell(text=size(host.context), basis=plan.basis),
            Cell(text=size(_sum(host.compute, host.output)), basis=plan.basis),
            *others(host),
            Cell(text="–"),
            Cell(text=size(host.total), strong=True),
            Cell(text=_signed(host.headroom)),
        )
    )
    return Table(columns=columns, rows=tuple(rows))


def _speed(plan: Plan, longest: Sequence[Wait]) -> list[Block]:
    speed = plan.speed
    rows: list[tuple[Cell, ...]] = []
    depth = plan.settings.depth
    after = f"after {depth:,} tokens" if depth else "context empty"
    for name, value, of in (
        (f"Writing (decode), {after}", speed.decode_tps, "tok/s"),
        ("Reading a prompt (prefill)", speed.prefill_tps, "tok/s"),
        (f"First token after {plan.settings.n_prompt:,} tokens", speed.ttft_s, "s"),
        *((f"First token after {wait.tokens:,} tokens", wait.seconds, "s") for wait in longest),
    ):
        each, unit = waiting(value.high) if value and of == "s" else (1.0, of)
        text = UNKNOWN
        if value is not None:
            text = between(value.low / each, value.high / each, unit)
        rows.append(
            (
                Cell(text=name),
                Cell(
                    text=text,
                    basis=speed.basis if value else None,
                ),
                Cell(text=UNKNOWN if value is None else rate(value.mid / each, unit)),
            )
        )
    table = Table(
        columns=(
            Column(title="Step", weight=2),
            Column(title="Range", align="right", weight=1.4),
            Column(title="Most likely", weight=1.6),
        ),
        rows=tuple(rows),
        caption=_trust(plan),
    )
    known = has_speed(plan)
    title = "Speed, if it did fit" if plan.verdict == "no" else "Speed"
    blocks: list[Block] = [Heading(level=3, text=title), table] if known else []
    if served := sampling.sentence(speed):
        blocks.append(Bullets(items=(served,), style="small"))
    if speed.notes:
        blocks.append(Bullets(items=speed.notes, style="small"))
    return blocks


def has_speed(plan: Plan) -> bool:
    """Whether any of its speeds is known."""
    speed = plan.speed
    return any(v is not None for v in (speed.decode_tps, speed.prefill_tps, speed.ttft_s))


def _trust(plan: Plan) -> str:
    if plan.speed.decode_tps is None:
        return ""
    if plan.speed.calibrated_by:
        return f"Calibrated on this machine by the {plan.speed.calibrated_by}."
    return "Four of five measurements are expected inside the range."
