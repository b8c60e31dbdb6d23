"""Which NVIDIA cards CUDA shows to programs: CUDA_VISIBLE_DEVICES, of whoever started this one.

Names, order and what ends the list: CUDA C++ programming guide, "CUDA environment variables".
"""

from collections.abc import Mapping, Sequence
from typing import Final

from advisor.hardware.rig import Device

_VARIABLE: Final = "CUDA_VISIBLE_DEVICES"
_ORDER: Final = "CUDA_DEVICE_ORDER"
_BY_SLOT: Final = "PCI_BUS_ID"
_REASON: Final = f"{_VARIABLE} leaves it out, which whoever started this program has set"


def visible(
    devices: Sequence[Device], environment: Mapping[str, str]
) -> tuple[tuple[Device, ...], tuple[Device, ...]]:
    """Devices that programs started from here see, in CUDA's order, and those that they do not.

    Numbers count the fastest card first unless they count by slot: of unlike cards they then say
    nothing, and all stay, as with slices of a card (MIG).
    """
    value = environment.get(_VARIABLE)
    cards = [device for device in devices if device.backend == "cuda"]
    if value is None or not cards or any(card.mig for card in cards):
        return tuple(devices), ()
    alike = len({card.name for card in cards}) == 1
    shown: list[Device] = []
    for name in (part.strip() for part in value.split(",")):
        if name.isdigit():
            if not alike and environment.get(_ORDER) != _BY_SLOT:
                return tuple(devices), ()
            found = cards[int(name) : int(name) + 1]
        else:
            found = [card for card in cards if name and (card.uuid or "").startswith(name)]
        # What names no card, or not one alone, hides all that come after it.
        if len(found) != 1 or found[0] in shown:
            break
        shown += found
    others = [device for device in devices if device.backend != "cuda"]
    hidden = tuple(
        card.model_copy(update={"unknown": card.unknown | {"use": _REASON}})
        for card in cards
        if card not in shown
    )
    return (*shown, *others), hidden
