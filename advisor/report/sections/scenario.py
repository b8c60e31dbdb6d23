"""The report's part about a built-in case: every rig in it, and from when on it pays."""

import itertools
from collections.abc import Sequence

from advisor.advice.money import money
from advisor.advice.scenarios import Answer, Crossing, Link, Row, Speeds
from advisor.basis import Range
from advisor.report.document import (
    Block,
    Bullets,
    Cell,
    Column,
    Heading,
    Paragraph,
    Table,
    Tone,
)
from advisor.units import UNKNOWN, between, large_unit, tokens

MAX_CONTEXTS = 4
_RIG_AND_MODEL = (Column(title="Rig", weight=1.5), Column(title="Model", weight=1.75))
_ON_DEVICES = ("fits", "tight")


def scenario_blocks(answer: Answer | None) -> list[Block]:
    """The case's question, its rules of thumb, and the tables behind them."""
    if answer is None:
        return []
    case, usage = answer.scenario, answer.advice.usage
    intro = (
        f"{case.question} A request of this case reads {usage.prompt_tokens:,} tokens and writes "
        f"{usage.output_tokens:,}. {case.source}"
    )
    return [
        Heading(text=case.title),
        Paragraph(text=intro),
        Bullets(items=answer.rules, style="small"),
        Heading(level=3, text="What fits"),
        *_allocation(answer),
        Heading(level=3, text="How fast"),
        _speeds(answer),
        Heading(level=3, text="From when on a rig is cheaper"),
        _crossings(answer),
        Heading(level=3, text="What to do at which volume"),
        _volumes(answer),
        *_links(answer),
        Heading(level=3, text="The guide's own numbers, worked out again"),
        Paragraph(text=_guide(answer)),
    ]


def _pairs(rows: Sequence[Row]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((row.rig, row.model) for row in rows))


def _allocation(answer: Answer) -> list[Block]:
    contexts = _spread(answer.scenario.contexts)
    unit = large_unit()[1]
    rows: list[tuple[Cell, ...]] = []
    for rig, model in _pairs(answer.allocation):
        mine = [row for row in answer.allocation if (row.rig, row.model) == (rig, model)]
        cells = (_best([row for row in mine if row.ctx == ctx]) for ctx in contexts)
        rows.append((Cell(text=rig, strong=True), Cell(text=model), *cells))
    caption = (
        f"The largest file that the cards hold alone, else the largest that runs with a part in "
        f"RAM; the KV cache (what the model remembers of the conversation) in "
        f"{answer.scenario.kv}. +: {unit} that stay free on the cards · RAM: {unit} that run from "
        f"RAM · ×: not even the smallest file fits."
    )
    columns = (
        *_RIG_AND_MODEL,
        *(Column(title=f"{tokens(ctx)} tokens", align="right", weight=1.5) for ctx in contexts),
    )
    return [Table(columns=columns, rows=tuple(rows), tiles=True, caption=caption)]


def _spread(contexts: tuple[int, ...]) -> tuple[int, ...]:
    last = len(contexts) - 1
    if last < MAX_CONTEXTS:
        return contexts
    return tuple(contexts[round(i * last / (MAX_CONTEXTS - 1))] for i in range(MAX_CONTEXTS))


def _best(rows: Sequence[Row]) -> Cell:
    """The largest file on the cards alone, else with RAM."""
    on_cards = [row for row in rows if row.verdict in _ON_DEVICES]
    with_ram = [row for row in rows if row.verdict == "offload"]
    if on_cards:
        row = max(on_cards, key=lambda r: r.file_bytes)
        left = UNKNOWN if row.headroom is None else f"+{row.headroom / large_unit()[0]:,.0f}"
        tone: Tone = "good" if row.verdict == "fits" else "tight"
        return Cell(text=f"{row.file_type} {left}", tone=tone)
    if with_ram:
        row = max(with_ram, key=lambda r: r.file_bytes)
        moved = UNKNOWN if row.headroom is None else f"{row.moved / large_unit()[0]:,.0f}"
        return Cell(text=f"{row.file_type} RAM {moved}", tone="offload")
    if any(row.verdict == "unknown" for row in rows):
        return Cell(text="?", tone="muted")
    return Cell(text="×", tone="bad")


def _speeds(answer: Answer) -> Table:
    best: dict[tuple[str, str], Speeds] = {}
    for speeds in answer.speeds:
        best.setdefault((speeds.rig, speeds.model), speeds)
    rows = tuple(
        (
            Cell(text=found.rig, strong=True),
            Cell(text=found.model),
            Cell(text=found.file_type + (", RAM" if found.in_ram else "")),
            Cell(text=found.loss),
            Cell(text=_range(found.decode_tps)),
            Cell(text=_range(found.prefill_tps)),
            Cell(text=UNKNOWN if found.minutes is None else f"{found.minutes:,.0f} min"),
        )
        for found in best.values()
    )
    return Table(
        columns=(
            *_RIG_AND_MODEL,
            Column(title="Best file", weight=1.3),
            Column(title="Quality loss", weight=1.2),
            Column(title="Writing, tok/s", align="right", weight=1.15),
            Column(title="Reading, tok/s", align="right", weight=1.15),
            Column(title="One request", align="right"),
        ),
        rows=rows,
        caption=(
            f"The file of least loss at {tokens(answer.advice.usage.context)} tokens of context. "
            "Predicted, not measured: four of five measurements are expected inside a range."
        ),
    )


