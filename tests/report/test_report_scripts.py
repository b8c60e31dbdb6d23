"""Names in any script: what is drawn can be copied, and what cannot be drawn is replaced openly."""

import re
import shutil
import subprocess
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pypdf import PdfReader
from pypdfium2 import PdfDocument
from PySide6.QtGui import QGuiApplication

from advisor.report.document import Block, Cell, Column, Document, Heading, Paragraph, Table
from advisor.report.flow import lay_out
from advisor.report.pdf import write_pdf
from advisor.report.style import NOT_DRAWN, drawable

IN_ORDER = {
    "Greek": "Κάρτα γραφικών ϊΐ Ω, ι",
    "Cyrillic": "Видеокарта для работы, Київ",
    "Latin": "Łódź, Đà Nẵng, İstanbul, straße, fi ffl",
    "combining": "Cafe\u0301 o\u0308",
    "Chinese": "显卡 大模型",
    "Japanese": "グラフィックカード 東京",
    "Korean": "그래픽 카드",
    "Thai": "การ์ดจอ",
    "Hindi": "ग्राफ़िक्स कार्ड",
    "emoji": "Rig 🚀",
    "mathematical": "𝐀𝐁 x",
    "control": "a\tb\x07c\ud800d",
}
RIGHT_TO_LEFT = {
    "Hebrew": "כרטיס מסך",
    "Arabic": "بطاقة الرسومات",
    "mixed": "RTX 4090 כרטיס",
    "within": "Rig של דני for work",
    "among": "הכרטיס RTX 4090 עם 24 GB זיכרון",
    "Arabic among": "البطاقة RTX 4090 مع 24 GB من الذاكرة (مستعملة).",
    "signs": "שלום (עולם): 12.5%, כן!",
    "sentences": "הכרטיס RTX 4090 עם 24 GB זיכרון מספיק לדגם Qwen3 32B בקוונטיזציה Q4_K_M, ולכן "
    "אין צורך לקנות כרטיס נוסף; ההקשר הוא 32,768 אסימונים (tokens) והמהירות 35–40 tok/s.",
}
ENGLISH = "Readers take a page for English as most of its letters are. " * 20
_DIRECTION_MARKS = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def folded(text: str) -> str:
    text = _DIRECTION_MARKS.sub("", unicodedata.normalize("NFKC", text))
    return "".join(text.split())


def document(text: str) -> Document:
    blocks: tuple[Block, ...] = (
        Heading(level=1, text=text),
        Paragraph(text=text),
        Paragraph(text=ENGLISH),
        Table(
            columns=(Column(title=text), Column(title="x", align="right")),
            rows=((Cell(text=text, strong=True), Cell(text=text)),),
        ),
    )
    return Document(
        title=text, made=datetime(2026, 11, 23, tzinfo=UTC), app_version="1", blocks=blocks
    )


def by_poppler(path: Path, *options: str) -> str:
    poppler = shutil.which("pdftotext")
    if poppler is None:
        pytest.skip("pdftotext is not installed")
    done = subprocess.run([poppler, *options, str(path), "-"], capture_output=True, check=True)
    return folded(done.stdout.decode())


def by_layout(path: Path) -> str:
    return by_poppler(path, "-layout")


def by_pypdf(path: Path) -> str:
    return folded("".join(page.extract_text() for page in PdfReader(path).pages))


def by_pdfium(path: Path) -> str:
    with PdfDocument(path) as document:
        return folded("".join(page.get_textpage().get_text_range() for page in document))


@pytest.mark.parametrize("archival", [False, True])
@pytest.mark.parametrize("script", IN_ORDER)
def test_text_is_copied_as_it_was_put_in(
    qapp: QGuiApplication, tmp_path: Path, script: str, archival: bool
) -> None:
    text = drawable(IN_ORDER[script])
    write_pdf(document(IN_ORDER[script]), tmp_path / "out.pdf", archival=archival)
    # The heading, the paragraph, a column's title and two cells.
    assert by_poppler(tmp_path / "out.pdf").count(folded(text)) >= 5


@pytest.fixture(scope="module", params=RIGHT_TO_LEFT)
def right_to_left(
    qapp: QGuiApplication, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> tuple[str, Path]:
    """A script, and a report in it."""
    target = tmp_path_factory.mktemp("report") / "out.pdf"
    write_pdf(document(RIGHT_TO_LEFT[request.param]), target)
    return request.param, target


@pytest.mark.parametrize("reader", [by_poppler, by_layout, by_pypdf, by_pdfium])
def test_text_from_right_to_left_is_copied_in_order_by_every_reader(
    right_to_left: tuple[str, Path], reader: Callable[[Path], str]
) -> None:
    script, target = right_to_left
    # Cells of several lines side by side are read across.
    wanted = 2 if script == "sentences" else 5
    assert reader(target).count(folded(RIGHT_TO_LEFT[script])) >= wanted


@pytest.mark.parametrize("script", ["Greek", "Cyrillic", "Latin", "combining"])
def test_the_bundled_face_draws_european_names_itself(
    qapp: QGuiApplication, tmp_path: Path, script: str
) -> None:
    assert drawable(IN_ORDER[script]) == IN_ORDER[script]
    write_pdf(document(IN_ORDER[script]), tmp_path / "out.pdf")
    reader = PdfReader(tmp_path / "out.pdf")
    fonts = {
        f.get_object()["/BaseFont"] for p in reader.pages for f in p["/Resources"]["/Font"].values()
    }
    assert all("Inter" in name for name in fonts)
    assert folded(IN_ORDER[script]) in folded("".join(p.extract_text() for p in reader.pages))


def test_what_no_font_can_draw_is_a_box_and_the_report_says_so(qapp: QGuiApplication) -> None:
    made = document("Rig \U000f1234 \U000f1235")  # private use: in no font
    layout = lay_out(made)
    texts = layout.document.texts()
    assert texts[0] == f"Rig {NOT_DRAWN} {NOT_DRAWN}"
    assert texts[-1].startswith(f"{NOT_DRAWN} stands for a character")
    assert lay_out(document(f"a {NOT_DRAWN}")).document.texts()[-1] == f"a {NOT_DRAWN}"


def test_our_own_words_need_no_other_font(qapp: QGuiApplication, tmp_path: Path) -> None:
    signs = "×–−…·•≈¾³⁰⁹¹²€£¥“”‘’→"
    write_pdf(document(signs), tmp_path / "out.pdf")
    (page,) = PdfReader(tmp_path / "out.pdf").pages
    assert all("Inter" in f.get_object()["/BaseFont"] for f in page["/Resources"]["/Font"].values())
