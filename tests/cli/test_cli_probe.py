"""`rig-advisor probe` with a llama.cpp that the user names, and by llama-bench."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from advisor import cli, paths
from advisor.cli.probe import show
from advisor.probe import store

LOG = Path(__file__).parents[1] / "data" / "engine" / "b11434-bench.log"
MODEL = ["Qwen/Qwen3-0.6B", "--ghost", "-c", "512"]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins are shell scripts")


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    """A folder with a llama-server that can only be asked, and a llama-bench that repeats a log."""
    folder = tmp_path / "llama"
    folder.mkdir()
    scripts = {
        "llama-server": "echo 'version: 9000 (abc)'",
        "llama-bench": f'if [ "$1" = --help ]; then echo --progress; else cat "{LOG}"; fi',
    }
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return folder


def test_llama_bench_is_run_in_place_of_our_own_prompts(llama: Path, capsys):
    assert cli.main(["probe", *MODEL, "--engine", str(llama), "--bench", "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["method"] == "llama-bench"
    assert found["engine"]["version"] == "b9000"
    prefill, decode = found["speeds"]
    assert prefill["n_prompt"] == 64
    assert prefill["prefill_spread"] is not None
    assert decode["decode_tps"] > 0
    assert "unknown" not in err
    (entry,) = store.entries()
    show(store.load(entry.id))
    assert "by llama-bench" in capsys.readouterr().out


def test_what_has_no_llama_bench_says_so(llama: Path, capsys):
    assert cli.main(["probe", *MODEL, "--engine", "embedded", "--bench"]) == 1
    assert "no llama-bench beside the embedded engine" in capsys.readouterr().err
    (llama / "llama-bench").unlink()
    assert cli.main(["probe", *MODEL, "--engine", str(llama), "--bench"]) == 1
    assert "no llama-bench beside" in capsys.readouterr().err


def test_a_folder_without_a_server_is_said(tmp_path: Path, capsys):
    assert cli.main(["probe", *MODEL, "--engine", str(tmp_path)]) == 1
    assert "no llama-server in" in capsys.readouterr().err


def test_a_terminal_that_is_closed_stops_the_run_and_leaves_nothing(llama: Path, capsys):
    began = llama / "began"
    (llama / "llama-bench").write_text(
        f'#!/bin/sh\nif [ "$1" = --help ]; then echo --progress; exit; fi\n'
        f'touch "{began}"; exec sleep 60\n'
    )

    def close() -> None:
        while not began.exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGHUP)

    threading.Thread(target=close, daemon=True).start()
    assert cli.main(["probe", *MODEL, "--engine", str(llama), "--bench"]) == 1
    assert "stopped" in capsys.readouterr().out
    assert not psutil.Process().children(recursive=True)
    assert not list((paths.cache() / "ghosts").glob("ghost-*"))


def test_a_run_that_is_refused_says_why_once(capsys):
    huge = ["probe", "Llama 3.1 405B", "--ghost", "-c", "512"]
    assert cli.main(huge) == 1
    out, err = capsys.readouterr()
    assert out.count("It needs ") == 1
    assert "It needs " not in err
    assert cli.main([*huge, "--json"]) == 1
    out, err = capsys.readouterr()
    assert "It needs " in json.loads(out)["ending"]["sentence"]
    assert err.count("It needs ") == 1
