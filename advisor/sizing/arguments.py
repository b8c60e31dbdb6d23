"""A plan's settings as arguments of llama-server, in llama.cpp's own names."""

import re
from collections.abc import Sequence

from advisor.llm.model import Model, Projector
from advisor.sizing import speculative
from advisor.sizing.settings import RunSettings

_DEFAULTS = RunSettings()


def file_name(model: Model) -> str:
    """The model's file, or the name that it would have: ``Qwen3-8B-Q4_K_M.gguf``."""
    if model.path is not None:
        return str(model.path)
    return f"{_plain(model.weights_of)}-{model.file_type}.gguf"


def program_of(model: Model) -> tuple[str, ...]:
    """What runs the model, and the arguments that this program needs for it."""
    if model.pooling:
        return ("llama-server", "--reranking" if model.pooling == "rank" else "--embeddings")
    if model.memory is not None and model.memory.diffuses:
        # It wants a schedule, by time or by blocks (examples/diffusion/README.md).
        return ("llama-diffusion-cli", "--diffusion-eps", "0.001")
    return ("llama-server",) if model.served else ("llama-completion",)


def _projector_name(projector: Projector | None, settings: RunSettings) -> str:
    """The projector's file, or the name that it would have: ``mmproj-Qwen3-VL-8B-F16.gguf``."""
    if projector is None or projector.path is not None:
        return settings.mmproj
    return f"mmproj-{_plain(projector.model)}-{projector.file_type}.gguf"


def _plain(model_id: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", model_id.rsplit("/", 1)[-1])


def shares(settings: RunSettings) -> list[str]:
    """``-ts`` as it is written: llama.cpp keeps 32 bits of each share, which nine digits tell."""
    return [f"{share:.9g}" for share in settings.tensor_split]


def _placement(settings: RunSettings, *, n_devices: int) -> list[str]:
    if not n_devices:
        return []
    words = ["-ngl", str(settings.n_gpu_layers)]
    if settings.override_tensor:
        # Before --n-cpu-moe, which adds patterns to the same list: the first that matches decides.
        words += ["-ot", ",".join(settings.override_tensor)]
    if settings.n_cpu_moe == "all":
        words.append("--cpu-moe")
    elif settings.n_cpu_moe:
        words += ["--n-cpu-moe", str(settings.n_cpu_moe)]
    if n_devices > 1:
        if settings.split_mode != "layer":
            words += ["-sm", settings.split_mode]
        if settings.tensor_split:
            words += ["-ts", ",".join(shares(settings))]
        if settings.main_gpu:
            words += ["-mg", str(settings.main_gpu)]
    if not settings.kv_offload:
        words.append("--no-kv-offload")
    return words


def _companions(model: Model, settings: RunSettings) -> list[str]:
    words: list[str] = []
    spec_type = speculative.kind(model, settings)
    if spec_type != "none":
        words += ["--spec-type", spec_type]
        if settings.spec_draft_n_max != _DEFAULTS.spec_draft_n_max:
            words += ["--spec-draft-n-max", str(settings.spec_draft_n_max)]
        for option, name in (("-ctkd", "ctkd"), ("-ctvd", "ctvd")):
            if getattr(settings, name) != getattr(_DEFAULTS, name):
                words += [option, getattr(settings, name)]
    if settings.spec_type == "draft-simple" and settings.model_draft:
        draft = settings.model_draft if model.draft is None else file_name(model.draft)
        words += ["-md", draft, "-ngld", str(settings.n_gpu_layers_draft)]
    if settings.mmproj:
        words += ["--mmproj", _projector_name(model.projector, settings)]
        if not settings.mmproj_offload:
            words.append("--no-mmproj-offload")
    return words


def server_arguments(
    model: Model,
    settings: RunSettings,
    *,
    n_devices: int,
    n_remote_hosts: int = 0,
    devices: Sequence[str] = (),
) -> tuple[str, ...]:
    """Arguments behind ``llama-server``. ``settings`` must be resolved (no "fit").

    Hosts that are reached through RPC get names to be replaced: ``host2:50052`` (the port that
    rpc-server listens on by default). ``devices``: llama.cpp's names of those to use, where it
    would not take these in this order by itself.

    Everything that llama.cpp would otherwise choose by itself and that changes memory (slots,
    layers on devices) is always written out (common/arg.cpp of b11434).
    """
    words = ["-m", file_name(model), "-c", str(settings.ctx)]
    if n_remote_hosts:
        words += ["--rpc", ",".join(f"host{n + 2}:50052" for n in range(n_remote_hosts))]
    if devices:
        words += ["-dev", ",".join(devices)]
    words += _placement(settings, n_devices=n_devices)
    words += ["-fa", settings.flash_attn]
    if settings.ctk != _DEFAULTS.ctk:
        words += ["-ctk", settings.ctk]
    if settings.ctv != _DEFAULTS.ctv:
        words += ["-ctv", settings.ctv]
    if settings.batch_size != _DEFAULTS.batch_size:
        words += ["-b", str(settings.batch_size)]
    if settings.ubatch_size != _DEFAULTS.ubatch_size:
        words += ["-ub", str(settings.ubatch_size)]
    words += ["-np", str(settings.parallel)]
    flags = {
        "--kv-unified": settings.kv_unified,
        "--swa-full": settings.swa_full,
        "--no-repack": not settings.repack,
    }
    words += [flag for flag, wanted in flags.items() if wanted]
    words += _companions(model, settings)
    if settings.cache_ram != _DEFAULTS.cache_ram:
        words += ["--cache-ram", str(settings.cache_ram)]
    if settings.ctx_checkpoints != _DEFAULTS.ctx_checkpoints:
        words += ["--ctx-checkpoints", str(settings.ctx_checkpoints)]
    if not settings.mmap:
        words += ["--load-mode", "none"]
    return tuple(words)
