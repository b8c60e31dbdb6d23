"""The printed charts as vector pictures inside the web page."""

import re
from html import escape
from typing import Final

from PySide6.QtCore import QBuffer, QIODevice, QRectF, QSize
from PySide6.QtGui import QPainter
from PySide6.QtSvg import QSvgGenerator

from advisor.report import charts
from advisor.report.convention import Convention
from advisor.report.document import Bars, Chart
from advisor.report.gui import ensure_gui
from advisor.report.style import RESOLUTION

WIDTH: Final = 681.0
"""Of the printed page's text, in 1/96 inch."""
_ELEMENT: Final = re.compile(r"<svg\b.*</svg>", re.DOTALL)
_HEAD: Final = re.compile(r"<svg\b[^>]*>\s*<title>.*?</title>\s*<desc>.*?</desc>", re.DOTALL)


def picture(block: Chart | Bars, convention: Convention, summary: str) -> str:
    """An ``svg`` element that looks as in print; ``summary`` is read in its place."""
    ensure_gui()
    height = float(block.height) if isinstance(block, Chart) else charts.bars_height(block, WIDTH)
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    generator = QSvgGenerator()
    generator.setOutputDevice(buffer)
    generator.setResolution(RESOLUTION)
    generator.setSize(QSize(round(WIDTH), round(height)))
    generator.setViewBox(QRectF(0, 0, WIDTH, height))
    painter = QPainter(generator)
    try:
        if isinstance(block, Chart):
            charts.draw_chart(painter, block, 0, 0, WIDTH, convention=convention)
        else:
            charts.draw_bars(painter, block, 0, 0, WIDTH)
    finally:
        painter.end()
    found = _ELEMENT.search(bytes(buffer.data().data()).decode())
    if found is None:
        return ""
    head = f'<svg role="img" aria-label="{escape(summary)}" viewBox="0 0 {WIDTH:g} {height:g}">'
    return _HEAD.sub(lambda _match: head, found.group(), count=1)
