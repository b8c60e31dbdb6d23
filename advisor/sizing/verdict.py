"""Does it fit? One answer for plans and for the cells of a matrix."""

from collections.abc import Sequence
from typing import NamedTuple

from advisor.sizing.allocation import Allocation, Room
from advisor.sizing.placement import Placement
from advisor.sizing.plan import Verdict


class Judgement(NamedTuple):
    """Whether it fits, and the smallest headroom in bytes over the devices in use.

    Without devices in use the host's headroom stands for it. None is unknown.
    """

    fits: bool | None
    headroom: int | None
    verdict: Verdict


_UNKNOWN = Judgement(None, None, "unknown")


def judge(
    left: Sequence[int | None], used: Sequence[bool], placement: Placement, margin: int
) -> Judgement:
    """Judge by the bytes ``left`` on every device and, last, on the host.

    ``used``: whether anything lies on each device; the first takes copies of what a batch needs
    from RAM even where it holds no layer. Unknown RAM beside
    devices that hold everything is no obstacle; it is one where RAM has to hold a part.
    """
    host = left[-1]
    on_device = placement.on_device
    smallest = None if on_device else host
    for value, holds in zip(left, used, strict=False):
        if holds and value is None and on_device:
            return _UNKNOWN
        # A run in RAM is judged by the RAM that is left, and by devices only where they lack room.
        if holds and value is not None and (on_device or value < 0):
            smallest = value if smallest is None else min(smallest, value)
    if smallest is None:
        return _UNKNOWN
    if smallest < 0:
        return Judgement(False, smallest, "no")
    # With cards in the rig, a run that lies wholly in RAM does not fit them either.
    offloads = placement.offloads and len(left) > 1
    if host is None:
        if offloads and on_device:
            return Judgement(None, smallest, "unknown")
    elif host < 0:
        return Judgement(False, smallest if on_device else host, "no")
    word: Verdict = "offload" if offloads else "tight" if smallest < margin else "fits"
    return Judgement(True, smallest, word)


def headrooms(allocation: Allocation, space: Room) -> list[int | None]:
    """Bytes left on every device and, last, on the host; None where something is unknown.

    On unified memory the device's part is taken from the host's as well.
    """
    totals = [allocation.device_total(device) for device in range(len(space.free))]
    return left_of(totals, allocation.host_total, space)


def left_of(totals: Sequence[int | None], host: int | None, space: Room) -> list[int | None]:
    """The same by the bytes of everything on every device, and on the host."""
    left: list[int | None] = []
    shared: int | None = 0
    for device, (free, total) in enumerate(zip(space.free, totals, strict=True)):
        used = None if total is None else total + (space.driver[device] or 0) * (total > 0)
        left.append(None if used is None or free is None else free - used)
        if space.unified[device] and shared is not None:
            shared = None if used is None else shared + used
    if host is None or space.host is None or shared is None:
        left.append(None)
    else:
        left.append(space.host - host - shared)
    return left


def judged(allocation: Allocation, space: Room, margin: int) -> Judgement:
    """Judge an allocation on a rig."""
    used = [allocation.in_use(device) for device in range(len(space.free))]
    return judge(headrooms(allocation, space), used, allocation.placement, margin)
