"""What Qt's PDF engine leaves to do: bookmarks, metadata, copyable text, the session, PDF/A.

QPdfWriter has no call for bookmarks, language or marked text; its character maps name another
character where two share a glyph; and what it calls PDF/A-1b has no Dublin Core metadata and names
colour spaces that the format forbids (found with PDFBox Preflight 2.0.27).
"""

import io
import re
import string
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, cast
from xml.sax.saxutils import escape

from pypdf import PdfWriter
from pypdf.generic import (
    ArrayObject,
    BooleanObject,
    DictionaryObject,
    Fit,
    NameObject,
    PdfObject,
    StreamObject,
    TextStringObject,
)
from PySide6.QtCore import QLineF
from PySide6.QtGui import QColor, QPainter, QPen, QRawFont

from advisor.report.document import Document

ATTACHED_TYPE: Final = "application/json"
_FAR: Final = -20000
"""Off every page, in points: where marks stand in the content until they become marked text."""
_MARK: Final = re.compile(rb"(-[2-9]\d{4}) -20000 m\s+-[2-9]\d{4} -20001 l\s+S\n")
KEEPS_PLACE: Final = "\u02cf"
"""Drawn, unseen, for a left-to-right mark: it must have a glyph with a size, or PDFium drops it."""
_MAPPED: Final = re.compile(rb"<([0-9A-F]{4})>(?= )")
_LIST: Final = re.compile(rb"\[([^\]]*)\]")


@dataclass(frozen=True)
class Bookmark:
    """A place that the outline leads to; ``top`` in points from the page's lower edge."""

    title: str
    page: int
    top: float


class PdfPainter(QPainter):
    """A painter on a QPdfWriter that can say how the next strokes are shown and read."""

    def __init__(self) -> None:
        super().__init__()
        self.operators: list[bytes] = []
        """Of the content stream, each standing where its mark was painted."""

    @contextmanager
    def reading(self, text: str) -> Generator[None]:
        """What is painted reads as ``text`` (ISO 32000-1, 14.9.4)."""
        said = ("\ufeff" + text).encode("utf-16-be").hex().upper()
        self._mark(b"/Span <</ActualText <%s>>> BDC\n" % said.encode())
        yield
        self._mark(b"EMC\n")

    @contextmanager
    def unseen(self) -> Generator[None]:
        """Text that is painted can be searched and copied but is not shown (9.3.6)."""
        self._mark(b"3 Tr\n")
        yield
        self._mark(b"0 Tr\n")

    def _mark(self, operator: bytes) -> None:
        across = float(_FAR - len(self.operators))
        self.operators.append(operator)
        ink = self.pen()
        self.setPen(QPen(QColor("black"), 1))
        self.drawLine(QLineF(across, _FAR, across, _FAR - 1))
        self.setPen(ink)


def finish(
    content: bytes,
    document: Document,
    bookmarks: Iterable[Bookmark],
    *,
    operators: Sequence[bytes] = (),
    fonts: Mapping[str, QRawFont] | None = None,
    attachment: tuple[str, bytes] | None = None,
    archival: bool = False,
) -> bytes:
    """The painted ``content`` as a whole PDF.

    ``operators`` are those of a PdfPainter, ``fonts`` the faces by their name in the PDF,
    ``attachment`` a file's name and content (never in PDF/A-1b, which forbids it).
    """
    writer = PdfWriter(clone_from=io.BytesIO(content))
    for mark in bookmarks:
        fit = Fit.xyz(left=0, top=mark.top)
        writer.add_outline_item(title=mark.title, page_number=mark.page, fit=fit)
    _mend_character_maps(writer, set("".join((*document.texts(), *_FURNITURE))), fonts or {})
    _put_operators(writer, operators)
    _drop_unused_colours(writer)
    root = writer.root_object
    root[NameObject("/Lang")] = TextStringObject(document.language)
    shown = DictionaryObject({NameObject("/DisplayDocTitle"): BooleanObject(value=True)})
    root[NameObject("/ViewerPreferences")] = shown
    _write_metadata(writer, document, archival=archival)
    if attachment is not None and not archival:
        name, held = attachment
        file = writer.add_attachment(name, held)
        file.subtype = NameObject(f"/{ATTACHED_TYPE}")
    writer.pdf_header = "%PDF-1.4" if archival else "%PDF-1.6"
    finished = io.BytesIO()
    writer.write(finished)
    return finished.getvalue()


_FURNITURE: Final = frozenset(string.printable + "·…")
"""What stands in the head and foot of a page."""


