"""Two probes side by side: the figures that both of them measured. Pure."""

from dataclasses import dataclass
from typing import Literal

from advisor.probe.result import ProbeResult


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of two probes."""

    kind: Literal["peak", "decode", "prefill"]
    shown: float
    other: float
    unit: Literal["B", "tok/s"]
    place: str = ""
    depth: int = 0
    """Tokens in the context; for prefill the prompt's."""

    @property
    def relative(self) -> float:
        """How far the first is from the second, as a share of the second."""
        return self.shown / self.other - 1 if self.other else 0.0


def differences(shown: ProbeResult, other: ProbeResult) -> list[Difference]:
    """Peaks at the same places, then speeds at the same depths."""
    found: list[Difference] = []
    for place in shown.places:
        twin = other.place(place.name)
        if twin is not None and place.peak and twin.peak:
            found.append(Difference("peak", place.peak, twin.peak, "B", place=place.name))
    for point in shown.speeds:
        for twin in other.speeds:
            if point.decode_tps and twin.decode_tps and point.depth == twin.depth:
                found.append(
                    Difference(
                        "decode", point.decode_tps, twin.decode_tps, "tok/s", depth=point.depth
                    )
                )
            if point.prefill_tps and twin.prefill_tps and point.n_prompt == twin.n_prompt:
                found.append(
                    Difference(
                        "prefill",
                        point.prefill_tps,
                        twin.prefill_tps,
                        "tok/s",
                        depth=point.n_prompt,
                    )
                )
    return found
