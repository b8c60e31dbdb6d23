"""The report's parts about the decision: the verdict up front, and every option with its cost."""

import re
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal

from advisor.advice.assessment import Assessment
from advisor.advice.commands import commands
from advisor.advice.money import Span, amounts, money, price, two_digits
from advisor.advice.verdict import Advice
from advisor.advice.wording import inside, sentence
from advisor.basis import Range
from advisor.report.document import (
    Block,
    Bullets,
    Cell,
    Chart,
    Column,
    Command,
    Heading,
    KeyFigure,
    KeyFigures,
    Mark,
    Paragraph,
    Series,
    Table,
)
from advisor.sizing.plan import Plan
from advisor.units import UNKNOWN, between, tokens

MAX_OPTIONS = 5
MAX_OF_A_KIND = 1
MAX_LINES = 4
MAX_BULLETS = 5
MAX_LEANS = 8
_POINTS = 24
_NAME = re.compile(r"\w+")
_SHADED = "Shaded: from the cheap to the dear end of speeds, power and prices."
_CERTAIN = "Prices as listed today."
_PACES = (
    "Speed: of llama-server's answer to a prompt of {count} tokens, the model placed as is fastest."
)


def verdict_blocks(advice: Advice | None, title: str, *, problem: str = "") -> list[Block]:
    """The answer first: one sentence, three figures, the reasons, and what would change it.

    The report's title may say its first part, what to do; the box says the rest.
    """
    if advice is None:
        text = (
            f"There is no verdict. {problem}"
            if problem
            else (
                "There is no verdict: no model was chosen. With a model, and with how it would be "
                "used, this page says what to do and what that costs."
            )
        )
        return [Paragraph(style="lead", text=text)]
    blocks: list[Block] = []
    what, _, rest = advice.headline.partition(": ")
    said = sentence(rest) if title == what else advice.headline
    if title != advice.headline:
        blocks.append(Paragraph(style="verdict", text=said))
    blocks += [Paragraph(text=_need(advice)), _figures(advice)]
    blocks.append(Bullets(items=advice.reasons[:MAX_BULLETS]))
    chart = _cost_chart(advice)
    if chart is not None:
        blocks.append(chart)
    if advice.changes:
        blocks.append(Heading(level=3, text="What would change this"))
        changes = tuple(sentence(str(change)) for change in advice.changes[:MAX_BULLETS])
        blocks.append(Bullets(items=changes))
    if advice.unknowns:
        blocks.append(Heading(level=3, text="Not known, or worth knowing"))
        unknowns = tuple(sentence(text) for text in advice.unknowns[:MAX_BULLETS])
        blocks.append(Bullets(items=unknowns, style="small"))
    return blocks


def _need(advice: Advice) -> str:
    """The question, for those who have never run a model."""
    usage = advice.usage
    api = (
        "or pay a provider for each request over the internet (an API)"
        if usage.api_allowed
        else "without sending anything to another company"
    )
    limits = [f"at least {usage.min_decode_tps:g} tokens a second"] if usage.min_decode_tps else []
    limits.append(f"room for {tokens(usage.context)} tokens at once")
    if usage.budget is not None:
        limits.append(f"a budget of {price(usage.budget, usage.currency)}")
    best = advice.best.option.file_type if advice.best is not None else ""
    bits = (
        f" Names such as {best} say in how few bits the model's numbers are stored." if best else ""
    )
    return (
        f"The question: run a language model on one's own machine, as it is or changed, {api}? "
        f"The need: {usage.requests_per_month:,} requests a month, each of about "
        f"{usage.prompt_tokens:,} tokens to read and {usage.output_tokens:,} to write (a token is "
        f"about ¾ of a word), with {', '.join(limits[:-1])}{' and ' if limits[:-1] else ''}"
        f"{limits[-1]}.{bits}"
    )


