"""Whatever the engine does, a probe ends, says why, and leaves nothing behind."""

import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from advisor import paths
from advisor.engine.builds import Build
from advisor.hardware.rig import Host, Rig
from advisor.probe import run as probe_run
from advisor.probe.preflight import preflight
from advisor.probe.question import Ended, Question
from advisor.probe.result import ProbeResult
from advisor.probe.run import Probe
from advisor.probe.watch import Limits
from advisor.sizing import size
from advisor.sizing.settings import RunSettings
from tests import tiny

STAND_IN = Path(__file__).with_name("stand_in.py")
QUICK = Limits(idle_s=2.0, silent_s=4.0)
"""Longer than a busy machine keeps a child waiting that has something to do."""
HANGING = {"hangs-loading", "floods", "silent", "hangs-decoding"}

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in speaks Unix sockets")


def question(**changes) -> Question:
    rig = Rig(name="This machine", hosts=(Host(ram_available=8 << 30),))
    settings = RunSettings(ctx=1024)
    model = tiny.dense()
    fields = {
        "model": model,
        "rig": rig,
        "settings": settings,
        "plan": size(model, rig, settings),
        "build": Build(kind="embedded", path="", version="b1"),
        "seconds": 2.0,
    }
    return Question(**{**fields, **changes})


