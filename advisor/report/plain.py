"""The report as plain text, for mails and chats; tables with tabs, so that they paste as tables."""

from advisor.report.convention import Convention
from advisor.report.document import (
    Bars,
    Block,
    Bullets,
    Chart,
    Command,
    Document,
    Heading,
    KeyFigures,
    PageBreak,
    Paragraph,
    Table,
)


def to_text(document: Document) -> str:
    """The whole report, blocks apart by an empty line."""
    convention = Convention(document.region)
    parts = [_block(block, convention) for block in document.blocks]
    return "\n\n".join(part for part in parts if part) + "\n"


def _block(block: Block, convention: Convention) -> str:  # noqa: PLR0911 - one per kind
    match block:
        case Heading():
            return f"{'#' * block.level} {block.text}"
        case Paragraph() | Command():
            return block.text
        case Bullets():
            return "\n".join(f"- {item}" for item in block.items)
        case KeyFigures():
            return "\n".join(
                f"{item.label}: {item.value}" + (f" ({item.note})" if item.note else "")
                for item in block.items
            )
        case Table():
            rows = [[column.title for column in block.columns]]
            rows += [
                [" ".join(text for text in (cell.text, cell.second) if text) for cell in row]
                for row in block.rows
            ]
            lines = ["\t".join(row) for row in rows]
            return "\n".join([*lines, *([block.caption] if block.caption else [])])
        case Chart():
            return f"{block.title}: {block.summary}"
        case Bars():
            lines = [
                f"{bar.label}: "
                + ", ".join(
                    f"{s.name} {convention.number(f'{s.value:,.1f}')} {block.unit}"
                    for s in bar.segments
                )
                + f" ({bar.note})"
                for bar in block.bars
            ]
            return "\n".join([block.title, *lines, block.summary])
        case PageBreak():
            return ""
