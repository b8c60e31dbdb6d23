"""Ways out of red cells by what runs beside: the fewest programs to close."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from advisor.hardware.rig import Process, Rig
from advisor.sizing import ways_files as files
from advisor.sizing import ways_out as ways
from advisor.sizing.ways_out import Case, Change
from advisor.units import size as people

_WORTH_CLOSING = 256 << 20
"""Bytes; less is a desktop's own."""
_Running = tuple[int, Process]
"""A device and a program on it."""


def programs(case: Case) -> Iterator[Change]:
    """Close the fewest programs, the largest first; all of them where their sizes are not known."""
    if any(device.memory_used for device in case.rig.devices):
        yield from _fewest(case, None)


def with_programs(case: Case) -> Iterator[Change]:
    """The smallest change that is enough once all programs are closed, and the fewest for it."""
    held = [device.memory_used or 0 for device in case.rig.devices]
    if sum(held) < _WORTH_CLOSING:
        return
    freed = replace(case, rig=_freed(case, [0] * len(held)))
    now = freed.plan({}, longest=True)
    if now is None:
        return
    found = [*ways.kv(freed), *ways.context(freed, now), *files.file_types(freed, by_hand=False)]
    if found:
        yield from _fewest(case, min(found, key=lambda way: way.size))


def _fewest(case: Case, beside: Change | None) -> Iterator[Change]:
    """``beside``: what is changed together with it."""
    sized = sorted(
        (
            (number, process)
            for number, device in enumerate(case.rig.devices)
            for process in device.processes
            if process.memory
        ),
        key=lambda found: -(found[1].memory or 0),
    )
    closed: list[_Running] = []
    for running in sized:
        closed.append(running)
        if found := _closed(case, closed, beside):
            yield _needed(case, closed, beside) or found
            return
    names = sorted({p.name for d in case.rig.devices for p in d.processes})
    held = [device.memory_used or 0 for device in case.rig.devices]
    if found := _without(case, [0] * len(held), names, sum(held), beside):
        yield found


def _needed(case: Case, closed: Sequence[_Running], beside: Change | None) -> Change | None:
    """Without those that may stay, as on another card; None where all have to go."""
    kept, found = list(closed), None
    # The last one made it fit.
    for running in closed[:-1]:
        fewer = [other for other in kept if other is not running]
        if less := _closed(case, fewer, beside):
            kept, found = fewer, less
    return found


def _closed(case: Case, closed: Sequence[_Running], beside: Change | None) -> Change | None:
    used = [device.memory_used or 0 for device in case.rig.devices]
    for number, process in closed:
        used[number] = max(0, used[number] - (process.memory or 0))
    freed = sum(process.memory or 0 for _, process in closed)
    return _without(case, used, [process.name for _, process in closed], freed, beside)


def _without(
    case: Case, used: Sequence[int], names: Sequence[str], freed: int, beside: Change | None
) -> Change | None:
    unique = list(dict.fromkeys(names))
    who = ", ".join(unique[:4]) + (f" and {len(unique) - 4} more" if len(unique) > 4 else "")
    title = f"Close {who}" if who else "Close other programs on the GPU"
    rig = _freed(case, used)
    if beside is None:
        cost = f"Costs nothing; gives back {people(freed)}."
        return case.change("programs", title, cost, 0.0, rig=rig)
    return case.change(
        "programs",
        f"{title}, and {beside.title[0].lower()}{beside.title[1:]}",
        beside.cost,
        beside.size,
        model=case.models[beside.file_type],
        rig=rig,
        fields=beside.fields,
    )


def _freed(case: Case, used: Sequence[int]) -> Rig:
    devices = tuple(
        device.model_copy(update={"memory_used": left})
        for device, left in zip(case.rig.devices, used, strict=True)
    )
    return case.rig.model_copy(update={"devices": devices})
