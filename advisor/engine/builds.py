"""Builds of llama.cpp on this machine: where they are, what they can use, and which one to run.

Each program is asked for its version and devices once; the answers are kept until its file changes.
"""

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from advisor import paths
from advisor.engine.asking import ASK_S, ask_program
from advisor.engine.install import instruction, title
from advisor.engine.process import EngineProcess
from advisor.engine.worker import ERROR
from advisor.errors import EngineError
from advisor.files import is_file, listed
from advisor.hardware.rig import Backend, Rig
from advisor.units import MIB

_SCHEMA: Final = 2
OLDEST: Final = 6000
"""Builds before it lack options and log lines that are relied on."""
_AT_ONCE: Final = 4
_keeping: Final = Lock()
"""Answers are read, changed and written by one thread at a time."""

EMBEDDED: Final = "embedded"

_VERSION: Final = re.compile(
    r"version:\s*(?:(?P<old>\d+)(?![\d.])|(?P<semantic>\d+\.\S+)(?:\s*\(build (?P<new>\d+))?)"
)
"""``version: 10360 (90e6a9131)``; since August 2026 ``version: 0.1.1-dev (build 10470, commit …)``
(github.com/unslothai/unsloth/pull/9127)."""
_FIRST_SEMANTIC: Final = 10_470
"""About the first build with a semantic version, for those that hide their number."""
_DEVICE: Final = re.compile(
    r"^\s*(?P<name>[A-Za-z]+\d*): (?P<title>.*?) \((?P<total>\d+) MiB, (?P<free>\d+) MiB free\)"
)
_OPTION: Final = re.compile(r"(?<![\w-])--?[a-z][a-z0-9-]*")
_TAKES_WORDS: Final = {
    "--flash-attn=on": re.compile(r"--flash-attn\s+[\[<]?(?:on|FA)\b"),
    "--n-gpu-layers=all": re.compile(r"layers to (?:store|keep|offload)[^\n]*\n?[^\n]*'all'"),
}
"""Options that once took no word, with what shows in the help that they do."""
_BACKENDS: Final[Mapping[str, Backend]] = {
    "cuda": "cuda",
    "rocm": "rocm",
    "hip": "rocm",
    "vulkan": "vulkan",
    "metal": "metal",
    "mtl": "metal",
    "sycl": "sycl",
}
_WORTH: Final[Mapping[str, tuple[Backend, ...]]] = {
    "nvidia": ("cuda", "vulkan"),
    "amd": ("rocm", "vulkan"),
    "intel": ("sycl", "vulkan"),
    "apple": ("metal",),
}
"""Backends that can use a vendor's cards, fastest first."""


class BuildDevice(BaseModel):
    """A device as llama.cpp sees it."""

    model_config = ConfigDict(frozen=True)

    name: str
    title: str
    total: int
    free: int
    type: str = "GPU"
    """ggml's device type: GPU, IGPU or ACCEL."""

    @property
    def backend(self) -> Backend:
        """Which backend drives it, from its name."""
        stem = self.name.rstrip("0123456789").lower()
        return _BACKENDS.get(stem, "cpu")


class Build(BaseModel):
    """One llama.cpp."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["embedded", "program"]
    path: str
    """The llama-server program; empty for the embedded engine."""
    version: str
    """``"b6000"``; ``"v0.6.0-dev"`` where it hides its number; ``"unknown"``."""
    backends: tuple[Backend, ...] = ("cpu",)
    devices: tuple[BuildDevice, ...] = ()
    has_bench: bool = False
    has_fit_params: bool = False
    options: tuple[str, ...] = ()
    """Options that llama-server's own help lists; those whose values changed over time as
    ``"--flash-attn=on"`` and ``"--n-gpu-layers=all"``."""
    bench_options: tuple[str, ...] = ()
    """Options of the llama-bench beside it."""
    resident: int | None = None
    """Bytes of RAM that it held when it had listed its devices, before any model: its own share of
    every run. None where the system does not say."""
    problem: str = ""
    """Why it cannot be used, as a sentence; empty when it can."""

    @property
    def title(self) -> str:
        """As the window names it."""
        where = "embedded" if self.kind == EMBEDDED else self.path
        return f"llama.cpp {self.version} ({', '.join(self.backends)}; {where})"

    @property
    def number(self) -> int:
        """Build number, 0 where it is not known."""
        digits = self.version.removeprefix("b")
        if digits.isdigit():
            return int(digits)
        return _FIRST_SEMANTIC if self.version.startswith("v") else 0


class Choice(BaseModel):
    """The build that suits a rig best, and why."""

    model_config = ConfigDict(frozen=True)

    build: Build
    reason: str
    missing: str = ""
    """What to install so that the rig's accelerators are used; empty when they are."""


def parse_version(text: str) -> str:
    """``"b6000"`` from ``--version``'s answer."""
    match = _VERSION.search(text)
    if match is None:
        return "unknown"
    number = int(match["old"] or match["new"] or 0)
    # Builds made outside the project's repository say 0 or 1.
    if number > 1:
        return f"b{number}"
    return f"v{match['semantic']}" if match["semantic"] else "unknown"


