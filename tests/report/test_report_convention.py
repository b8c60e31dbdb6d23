"""Figures in the reader's convention; names are never taken for figures."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtGui import QGuiApplication
from report_cases import MADE, case

from advisor.llm.catalogue import catalogue
from advisor.report.build import ReportOptions, build
from advisor.report.convention import REGIONS, Convention, day
from advisor.report.document import Command
from advisor.session import ReportChoices
from advisor.units import GIB, decimal_bytes, gib, mib, size


@pytest.mark.parametrize(
    ("region", "text", "written"),
    [
        ("", "1,234.5 GiB at 3.36 USD", "1,234.5 GiB at 3.36 USD"),
        ("en_US", "about 3.36 USD a month", "about $3.36 a month"),
        ("en_US", "1.90–5.86 USD", "$1.90–5.86"),
        ("en_GB", "1,200.50 USD", "1,200.50 USD"),
        ("de_DE", "1,234,567.25 EUR; 4.7 GiB left", "1.234.567,25\u00a0€; 4,7 GiB left"),
        ("de_DE", "86.5–127 tok/s", "86,5–127 tok/s"),
        ("fr_FR", "2,311–8,002 tok/s", "2\u202f311–8\u202f002 tok/s"),
        ("en_IN", "1,234,567 requests", "12,34,567 requests"),
        ("nl_NL", "0 EUR", "€\u00a00"),
        ("pl_PL", "1,200 requests", "1200 requests"),
        ("de_DE", "+14.4", "+14,4"),
        ("de_DE", "tight 0.3", "tight 0,3"),
        ("de_DE", "0.09 … 0.36", "0,09 … 0,36"),
        ("de_DE", "0.02%", "0,02%"),
        ("de_DE", "on 3 November 2026.", "on 03.11.2026."),
        ("en_US", "on 3 November 2026.", "on November 3, 2026."),
        ("sv_SE", "23 November 2026", "2026-11-23"),
        ("ar_EG", "1,234.5 GiB", "1,234.5 GiB"),
        (
            "de_DE",
            "Llama 3.1 8B, Qwen2.5-7B, PCIe 4.0 x16",
            "Llama 3.1 8B, Qwen2.5-7B, PCIe 4.0 x16",
        ),
        ("de_DE", "genai-prices 0.2.3 (2026-11-23)", "genai-prices 0.2.3 (2026-11-23)"),
        ("de_DE", "https://example.org/a-1.5/2,000.5", "https://example.org/a-1.5/2,000.5"),
    ],
)
def test_figures_are_written_as_the_region_does(region: str, text: str, written: str) -> None:
    assert Convention(region).text(text) == written


@pytest.mark.parametrize("region", REGIONS)
def test_no_model_s_name_is_a_figure(region: str) -> None:
    for entry in catalogue().entries:
        for name in (entry.id, entry.name):
            assert Convention(region).text(f"Keep it and run {name} Q4_K_M.") == (
                f"Keep it and run {name} Q4_K_M."
            )


@given(st.sampled_from(REGIONS), st.integers(0, 10**12), st.integers(0, 3))
def test_no_digit_is_lost(region: str, value: int, digits: int) -> None:
    figure = f"{value / 10**digits:,.{digits}f}"
    written = Convention(region).text(f"{figure} GiB").removesuffix(" GiB")
    assert re.sub(r"\D", "", written) == re.sub(r"\D", "", figure)


@given(st.text(max_size=60), st.sampled_from(("", *REGIONS)))
def test_any_text_is_taken(text: str, region: str) -> None:
    Convention(region, decimal_bytes=True).text(text)


def test_memory_in_powers_of_ten_is_exact_where_bytes_are_known() -> None:
    with decimal_bytes():
        assert (gib(24 * GIB), size(10**7), mib(10**8)) == ("25.8 GB", "10 MB", "100 MB")
    assert gib(24 * GIB) == "24.0 GiB"
    assert (
        Convention(decimal_bytes=True).text("14.4 GiB, 315 MiB, 192 KiB")
        == "15.5 GB, 330 MB, 197 kB"
    )


def test_a_whole_report_follows_the_session_but_not_what_a_person_wrote() -> None:
    session, found = case("one GPU")
    choices = ReportChoices(region="de_DE", decimal_bytes=True)
    note = "Budget 1,234.56 USD, 24.0 GiB"
    session = session.model_copy(update={"report": choices, "note": note})
    made = build(session, found, ReportOptions.of(session), MADE)
    texts = made.texts()
    assert note in texts
    others = [t for t in texts if t != note]
    assert not [t for t in others if "GiB" in t or re.search(r"\d\.\d{1,2} (GB|USD|tok)", t)]
    assert any(re.search(r"\d,\d+ USD", t) for t in others)
    commands = [b for b in made.blocks if isinstance(b, Command)]
    plain = build(session, found, ReportOptions(), MADE)
    assert commands == [b for b in plain.blocks if isinstance(b, Command)]
    assert day(MADE, made.region) == "23.11.2026"


def test_the_pages_are_in_the_convention_too(qapp: QGuiApplication) -> None:
    from advisor.report.charts import tick_texts  # noqa: PLC0415 - after the application

    assert tick_texts([0.0, 2000.0], Convention("de_DE")) == ["0", "2.000"]
    assert tick_texts([0.0, 0.25, 0.5, 1.0]) == ["0", "0.25", "0.50", "1.00"]
    assert tick_texts([0.0, 0.5, 1.0], Convention("de_DE")) == ["0", "0,5", "1,0"]
