"""Real reports of every sort: complete, short, readable, and the same again when reopened."""

import json
import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from pypdfium2 import PdfDocument
from PySide6.QtGui import QGuiApplication, QImage
from report_cases import CASES, MADE, case, document, probe

from advisor import session as sessions
from advisor.advice.usage import Usage
from advisor.basis import Basis
from advisor.errors import ReportError
from advisor.hardware.compose import parse_rig
from advisor.hardware.rig import Host, Rig
from advisor.probe.result import Component, SpeedPoint
from advisor.report import gather
from advisor.report.build import ReportOptions, Section, build
from advisor.report.document import Command, Document, Heading, Paragraph, Table
from advisor.report.flow import Paper, lay_out
from advisor.report.furniture import FOOTER, HEADER, MARGIN
from advisor.report.html import to_html
from advisor.report.pdf import render_page, write_pdf
from advisor.report.plain import to_text
from advisor.report.provenance import changes, stamped
from advisor.report.sections.fit import _cell
from advisor.report.sections.machine import machine_blocks
from advisor.report.sections.probe import probe_blocks
from advisor.session import ModelChoice, Session
from advisor.sizing.matrix import Cell as MatrixCell
from advisor.sizing.settings import RunSettings

USUAL = tuple(name for name in CASES if name not in ("no model", "refused settings"))


def folded(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).split())


def extracted(path: Path) -> str:
    with PdfDocument(path) as made:
        text = "".join(page.get_textpage().get_text_range() for page in made)
    return folded(text.replace("\ufffe", "-"))  # PDFium's sign for a hyphen that ends a line


def in_order(texts: list[str], body: str) -> list[str]:
    """Those of ``texts`` that ``body`` lacks."""
    return [text for text in texts if folded(text) not in body]


# Reading a PDF takes longer than writing it; the other paper is read where its tables break.
BROKEN = ("scenario", "eight GPUs probed", "short ghosts", "longest names")


@pytest.mark.parametrize(
    ("name", "paper"),
    [*((name, Paper.A4) for name in CASES), *((name, Paper.LETTER) for name in BROKEN)],
)
def test_every_string_of_a_real_report_can_be_copied(
    qapp: QGuiApplication, tmp_path: Path, name: str, paper: Paper
) -> None:
    target = tmp_path / "report.pdf"
    made = document(name)
    write_pdf(made, target, paper=paper)
    body = extracted(target)
    # A cell that continues on the next page has the page's header inside; nothing else may.
    assert in_order(made.texts(), body) == []


@pytest.mark.parametrize("paper", list(Paper))
@pytest.mark.parametrize("name", USUAL)
def test_a_usual_report_has_two_to_four_pages(
    qapp: QGuiApplication, name: str, paper: Paper
) -> None:
    assert 2 <= len(lay_out(document(name), paper).pages) <= 4


WHITE = 0xFFFFFFFF


def pixels(image: QImage) -> np.ndarray:
    """Rows of colours, as 0xAARRGGBB."""
    plain = image.convertToFormat(QImage.Format.Format_ARGB32)
    return np.array(plain.constBits()).view(np.uint32).reshape(plain.height(), -1)


@pytest.mark.parametrize("name", CASES)
def test_every_page_is_painted_inside_its_margins(qapp: QGuiApplication, name: str) -> None:
    layout = lay_out(document(name))
    for number in range(len(layout.pages)):
        page = pixels(render_page(layout, number))
        assert (page[:, [*range(45), *range(750, 794)]] == WHITE).all()
        assert len(np.unique(page[60:1060, 60:735])) > 3


