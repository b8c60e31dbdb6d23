"""Export of a report of four pages with its session inside, and the drawing of one page.

The goal is a second for the export. Run with ``make bench``.
"""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from PySide6.QtGui import QGuiApplication
from pytest_benchmark.fixture import BenchmarkFixture

from advisor.hardware.compose import parse_rig
from advisor.report import gather
from advisor.report.build import ReportOptions, build
from advisor.report.document import Document
from advisor.report.flow import lay_out
from advisor.report.pdf import render_page, write_pdf
from advisor.session import ModelChoice, Session

MADE = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def report(qapp: QGuiApplication) -> tuple[Session, Document]:
    rig = parse_rig("RTX 4090 + 64 GB DDR5-5600")
    choice = ModelChoice(model="Qwen/Qwen3-8B", file_type="Q4_K_M")
    session = Session(rig=rig, model=choice)
    found = gather.findings(session, rig, MADE)
    return session, build(session, found, ReportOptions.of(session), MADE)


def test_export(
    benchmark: BenchmarkFixture, report: tuple[Session, Document], tmp_path: Path
) -> None:
    session, document = report

    def export() -> int:
        return write_pdf(document, tmp_path / "report.pdf", session=session.to_json())

    assert benchmark(export) == 4


def test_layout(benchmark: BenchmarkFixture, report: tuple[Session, Document]) -> None:
    assert len(benchmark(lambda: lay_out(report[1])).pages) == 4


def test_preview_of_a_page(benchmark: BenchmarkFixture, report: tuple[Session, Document]) -> None:
    layout = lay_out(report[1])
    image = benchmark(lambda: render_page(layout, 1, scale=1.0))
    assert image.width() == 794
