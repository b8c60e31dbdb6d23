"""The report's parts about the decision: the verdict up front, and every option with its cost."""

from decimal import Decimal

from advisor.advice.costs import Span
from advisor.advice.options import Assessment, money
from advisor.advice.verdict import Advice
from advisor.report.document import (
    Block,
    Bullets,
    Cell,
    Chart,
    Column,
    Heading,
    KeyFigure,
    KeyFigures,
    Mark,
    Paragraph,
    Series,
    Table,
)
from advisor.units import UNKNOWN, rate

MAX_OPTIONS = 14
MAX_LINES = 4
_POINTS = 24


def verdict_blocks(advice: Advice | None, title: str) -> list[Block]:
    """The answer first: one sentence, three figures, the reasons, and what would change it.

    The sentence is left out where it is the report's title already.
    """
    if advice is None:
        text = "No advice was asked for: choose a model and say how you would use it."
        return [Paragraph(style="lead", text=text)]
    blocks: list[Block] = []
    if title != advice.headline:
        blocks.append(Paragraph(style="lead", text=advice.headline))
    blocks += [_figures(advice), Bullets(items=advice.reasons)]
    chart = _cost_chart(advice)
    if chart is not None:
        blocks.append(chart)
    if advice.changes:
        blocks.append(Heading(level=3, text="What would change this"))
        blocks.append(Bullets(items=tuple(str(change) for change in advice.changes)))
    if advice.unknowns:
        blocks.append(Heading(level=3, text="Not known"))
        blocks.append(Bullets(items=advice.unknowns, style="small"))
    return blocks


def options_blocks(advice: Advice | None) -> list[Block]:
    """Every option on one table, and what moves the result most."""
    if advice is None:
        return []
    usage = advice.usage
    text = (
        f"For {usage.requests_per_month:,} requests a month over {usage.horizon_months} months, "
        f"{advice.searched:,} options were looked at. These are the best of each kind, those that "
        "meet the need first. “To buy” is paid at once; “a month” spreads it over the horizon, "
        "less what the hardware can be sold for, and adds electricity or the API's bill."
    )
    shown = advice.assessments[:MAX_OPTIONS]
    rows = tuple(_option_row(a, usage.currency, best=a is advice.best) for a in shown)
    blocks: list[Block] = [
        Heading(text="Options compared"),
        Paragraph(text=text),
        Table(
            columns=(
                Column(title="Option", weight=2.6),
                Column(title="Speed, tok/s", align="right", weight=1.1),
                Column(title="To buy", align="right", weight=1.1),
                Column(title="A month", align="right", weight=1.1),
                Column(title="Meets the need", weight=2.6),
            ),
            rows=rows,
        ),
    ]
    if advice.influences:
        blocks.append(_influences(advice))
    if advice.assumptions:
        blocks.append(Heading(level=3, text="What this leans on"))
        blocks.append(Bullets(items=advice.assumptions, style="small"))
    return blocks


def _figures(advice: Advice) -> KeyFigures:
    best, currency = advice.best, advice.usage.currency
    items = [
        KeyFigure(label="To buy", value=_span(best.hardware if best else None, currency)),
        KeyFigure(
            label="A month",
            value=_span(best.monthly if best else None, currency),
            note=f"at {advice.usage.requests_per_month:,} requests",
        ),
    ]
    even = advice.break_even
    if even is not None and advice.compared is not None:
        local, api = advice.compared
        value = UNKNOWN if even.mid is None else f"{_round(even.mid):,}"
        note = f"requests a month: {local.option.title} against {api.option.title}"
        if even.mid is None:
            value = "never"
        elif even.low is not None and even.high is not None and even.low != even.high:
            value = f"{_round(even.low):,}–{_round(even.high):,}"
        if not even.reachable and even.mid is not None:
            note += f"; beyond the {_round(even.capacity):,} it can serve"
        items.append(KeyFigure(label="Break-even", value=value, note=note))
    return KeyFigures(items=tuple(items))