@pytest.mark.parametrize("name", CASES)
def test_a_report_opens_as_its_session_and_gives_the_same_report(
    qapp: QGuiApplication, tmp_path: Path, name: str
) -> None:
    session, found = case(name)
    choices = sessions.ReportChoices(left_out=frozenset({"machine"}), paper="Letter")
    session = session.model_copy(update={"report": choices})
    options = ReportOptions.of(session)
    made = build(session, found, options, MADE)
    carried = stamped(session, found.rig, found.plan, found.advice)
    write_pdf(made, tmp_path / "report.pdf", paper=options.paper, session=carried.to_json())
    again = sessions.load(tmp_path / "report.pdf")
    assert again == carried
    options = ReportOptions.of(again)
    assert (options.paper, Section.MACHINE in options.sections) == (Paper.LETTER, False)
    assert build(again, found, options, MADE) == made


def test_a_report_written_twice_says_the_same(qapp: QGuiApplication, tmp_path: Path) -> None:
    first, second = tmp_path / "first.pdf", tmp_path / "second.pdf"
    for target in (first, second):
        write_pdf(document("probe"), target)
    assert extracted(second) == extracted(first)


@pytest.mark.parametrize("name", ["no GPU", "one GPU", "no model", "refused settings"])
def test_what_is_worked_out_anew_from_a_report_is_the_same_report(
    qapp: QGuiApplication, tmp_path: Path, name: str
) -> None:
    session, found = case(name)
    made = build(session, found, ReportOptions(), MADE)
    carried = stamped(session, found.rig, found.plan, found.advice)
    write_pdf(made, tmp_path / "report.pdf", session=carried.to_json())
    again = sessions.load(tmp_path / "report.pdf")
    assert again.rig is not None
    anew = gather.findings(again, again.rig, MADE)
    assert build(again, anew, ReportOptions(), MADE) == made


def headings(made: Document) -> list[str]:
    return [b.text for b in made.blocks if isinstance(b, Heading) and b.level == 2]


def test_sections_can_be_left_out_one_by_one(qapp: QGuiApplication) -> None:
    session, found = case("probe")
    everything = headings(build(session, found, ReportOptions(), MADE))
    assert everything == [
        "The machine",
        "What fits",
        "The plan, device by device",
        "The probe",
        "Options compared",
        "Assumptions and sources",
    ]
    for section in set(Section) - {Section.SCENARIO}:
        options = ReportOptions(sections=frozenset(Section) - {section})
        left = headings(build(session, found, options, MADE))
        assert len(left) == len(everything) - (section is not Section.VERDICT)
    only = build(session, found, ReportOptions(sections=frozenset({Section.VERDICT})), MADE)
    assert len(lay_out(only).pages) == 1


def test_a_probe_replaces_words_by_measurements_and_a_failed_one_says_so() -> None:
    assert "No probe was run" in to_text(document("one GPU"))
    measured = to_text(document("probe"))
    assert "No probe was run" not in measured
    assert "memory while llama.cpp ran" in measured
    failed = to_text(document("failed probe"))
    assert "ran out of memory" in failed
    assert "it confirms nothing" in failed
    assert "unable to allocate CUDA0 buffer" in failed


def test_parts_of_a_probe_tell_where_they_were_read() -> None:
    """A driver's share and the program's own are no accounting of llama.cpp's; nothing is no part
    that is unknown, and what was not asked is no unknown speed."""
    host = probe().places[0]
    nothing = Component(name="draft", planned=0, engine=None)
    driver = Component(name="driver", planned=600 << 20, engine=558 << 20)
    held = {part.name: part for part in host.components} | {"draft": nothing, "driver": driver}
    place = host.model_copy(update={"components": tuple(held.values())})
    alone = SpeedPoint(
        depth=0, n_prompt=0, prefill_tps=None, ttft_s=None, n_decode=64, decode_tps=211.0
    )
    result = probe().model_copy(update={"places": (place,), "speeds": (alone,)})
    blocks = probe_blocks(result)
    tables = [block for block in blocks if isinstance(block, Table)]
    parts = {r[1].text: r[3].basis for t in tables for r in t.rows if len(r) == 5}
    assert parts["Driver"] == parts["llama.cpp itself"] == Basis.MEASURED
    assert parts["Weights"] == Basis.DRY_RUN
    assert "Drafting" not in parts
    (speed,) = (row for t in tables for row in t.rows if row[0].text == "an empty context")
    assert [cell.text for cell in speed[1:]] == ["211 tok/s", "–", "–"]


