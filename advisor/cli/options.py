"""Command-line options that several commands share, under llama.cpp's own names."""

import argparse
from collections.abc import Callable
from math import inf, nan
from typing import Any

from advisor.sizing.settings import RunSettings


def _spec_type(word: str) -> str:
    """A head that drafts is told by its file; llama.cpp wants to hear it too."""
    return "draft-simple" if word in {"draft-eagle3", "draft-dflash", "draft-dspark"} else word


def _number_or(*words: str) -> Any:  # noqa: ANN401 - argparse takes any callable
    def read(text: str) -> int | str:
        if text in words:
            return text
        try:
            return int(text)
        except ValueError:
            message = f"{text!r} is neither a number nor one of {', '.join(words)}"
            raise argparse.ArgumentTypeError(message) from None

    return read


def tokens_of(text: str) -> int:
    """``"32k"`` as a number of tokens."""
    factor = {"k": 1 << 10, "m": 1 << 20}.get(text[-1:].lower(), 0)
    try:
        return int(float(text[:-1]) * factor) if factor else int(text)
    except ValueError:
        message = f"{text!r} is not a number of tokens, such as 32768 or 32k"
        raise argparse.ArgumentTypeError(message) from None


def _mapped(mode: str) -> bool:
    """Whether a ``--load-mode`` of llama.cpp maps the file; "auto" does."""
    if mode not in {"auto", "mmap", "none"}:
        message = f"{mode!r} is none of auto, mmap, none"
        raise argparse.ArgumentTypeError(message)
    return mode != "none"


def above(least: float) -> Callable[[str], float]:
    """A number that is not below ``least``."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = nan
        if not least <= value < inf:
            message = f"{text!r} is not a number from {least:g} on"
            raise argparse.ArgumentTypeError(message)
        return value

    return read


def count_of(text: str) -> int:
    """A number of things, at least one."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        message = f"{text!r} is not a number from 1 on"
        raise argparse.ArgumentTypeError(message)
    return value


def token_list(text: str) -> list[int]:
    """``"4k,32k"`` as numbers."""
    return [tokens_of(part) for part in text.split(",")]


def _shares(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.replace("/", ",").split(","))
    except ValueError:
        message = f"{text!r} is not a list of shares, such as 3,1"
        raise argparse.ArgumentTypeError(message) from None


def add_model(parser: argparse.ArgumentParser) -> None:
    """The model, its file type, and what to run it on."""
    parser.add_argument("model", nargs="?", help="GGUF file, or name of a catalogue model")
    parser.add_argument("--file-type", metavar="TYPE", help="Q4_K_M, MXFP4_MOE … (catalogue)")
    parser.add_argument("--imatrix", action="store_true", help="made with an importance matrix")


def add_rig(parser: argparse.ArgumentParser) -> None:
    """What to run it on."""
    parser.add_argument(
        "--rig",
        default="this",
        help="“this”, a saved rig's file, or text such as “2x RTX 4090 + 128 GB DDR5-6000”",
    )
    parser.add_argument("--backend", help="cuda, rocm, vulkan, metal, sycl or cpu")
    parser.add_argument(
        "--uncalibrated",
        action="store_true",
        help="as if this machine had never been probed",
    )


