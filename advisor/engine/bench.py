"""llama-bench: the run that public scoreboards are made of, and what it prints. Pure.

Its defaults are kept (512 tokens of prompt, 128 generated, five repetitions), so that its figures
can stand beside those of others. It makes contexts of its own, as large as each test needs.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from advisor.engine.builds import Build
from advisor.errors import EngineError
from advisor.llm.model import Model
from advisor.sizing.arguments import shares
from advisor.sizing.settings import RunSettings

N_PROMPT: Final = 512
N_GEN: Final = 128
REPETITIONS: Final = 5
_EVERY_LAYER: Final = 999
_PROGRESS: Final = re.compile(
    r"^llama-bench: benchmark (?P<test>\d+)/(?P<of>\d+): "
    r"(?P<what>starting|warmup|depth run|prompt run|generation run)(?: (?P<run>\d+)/(?P<runs>\d+))?"
)


@dataclass(frozen=True, slots=True)
class Test:
    """One line of llama-bench's result."""

    n_prompt: int
    n_gen: int
    depth: int
    tps: float
    spread: float
    """Standard deviation over its repetitions, in tok/s."""


@dataclass(frozen=True, slots=True)
class Step:
    """Where llama-bench stands."""

    what: Literal["load", "warm-up", "prefill", "decode"]
    depth: int = 0


def bench_program(build: Build) -> Path:
    """The llama-bench beside a llama-server."""
    server = Path(build.path)
    return server.with_name(f"llama-bench{server.suffix}")


def planned_settings(settings: RunSettings) -> RunSettings:
    """The run as llama-bench makes it, for a plan: one slot, its own context, logits for a batch.

    It neither drafts nor loads a projector, and knows no full window caches.
    llama-bench.cpp:cmd_params_instance::to_llama_cparams (n_ctx = prompt + generation + depth).
    """
    return settings.model_copy(
        update={
            "ctx": N_PROMPT,
            "n_prompt": N_PROMPT,
            "parallel": 1,
            "kv_unified": False,
            "n_outputs": settings.batch_size,
            "depth": 0,
            "swa_full": False,
            "load_mtp": False,
            "n_rs_seq": 0,
            "spec_type": "none",
            "model_draft": "",
            "mmproj": "",
        }
    )


def bench_arguments(
    model: Model,
    settings: RunSettings,
    path: str,
    *,
    n_devices: int,
    devices: Sequence[str] = (),
    options: Sequence[str] = (),
    repetitions: int = REPETITIONS,
) -> list[str]:
    """Arguments behind ``llama-bench``. ``settings`` are resolved; ``options`` are those it lists.

    Its own names and value forms differ from llama-server's (llama-bench.cpp:print_usage, b11434).
    ``devices``: as in ``server_arguments``. Raises EngineError where it is too old for ``-ot``.
    """
    words = ["-m", path, "-p", str(N_PROMPT), "-n", str(N_GEN), "-r", str(repetitions)]
    if n_devices:
        if devices:
            words += ["-dev", "/".join(devices)]
        layers = settings.n_gpu_layers
        words += ["-ngl", str(_EVERY_LAYER if layers == "all" else layers)]
        if settings.n_cpu_moe:
            blocks = model.hp.n_layer_all if model.hp is not None else _EVERY_LAYER
            count = blocks if settings.n_cpu_moe == "all" else settings.n_cpu_moe
            words += ["-ncmoe", str(count)]
        if settings.override_tensor:
            if not _may("--override-tensor", options):
                message = (
                    "This llama-bench has no -ot, so it cannot keep single tensors in RAM. Probe "
                    "with its llama-server, or install a newer one."
                )
                raise EngineError(message)
            # A comma would begin another test.
            words += ["-ot", ";".join(settings.override_tensor)]
        if n_devices > 1:
            words += ["-sm", settings.split_mode, "-mg", str(settings.main_gpu)]
            if settings.tensor_split:
                words += ["-ts", "/".join(shares(settings))]
        if not settings.kv_offload:
            words += ["-nkvo", "1"]
    if settings.flash_attn != "auto":  # else its default: older versions have no "auto"
        words += ["-fa", "1" if settings.flash_attn == "on" else "0"]
    words += ["-ctk", settings.ctk, "-ctv", settings.ctv]
    words += ["-b", str(settings.batch_size), "-ub", str(settings.ubatch_size)]
    if not settings.repack and _may("--repack", options):
        words += ["--repack", "0"]
    if not settings.mmap:
        old = bool(options) and "--load-mode" not in options
        words += ["-mmp", "0"] if old else ["-lm", "none"]
    return [*words, "-o", "jsonl", "-v", *(["--progress"] if _may("--progress", options) else [])]


def _may(option: str, options: Sequence[str]) -> bool:
    return not options or option in options


def read_test(line: str) -> Test | None:
    """A result from one line of ``-o jsonl``; None for every other line. Never raises."""
    if not line.startswith("{"):
        return None
    try:
        found: Any = json.loads(line)
        return Test(
            n_prompt=int(found["n_prompt"]),
            n_gen=int(found["n_gen"]),
            depth=int(found.get("n_depth", 0)),
            tps=float(found["avg_ts"]),
            spread=float(found["stddev_ts"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def read_step(line: str) -> Step | None:
    """Progress from one line of ``--progress``; None for every other line."""
    match = _PROGRESS.match(line)
    if match is None:
        return None
    what = match["what"]
    if what == "starting":
        return Step("load") if match["test"] == "1" else None
    if what == "warmup":
        return Step("warm-up")
    return Step("decode" if what.startswith("generation") else "prefill")