def parse_devices(text: str) -> tuple[BuildDevice, ...]:
    """Devices from ``--list-devices``'s answer."""
    matches = (_DEVICE.match(line) for line in text.splitlines())
    return tuple(
        BuildDevice(
            name=match["name"],
            title=match["title"],
            total=int(match["total"]) * MIB,
            free=int(match["free"]) * MIB,
        )
        for match in matches
        if match
    )


def parse_options(text: str) -> tuple[str, ...]:
    """Options from ``--help``'s answer."""
    found = {match.group() for match in _OPTION.finditer(text)}
    found |= {name for name, pattern in _TAKES_WORDS.items() if pattern.search(text)}
    return tuple(sorted(found))


def places(environment: Mapping[str, str], home: Path) -> Iterator[Path]:
    """Folders where llama-server may be: PATH first, then where installers of this OS put it.

    Ollama brings one from 0.30 on (its llm.FindLlamaServer); LM Studio has libraries only.
    """
    for folder in environment.get("PATH", "").split(os.pathsep):
        if folder:
            yield Path(folder)
    if sys.platform == "win32":
        local = Path(environment.get("LOCALAPPDATA", home / "AppData" / "Local"))
        yield local / "Microsoft" / "WinGet" / "Links"
        yield from sorted((local / "Microsoft" / "WinGet" / "Packages").glob("ggml.llamacpp_*"))
        yield Path(environment.get("ProgramFiles", "C:/Program Files")) / "llama.cpp"
        yield home / "scoop" / "apps" / "llama.cpp" / "current"
        yield local / "Programs" / "Ollama" / "lib" / "ollama"
        yield from _unzipped(home)
        return
    yield from (Path("/opt/homebrew/bin"), Path("/opt/local/bin"), Path("/usr/local/bin"))
    if sys.platform == "linux":
        yield Path("/home/linuxbrew/.linuxbrew/bin")
        yield from (home / ".nix-profile" / "bin", Path("/run/current-system/sw/bin"))
        yield from (Path("/opt/llama.cpp/bin"), Path("/opt/llama.cpp/build/bin"))
        yield from (Path("/snap/bin"), Path("/usr/local/lib/ollama"), Path("/usr/lib/ollama"))
    else:
        yield Path("/Applications/Ollama.app/Contents/Resources")
    yield from (home / ".local" / "bin", home / "llama.cpp" / "build" / "bin")
    yield from _unzipped(home)


def _unzipped(home: Path) -> Iterator[Path]:
    """pixi's global programs, and releases unpacked where browsers put them: ``llama-b6000…``."""
    yield home / ".pixi" / "bin"
    for folder in (home, home / "Downloads"):
        for release in reversed(listed(folder, "llama-[bv]*")):
            yield from (release, release / "bin", release / "build" / "bin")


def programs(
    extra: tuple[Path, ...] = (),
    environment: Mapping[str, str] | None = None,
    home: Path | None = None,
) -> list[Path]:
    """Every llama-server found, the user's own folders first; each file once."""
    name = "llama-server.exe" if sys.platform == "win32" else "llama-server"
    found: dict[Path, Path] = {}
    folders = places(environment or os.environ, home or Path.home())
    for folder in (*extra, *folders):
        program = folder if is_file(folder) else folder / name
        if is_file(program) and os.access(program, os.X_OK):
            found.setdefault(program.resolve(), program)
    return list(found.values())


def discover(extra: tuple[Path, ...] = ()) -> tuple[Build, ...]:
    """All builds, the embedded one last. Blocks while programs answer; cached afterwards."""
    ours = embedded()
    if ours.problem:  # a busy machine may have been too slow: the next look asks again
        embedded.cache_clear()
    # Side by side: one that hangs takes as long as all that do.
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return (*pool.map(ask, programs(extra)), ours)


def ask(program: Path) -> Build:
    """What one llama-server says about itself; ``problem`` when it says nothing."""
    identity = _identity(program)
    with _keeping:
        known = _Answers.read().builds.get(identity)
    if known is not None:
        return known
    version, problem, _ = ask_program(program, "--version")
    devices, resident = "", None
    if not problem:
        devices, problem, resident = ask_program(program, "--list-devices")
    listed = parse_devices(devices)
    options = "" if problem else ask_program(program, "--help")[0]
    suffix = program.suffix
    bench = program.with_name(f"llama-bench{suffix}")
    has_bench = is_file(bench) and os.access(bench, os.X_OK)
    bench_options = ask_program(bench, "--help")[0] if has_bench and not problem else ""
    build = Build(
        kind="program",
        path=str(program),
        version=parse_version(version),
        devices=listed,
        backends=tuple(dict.fromkeys((*(d.backend for d in listed), "cpu"))),
        has_bench=has_bench,
        has_fit_params=is_file(program.with_name(f"llama-fit-params{suffix}")),
        options=parse_options(options),
        bench_options=parse_options(bench_options),
        resident=resident,
        problem=problem and (_too_old(program, parse_version(version)) or problem),
    )
    if not problem:
        with _keeping:
            answers = _Answers.read()
            answers.builds[identity] = build
            answers.write()
    return build


