"""The report as a PDF: painted by Qt, then given bookmarks, moved into place only when whole."""

import functools
import io
import os
from pathlib import Path
from typing import cast

from pypdf import PdfWriter
from pypdf.generic import (
    DictionaryObject,
    Fit,
    NameObject,
    StreamObject,
    TextStringObject,
)
from PySide6.QtCore import QBuffer, QByteArray, QCoreApplication, QIODevice, QMarginsF, QSize
from PySide6.QtGui import (
    QColor,
    QGuiApplication,
    QImage,
    QPageLayout,
    QPageSize,
    QPainter,
    QPdfWriter,
)

from advisor.errors import ReportError
from advisor.files import write_atomically
from advisor.report.document import Document
from advisor.report.flow import Layout, Paper, lay_out
from advisor.session import ATTACHMENT_NAME

RESOLUTION = 96
_PAGE_SIZES = {Paper.A4: QPageSize.PageSizeId.A4, Paper.LETTER: QPageSize.PageSizeId.Letter}


@functools.cache
def ensure_gui() -> QCoreApplication:
    """Text needs a QGuiApplication; make one without a screen where there is none.

    It is kept for the life of the process: Qt cannot make a second one reliably.
    """
    running = QGuiApplication.instance()
    if running is not None:
        return running
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    return QGuiApplication(["rig-advisor"])


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
    content = _painted(layout, archival=archival)
    if not archival:
        content = _finished(content, layout, session)
    _save(path, content)
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
        painter.scale(scale, scale)
        layout.paint(painter, number)
    finally:
        painter.end()
    return image


def _painted(layout: Layout, *, archival: bool) -> bytes:
    content = QByteArray()
    buffer = QBuffer(content)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    writer = QPdfWriter(buffer)
    if archival:
        writer.setPdfVersion(QPdfWriter.PdfVersion.PdfVersion_A1b)
    writer.setResolution(RESOLUTION)
    writer.setPageLayout(
        QPageLayout(
            QPageSize(_PAGE_SIZES[layout.paper]),
            QPageLayout.Orientation.Portrait,
            QMarginsF(0, 0, 0, 0),
        )
    )
    writer.setTitle(layout.document.title)
    writer.setCreator(f"Rig Advisor {layout.document.app_version}")
    if layout.document.author:
        writer.setAuthor(layout.document.author)
    painter = QPainter()
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
    return bytes(content.data())


def _finished(content: bytes, layout: Layout, session: str | None) -> bytes:
    """Add bookmarks, language and the session (QPdfWriter has no call for the first two)."""
    writer = PdfWriter(clone_from=io.BytesIO(content))
    points = layout.paper.size.height() * 72 / RESOLUTION
    for number, page in enumerate(layout.pages):
        for title, top in page.bookmarks:
            above = points - top * 72 / RESOLUTION + 8
            fit = Fit.xyz(left=0, top=above)
            writer.add_outline_item(title=title, page_number=number, fit=fit)
    _map_spaces(writer)
    writer.root_object[NameObject("/Lang")] = TextStringObject(layout.document.language)
    if session is not None:
        writer.add_attachment(ATTACHMENT_NAME, session.encode())
    finished = io.BytesIO()
    writer.write(finished)
    return finished.getvalue()


def _map_spaces(writer: PdfWriter) -> None:
    """Qt's character maps call the space a TAB (it shares the glyph); copied text wants a space."""
    maps: dict[int, StreamObject] = {}
    for page in writer.pages:
        fonts = cast("DictionaryObject", page["/Resources"]).get("/Font", DictionaryObject())
        for font in cast("DictionaryObject", fonts.get_object()).values():
            mapping = cast("DictionaryObject", font.get_object()).get("/ToUnicode")
            if mapping is not None:
                stream = cast("StreamObject", mapping.get_object())
                maps[id(stream)] = stream
    for stream in maps.values():
        stream.set_data(stream.get_data().replace(b"<0009>", b"<0020>"))


def _save(path: Path, content: bytes) -> None:
    try:
        write_atomically(path, content)
    except OSError as error:
        message = (
            f"The report could not be saved as {path.name} in {path.parent}: "
            f"{error.strerror or error}. Close the file if it is open elsewhere, or choose "
            "another folder; a report saved there before is unchanged."
        )
        raise ReportError(message) from error
