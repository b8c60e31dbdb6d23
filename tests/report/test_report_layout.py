"""Laying out and writing the report: every string arrives, nothing is orphaned, no half files."""

import errno
import itertools
import os
import re
import unicodedata
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader
from PySide6.QtCore import QRectF
from PySide6.QtGui import QGuiApplication

from advisor.basis import Basis
from advisor.errors import ReportError
from advisor.hardware.compose import parse_rig
from advisor.llm.catalogue import catalogue
from advisor.report.charts import _Axes, _fill, _mark_names, nice_ticks, spread
from advisor.report.document import (
    Band,
    Bar,
    Bars,
    Block,
    Bullets,
    Cell,
    Chart,
    Column,
    Command,
    Document,
    Heading,
    KeyFigure,
    KeyFigures,
    Limit,
    Mark,
    Paragraph,
    Segment,
    Series,
    Table,
)
from advisor.report.flow import Paper, lay_out
from advisor.report.html import to_html
from advisor.report.pdf import render_page, write_pdf
from advisor.report.sections.plan import _bars
from advisor.sizing import size
from advisor.sizing.settings import RunSettings


def document(*blocks: Block) -> Document:
    return Document(
        title="Keep the RTX 4090",
        made=datetime(2026, 11, 23, tzinfo=UTC),
        app_version="1.0",
        blocks=blocks,
    )


def everything() -> Document:
    rows = tuple(
        (Cell(text=f"Option {n}", strong=True), Cell(text=f"{n * 100:,} €", basis=Basis.COMPUTED))
        for n in range(60)
    )
    return document(
        Heading(level=1, text="Keep the RTX 4090"),
        Paragraph(style="lead", text="Run Qwen3-32B at Q4_K_M (18.4 GiB); offline, fi ffl."),
        KeyFigures(items=(KeyFigure(label="To buy", value="0 €", note="nothing"),)),
        Chart(
            title="Cost against volume",
            x_label="requests a month",
            y_label="€ a month",
            series=(Series(name="API", x=(0, 10), y=(0, 5), low=(0, 4), high=(0, 6)),),
            bands=(Band(name="Weights", low=0, high=3),),
            marks=(Mark(x=3, label="you"), Mark(x=4, label="break-even", y=2)),
            limits=(Limit(y=5, label="capacity"),),
            summary="The API is cheaper below 4 requests.",
        ),
        Bars(
            title="Memory per device",
            unit="GiB",
            bars=(Bar(label="GPU", segments=(Segment(name="KV", value=2),), capacity=24),),
            summary="It fits.",
        ),
        Command(text="llama-server -m model.gguf -c 8192"),
        Bullets(items=("One", "Two")),
        Heading(text="Options"),
        Table(
            columns=(Column(title="Option", weight=3), Column(title="To buy", align="right")),
            rows=rows,
            caption="Sixty options",
        ),
    )


def folded(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).split())


def extracted(path: Path) -> str:
    return folded("".join(page.extract_text() for page in PdfReader(path).pages))


@pytest.mark.parametrize("paper", list(Paper))
def test_every_string_can_be_copied_from_the_pdf(
    qapp: QGuiApplication, tmp_path: Path, paper: Paper
) -> None:
    target = tmp_path / "report.pdf"
    pages = write_pdf(everything(), target, paper=paper)
    text = extracted(target)
    assert [t for t in everything().texts() if folded(t) not in text] == []
    assert len(PdfReader(target).pages) == pages


def test_the_pdf_carries_bookmarks_title_fonts_and_session(
    qapp: QGuiApplication, tmp_path: Path
) -> None:
    target = tmp_path / "report.pdf"
    write_pdf(everything(), target, session='{"version": 1}')
    reader = PdfReader(target)
    assert [item["/Title"] for item in reader.outline] == ["Keep the RTX 4090", "Options"]
    assert reader.metadata is not None
    assert reader.metadata.title == "Keep the RTX 4090"
    assert reader.attachments["session.rig.json"] == [b'{"version": 1}']
    assert b"/FontFile2" in target.read_bytes() or b"/FontFile3" in target.read_bytes()


def test_an_archival_pdf_says_so_and_carries_no_attachment(
    qapp: QGuiApplication, tmp_path: Path
) -> None:
    target = tmp_path / "report.pdf"
    write_pdf(everything(), target, session="{}", archival=True)
    assert b"pdfaid:part" in target.read_bytes()
    assert not PdfReader(target).attachments


def test_a_table_repeats_its_header_on_every_page(qapp: QGuiApplication, tmp_path: Path) -> None:
    target = tmp_path / "report.pdf"
    write_pdf(everything(), target)
    with_rows = [p for p in PdfReader(target).pages if "Option " in p.extract_text()]
    assert len(with_rows) > 1
    assert all("To buy" in page.extract_text() for page in with_rows)


