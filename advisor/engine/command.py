"""A run as people start it: llama-server's command, and settings for Ollama and LM Studio."""

from collections.abc import Sequence
from typing import Final

from advisor.engine.builds import Build
from advisor.errors import EngineError
from advisor.hardware.rig import Rig
from advisor.sizing.arguments import shares
from advisor.sizing.plan import Plan
from advisor.sizing.planner import named_devices
from advisor.sizing.settings import RunSettings

_OLLAMA_KV_TYPES: Final = ("f16", "q8_0", "q4_0")
"""What OLLAMA_KV_CACHE_TYPE takes (docs.ollama.com/faq)."""
_OLLAMA_UBATCH: Final = 512
"""Its num_batch is llama-server's -b; -ub stays as llama-server has it."""
_OPTIONAL: Final = frozenset({"--cache-ram"})
"""Options with a value that older builds lack and do not need: they keep no prompts."""
_EVERY_LAYER: Final = "999"
"""More layers than any model has, for builds that take numbers only."""


def _layers(plan: Plan) -> int:
    """Layers on devices, the output layer included, as -ngl counts."""
    return sum(len(device.layers) for device in plan.devices)


def _file(plan: Plan) -> str:
    command = plan.command
    return command[command.index("-m") + 1] if "-m" in command else plan.model_id


def ollama_text(plan: Plan) -> str:
    """Environment and Modelfile that make Ollama run the plan, as far as it can.

    Ollama multiplies num_ctx by the slots, and its KV type is one for K and V and for all models.
    """
    settings = plan.settings
    lines = ["# Environment of the Ollama server"]
    lines.append(f"OLLAMA_FLASH_ATTENTION={0 if settings.flash_attn == 'off' else 1}")
    lines.append(f"OLLAMA_NUM_PARALLEL={settings.parallel}")
    if settings.ctk in _OLLAMA_KV_TYPES and settings.ctk == settings.ctv:
        lines.append(f"OLLAMA_KV_CACHE_TYPE={settings.ctk}")
    else:
        lines.append(
            f"# Ollama has no KV cache with K in {settings.ctk} and V in {settings.ctv}; the "
            "nearest is OLLAMA_KV_CACHE_TYPE=q8_0"
        )
    lines += ["", "# Modelfile", f"FROM {_file(plan)}"]
    lines.append(f"PARAMETER num_ctx {settings.ctx // settings.parallel}")
    if plan.devices:
        lines.append(f"PARAMETER num_gpu {_layers(plan)}")
        if settings.split_mode == "none":
            lines.append(f"PARAMETER main_gpu {settings.main_gpu}")
    lines.append(f"PARAMETER num_batch {settings.ubatch_size}")
    lines += _beside_ollama(settings)
    return "\n".join(lines) + "\n"


def _beside_ollama(settings: RunSettings) -> list[str]:
    """What has no setting in Ollama: only the llama-server inside it can be told.

    It is started with the environment of Ollama's server (its llm.startLlamaServer), and reads its
    own variables there (llama.cpp's common/arg.cpp).
    """
    rows: list[str] = []
    if settings.n_cpu_moe == "all":
        rows.append("# LLAMA_ARG_CPU_MOE=1")
    elif settings.n_cpu_moe:
        rows.append(f"# LLAMA_ARG_N_CPU_MOE={settings.n_cpu_moe}")
    if settings.tensor_split:
        rows.append(f"# LLAMA_ARG_TENSOR_SPLIT={','.join(shares(settings))}")
    if settings.ubatch_size > _OLLAMA_UBATCH:
        rows.append(f"# LLAMA_ARG_UBATCH={settings.ubatch_size}")
    if not settings.mmap:
        rows.append("# LLAMA_ARG_LOAD_MODE=none")
    if not rows:
        return []
    words = (
        "# Ollama has no setting for what follows and places whole layers by itself. From 0.30 on, "
        "in the server's environment:"
    )
    return ["", words, *rows]


def lm_studio_text(plan: Plan) -> str:
    """The load settings of LM Studio that make it run the plan, by the names on its screen."""
    settings = plan.settings
    moe = settings.n_cpu_moe
    # Without a unified cache every prediction has the whole length.
    each = settings.ctx if settings.kv_unified else settings.ctx // settings.parallel
    rows = [("Context Length", f"{each}")]
    if plan.devices:
        rows.append(("GPU Offload", f"{_layers(plan)} layers"))
        if moe:
            everything = "all" if moe == "all" else str(moe)
            rows.append(("Number of layers for which to force MoE weights onto CPU", everything))
        rows.append(("Offload KV Cache to GPU Memory", "on" if settings.kv_offload else "off"))
    rows += [
        ("Max Concurrent Predictions", f"{settings.parallel}"),
        ("Unified KV Cache", "on" if settings.kv_unified else "off"),
        ("Evaluation Batch Size", f"{settings.ubatch_size}"),
        ("Flash Attention", "off" if settings.flash_attn == "off" else "on"),
        ("K Cache Quantization Type", settings.ctk),
        ("V Cache Quantization Type", settings.ctv),
        ("Try mmap()", "on" if settings.mmap else "off"),
    ]
    return "".join(f"{name}: {value}\n" for name, value in rows)


def devices_for(rig: Rig, build: Build) -> tuple[str, ...]:
    """What ``-dev`` has to say; empty where it need not, or where the build sees none so named."""
    names = named_devices(rig)
    return names if {device.name for device in build.devices}.issuperset(names) else ()


def for_build(arguments: Sequence[str], build: Build) -> list[str]:
    """Arguments of llama-server in the words of one build: options were renamed over time.

    What a build lists in its help decides; one that was never asked gets them as they are. Raises
    EngineError where an option that changes what is measured does not exist there.
    """
    if not build.options:
        return list(arguments)
    known = frozenset(build.options)
    words: list[str] = []
    rest = iter(arguments)
    for word in rest:
        if word in _OPTIONAL and word not in known:
            next(rest)
        elif word == "-fa" and "--flash-attn=on" not in known:
            words += ["-fa"] if next(rest) == "on" else []
        elif word == "-ngl" and "--n-gpu-layers=all" not in known:
            count = next(rest)
            words += ["-ngl", _EVERY_LAYER if count == "all" else count]
        elif word == "--load-mode" and word not in known:
            next(rest)
            words.append("--no-mmap")
        elif word.startswith("--") and word not in known:
            message = (
                f"llama.cpp {build.version} has no {word}, so it cannot run these settings. "
                "Install a newer one, or choose another."
            )
            raise EngineError(message, detail=build.path)
        else:
            words.append(word)
    return words
