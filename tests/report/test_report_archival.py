"""PDF/A-1b: its rules one by one, and PDFBox Preflight's word where that is installed."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader
from pypdf.generic import ArrayObject, DictionaryObject, StreamObject
from PySide6.QtGui import QGuiApplication
from report_cases import CASES, document

from advisor.report.pdf import write_pdf

# On Debian: libpdfbox2-java, libjaxb-api-java, libactivation-java.
JARS = ("pdfbox2", "fontbox2", "preflight", "xmpbox", "commons-logging", "javax.activation")
JAVA = shutil.which("java")
FOLDER = Path(os.environ.get("PREFLIGHT_JARS", "/usr/share/java"))


@pytest.fixture(scope="module")
def archive(qapp: QGuiApplication, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("archive") / "archive.pdf"
    write_pdf(document("probe"), target, session="{}", archival=True)
    return target


def objects(reader: PdfReader) -> list[Any]:
    count = int(reader.trailer["/Size"])
    return [found for n in range(1, count) if (found := reader.get_object(n)) is not None]


def test_header_identity_and_what_is_forbidden(archive: Path) -> None:
    content = archive.read_bytes()
    assert content.startswith(b"%PDF-1.4\n%")
    assert all(byte > 127 for byte in content.split(b"\n")[1][1:5])
    reader = PdfReader(archive)
    assert len(reader.trailer["/ID"]) == 2
    assert "/Encrypt" not in reader.trailer
    root = reader.trailer["/Root"]
    assert not {"/AA", "/OpenAction", "/OCProperties", "/AcroForm"} & set(root)
    assert not reader.attachments
    for found in objects(reader):
        if isinstance(found, DictionaryObject):
            assert "/EmbeddedFiles" not in found
            assert found.get("/S") not in ("/JavaScript", "/Launch")
        if isinstance(found, StreamObject):
            assert "/LZWDecode" not in str(found.get("/Filter"))


def test_metadata_are_plain_and_say_what_the_information_says(archive: Path) -> None:
    reader = PdfReader(archive)
    stream = reader.trailer["/Root"]["/Metadata"]
    assert "/Filter" not in stream
    xmp, info = reader.xmp_metadata, reader.metadata
    assert xmp is not None
    assert info is not None
    assert (xmp.pdfaid_part, xmp.pdfaid_conformance) == ("1", "B")
    assert xmp.dc_title == {"x-default": info.title}
    assert xmp.xmp_creator_tool == info.creator
    assert xmp.pdf_producer == info.producer
    assert info.creation_date is not None
    assert xmp.xmp_create_date == info.creation_date.replace(tzinfo=None)
    assert xmp.xmp_modify_date == xmp.xmp_create_date


def test_colours_are_those_of_the_declared_intent(archive: Path) -> None:
    reader = PdfReader(archive)
    (intent,) = reader.trailer["/Root"]["/OutputIntents"]
    assert intent.get_object()["/S"] == "/GTS_PDFA1"
    assert intent.get_object()["/DestOutputProfile"]["/N"] == 3
    for page in reader.pages:
        assert "CMYK" not in repr(page["/Resources"]["/ColorSpace"].get_object())
        for state in page["/Resources"].get("/ExtGState", {}).values():
            assert state.get_object().get("/ca", 1) == state.get_object().get("/CA", 1) == 1
            assert state.get_object().get("/SMask", "/None") == "/None"


def test_every_font_is_embedded_and_maps_to_characters(archive: Path) -> None:
    for page in PdfReader(archive).pages:
        for reference in page["/Resources"]["/Font"].values():
            font = reference.get_object()
            assert b"<0009>" not in font["/ToUnicode"].get_data()
            held = font["/DescendantFonts"][0].get_object()
            assert {"/FontFile", "/FontFile2", "/FontFile3"} & set(held["/FontDescriptor"])
            assert "/CIDToGIDMap" in held


def test_it_has_bookmarks_and_a_language(archive: Path) -> None:
    reader = PdfReader(archive)
    assert isinstance(reader.outline, list)
    assert len(reader.outline) > 5
    assert reader.trailer["/Root"]["/Lang"] == "en"
    assert isinstance(reader.trailer["/ID"], ArrayObject)


@pytest.mark.skipif(
    JAVA is None or not (FOLDER / "preflight.jar").exists(),
    reason="PDFBox Preflight is not installed",
)
def test_preflight_finds_nothing(qapp: QGuiApplication, tmp_path: Path) -> None:
    files: list[Path] = []
    for name in CASES:
        files.append(tmp_path / f"{name}.pdf")
        write_pdf(document(name), files[-1], archival=True)
    jars = ":".join(str(FOLDER / f"{name}.jar") for name in (*JARS, "jaxb-api"))
    validator = "org.apache.pdfbox.preflight.Validator_A1b"
    for file in files:
        done = subprocess.run(
            [str(JAVA), "-cp", jars, validator, str(file)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "is a valid PDF/A-1b file" in done.stdout, done.stdout