def _round(value: Decimal) -> int:
    """Two significant digits: break-evens are not known better than that."""
    whole = int(value)
    step = 10 ** max(0, len(str(whole)) - 2)
    return round(whole / step) * step


def _span(span: Span | None, currency: str) -> str:
    if span is None:
        return UNKNOWN
    low, high = money(span.low, currency), money(span.high, currency)
    return low if low == high else f"{low.rpartition(' ')[0]}–{high}"


def _option_row(assessment: Assessment, currency: str, *, best: bool) -> tuple[Cell, ...]:
    option = assessment.option
    speed = assessment.decode_tps
    runs = option.runs if option.runs not in option.title else ""
    meets = "yes" if assessment.meets else "; ".join(assessment.failures)
    if assessment.meets and assessment.doubts:
        meets = "yes, if " + "; ".join(assessment.doubts)
    return (
        Cell(text=option.title, second=runs, strong=best),
        Cell(
            text="–" if speed is None else f"{rate(speed.low, '').strip()}–{rate(speed.high, '')}",
            basis=option.plan.speed.basis if option.plan and speed else None,
        ),
        Cell(text=money(assessment.hardware.mid, currency)),
        Cell(
            text=UNKNOWN if assessment.monthly is None else money(assessment.monthly.mid, currency)
        ),
        Cell(text=meets, tone="plain" if assessment.meets else "muted"),
    )


def _cost_chart(advice: Advice) -> Chart | None:
    """Monthly cost against volume for the verdict, the runner-up and the pair compared."""
    wanted = [advice.best, advice.runner_up, *(advice.compared or ())]
    shown: list[Assessment] = []
    for a in wanted:
        known = a is not None and a.monthly_at(0) is not None
        if a is not None and known and a not in shown:
            shown.append(a)
    if not shown:
        return None
    requests = advice.usage.requests_per_month
    even = advice.break_even.mid if advice.break_even else None
    top = float(max(requests * 2, min(even * 2, requests * 20) if even else 0))
    xs = tuple(top * index / _POINTS for index in range(_POINTS + 1))
    series = tuple(_cost_line(a, xs) for a in shown[:MAX_LINES])
    marks = [Mark(x=requests, label=f"you: {requests:,}")]
    if even is not None and float(even) <= top and advice.compared and advice.compared[0].local:
        cost = float(advice.compared[0].local.monthly(even).mid)
        marks.append(Mark(x=float(even), y=cost, label=f"break-even {_round(even):,}"))
    return Chart(
        title="Cost a month against volume",
        x_label="requests a month",
        y_label=f"{advice.usage.currency} a month",
        x_max=top,
        series=series,
        marks=tuple(marks),
        summary="Shaded: from the cheap to the dear end of speeds, power and prices.",
    )


def _cost_line(assessment: Assessment, xs: tuple[float, ...]) -> Series:
    spans = [span for x in xs if (span := assessment.monthly_at(Decimal(repr(x)))) is not None]
    spread = any(s.low != s.high for s in spans)
    return Series(
        name=assessment.option.title,
        x=xs,
        y=tuple(float(s.mid) for s in spans),
        low=tuple(float(s.low) for s in spans) if spread else (),
        high=tuple(float(s.high) for s in spans) if spread else (),
    )


def _influences(advice: Advice) -> Table:
    currency = advice.usage.currency
    rows = tuple(
        (
            Cell(text=influence.name, strong=True),
            Cell(text=f"{influence.low_input} … {influence.high_input}"),
            Cell(text=money(influence.swing, currency)),
        )
        for influence in advice.influences[:3]
    )
    return Table(
        columns=(
            Column(title="What moves the result most", weight=2),
            Column(title="From … to", weight=2.4),
            Column(title="Moves a month's cost by", align="right", weight=1.4),
        ),
        rows=rows,
    )
