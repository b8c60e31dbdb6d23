"""A report about a built-in case: what it says of its tables, and of what they rest on."""

import dataclasses

from report_cases import MADE, case

from advisor.advice.scenarios import Answer
from advisor.report.build import ReportOptions, build
from advisor.report.plain import to_text


def told(**changes: object) -> str:
    session, found = case("scenario")
    assert isinstance(found.scenario, Answer)
    findings = dataclasses.replace(found, scenario=dataclasses.replace(found.scenario, **changes))
    return " ".join(to_text(build(session, findings, ReportOptions.of(session), MADE)).split())


def test_it_names_the_llama_cpp_whose_rules_its_sizes_follow() -> None:
    """Sized for the one that would run it, and said to follow the oldest."""
    assert "Memory rules of llama.cpp b11549;" in told(llama_cpp="b11549")
    assert "Memory rules of llama.cpp b11434;" in told(llama_cpp="")


def test_what_would_not_do_stands_under_the_table_of_costs() -> None:
    text = told()
    assert "What would not do at any volume:" in text
    assert "Claude Sonnet 5.5: takes at most 1,000,000 tokens" in text
    assert "The file of least loss at 1M tokens of context." in text
