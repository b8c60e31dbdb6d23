"""The child process: llama.cpp's server from ``xllamacpp``, or another program run in its place.

Its first line on stdin is a JSON object (``Job``); then it loads, serves on a Unix socket (on
Windows on a loopback port) and ends when stdin closes. llama.cpp may abort the process at any
time, and it dies with its parent. Started by ``advisor.__main__`` before anything else is imported.
"""

import ctypes
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any, Final

ARGUMENT: Final = "--engine-worker"
"""Hidden first argument of the app that makes it a worker."""

ERROR: Final = "rig-advisor-error "
"""In front of what went wrong, in one line."""

_PR_SET_PDEATHSIG: Final = 1
_MADV_DONTNEED: Final = 4
_LOG_S: Final = 0.1
"""Seconds for the thread that writes llama.cpp's log (common/log.cpp): why it refused a file."""


def main() -> int:
    """Run one job. Returns the exit status."""
    job: Any = json.loads(sys.stdin.buffer.readline())
    _die_with_parent(int(job["parent"]))
    # llama.cpp prints to both streams: one of them is enough for the parent to read.
    os.dup2(2, 1)
    program = job.get("program")
    if program:
        return _run(list(map(str, program)))
    threading.Thread(target=_leave_at_end_of_input, name="stdin", daemon=True).start()
    try:
        status = _describe() if job.get("task") == "devices" else _serve(job)
    except Exception as error:  # noqa: BLE001 - told to the parent, who is not in this process
        sys.stderr.write(f"{ERROR}{type(error).__name__}: {error}\n")
        status = 1
    sys.stderr.flush()
    if status:
        time.sleep(_LOG_S)
    # Not through Python's own end: it aborts where a thread still waits at stdin.
    os._exit(status)


def _die_with_parent(parent: int) -> None:
    """Linux kills this process when the thread that started it ends; others watch stdin."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if sys.platform != "win32" and os.getppid() != parent:
        os._exit(3)  # the parent was gone before we could ask for its death to be told


def _leave_at_end_of_input() -> None:
    while sys.stdin.buffer.readline():
        pass
    os._exit(0)


def _run(program: list[str]) -> int:
    """Become another program; where that can't die with its parent, stay and watch over it."""
    from advisor.engine.outside import clean_environment, without_our_libraries  # noqa: PLC0415

    environment = clean_environment(os.environ)
    if sys.platform == "linux":
        os.execve(program[0], program, environment)  # noqa: S606 - the user installed or chose it
    import subprocess  # noqa: PLC0415 - the embedded engine does without it

    with without_our_libraries():
        child = subprocess.Popen(program, stdin=subprocess.DEVNULL, env=environment)

    def watch() -> None:
        while sys.stdin.buffer.readline():
            pass
        child.kill()

    threading.Thread(target=watch, name="stdin", daemon=True).start()
    return child.wait()


def _engine() -> Any:  # noqa: ANN401 - an extension module without types
    import xllamacpp  # noqa: PLC0415 # pyright: ignore[reportMissingTypeStubs] - 106 MB, only here

    return xllamacpp


def _describe() -> int:
    """Print the embedded engine's devices and build as one JSON line."""
    engine = _engine()
    devices: list[dict[str, Any]] = [
        {
            "name": device["name"],
            "description": device["description"],
            "type": device["type"].name.removeprefix("GGML_BACKEND_DEVICE_TYPE_"),
            "memory_free": device["memory_free"],
            "memory_total": device["memory_total"],
        }
        for device in engine.get_device_info()
    ]
    facts: dict[str, Any] = {
        "package": engine.__version__,
        "system_info": engine.get_system_info(),
        "devices": devices,
        "resident": resident_bytes(),
    }
    sys.stderr.write("rig-advisor-devices " + json.dumps(facts) + "\n")
    return 0


def resident_bytes() -> int | None:
    """Memory that this process holds now; None where the system does not say."""
    import psutil  # noqa: PLC0415 - a worker that serves does without it

    try:
        return int(psutil.Process().memory_info().rss)
    except psutil.Error:
        return None


def _serve(job: Mapping[str, Any]) -> int:
    engine = _engine()
    parameters = engine.CommonParams()
    fill_parameters(parameters, job, engine)
    try:
        server = engine.Server(parameters)
    except RuntimeError as error:
        sys.stderr.write(f"{ERROR}{error}\n")
        return 1
    if job.get("release_pages"):
        _release_file_pages(str(job["model"]), forget=bool(job.get("ghost")))
    sys.stderr.write("rig-advisor-ready\n")
    sys.stderr.flush()
    threading.Event().wait()  # the stdin thread ends the process
    del server
    return 0