def alive(process: psutil.Process) -> bool:
    """Not even a zombie counts: that is the init process's to collect."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def run(mode: str, **changes) -> ProbeResult:
    events = []
    probe = Probe(
        question(**changes),
        on_event=events.append,
        # A busy machine may keep a child waiting: only those that hang are given up early.
        limits=QUICK if mode in HANGING else Limits(),
        command=[sys.executable, str(STAND_IN), mode],
    )
    result = probe.run()
    assert isinstance(events[-1], Ended)
    assert not list((paths.cache() / "ghosts").glob("*.gguf"))
    return result


@pytest.mark.parametrize(
    ("mode", "cause", "words"),
    [
        ("exits-at-once", "crashed", "status 7"),
        ("aborts-loading", "crashed", "while the model was loading"),
        ("out-of-memory", "out-of-memory", "9.6 GiB on device 1"),
        ("recovers-then-dies", "crashed", "abort"),
        ("wrong-build", "crashed", "has no code for this GPU (no kernel image"),
        ("gpu-lost", "device-lost", "GPU was lost"),
        ("killed", "killed", "killed from outside while the model was loading"),
        ("garbage", "crashed", "status 3"),
        ("hangs-loading", "hung", "while the model was loading"),
        ("floods", "hung", "no sign of life"),
        ("silent", "hung", "no sign of life"),
        ("hangs-decoding", "hung", "while generating"),
        ("dies-decoding", "crashed", "signal 11"),
    ],
)
def test_every_bad_end_has_a_sentence(mode, cause, words):
    result = run(mode)
    assert result.ending.state == "failed"
    assert result.ending.cause == cause
    assert words in result.ending.sentence
    assert all(phase.end_ms is not None for phase in result.phases)


def test_the_engines_last_words_are_kept():
    assert "GGML_ASSERT" in run("aborts-loading").ending.detail


@pytest.mark.parametrize("mode", ["hangs-loading", "deaf", "floods", "hangs-decoding"])
def test_stop_ends_a_child_that_does_not_listen(mode):
    probe = Probe(question(), command=[sys.executable, str(STAND_IN), mode])
    probe.start()
    until = time.monotonic() + 60
    wanted = "decode" if mode == "hangs-decoding" else "loading"
    while time.monotonic() < until and wanted not in {p.name for p in probe.phases}:
        time.sleep(0.01)
    family = psutil.Process().children(recursive=True)
    assert family
    probe.stop()
    assert probe.join(60.0)  # three seconds on an idle machine
    assert probe.result.ending.state == "stopped"
    assert not [child for child in family if alive(child)]


def test_stop_before_anything_started_is_a_stop():
    probe = Probe(question(), command=[sys.executable, str(STAND_IN), "hangs-loading"])
    probe.stop()
    assert probe.run().ending.state == "stopped"


def test_a_program_that_is_not_there():
    probe = Probe(question(), command=["/nonexistent/llama-server"])
    ending = probe.run().ending
    assert (ending.state, ending.cause) == ("failed", "no-build")


def test_a_build_with_a_problem_is_not_started():
    build = Build(kind="program", path="/x", version="b1", problem="/x fails (no libcuda).")
    ending = Probe(question(build=build)).run().ending
    assert ending.cause == "no-build"
    assert "libcuda" in ending.sentence


def test_what_would_freeze_the_machine_is_refused_with_numbers():
    huge = question(settings=RunSettings(ctx=1 << 26))
    plan = size(huge.model, huge.rig, huge.settings)
    ending = Probe(question(settings=huge.settings, plan=plan)).run().ending
    assert ending.cause == "refused"
    assert "GiB of RAM" in ending.sentence
    assert "context" in ending.sentence


def test_run_anyway_overrides_what_may_be_overridden():
    result = run("exits-at-once", plan=None)
    assert result.ending.cause == "crashed"
    q = question()
    assert preflight(q.model, q.rig, q.plan, available=1 << 20)
    probe = Probe(
        question(
            settings=RunSettings(ctx=1 << 26),
            plan=size(q.model, q.rig, RunSettings(ctx=1 << 26)),
            anyway=True,
        ),
        command=[sys.executable, str(STAND_IN), "exits-at-once"],
    )
    assert probe.run().ending.cause == "crashed"


def test_an_imagined_rig_is_not_probed():
    rig = Rig(name="2x RTX 4090", imagined=True)
    ending = Probe(question(rig=rig, anyway=True)).run().ending
    assert ending.cause == "refused"
    assert "not the machine at hand" in ending.sentence


def test_no_room_for_the_ghost(monkeypatch):
    full = type("Usage", (), {"total": 1, "used": 1, "free": 0})
    monkeypatch.setattr("shutil.disk_usage", lambda _: full)
    ending = Probe(question()).run().ending
    assert ending.cause == "no-disk"


def test_a_cache_folder_that_cannot_be_made(tmp_path, monkeypatch):
    """As on a disk that is read-only or full; a file in its place stops root too."""
    (tmp_path / "home").touch()
    monkeypatch.setenv("RIG_ADVISOR_HOME", str(tmp_path / "home"))
    events = []
    ending = Probe(question(), on_event=events.append).run().ending
    assert ending.cause == "no-disk"
    assert "Nothing can be written to" in ending.sentence
    assert isinstance(events[-1], Ended)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("a bug")])
def test_who_waits_is_told_of_every_end(monkeypatch, error):
    def breaks(_self):
        raise error

    monkeypatch.setattr(Probe, "_check", breaks)
    events = []
    probe = Probe(question(), on_event=events.append)
    if isinstance(error, RuntimeError):
        with pytest.raises(RuntimeError):
            probe.run()
    else:
        assert "No space left on device" in probe.run().ending.sentence
    assert isinstance(events[-1], Ended)
    assert probe.result.ending.state == "failed"


def test_the_systems_memory_killer_is_told_from_a_kill(monkeypatch):
    """Linux counts what its memory killer ended; the count rose while the child ran."""
    counts = iter([3, 4, 4, 4])
    monkeypatch.setattr("advisor.engine.process._oom_kills", lambda: next(counts))
    ending = run("killed").ending
    assert ending.cause == "out-of-memory"
    assert "system ran out of RAM while the model was loading" in ending.sentence


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a small disk")
def test_a_disk_that_fills_up_while_the_ghost_is_written(tmp_path, monkeypatch):
    """Real ENOSPC: a file system of 128 KiB, and a check of free space that was passed before."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    small = ["-t", "tmpfs", "-o", "size=128k", "tmpfs", str(disk)]
    if mount is None or umount is None or subprocess.run([mount, *small], check=False).returncode:
        pytest.skip("only root can mount")
    try:
        plenty = type("Usage", (), {"total": 1 << 40, "used": 1, "free": 1 << 40})
        monkeypatch.setattr("shutil.disk_usage", lambda _: plenty)
        monkeypatch.setattr("advisor.paths.cache", lambda: disk)
        ending = Probe(question()).run().ending
        assert ending.cause == "no-disk"
        assert "No space left on device" in ending.sentence
        assert not list((disk / "ghosts").glob("*.gguf"))
    finally:
        subprocess.run([umount, "-l", str(disk)], check=True)


