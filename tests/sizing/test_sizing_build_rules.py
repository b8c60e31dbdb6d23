"""What newer builds of llama.cpp reserve otherwise holds for runs that tell one, and only there."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from advisor.hardware.compose import parse_rig
from advisor.llm.catalogue import catalogue
from advisor.sizing import size
from advisor.sizing.allocation import Allocation, allocate
from advisor.sizing.build_dates import dated_builds, has
from advisor.sizing.build_rules import UNCHANGED, BuildRules, rules_of, version_of
from advisor.sizing.settings import RunSettings
from advisor.units import MIB

FACTS = json.loads((Path(__file__).parent / "build_rules_facts.json").read_bytes())


def sizes(found: Allocation) -> list[list[int]]:
    """Weights, context and compute of every card and, last, of the host."""
    parts = (found.weights, found.context, found.compute)
    rows = [[part.devices[at] for part in parts] for at in range(len(found.weights.devices))]
    return [*rows, [part.host for part in parts]]


def sized(case: dict[str, Any], built: str) -> list[list[int]]:
    model = catalogue().find(case["model"]).model(case["file_type"])
    settings = RunSettings.model_validate(case["settings"] | {"built": built})
    free = [mib * MIB for mib in case["free_mib"]]
    return sizes(allocate(model, settings, ["cuda"] * len(free), free))


@pytest.mark.parametrize(
    "case", FACTS["cases"], ids=lambda case: f"{case['model']} {case['settings']}"
)
def test_bytes_are_those_of_the_build_that_is_told(case: dict[str, Any]) -> None:
    assert sized(case, FACTS["built"]) == case["sizes"]


def test_every_change_moves_a_figure_and_none_where_no_build_is_told() -> None:
    changes = {change.rule: change for change in dated_builds().changes}
    assert set(changes) == set(BuildRules._fields)
    moved = dict.fromkeys((change.build for change in changes.values()), 0)
    for case in FACTS["cases"]:
        untold = sized(case, "")
        assert untold == sized(case, "b11434") == sized(case, "any")
        before = untold
        for build in moved:
            after = sized(case, f"b{build}")
            moved[build] += after != before
            before = after
    assert all(moved.values()), moved


@pytest.mark.parametrize(
    ("rule", "model"),
    [("masks_always", "GLM-5.3-Flash"), ("streams_kept", "DeepSeek-V4-Flash")],
)
def test_changes_of_one_build_move_a_figure_each(rule: str, model: str) -> None:
    change = next(change for change in dated_builds().changes if change.rule == rule)
    cases = [case for case in FACTS["cases"] if model in case["model"]]
    assert any(sized(c, f"b{change.build}") != sized(c, f"b{change.build - 1}") for c in cases)


@pytest.mark.parametrize(
    ("told", "held"),
    [
        ("", ()),
        ("any", ()),
        ("b9000", ()),
        ("b11434", ()),
        ("b11480", ()),
        ("b11481", ("rows_early",)),
        ("b11537", ("rows_early", "lookups_first")),
        ("b11549", ("rows_early", "lookups_first", "masks_always", "streams_kept")),
        ("b20000", ("rows_early", "lookups_first", "masks_always", "streams_kept")),
        # Of the month in which a change came, and of the version, any build may be meant.
        ("2026-10", ()),
        ("2026", ()),
        ("v0.6.0", ()),
        ("v0.6.0-dev", ()),
        ("2026-10-08", ("rows_early",)),
        ("2026-11", ("rows_early", "lookups_first", "masks_always", "streams_kept")),
        ("2027", ("rows_early", "lookups_first", "masks_always", "streams_kept")),
        ("v0.6.1", ("rows_early", "lookups_first", "masks_always", "streams_kept")),
        ("v1.0.0-dev", ("rows_early", "lookups_first", "masks_always", "streams_kept")),
    ],
)
def test_a_change_holds_for_builds_that_are_proven_to_have_it(
    told: str, held: tuple[str, ...]
) -> None:
    rules = rules_of(told)
    assert tuple(name for name, holds in rules._asdict().items() if holds) == held
    assert (rules == UNCHANGED) == (not held)
    last = max((c.build for c in dated_builds().changes if c.rule in held), default=11434)
    assert version_of(told) == f"b{last}"


def test_changes_stand_in_the_order_in_which_they_came() -> None:
    changes = dated_builds().changes
    assert [c.build for c in changes] == sorted(c.build for c in changes)
    assert all(not has(f"b{c.build - 1}", c) and has(f"b{c.build}", c) for c in changes)
    assert all(date(2026, 10, 5) < c.date < date(2026, 11, 1) for c in changes)


def test_a_figure_says_whose_rule_it_follows() -> None:
    model, rig = (
        catalogue().find("Qwen/Qwen3-VL-2B-Instruct").model("Q4_K_M"),
        parse_rig("RTX 4090"),
    )

    def said(built: str) -> tuple[str, str, str]:
        plan = size(model, rig, RunSettings(ctx=4096, built=built))
        notes = [" ".join(plan.explanations[f"{p}.compute"].notes) for p in ("CUDA0", "host")]
        return plan.llama_cpp, *notes

    version, *old = said("")
    assert version == "b11434"
    assert old == ["By the rules of llama.cpp b11434."] * 2
    version, *new = said("b11549")
    assert version == "b11549"
    assert all("2026-10 (b11549)" in note and "(from b11537 on" in note for note in new)
