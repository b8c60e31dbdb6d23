"""The built-in case, worked out small: every table, from the engine, as plain data."""

import datetime as dt
import json
import socket
from decimal import Decimal

import pytest

from advisor.advice import scenarios
from advisor.advice.export import advice_data, answer_data
from advisor.advice.hardware_prices import PriceBook
from advisor.advice.scenario_rules import rules_of_length
from advisor.advice.scenario_work import allocation, work_out
from advisor.advice.workings import Workings
from advisor.errors import SessionError
from advisor.hardware.compose import parse_rig
from advisor.llm.catalogue import catalogue

NOW = dt.datetime(2026, 11, 23, 14, tzinfo=dt.UTC)
CASE = scenarios.scenario("deepseek-v4-at-home")


@pytest.fixture(scope="module")
def answer():
    small = CASE.model_copy(
        update={
            "rigs": (CASE.rigs[0], CASE.rigs[4]),
            "models": CASE.models[:1],
            "contexts": (8192, 1048576),
            "volumes": (10, 3000),
        }
    )
    return work_out(small, at=NOW)


def test_the_verdict_comes_before_the_tables_and_stays(answer):
    """What is sized exactly for it is what the whole answer tells as well."""
    kept = Workings()
    first = work_out(answer.scenario, at=NOW, depth="first", workings=kept)
    verdict = work_out(answer.scenario, at=NOW, depth="verdict", workings=kept)
    assert not first.allocation
    assert not verdict.allocation
    assert verdict.advice.headline == answer.advice.headline
    assert verdict.by_volume == answer.by_volume
    assert [c.break_even for c in verdict.crossings] == [c.break_even for c in answer.crossings]
    best = verdict.advice.assessments[0].option
    assert not best.rough
    assert not any(a.option.rough for a in answer.advice.assessments)


def test_a_case_can_be_stopped(answer):
    stopped = work_out(answer.scenario, at=NOW, depth="verdict", cancelled=lambda: True)
    assert not stopped.crossings
    assert stopped.advice.best is not None  # an API needs no sizing


def test_the_case_is_complete():
    assert [r.title for r in CASE.rigs] == [
        "2x RTX 4090",
        "2x RTX 5090",
        "3x H100",
        "8x H200",
        "96 GB card + RAM",
        "Unified 128 GB",
    ]
    assert CASE.contexts[0] == 8192
    assert CASE.contexts[-1] == 1 << 20
    book = PriceBook()
    for rig in CASE.rigs:
        assert parse_rig(rig.rig).devices
        for name in rig.parts:
            assert book.part(name).mid > 0
    for model in CASE.models:
        catalogue().find(model)


def test_an_unknown_case_names_the_known_ones():
    with pytest.raises(SessionError, match="deepseek-v4-at-home"):
        scenarios.scenario("nonsense")


def test_allocation_has_every_file_type_and_context(answer):
    entry = catalogue().find(CASE.models[0])
    assert {r.file_type for r in answer.allocation} == {"IQ1_S", "IQ1_M", *entry.file_types}
    assert len(answer.allocation) == 2 * 2 * (2 + len(entry.file_types))
    # 281 GiB against 48 GiB of cards and 128 GiB of RAM.
    largest = [r for r in answer.allocation if r.rig == "2x RTX 4090" and r.file_type == "Q8_0"]
    assert [r.verdict for r in largest] == ["no", "no"]


