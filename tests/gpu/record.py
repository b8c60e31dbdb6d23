"""Everything that a GPU is needed for, in one command: build llama.cpp, probe, keep what came out.

    python tests/gpu/record.py --out FOLDER [--source FILE|FOLDER] [--programs FOLDER] [MODEL …]

On a bare Linux machine with an NVIDIA driver, nvcc, cmake, a compiler and this checkout installed.
llama.cpp's source comes from the ``llama-cpp-python`` source package: of the Python index, or
carried there as ``--source``, a tar file (9 MB as .xz without its models, docs, media and tests)
or a folder; ``--programs`` are programs that were built before. Every model is
asked for (dry run), probed as a ghost and run by llama-bench. FOLDER then holds per run a result
with its trace, the lines of its log that tell of memory, the whole log in ``logs``, and
``summary.md`` with what differs from the plan; the results (*.json) and short logs (*.log) are
ready to be copied into ``tests/data/probes``. ``--cpu`` does all of it without a GPU.

So run on one H200 (2026-11-26) and one H100 (2026-11-27; virtual machines, driver 580.159, CUDA 13)
with Qwen3 8B and gpt-oss 20B.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from advisor import units
from advisor.answers import load_model
from advisor.engine.builds import Build, ask
from advisor.engine.dry_run import DryRun, dry_run
from advisor.engine.log import BufferSize, LoadingDraft, NewContext, ProjectorOn, read_line
from advisor.engine.process import EngineProcess
from advisor.errors import RigAdvisorError
from advisor.hardware import detect
from advisor.hardware.rig import Rig
from advisor.probe.devices import MonitoredDevices
from advisor.probe.prepare import Prepared, prepare, probe_of
from advisor.probe.result import Method, ProbeResult
from advisor.session import ModelChoice
from advisor.sizing.settings import RunSettings

PACKAGE = "llama-cpp-python"
PROGRAMS = ("llama-server", "llama-bench", "llama-fit-params")
MODELS = ("Qwen3 8B", "Qwen3 30B-A3B")
"""A dense one and one of experts; both fit 24 GiB."""
CTX = 16384


def sources(given: Path | None, folder: Path) -> Path:
    """llama.cpp's source tree: as given, or unpacked from the source package."""
    if given is not None and given.is_dir():
        return given
    archive = given
    if archive is None:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:"]
        subprocess.run([*command, "-d", str(folder), PACKAGE], check=True)
        archive = next(folder.glob("llama_cpp_python-*.tar.gz"))
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return next(path.parent for path in folder.rglob("CMakeLists.txt") if _is_llama(path.parent))


def _is_llama(folder: Path) -> bool:
    return (folder / "ggml").is_dir() and (folder / "common").is_dir()


def build(source: Path, folder: Path, *, cuda: bool) -> Path:
    """The programs, in a folder."""
    cmake = _tool("cmake", "or give --programs")
    if cuda:
        _tool("nvcc", "it comes with the CUDA toolkit, or give --programs")
    options = ["-DCMAKE_BUILD_TYPE=Release", "-DLLAMA_CURL=OFF", "-DLLAMA_BUILD_TESTS=OFF"]
    if cuda:
        options += ["-DGGML_CUDA=ON", "-DCMAKE_CUDA_ARCHITECTURES=native"]
    subprocess.run([cmake, "-S", source, "-B", folder, *options], check=True)
    jobs = str(os.cpu_count() or 1)
    targets = ["--target", *PROGRAMS]
    subprocess.run([cmake, "--build", folder, "-j", jobs, *targets], check=True)
    return folder / "bin"


def _tool(name: str, what_else: str) -> str:
    path = shutil.which(name)
    if path is None:
        sys.exit(f"{name} is not on PATH: install it ({what_else}).")
    return path