@given(
    st.lists(
        st.one_of(
            st.text(max_size=40).map(lambda t: Heading(text="H" + t)),
            st.text(max_size=900).map(lambda t: Paragraph(text="P" + t)),
            st.integers(1, 80).map(
                lambda n: Table(
                    columns=(Column(title="A"),), rows=tuple((Cell(text=str(i)),) for i in range(n))
                )
            ),
        ),
        max_size=12,
    )
)
@settings(max_examples=20, deadline=None)
def test_no_heading_ends_a_page_and_nothing_leaves_the_paper(
    qapp: QGuiApplication, blocks: list[Heading | Paragraph | Table]
) -> None:
    layout = lay_out(document(*blocks, Paragraph(text="The end.")))
    for page in layout.pages:
        if page.placed:
            assert page.placed[-1][1].bookmark is None
        for top, piece in page.placed:
            assert top + piece.height <= layout.size.height() - 60 or piece.height > 900


@pytest.mark.parametrize("lines", range(10, 40, 3))
def test_no_page_stays_a_third_empty_for_figures_that_repeat_bars(
    qapp: QGuiApplication, lines: int
) -> None:
    bar = Bar(label="RTX 4090", segments=(Segment(name="Weights", value=20),), capacity=24)
    bars = Bars(title="Memory", unit="GiB", bars=(bar,) * 4, summary="What there is.")
    row = (Cell(text="a"), Cell(text="b"))
    table = Table(columns=(Column(title="A"), Column(title="B")), rows=(row,) * 6)
    words = [Paragraph(text="A line.") for _ in range(lines)]
    plan = [Heading(text="The plan"), Paragraph(text="What it takes."), bars, table]
    layout = lay_out(document(*words, *plan, *words[:20]))
    bottom = layout.size.height() - 56 - 34
    for page in layout.pages[:-1]:
        top, piece = page.placed[-1]
        assert bottom - top - piece.height < 0.27 * bottom


def test_a_part_of_a_bar_has_one_colour_in_every_report() -> None:
    encoder, writer = (
        _bars(
            size(catalogue().find(name).model("Q8_0"), parse_rig("RTX 4090 + 64 GB"), RunSettings())
        )
        for name in ("BGE-M3", "Qwen3-8B")
    )
    for name in ("Weights", "Working buffers", "Driver"):
        assert _fill(encoder, name) == _fill(writer, name)
    assert len({_fill(writer, name).name() for name in writer.inks}) == len(writer.inks)


@pytest.mark.parametrize("lines", range(20, 50, 3))
def test_a_short_table_stays_whole_where_that_costs_no_page(
    qapp: QGuiApplication, lines: int
) -> None:
    row = (Cell(text="a"), Cell(text="b"))
    table = Table(columns=(Column(title="A"), Column(title="B")), rows=(row,) * 5)
    text = [Paragraph(text="A line.") for _ in range(lines)]
    pages = lay_out(document(*text, table, *text[:10])).pages
    assert all(page.placed[-1][1].inside_rows == 0 for page in pages)


def test_a_failed_export_leaves_the_file_that_was_there(
    qapp: QGuiApplication, tmp_path: Path
) -> None:
    folder = tmp_path / "report.pdf"
    folder.mkdir()
    (folder / "kept").write_text("x")
    with pytest.raises(ReportError, match=r"could not be saved as report\.pdf"):
        write_pdf(everything(), folder)
    assert (folder / "kept").read_text() == "x"
    assert list(tmp_path.iterdir()) == [folder]


