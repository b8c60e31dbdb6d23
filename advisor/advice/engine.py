"""How the engine is asked for advice, what probes taught about a rig, and every answer so far."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final, TypeVar, cast

from advisor.advice.layers import Layers
from advisor.advice.usage import Usage
from advisor.advice.variants import Variant
from advisor.sizing.calibration import Calibration
from advisor.sizing.settings import RunSettings

T = TypeVar("T")

_REMEMBERED: Final = 200_000
"""Answers that are kept, some hundred bytes each."""


@dataclass(frozen=True)
class MeasuredRun:
    """What a probe measured on the rig in question. Speeds in tokens per second."""

    model_id: str
    file_type: str
    kv: str
    decode_tps: float
    """By llama-bench where ``served`` is false."""
    prefill_tps: float | None
    device_watts: float | None
    """Of all cards together while tokens were made."""
    source: str
    """``"probe of 2026-11-23 14:05"``."""
    served: bool = True
    """Measured with llama-server, which also chooses each token."""

    def of(self, variant: Variant) -> bool:
        """Whether this variant was run."""
        model = variant.model
        return (self.model_id.lower(), self.file_type, self.kv) == (
            model.id.lower(),
            model.file_type,
            variant.kv,
        )


Lengths = tuple[int, int, int, Decimal]
"""Of a usage, all that sizes and speeds depend on."""


def lengths(usage: Usage) -> Lengths:
    """Context, prompt, answer and the share of the prompt that repeats."""
    return usage.context, usage.prompt_tokens, usage.output_tokens, usage.cached_share


class Engine:
    """How the engine is asked: settings to start from, and what probes taught about this rig.

    Remembers every answer, so that a usage that differs in volume, prices or rules alone costs
    nothing to time again.
    """

    def __init__(
        self,
        settings: RunSettings,
        calibration: Calibration | None = None,
        measured: Sequence[MeasuredRun] = (),
    ) -> None:
        self.settings, self.calibration, self.measured = settings, calibration, tuple(measured)
        self.buffers: dict[tuple[str, str], int | None] = {}
        """Compute buffer of one card by model and cache type, for rough answers; None is refused
        by llama.cpp."""
        self.loads: dict[tuple[object, ...], Layers | None] = {}
        """Layers to place by variant, context and backend, likewise."""
        self.known: dict[tuple[object, ...], object] = {}
        self._there: Engine | None = None
        self._cards: dict[int, Engine] = {}

    def elsewhere(self) -> "Engine":
        """For another rig: nothing was measured there."""
        if self.calibration is None and not self.measured:
            return self
        if self._there is None:
            self._there = Engine(self.settings)
            self._there.buffers, self._there.loads = self.buffers, self.loads
        return self._there

    def of_one_card(self, place: int) -> "Engine":
        """For a server on one card of this rig, by its place.

        What was measured on the whole rig does not hold there, its calibration does.
        """
        found, drivers = self.calibration, self.calibration and self.calibration.driver_bytes
        if not self.measured and drivers is None:
            return self
        if place not in self._cards:
            if found is not None and drivers is not None:
                found = replace(found, driver_bytes=drivers[place : place + 1])
            self._cards[place] = Engine(self.settings, found)
            self._cards[place].buffers, self._cards[place].loads = self.buffers, self.loads
        return self._cards[place]

    def once(self, key: tuple[object, ...], work: "Callable[[], T]") -> T:
        """``work``'s answer, worked out the first time that ``key`` is asked for."""
        if key not in self.known:
            if len(self.known) >= _REMEMBERED:
                self.known.clear()
            self.known[key] = work()
        return cast("T", self.known[key])
