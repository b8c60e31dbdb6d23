"""Names that repositories, files and tags give a model, cut down to the model's own.

``bartowski/Qwen_Qwen3-8B-GGUF``, ``unsloth/Qwen3-8B-GGUF:Q4_K_M`` (llama.cpp's ``-hf``),
``Qwen3-8B-Q4_K_M.gguf`` and ``TheBloke/Mistral-7B-Instruct-v0.2-GGUF`` are all someone's files of a
model; its base and what was quantized or abliterated have its shape.
"""

import re
from collections.abc import Mapping
from typing import Final

_LONGEST: Final = 100
"""Letters of a name; the longest in the catalogue has half as many."""

_FILE_TYPE: Final = r"(?:UD[-_])?(?:I?Q\d|TQ\d|MXFP4|NVFP4|BF16|FP16|F16|F32)\w*(?:-XL)?"
_TAG: Final = re.compile(rf":(?:.*?[-_])??({_FILE_TYPE})$", re.IGNORECASE)
_SITE: Final = re.compile(r"^(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/", re.IGNORECASE)
_PREFIX: Final = re.compile(r"^huihui-", re.IGNORECASE)
_PAGE: Final = re.compile(r"/(?:tree|blob|resolve)/.*$")
_ENDS: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\.gguf$",
        r"-\d{5}-of-\d{5}$",
        rf"[-._]{_FILE_TYPE}$",
        r"[-._](?:i1-)?gguf$",
        r"[-._](?:i1|qat|imat|imatrix)$",
        r"[-._](?:fp8(?:[-._]dynamic|[-._]block)?|awq|gptq[-._]int\d|(?:mlx[-._])?\d[-._]?bit)$",
        r"[-._](?:unsloth[-._])?bnb$",
        r"[-._](?:base|pt)$",
        r"[-._](?:abliterated|heretic|uncensored)(?:[-._]v?\d+)?$",
        r"[-._]hauhaucs(?:[-._]\w+)?$",
    )
)


def written(metadata: Mapping[str, object], stem: str) -> str:
    """The name that a header gives its model, or its file's, as one short line.

    Who made the file wrote it: control characters would steer a terminal.
    """
    name = metadata.get("general.name")
    for text in (name if isinstance(name, str) else "", stem):
        plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        if plain:
            return plain if len(plain) <= _LONGEST else f"{plain[: _LONGEST - 1]}…"
    return "model"


def stated_type(name: str) -> str | None:
    """The file type behind the colon: ``…-GGUF:UD-Q4_K_XL``, ``llama3.1:8b-instruct-q4_K_M``."""
    found = _TAG.search(name.strip())
    return found[1] if found else None


def own_names(name: str) -> tuple[str, ...]:
    """What the model itself may be called, likeliest first; nothing where no more can be cut."""
    bare = repository(name).rpartition("/")[2]
    shorter = _PREFIX.sub("", _without_ends(bare))
    # bartowski's repositories of 2025 and 2026 begin with the maker: "google_gemma-3-27b-it-GGUF".
    names = [bare, shorter, *(n.partition("_")[2] for n in (bare, shorter) if "_" in n)]
    return tuple(dict.fromkeys(n for n in names if n and n != name.strip()))


def _without_ends(name: str) -> str:
    before = ""
    while before != name:
        before = name
        for end in _ENDS:
            name = end.sub("", name)
    return name


def repository(name: str) -> str:
    """The name as one of a repository or a tag, without its site, page and file type.

    ``unsloth/Qwen3.5-9B-GGUF:Q4_K_M`` gives ``unsloth/Qwen3.5-9B-GGUF``.
    """
    bare = _PAGE.sub("", _SITE.sub("", name.strip())).rstrip("/")
    tagged = _TAG.search(bare)
    return bare[: tagged.start()] if tagged else bare