def _range(value: Range | None) -> str:
    if value is None:
        return UNKNOWN
    return between(value.low, value.high)


def _crossings(answer: Answer) -> Table:
    apis = list(dict.fromkeys(c.api for c in answer.crossings))
    prices = {c.api: c.api_per_request for c in answer.crossings}
    currency = answer.advice.usage.currency
    rows: list[tuple[Cell, ...]] = []
    for (rig, model), group in itertools.groupby(answer.crossings, key=lambda c: (c.rig, c.model)):
        found = {c.api: c for c in group}
        capacity = next(iter(found.values())).break_even.capacity
        rows.append(
            (
                Cell(text=rig, strong=True),
                Cell(text=model),
                Cell(text=f"{capacity:,.0f}"),
                *(_crossing(found.get(api)) for api in apis),
            )
        )
    short = "; ".join(answer.shortfalls)
    short = f" What would not do at any volume: {short}." if short else ""
    return Table(
        columns=(
            Column(title="Rig", weight=1.6),
            Column(title="Model", weight=2.4),
            Column(title="Can serve a month", align="right", weight=0.9),
            *(
                Column(title=f"{api} ({money(prices[api], currency)} a request)", align="right")
                for api in apis
            ),
        ),
        rows=tuple(rows),
        caption=(
            "Requests a month from which the rig costs less than the API, hardware included. In "
            f"brackets: more than the rig can serve, so that it never gets there.{short}"
        ),
    )


def _crossing(crossing: Crossing | None) -> Cell:
    if crossing is None:
        return Cell(text=UNKNOWN)
    even = crossing.break_even
    if even.mid is None:
        return Cell(text="never", tone="muted")
    if not even.reachable:
        return Cell(text=f"({even.mid:,.0f})", tone="muted")
    return Cell(text=f"{even.mid:,.0f}", strong=True)


def _volumes(answer: Answer) -> Table:
    """Volumes with the same advice in one row."""
    rows: list[tuple[Cell, ...]] = []
    groups = itertools.groupby(answer.by_volume, key=lambda item: item[1].partition(":")[0])
    for what, group in groups:
        volumes = [volume for volume, _ in group]
        span = f"{volumes[0]:,}" if len(volumes) == 1 else f"{volumes[0]:,} to {volumes[-1]:,}"
        rows.append((Cell(text=span, strong=True), Cell(text=f"{what}.")))
    return Table(
        columns=(Column(title="Requests a month"), Column(title="What to do", weight=4)),
        rows=tuple(rows),
    )


def _links(answer: Answer) -> list[Block]:
    if not answer.links:
        return []
    rows = tuple(
        (
            Cell(text=link.rig, strong=True),
            Cell(text=link.model),
            Cell(text=f"{link.tensor_split / 1e6:,.2f} MB"),
            Cell(text=f"{link.layer_split / 1e6:,.2f} MB"),
            Cell(text=_link_text(link)),
            Cell(text=UNKNOWN if link.share is None else f"{link.share:.2%}"),
        )
        for link in answer.links
    )
    return [
        Heading(level=3, text="What travels between the cards"),
        Table(
            columns=(
                *_RIG_AND_MODEL,
                Column(title="A token, tensors split", align="right"),
                Column(title="A token, layers split", align="right"),
                Column(title="Link", weight=1.7),
                Column(title="Of the link in use", align="right"),
            ),
            rows=rows,
            caption="Sums as BF16 values; llama.cpp sends F32, twice as much, where NCCL adds a "
            "single token's. None of it depends on the length of the context: the KV cache never "
            "travels.",
        ),
    ]


def _link_text(link: Link) -> str:
    return link.link if link.link_gbs is None else f"{link.link}, {link.link_gbs:,.0f} GB/s"


def _guide(answer: Answer) -> str:
    guide, check = answer.scenario.guide, answer.guide
    return (
        f"{guide.watts:,.0f} W for {guide.hours_per_month:,.0f} hours at "
        f"{guide.price_per_kwh} USD a kWh are {check.electricity_month:,.2f} USD a month, and "
        f"{guide.hardware_usd:,.0f} USD over {guide.months} months are "
        f"{check.hardware_month:,.2f} USD a month ({check.hardware_per_request:,.2f} USD for each "
        f"of {guide.requests:,} requests). Against {guide.api_usd_per_request} USD a request, "
        f"electricity alone is earned back at {check.break_even_electricity:,.0f} requests a "
        f"month, electricity and hardware at {check.break_even:,.0f}."
    )
