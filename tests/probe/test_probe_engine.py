"""Probes with the real embedded engine, on ghosts of tiny models."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from advisor import paths
from advisor.engine.builds import Build
from advisor.engine.dry_run import dry_run
from advisor.engine.launch import Address, Files, embedded_job, worker_command
from advisor.engine.process import EngineProcess
from advisor.hardware.rig import Host, Rig
from advisor.llm.gguf import read_header
from advisor.llm.ghost import write_ghost
from advisor.llm.open import open_gguf
from advisor.probe.question import Measured, Question
from advisor.probe.run import Probe
from advisor.probe.watch import Limits
from advisor.sizing import size
from advisor.sizing.settings import RunSettings
from tests import tiny

pytestmark = pytest.mark.engine

BUILD = Build(kind="embedded", path="", version="b11549")


def question(model, seconds=2.0, **settings) -> Question:
    rig = Rig(name="This machine", hosts=(Host(ram_available=8 << 30),))
    chosen = RunSettings(**{"ctx": 2048, "n_prompt": 64, **settings})
    plan = size(model, rig, chosen)
    return Question(model, rig, chosen, plan, BUILD, seconds=seconds)


def wait_for(condition, seconds=120.0):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.005)
    return False


@pytest.mark.parametrize("model", [tiny.dense(), tiny.moe()], ids=["dense", "moe"])
def test_a_ghost_is_loaded_prompted_and_generates(model):
    # Two threads that wait for each other beside other work may take all of the time to write.
    for _turn in range(4):
        events = []
        result = Probe(question(model), on_event=events.append).run()
        assert result.ending.state == "done", result.ending
        if not any("before a prompt could be read" in o.sentence for o in result.observations):
            break
    assert result.ghost
    names = [phase.name for phase in result.phases]
    assert names[:6] == ["starting", "loading", "warm-up", "decode", "prefill", "decode"]
    assert names[-1] == "stopping"
    assert result.speeds
    empty, *filled = result.speeds
    assert (empty.depth, empty.prefill_tps) == (0, None)
    assert all((s.decode_tps or 0) > 0 for s in result.speeds)
    assert all((s.prefill_tps or 0) > 0 and (s.ttft_s or 0) > 0 for s in filled)
    assert all(s.depth >= 16 for s in filled)
    assert sum(isinstance(e, Measured) for e in events) == len(result.speeds)
    assert not list((paths.cache() / "ghosts").iterdir())


@pytest.mark.parametrize("folder", ["gone", "a-path-too-long-for-a-socket" * 4])
def test_without_a_folder_for_a_socket_it_talks_over_loopback(tmp_path, monkeypatch, folder):
    """As on Windows; a job scheduler's TMPDIR can be long."""
    if folder != "gone":
        (tmp_path / folder).mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / folder))
    result = Probe(question(tiny.dense(), seconds=0.5)).run()
    assert result.ending.state == "done", result.ending
    assert not list((tmp_path / folder).glob("*"))


def test_the_log_confirms_the_plan():
    result = Probe(question(tiny.moe(), seconds=0.5)).run()
    (host,) = result.places
    parts = {part.name: part for part in host.components}
    assert parts["context"].engine == parts["context"].planned
    # Tensors are padded to 32 bytes in the file, and llama.cpp prints hundredths of a MiB.
    assert parts["weights"].engine == pytest.approx(parts["weights"].planned, abs=16_384)
    assert parts["compute"].engine == pytest.approx(parts["compute"].planned, abs=16_384)


def test_measured_memory_is_close_to_the_plan():
    # 4 layers of 32 experts, and a context of 64 MiB: large beside what the process itself takes.
    result = Probe(question(tiny.moe(), seconds=1.0, ctx=32768)).run()
    host = result.place("host")
    assert host is not None
    program = next(p.engine for p in host.components if p.name == "program")
    assert program is not None
    assert host.peak is not None
    assert host.planned is not None
    assert host.planned > 100 << 20
    # A part of the context is never touched: measured is what was, so it stays below the plan.
    assert 0.3 * host.planned < host.peak - program < 1.1 * host.planned


def decoding_probe(**more) -> Probe:
    """A probe that generates for a minute."""
    decoding = threading.Event()

    def watch(event):
        phase = getattr(event, "phase", None)
        if phase is not None and phase.name == "decode":
            decoding.set()

    probe = Probe(question(tiny.dense(), seconds=60.0, ctx=8192), on_event=watch, **more)
    probe.start()
    assert decoding.wait(120)
    return probe


@pytest.mark.skipif(sys.platform == "win32", reason="processes are stopped by signals")
@pytest.mark.parametrize("patient", [False, True], ids=["given up", "stopped by hand"])
def test_an_engine_that_hangs_while_it_generates(patient):
    """The real one, held by SIGSTOP: it neither answers nor listens to a polite end."""
    limits = Limits() if patient else Limits(idle_s=2.0)
    probe = decoding_probe(limits=limits)
    family = psutil.Process().children(recursive=True)
    for child in family:
        child.suspend()
    if patient:
        probe.stop()
    assert probe.join(60)  # three seconds on an idle machine
    assert probe.result is not None
    state, cause = ("stopped", None) if patient else ("failed", "hung")
    assert (probe.result.ending.state, probe.result.ending.cause) == (state, cause)
    assert not psutil.Process().children(recursive=True)


