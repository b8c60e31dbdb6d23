"""What earlier questions left behind, so that a slightly different one is answered at once.

Sizes and speeds depend on a usage's lengths alone, builds on prices and limits, variants on the
accepted loss. Each is kept under what it depends on; nothing in here changes an answer.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Final, TypeVar, cast

from advisor.advice.engine import Engine, MeasuredRun
from advisor.advice.hardware_prices import PriceBook
from advisor.advice.shelf import Shelf, shelf_for
from advisor.advice.usage import Limits, Usage
from advisor.advice.variants import Variant, variants
from advisor.hardware.rig import Rig
from advisor.llm.catalogue import CatalogueEntry
from advisor.llm.model import Model
from advisor.sizing.calibration import Calibration
from advisor.sizing.settings import RunSettings

T = TypeVar("T")

_FEW: Final = 8
"""Engines, shelves and lists of variants that are kept."""


class Workings:
    """Belongs to whoever asks repeatedly; may be shared by threads, which only waste work."""

    def __init__(self) -> None:
        self._engines: list[Engine] = []
        self._known: dict[tuple[object, ...], object] = {}
        self._shelves: list[tuple[tuple[Rig, Limits, PriceBook, dt.date], Shelf]] = []
        self._variants: list[tuple[tuple[object, ...], tuple[Variant, ...]]] = []

    def engine(
        self,
        settings: RunSettings,
        calibration: Calibration | None = None,
        measured: Sequence[MeasuredRun] = (),
    ) -> Engine:
        """The engine for these settings and measurements, with what it remembers."""
        asked = (settings, calibration, tuple(measured))
        for kept in self._engines:
            if (kept.settings, kept.calibration, kept.measured) == asked:
                return kept
        made = Engine(*asked)
        self._engines = [made, *self._engines[: _FEW - 1]]
        return made

    def once(self, key: tuple[object, ...], work: Callable[[], T]) -> T:
        """``work``'s answer, worked out the first time that ``key`` is asked for."""
        if key not in self._known:
            self._known[key] = work()
        return cast("T", self._known[key])

    def knows(self, key: tuple[object, ...]) -> bool:
        """Whether ``once`` has its answer already."""
        return key in self._known

    def shelf(self, rig: Rig, usage: Usage, book: PriceBook, today: dt.date) -> Shelf:
        """Every build beside ``rig``."""
        key = (rig, usage.limits, book, today)
        for known, shelf in self._shelves:
            if known == key:
                return shelf
        made = shelf_for(rig, usage, book, today)
        self._shelves = [(key, made), *self._shelves[: _FEW - 1]]
        return made

    def variants(
        self, models: Sequence[CatalogueEntry | Model], usage: Usage, base: RunSettings
    ) -> tuple[Variant, ...]:
        """Every acceptable variant of the models."""
        # The objects themselves are compared: they are never changed once they are made.
        key = (usage.max_loss, base, *map(id, models))
        for known, found in self._variants:
            if known == key:
                return found
        made = variants(models, usage, base)
        self._variants = [(key, made), *self._variants[: _FEW - 1]]
        return made
