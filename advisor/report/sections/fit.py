"""The report's part about what fits: file type against context, and what each type costs."""

from collections.abc import Mapping, Sequence

from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.llm.quality import model_loss
from advisor.report.document import Block, Cell, Column, Heading, Paragraph, Table, Tone
from advisor.sizing.matrix import Cell as MatrixCell
from advisor.sizing.matrix import Matrix, lacking
from advisor.units import LEAST_MOVED, gib, large_unit, tokens

_TONES: dict[str, Tone] = {
    "fits": "good",
    "tight": "tight",
    "offload": "offload",
    "no": "bad",
    "unknown": "muted",
}
_ALIKE = 0.99
_Row = tuple[str, Sequence[MatrixCell]]
MAX_CONTEXTS = 7
"""More columns than this cannot be read on paper."""


def fit_blocks(
    matrix: Matrix | None,
    models: Mapping[str, Model],
    rig: Rig,
    *,
    chosen: tuple[str, int] | None = None,
    memory: str = "graphics memory",
    columns: str = "can run with a longer memory of the conversation (columns, in tokens)",
) -> list[Block]:
    """The matrix with one plain paragraph and its legend in words.

    ``chosen`` is the file type and context in question, ``memory`` what the model should fit into,
    ``columns`` what more context does.
    """
    if matrix is None:
        return []
    contexts = _printed(matrix.contexts, chosen)
    unit = large_unit()[1]
    shown, left_out = _worth_showing(matrix, chosen)
    printed = len(shown)
    shown = _apart(shown, models, chosen)
    losses = {name: model_loss(models[name]) for name, _ in shown}
    rows = tuple(
        (
            Cell(text=name, strong=True),
            Cell(text=gib(models[name].nbytes)),
            Cell(text=losses[name].word),
            *(
                _cell(cell, rig, strong=(name, cell.ctx) == chosen)
                for cell in row
                if cell.ctx in contexts
            ),
        )
        for name, row in shown
    )
    text = (
        "A model can be stored in fewer bits (rows, with what that costs in quality) and "
        f"{columns}. Each cell says how many {unit} of {memory} would be left"
    )
    text += ", or how many would have to go to RAM." if memory != "RAM" else "."
    legend = [f"+: {unit} left", f"tight: {unit} left, less than is comfortable"]
    if memory != "RAM":
        legend.append(f"RAM: {unit} that would run from RAM, slower")
    legend.append("×: does not fit")
    caption = " · ".join(legend) + "."
    if chosen is not None:
        caption += " Bold: the run in question."
    if left_out:
        caption += f" Left out because they never fit: {', '.join(left_out)}."
    if printed > len(shown):
        caption += f" Left out: {printed - len(shown)} file types within 1% of a shown one's size."
    if any(note.rows or note.interpolated for note in losses.values()):
        caption += " Quality loss was measured on other models of that size, not on this file."
    headings = (
        Column(title="File type", weight=1.5),
        Column(title="Size", align="right", weight=1.05),
        Column(title="Quality loss", weight=1.75),
        *(Column(title=tokens(ctx), align="right") for ctx in contexts),
    )
    return [
        Heading(text="What fits"),
        Paragraph(text=text),
        Table(columns=headings, rows=rows, tiles=True, caption=caption),
    ]


def _worth_showing(matrix: Matrix, chosen: tuple[str, int] | None) -> tuple[list[_Row], list[str]]:
    """Rows, without those that fit at no context; the smallest of these stays as the border."""
    rows: list[_Row] = list(zip(matrix.file_types, matrix.rows, strict=True))
    hopeless = [name for name, row in rows if all(cell.verdict == "no" for cell in row)]
    kept = {hopeless[-1]} if hopeless else set[str]()
    if chosen is not None:
        kept.add(chosen[0])
    left_out = [name for name in hopeless if name not in kept]
    return [(name, row) for name, row in rows if name not in left_out], left_out


def _apart(
    rows: list[_Row], models: Mapping[str, Model], chosen: tuple[str, int] | None
) -> list[_Row]:
    """Rows, without those that are as large as the one above: models that come in few bits."""
    kept: list[_Row] = []
    for row in rows:
        if kept and (chosen is None or row[0] != chosen[0]):
            above = models[kept[-1][0]].nbytes
            if models[row[0]].nbytes > _ALIKE * above:
                continue
        kept.append(row)
    return kept


def _printed(contexts: tuple[int, ...], chosen: tuple[str, int] | None) -> tuple[int, ...]:
    """At most MAX_CONTEXTS of them: ends and the chosen one included, evenly thinned."""
    last = len(contexts) - 1
    if last < MAX_CONTEXTS:
        return contexts
    picked = {contexts[round(i * last / (MAX_CONTEXTS - 1))] for i in range(MAX_CONTEXTS)}
    if chosen is not None and chosen[1] in contexts and chosen[1] not in picked:
        inner = picked - {contexts[0], contexts[-1]}
        picked.remove(min(inner, key=lambda ctx: abs(ctx - chosen[1])))
        picked.add(chosen[1])
    return tuple(sorted(picked))


def _cell(cell: MatrixCell, rig: Rig, *, strong: bool) -> Cell:
    tone = _TONES[cell.verdict]
    if cell.headroom is None or cell.verdict == "unknown":
        return Cell(text="?", tone=tone, strong=strong)
    if cell.verdict == "offload":
        return Cell(
            text=f"RAM {_figure(max(lacking(cell, rig), LEAST_MOVED), 10)}",
            tone=tone,
            strong=strong,
        )
    number = _figure(abs(cell.headroom), 100)
    text = {"fits": f"+{number}", "tight": f"tight {number}"}.get(cell.verdict, "×")
    return Cell(text=text, tone=tone, strong=strong)


def _figure(nbytes: int, whole_from: int) -> str:
    """Bytes in the reader's unit: a decimal below ``whole_from``, which a narrow tile holds."""
    value = nbytes / large_unit()[0]
    return f"{value:,.1f}" if value < whole_from else f"{value:,.0f}"