def test_what_short_ghosts_say_of_the_whole_is_not_marked_as_measured() -> None:
    made = document("short ghosts")
    text = to_text(made)
    assert "with 2 and 4 of 28 layers" in text
    assert "memory while llama.cpp ran" not in text
    tables = [b for b in made.blocks if isinstance(b, Table)]
    speeds = next(t for t in tables if t.columns[0].title == "Extrapolated, with")
    peaks = [r for t in tables for r in t.rows if len(r) > 1 and r[1].text == "Total, at its peak"]
    assert speeds.rows
    assert peaks
    assert {c.basis for r in (*speeds.rows, *peaks) for c in r} == {None, Basis.COMPUTED}


def test_every_machine_of_a_rig_is_listed() -> None:
    text = to_text(document("several machines"))
    for words in ("computer 1 of 2", "computer 2 of 2", "M2 Ultra", "10GbE, 1.25 GB/s"):
        assert words in text


def test_memory_of_several_cards_is_told_of_each() -> None:
    table = next(
        b for b in machine_blocks(parse_rig("2x RTX 4090 + 64 GB")) if isinstance(b, Table)
    )
    assert table.rows[0][1].text == "24.0 GiB each"
    table = next(b for b in machine_blocks(parse_rig("RTX 4090 + 64 GB")) if isinstance(b, Table))
    assert table.rows[0][1].text == "24.0 GiB"


def test_ram_that_stays_the_system_s_is_not_called_free() -> None:
    table = next(b for b in machine_blocks(parse_rig("RTX 4090 + 64 GB")) if isinstance(b, Table))
    assert (table.rows[1][2].text, table.rows[1][2].second) == ("4.0 GiB", "left to the system")
    assert {cell.basis for line in table.rows for cell in line} == {None}
    read = Rig(name="read", hosts=(Host(ram_total=64 << 30, ram_available=50 << 30),))
    table = next(b for b in machine_blocks(read) if isinstance(b, Table))
    assert table.rows[0][2].text == "14.0 GiB"
    assert [cell.basis for cell in table.rows[0][1:3]] == [Basis.MEASURED] * 2


def test_graphics_that_share_the_memory_have_no_link() -> None:
    """Nothing is unknown of a slot that there is not."""
    rig = parse_rig("Radeon 890M + 64 GB LPDDR5X-7500")
    table = next(b for b in machine_blocks(rig) if isinstance(b, Table))
    shown = {
        column.title: cell.text for column, cell in zip(table.columns, table.rows[0], strict=True)
    }
    assert shown["Link"] == "–"
    assert shown["Bandwidth"] == "120 GB/s"


def test_refused_settings_leave_a_report_that_says_why() -> None:
    assert "There is no verdict." in to_text(document("refused settings"))


def test_a_report_of_a_machine_alone_speaks_of_nothing_else() -> None:
    rig = parse_rig("RTX 4090 + 64 GB")
    session = Session(rig=rig)
    made = build(session, gather.findings(session, rig, MADE), ReportOptions(), MADE)
    assert headings(made) == ["The machine", "Assumptions and sources"]
    assert not any(word in to_text(made) for word in ("Prefill", "probe", "genai-prices"))


def test_little_that_lies_in_ram_is_not_told_as_nothing() -> None:
    cell = MatrixCell("Q8_0", 8192, "offload", -(20 << 20), None, None, None)
    assert _cell(cell, parse_rig("RTX 4090 + 64 GB"), strong=False).text == "RAM 0.1"


