"""`rig-advisor report` without a screen: PDF, page and JSON of a session, and what it refuses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pypdf import PdfReader

from advisor import cli
from advisor import session as sessions
from advisor.hardware.compose import parse_rig
from advisor.session import ModelChoice, Session


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    rig = parse_rig("RTX 4060 + 32 GB DDR5-5600")
    choice = ModelChoice(model="Qwen/Qwen3-0.6B", file_type="Q8_0")
    target = tmp_path / "lab.rig.json"
    sessions.save(Session(rig=rig, model=choice), target)
    return target


def test_a_session_becomes_a_pdf_that_is_a_session(saved: Path, tmp_path: Path) -> None:
    pdf, page = tmp_path / "out.pdf", tmp_path / "out.html"
    words = ["report", str(saved), "--pdf", str(pdf), "--html", str(page), "--json"]
    # No display and no platform named: as over ssh, in a fresh process.
    bare = {k: v for k, v in os.environ.items() if k not in {"DISPLAY", "QT_QPA_PLATFORM"}}
    done = subprocess.run(
        [sys.executable, "-m", "advisor", *words, "--title", "For the lab", "--paper", "letter"],
        check=False,
        capture_output=True,
        text=True,
        env=bare,
    )
    assert (done.returncode, done.stderr) == (0, "")
    reopened = sessions.load(pdf)
    assert (reopened.title, reopened.report.paper) == ("For the lab", "Letter")
    assert reopened.model == sessions.load(saved).model
    assert float(PdfReader(pdf).pages[0].mediabox.width) == 612
    assert "<h1>For the lab</h1>" in page.read_text()
    # And for machines.
    found = json.loads(done.stdout)
    assert (found["title"], found["pdf"], found["html"]) == ("For the lab", str(pdf), str(page))
    assert found["plan"]["model_id"] == "Qwen/Qwen3-0.6B"
    assert found["plan"]["fits"] is True
    assert {row["file_type"] for row in found["matrix"]} >= {"Q8_0", "Q4_K_M"}
    assert found["document"]["blocks"][0]["text"] == found["title"]
    assert found["session"]["outcome"]["verdict"] == found["advice"]["headline"]
    assert found["session"]["outcome"]["prices"]


def test_what_it_refuses(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", str(saved)]) == 2
    assert "--pdf OUT" in capsys.readouterr().err
    assert cli.main(["report", str(saved), "--pdf", str(tmp_path / "no" / "x.pdf")]) == 1
    assert "no folder; make it first" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()
    assert cli.main(["report", str(tmp_path / "none.rig.json"), "--pdf", "x.pdf"]) == 1
    assert "could not be read" in capsys.readouterr().err
