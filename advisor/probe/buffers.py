"""What llama.cpp allocated, gathered from its log while it loads: by place, part and model."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from advisor.engine.log import (
    BufferKind,
    BufferSize,
    Event,
    LoadingDraft,
    NewContext,
    ProjectorOn,
)
from advisor.probe.sampler import HOST

_SHARED: Final = "Meta("
"""One buffer over several devices, of which the log does not say how much lies where
(ggml-backend-meta.cpp: -sm tensor)."""
_MOST: Final = 10_000
"""Buffers that are kept: no run has nearly as many."""
_PARTS: Final[Mapping[BufferKind, str]] = {
    "model": "weights",
    "context": "context",
    "state": "context",
    "compute": "compute",
    "output": "output",
    "projector": "projector",
}


class Buffers:
    """The main model's buffers, those of what drafts, and the projector's.

    llama-bench makes a context for each test, one after the other (llama-bench.cpp:main): of those,
    every place counts the one that took most there.
    """

    def __init__(self, model: Iterable[BufferSize] = ()) -> None:
        self.model = list(model)
        """Its weights, and the context that is there now."""
        self._contexts: list[list[BufferSize]] = []
        """Weights with each context that was there before."""
        self._draft: list[BufferSize] = []
        self._projector: list[BufferSize] = []
        self._projector_on = HOST
        self._drafting = False

    def take(self, event: Event) -> None:
        """One event of the log, in its order."""
        if isinstance(event, LoadingDraft):
            self._drafting = True
        elif isinstance(event, NewContext):
            self._renew()
        elif isinstance(event, ProjectorOn):
            self._projector_on = event.place
        elif isinstance(event, BufferSize):
            if event.kind == "projector":
                wanted = self._projector
            else:
                wanted = self._draft if self._drafting else self.model
            if len(wanted) < _MOST:
                wanted.append(event)

    def _renew(self) -> None:
        weights = [b for b in self.model if b.kind == "model"]
        if not self._drafting and len(weights) < len(self.model) and len(self._contexts) < _MOST:
            self._contexts.append(self.model)
            self.model = weights

    @property
    def pinned(self) -> int:
        """Bytes of RAM that llama.cpp shares with GPUs on purpose."""
        every = ((*model, *self._draft) for model in (*self._contexts, self.model))
        return max(sum(b.size for b in some if b.place.endswith("_Host")) for some in every)

    @property
    def mapped(self) -> int:
        """Bytes of weights that are used where they lie in the model's file."""
        return sum(b.size for b in loaded(self.model) if b.place.endswith("_Mapped"))

    def by_place(self, devices: Sequence[str]) -> dict[str, dict[str, int]]:
        """Bytes by place (``"host"`` for all that is no device) and part."""
        sums: dict[str, dict[str, int]] = {}
        for model in (*self._contexts, self.model):
            for place, parts in _summed(model, devices).items():
                if sum(parts.values()) > sum(sums.get(place, {}).values()):
                    sums[place] = parts
        for place, parts in _summed(self._draft, devices).items():
            sums.setdefault(place, {})["draft"] = sum(parts.values())
        projector = [replace(b, place=b.place or self._projector_on) for b in self._projector[:1]]
        # Its buffer is announced anew whenever its size changes: the last one counts.
        projector += list({b.place: b for b in self._projector[1:]}.values())
        for place, parts in _summed(projector, devices).items():
            sums.setdefault(place, {}).update(parts)
        return sums


def _summed(buffers: Sequence[BufferSize], devices: Sequence[str]) -> dict[str, dict[str, int]]:
    sums: dict[str, dict[str, int]] = {}
    seen: set[str] = set()
    for buffer in loaded(buffers):
        if buffer.place.startswith(_SHARED):
            continue
        place = buffer.place if buffer.place in devices else HOST
        parts = sums.setdefault(place, {})
        part = _PARTS[buffer.kind]
        # A compute buffer is announced anew whenever its size changes: the last one counts.
        again = part == "compute" and buffer.place in seen
        parts[part] = buffer.size if again else parts.get(part, 0) + buffer.size
        if part == "compute":
            seen.add(buffer.place)
    return sums


def loaded(buffers: Sequence[BufferSize]) -> list[BufferSize]:
    """Buffers less the mapped file where weights were copied out of it, which then count once."""
    copied = sum(b.size for b in buffers if b.kind == "model" and "REPACK" in b.place)
    adjusted: list[BufferSize] = []
    for buffer in buffers:
        if buffer.kind == "model" and buffer.place.endswith("_Mapped") and copied:
            # The mapped range spans the whole file; what was copied is no longer read there.
            left = max(0, buffer.size - copied)
            copied = max(0, copied - buffer.size)
            adjusted.append(BufferSize("model", buffer.place, left))
        else:
            adjusted.append(buffer)
    return adjusted