def test_a_model_that_writes_nothing_has_a_report_without_advice_and_probe() -> None:
    rig = parse_rig("RTX 4090 + 64 GB")
    session = Session(rig=rig, model=ModelChoice(model="BAAI/bge-small-en-v1.5"))
    made = build(session, gather.findings(session, rig, MADE), ReportOptions(), MADE)
    assert headings(made) == [
        "The machine",
        "What fits",
        "The plan, device by device",
        "Assumptions and sources",
    ]
    said = to_text(made)
    for needless in ("requests a month", "genai-prices", "KV cache (", "Prefill", "look back on."):
        assert (needless in said) is (needless == "look back on.")
    sentence = "There is no verdict. llama-server does not write answers token by token with BGE"
    assert sentence in to_text(made)


def test_the_seed_s_case_has_its_page() -> None:
    made = document("scenario")
    assert headings(made) == ["DeepSeek V4 at home", "Options compared", "Assumptions and sources"]
    body = to_text(made)
    for words in ("Which machine runs DeepSeek V4", "From when on a rig is cheaper", "69.12 USD"):
        assert words in body
    rigs = {r[0].text for b in made.blocks if isinstance(b, Table) and b.tiles for r in b.rows}
    assert rigs == {"2x RTX 4090", "2x RTX 5090"}


def test_options_are_few_and_of_several_kinds() -> None:
    made = document("one GPU")
    table = next(b for b in made.blocks if isinstance(b, Table) and b.columns[0].title == "Option")
    assert 2 <= len(table.rows) <= 12
    assert "left out here" in table.caption


def test_no_two_rows_of_the_matrix_are_the_same_size() -> None:
    table = next(b for b in document("one GPU").blocks if isinstance(b, Table) and b.tiles)
    names = [row[0].text for row in table.rows]
    assert "BF16" in names
    assert "F16" not in names
    words = {cell.text.split()[0][0] for row in table.rows for cell in row[3:]}
    assert words <= set("+tR×?")


@pytest.mark.parametrize("name", CASES)
def test_page_and_text_say_what_the_pdf_says(name: str) -> None:
    made = document(name)
    page, text = to_html(made), to_text(made)
    for block in made.blocks:
        if isinstance(block, Heading):
            assert block.text in text
    assert page.count("<table>") >= sum(isinstance(b, Table) for b in made.blocks)
    assert json.loads(made.model_dump_json())["title"] == made.title


def _full(_descriptor: int) -> None:
    raise OSError(28, "No space left on device")


def _locked(_self: Path, _target: Path) -> None:
    raise PermissionError(13, "The process cannot access the file because it is being used")


@pytest.mark.parametrize(
    ("stand_in", "sentence"),
    [((os, "fsync", _full), "No space left on device"), ((Path, "replace", _locked), "being used")],
)
def test_a_full_disk_or_a_locked_file_leaves_the_previous_report(
    qapp: QGuiApplication,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stand_in: tuple[object, str, object],
    sentence: str,
) -> None:
    target = tmp_path / "report.pdf"
    write_pdf(document("no model"), target)
    before = target.read_bytes()
    monkeypatch.setattr(*stand_in)
    with pytest.raises(ReportError, match=sentence):
        write_pdf(document("one GPU"), target)
    assert target.read_bytes() == before
    assert list(tmp_path.glob("*.tmp")) == []


def test_a_folder_that_does_not_take_files_gets_a_sentence(
    qapp: QGuiApplication, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ReportError, match="choose another folder"):
        write_pdf(document("no model"), tmp_path / "file" / "report.pdf")
    if os.geteuid() != 0:  # root writes everywhere
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o500)
        with pytest.raises(ReportError, match="choose another folder"):
            write_pdf(document("no model"), closed / "report.pdf")


