"""The shelf: how much RAM each build has for what its devices don't hold."""

import datetime as dt

import pytest

from advisor.advice.builds import builds
from advisor.advice.hardware_prices import PriceBook
from advisor.advice.shelf import shelve
from advisor.advice.usage import Usage, preset
from advisor.hardware.compose import parse_rig
from advisor.sizing.speed_machine import ram_rate
from advisor.units import GIB

CHAT = preset("chat").apply(Usage())


@pytest.mark.parametrize(
    ("words", "gib"),
    [
        # 4 GiB are the system's
        ("RTX 4090 + 64 GB DDR5-6000", 64 - 4),
        ("CPU only 64 GB DDR5-5600", 64 - 4),
        ("Strix Halo 128GB", 128 - 96 - 4),  # the driver's share is the GPU's
    ],
)
def test_what_drivers_leave_of_the_ram_holds_parts_of_models(words: str, gib: int) -> None:
    keep = next(iter(builds(parse_rig(words), CHAT, PriceBook(), dt.date(2026, 11, 23))))
    shelf = shelve([keep])
    assert keep.kind == "keep"
    assert shelf.ram[0] == gib * GIB
    assert shelf.ram_gbs[0] == ram_rate(keep.rig.host)
