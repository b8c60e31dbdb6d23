"""One model of the catalogue: what is kept of it, and the models that follow in every file type."""

import functools
import re
from dataclasses import replace
from datetime import date
from math import prod
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from advisor.errors import ModelError
from advisor.llm import architectures, quality
from advisor.llm.architectures.builder import NamedShape
from advisor.llm.caches import MemoryRule
from advisor.llm.filetypes import FILE_TYPES, assign
from advisor.llm.filetypes import file_type as named_file_type
from advisor.llm.hyperparameters import Hyperparameters
from advisor.llm.model import Model, Projector
from advisor.llm.projectors import ProjectorFacts, projector

Ability = Literal[
    "chat", "reasoning", "tools", "code", "vision", "audio", "multilingual",
    "embedding", "reranking", "diffusion", "text-to-text",
]  # fmt: skip


class GgufFacts(BaseModel):
    """What was kept of a GGUF header: enough to rebuild its tensor list."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metadata: dict[str, Any]
    optional: tuple[str, ...] = ()


class CatalogueEntry(BaseModel):
    """One model. ``model`` makes it in a file type."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1, max_length=200)
    """Hugging Face id, ``"Qwen/Qwen3-8B"``."""
    name: str
    """As people say it."""
    maker: str
    released: date | None = None
    licence: str | None = None
    """As the publisher names it (SPDX where it is one)."""
    abilities: tuple[Ability, ...] = ()
    aliases: tuple[str, ...] = ()
    """Other ids of the same weights' shape: base models, earlier or later releases."""
    published_params: int | None = None
    """Parameters of the published safetensors; may count vision, audio or draft parts that the
    GGUF does not hold."""
    active_params: int | None = None
    """Parameters that one token uses, as the maker states it."""
    native: str = "BF16"
    """What the weights were released in, for people."""
    native_file_type: str = "BF16"
    """The file type that keeps the released precision."""
    keep_mxfp4: bool = False
    """Every published file keeps its experts in MXFP4 (gpt-oss)."""
    older_mix: bool = False
    """Its published files were quantized before llama.cpp's rules changed in March 2026, and it has
    a tensor that the change touches (``advisor.llm.mixes.Mix.older``)."""
    source: tuple[str, ...]
    """Where the figures were read."""
    date: date
    """When."""
    notes: str = ""
    added: bool = False
    """Added by the user."""
    config: dict[str, Any] | None = None
    gguf: GgufFacts | None = None
    vision: ProjectorFacts | None = None
    """Its projector; None: it has none, or its numbers were not found in a source."""
    _models: dict[tuple[str, bool], Model] = PrivateAttr(default_factory=dict)
    _projectors: dict[str, Projector] = PrivateAttr(default_factory=dict)

    @functools.cached_property
    def hp(self) -> Hyperparameters:
        """Hyperparameters. Raises ModelError where the entry's values don't make a model."""
        if self.gguf is not None:
            arch = str(self.gguf.metadata.get("general.architecture", ""))
            family = architectures.architecture(arch)
            if family is None:
                raise ModelError(f"{self.name}: the architecture {arch} is not known.")
            stand_ins = [(name, ()) for name in self.gguf.optional]
            return family.from_gguf(self.gguf.metadata, stand_ins)
        return architectures.from_config(self.config or {})

    @functools.cached_property
    def searched(self) -> tuple[set[str], set[str], str, str]:
        """What a search looks at: words of its name, of its aliases, its name, all else."""
        return (
            _parts(f"{self.id} {self.name}"),
            _parts(" ".join(self.aliases)),
            plain(self.id.rpartition("/")[2]) + " " + plain(self.name),
            " ".join(
                plain(text)
                for text in (
                    *(self.maker, self.licence or "", self.arch),
                    *(*self.abilities, *self.aliases),
                )
            ),
        )

    @property
    def arch(self) -> str:
        """``general.architecture`` of its GGUF files."""
        return self.hp.arch

    @functools.cached_property
    def shapes(self) -> tuple[NamedShape, ...]:
        """Names and shapes of its tensors."""
        return tuple(self._family.tensors(self.hp))

    @functools.cached_property
    def memory(self) -> MemoryRule:
        """Its caches and states."""
        return self._family.memory(self.hp)

    @functools.cached_property
    def n_params(self) -> int:
        """Parameters in its GGUF file."""
        return sum(prod(shape) for _, shape in self.shapes)

    @functools.cached_property
    def active(self) -> int:
        """Parameters that one token uses: as the maker states it, else counted in its tensors."""
        counted = None
        if self.active_params is None and self.hp.n_expert:
            counted = quality.active_params(self.model(self.native_file_type))
        return self.active_params or counted or self.n_params

    @functools.cached_property
    def file_types(self) -> tuple[str, ...]:
        """File types worth a row, smallest first: those that publishers usually offer.

        Of a model released in few bits, 16-bit files hold nothing more; where every published file
        keeps the experts as released, other types save next to nothing.
        """
        if self.keep_mxfp4:
            return tuple(name for name in FILE_TYPES if name in {self.native_file_type, "F16"})
        few_bits = FILE_TYPES[self.native_file_type].family != "float"
        return tuple(
            name
            for name, kind in FILE_TYPES.items()
            if (kind.common or name == self.native_file_type)
            and not (kind.family == "fp4" and not self.hp.n_expert)
            and not (kind.family == "float" and few_bits)
        )

    @property
    def chats(self) -> bool:
        """Whether llama-server writes answers with it; not with encoders and what diffuses."""
        if self.abilities:
            return "chat" in self.abilities
        return self.memory.keeps and not self.hp.metadata.get("pooling_type")

    @property
    def suggested_file_type(self) -> str:
        """What to take when nothing was asked for."""
        if not {"embedding", "reranking"}.isdisjoint(self.abilities):
            return "Q8_0"  # What publishers offer of these: they are small.
        return self.native_file_type if self.native_file_type == "MXFP4_MOE" else "Q4_K_M"

    def model(self, file_type: str, *, imatrix: bool = False) -> Model:
        """The model in a file type. Raises ModelError for one that can't be predicted."""
        kind = named_file_type(file_type).name
        key = (kind, imatrix)
        made = self._models.get(key)
        if made is None:
            tensors = assign(
                self.hp,
                self.shapes,
                kind,
                imatrix=imatrix,
                keep_mxfp4=self.keep_mxfp4,
                older_mix=self.older_mix,
            )
            made = Model(
                id=self.id,
                name=self.name,
                file_type=kind,
                source="catalogue",
                tensors=tensors,
                hp=self.hp,
                memory=self.memory,
                imatrix=imatrix,
            )
            self._models[key] = made
        return made

    def projector(self, file_type: str = "F16") -> Projector:
        """Its projector, as published beside it. Raises ModelError where it is not known."""
        if self.vision is None:
            message = (
                f"The catalogue does not know a projector of {self.name}. Name its mmproj GGUF "
                "file instead."
            )
            raise ModelError(message)
        kind = file_type.upper()
        made = self._projectors.get(kind)
        if made is None:
            made = self._projectors[kind] = replace(projector(self.vision, kind), model=self.id)
        return made

    @property
    def _family(self) -> architectures.Architecture:
        family = architectures.architecture(self.hp.arch)
        if family is None:
            raise ModelError(f"{self.name}: the architecture {self.hp.arch} is not known.")
        return family


def plain(text: str) -> str:
    """Letters and digits alone, in lower case: names are matched whatever their punctuation."""
    return re.sub(r"[^a-z0-9]+", "", text.lower())


def _parts(text: str) -> set[str]:
    return {plain(part) for part in re.findall(r"[a-z0-9.]+", text.lower())}
