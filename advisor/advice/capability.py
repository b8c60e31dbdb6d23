"""What a rig can run: the catalogue against the rig at one context, the largest first.

Among models of like size the newer comes first; only suggestions go by how able a model is.
"""

import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import log2

from advisor.errors import RigAdvisorError
from advisor.hardware.rig import Rig
from advisor.llm.catalogue import CatalogueEntry
from advisor.llm.intelligence import standing
from advisor.sizing.matrix import matrix
from advisor.sizing.plan import Verdict
from advisor.sizing.settings import RunSettings


@dataclass(frozen=True, slots=True)
class Runs:
    """One model of the catalogue on a rig, in the file type that its entry suggests."""

    entry: CatalogueEntry
    file_type: str
    ctx: int
    verdict: Verdict
    headroom: int | None
    n_params: int
    dense: bool
    """Every parameter is used for every token."""


@dataclass(frozen=True, slots=True)
class Capability:
    """All models that run at all, the largest first."""

    ctx: int
    models: tuple[Runs, ...]

    def suggestions(self, count: int) -> tuple[Runs, ...]:
        """The ablest of each maker that fits wholly, at most ``count``."""
        found: dict[str, Runs] = {}
        for runs in sorted(self.models, key=lambda runs: -standing(runs.entry).index):
            if runs.verdict in {"fits", "tight"}:
                found.setdefault(runs.entry.maker, runs)
        return tuple(found.values())[:count]

    def largest(self, verdicts: tuple[Verdict, ...], *, dense: bool | None = None) -> Runs | None:
        """The largest model with one of these verdicts."""
        for runs in self.models:
            if runs.verdict in verdicts and dense in {None, runs.dense}:
                return runs
        return None


def capability(
    entries: Iterable[CatalogueEntry],
    rig: Rig,
    settings: RunSettings,
    cancelled: Callable[[], bool] = lambda: False,
    arrived: Callable[[int, Capability], None] = lambda _sized, _found: None,
) -> Capability:
    """Size every entry once at the settings' context, or at what it was trained for if shorter.

    Entries that cannot be sized are left out. The newest come first, and ``arrived`` is told how
    many are sized and what runs so far. Ends early, with what it has, when ``cancelled``.
    """
    found: list[Runs] = []
    newest_first = sorted(entries, key=lambda e: e.released or dt.date.min, reverse=True)
    for sized, entry in enumerate(newest_first):
        if cancelled():
            break
        arrived(sized, _ordered(settings.ctx, found))
        try:
            model = entry.model(entry.suggested_file_type)
            trained = model.hp.n_ctx_train if model.hp is not None else 0
            ctx = min(settings.ctx, trained or settings.ctx)
            cell = matrix({model.file_type: model}, rig, settings, (ctx,)).rows[0][0]
        except RigAdvisorError:
            continue
        if cell.verdict in {"fits", "tight", "offload"}:
            active = entry.active_params or model.n_params
            found.append(
                Runs(
                    entry,
                    model.file_type,
                    ctx,
                    cell.verdict,
                    cell.headroom,
                    model.n_params,
                    active > 0.9 * model.n_params,
                )
            )

    return _ordered(settings.ctx, found)


def _ordered(ctx: int, found: Iterable[Runs]) -> Capability:
    def order(runs: Runs) -> tuple[int, str, int]:
        # Two steps per doubling: models within a fifth of each other's size count as alike.
        step = round(2 * log2(runs.n_params))
        released = runs.entry.released.isoformat() if runs.entry.released else ""
        return step, released, -len(runs.entry.name)

    return Capability(ctx, tuple(sorted(found, key=order, reverse=True)))