@pytest.mark.skipif(sys.platform != "linux", reason="prlimit(1)")
def test_an_engine_that_cannot_have_the_memory():
    """The real one, with less address space than the context takes: a real failed allocation."""
    big = question(tiny.dense(), ctx=1 << 20)
    need = big.plan.host.context
    assert need >= 2 << 30
    held = ["prlimit", f"--as={need}", *worker_command()]
    result = Probe(Question(**{**vars(big), "anyway": True}), command=held).run()
    assert (result.ending.state, result.ending.cause) == ("failed", "out-of-memory")
    assert "Out of memory while" in result.ending.sentence
    assert not psutil.Process().children(recursive=True)


def test_killing_the_engine_from_outside_is_told():
    probe = decoding_probe()
    for child in psutil.Process().children(recursive=True):
        child.kill()
    assert probe.join(60)
    assert probe.result is not None
    assert probe.result.ending.cause == "killed"
    assert probe.result.ending.sentence == "llama.cpp was killed from outside while generating."


def test_starting_and_stopping_leaves_nothing():
    me = psutil.Process()
    threads, files = threading.active_count(), me.num_fds() if hasattr(me, "num_fds") else 0
    for turn in range(6):
        probe = Probe(question(tiny.dense(), seconds=60.0))
        probe.start()
        # Stop at another moment each time: while starting, loading, prompting, generating.
        wait_for(lambda probe=probe, turn=turn: len(probe.phases) > turn, seconds=5)
        probe.stop()
        assert probe.join(60)
        assert probe.result is not None
        assert probe.result.ending.state in {"stopped", "done"}
    assert threading.active_count() == threads
    assert not me.children(recursive=True)
    assert not list((paths.cache() / "ghosts").iterdir())
    if files:
        assert me.num_fds() <= files + 2


def test_a_download_that_is_not_finished_is_probed_as_a_ghost(tmp_path):
    whole = write_ghost(tiny.dense(), tmp_path)
    header = read_header(whole.path)
    for kept in (header.data_offset, header.data_offset + 5_000_000):
        cut = tmp_path / "cut.gguf"
        cut.write_bytes(whole.path.read_bytes()[:kept])
        model = open_gguf(cut)
        assert model.missing == header.file_bytes - kept
        assert dry_run(model, RunSettings(ctx=512)).host.model == 13 << 20
        asked = question(model, seconds=0.5)
        assert asked.plan is not None
        assert any("not finished" in note for note in asked.plan.notes)
        result = Probe(asked).run()
        assert result.ending.state == "done", result.ending
        assert result.ghost
        assert result.path is None
    assert not list((paths.cache() / "ghosts").iterdir())


def test_a_truncated_file_is_refused_by_the_engine(tmp_path):
    ghost = write_ghost(tiny.dense(), tmp_path)
    with ghost.path.open("r+b") as file:
        file.truncate(ghost.apparent_bytes // 2)
    model = tiny.dense()
    broken = type(model)(**{**vars(model), "path": ghost.path})
    result = Probe(question(broken)).run()
    assert (result.ending.state, result.ending.cause) == ("failed", "bad-file")


def test_a_file_that_is_gone_is_said_to_be(tmp_path):
    model = tiny.dense()
    gone = type(model)(**{**vars(model), "path": tmp_path / "gone.gguf"})
    ending = Probe(question(gone)).run().ending
    assert (ending.state, ending.cause) == ("failed", "bad-file")
    assert "gone.gguf is not there any more" in ending.sentence


def test_an_engine_that_refuses_a_file_ends_by_itself(tmp_path):
    """Not by an abort of the interpreter, whose words would end the log."""
    lines: list[str] = []
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    address = Address()
    settings = RunSettings(n_gpu_layers="all", n_cpu_moe=0)
    job = embedded_job(Files(tmp_path / "x.gguf"), settings, address)
    child = EngineProcess(job, on_line=lines.append)
    child.start()
    assert child.wait(60)
    address.close()
    assert child.exit is not None
    assert child.exit.code == 1
    assert not [line for line in lines if "Fatal Python error" in line]


@pytest.mark.skipif(sys.platform != "linux", reason="how children die is another matter elsewhere")
def test_the_engine_dies_with_its_parent(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys, threading\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
        "from tests.probe.test_probe_engine import question\n"
        "from tests import tiny\n"
        "from advisor.probe.run import Probe\n"
        "probe = Probe(question(tiny.dense(), seconds=60, ctx=8192),\n"
        "    on_event=lambda e: print(getattr(e, 'phase', e), flush=True))\n"
        "probe.start()\n"
        "threading.Event().wait()\n"
    )
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        for line in parent.stdout:
            if b"decode" in line:
                break
        children = psutil.Process(parent.pid).children(recursive=True)
        assert children
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()

    def gone(child):
        try:
            return child.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    assert wait_for(lambda: all(gone(child) for child in children))


def test_no_prompt_is_longer_than_the_model_was_trained_for():
    """llama-server gives a slot no more: the run failed with "refused the test prompt (400)"."""
    model = tiny.tiny({**tiny.DENSE, "max_position_embeddings": 64})
    result = Probe(question(model, ctx=4096)).run()
    assert result.ending.state == "done", result.ending
    assert all(point.depth <= 64 for point in result.speeds)
