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
    left: Sequence[int | None], weights: Sequence[int], placement: Placement, margin: int
) -> Judgement:
    """Judge by the bytes ``left`` on every device and, last, on the host.

    ``weights``: bytes of weights per device; a device without any is not in use. Unknown RAM beside
    devices that hold everything is no obstacle; it is one where RAM has to hold a part.
    """
    host = left[-1]
    on_device = placement.on_device
    smallest = None if on_device else host
    if on_device:
        for value, size in zip(left, weights, strict=False):
            if size:
                if value is None:
                    return _UNKNOWN
                if smallest is None or value < smallest:
                    smallest = value
    if smallest is None:
        return _UNKNOWN
    if smallest < 0:
        return Judgement(False, smallest, "no")
    offloads = on_device and placement.offloads
    if host is None:
        if offloads:
            return Judgement(None, smallest, "unknown")
    elif host < 0:
        return Judgement(False, smallest if on_device else host, "no")
    word: Verdict = "offload" if offloads else "tight" if smallest < margin else "fits"
    return Judgement(True, smallest, word)


def headrooms(allocation: Allocation, space: Room) -> list[int | None]:
    """Bytes left on every device and, last, on the host; None where something is unknown.

    On unified memory the device's part is taken from the host's as well.
    """
    left: list[int | None] = []
    shared: int | None = 0
    for device, free in enumerate(space.free):
        total = allocation.device_total(device)
        used = None if total is None else total + (space.driver[device] or 0) * (total > 0)
        left.append(None if used is None or free is None else free - used)
        if space.unified[device] and shared is not None:
            shared = None if used is None else shared + used
    host = allocation.host_total
    if host is None or space.host is None or shared is None:
        left.append(None)
    else:
        left.append(space.host - host - shared)
    return left


def judged(allocation: Allocation, space: Room, margin: int) -> Judgement:
    """Judge an allocation on a rig."""
    left, used = headrooms(allocation, space), allocation.weights.devices
    if allocation.placement.overrides and allocation.context is not None:
        # With every weight in RAM a device still holds its caches.
        used = [max(pair) for pair in zip(used, allocation.context.devices, strict=True)]
    return judge(left, used, allocation.placement, margin)
