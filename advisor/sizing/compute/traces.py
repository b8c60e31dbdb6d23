"""The memory events of a graph, kept for every context and placement that it is the graph of."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from advisor.sizing import memory
from advisor.sizing.compute.allocator import Event
from advisor.sizing.compute.extents import Extent, Form, Region, value_at
from advisor.sizing.compute.fusing import Fusing
from advisor.sizing.compute.kinds import ATTEMPTS, Chosen, chosen, everything
from advisor.sizing.compute.layout import Selection
from advisor.sizing.compute.question import Question, Recipe
from advisor.sizing.compute.recall import recalled
from advisor.sizing.compute.replay import Repetition, peaks
from advisor.sizing.compute.scheduler import Scheduler

_MOST_BLOCKS: Final = 192
"""Blocks that are built one by one. Of published models the deepest whose blocks all differ has 162
(Llama 3.1 Nemotron Ultra 253B); a header may give 512 (llama-hparams.h:LLAMA_MAX_LAYERS), which
would take seconds."""
_MOST_CONNECTED: Final = 96
"""The same where every block has several streams (DeepSeek V4 Pro: 61 blocks)."""

_MOST_OF: Final = 0.7
"""Share of the blocks from which on another attempt that may fail costs more than it saves."""

CONTRADICTIONS = (ArithmeticError, LookupError, ValueError)
"""What building a graph raises where a header's keys and tensors do not belong together."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Constants of a pattern that have memory from the start, and those of its left-out blocks."""

    pattern: int
    blocks: tuple[int, ...]
    """Their memory blocks."""
    others: int
    """Where the events of one left-out repetition's constants begin, one for each of the above."""


@dataclass(frozen=True, slots=True)
class _Trace:
    """Memory events of one graph, for every context of its region."""

    region: Region
    events: tuple[Event, ...]
    varying: tuple[tuple[int, Form], ...]
    """Events whose size depends on the context."""
    repetitions: tuple[Repetition, ...]
    waiting: tuple[_Waiting, ...]
    """By event."""
    n_arenas: int = 0
    complete: bool = True
    """Whether the blocks that were built stand for all."""
    grows: bool = False
    """Whether no choice of blocks could stand for all."""
    broken: bool = False
    """Whether keys and tensors do not belong together, so that llama.cpp would not load them, or
    there are more blocks than any model has."""

    def sizes(self, which: Chosen, units: Sequence[int]) -> tuple[int, ...]:
        """Bytes per arena, with as many repetitions as the choice leaves out."""
        extras = [pattern.extra for pattern in which.selection.patterns]
        events = list(self.events)
        for place, form in self.varying:
            arena, block, _ = events[place]
            events[place] = (arena, block, int(value_at(form, units)))
        names: dict[int, tuple[int, ...]] = {}
        added, free = 0, len(events)
        for constants in self.waiting:
            count, extra = len(constants.blocks), extras[constants.pattern]
            start = constants.others + added
            once = events[start : start + count]
            new = range(free, free + count * extra)
            events[start : start + count] = [
                (arena, name, size)
                for name, (arena, _, size) in zip(new, once * extra, strict=True)
            ]
            names |= {block: tuple(new[i::count]) for i, block in enumerate(constants.blocks)}
            added, free = added + count * (extra - 1), free + count * extra
        repetitions = [
            replace(
                r,
                earlier=r.earlier + added,
                previous=r.previous + added,
                start=r.start + added,
                end=r.end + added,
                extra=extra,
                waiting=names,
            )
            for r, extra in zip(self.repetitions, extras, strict=True)
        ]
        return peaks(events, repetitions, self.n_arenas)


