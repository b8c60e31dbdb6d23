"""A model: hyperparameters and a list of tensors, from a GGUF header or from the catalogue."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from advisor.llm.caches import MemoryRule
from advisor.llm.hyperparameters import POOLING, Hyperparameters
from advisor.llm.tensor import Tensor


@dataclass(frozen=True, eq=False)
class Projector:
    """What turns pictures or sound into tokens (``--mmproj``): a file of its own."""

    path: Path | None
    """None: the one published with a catalogue model."""
    kind: str
    """``clip.projector_type``, such as ``"qwen3vl_merger"``."""
    tensors: tuple[Tensor, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The header's ``clip.…`` keys."""
    file_type: str = ""
    """What the one of a catalogue model is in: ``"F16"``."""
    model: str = ""
    """The catalogue model that it belongs to."""


@dataclass(frozen=True, eq=False)
class TensorKinds:
    """Tensors by type and shape: blocks repeat, so a model has few kinds of many tensors."""

    kinds: tuple[Tensor, ...]
    """One tensor of each kind."""
    of: NDArray[np.intp]
    """The kind of every tensor, in the model's order."""
    counts: tuple[int, ...]
    """Tensors of each kind."""


@dataclass(frozen=True)
class Model:
    """One model in one file type."""

    id: str
    """Hugging Face id of a catalogue model, or of the repository of its files where that is known
    to differ; file name of a GGUF."""
    name: str
    """As people say it: ``"Qwen3 8B"``."""
    file_type: str
    """``"Q4_K_M"``; ``"mixed"`` when a header does not say."""
    source: Literal["gguf", "catalogue"]
    tensors: tuple[Tensor, ...]
    hp: Hyperparameters | None
    """None: an architecture this version does not know."""
    memory: MemoryRule | None
    """None: how this architecture keeps its context is not known; ask llama.cpp (dry run)."""
    path: Path | None = None
    """The first GGUF file, where there is one."""
    missing: int = 0
    """Bytes that its files lack: a download that is not finished."""
    imatrix: bool = False
    entry: str = ""
    """Catalogue id of the model whose files these are, where ``id`` is their repository's."""
    published: str = ""
    """How its publisher's files differ from what llama-quantize makes, as far as it is known."""
    draft: "Model | None" = None
    """A smaller model that drafts its tokens (``--model-draft``)."""
    projector: Projector | None = None

    @property
    def whole(self) -> Path | None:
        """The file, if all of it is there; None: a ghost has to stand in."""
        return None if self.missing else self.path

    @property
    def pooling(self) -> str:
        """How it makes one vector (or, ``"rank"``, one score) of a text; empty: it writes.

        llama.h:llama_pooling_type. An encoder whose header does not say leaves one per token.
        """
        stated = self.hp.metadata.get("pooling_type") if self.hp is not None else None
        if isinstance(stated, int) and 0 < stated < len(POOLING):
            return POOLING[stated]
        encodes = self.memory is not None and not self.memory.keeps and not self.memory.diffuses
        # T5's encoder alone has a cache, to which nothing is written.
        alone = self.hp is not None and self.hp.arch == "t5encoder"
        return POOLING[0] if encodes or alone else ""

    @property
    def weights_of(self) -> str:
        """Catalogue id of a catalogue model, whoever published its files; else its ``id``."""
        return self.entry or self.id

    @property
    def writes(self) -> bool:
        """Whether it writes answers token by token, as far as is known."""
        return not (self.pooling or (self.memory is not None and self.memory.diffuses))

    @property
    def decodes(self) -> bool:
        """Whether llama-server makes tokens with it one by one, which an encoder in it prevents.

        It never asks T5's encoder, for which T5's decoder waits.
        """
        keeps = self.memory is None or self.memory.keeps
        return keeps and (self.hp is None or self.hp.arch not in {"t5", "t5encoder"})

    @property
    def served(self) -> bool:
        """Whether llama-server writes answers with it."""
        return self.writes and self.decodes

    @cached_property
    def shape(self) -> str:
        """What models that compute alike have in common: architecture, layers, widths, experts.

        The vocabulary counts in steps of 2,048, since fine-tunes add a few tokens. An architecture
        that is not known: its ``id``.
        """
        hp = self.hp
        if hp is None:
            return self.id
        trunk = slice(hp.n_layer)
        widths = (hp.n_layer, hp.n_embd, sum(hp.n_ff[trunk]), sum(hp.n_head[trunk]))
        heads = (sum(hp.n_head_kv[trunk]), hp.n_embd_head_k, hp.n_embd_head_v)
        experts = (hp.n_expert, hp.n_expert_used, hp.n_ff_exp)
        numbers = (*widths, *heads, *experts, hp.n_vocab // 2048)
        return "-".join((hp.arch, *map(str, numbers)))

    @cached_property
    def kinds(self) -> TensorKinds:
        """Its tensors by type and shape."""
        seen: dict[tuple[str, tuple[int, ...]], int] = {}
        found: list[Tensor] = []
        of: list[int] = []
        for tensor in self.tensors:
            kind = (tensor.type.name, tensor.shape)
            at = seen.get(kind)
            if at is None:
                at = seen[kind] = len(found)
                found.append(tensor)
            of.append(at)
        index = np.array(of, dtype=np.intp)
        counts = np.bincount(index, minlength=len(found)).tolist()
        return TensorKinds(tuple(found), index, tuple(counts))

    @cached_property
    def n_params(self) -> int:
        """Number of parameters as llama.cpp counts them: every tensor in the file."""
        kinds = self.kinds
        return sum(t.n_elements * n for t, n in zip(kinds.kinds, kinds.counts, strict=True))

    @cached_property
    def nbytes(self) -> int:
        """Bytes of all tensors as stored."""
        kinds = self.kinds
        return sum(t.nbytes * n for t, n in zip(kinds.kinds, kinds.counts, strict=True))

    @property
    def bpw(self) -> float:
        """Mean bits per weight over the whole file."""
        return self.nbytes * 8 / self.n_params
