"""Builds of llama.cpp are found, asked once, and chosen for the rig."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from advisor.engine import asking, builds, machine
from advisor.engine.builds import Build, ask, choose, embedded, parse_version, programs
from advisor.engine.install import instruction
from advisor.engine.launch import worker_command
from advisor.engine.told import embedded_version, told
from advisor.errors import EngineError
from advisor.hardware.rig import Device, Rig
from advisor.sizing.settings import RunSettings

CUDA = Build(kind="program", path="/opt/cuda/llama-server", version="b8000", backends=("cuda",))
VULKAN = Build(kind="program", path="/opt/vk/llama-server", version="b9000", backends=("vulkan",))
OLD_CUDA = CUDA.model_copy(update={"version": "b6000", "path": "/old"})
INSIDE = Build(kind="embedded", path="", version="b11549")
NVIDIA = Rig(name="r", devices=(Device(name="RTX 4090", vendor="NVIDIA", backend="cuda"),))
AMD = Rig(name="r", devices=(Device(name="RX 7900 XTX", vendor="AMD", backend="rocm"),))
NO_GPU = Rig(name="r")


@pytest.fixture
def program(tmp_path) -> Path:
    if sys.platform == "win32":
        pytest.skip("the stand-in is a shell script")
    folder = tmp_path / "with spaces" / "bin"
    folder.mkdir(parents=True)
    path = folder / "llama-server"
    path.write_text(
        "#!/bin/sh\n"
        'echo x >> "$0.calls"\n'
        'case "$1" in\n'
        '--version) echo "ggml_cuda_init: found 1 CUDA devices:" >&2\n'
        '  echo "version: 8123 (0a1b2c3d)" >&2; echo "built with GNU 13" >&2;;\n'
        '--list-devices) echo "Available devices:"\n'
        '  echo "  CUDA0: NVIDIA GeForce RTX 4090 (24080 MiB, 23608 MiB free)";;\n'
        '--help) echo "-fa,   --flash-attn [on|off|auto]       set Flash Attention use";;\n'
        "esac\n"
    )
    path.chmod(0o755)
    bench = folder / "llama-bench"
    bench.write_text("#!/bin/sh\necho '  -lm, --load-mode <auto|none|mmap>'\necho '  --progress'\n")
    bench.chmod(0o755)
    return path


def test_a_program_is_asked_once(program):
    build = ask(program)
    assert (build.version, build.number, build.backends) == ("b8123", 8123, ("cuda", "cpu"))
    assert build.devices[0].total == 24080 << 20
    assert build.has_bench
    assert not build.has_fit_params
    assert "--flash-attn=on" in build.options
    assert "--load-mode" in build.bench_options
    assert build.resident is None or 0 < build.resident < 1 << 28
    assert ask(program) == build
    calls = program.with_name("llama-server.calls")
    assert calls.read_text().count("x") == 3


def test_a_changed_program_is_asked_again(program):
    ask(program)
    program.write_text(program.read_text().replace("8123", "8999"))
    os.utime(program, ns=(1, 1))
    assert ask(program).version == "b8999"


def test_a_damaged_cache_is_asked_anew(program):
    ask(program)
    builds.paths.cache().joinpath("builds.json").write_text("{")
    assert ask(program).version == "b8123"


def test_a_program_that_fails_says_why(program):
    program.write_text("#!/bin/sh\necho 'libcuda.so.1: cannot open shared object file'\nexit 127\n")
    build = ask(program)
    assert "libcuda.so.1" in build.problem


def test_one_that_is_too_old_or_of_another_machine_says_so(program):
    program.write_text("#!/bin/sh\necho 'version: 5200 (abc)'\n[ $1 = --version ]\n")
    assert "is llama.cpp b5200, and b6000 is the oldest" in ask(program).problem
    program.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xb7\x00" + bytes(100))
    assert "another kind of processor" in ask(program).problem


def test_several_are_asked_at_once_and_all_are_kept(program, tmp_path, monkeypatch):
    monkeypatch.setattr(builds, "embedded", lambda: INSIDE)
    monkeypatch.setattr(builds, "places", lambda *_: iter(()))
    folders = tuple(tmp_path / name for name in "abcde")
    for folder in folders:
        folder.mkdir()
        shutil.copy(program, folder)
    found = builds.discover(folders)
    assert [build.path for build in found[:-1]] == [str(f / "llama-server") for f in folders]
    assert builds.discover(folders) == found
    assert (folders[4] / "llama-server.calls").read_text().count("x") == 3


def test_a_newer_build_than_the_rules_is_told():
    newer = CUDA.model_copy(update={"version": "b19999"})
    assert "newer than the b11549" in choose((newer, INSIDE), NVIDIA).reason
    assert "newer" not in choose((CUDA, INSIDE), NVIDIA).reason


def test_programs_are_found_once_each(program, tmp_path):
    link = tmp_path / "home" / ".local" / "bin"
    link.mkdir(parents=True)
    (link / "llama-server").symlink_to(program)
    release = tmp_path / "home" / "Downloads" / "llama-b7000-bin-ubuntu-vulkan-x64" / "bin"
    release.mkdir(parents=True)
    other = release / "llama-server"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    found = programs(environment={"PATH": str(program.parent)}, home=tmp_path / "home")
    assert [path for path in found if path.is_relative_to(tmp_path)] == [program, other]


def test_the_embedded_engine_answers():
    build = embedded()
    assert not build.problem
    assert build.number > 10_000
    assert "cpu" in build.backends


@pytest.mark.parametrize(
    ("known", "rig", "best"),
    [
        ((OLD_CUDA, CUDA, VULKAN, INSIDE), NVIDIA, CUDA),
        ((VULKAN, INSIDE), NVIDIA, VULKAN),
        ((CUDA, VULKAN, INSIDE), AMD, VULKAN),
        ((CUDA, INSIDE), AMD, INSIDE),
        ((CUDA, INSIDE), NO_GPU, INSIDE),
    ],
)
def test_the_best_build_for_a_rig(known, rig, best):
    assert choose(known, rig).build == best


@pytest.mark.parametrize(
    ("backend", "system", "machine", "words"),
    [
        ("cuda", "linux", "x86_64", "llama-b…-bin-ubuntu-cuda-…-x64.tar.gz and the cudart file"),
        ("cuda", "win32", "AMD64", "llama-b…-bin-win-cuda-…-x64.zip and the cudart file"),
        ("rocm", "linux", "x86_64", "llama-b…-bin-ubuntu-rocm-…-x64.tar.gz"),
        ("rocm", "win32", "AMD64", "llama-b…-bin-win-rocm-…-x64.zip"),
        ("vulkan", "linux", "aarch64", "llama-b…-bin-ubuntu-vulkan-arm64.tar.gz"),
        ("vulkan", "win32", "AMD64", "winget install llama.cpp"),
        ("cpu", "win32", "ARM64", "llama-b…-bin-win-cpu-arm64.zip"),
        ("cpu", "linux", "x86_64", "llama-b…-bin-ubuntu-x64.tar.gz"),
        ("metal", "darwin", "arm64", "brew install llama.cpp"),
    ],
)
def test_how_to_get_one_on_every_system(backend, system, machine, words):
    """The files that release.yml of b11434 packs."""
    said = instruction(backend, system=system, machine=machine)
    assert words in said
    assert said.endswith("look again.")


def test_a_gpu_without_a_build_gets_an_instruction():
    choice = choose((INSIDE,), NVIDIA)
    assert "RTX 4090" in choice.reason
    assert "look again" in choice.missing
    assert not choose((CUDA,), NVIDIA).missing


def test_no_build_at_all():
    broken = INSIDE.model_copy(update={"problem": "does not start"})
    with pytest.raises(EngineError, match=r"No llama\.cpp works"):
        choose((broken,), NO_GPU)


@pytest.mark.parametrize(
    ("answer", "version", "number"),
    [
        ("version: 10360 (90e6a9131)\nbuilt with GNU 13", "b10360", 10360),
        # Since August 2026: github.com/unslothai/unsloth/pull/9127, ggml-org/llama.cpp/pull/28971
        ("version: 0.1.1-dev (build 10470, commit abc1234)", "b10470", 10470),
        (
            "version: 0.4.1-dev (build 10991, commit 930e2fa59)\nbuilt with AppleClang",
            "b10991",
            10991,
        ),
        # Made from a source package: the real llama-server of b11434 says this.
        (
            "version: 0.6.0-dev (build 0, commit unknown)\nbuilt with GNU 12.2.0",
            "v0.6.0-dev",
            10470,
        ),
    ],
)
def test_versions(answer, version, number):
    assert parse_version(answer) == version
    assert Build(kind="program", path="", version=version).number == number


def test_unknown_versions():
    assert parse_version("version: 0 (unknown)") == "unknown"
    assert parse_version("nothing") == "unknown"


def test_a_frozen_app_is_its_own_worker(monkeypatch):
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert worker_command() == [sys.executable, "--engine-worker"]


def test_a_program_that_never_answers_is_ended(program, monkeypatch):
    monkeypatch.setattr(asking, "ASK_S", 0.3)
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    assert "did not answer" in ask(program).problem


def test_what_an_older_app_read_is_asked_anew(program):
    ask(program)
    kept = builds.paths.cache().joinpath("builds.json")
    kept.write_text(kept.read_text().replace('"schema_version":2', '"schema_version":1'))
    ask(program)
    assert program.with_name("llama-server.calls").read_text().count("x") == 6


def test_a_machine_runs_the_build_that_a_probe_would_choose(monkeypatch):
    monkeypatch.setattr(machine, "programs", lambda _named: [Path("llama-server")])
    monkeypatch.setattr(machine, "discover", lambda _named: (OLD_CUDA, CUDA, INSIDE))
    rig = machine.with_engine(NVIDIA)
    assert rig.llama_cpp == "b8000"
    assert told(RunSettings(), rig).built == "b8000"
    assert told(RunSettings(built="2025-07"), rig).built == "2025-07"
    assert told(RunSettings(built="any"), rig).built == "any"
    # A CPU computes with the app's own, as `choose` says, and so does what is imagined.
    assert machine.with_engine(NO_GPU).llama_cpp == embedded_version()
    assert told(RunSettings(), NVIDIA).built == embedded_version()


def test_a_build_of_unknown_age_tells_nothing(monkeypatch):
    hidden = CUDA.model_copy(update={"version": "unknown"})
    monkeypatch.setattr(machine, "programs", lambda _named: [Path("llama-server")])
    monkeypatch.setattr(machine, "discover", lambda _named: (hidden, INSIDE))
    rig = machine.with_engine(NVIDIA)
    assert rig.llama_cpp == "unknown"
    assert told(RunSettings(), rig) == RunSettings()


def test_the_embedded_build_is_known_without_starting_it():
    assert embedded().version == embedded_version()
