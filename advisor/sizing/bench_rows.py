"""Measured rows that others published (resources/bench.json)."""

import functools

from pydantic import BaseModel, ConfigDict

from advisor import resources
from advisor.hardware.rig import Backend


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def year(date: str | None) -> float | None:
    """A day, month or year as a number of years; its middle where only a month or year is told."""
    if not date:
        return None
    parts = [int(part) for part in date.split("-")]
    month = parts[1] - 0.5 if len(parts) > 1 else 6.0
    return parts[0] + month / 12


SOUGHT = frozenset({"added", "Rig Advisor"})
"""``BenchRow.by`` of rows that were sought for what the others lack, new builds above all."""


class BenchRow(_Frozen):
    """One measurement published by someone else."""

    id: int
    model: str
    """Hugging Face id."""
    shape: str
    """Of the model (``advisor.llm.model.Model.shape``)."""
    file_type: str
    quant: str
    """As printed."""
    file_bytes: int | None
    gpu: str
    """Name in resources/gpus.json."""
    n_gpu: int
    ram_gbs: float | None = None
    """Bandwidth of the computer's memory where that is the device's."""
    backend: Backend
    speed_class: str
    experts: bool
    depth: int
    decode_tps: float | None
    prefill_tps: float | None
    n_prompt: int | None
    ubatch: int
    flash: bool
    """Whether with Flash Attention, which is what llama.cpp chooses where nothing is said."""
    date: str | None
    url: str | None
    by: str
    decode_error: float | None
    """Natural logarithm of measured over computed time; None where the row is left out."""
    prefill_error: float | None
    decode_weight: float = 1.0
    """How far the row is believed, 0 to 1: less where others contradict it."""
    prefill_weight: float = 1.0
    left_out: str = ""
    """Why the row is not used."""

    @property
    def source(self) -> str:
        """Who measured it where no address tells, when, and where it stands."""
        return ", ".join(filter(None, (self.date, self.url or self.by)))


class BenchData(_Frozen):
    """resources/bench.json."""

    date: str
    source: str
    rows: tuple[BenchRow, ...]


@functools.cache
def bench_data() -> BenchData:
    """The shipped rows, validated once per process."""
    return resources.load(BenchData, "bench.json")
