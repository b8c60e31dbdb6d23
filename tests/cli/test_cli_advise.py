"""`rig-advisor advise`: what a need on the command line changes, and what it refuses."""

import argparse
import json
from pathlib import Path

import pytest

from advisor import cli
from advisor import session as sessions
from advisor.advice.usage import Usage
from advisor.cli import options, session
from advisor.hardware.compose import parse_rig
from advisor.session import ModelChoice, Session

CASE = "deepseek-v4-at-home"


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    rig = parse_rig("RTX 4060 + 32 GB DDR5-5600")
    choice = ModelChoice(model="Qwen/Qwen3-0.6B", file_type="Q8_0")
    target = tmp_path / "lab.rig.json"
    usage = Usage(requests_per_month=77, min_decode_tps=3)
    sessions.save(Session(rig=rig, model=choice, usage=usage), target)
    return target


def advised(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    assert cli.main(["advise", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_need_counts_beside_a_session(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It was left out without a word."""
    asked = advised(capsys, str(saved))["usage"]
    assert isinstance(asked, dict)
    assert (asked["requests_per_month"], asked["min_decode_tps"]) == (77, 3)
    asked = advised(capsys, str(saved), "--need", "requests_per_month=500")["usage"]
    assert isinstance(asked, dict)
    assert (asked["requests_per_month"], asked["min_decode_tps"]) == (500, 3)
    asked = advised(capsys, str(saved), "--usage", "agent", "--also", "Qwen3 8B")["usage"]
    assert isinstance(asked, dict)
    assert (asked["requests_per_month"], asked["also"]) == (6000, ["Qwen/Qwen3-8B"])


def test_a_need_counts_in_a_case() -> None:
    parser = argparse.ArgumentParser()
    options.add_rig(parser)
    options.add_settings(parser)
    session.add_options(parser)
    words = ["--scenario", CASE, "--need", "data_may_leave=false", "--price", "RTX 4090=1"]
    asked = session.session_of(parser.parse_args(words))
    assert asked.scenario == CASE
    assert asked.usage.prompt_tokens == 1_000_000
    assert not asked.usage.data_may_leave
    assert asked.usage.own_prices[0].name == "RTX 4090"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--rig", "RTX 5090 + 64 GB"], "go with --model"),
        (["-c", "4096"], "go with --model"),
        (["--file-type", "Q4_K_M"], "go with --model"),
        (["--model", "Qwen3 8B"], "Name one of a session and --model"),
        (["--scenario", CASE], "Name one of a session and --scenario"),
        (["--usage", "nonsense"], "there are chat, documents"),
        (["--need", "budget=much"], "--need: budget: it must be a number."),
        (["--need", "prompt_tokens=9000000"], "--need: A request of 9,000,000 + 400 tokens is"),
    ],
)
def test_what_would_be_ignored_or_makes_no_sense_is_refused(
    words: list[str], told: str, saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["advise", str(saved), *words]) in {1, 2}
    assert told in capsys.readouterr().err
