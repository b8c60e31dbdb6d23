"""A child of the engine: what it inherits, and that nothing of it is left."""

import ctypes
import sys
import time

import psutil
import pytest

from advisor.engine.outside import clean_environment
from advisor.engine.process import EngineProcess
from advisor.engine.windows_job import ExtendedLimits

posix = pytest.mark.skipif(sys.platform == "win32", reason="a shell script")


def test_the_users_program_gets_the_users_libraries(monkeypatch):
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    ours = {"LD_LIBRARY_PATH": "/app/_internal", "LLAMA_ARG_CTX_SIZE": "1", "HOME": "/h"}
    ours["_PYI_ARCHIVE_FILE"] = "/app/rig-advisor"
    assert clean_environment(ours) == {"HOME": "/h"}
    with_original = {**ours, "LD_LIBRARY_PATH_ORIG": "/usr/local/cuda/lib64"}
    cleaned = clean_environment(with_original)
    assert cleaned == {"HOME": "/h", "LD_LIBRARY_PATH": "/usr/local/cuda/lib64"}


def test_a_checkout_leaves_library_paths_alone():
    assert clean_environment({"LD_LIBRARY_PATH": "/cuda"}) == {"LD_LIBRARY_PATH": "/cuda"}


@posix
def test_settings_of_the_environment_do_not_reach_a_program(monkeypatch):
    monkeypatch.setenv("LLAMA_ARG_CTX_SIZE", "1")
    lines: list[str] = []
    job = {"task": "run", "program": ["/usr/bin/env"]}
    child = EngineProcess(job, on_line=lines.append, environment={"LLAMA_API_KEY": "k"})
    child.start()
    assert child.wait(60)
    assert "LLAMA_API_KEY=k" in lines
    assert not [line for line in lines if line.startswith("LLAMA_ARG_")]


@posix
@pytest.mark.parametrize(("named", "order"), [(None, "PCI_BUS_ID"), ("1,0", None)])
def test_cards_are_counted_by_slot_as_plans_count_them(
    monkeypatch, named: str | None, order: str | None
):
    """CUDA's own order is the fastest first: a plan's first card was another one's weights."""
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    lines: list[str] = []
    child = EngineProcess({"task": "run", "program": ["/usr/bin/env"]}, on_line=lines.append)
    child.start()
    assert child.wait(60)
    told = dict(line.split("=", 1) for line in lines if line.startswith("CUDA_"))
    assert told.get("CUDA_DEVICE_ORDER") == order
    assert told.get("CUDA_VISIBLE_DEVICES") == named


@posix
def test_what_a_program_leaves_behind_is_ended():
    """It keeps the log open, and nobody is its parent any more."""
    lines: list[str] = []
    program = ["/bin/sh", "-c", "sleep 600 & echo $!"]
    child = EngineProcess({"task": "run", "program": program}, on_line=lines.append)
    child.start()
    assert child.wait(60)
    until = time.monotonic() + 60
    while psutil.pid_exists(int(lines[0])) and time.monotonic() < until:
        # Where nothing collects orphans, what is left of it is its exit status.
        if psutil.Process(int(lines[0])).status() == psutil.STATUS_ZOMBIE:
            break
        time.sleep(0.05)
    assert time.monotonic() < until


def test_limits_of_a_windows_job_have_their_places():
    """winnt.h: 144 bytes on 64-bit Windows, LimitFlags behind two times of 8."""
    assert ctypes.sizeof(ExtendedLimits) == 144
    limits = ExtendedLimits()
    limits.basic.flags = 0x2000
    assert bytes(limits)[16:20] == b"\x00\x20\x00\x00"