def test_the_models_of_the_case_are_what_was_checked(answer):
    (flash,) = answer.models
    assert (flash.params // 10**9, flash.active // 10**9) == (284, 13)
    assert (flash.experts_used, flash.experts, flash.trained_ctx) == (6, 256, 1 << 20)
    # 6.72 GiB of caches at a million tokens: 6,880 bytes a token.
    assert flash.kv[-1] == (1 << 20, pytest.approx(6.72 * 2**30, rel=0.01))


def test_only_what_fits_has_a_speed_and_two_cards_have_a_link(answer):
    assert {s.rig for s in answer.speeds} == {"2x RTX 4090", "96 GB card + RAM"}
    assert all(s.decode_tps.low < s.decode_tps.high for s in answer.speeds)
    assert [link.rig for link in answer.links] == ["2x RTX 4090"]
    assert answer.links[0].share < 0.001


def test_break_even_is_against_every_api(answer):
    assert {c.api for c in answer.crossings} >= {"Claude Sonnet 5.5", "DeepSeek API (V4.1-Flash)"}
    for crossing in answer.crossings:
        even = crossing.break_even
        if even.mid is not None and even.low is not None:
            assert even.low <= even.mid


def test_rules_and_verdicts_are_sentences(answer):
    assert [n for n, _ in answer.by_volume] == [10, 3000]
    for sentence in (*answer.rules, *(text for _, text in answer.by_volume)):
        assert sentence.endswith(".")


def test_what_would_not_do_at_any_volume_is_told(answer):
    """Claude takes a million tokens, the case's context is 1,048,576."""
    told = "; ".join(answer.shortfalls)
    assert "Claude Sonnet 5.5: takes at most 1,000,000 tokens" in told
    assert "DeepSeek API" not in told


def test_rules_are_about_what_does_what_is_asked(answer):
    """An API was advised where no prompt may leave; rigs too slow for the need were cheaper."""
    case = answer.scenario
    slow = case.usage.model_copy(update={"min_decode_tps": 500.0})
    found = work_out(case, at=NOW, usage=slow, depth="first")
    assert all("below the 500 asked for" in c.rig_lacks for c in found.crossings)
    assert found.rules[0].startswith("Use DeepSeek API")
    assert "no rig of this case" in found.rules[0]
    private = case.usage.model_copy(update={"data_may_leave": False})
    found = work_out(case, at=NOW, usage=private, depth="first")
    assert not any(rule.startswith(("Use ", "If no prompt may leave")) for rule in found.rules)
    (mixed,) = (rule for rule in found.rules if "50% of every prompt repeats" in rule)
    # Long requests have to be answered here as well, by a rig that holds them.
    assert "Nothing known" not in mixed
    assert ": Buy " in mixed


def test_the_guides_arithmetic_done_right():
    check = scenarios.check_guide(CASE.guide)
    assert check.electricity_month == Decimal("69.12")
    assert check.hardware_month == 100
    assert round(check.hardware_per_request, 2) == Decimal("0.33")
    assert round(check.break_even_electricity) == 23
    assert round(check.break_even) == 56


def test_everything_is_plain_json_and_needs_no_network(answer, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("something tried to use the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    data = json.loads(json.dumps(answer_data(answer)))
    assert set(data) >= {
        "models",
        "allocation",
        "speeds",
        "interconnect",
        "break_even",
        "rules",
        "advice",
    }
    advice = json.loads(json.dumps(advice_data(answer.advice)))
    assert advice["headline"] == data["headline"]
    assert advice["assessments"][0]["monthly"]["mid"].count(".") == 1


def test_what_two_cards_lack_together_goes_to_ram() -> None:
    small = CASE.model_copy(update={"contexts": CASE.contexts[:1]})
    rig = parse_rig("2x RTX 4090 + 128 GB DDR5-6000")
    free = sum(device.memory_free or 0 for device in rig.devices)
    rows = allocation(small, catalogue().find(CASE.models[0]), "pair", rig)
    moved = [row for row in rows if row.verdict == "offload"]
    assert moved
    for row in moved:
        assert row.on_devices is not None
        assert row.moved >= row.on_devices - free


def test_a_long_context_costs_its_prompt_where_memory_is_not_short() -> None:
    """A model partly in RAM is slow for another reason than its prompt, and is told apart."""

    def speeds(rig: str, minutes: int, *, in_ram: bool) -> scenarios.Speeds:
        return scenarios.Speeds(
            rig, "DeepSeek V4 Pro", "MXFP4_MOE", "small", in_ram, None, None, Decimal(minutes)
        )

    known = [
        speeds("8x H200", 21, in_ram=False),
        speeds("3x H100", 463, in_ram=True),
        speeds("4x B200", 12, in_ram=False),
    ]
    (told,) = rules_of_length(known, CASE.usage)
    before, _, after = told.partition("; with a part of the model in RAM up to ")
    assert "12 minutes on 4x B200" in before
    assert "21 on 8x H200" in before
    assert "all in fast memory: reading the prompt" in before
    assert after.startswith("463")
    (alone,) = rules_of_length(known[1:2], CASE.usage)
    assert "fast memory" not in alone
