"""Replay memory events on arenas; blocks of a model that were left out are replayed from one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from advisor.sizing.compute.allocator import FREE, Event

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
        end = offset + size
        for i, start in enumerate(offsets):
            if start + sizes[i] == offset:
                sizes[i] += size
                if i + 1 < len(offsets) and start + sizes[i] == offsets[i + 1]:
                    sizes[i] += sizes[i + 1]
                    del sizes[i + 1], offsets[i + 1]
                return
            if end == start:
                offsets[i] = offset
                sizes[i] += size
                if i and offsets[i - 1] + sizes[i - 1] == offset:
                    sizes[i - 1] += sizes[i]
                    del sizes[i], offsets[i]
                return
        # Holes of no bytes can lie inside others, so the list is searched to its end first.
        position = 0
        while position < len(offsets) and offsets[position] < offset:
            position += 1
        offsets.insert(position, offset)
        sizes.insert(position, size)


@dataclass(frozen=True, slots=True)
class Repetition:
    """Events ``start`` to ``end`` happen ``extra`` more times; before lies their like, twice."""

    earlier: int
    """Where the repetition before the one before begins."""
    previous: int
    """Where the repetition before begins."""
    start: int
    end: int
    extra: int
    waiting: dict[int, tuple[int, ...]]
    """Constants of a repetition that have memory from the start → those of the left-out ones."""

    def holds(self, events: Sequence[Event]) -> bool:
        """Whether it does what the one before did: whether what was left out is like it."""
        once, before = events[self.start : self.end], events[self.previous : self.start]
        earlier = events[self.earlier : self.previous]
        return _alike(once, before, earlier, tuple(self.waiting))


def _made(events: Sequence[Event]) -> dict[int, int]:
    """Memory block → its place among those taken here."""
    taken = [block for _, block, size in events if size >= 0]
    return {block: i for i, block in enumerate(taken)}


def _carried(events: Sequence[Event]) -> dict[int, int]:
    """Memory block → how many more are taken after it in these events."""
    made = _made(events)
    return {block: len(made) - place for block, place in made.items()}


def _alike(
    once: Sequence[Event],
    before: Sequence[Event],
    earlier: Sequence[Event],
    waiting: Sequence[int],
) -> bool:
    """Whether a repetition does what the one before did.

    A block taken inside must be used at the same places. What one carries over from the other must
    be what that carried over from the one still earlier; what waited for it has its counterpart
    further back; everything else must be the very same.
    """
    if len(once) != len(before):
        return False
    own, own_before = _made(once), _made(before)
    carried, carried_before = _carried(before), _carried(earlier)
    for (arena, block, size), (arena_, block_, size_) in zip(once, before, strict=True):
        if arena != arena_ or size != size_:
            return False
        if own.get(block) != own_before.get(block_):
            return False
        if block in own or block in waiting:
            continue
        if block in carried:
            if carried[block] != carried_before.get(block_):
                return False
        elif block != block_:
            return False
    return True


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
            if size >= 0:
                at[block] = (arenas[arena].allocate(size), size)
            elif size == FREE:
                arenas[arena].release(*at.pop(block))
            else:
                offset, whole = at[block]
                at[block] = (offset, whole + size)
                arenas[arena].release(offset + whole + size, -size)

    def repeat(self, events: Sequence[Event], repetition: Repetition) -> None:
        """Replay the left-out repetitions, which ``holds`` must have found alike."""
        before = events[repetition.previous : repetition.start]
        once = events[repetition.start : repetition.end]
        waiting = repetition.waiting
        # Every round makes blocks under the names of ``once``; what was there moves to the names
        # of ``before``, which the events of ``once`` read.
        names = list(zip(_made(before), _made(once), strict=True))
        seen: dict[tuple[object, ...], int] = {}
        done, left = 0, repetition.extra
        while left:
            for older, newer in names:
                moved = self._at.pop(newer, None)
                if moved is None:
                    self._at.pop(older, None)
                else:
                    self._at[older] = moved
            self.run([(a, waiting[b][done] if b in waiting else b, size) for a, b, size in once])
            done += 1
            left -= 1
            if waiting:
                continue
            state = (
                *(arena.state for arena in self._arenas),
                *(self._at.get(newer) for _, newer in names),
            )
            if state in seen:
                left %= done - seen[state]
                seen = {}
            else:
                seen[state] = done


def peaks(
    events: Sequence[Event], repetitions: Sequence[Repetition], n_arenas: int
) -> tuple[int, ...]:
    """Bytes per arena. What should repeat must do so (``Repetition.holds``)."""
    replay = Replay(n_arenas)
    done = 0
    for repetition in repetitions:
        replay.run(events[done : repetition.end])
        done = repetition.end
        replay.repeat(events, repetition)
    replay.run(events[done:])
    return replay.peaks