def _mend_character_maps(writer: PdfWriter, used: set[str], fonts: Mapping[str, QRawFont]) -> None:
    """Let each glyph mean the character that this document has.

    Qt names the last of the characters that share a glyph: a TAB for the space, the Latin for the
    Greek iota.
    """
    done: set[int] = set()
    for page in writer.pages:
        resources = cast("DictionaryObject", page["/Resources"]).get("/Font", DictionaryObject())
        for reference in cast("DictionaryObject", resources.get_object()).values():
            font = cast("DictionaryObject", reference.get_object())
            mapping = font.get("/ToUnicode")
            if mapping is None:
                continue
            stream = cast("StreamObject", mapping.get_object())
            if id(stream) not in done:
                done.add(id(stream))
                name = str(font["/BaseFont"]).removeprefix("/").rpartition("+")[2]
                stream.set_data(_mended(stream.get_data(), used, fonts.get(name)))


_MEANT: Final = {"\t": " ", KEEPS_PLACE: "\u200e"}


def _mended(data: bytes, used: set[str], face: QRawFont | None) -> bytes:
    def meant(match: re.Match[bytes]) -> bytes:
        character = chr(int(match.group(1), 16))
        if character in _MEANT:
            return b"<%04X>" % ord(_MEANT[character])
        if face is None or character in used:
            return match.group()
        glyph = _glyph(face, character)
        alike = next((c for c in sorted(used) if _glyph(face, c) == glyph), None)
        return match.group() if not glyph or alike is None else b"<%04X>" % ord(alike)

    def listed(match: re.Match[bytes]) -> bytes:
        return b"[" + _MAPPED.sub(meant, match.group(1)) + b"]"

    return _LIST.sub(listed, data)


def _glyph(face: QRawFont, character: str) -> int:
    return next(iter(face.glyphIndexesForString(character)), 0)


def _put_operators(writer: PdfWriter, operators: Sequence[bytes]) -> None:
    """Replace a PdfPainter's marks by what they stand for."""
    if not operators:
        return
    for page in writer.pages:
        contents = cast("PdfObject", page["/Contents"].get_object())
        parts = list(contents) if isinstance(contents, ArrayObject) else [contents]
        for part in parts:
            stream = cast("StreamObject", part.get_object())
            data = stream.get_data()
            done, count = _MARK.subn(lambda m: operators[_FAR - int(m.group(1))], data)
            if count:
                stream.set_data(done)


def _drop_unused_colours(writer: PdfWriter) -> None:
    """Every page's resources name CMYK spaces that no page uses; PDF/A allows only one kind."""
    for page in writer.pages:
        resources = cast("DictionaryObject", page["/Resources"])
        reference = resources.get("/ColorSpace", DictionaryObject())
        spaces = cast("DictionaryObject", reference.get_object())
        for name in [n for n, space in spaces.items() if "CMYK" in repr(space.get_object())]:
            del spaces[name]


def _write_metadata(writer: PdfWriter, document: Document, *, archival: bool) -> None:
    """The same facts as document information and as XMP (ISO 19005-1, 6.7.3 wants them equal)."""
    made = document.made
    creator = f"Rig Advisor {document.app_version}"
    zone = f"{made:%z}" or "+0000"
    stamp = f"D:{made:%Y%m%d%H%M%S}{zone[:3]}'{zone[3:]}'"
    facts = {
        "/Title": document.title,
        "/Creator": creator,
        "/Producer": "Qt, pypdf",
        "/CreationDate": stamp,
        "/ModDate": stamp,
    }
    if document.author:
        facts["/Author"] = document.author
    writer.metadata = facts
    stamp = f"{made:%Y-%m-%dT%H:%M:%S}{zone[:3]}:{zone[3:]}"
    writer.xmp_metadata = _xmp(document, creator, stamp, archival=archival).encode()
    writer.generate_file_identifiers()


def _xmp(document: Document, creator: str, made: str, *, archival: bool) -> str:
    author = (
        f"<dc:creator><rdf:Seq><rdf:li>{escape(document.author)}</rdf:li></rdf:Seq></dc:creator>"
        if document.author
        else ""
    )
    kept = (
        '<rdf:Description rdf:about="" xmlns:pdfaid="http://www.aiim.org/pdfa/ns/id/">'
        "<pdfaid:part>1</pdfaid:part><pdfaid:conformance>B</pdfaid:conformance></rdf:Description>"
        if archival
        else ""
    )
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/">'
        "<dc:format>application/pdf</dc:format>"
        '<dc:title><rdf:Alt><rdf:li xml:lang="x-default">'
        f"{escape(document.title)}</rdf:li></rdf:Alt></dc:title>{author}</rdf:Description>"
        '<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/">'
        f"<xmp:CreatorTool>{escape(creator)}</xmp:CreatorTool><xmp:CreateDate>{made}"
        f"</xmp:CreateDate><xmp:ModifyDate>{made}</xmp:ModifyDate></rdf:Description>"
        '<rdf:Description rdf:about="" xmlns:pdf="http://ns.adobe.com/pdf/1.3/">'
        f"<pdf:Producer>Qt, pypdf</pdf:Producer></rdf:Description>{kept}"
        '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    )
