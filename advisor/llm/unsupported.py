"""Models that people ask for and that llama.cpp cannot run: which, why, and what comes nearest."""

import difflib
import functools
import re
from datetime import date
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

from advisor import resources
from advisor.llm.model_names import own_names

_LIKENESS: Final = 0.75
"""Least likeness of a mistyped name, as difflib measures it."""
_BEGUN: Final = 4
"""Letters and digits from which on a name that is still being typed can be told."""


class Unsupported(BaseModel):
    """One model, or several of one name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    pattern: str
    """Regular expression for the beginning of a name (``_bare``) that means it."""
    model_types: tuple[str, ...] = ()
    """``model_type`` of its config.json."""
    reason: str = ""
    """Where it is another than that its architecture is missing."""
    instead: tuple[str, ...]
    """Ids of the nearest models that can be run."""
    source: tuple[str, ...] = Field(min_length=1)
    date: date
    """When the sources, llama.cpp's among them, were read."""

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        re.compile(pattern)
        return pattern

    @property
    def sentence(self) -> str:
        """Why it can't be run, and what comes nearest."""
        known = f", {self.model_types[0]}" if self.model_types else ""
        read = f"{self.date:%d %B %Y}".lstrip("0")
        reason = self.reason or (
            f"it does not know its architecture{known} (read in its source on {read})"
        )
        near = f" Nearest that it can: {', '.join(self.instead)}." if self.instead else ""
        return f"llama.cpp {data().llama_cpp} can't run {self.name}: {reason}.{near}"


class UnsupportedData(BaseModel):
    """resources/unsupported.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    about: str
    llama_cpp: str
    """The build that was read."""
    models: tuple[Unsupported, ...]


@functools.cache
def data() -> UnsupportedData:
    """The shipped file, validated once per process."""
    return resources.load(UnsupportedData, "unsupported.json")


def named(name: str) -> Unsupported | None:
    """The model that a name, a repository or a file means, None where llama.cpp may run it."""
    bare = [_bare(own) for own in (name, *own_names(name))]

    def means(model: Unsupported) -> bool:
        kinds = {_bare(kind) for kind in model.model_types}
        start = re.compile(rf"(?:{model.pattern})(?![a-z0-9])")
        return any(own in kinds or start.match(own) for own in bare)

    return next(filter(means, data().models), None)


def begun(text: str) -> Unsupported | None:
    """The model whose name was typed, in whole or in part."""
    typed = _letters(text)
    if len(typed) < _BEGUN:
        return named(text)
    starts = (model for model in data().models if _letters(model.name).startswith(typed))
    return named(text) or next(starts, None)


def mistyped(name: str) -> tuple[float, Unsupported] | None:
    """The model whose name is alike, with its likeness (0 to 1)."""
    typed = _letters(name.rpartition("/")[2])
    alike = [
        (difflib.SequenceMatcher(None, typed, _letters(model.name)).ratio(), at)
        for at, model in enumerate(data().models)
    ]
    likeness, at = max(alike)
    return (likeness, data().models[at]) if likeness >= _LIKENESS else None


def of_type(model_type: str) -> Unsupported | None:
    """The model whose config.json states this ``model_type``."""
    return next((model for model in data().models if model_type in model.model_types), None)


def _bare(name: str) -> str:
    """Without its owner, in lower case, words joined by hyphens: ``deepseek-v4.1-flash``."""
    return re.sub(r"[^a-z0-9.]+", "-", name.rpartition("/")[2].lower()).strip("-")


def _letters(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "", text.lower())
