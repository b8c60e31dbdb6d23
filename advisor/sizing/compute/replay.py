"""Replay memory events on arenas; blocks of a model that were left out are replayed from one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from advisor.sizing.compute.allocator import Event

_ENDLESS: Final = 1 << 62


class Arena:
    """One buffer in the making: best fit among the holes, the end as last resort.

    Addresses follow ggml-alloc.c:ggml_dyn_tallocr_alloc and _free_bytes. Devices have no largest
    buffer size that matters here, so there is one chunk.
    """

    __slots__ = ("_offsets", "_sizes", "peak")

    def __init__(self) -> None:
        self.peak = 0
        self._offsets = [0]
        self._sizes = [_ENDLESS]

    @property
    def state(self) -> tuple[int, ...]:
        """The holes: two arenas with equal holes go on alike."""
        return (*self._offsets, *self._sizes)

    def allocate(self, size: int) -> int:
        """Take ``size`` bytes (a multiple of the alignment); returns the offset."""
        sizes = self._sizes
        best, best_size = len(sizes) - 1, _ENDLESS
        for i in range(best):
            if size <= sizes[i] <= best_size:
                best, best_size = i, sizes[i]
        offset = self._offsets[best]
        self._offsets[best] += size
        sizes[best] -= size
        if not sizes[best]:
            del sizes[best], self._offsets[best]
        self.peak = max(self.peak, offset + size)
        return offset

    def release(self, offset: int, size: int) -> None:
        """Give bytes back, joined with the holes beside them."""
        offsets, sizes = self._offsets, self._sizes
        position = len(offsets)
        for i, start in enumerate(offsets):
            if start + sizes[i] == offset:
                sizes[i] += size
                if i + 1 < len(offsets) and start + sizes[i] == offsets[i + 1]:
                    sizes[i] += sizes[i + 1]
                    del sizes[i + 1], offsets[i + 1]
                return
            if offset + size == start:
                offsets[i] = offset
                sizes[i] += size
                return
            if start > offset:
                position = i
                break
        offsets.insert(position, offset)
        sizes.insert(position, size)


@dataclass(frozen=True, slots=True)
class Repetition:
    """Events ``start`` to ``end`` happen ``extra`` more times; before them lies their like."""

    previous: int
    """Where the repetition before begins."""
    start: int
    end: int
    extra: int
    waiting: dict[int, tuple[int, ...]]
    """Constants of a repetition that have memory from the start → those of the left-out ones."""


def _made(events: Sequence[Event]) -> dict[int, int]:
    """Memory block → its place among those taken here."""
    return {block: i for i, block in enumerate(b for _, b, size in events if size > 0)}


def _normal(
    events: Sequence[Event], before: Sequence[Event], waiting: dict[int, tuple[int, ...]]
) -> list[tuple[int, str, int, int]]:
    """Events with blocks named by their origin, so that repetitions compare equal."""
    own, carried = _made(events), _made(before)
    named: list[tuple[int, str, int, int]] = []
    for arena, block, size in events:
        if block in own:
            named.append((arena, "own", own[block], size))
        elif block in carried:
            named.append((arena, "carried", carried[block], size))
        elif block in waiting:
            named.append((arena, "waiting", 0, size))
        else:
            named.append((arena, "global", block, size))
    return named


class Replay:
    """Arenas under a list of events with repetitions."""

    def __init__(self, n_arenas: int) -> None:
        self._arenas = [Arena() for _ in range(n_arenas)]
        self._at: dict[int, tuple[int, int]] = {}

    @property
    def peaks(self) -> tuple[int, ...]:
        """Bytes per arena."""
        return tuple(arena.peak for arena in self._arenas)

    def run(self, events: Sequence[Event]) -> None:
        """Replay events once."""
        arenas, at = self._arenas, self._at
        for arena, block, size in events:
            if size > 0:
                at[block] = (arenas[arena].allocate(size), size)
            elif size == 0:
                if block in at:
                    arenas[arena].release(*at.pop(block))
            else:
                offset, whole = at[block]
                at[block] = (offset, whole + size)
                arenas[arena].release(offset + whole + size, -size)

    def repeat(self, events: Sequence[Event], repetition: Repetition) -> bool:
        """Replay the left-out repetitions; False if the kept ones are not alike."""
        before = events[repetition.previous : repetition.start]
        once = events[repetition.start : repetition.end]
        first = events[:0]
        waiting = repetition.waiting
        own, carried = _made(once), _made(before)
        if _normal(once, before, waiting) != _normal(before, first, waiting):
            # What the first of the two carries over has no counterpart to compare with.
            if not _alike(once, before, waiting):
                return False
        order_own = sorted(own, key=own.__getitem__)
        order_carried = sorted(carried, key=carried.__getitem__)
        # Every round makes blocks under the names of ``once``; what was there moves to the names
        # of ``before``, which the events of ``once`` read.
        seen: dict[tuple[object, ...], int] = {}
        round_, left = 0, repetition.extra
        while left:
            for older, newer in zip(order_carried, order_own, strict=True):
                moved = self._at.pop(newer, None)
                if moved is not None:
                    self._at[older] = moved
                else:
                    self._at.pop(older, None)
            self.run([
                (arena, waiting[block][round_] if block in waiting else block, size)
                for arena, block, size in once
            ])  # fmt: skip
            left -= 1
            round_ += 1
            if waiting:
                continue
            state = (
                *(arena.state for arena in self._arenas),
                *(self._at.get(block) for block in order_own),
            )
            if state in seen:
                left %= round_ - seen[state]
                seen = {}
            else:
                seen[state] = round_
        return True


def _alike(
    once: Sequence[Event], before: Sequence[Event], waiting: dict[int, tuple[int, ...]]
) -> bool:
    """Whether two repetitions do the same, apart from what they carry over."""
    a, b = _normal(once, before, waiting), _normal(before, (), waiting)
    return len(a) == len(b) and all(
        x[0] == y[0] and x[3] == y[3] and (x[1:3] == y[1:3] or "carried" in x[1])
        for x, y in zip(a, b, strict=True)
    )


def peaks(
    events: Sequence[Event], repetitions: Sequence[Repetition], n_arenas: int
) -> tuple[int, ...] | None:
    """Bytes per arena; None if what should repeat does not."""
    replay = Replay(n_arenas)
    done = 0
    for repetition in repetitions:
        replay.run(events[done : repetition.end])
        done = repetition.end
        if not replay.repeat(events, repetition):
            return None
    replay.run(events[done:])
    return replay.peaks