def options_blocks(advice: Advice | None, *, plan: Plan | None = None) -> list[Block]:
    """Every option on one table, what to type for the verdict, and what moves the result most.

    ``plan``: the run whose command the report has already.
    """
    if advice is None:
        return []
    usage = advice.usage
    text = (
        f"For {usage.requests_per_month:,} requests a month over {usage.horizon_months} months, "
        f"{advice.searched:,} options were looked at. These are the best of each kind, those that "
        "meet the need first. “To buy” is paid at once; “a month” spreads it over that time, less "
        "what the hardware can be sold for, and adds electricity or the API's bill."
    )
    shown = _shown(advice)
    hidden = len(advice.assessments) - len(shown)
    caption = [_PACES.format(count=f"{usage.prompt_tokens:,}")] if any(_timed(shown)) else []
    caption += [f"{hidden} more were worked out and are left out here."] if hidden else []
    rows = tuple(_option_row(a, usage.currency, best=a is advice.best) for a in shown)
    blocks: list[Block] = [
        Heading(text="Options compared"),
        Paragraph(text=text),
        Table(
            columns=(
                Column(title="Option", weight=2.7),
                Column(title="Speed, tok/s", align="right", weight=1.05),
                Column(title="To buy", align="right", weight=0.9),
                Column(title="A month", align="right", weight=0.9),
                Column(title="Meets the need", weight=3.2),
            ),
            rows=rows,
            caption=" ".join(caption),
        ),
        *_how_to(advice, plan),
    ]
    if advice.influences:
        blocks.append(_influences(advice))
    if advice.assumptions:
        blocks.append(Heading(level=3, text="What this leans on"))
        assumptions = " ".join(sentence(text) for text in advice.assumptions[:MAX_LEANS])
        blocks.append(Paragraph(text=assumptions, style="small"))
    return blocks


def _timed(shown: Sequence[Assessment]) -> Iterator[bool]:
    """Whether each has a speed of its own: an API's is not known."""
    return (a.decode_tps is not None for a in shown)


def _how_to(advice: Advice, plan: Plan | None) -> list[Block]:
    """What to type where the verdict runs a model here; nothing for an API."""
    best = advice.best
    lines = commands(best, advice.usage) if best is not None else ()
    if best is None or not lines or (len(lines) == 1 and _is_told(best, plan)):
        return []
    said = f"The verdict, {inside(best)}, is this command:"
    if len(lines) > 1:
        said = f"The verdict, {inside(best)}, is these commands, each in a window of its own:"
    return [
        Paragraph(style="small", text=said),
        *(Command(text=shlex.join(line)) for line in lines),
    ]


def _is_told(best: Assessment, plan: Plan | None) -> bool:
    """Whether the plan is the verdict's run on the rig as it is."""
    if plan is None or best.option.plan is None or best.option.purchases:
        return False
    runs = [
        (p.model_id, p.file_type, p.settings.ctx, p.settings.ctk, p.settings.ctv)
        for p in (plan, best.option.plan)
    ]
    return runs[0] == runs[1] and best.option.kind in {"keep", "tune"}


def _shown(advice: Advice) -> list[Assessment]:
    """The verdict, what it is compared with, and the best few of each kind, in their order."""
    fixed = [advice.best, advice.runner_up, *(advice.compared or ())]
    wanted = {id(a) for a in fixed if a is not None}
    taken: Counter[str] = Counter(a.option.kind for a in advice.assessments if id(a) in wanted)
    for assessment in advice.assessments:
        if id(assessment) in wanted or len(wanted) >= MAX_OPTIONS:
            continue
        kind = assessment.option.kind
        if not assessment.meets and advice.best is not None and kind != "keep":
            continue
        if taken[kind] < MAX_OF_A_KIND:
            taken[kind] += 1
            wanted.add(id(assessment))
    return [a for a in advice.assessments if id(a) in wanted]