def _simulate(question: Question, recipe: Recipe, selection: Selection, region: Region) -> _Trace:
    """The memory events of a selection of blocks."""
    builder = Fusing(question, recipe, selection, region.extents(memory.PADDING)).resolve()
    marked = {id(node) for node in builder.marks.values()}
    for leaf, other, _ in builder.waiting:
        marked |= {id(leaf), id(other)}
    scheduler = Scheduler(question.rules, n_copies=question.n_copies)
    made = scheduler.trace(
        builder.nodes,
        builder.all_leafs(),
        frozenset(marked),
        [(leaf, other) for leaf, other, _ in builder.waiting],
    )
    if selection.patterns and question.n_copies > 1 and scheduler.copies_grow:
        # Copies between splits are never given back, so every block counts by itself.
        return _Trace(region, (), (), (), (), complete=False, grows=True)
    taken = {block: place for place, (_, block, size) in enumerate(made.events) if size >= 0}
    waiting: list[_Waiting] = []
    for at in range(len(selection.patterns)):
        # In the order of their memory.
        pairs = sorted(
            (taken[made.blocks[id(other)]], made.blocks[id(leaf)])
            for leaf, other, il in builder.waiting
            if selection.pattern_of(il) == at
        )
        if pairs:
            waiting.append(_Waiting(at, tuple(block for _, block in pairs), pairs[0][0]))
    names = {block: () for constants in waiting for block in constants.blocks}
    repetitions: list[Repetition] = []
    for pattern in selection.patterns:
        earlier = 2 * pattern.previous - pattern.kept
        bounds = (earlier, pattern.previous, pattern.kept, pattern.end)
        places = [made.marks[id(builder.marks[il])] for il in bounds if il in builder.marks]
        # The first block of a graph may begin with it.
        earlier, previous, start, end = [0, *places][-4:]
        repetition = Repetition(earlier, previous, start, end, 0, names)
        if not repetition.holds(made.events):
            return _Trace(region, (), (), (), (), complete=False)
        repetitions.append(repetition)
    return _Trace(
        region=region,
        events=tuple((arena, block, int.__int__(size)) for arena, block, size in made.events),
        varying=tuple(
            (place, size.form)
            for place, (_, _, size) in enumerate(made.events)
            if isinstance(size, Extent)
        ),
        repetitions=tuple(repetitions),
        waiting=tuple(sorted(waiting, key=lambda constants: constants.others)),
        n_arenas=question.backends.cpu + 1,
    )


@lru_cache(maxsize=512)
def _known(key: tuple[object, ...]) -> list[_Trace]:
    """The traces of a graph so far, by region; filled by ``_trace_of``."""
    del key
    return []


@lru_cache(maxsize=512)
def _first_attempt(layout: int, n_copies: int, n_devices: int) -> list[int]:
    """The attempt to begin with: one that failed for a model fails for most of its placements."""
    del layout, n_copies, n_devices
    return [0]


def _most_built(recipe: Recipe) -> int:
    return _MOST_CONNECTED if recipe.hp.n_hyper_connections else _MOST_BLOCKS


def _trace_of(question: Question, recipe: Recipe, which: Chosen, units: tuple[int, ...]) -> _Trace:
    known = _known(which.key)
    made = next((trace for trace in known if trace.region.holds(units)), None)
    if made is None:
        region = Region(units)
        broken = _Trace(region, (), (), (), (), complete=False, broken=True)
        try:
            fits = len(which.selection.blocks) <= _most_built(recipe)
            made = _simulate(question, recipe, which.selection, region) if fits else broken
        except CONTRADICTIONS:
            made = broken
        known.append(made)
    return made


@lru_cache(maxsize=16384)
def measure(question: Question, recipe: Recipe, units: tuple[int, ...]) -> tuple[int, ...] | None:
    """Bytes per device in use and, last, on the host; None where a header contradicts itself
    or is deeper than any model.

    ``units``: see ``question_of``.
    """
    return recalled(question, recipe, units, _measured)


def _measured(question: Question, recipe: Recipe, units: tuple[int, ...]) -> tuple[int, ...] | None:
    whole = recipe.hp.n_layer <= _most_built(recipe)
    first = _first_attempt(recipe.layout.key, question.n_copies, question.backends.cpu)
    for attempt in range(first[0], ATTEMPTS):
        which = chosen(question, recipe, attempt)
        if which is None or (
            attempt and whole and len(which.selection.blocks) > _MOST_OF * recipe.hp.n_layer
        ):
            break
        made = _trace_of(question, recipe, which, units)
        if made.grows:
            # So it does wherever the borders of this many devices lie.
            first[0] = ATTEMPTS if whole else 0
            break
        if made.broken:
            return None
        if made.complete:
            return made.sizes(which, units)
        first[0] = min(attempt + 1, ATTEMPTS if whole else ATTEMPTS - 1)
    which = everything(question, recipe)
    made = _trace_of(question, recipe, which, units)
    return None if made.broken else made.sizes(which, units)
