"""The report's part about the probe: the trace over the prediction, and the differences."""

from advisor.basis import Basis
from advisor.hardware.report import without_names
from advisor.probe.result import PlaceResult, ProbeResult
from advisor.report.document import (
    Band,
    Block,
    Bullets,
    Cell,
    Chart,
    Column,
    Command,
    Heading,
    Limit,
    Mark,
    Paragraph,
    Series,
    Table,
)
from advisor.units import KIB, MIB, UNKNOWN, gib, large_unit, rate, size, tokens

_POINTS = 400
"""A printed line has no use for more."""
_THINNEST_BAND = 4 << 20
"""Less cannot be seen."""
MAX_LOG_LINES = 4
MAX_LOG_LINE = 300
MAX_CHARTS = 2
AGREES = "none"
_SAYS_LITTLE = (AGREES, UNKNOWN)
_READ = frozenset({"program", "driver"})
"""Parts that llama.cpp's log does not tell."""
_NOT_ASKED = "–"
_LOWER = 190
"""Height of charts where there are two."""
_UNFINISHED = (
    "The probe did not run to its end, so it confirms nothing. What it measured until then is "
    "shown below; every other figure in this report is computed."
)
_TITLES = {
    "weights": "Weights",
    "context": "KV cache",
    "compute": "Working buffers",
    "output": "Output",
    "draft": "Drafting",
    "projector": "Projector",
    "driver": "Driver",
    "program": "llama.cpp itself",
}


def probe_blocks(result: ProbeResult | None, asked: tuple[str, str] | None = None) -> list[Block]:
    """What was measured. Says plainly when there was no probe, when it failed or ran another model.

    ``asked`` is the model and the file type that the report is about.
    """
    heading = Heading(text="The probe")
    if result is None:
        text = (
            "No probe was run: sizes and speeds in this report are computed. A probe of half a "
            "minute on the machine would replace the ranges by measurements."
        )
        return [heading, Paragraph(text=text)]
    ghost = (
        " A ghost stood in for the model: a file of the same shape without its weights, which "
        "takes the same memory and nearly the same time, but writes nonsense."
        if result.ghost
        else ""
    )
    program = "llama.cpp's llama-bench" if result.method == "llama-bench" else "llama.cpp"
    text = (
        f"{program} ({result.engine.version}) ran {result.title} with "
        f"{tokens(result.settings.ctx)} tokens of context on "
        f"{result.created.day} {result.created:%B %Y}.{ghost}{_extrapolated(result)} "
        f"{result.ending.sentence}"
    )
    if asked is not None and asked != (result.model_id, result.file_type):
        text += " That is not the model and file type that this report is about"
        done = result.ending.state == "done"
        text += ": it shows how far predictions hold on this machine." if done else "."
    blocks: list[Block] = [heading, Paragraph(text=text)]
    if result.ending.state != "done":
        blocks.append(Paragraph(text=_UNFINISHED))
        if result.ending.detail:
            last = without_names(result.ending.detail).strip().splitlines()[-MAX_LOG_LINES:]
            blocks.append(Command(text="\n".join(line[:MAX_LOG_LINE] for line in last)))
    if result.layers is None:  # else the line is that of a ghost with few layers
        blocks += _charts(result)
    if result.places and result.ending.state == "done":
        blocks.append(_differences(result))
    if result.speeds:
        blocks.append(_speeds(result))
    notes = [observation.sentence for observation in result.observations]
    if notes:
        blocks.append(Bullets(items=tuple(notes), style="small"))
    return blocks


def _extrapolated(result: ProbeResult) -> str:
    if result.layers is None:
        return ""
    few, more, count = result.layers
    return (
        f" Two short ones ran, with {few} and {more} of {count} layers: figures of the whole are "
        "extrapolated from them, so they are marked as computed, not as measured."
    )


def _basis(result: ProbeResult) -> Basis:
    return Basis.MEASURED if result.layers is None else Basis.COMPUTED


def _charts(result: ProbeResult) -> list[Block]:
    """Memory over time, of the places with least room where there are many."""
    drawn = {place.name: chart for place in result.places if (chart := _chart(result, place))}
    free = {p.name: p.lowest_free for p in result.places if p.lowest_free is not None}
    tightest = sorted(drawn, key=lambda name: (name not in free, free.get(name, 0)))[:MAX_CHARTS]
    shown: list[Block] = [
        chart.model_copy(update={"height": _LOWER}) if len(drawn) > 1 else chart
        for name, chart in drawn.items()
        if name in tightest
    ]
    if len(drawn) > len(shown):
        text = "These had least memory left; the table has every place."
        shown.append(Paragraph(text=text, style="small"))
    return shown


