"""Where a figure comes from: the three rungs of trust, and a figure that carries its own."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class Basis(StrEnum):
    """The rung a figure stands on. Higher rungs replace lower ones on screen, never silently."""

    COMPUTED = "computed"
    """Our sizing engine."""
    DRY_RUN = "dry-run"
    """llama.cpp's own accounting of the same run, no weights loaded."""
    MEASURED = "measured"
    """A probe, or a sensor."""

    @property
    def rank(self) -> int:
        """0 for computed, 1 for dry-run, 2 for measured."""
        return list(Basis).index(self)


class Term(BaseModel):
    """One named input or part of a figure, with its unit and source."""

    model_config = ConfigDict(frozen=True)

    name: str
    value: float | int | str | None
    unit: str = ""
    source: str = ""
    """file:function of llama.cpp, a datasheet, a paper, or the sensor it was read from."""


class Explanation(BaseModel):
    """What a person sees when a figure is opened."""

    model_config = ConfigDict(frozen=True)

    title: str
    formula: str
    """The formula with the numbers put in."""
    terms: tuple[Term, ...] = ()
    basis: Basis = Basis.COMPUTED
    notes: tuple[str, ...] = ()


class Range(BaseModel):
    """low ≤ mid ≤ high: where a prediction is expected to lie four times out of five."""

    model_config = ConfigDict(frozen=True)

    low: float
    mid: float
    high: float

    @classmethod
    def exactly(cls, value: float) -> "Range":
        """A measured value has no spread."""
        return cls(low=value, mid=value, high=value)
