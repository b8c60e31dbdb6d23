"""The report as a document: blocks of text, figures, tables and charts, before any layout.

The same document becomes the PDF, the web page and the JSON, so that they cannot disagree.
"""

import re
import textwrap
from collections.abc import Callable
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Final, Literal, Self, cast

from pydantic import BaseModel, ConfigDict, Field

from advisor.basis import Basis

Tone = Literal["plain", "good", "tight", "offload", "bad", "muted"]
"""Meaning of a cell. Colour repeats it; the cell's words say it."""


_LONGEST_STEM: Final = 70
"""Letters of a file's name, its ending left out."""
_NOT_READ: Final = frozenset(
    {"kind", "style", "align", "tone", "language", "region", "app_version"}
)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)

    def with_texts(self, change: Callable[[str], str]) -> Self:
        """The same with every string that a reader sees changed."""
        held = {name: getattr(self, name) for name in type(self).model_fields}
        changed = {n: _changed(v, change) for n, v in held.items() if n not in _NOT_READ}
        return self.model_copy(update={n: v for n, v in changed.items() if v is not held[n]})


def _changed(value: Any, change: Callable[[str], str]) -> Any:  # noqa: ANN401 - of any field
    if isinstance(value, str) and not isinstance(value, Enum):
        return change(value)
    if isinstance(value, _Frozen):
        return value.with_texts(change)
    if not isinstance(value, tuple):
        return value
    items = cast("tuple[Any, ...]", value)
    # The points of a line are many, and no strings.
    return (
        items
        if items and isinstance(items[0], float)
        else tuple(_changed(i, change) for i in items)
    )


class Heading(_Frozen):
    """A heading; level 1 is the report's title, level 2 starts a bookmark."""

    kind: Literal["heading"] = "heading"
    level: Literal[1, 2, 3] = 2
    text: str


class Paragraph(_Frozen):
    """Running text."""

    kind: Literal["paragraph"] = "paragraph"
    text: str
    style: Literal["body", "lead", "small", "verdict"] = "body"
    """The verdict stands in a box."""


class Bullets(_Frozen):
    """A short list."""

    kind: Literal["bullets"] = "bullets"
    items: tuple[str, ...]
    style: Literal["body", "small"] = "body"


class KeyFigure(_Frozen):
    """One number that matters, in a box."""

    label: str
    value: str
    note: str = ""
    basis: Basis | None = None


class KeyFigures(_Frozen):
    """Boxes side by side."""

    kind: Literal["key_figures"] = "key_figures"
    items: tuple[KeyFigure, ...]


class Column(_Frozen):
    """A table's column: ``weight`` is its share of the width."""

    title: str
    align: Literal["left", "right"] = "left"
    weight: float = 1.0


class Cell(_Frozen):
    """A table's cell. A second line is set smaller."""

    text: str
    second: str = ""
    strong: bool = False
    tone: Tone = "plain"
    basis: Basis | None = None


class Table(_Frozen):
    """Rows under a header that is repeated on every page it reaches."""

    kind: Literal["table"] = "table"
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    tiles: bool = False
    """Draw cells as coloured tiles (the matrix of what fits) rather than lines of text."""
    caption: str = ""


class Series(_Frozen):
    """A line over x, with an optional band of uncertainty around it."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    measured: bool = False
    """Drawn heavier than predictions."""


class Band(_Frozen):
    """A predicted layer from ``low`` to ``high`` over the whole width."""

    name: str
    low: float
    high: float


class Mark(_Frozen):
    """A labelled vertical line at x (a phase, a volume) or a point when y is given."""

    x: float
    label: str
    y: float | None = None


class Limit(_Frozen):
    """A labelled horizontal line: a device's capacity."""

    y: float
    label: str


class Chart(_Frozen):
    """A line chart drawn for print. ``summary`` says in words what it shows."""

    kind: Literal["chart"] = "chart"
    title: str
    x_label: str
    y_label: str
    x_max: float | None = None
    y_max: float | None = None
    series: tuple[Series, ...] = ()
    bands: tuple[Band, ...] = ()
    marks: tuple[Mark, ...] = ()
    limits: tuple[Limit, ...] = ()
    summary: str
    height: int = 250
    """In 1/96 inch."""


class Segment(_Frozen):
    """A part of a stacked bar."""

    name: str
    value: float


class Bar(_Frozen):
    """One stacked bar up to ``capacity``."""

    label: str
    segments: tuple[Segment, ...]
    capacity: float | None = None
    note: str = ""


class Bars(_Frozen):
    """Stacked bars on one scale, with a legend."""

    kind: Literal["bars"] = "bars"
    title: str
    unit: str
    bars: tuple[Bar, ...]
    summary: str
    inks: tuple[str, ...] = ()
    """Names of all parts that there may be: each has a colour that means the same in every report.
    """


class Command(_Frozen):
    """A command to copy, set in a fixed-width face."""

    kind: Literal["command"] = "command"
    text: str


class PageBreak(_Frozen):
    """What follows starts on a new page."""

    kind: Literal["page_break"] = "page_break"


Block = Annotated[
    Heading | Paragraph | Bullets | KeyFigures | Table | Chart | Bars | Command | PageBreak,
    Field(discriminator="kind"),
]


class Document(_Frozen):
    """A whole report."""

    title: str
    subtitle: str = ""
    author: str = ""
    made: datetime
    app_version: str
    language: str = "en"
    region: str = ""
    """Locale that figures are written for (`convention.Convention`); empty: international."""
    blocks: tuple[Block, ...]

    @property
    def file_stem(self) -> str:
        """What its file is called: the title's first clause, of letters that every system takes."""
        clause = re.split(r"[,;:](?: |$)", self.title, maxsplit=1)[0]
        safe = "".join(c if c.isalnum() or c in " -_." else " " for c in clause)
        whole_words = textwrap.shorten(safe, _LONGEST_STEM, placeholder="").strip(" .")
        return whole_words or safe.strip(" .")[:_LONGEST_STEM] or "report"

    def texts(self) -> list[str]:
        """Every string a reader sees, in reading order, for checking what was extracted."""
        found: list[str] = []
        for block in self.blocks:
            found += _texts(block)
        return [text for text in found if text]


def _texts(block: Block) -> list[str]:  # noqa: PLR0911 - one per kind
    match block:
        case Heading() | Paragraph() | Command():
            return [block.text]
        case Bullets():
            return list(block.items)
        case KeyFigures():
            return [t for item in block.items for t in (item.label, item.value, item.note)]
        case Table():
            cells = [t for row in block.rows for cell in row for t in (cell.text, cell.second)]
            return [*(column.title for column in block.columns), *cells, block.caption]
        case Chart():
            named = [*block.series, *block.bands]
            labelled = [*block.marks, *block.limits]
            names = [*(item.name for item in named), *(item.label for item in labelled)]
            return [block.title, block.x_label, block.y_label, *names, block.summary]
        case Bars():
            drawn = [t for bar in block.bars for t in (bar.label, bar.note)]
            parts = dict.fromkeys(s.name for bar in block.bars for s in bar.segments)
            return [block.title, *drawn, *parts, block.summary]
        case PageBreak():
            return []