def _chart(result: ProbeResult, place: PlaceResult) -> Chart | None:
    series = result.trace.get(place.name, "used")
    if series is None:
        return None
    unit, unit_name = large_unit()
    step = max(1, len(result.trace.times_ms) // _POINTS)
    pairs = [
        (time / 1000, value * KIB / unit)
        for time, value in list(zip(result.trace.times_ms, series.values, strict=True))[::step]
        if value is not None
    ]
    if not pairs:
        return None
    # Devices show everything in use; the host's line is what llama.cpp itself holds.
    base = (place.before or 0) / unit if place.name != "host" else 0.0
    bands: list[Band] = []
    if base:
        bands.append(Band(name=f"Other programs {base:.1f} {unit_name}", low=0, high=base))
    level = base
    for component in place.components:
        if component.planned and component.planned >= _THINNEST_BAND:
            wide = component.planned / unit
            name = f"{_TITLES[component.name]} {wide:.2f} {unit_name}"
            bands.append(Band(name=name, low=level, high=level + wide))
            level += wide
    limits: tuple[Limit, ...] = ()
    highest = max([level, *(value for _, value in pairs)])
    if place.capacity is not None and place.capacity / unit < 3 * highest:
        limits = (Limit(y=place.capacity / unit, label=f"capacity {gib(place.capacity)}"),)
    return Chart(
        title=f"{place.title}: memory while llama.cpp ran",
        x_label="seconds",
        y_label=unit_name,
        series=(
            Series(
                name="measured",
                x=tuple(x for x, _ in pairs),
                y=tuple(y for _, y in pairs),
                measured=True,
            ),
        ),
        bands=tuple(bands),
        marks=tuple(Mark(x=p.start_ms / 1000, label=p.name) for p in result.phases),
        limits=limits,
        summary=(
            f"Bands: predicted before the run. Line: measured. Peak {size(place.peak)}, predicted "
            f"{size(place.planned)}; least memory left {size(place.lowest_free)}."
        ),
    )


def _differences(result: ProbeResult) -> Table:
    """Predicted against found; where there are many places, parts that agree are left out."""
    many = len(result.places) > MAX_CHARTS
    rows: list[tuple[Cell, ...]] = []
    for place in result.places:
        rows += [
            (
                Cell(text=place.title),
                Cell(text=_TITLES[component.name]),
                _known(component.planned, Basis.COMPUTED),
                _known(
                    component.engine,
                    # What llama.cpp's log does not account for is from readings.
                    _basis(result) if component.name in _READ else Basis.DRY_RUN,
                ),
                Cell(text=_difference(component.planned, component.engine)),
            )
            for component in place.components
            if (component.planned or component.engine)
            and not (many and _difference(component.planned, component.engine) in _SAYS_LITTLE)
        ]
        rows.append(
            (
                Cell(text=place.title, strong=True),
                Cell(text="Total, at its peak", strong=True),
                _known(place.planned, Basis.COMPUTED),
                _known(place.peak, _basis(result)),
                Cell(text=_difference(place.planned, place.peak)),
            )
        )
    return Table(
        columns=(
            Column(title="Place", weight=1.6),
            Column(title="Part", weight=1.5),
            Column(title="Predicted", align="right"),
            Column(title="llama.cpp", align="right"),
            Column(title="Difference", align="right"),
        ),
        rows=tuple(rows),
        caption="Parts that agree, or of which one is not known, are left out." if many else "",
    )


def _difference(planned: int | None, found: int | None) -> str:
    if planned is None or found is None:
        return UNKNOWN
    if abs(found - planned) < MIB / 2:
        return AGREES
    sign = "+" if found > planned else "−"
    return f"{sign}{size(abs(found - planned))}"


def _known(value: int | None, basis: Basis) -> Cell:
    return Cell(text=size(value), basis=None if value is None else basis)


def _pace(tps: float | None, basis: Basis) -> Cell:
    return Cell(text=_NOT_ASKED) if tps is None else Cell(text=rate(tps), basis=basis)


def _speeds(result: ProbeResult) -> Table:
    basis = _basis(result)
    rows = tuple(
        (
            Cell(
                text=f"{tokens(point.depth)} tokens in the context"
                if point.depth
                else "an empty context"
            ),
            _pace(point.decode_tps, basis),
            _pace(point.prefill_tps, basis),
            Cell(text=_NOT_ASKED if point.ttft_s is None else f"{point.ttft_s:.2f} s"),
        )
        for point in result.speeds
    )
    return Table(
        columns=(
            Column(
                title="Measured with" if result.layers is None else "Extrapolated, with", weight=2
            ),
            Column(title="Writing", align="right"),
            Column(title="Reading", align="right"),
            Column(title="First token", align="right"),
        ),
        rows=rows,
    )
