"""RAM that the llama.cpp program itself takes, beside the model: predicted before a run."""

from functools import cache
from typing import Final

from pydantic import BaseModel, ConfigDict

from advisor import resources
from advisor.engine.builds import Build
from advisor.llm.model import Model

_EMBEDDING: Final = "token_embd.weight"


class _Sourced(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    value: int
    source: str
    date: str


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    about: str
    vocabulary_bytes_per_token: _Sourced


@cache
def _data() -> _Data:
    return resources.load(_Data, "engine_program.json")


def expected(build: Build, model: Model) -> int | None:
    """Bytes: what the program held when it was asked for its devices, and the vocabulary.

    None where the system does not say what a process held.
    """
    if build.resident is None:
        return None
    n_vocab = next((t.shape[1] for t in model.tensors if t.name == _EMBEDDING), 0)
    return build.resident + n_vocab * _data().vocabulary_bytes_per_token.value
