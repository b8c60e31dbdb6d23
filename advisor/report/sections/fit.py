"""The report's part about what fits: file type against context, and what each type costs."""

from collections.abc import Mapping

from advisor.llm.model import Model
from advisor.llm.quality import model_loss
from advisor.report.document import Block, Cell, Column, Heading, Paragraph, Table, Tone
from advisor.sizing.matrix import Cell as MatrixCell
from advisor.sizing.matrix import Matrix
from advisor.units import GIB, gib, tokens

_TONES: dict[str, Tone] = {
    "fits": "good",
    "tight": "tight",
    "offload": "offload",
    "no": "bad",
    "unknown": "muted",
}
MAX_CONTEXTS = 7
"""More columns than this cannot be read on paper."""


def fit_blocks(matrix: Matrix | None, models: Mapping[str, Model]) -> list[Block]:
    """The matrix with one plain paragraph and its legend in words."""
    if matrix is None:
        return []
    contexts = _printed(matrix.contexts)
    rows = tuple(
        (
            Cell(text=name, second=gib(models[name].nbytes), strong=True),
            Cell(text=model_loss(models[name]).word),
            *(_cell(cell) for cell in row if cell.ctx in contexts),
        )
        for name, row in zip(matrix.file_types, matrix.rows, strict=True)
    )
    text = (
        "A model can be stored in fewer bits (rows, with what that costs in quality) and run with "
        "a longer memory of the conversation (columns, in tokens). Each cell says how much "
        "graphics memory is left, or how much of the model would have to run from RAM."
    )
    columns = (
        Column(title="File type", weight=1.35),
        Column(title="Quality loss", weight=1.5),
        *(Column(title=tokens(ctx), align="right") for ctx in contexts),
    )
    return [
        Heading(text="What fits"),
        Paragraph(text=text),
        Table(
            columns=columns,
            rows=rows,
            tiles=True,
            caption=(
                "+ GiB left (green: comfortable; yellow: tight) · RAM: GiB that would run from "
                "RAM, slower · ✕: does not fit. Quality loss was measured on other models of that "
                "size, not on this file."
            ),
        ),
    ]


def _printed(contexts: tuple[int, ...]) -> tuple[int, ...]:
    """At most MAX_CONTEXTS of them, ends included, evenly thinned."""
    last = len(contexts) - 1
    if last < MAX_CONTEXTS:
        return contexts
    chosen = {round(index * last / (MAX_CONTEXTS - 1)) for index in range(MAX_CONTEXTS)}
    return tuple(contexts[index] for index in sorted(chosen))


def _cell(cell: MatrixCell) -> Cell:
    tone = _TONES[cell.verdict]
    if cell.headroom is None:
        return Cell(text="?", tone=tone)
    left = abs(cell.headroom) / GIB
    number = f"{left:,.1f}" if left < 100 else f"{left:,.0f}"
    text = {"fits": f"+{number}", "tight": f"+{number}", "offload": f"RAM {number}"}
    return Cell(text=text.get(cell.verdict, "✕" if cell.verdict == "no" else "?"), tone=tone)
