"""What several cards send each other for one token, and how much of their link that takes.

Tensor split: two all-reduces of the hidden state per layer (after attention and after the
feed-forward part). Layer split: one hand-over of the hidden state per border, in F32, as many
streams as the model has hyper-connections. Neither depends on the length of the context: caches are
read where they lie.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from advisor.hardware.rig import Device, NetworkLink, Rig
from advisor.llm.hyperparameters import Hyperparameters
from advisor.sizing.speed_data import speed_data

_BRIDGED: Final = 2
"""Cards that a bridge joins; with more, what all of them wait for goes over PCIe."""


@dataclass(frozen=True)
class Traffic:
    """Bytes that each card sends for one token."""

    tensor_split: int
    """BF16 values, ring all-reduce: 2 (n - 1) / n times the size of each of 2 per layer."""
    layer_split: int
    link_gbs: float | None
    """One direction of a card's slowest link to the others; None when it is not known."""
    link: str
    """``"PCIe 4.0 x16"`` or ``"NVLink"``."""

    def share(self, tokens_per_second: float) -> float | None:
        """Part of the link that a tensor split needs at that speed."""
        if self.link_gbs is None:
            return None
        return self.tensor_split * tokens_per_second / (self.link_gbs * 1e9)


def all_reduce_bytes(hp: Hyperparameters, cards: int, *, value_bytes: int = 2) -> int:
    """Bytes that one card of ``cards`` sends per token with a tensor split."""
    if cards < 2:
        return 0
    each = hp.n_embd * value_bytes
    return int(2 * hp.n_layer * each * 2 * (cards - 1) / cards)


def hand_over_bytes(hp: Hyperparameters) -> int:
    """Bytes over one border of a layer split, per token."""
    return max(1, hp.n_hyper_connections) * hp.n_embd * 4


def crossings(rig: Rig, hosts: Sequence[int]) -> list[NetworkLink | None]:
    """Networks that what is computed crosses, one way each; None: not known.

    ``hosts``: of the devices in use, in their order. Everything begins and ends at the first host,
    and two others send each other through it (ggml-rpc.cpp: inputs are set, results are got by the
    client, buffers of two servers are copied by it).
    """
    found: list[NetworkLink | None] = []
    for a, b in pairwise((0, *hosts, 0)):
        if a != b:
            found += [rig.link_to(host) for host in (a, b) if host]
    return found


def pcie_gbs(generation: int, lanes: int) -> float | None:
    """One direction of a PCI Express link, GB/s."""
    lane = speed_data().pcie.gbs_per_lane.get(generation)
    return None if lane is None else lane * lanes


def link_of(device: Device, cards: int = _BRIDGED) -> tuple[float, str] | None:
    """GB/s in one direction between a card and the others, and its name; None: not known.

    ``cards``: that are joined. Links of the board are there; a bridge has to be seen up.
    """
    on_board = device.table_id in speed_data().links_on_board.cards
    bridged = device.nvlink_links and cards <= _BRIDGED
    if device.nvlink_gbs and (on_board or bridged):
        name = "NVLink" if device.vendor == "NVIDIA" else "Infinity Fabric"
        return device.nvlink_gbs / 2, name
    generation = device.pcie.max_generation or device.pcie.generation
    width = device.pcie.max_width or device.pcie.width
    speed = pcie_gbs(generation, width) if generation and width else None
    return None if speed is None else (speed, f"PCIe {generation}.0 x{width}")


def link_name(device: Device) -> str:
    """``" over PCIe 4.0 x16"`` behind a rate between a card and RAM; empty where none is known."""
    generation = device.pcie.max_generation or device.pcie.generation
    width = device.pcie.max_width or device.pcie.width
    known = generation and width and not device.unified
    return f" over PCIe {generation}.0 x{width}" if known else ""


def slowest_link(devices: Sequence[Device]) -> tuple[float, str] | None:
    """The link that everything between these cards waits for; None where one is not known."""
    links = [link_of(device, len(devices)) for device in devices]
    known = [link for link in links if link is not None]
    return min(known) if known and len(known) == len(links) else None


def traffic(hp: Hyperparameters, rig: Rig) -> Traffic:
    """What the cards of a rig would send each other."""
    cards = len(rig.devices)
    link = slowest_link(rig.devices) if cards > 1 else None
    return Traffic(
        tensor_split=all_reduce_bytes(hp, cards),
        layer_split=hand_over_bytes(hp) if cards > 1 else 0,
        link_gbs=None if link is None else link[0],
        link="" if link is None else link[1],
    )
