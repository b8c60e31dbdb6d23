"""What a stranger reads first: help, its examples, and output where there is no UTF-8."""

import io
import json
import shlex
import sys
from pathlib import Path

import pytest

from advisor import cli
from advisor.cli import COMMANDS, _parser
from advisor.cli.output import say, say_json, write_plainly_where_needed
from advisor.cli.session import session_of
from advisor.session import Session


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples_that_are_understood(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([name, "--help"]) == 0
    told = capsys.readouterr().out
    assert "exit status: 0 done" in told
    examples = [line for line in told.splitlines() if line.startswith("  rig-advisor ")]
    assert examples
    for line in examples:
        words = shlex.split(line.split(" > ")[0])[1:]
        assert words[0] == name
        assert _parser(words).parse_args(words).command == name


def test_help_tells_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["size", "--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    for words in ("all slots together (32768)", "V cache (f16)", "layers on devices (all)"):
        assert words in told
    assert cli.main(["probe", "--help"]) == 0
    assert "all slots together (4096)" in " ".join(capsys.readouterr().out.split())


def test_a_terminal_without_utf_8_gets_plain_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="latin-1"))
    write_plainly_where_needed()
    say("“4 × 24 GiB”… −2 ± 1 µs, 漢")
    say_json({"name": "漢"})
    sys.stdout.flush()
    plain, as_json = raw.getvalue().decode("latin-1").splitlines()
    assert plain == '"4 × 24 GiB"... -2 ± 1 µs, ?'
    assert json.loads(as_json) == {"name": "漢"}


@pytest.mark.parametrize(
    ("need", "told"),
    [
        ("volume=3", "names are requests_per_month"),
        ("budget", "say NAME=VALUE"),
        ("budget=much", "budget"),
        ("output_tokens=900000", "longer than the context"),
    ],
)
def test_a_need_that_is_not_understood_says_so(
    need: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["advise", "--model", "Qwen3 8B", "--rig", "RTX 4090 + 64 GB", "--need", need]
    assert cli.main(words) == 2
    assert told in capsys.readouterr().err


def test_needs_change_the_usage_that_is_advised_on() -> None:
    words = ["advise", "--model", "Qwen3 8B", "--rig", "RTX 4090 + 64 GB", "--usage", "agent"]
    words += ["--need", "requests_per_month=7", "--need", "data_may_leave=no"]
    usage = session_of(_parser(words).parse_args(words)).usage
    assert (usage.requests_per_month, usage.data_may_leave) == (7, False)


def test_limits_and_prices_of_ones_own_reach_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["advise", "--model", "Qwen3 8B", "--rig", "RTX 4090 + 64 GB"]
    able = [*words, "--need", "free_slots=1", "--need", "quiet=yes", "--price", "rtx 5090=3000"]
    usage = session_of(_parser(able).parse_args(able)).usage
    assert (usage.limits.free_slots, usage.limits.quiet) == (1, True)
    assert [(own.name, own.amount) for own in usage.own_prices] == [("RTX 5090", 3000)]
    assert cli.main([*words, "--price", "5090=3000"]) == 2
    assert "there are RTX 5090," in capsys.readouterr().err


@pytest.mark.parametrize(
    ("price", "said"),
    [
        ("RTX 5090", "say PIECE=AMOUNT, as in “RTX 5090=3000”"),
        ("RTX 5o90=100", "there is no RTX 5o90 to buy; there are RTX 5090"),
        ("RTX 5090=abc", "“abc” is no amount of money"),
        ("RTX 5090=-3", "“-3” is no amount of money"),
    ],
)
def test_a_price_that_cannot_be_read_is_told_and_why(
    capsys: pytest.CaptureFixture[str], price: str, said: str
) -> None:
    words = ["advise", "--model", "Qwen3 8B", "--rig", "RTX 4090 + 64 GB", "--price", price]
    assert cli.main(words) == 2
    assert said in capsys.readouterr().err


DOCUMENTED = (Path(__file__).parents[2] / "docs/json.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "words",
    [
        ["size", "Qwen3 0.6B", "--rig", "RTX 4090 + 64 GB"],
        ["matrix", "Qwen3 0.6B", "--rig", "RTX 4090 + 64 GB", "--contexts", "4k"],
        ["detect"],
        ["dry-run", "Qwen3 0.6B", "-c", "512"],
    ],
    ids=lambda words: words[0],
)
def test_every_key_of_json_is_documented(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = found.get("rows") or []
    keys = {*found, *(key for row in rows for key in row)}
    keys |= {key for row in rows for cell in row.get("cells", ()) for key in cell}
    assert {key for key in keys if f"`{key}`" not in DOCUMENTED} == set()


def _session(*words: str) -> Session:
    given = ["report", "--model", "Qwen3 8B", "--rig", "RTX 4090 + 64 GB", *words]
    return session_of(_parser(given).parse_args(given))


def test_a_report_is_about_the_context_that_is_needed_as_far_as_the_model_goes() -> None:
    assert _session().settings.ctx == _session().usage.context == 16384
    assert _session("-c", "4k").settings.ctx == 4096
    assert _session("--usage", "agent").usage.context == 131072
    assert _session("--usage", "agent").settings.ctx == 40960


def test_another_currency_wants_its_rate(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["advise", "--model", "Qwen3 8B", "--rig", "RTX 4090 + 64 GB"]
    assert cli.main([*words, "--need", "currency=EUR"]) == 2
    assert "--need usd_rate=" in capsys.readouterr().err
    assert _session("--need", "currency=EUR", "--need", "usd_rate=0.86").usage.currency == "EUR"


def test_what_is_there_is_listed_however_dear_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Three H100 draw more power than eight other options cost."""
    words = ["advise", "--model", "Qwen3 32B", "--rig", "3x H100 SXM + 512 GB", "--usage", "batch"]
    needs = ["--need", "requests_per_month=1000000", "--need", "batch_ok=false"]
    assert cli.main([*words, *needs]) == 0
    lines = capsys.readouterr().out.splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith("option "))
    listed = lines[first + 1 : first + 10]
    assert any(line.startswith("Keep this rig") for line in listed)
    assert lines[first + 10].endswith("more options: --json tells all.")


def test_help_names_a_load_mode_and_every_ability(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["size", "--help"]) == 0
    assert "not mapped (auto)" in " ".join(capsys.readouterr().out.split())
    assert cli.main(["best", "--help"]) == 0
    assert "multilingual (repeatable)" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["best", "--ability", "flying"], 2, "choose from 'reasoning', 'tools'"),
        (["best", "--top", "0"], 2, "'0' is not a number from 1 on"),
        (["size", "Qwen3 8B", "--rig", "/no/rig.json"], 1, "There is no file /no/rig.json"),
        (["size", "Qwen3 8B", "--rig", __file__], 1, "is no saved rig: those end in .json"),
        (["report", "--scenario", "deepseek-v4-at-home", "--pdf", "/"], 1, "/ is a folder"),
        (
            ["report", "--model", "Qwen3 8B", "--html", "x.html", "--region", "xx_YY"],
            2,
            "--region xx_YY: no such region",
        ),
    ],
)
def test_what_is_wrong_is_told_before_any_work(
    words: list[str], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == status
    told = capsys.readouterr()
    assert said in told.err
    assert not told.out


def test_what_others_wrote_does_not_steer_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["size", "no\x1b[31m such\x07\x9b model"]) == 1
    assert 'has no model "no[31m such model"' in capsys.readouterr().err
