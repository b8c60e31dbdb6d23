"""Past probes of this machine that calibrate what is worked out for it from now on."""

from typing import Final

from advisor.errors import ProbeError
from advisor.hardware.rig import Rig
from advisor.probe import store
from advisor.probe.calibrate import MOST_PROBES, disturbed, usable
from advisor.probe.result import ProbeResult

_MOST_READ: Final = 40
"""So many of the newest are looked through: each is a file of about 100 KB."""


def teaching(rig: Rig) -> tuple[ProbeResult, ...]:
    """Those that ``learn`` would choose among all that are kept, newest first. Reads files."""
    found: list[ProbeResult] = []
    for identity in store.identities()[:_MOST_READ]:
        try:
            found += usable(rig, [store.load(identity)])
        except ProbeError:  # damaged, or deleted meanwhile
            continue
        if sum(not disturbed(result) for result in found) == MOST_PROBES:
            break
    return tuple(usable(rig, found)[:MOST_PROBES])