# --- Programs -----------------------------------------------------------------------------------


@pytest.fixture
def program(tmp_path) -> Build:
    """A llama-server and a llama-bench that behave, as a folder of an unpacked release."""
    server, bench = tmp_path / "llama-server", tmp_path / "llama-bench"
    log = Path(__file__).parents[1] / "data" / "engine" / "b11434-bench.log"
    server.write_text(
        f"#!{sys.executable}\nimport io, json, sys\n"
        "host = sys.argv[sys.argv.index('--host') + 1]\n"
        "sys.argv = ['stand-in', 'serves']\n"
        "sys.stdin = io.StringIO(json.dumps({'host': host}))\n"
        f"exec(open({str(STAND_IN)!r}).read())\n"
    )
    bench.write_text(f"#!/bin/sh\necho $@ > {tmp_path}/arguments\ncat {log}\n")
    for path in (server, bench):
        path.chmod(0o755)
    return Build(
        kind="program", path=str(server), version="b11434", has_bench=True, resident=13 << 20
    )


def test_a_program_of_the_users_is_probed(program):
    result = Probe(question(build=program, seconds=0.5)).run()
    assert result.ending.state == "done", result.ending
    assert result.engine.name == program.path
    assert all(point.decode_tps for point in result.speeds)
    host = next(part for part in result.place("host").components if part.name == "program")
    assert host.planned == (13 << 20) + 4096 * 264


def test_llama_bench_is_run_instead(program, tmp_path):
    result = Probe(question(build=program, method="llama-bench")).run()
    assert result.ending.state == "done", result.ending
    assert result.method == "llama-bench"
    prompt, generation = result.speeds
    assert prompt.prefill_tps > 0
    assert prompt.prefill_spread >= 0
    assert (generation.n_decode, generation.depth) == (8, 0)
    assert [p.name for p in result.phases if p.name in {"prefill", "decode"}][-1] == "decode"
    assert "-p 512 -n 128 -r 5" in (tmp_path / "arguments").read_text()
    assert not list((paths.cache() / "ghosts").glob("*.gguf"))


def test_a_llama_bench_that_fails_is_a_sentence(program, tmp_path):
    (tmp_path / "llama-bench").write_text("#!/bin/sh\necho 'error: failed to load model'\nexit 1\n")
    ending = Probe(question(build=program, method="llama-bench")).run().ending
    assert (ending.state, ending.cause) == ("failed", "crashed")
    assert "failed to load model" in ending.detail


def test_a_build_too_old_for_the_settings_is_told_before_it_starts(program):
    old = program.model_copy(update={"options": ("--host", "--port"), "version": "b6000"})
    settings = RunSettings(ctx=1024, kv_unified=True)
    ending = Probe(question(build=old, settings=settings)).run().ending
    assert ending.cause == "no-build"
    assert "b6000 has no --kv-unified" in ending.sentence


def test_a_busy_disk_does_not_hold_the_end_up(monkeypatch):
    """Deleting a ghost goes on by itself, and ends before the process does."""
    monkeypatch.setattr(probe_run, "REMOVE_S", 0.05)
    gate, gone = threading.Event(), threading.Event()

    def remove() -> None:
        gate.wait(10)
        gone.set()
        raise OSError

    probe_run._take_away(SimpleNamespace(remove=remove))
    (remover,) = [t for t in threading.enumerate() if t.name == "ghost-remove"]
    assert not gone.is_set()
    assert not remover.daemon
    gate.set()
    remover.join(10)
    assert gone.is_set()
