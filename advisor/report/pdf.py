"""The report as a PDF: painted by Qt, then given bookmarks, moved into place only when whole."""

import errno
from pathlib import Path

from PySide6.QtCore import QBuffer, QByteArray, QIODevice, QMarginsF, QSize
from PySide6.QtGui import (
    QColor,
    QImage,
    QPageLayout,
    QPageSize,
    QPainter,
    QPdfWriter,
)

from advisor.errors import ReportError
from advisor.files import write_atomically
from advisor.report.document import Document
from advisor.report.finish import Bookmark, PdfPainter, finish
from advisor.report.flow import Layout, Paper, lay_out
from advisor.report.gui import ensure_gui
from advisor.report.style import faces
from advisor.session import ATTACHMENT_NAME

_PAGE_SIZES = {Paper.A4: QPageSize.PageSizeId.A4, Paper.LETTER: QPageSize.PageSizeId.Letter}


def write_pdf(
    document: Document,
    path: Path,
    *,
    paper: Paper = Paper.A4,
    session: str | None = None,
    archival: bool = False,
) -> int:
    """Write ``document`` to ``path`` and return the number of pages.

    ``session`` is attached, so that the PDF opens as a session again; ``archival`` asks for
    PDF/A-1b, which forbids attachments. A failure leaves what was at ``path`` untouched and
    raises ReportError.
    """
    ensure_gui()
    layout = lay_out(document, paper)
    content, operators = _painted(layout, archival=archival)
    whole = finish(
        content,
        layout.document,
        _bookmarks(layout),
        operators=operators,
        fonts=faces(),
        attachment=None if session is None else (ATTACHMENT_NAME, session.encode()),
        archival=archival,
    )
    _save(path, whole)
    return len(layout.pages)


def render_page(layout: Layout, number: int, scale: float = 1.0) -> QImage:
    """Page ``number`` as an image, ``scale`` pixels to 1/96 inch: the preview of the real page."""
    size = layout.paper.size * scale
    image = QImage(
        QSize(round(size.width()), round(size.height())), QImage.Format.Format_ARGB32_Premultiplied
    )
    image.fill(QColor("white"))
    painter = QPainter(image)
    try:
        painter.setRenderHints(
            QPainter.RenderHint.Antialiasing | QPainter.RenderHint.TextAntialiasing
        )
        painter.scale(size.width() / layout.size.width(), size.height() / layout.size.height())
        layout.paint(painter, number)
    finally:
        painter.end()
    return image


def _painted(layout: Layout, *, archival: bool) -> tuple[bytes, list[bytes]]:
    content = QByteArray()
    buffer = QBuffer(content)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    writer = QPdfWriter(buffer)
    if archival:
        writer.setPdfVersion(QPdfWriter.PdfVersion.PdfVersion_A1b)
    writer.setResolution(layout.resolution)
    writer.setPageLayout(
        QPageLayout(
            QPageSize(_PAGE_SIZES[layout.paper]),
            QPageLayout.Orientation.Portrait,
            QMarginsF(0, 0, 0, 0),
        )
    )
    painter = PdfPainter()
    if not painter.begin(writer):
        message = "The PDF could not be started."
        raise ReportError(message)
    try:
        for number in range(len(layout.pages)):
            if number:
                writer.newPage()
            layout.paint(painter, number)
    finally:
        painter.end()
    buffer.close()
    return bytes(content.data()), painter.operators


def _bookmarks(layout: Layout) -> list[Bookmark]:
    points = 72 / layout.resolution
    height = layout.size.height()
    return [
        Bookmark(title=title, page=number, top=(height - top) * points + 8)
        for number, page in enumerate(layout.pages)
        for title, top in page.bookmarks
    ]


def _save(path: Path, content: bytes) -> None:
    try:
        write_atomically(path, content)
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        first = "Make room on that disk" if full else "Close the file if it is open elsewhere"
        message = (
            f"The report could not be saved as {path.name} in {path.parent}: "
            f"{error.strerror or error}. {first}, or choose another folder; a report saved there "
            "before is unchanged."
        )
        raise ReportError(message) from error