def test_a_reopened_report_says_what_has_changed() -> None:
    session, found = case("no GPU")
    same = stamped(session, found.rig, found.plan, found.advice)
    kept = same.outcome
    assert kept is not None
    assert kept.data == sessions.DataVersions.current()
    assert kept.prices
    assert kept.plan is not None
    assert found.plan is not None
    assert changes(same, found.plan, found.advice) == []
    assert changes(session, found.plan, found.advice) == []
    dearer = tuple(p.model_copy(update={"mid": p.mid + 1}) for p in kept.prices)
    (place,) = kept.plan.places
    smaller = kept.plan.model_copy(
        update={"places": (place.model_copy(update={"total": 1 << 20}),)}
    )
    older = kept.model_copy(
        update={
            "data": kept.data.model_copy(update={"hardware_prices": "2025-01-01"}),
            "verdict": "Do nothing.",
            "plan": smaller,
            "prices": dearer,
        }
    )
    said = changes(same.model_copy(update={"outcome": older}), found.plan, found.advice)
    assert "hardware prices then 2025-01-01, now" in said[0]
    assert said[1] == "The verdict when it was saved was: Do nothing."
    assert said[2].startswith("The plan has changed since: RAM 1 MiB then,")
    assert f"{dearer[0].name}: {dearer[0].mid.normalize():f} USD then" in said[3]
    reopened = same.model_copy(update={"outcome": older})
    assert "2025-01-01" in to_text(build(reopened, found, ReportOptions(), MADE))


def test_the_verdict_is_the_title_and_the_box_below_it() -> None:
    session, found = case("one GPU")
    assert found.advice is not None
    what, _, rest = found.advice.headline.partition(": ")
    made = build(session, found, ReportOptions(), MADE)
    assert made.title == what
    box = next(b for b in made.blocks if isinstance(b, Paragraph) and b.style == "verdict")
    assert box.text.casefold().startswith(rest.casefold()[:20])
    named = build(session, found, ReportOptions(title="For the lab"), MADE)
    box = next(b for b in named.blocks if isinstance(b, Paragraph) and b.style == "verdict")
    assert box.text == found.advice.headline


def test_a_verdict_on_another_run_brings_its_command_and_the_run_what_is_faster() -> None:
    """Who carries it out has to know what to type, and that the plan's split is a slow one."""
    rig = parse_rig("RTX 4090 + RTX 3060 12GB + 64 GB DDR5-6000")
    usage = Usage(data_may_leave=False)
    choice = ModelChoice(model="Qwen/Qwen3-32B", file_type="Q4_K_M")
    session = Session(rig=rig, model=choice, usage=usage, settings=RunSettings(ctx=8192))
    found = gather.findings(session, rig, MADE)
    assert found.advice is not None
    assert found.advice.best is not None
    made = build(session, found, ReportOptions(), MADE)
    told = [block.text for block in made.blocks if isinstance(block, Command)]
    assert len(told) == 2
    assert f"{found.advice.best.option.file_type}.gguf -c 16384" in told[1]
    assert "Put all layers on RTX 4090" in to_text(made)

    same = session.model_copy(
        update={
            "settings": RunSettings(ctx=16384),
            "model": choice.model_copy(update={"file_type": found.advice.best.option.file_type}),
        }
    )
    made = build(same, gather.findings(same, rig, MADE), ReportOptions(), MADE)
    assert sum(isinstance(block, Command) for block in made.blocks) == 1


@pytest.mark.parametrize("paper", list(Paper))
@pytest.mark.parametrize("name", USUAL)
def test_no_page_of_a_usual_report_ends_a_fifth_early(
    qapp: QGuiApplication, name: str, paper: Paper
) -> None:
    layout = lay_out(document(name), paper)
    room = layout.size.height() - 2 * MARGIN - HEADER - FOOTER
    for page, following in zip(layout.pages[:-1], layout.pages[1:], strict=True):
        top, last = page.placed[-1]
        if not following.placed[0][1].starts_page:
            assert top + last.height - MARGIN - HEADER > 0.8 * room