def _figures(advice: Advice) -> KeyFigures:
    best, currency = advice.best, advice.usage.currency
    items = [
        KeyFigure(
            label="To buy",
            value=_span(best.hardware if best else None, currency),
            note="" if best is None else "paid once" if best.hardware.high else "nothing new",
        ),
        KeyFigure(
            label="A month",
            value=_span(best.monthly if best else None, currency),
            note=_month_note(best, advice),
        ),
    ]
    even = advice.break_even
    if even is not None and advice.compared is not None:
        local, api = advice.compared
        value = "never" if even.mid is None else f"{two_digits(even.mid):,}"
        note = f"requests a month: {local.option.title} against {api.option.title}"
        if even.mid is None:
            note = f"“{local.option.title}” costs more than {api.option.title} at any volume"
        elif even.low is not None and even.high is not None and even.low != even.high:
            value = f"{two_digits(even.low):,}–{two_digits(even.high):,}"
        if not even.reachable and even.mid is not None:
            note += f"; beyond the {two_digits(even.capacity):,} it can serve"
        items.append(KeyFigure(label="Break-even", value=value, note=note))
    return KeyFigures(items=tuple(items))


def _month_note(best: Assessment | None, advice: Advice) -> str:
    volume = f"at {advice.usage.requests_per_month:,} requests"
    span = best.monthly if best is not None else None
    if span is None or span.low == span.high:
        return volume
    return f"{volume}; most likely {money(span.mid, advice.usage.currency)}"


def _span(span: Span | None, currency: str) -> str:
    if span is None:
        return UNKNOWN
    if not span.high:
        return f"0 {currency}"
    return amounts(span, currency)


def _pace(speed: Range | None) -> str:
    if speed is None:
        return "–"
    return between(speed.low, speed.high)


def _option_row(assessment: Assessment, currency: str, *, best: bool) -> tuple[Cell, ...]:
    option = assessment.option
    speed = assessment.decode_tps
    runs = option.runs if option.runs not in option.title else ""
    meets = "yes" if assessment.meets else "; ".join(assessment.failures)
    if assessment.meets and assessment.doubts:
        meets = "yes, but " + "; ".join(assessment.doubts)
    return (
        Cell(text=option.title, second=runs, strong=best),
        Cell(
            text=_pace(speed),
            basis=option.run.basis if option.run and speed else None,
        ),
        Cell(text=price(assessment.hardware.mid, currency) if assessment.hardware.mid else "–"),
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
    series = tuple(_cost_line(a, xs, top) for a in shown[:MAX_LINES])
    marks = [Mark(x=requests, label=f"you: {requests:,}")]
    if even is not None and float(even) <= top and advice.compared and advice.compared[0].local:
        cost = float(advice.compared[0].local.monthly(even).mid)
        marks.append(Mark(x=float(even), y=cost, label=f"break-even {two_digits(even):,}"))
    return Chart(
        title="Cost a month against volume",
        x_label="requests a month",
        y_label=f"{advice.usage.currency} a month",
        x_max=top,
        series=series,
        marks=tuple(marks),
        summary=_SHADED if any(line.low for line in series) else _CERTAIN,
    )


def _cost_line(assessment: Assessment, even: tuple[float, ...], top: float) -> Series:
    xs = sorted({*even, *(float(bend) for bend in assessment.bends if bend < top)})
    spans = [span for x in xs if (span := assessment.monthly_at(Decimal(repr(x)))) is not None]
    spread = any(s.low != s.high for s in spans)
    return Series(
        name=assessment.option.title,
        x=tuple(xs),
        y=tuple(float(s.mid) for s in spans),
        low=tuple(float(s.low) for s in spans) if spread else (),
        high=tuple(float(s.high) for s in spans) if spread else (),
    )


def _influences(advice: Advice) -> Table:
    currency = advice.usage.currency
    rows = tuple(
        (
            Cell(text=influence.name, strong=True),
            Cell(text=influence.inputs),
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
