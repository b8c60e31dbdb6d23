"""Files of publishers that differ from what llama-quantize makes today, where it is known how.

A name with its owner (``unsloth/Qwen3.5-9B-GGUF:Q4_K_M``) means that owner's file. What is known
of it lies in ``resources/published.json``: tensors that he gives another type, or that his files
hold and the catalogue's entry does not. What is known to differ in a way that nobody can tell from
its name is said.
"""

import dataclasses
import functools
import re
from datetime import date
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

from advisor import resources
from advisor.llm.catalogue_entry import CatalogueEntry
from advisor.llm.filetypes import assign, is_own_mix, nearest
from advisor.llm.filetypes import file_type as named_file_type
from advisor.llm.model import Model
from advisor.llm.model_names import repository

_EVERY: Final = "*"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Habit(_Frozen):
    """What one publisher does with some models."""

    name: str
    """Regular expression that the repository's or the tag's name has to match, in lower case."""
    models: tuple[str, ...] = ()
    """Catalogue ids; empty: every model."""
    since: date | None = None
    """Only models released from then on."""
    experts: Literal["all", "routed", "shared"] | None = None
    """Only models of eight experts or more; "routed": without, "shared": with ones for all."""
    file_types: tuple[str, ...] = ()
    """Those that it is known of; empty: all."""
    config: dict[str, Any] = {}
    """What is otherwise in the model's config.json."""
    types: dict[str, dict[str, str]] = {}
    """By file type, or ``"*"`` for all: patterns of tensor names and the types that they get."""
    bartowski: bool = False
    """Mixes experts as ``advisor.llm.mixes.Mix.bartowski``."""
    older_mix: bool = False
    """Made before llama.cpp's rules changed in March 2026, whatever the entry says."""
    exact: bool = True
    """False: the files differ from llama-quantize's, and how is not known."""
    sentence: str
    """What is different, as the end of "files that are …" or "sized as they are: …"."""
    source: str
    date: date

    def of(self, name: str, entry: CatalogueEntry, kind: str = "") -> bool:
        """Whether a name means such a file of a model; without ``kind``, in any file type."""
        if self.models and entry.id not in self.models:
            return False
        if kind and self.file_types and kind not in self.file_types:
            return False
        if self.since and (entry.released is None or entry.released < self.since):
            return False
        shared = "shared" if entry.hp.n_ff_shexp else "routed"
        if self.experts and (entry.hp.n_expert < _MANY or self.experts not in {"all", shared}):
            return False
        return re.match(self.name, name.lower()) is not None


_MANY: Final = 8


class _Data(_Frozen):
    """resources/published.json; the first habit that matches counts."""

    about: str
    habits: tuple[Habit, ...]


@functools.cache
def habits() -> tuple[Habit, ...]:
    """All that is known."""
    return resources.load(_Data, "published.json").habits


def repository_of(entry: CatalogueEntry, name: str) -> str:
    """The repository that ``name`` means, where its files of the model are known to differ."""
    place = repository(name)
    return place if any(habit.of(place, entry) for habit in habits()) else ""


def model_of(entry: CatalogueEntry, name: str, file_type: str, *, imatrix: bool = False) -> Model:
    """A catalogue model in a file type, as the files are that ``name`` means.

    A publisher's own mix ("UD-Q4_K_XL") is computed as what comes nearest, and says so. Raises
    ModelError for a type that can't be predicted.
    """
    if is_own_mix(file_type):
        near = _nearest(entry, file_type)
        model = model_of(entry, name, near, imatrix=imatrix)
        own = f"“{file_type}” is a publisher's own mix: computed as {near}."
        return dataclasses.replace(model, published=f"{own} {model.published}".strip())
    kind = named_file_type(file_type).name
    place = repository(name)
    habit = next((h for h in habits() if h.of(place, entry, kind)), None)
    if habit is None:
        return entry.model(kind, imatrix=imatrix)
    key = (entry.id, entry.n_params, place, kind, imatrix)
    if key not in _made:
        _made[key] = _model(entry, place, habit, kind, imatrix=imatrix)
    return _made[key]


def _nearest(entry: CatalogueEntry, mix: str) -> str:
    """Experts that were released in four bits keep them in mixes of four bits and more.

    Unsloth's files of DeepSeek V4 Flash have 155 GB as UD-Q4_K_XL and 162 as UD-Q8_K_XL, the same
    experts beside other tensors in 8 and in 16 bits (unsloth.ai/docs/models/deepseek-v4, read in
    November 2026); Q4_K_M would have 172, Q8_0 302.
    """
    kind = nearest(mix)
    if entry.native_file_type == "MXFP4_MOE" and kind.bits >= named_file_type("MXFP4_MOE").bits:
        return "MXFP4_MOE"
    return kind.name


_SAID: Final = {
    True: "Sized as the files of {place} are: {habit.sentence}.",
    False: "The files of {place} are {habit.sentence}, in a way that is not known here: they are "
    "some per cent larger or smaller than shown. Open the file itself to be exact.",
}
_made: Final[dict[tuple[str, int, str, str, bool], Model]] = {}


def _model(entry: CatalogueEntry, place: str, habit: Habit, kind: str, *, imatrix: bool) -> Model:
    base = entry
    if habit.config and entry.config is not None:
        patched = {**entry.config, **habit.config}
        base = CatalogueEntry.model_validate(entry.model_dump() | {"config": patched})
    tensors = assign(
        base.hp,
        base.shapes,
        kind,
        imatrix=imatrix,
        keep_mxfp4=base.keep_mxfp4,
        older_mix=base.older_mix or habit.older_mix,
        bartowski=habit.bartowski,
        chosen=habit.types.get(_EVERY, {}) | habit.types.get(kind, {}),
    )
    return Model(
        id=place,
        entry=entry.id,
        name=entry.name,
        file_type=kind,
        source="catalogue",
        tensors=tensors,
        hp=base.hp,
        memory=base.memory,
        imatrix=imatrix,
        published=_SAID[habit.exact].format(place=place, habit=habit),
    )
