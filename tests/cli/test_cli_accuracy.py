"""The error tables that the README shows."""

import json

import pytest

from advisor import cli
from advisor.engine.accuracy import Pair, errors


def test_errors_are_summed_up_as_people_read_them() -> None:
    mib = 1 << 20
    pairs = [Pair(0, 0), Pair(100 * mib, 100 * mib), Pair(103 * mib, 100 * mib), Pair(0, 50 * mib)]

    found = errors("x", pairs)

    assert found.count == 3
    assert found.equal == pytest.approx(1 / 3)
    assert found.close == pytest.approx(2 / 3)
    assert found.median == pytest.approx(0.03)
    assert found.worst == 1.0
    assert errors("none", []).count == 0


def test_memory_is_as_exact_as_promised(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["accuracy", "--no-engine", "--json"]) == 0

    found = json.loads(capsys.readouterr().out)
    by_figure = {row["figure"]: row for row in found["reference"]["errors"]}
    for figure in ("weights, devices", "weights, host", "context, devices", "context, host"):
        assert by_figure[figure]["equal"] == 1.0
    assert by_figure["recurrent state"]["equal"] == 1.0
    for figure in ("compute, devices", "compute, host"):
        assert by_figure[figure]["equal"] == 1.0
    assert by_figure["total, devices"]["worst"] == 0
    assert found["speed"]["decode"]["all"]["rows"] > 100


@pytest.mark.engine
def test_the_embedded_engine_agrees(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["accuracy", "--models", "3", "--markdown"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert "| weights | 3 | 100% | 100% |" in " ".join(lines).replace("  ", " ")
    assert any(line.startswith("| decode, all |") for line in lines)
