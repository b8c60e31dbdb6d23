"""Keys without which llama.cpp does not load a model, by architecture."""

import functools
from collections.abc import Mapping
from datetime import date
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from advisor import resources
from advisor.errors import BadModelFile


class RequiredKeys(BaseModel):
    """resources/required_keys.json: keys without the architecture's name in front."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    about: str
    llama_cpp: str
    date: date
    source: tuple[str, ...] = Field(min_length=1)
    every: tuple[str, ...]
    architectures: Mapping[str, tuple[str, ...]]


@functools.cache
def data() -> RequiredKeys:
    """The reviewed list."""
    return resources.load(RequiredKeys, "required_keys.json")


def lacking(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Full names of the keys that a header lacks; none of an architecture that we don't know."""
    arch = str(metadata.get("general.architecture", ""))
    known = data()
    if arch not in known.architectures:
        return ()
    names = (full_key(arch, key) for key in (*known.every, *known.architectures[arch]))
    return tuple(name for name in names if name not in metadata)


def check(metadata: Mapping[str, Any], name: str) -> None:
    """Raise BadModelFile where the header of file ``name`` lacks what llama.cpp asks for."""
    missing = lacking(metadata)
    if missing:
        message = (
            f"llama.cpp does not load {name}: its header lacks {', '.join(missing)}. Download the "
            "file again or from somewhere else, or convert the model again with the "
            "convert_hf_to_gguf.py of a current llama.cpp."
        )
        raise BadModelFile(message)


def full_key(arch: str, key: str) -> str:
    """A key as headers have it: only xIELU's lack the architecture (llama-arch.cpp)."""
    return key if key.startswith("xielu.") else f"{arch}.{key}"