def _too_old(program: Path, version: str) -> str:
    """Why it fails, where that is its age."""
    number = version.removeprefix("b")
    if not number.isdigit() or int(number) >= OLDEST:
        return ""
    return f"{program} is llama.cpp {version}, and b{OLDEST} is the oldest that is understood here."


def _identity(program: Path) -> str:
    status = program.stat()
    return f"{program.resolve()}|{status.st_size}|{status.st_mtime_ns}"


class _Answers(BaseModel):
    """What programs said, kept in the cache folder."""

    schema_version: int = 0
    """Answers that were read by other rules are asked for anew."""
    builds: dict[str, Build] = {}

    @staticmethod
    def _file() -> Path:
        return paths.cache() / "builds.json"

    @classmethod
    def read(cls) -> "_Answers":
        try:
            known = cls.model_validate_json(cls._file().read_bytes())
        except (OSError, ValidationError):
            known = cls()
        return known if known.schema_version == _SCHEMA else cls(schema_version=_SCHEMA)

    def write(self) -> None:
        """Keep the answers; a cache that cannot be written costs time, nothing else."""
        target = self._file()
        draft = target.with_name(f"{target.name}.{os.getpid()}")
        try:
            draft.write_text(self.model_dump_json(), encoding="utf-8")
            draft.replace(target)
        except OSError:
            draft.unlink(missing_ok=True)


@cache
def embedded() -> Build:
    """The engine inside this app. Asked in a child process, so a crash there is not ours."""
    lines: list[str] = []
    process = EngineProcess({"task": "devices"}, on_line=lines.append)
    try:
        process.start()
        process.wait(ASK_S)
    except EngineError as error:
        return Build(kind=EMBEDDED, path="", version="unknown", problem=str(error))
    finally:
        if process.pid is not None:
            process.stop()
    marked = [line for line in lines if line.startswith("rig-advisor-devices ")]
    if not marked:
        told = [line.removeprefix(ERROR) for line in lines if line.startswith(ERROR)]
        why = told[-1] if told else process.exit.sentence if process.exit else "no answer"
        problem = f"The embedded llama.cpp does not start on this computer ({why.rstrip('.')})."
        return Build(kind=EMBEDDED, path="", version="unknown", problem=problem)
    facts = json.loads(marked[-1].removeprefix("rig-advisor-devices "))
    devices = tuple(
        BuildDevice(
            name=device["name"],
            title=device["description"],
            total=device["memory_total"],
            free=device["memory_free"],
            type=device["type"],
        )
        for device in facts["devices"]
        if device["type"] != "CPU"
    )
    return Build(
        kind=EMBEDDED,
        path="",
        # The package's version ends in llama.cpp's build number: 2026.10.11549.
        version=f"b{str(facts['package']).rsplit('.', 1)[-1]}",
        devices=devices,
        backends=tuple(dict.fromkeys((*(d.backend for d in devices), "cpu"))),
        resident=facts["resident"],
    )


def choose(builds: tuple[Build, ...], rig: Rig) -> Choice:
    """The best usable build for a rig. Raises EngineError when none can be used at all."""
    usable = [build for build in builds if not build.problem]
    if not usable:
        raise EngineError(_none(builds, rig), detail="\n".join(build.problem for build in builds))
    wanted = _wanted(rig)
    for backend in wanted:
        able = [build for build in usable if backend in build.backends]
        if able:
            best = max(able, key=lambda build: (build.number, build.kind == "program"))
            words = f"It drives the GPU through {title(backend)}.{newer(best, builds)}"
            return Choice(build=best, reason=words)
    best = max(usable, key=lambda build: (build.kind == EMBEDDED, build.number))
    if not wanted:
        return Choice(build=best, reason="This rig computes on its CPU, which every build can.")
    cards = ", ".join(dict.fromkeys(device.name for device in rig.devices))
    return Choice(
        build=best,
        reason=f"No llama.cpp found here can use {cards}; this one runs on the CPU only.",
        missing=instruction(wanted[0]),
    )


def newer(build: Build, builds: tuple[Build, ...]) -> str:
    """A further sentence on a build that is newer than what predictions were checked with."""
    checked = max((other.number for other in builds if other.kind == EMBEDDED), default=0)
    if not checked or build.number <= checked:
        return ""
    return (
        f" It is newer than the b{checked} that predictions are checked with; where they differ, "
        "what it says itself holds."
    )


def _none(builds: tuple[Build, ...], rig: Rig) -> str:
    """Why there is none, and what to do."""
    wanted = _wanted(rig)
    why = " ".join(build.problem for build in builds if build.problem)
    return f"No llama.cpp works here. {why} {instruction(wanted[0] if wanted else 'cpu')}"


def _wanted(rig: Rig) -> tuple[Backend, ...]:
    """Backends worth having, best first: the detected one, then others for the same vendor."""
    if not rig.devices:
        return ()
    first = rig.devices[0]
    by_vendor = _WORTH.get((first.vendor or "").lower(), ())
    own: tuple[Backend, ...] = () if first.backend == "cpu" else (first.backend,)
    return tuple(dict.fromkeys((*own, *by_vendor)))