def add_settings(
    parser: argparse.ArgumentParser, *, ctx: int = RunSettings().ctx, ctx_is: str = ""
) -> None:
    """Every run setting, its default in brackets; ``ctx`` is that of the context, ``ctx_is`` says
    where that comes from otherwise.
    """
    group = parser.add_argument_group("run settings (llama.cpp's names)")
    defaults = RunSettings(ctx=ctx).model_dump()
    words = {"mmap": "auto", **({"ctx": ctx_is} if ctx_is else {})}

    def add(*names: str, dest: str, help: str, **rest: Any) -> None:  # noqa: A002, ANN401 - argparse's own
        default = defaults[dest]
        # Switches say what they change; what is empty or None has no words.
        has_words = "action" not in rest and default not in ("", (), None)
        told = f"{help} ({words.get(dest, default)})" if has_words else help
        group.add_argument(*names, dest=dest, help=told, **rest)

    add("-c", "--ctx", "--ctx-size", dest="ctx", type=tokens_of, help="context, all slots together")
    add("-ctk", "--cache-type-k", dest="ctk", help="type of the K cache")
    add("-ctv", "--cache-type-v", dest="ctv", help="type of the V cache")
    add("-b", "--batch-size", dest="batch_size", type=int, help="tokens of a prompt at once")
    add("-ub", "--ubatch-size", dest="ubatch_size", type=int, help="of these, computed at once")
    add("-np", "--parallel", dest="parallel", type=int, help="slots: answers at once")
    add(
        "-kvu",
        "--kv-unified",
        dest="kv_unified",
        action="store_true",
        default=None,
        help="one cache for all slots",
    )
    add(
        "-fa",
        "--flash-attn",
        dest="flash_attn",
        choices=("on", "off", "auto"),
        help="flash attention",
    )
    add(
        "--built", dest="built", metavar="WHEN",
        help="which llama.cpp: a month (2026-08) or build (b10549); older ones read prompts slower,"
        " those from b11481 on reserve some buffers otherwise",
    )  # fmt: skip
    add(
        "-sm",
        "--split-mode",
        dest="split_mode",
        choices=("none", "layer", "row", "tensor"),
        help="what is split across cards",
    )
    add(
        "-ts",
        "--tensor-split",
        dest="tensor_split",
        type=_shares,
        metavar="N0,N1…",
        help="shares of the cards",
    )
    add("-mg", "--main-gpu", dest="main_gpu", type=int, help="card used with -sm none or row")
    add(
        "-ngl", "--n-gpu-layers", "--gpu-layers",
        dest="n_gpu_layers", type=_number_or("all", "fit"), metavar="N|all|fit",
        help="layers on devices",
    )  # fmt: skip
    add(
        "-ncmoe", "--n-cpu-moe", dest="n_cpu_moe", type=_number_or("all", "fit"),
        metavar="N|all|fit", help="leading layers whose experts stay in RAM",
    )  # fmt: skip
    add(
        "-ot", "--override-tensor", dest="override_tensor", action="append",
        metavar="PATTERN=BUFFER", help="tensors to put into a buffer: CPU, CUDA0 …",
    )  # fmt: skip
    add(
        "--goal", dest="goal", choices=("decode", "prefill", "balanced"),
        help="what “fit” makes fast",
    )  # fmt: skip
    add(
        "--fit-kv", dest="fit_kv", action="store_true", default=None,
        help="“fit” may keep caches in RAM, or in q8_0 where that saves 10 %% of the time",
    )  # fmt: skip
    add(
        "-cmoe",
        "--cpu-moe",
        dest="n_cpu_moe",
        action="store_const",
        const="all",
        help="all experts stay in RAM",
    )
    add(
        "-nkvo",
        "--no-kv-offload",
        dest="kv_offload",
        action="store_false",
        default=None,
        help="caches stay in RAM",
    )
    add(
        "--swa-full",
        dest="swa_full",
        action="store_true",
        default=None,
        help="sliding windows cached in full",
    )
    add("--load-mtp", dest="load_mtp", action="store_true", default=None, help="load NextN layers")
    add(
        "-mm",
        "--mmproj",
        dest="mmproj",
        metavar="FILE",
        help="multimodal projector: a file, or a catalogue model for its own in F16 (NAME:BF16 …)",
    )
    add(
        "--no-mmproj-offload",
        dest="mmproj_offload",
        action="store_false",
        default=None,
        help="projector stays in RAM",
    )
    add(
        "-md", "--model-draft", dest="model_draft", metavar="MODEL",
        help="GGUF file or catalogue model that drafts tokens",
    )  # fmt: skip
    add(
        "--spec-type",
        dest="spec_type",
        type=_spec_type,
        choices=("none", "draft-simple", "draft-mtp"),
        help="how tokens are drafted; llama.cpp's names of heads (draft-eagle3 …) mean -md's file",
    )
    add(
        "--spec-draft-n-max",
        dest="spec_draft_n_max",
        type=int,
        metavar="N",
        help="most tokens drafted at once",
    )
    add("-ctkd", "--cache-type-k-draft", dest="ctkd", help="K cache of the draft model")
    add("-ctvd", "--cache-type-v-draft", dest="ctvd", help="V cache of the draft model")
    add(
        "-ngld", "--n-gpu-layers-draft", "--gpu-layers-draft",
        dest="n_gpu_layers_draft", type=_number_or("all"), metavar="N|all",
        help="the draft model's layers on devices",
    )  # fmt: skip
    add(
        "-cram", "--cache-ram", dest="cache_ram", type=int, metavar="MIB",
        help="most MiB of prompts kept in RAM; -1: no limit",
    )  # fmt: skip
    add(
        "-ctxcp",
        "--ctx-checkpoints",
        dest="ctx_checkpoints",
        type=int,
        metavar="N",
        help="checkpoints kept per slot",
    )
    add("--n-outputs", dest="n_outputs", type=int, help="rows of logits reserved")
    add(
        "--no-repack",
        dest="repack",
        action="store_false",
        default=None,
        help="CPU weights stay as stored",
    )
    add(
        "--no-mmap",
        dest="mmap",
        action="store_false",
        default=None,
        help="file is read, not mapped; what --load-mode none was called",
    )
    add(
        "-lm",
        "--load-mode",
        dest="mmap",
        type=_mapped,
        metavar="MODE",
        help="auto, mmap, or none: file is read, not mapped",
    )
    add("--depth", dest="depth", type=tokens_of, help="tokens already in the context")
    add("-p", "--n-prompt", dest="n_prompt", type=tokens_of, help="prompt length for prefill speed")


def settings_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The run settings that were given, ready for RunSettings or a size request."""
    given = vars(arguments)
    return {key: given[key] for key in RunSettings.model_fields if given.get(key) is not None}


def request_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """A size request of the contract."""
    return {
        "model": arguments.model,
        "file_type": arguments.file_type,
        "imatrix": arguments.imatrix,
        "rig": arguments.rig,
        "backend": arguments.backend,
        "ctx": RunSettings().ctx,
        **settings_of(arguments),
    }