class Logs:
    """Keeps every line that children print, run by run."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        read = EngineProcess.__init__

        def listen(process: EngineProcess, *arguments: object, **named: object) -> None:
            first = named.pop("on_line", None)

            def hear(line: str) -> None:
                self.lines.append(line)
                if callable(first):
                    first(line)

            read(process, *arguments, on_line=hear, **named)  # pyright: ignore[reportArgumentType]

        EngineProcess.__init__ = listen  # pyright: ignore[reportAttributeAccessIssue]


def record(
    name: str, rig: Rig, found: Build, *, out: Path, seconds: float, logs: Logs
) -> list[str]:
    """One model, in every way; lines of the summary."""
    model = load_model(ModelChoice(model=name))
    lines: list[str] = []
    for method in ("server", "llama-bench"):
        ready = prepare(
            model, rig, RunSettings(ctx=CTX), builds=(found,), method=method, seconds=seconds,
            anyway=True,
        )  # fmt: skip
        if method == "server":
            lines += _asked(ready, found)
        logs.lines.clear()
        devices = MonitoredDevices(ready.question.rig) if ready.question.rig.devices else None
        result = cleaned(probe_of(ready, devices=devices).run())
        stem = f"{name.replace(' ', '-')}-{method}"
        (out / f"{stem}.json").write_text(result.model_dump_json() + "\n")
        (out / f"{stem}.log").write_text("\n".join(filter(_of_memory, logs.lines)) + "\n")
        (out / "logs").mkdir(exist_ok=True)
        (out / "logs" / f"{stem}.log").write_text("\n".join(logs.lines) + "\n")
        lines += _measured(result, method)
    return lines


def _of_memory(line: str) -> bool:
    return isinstance(read_line(line), BufferSize | NewContext | LoadingDraft | ProjectorOn)


def cleaned(result: ProbeResult) -> ProbeResult:
    """Without what tells one machine from another of its kind."""
    devices = tuple(d.model_copy(update={"uuid": None}) for d in result.rig.devices)
    engine = result.engine.model_copy(update={"name": Path(result.engine.name).name})
    hosts = tuple(
        h.model_copy(update={"os": h.os.split(",")[0], "disk_path": None}) for h in result.rig.hosts
    )
    rig = result.rig.model_copy(update={"devices": devices, "hosts": hosts})
    return result.model_copy(update={"rig": rig, "engine": engine, "path": None})


def _asked(ready: Prepared, found: Build) -> list[str]:
    question = ready.question
    count = len(question.rig.devices)
    try:
        run = dry_run(question.model, question.settings, build=found, n_devices=count)
    except RigAdvisorError as error:
        return [f"* dry run: {error}"]
    return [f"* dry run of {run.seconds:.2f} s: {_rows(run)}"]


def _rows(run: DryRun) -> str:
    rows = (*run.devices, run.host, *run.extra)
    return "; ".join(
        f"{r.name} {r.model >> 20} + {r.context >> 20} + {r.compute >> 20} MiB" for r in rows
    )


def _measured(result: ProbeResult, method: Method) -> list[str]:
    lines = [f"* {method}: {result.ending.sentence}"]
    for place in result.places:
        lines += [
            f"  * {place.name}, {part.name}: planned {units.size(part.planned)}, "
            f"here {units.size(part.engine)}"
            for part in place.components
            if part.planned or part.engine
        ]
        lines.append(
            f"  * {place.name}: planned {units.size(place.planned)}, peak {units.size(place.peak)}"
        )
    for point in result.speeds:
        decode, prefill = units.rate(point.decode_tps), units.rate(point.prefill_tps)
        lines.append(f"  * at {point.depth}: decode {decode}, prefill {prefill}")
    lines += [f"  * {o.sentence}" for o in result.observations]
    rate = result.trace.rate_hz
    return [*lines, f"  * {len(result.trace.times_ms)} samples at {rate or 0:.1f} Hz"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--source", type=Path)
    parser.add_argument("--programs", type=Path)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--cpu", action="store_true")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    work = asked.out / "work"
    programs = asked.programs
    if programs is None:
        work.mkdir(exist_ok=True)
        programs = build(sources(asked.source, work), work / "build", cuda=not asked.cpu)
    rig, found = detect(), ask(programs / "llama-server")
    if asked.cpu:
        rig = rig.model_copy(update={"devices": ()})
    elif not found.devices:
        sys.exit(f"{found.title} sees no GPU. {found.problem}")
    logs, lines = Logs(), [f"# {rig.name}: {found.version}, {', '.join(found.backends)}"]
    for name in asked.models:
        lines += [
            f"\n## {name}\n",
            *record(name, rig, found, out=asked.out, seconds=asked.seconds, logs=logs),
        ]
        (asked.out / "summary.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
