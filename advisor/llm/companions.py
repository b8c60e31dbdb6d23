"""Models that run beside a model: one that drafts tokens, and a multimodal projector."""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from advisor.errors import ModelError
from advisor.llm.catalogue import catalogue
from advisor.llm.gguf import read_header
from advisor.llm.model import Model, Projector
from advisor.llm.open import load


def with_companions(model: Model, *, draft: str, mmproj: str) -> Model:
    """The model with its companions; empty names are none.

    draft: a GGUF file or a catalogue model. mmproj: a GGUF file that holds a projector, or a
    catalogue model whose own is meant: ``Qwen/Qwen3-VL-8B-Instruct``, in F16 unless a file type
    follows (``…:BF16``).
    Raises UnknownModel, BadModelFile, or ModelError where the file is something else.
    """
    if not draft and not mmproj:
        return model
    return replace(
        model,
        draft=_draft(draft, _changed(draft)) if draft else None,
        projector=_projector(mmproj) if mmproj else None,
    )


def is_projector(metadata: Mapping[str, object]) -> bool:
    """Whether a GGUF's header says that it holds a projector, not a model."""
    # tools/mtmd/clip-impl.h: the architecture of every projector.
    return metadata.get("general.architecture") == "clip"


def _changed(name: str) -> int:
    """When a file was last written; 0 for what is no file."""
    try:
        return Path(name).expanduser().stat().st_mtime_ns
    except (OSError, ValueError):
        return 0


@lru_cache(maxsize=16)
def _draft(name: str, _changed_at: int) -> Model:
    return load(name)


def _projector(name: str) -> Projector:
    """Of a file, or of a catalogue model, in the file type behind the colon."""
    changed_at = _changed(name)
    if changed_at:
        return _of_file(name, changed_at)
    path = Path(name).expanduser()
    model, _, file_type = name.partition(":")
    if path.is_absolute() or path.suffix.lower() == ".gguf":
        message = (
            f"There is no file {path}. --mmproj takes the projector's GGUF file, or the name of "
            "a model in the catalogue for the one published with it."
        )
        raise ModelError(message)
    return catalogue().find(model).projector(file_type or "F16")


@lru_cache(maxsize=16)
def _of_file(name: str, _changed_at: int) -> Projector:
    path = Path(name).expanduser()
    header = read_header(path)
    if not is_projector(header.metadata):
        message = f"{path.name} is not a multimodal projector (its architecture is not “clip”)."
        raise ModelError(message)
    kind = header.metadata.get("clip.projector_type") or header.metadata.get(
        "clip.vision.projector_type"
    )
    return Projector(
        path=path,
        kind=str(kind or "unknown"),
        tensors=header.model_tensors(),
        metadata={key: value for key, value in header.metadata.items() if key.startswith("clip.")},
    )