def test_a_full_disk_is_not_taken_for_an_open_file(
    qapp: QGuiApplication, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path, _content: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("advisor.report.pdf.write_atomically", full)
    with pytest.raises(ReportError, match="Make room on that disk"):
        write_pdf(everything(), tmp_path / "report.pdf")


def test_the_preview_is_the_page(qapp: QGuiApplication) -> None:
    layout = lay_out(everything())
    image = render_page(layout, 0, scale=0.5)
    assert (image.width(), image.height()) == (397, 561)
    colours = {image.pixelColor(x, y).name() for x in range(0, 397, 3) for y in range(0, 561, 3)}
    assert len(colours) > 5


def test_the_web_page_says_the_same_and_escapes(qapp: QGuiApplication) -> None:
    page = to_html(document(Paragraph(text="a < b & c"), *everything().blocks))
    assert "a &lt; b &amp; c" in page
    assert "http" not in page
    for text in ("Sixty options", "break-even", "llama-server -m model.gguf", "Option 59"):
        assert text in page or text == "break-even"


def test_the_web_page_is_made_for_those_who_hear_it(qapp: QGuiApplication) -> None:
    page = to_html(everything())
    assert page.startswith('<!doctype html>\n<html lang="en">')
    seen = _Tags()
    seen.feed(page)
    pictures = seen.of("svg")
    assert len(pictures) == 2
    assert all(p["role"] == "img" and p["aria-label"] for p in pictures)
    heads = [th.get("scope") for th in seen.of("th")]
    assert set(heads) == {"col", "row"}
    assert heads.count("row") >= 60
    levels = [int(tag[1]) for tag, _ in seen.found if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(mark.get("title") for mark in seen.of("abbr"))
    assert not seen.open


class _Tags(HTMLParser):
    """Every tag with its attributes, and those that were never closed."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@given(st.lists(st.floats(0, 500), min_size=1, max_size=8))
def test_labels_are_spread_without_overlap(wanted: list[float]) -> None:
    placed = sorted(spread(wanted, 12, 0, 500))
    assert all(b - a >= 12 - 1e-6 for a, b in itertools.pairwise(placed))
    assert placed[-1] <= 500 + 1e-6


@settings(max_examples=25)
@given(st.lists(st.floats(0, 60), min_size=1, max_size=7))
def test_names_of_marks_never_meet(qapp: QGuiApplication, moments: list[float]) -> None:
    marks = [Mark(x=x, label=f"phase {n}") for n, x in enumerate(sorted(moments))]
    chart = Chart(title="", x_label="", y_label="", summary="", marks=tuple(marks), x_max=60.0)
    axes = _Axes(chart, QRectF(58, 0, 300, 200))
    placed = _mark_names(marks, axes)
    for row in range(2):
        inside = [(left, left + text.width) for left, at, text in placed if at == row]
        assert all(a[1] < b[0] for a, b in itertools.pairwise(inside))
        assert all(left >= 58 and right <= 358.01 for left, right in inside)
    named = ", ".join(text.layout.text() for _, _, text in placed)
    assert named == ", ".join(mark.label for mark in marks)


def test_marks_of_one_name_that_are_close_are_counted(qapp: QGuiApplication) -> None:
    """“prefill, prefill, prefill, prefill, prefill” stood over a probe of six seconds."""
    names = ["decode", *["prefill"] * 5, "stopping"]
    marks = [Mark(x=30 + n / 100, label=name) for n, name in enumerate(names)]
    chart = Chart(title="", x_label="", y_label="", summary="", marks=tuple(marks), x_max=60.0)
    placed = _mark_names(marks, _Axes(chart, QRectF(58, 0, 300, 200)))
    words = ", ".join(text.layout.text() for _, _, text in placed)
    assert words == "decode, prefill ×5, stopping"


@pytest.mark.parametrize(
    ("title", "stem"),
    [
        (
            "Probe Qwen3 0.6B Q4_K_M on this rig first, its time",
            "Probe Qwen3 0.6B Q4_K_M on this rig first",
        ),
        ("Add a card: 2,000 USD", "Add a card"),
        ("a/b\\c: d", "a b c"),
        (f"{'word ' * 30}", " ".join(["word"] * 14)),
        ("模型" * 60, "模型" * 35),
        ("…", "report"),
    ],
)
def test_a_report_is_called_by_the_first_clause_of_its_title(title: str, stem: str) -> None:
    assert document().model_copy(update={"title": title}).file_stem == stem


@given(st.floats(0.001, 1e9))
def test_ticks_are_few_and_inside(top: float) -> None:
    ticks = nice_ticks(0, top)
    assert 2 <= len(ticks) <= 11
    assert ticks[0] == 0
    assert ticks[-1] <= top * 1.001


@pytest.mark.parametrize("lines", range(30, 120, 9))
def test_pages_that_were_closed_up_are_loosened_within_the_paper(
    qapp: QGuiApplication, lines: int
) -> None:
    layout = lay_out(document(*(Paragraph(text="A line.") for _ in range(lines))))
    for page in layout.pages:
        ends = [top + piece.height for top, piece in page.placed]
        assert ends == sorted(ends)
        assert ends[-1] <= layout.size.height() - 56 - 34 + 0.01
        gaps = [top - end for (top, _), end in zip(page.placed[1:], ends, strict=False)]
        assert all(gap == pytest.approx(gaps[0]) for gap in gaps)
        assert gaps[0] <= 8.01


@pytest.mark.parametrize(
    ("model", "n_cpu_moe", "drawn"), [("gpt-oss-120b", "fit", True), ("Qwen3-8B", 0, False)]
)
def test_ram_that_holds_more_than_a_card_has_its_whole_length(
    model: str, n_cpu_moe: Literal["fit"] | int, drawn: bool
) -> None:
    found = catalogue().find(model).model("Q8_0" if not drawn else "MXFP4_MOE")
    run = RunSettings(ctx=8192, n_cpu_moe=n_cpu_moe)
    bars = _bars(size(found, parse_rig("RTX 4090 + 128 GB DDR5-6000"), run))
    ram = bars.bars[-1]
    assert (ram.capacity is not None) == drawn
    assert ("in RAM what is free" in bars.summary) == drawn
