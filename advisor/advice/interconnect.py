"""What several cards send each other for one token, and how much of their link that takes.

Tensor split: two all-reduces of the hidden state per layer (after attention and after the
feed-forward part). Layer split: one hand-over of the hidden state per border, in F32, as many
streams as the model has hyper-connections. Neither depends on the length of the context: caches are
read where they lie.
"""

from dataclasses import dataclass
from typing import Final

from advisor.hardware.rig import Rig
from advisor.llm.hyperparameters import Hyperparameters

PCIE_GBS_PER_LANE: Final = {3: 0.985, 4: 1.969, 5: 3.938, 6: 7.563}
"""GB/s in one direction: 8, 16 and 32 GT/s with 128b/130b coding, 64 GT/s with FLIT
(https://hpc-notes.pages.dev/reference/pcie)."""


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


def pcie_gbs(generation: int, lanes: int) -> float | None:
    """One direction of a PCI Express link, GB/s."""
    lane = PCIE_GBS_PER_LANE.get(generation)
    return None if lane is None else lane * lanes


def traffic(hp: Hyperparameters, rig: Rig) -> Traffic:
    """What the cards of a rig would send each other."""
    cards = len(rig.devices)
    links: list[tuple[float, str]] = []
    for device in rig.devices:
        if device.nvlink_gbs and device.nvlink_gbs >= 600:
            links.append((device.nvlink_gbs / 2, "NVLink"))
            continue
        generation = device.pcie.max_generation or device.pcie.generation
        width = device.pcie.max_width or device.pcie.width
        speed = pcie_gbs(generation, width) if generation and width else None
        if speed is not None:
            links.append((speed, f"PCIe {generation}.0 x{width}"))
    known = len(links) == cards and cards > 1
    slowest = min(links) if known else (None, "")
    return Traffic(
        tensor_split=all_reduce_bytes(hp, cards),
        layer_split=hand_over_bytes(hp) if cards > 1 else 0,
        link_gbs=slowest[0],
        link=slowest[1],
    )
