"""The report as one web page: the same document for screen readers and browsers, nothing linked."""

from html import escape
from typing import Final

from advisor.basis import Basis
from advisor.report.convention import Convention, day
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
from advisor.report.svg import picture

_STYLE: Final = """
body{font:16px/1.5 Inter,system-ui,sans-serif;color:#1b2330;background:#fff;max-width:56rem;
margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%;font-size:.9rem;margin:.8rem 0}
th,td{padding:.35rem .5rem;border-bottom:1px solid #d3d9e1;text-align:left;vertical-align:top}
.right{text-align:right}.muted,caption,figcaption{color:#566173;font-size:.9rem}
.lead,.verdict{font-size:1.2rem}
.verdict{background:#f4f6f9;border-left:4px solid #1f5fbf;padding:.7rem 1rem}
.small{font-size:.85rem;color:#566173}
.good{background:#d9f0e6}.tight{background:#fdeec9}.offload{background:#e3e6fa}.bad{background:#eceff2}
dl{display:flex;gap:1rem;flex-wrap:wrap;padding:0}
dl div{flex:1;border:1px solid #d3d9e1;border-radius:6px;padding:.7rem 1rem;min-width:10rem}
.heard{position:absolute;left:-99rem}figure{margin:1rem 0}
svg{width:100%;height:auto}tbody th{font-weight:400}
dt{color:#566173;font-size:.85rem}dd{margin:0;font-size:1.3rem;font-weight:600}
dd small{display:block;font-weight:400;color:#566173;font-size:.8rem}
pre{background:#f4f6f9;padding:.7rem 1rem;overflow-x:auto;white-space:pre-wrap}
abbr{border:1px solid #566173;border-radius:3px;font-size:.7rem;padding:0 .25rem}
abbr{text-decoration:none}
"""


def to_html(document: Document) -> str:
    """The whole page as text."""
    convention = Convention(document.region)
    body = "\n".join(_block(block, convention) for block in document.blocks)
    made = f"Rig Advisor {escape(document.app_version)} · {day(document.made, document.region)}"
    return (
        f'<!doctype html>\n<html lang="{escape(document.language)}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(document.title)}</title>"
        f"<style>{_STYLE}</style></head><body><main>\n{body}\n"
        f'</main><footer class="small"><p>{made}</p></footer></body></html>\n'
    )


def _block(block: Block, convention: Convention) -> str:  # noqa: PLR0911 - one per kind
    match block:
        case Heading():
            return f"<h{block.level}>{escape(block.text)}</h{block.level}>"
        case Paragraph():
            style = "" if block.style == "body" else f' class="{block.style}"'
            return f"<p{style}>{escape(block.text)}</p>"
        case Bullets():
            return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in block.items) + "</ul>"
        case KeyFigures():
            return _key_figures(block)
        case Table():
            return _table(block)
        case Chart():
            return _chart(block, convention)
        case Bars():
            return _bars(block, convention)
        case Command():
            return f"<pre><code>{escape(block.text)}</code></pre>"
        case PageBreak():
            return ""


def _mark(basis: Basis | None) -> str:
    return f' <abbr title="{basis.value}">{basis.value[0]}</abbr>' if basis else ""


def _key_figures(block: KeyFigures) -> str:
    items = "".join(
        f"<div><dt>{escape(item.label)}</dt><dd>{escape(item.value)}{_mark(item.basis)}"
        + (f"<small>{escape(item.note)}</small>" if item.note else "")
        + "</dd></div>"
        for item in block.items
    )
    return f"<dl>{items}</dl>"


def _table(block: Table) -> str:
    sides = ["right" if column.align == "right" else "" for column in block.columns]
    head = "".join(
        f'<th scope="col" class="{side}">{escape(column.title)}</th>'
        for side, column in zip(sides, block.columns, strict=True)
    )
    rows: list[str] = []
    for row in block.rows:
        cells = ""
        for side, cell in zip(sides, row, strict=True):
            text = escape(cell.text) + _mark(cell.basis)
            text = f"<strong>{text}</strong>" if cell.strong else text
            second = f'<br><span class="small">{escape(cell.second)}</span>' if cell.second else ""
            if not cells:  # what the row is about
                cells += f'<th scope="row">{text}{second}</th>'
            else:
                cells += f'<td class="{side} {cell.tone}">{text}{second}</td>'
        rows.append(f"<tr>{cells}</tr>")
    caption = f"<caption>{escape(block.caption)}</caption>" if block.caption else ""
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _chart(block: Chart, convention: Convention) -> str:
    """A chart as its summary and the numbers behind it, thinned to what can be read."""

    def number(value: float) -> str:
        return convention.number(f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}")

    head = (
        f'<th scope="col">{escape(block.x_label)}</th><th scope="col">{escape(block.y_label)}</th>'
    )
    parts: list[str] = []
    for series in block.series:
        step = max(1, len(series.x) // 12)
        points = list(zip(series.x, series.y, strict=True))[::step]
        rows = "".join(f"<tr><td>{number(x)}</td><td>{number(y)}</td></tr>" for x, y in points)
        parts.append(
            f"<details><summary>{escape(series.name)}</summary><table><thead><tr>{head}</tr></thead>"
            f"<tbody>{rows}</tbody></table></details>"
        )
    bands = "".join(
        f"<li>{escape(band.name)}: {number(band.low)} – {number(band.high)}</li>"
        for band in block.bands
    )
    limits = "".join(f"<li>{escape(limit.label)}</li>" for limit in block.limits)
    drawn = picture(block, convention, block.summary)
    extra = f"<ul>{bands}{limits}</ul>" if bands or limits else ""
    return (
        f'<figure><h3 class="heard">{escape(block.title)}</h3>'
        f"{drawn}{extra}{''.join(parts)}"
        f"<figcaption>{escape(block.summary)}</figcaption></figure>"
    )


def _bars(block: Bars, convention: Convention) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(bar.label)}</th><td>'
        + "; ".join(
            f"{escape(s.name)} {convention.number(f'{s.value:,.1f}')}" for s in bar.segments
        )
        + f"</td><td>{escape(bar.note)}</td></tr>"
        for bar in block.bars
    )
    return (
        f"<figure>{picture(block, convention, block.summary)}"
        f"<details><summary>{escape(block.title)} ({escape(block.unit)})</summary><table>"
        f"<tbody>{rows}</tbody></table></details>"
        f"<figcaption>{escape(block.summary)}</figcaption></figure>"
    )