def fill_parameters(parameters: Any, job: Mapping[str, Any], engine: Any) -> None:  # noqa: ANN401 - xllamacpp has no types
    """Set llama.cpp's parameters from a job. The names are those of common.h:common_params."""
    settings = job["settings"]
    parameters.model.path = job["model"]
    parameters.hostnames = [job["host"]]
    parameters.port = 0
    parameters.api_keys = [job["api_key"]]
    parameters.cors_origins = "null"
    parameters.ui = False
    parameters.endpoint_slots = False
    parameters.n_threads_http = 1
    parameters.verbosity = job["verbosity"]
    # A probe's prompts never repeat, and a prompt cache of up to 8 GiB would be measured with it.
    parameters.cache_ram_mib = 0
    parameters.warmup = not job.get("dry_run", False)
    parameters.no_alloc = bool(job.get("dry_run", False))
    parameters.n_ctx = settings["ctx"]
    parameters.n_batch = settings["batch_size"]
    parameters.n_ubatch = settings["ubatch_size"]
    parameters.n_parallel = settings["parallel"]
    parameters.kv_unified = settings["kv_unified"]
    parameters.swa_full = settings["swa_full"]
    parameters.no_kv_offload = not settings["kv_offload"]
    parameters.no_extra_bufts = not settings["repack"]
    parameters.cache_type_k = engine.ggml_type[f"GGML_TYPE_{settings['ctk'].upper()}"]
    parameters.cache_type_v = engine.ggml_type[f"GGML_TYPE_{settings['ctv'].upper()}"]
    flash = {"auto": "AUTO", "on": "ENABLED", "off": "DISABLED"}[settings["flash_attn"]]
    parameters.flash_attn_type = engine.llama_flash_attn_type[f"LLAMA_FLASH_ATTN_TYPE_{flash}"]
    split = settings["split_mode"].upper()
    parameters.split_mode = engine.llama_split_mode[f"LLAMA_SPLIT_MODE_{split}"]
    parameters.main_gpu = settings["main_gpu"]
    parameters.load_mtp = settings["load_mtp"]
    if settings["tensor_split"]:
        shares = list(settings["tensor_split"])
        parameters.tensor_split = shares + [0.0] * (len(parameters.tensor_split) - len(shares))
    if not settings["mmap"]:
        parameters.load_mode = engine.llama_load_mode.LLAMA_LOAD_MODE_NONE
    # More layers than any model has: all of them, and the fit step must not take some away.
    layers = settings["n_gpu_layers"]
    parameters.n_gpu_layers = 999 if layers == "all" else layers
    moved = [*settings["override_tensor"]]
    if experts := expert_override(settings["n_cpu_moe"]):
        moved.append(experts)
    if moved:
        parameters.tensor_buft_overrides = ",".join(moved)
    if job["pooling"]:
        _ask_for_vectors(parameters, str(job["pooling"]), engine)
    _fill_companions(parameters, job, engine)
    threads = job.get("threads")
    if threads:
        parameters.cpuparams.n_threads = threads
        parameters.cpuparams_batch.n_threads = threads


def _ask_for_vectors(parameters: Any, pooling: str, engine: Any) -> None:  # noqa: ANN401 - xllamacpp has no types
    """As --embeddings and --reranking do (arg.cpp, server.cpp): a text goes through at once."""
    parameters.embedding = True
    parameters.n_batch = min(parameters.n_batch, parameters.n_ubatch)
    if pooling == "rank":
        parameters.pooling_type = engine.llama_pooling_type.LLAMA_POOLING_TYPE_RANK


def _fill_companions(parameters: Any, job: Mapping[str, Any], engine: Any) -> None:  # noqa: ANN401 - xllamacpp has no types
    """What drafts tokens, the projector, and copies of a slot's state."""
    settings = job["settings"]
    parameters.n_ctx_checkpoints = settings["ctx_checkpoints"]
    if settings["mmproj"]:
        parameters.mmproj.path = settings["mmproj"]
        parameters.mmproj_use_gpu = settings["mmproj_offload"]
    kind = str(job["spec_type"]).upper().replace("-", "_")
    if kind == "NONE":
        return
    parameters.speculative.types = [
        engine.common_speculative_type[f"COMMON_SPECULATIVE_TYPE_{kind}"]
    ]
    draft = parameters.speculative.draft
    draft.n_max = settings["spec_draft_n_max"]
    draft.cache_type_k = engine.ggml_type[f"GGML_TYPE_{settings['ctkd'].upper()}"]
    draft.cache_type_v = engine.ggml_type[f"GGML_TYPE_{settings['ctvd'].upper()}"]
    if job["model_draft"]:
        draft.mparams.path = job["model_draft"]
        layers = settings["n_gpu_layers_draft"]
        draft.n_gpu_layers = 999 if layers == "all" else layers


def expert_override(n_cpu_moe: int | str) -> str:
    """Which expert tensors stay in RAM, in ``-ot``'s notation (common/arg.cpp: --n-cpu-moe)."""
    experts = r"\.ffn_(up|down|gate|gate_up)_(ch|)exps"
    if n_cpu_moe == "all":
        return f"{experts}=CPU"
    return ",".join(rf"blk\.{layer}{experts}=CPU" for layer in range(int(n_cpu_moe)))


def _release_file_pages(path: str, *, forget: bool) -> None:
    """Give the model file's pages back to the system, so that only those in use come again.

    llama.cpp maps the file and touches all of it, weights that it then copies to other buffers
    included. Without this a resident set says nothing about what the model needs (Linux only).
    forget: the system may forget the file's content too. Loading has touched every page twice, so
    where RAM is short it would rather drop the pages that are read from now on.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    name = os.path.realpath(path)
    with open("/proc/self/maps", encoding="utf-8") as maps:  # noqa: PTH123
        for line in maps:
            fields = line.split(maxsplit=5)
            if len(fields) == 6 and fields[5].strip() == name:
                start, end = (int(part, 16) for part in fields[0].split("-"))
                size = ctypes.c_size_t(end - start)
                libc.madvise(ctypes.c_void_p(start), size, _MADV_DONTNEED)
    if forget:
        with open(name, "rb") as file:  # noqa: PTH123
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
