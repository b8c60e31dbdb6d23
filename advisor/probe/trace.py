"""What was sampled while a probe ran: times, and one series per place and quantity."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

Quantity = Literal[
    "used",
    "process",
    "file",
    "available",
    "utilisation",
    "others",
    "power",
    "temperature",
    "pcie",
    "swap",
    "shared",
]
UNITS: Final[Mapping[Quantity, str]] = {
    "used": "KiB",
    "process": "KiB",
    "file": "KiB",
    "available": "KiB",
    "swap": "KiB",
    "shared": "KiB",
    "utilisation": "%",
    "others": "%",
    "power": "W",
    "temperature": "°C",
    "pcie": "KiB/s",
}
"""Unit in which a series is stored. Bytes are kept in KiB to keep sessions small.

used: memory in use on a device, or by llama.cpp in the host's RAM; process: what llama.cpp's own
process holds on a device; file: the part of the process's RAM that are pages of the model file;
available: RAM that the system could give to others; utilisation: of a device, or of the host's
processor, all cores together; others: the part of it that is neither llama.cpp's nor ours;
shared: GPU memory of the process that lies in RAM (Windows).
"""

MAX_SAMPLES: Final = 20_000


class Series(BaseModel):
    """One quantity of one place. ``None`` where it could not be read at that moment."""

    model_config = ConfigDict(frozen=True)

    place: str
    """llama.cpp's device name, or ``"host"``."""
    quantity: Quantity
    values: tuple[int | float | None, ...]

    @property
    def unit(self) -> str:
        """Unit of the values."""
        return UNITS[self.quantity]


class Trace(BaseModel):
    """All samples of one probe; every series is as long as ``times_ms``."""

    model_config = ConfigDict(frozen=True)

    times_ms: tuple[int, ...] = ()
    """Milliseconds since the probe started."""
    series: tuple[Series, ...] = ()

    @model_validator(mode="after")
    def _same_lengths(self) -> Self:
        if len(self.times_ms) > MAX_SAMPLES:
            message = f"a trace has at most {MAX_SAMPLES} samples"
            raise ValueError(message)
        if any(len(s.values) != len(self.times_ms) for s in self.series):
            message = "every series of a trace needs one value per sample"
            raise ValueError(message)
        return self

    def get(self, place: str, quantity: Quantity) -> Series | None:
        """The series of one place, None when it was not sampled."""
        for series in self.series:
            if series.place == place and series.quantity == quantity:
                return series
        return None

    def peak(self, place: str, quantity: Quantity, *, since_ms: int = 0) -> float | None:
        """The largest value from ``since_ms`` on, None without one."""
        series = self.get(place, quantity)
        if series is None:
            return None
        pairs = zip(self.times_ms, series.values, strict=True)
        known = [v for t, v in pairs if v is not None and t >= since_ms]
        return max(known, default=None)

    @property
    def rate_hz(self) -> float | None:
        """Samples per second on average."""
        if len(self.times_ms) < 2 or self.times_ms[-1] == self.times_ms[0]:
            return None
        return (len(self.times_ms) - 1) * 1000 / (self.times_ms[-1] - self.times_ms[0])


@dataclass(frozen=True, slots=True)
class Fresh:
    """Samples that a follower has not seen yet."""

    start: int
    """Index of the first; 0 although more was asked for: the record was thinned, begin anew."""
    times_ms: list[int]
    values: dict[tuple[str, Quantity], list[float | None]]


class Recorder:
    """Collects samples into a Trace. Not shared between threads without a lock of the caller's."""

    def __init__(self) -> None:
        self._times: list[int] = []
        self._values: dict[tuple[str, Quantity], list[float | None]] = {}

    def __len__(self) -> int:
        return len(self._times)

    def add(self, time_ms: int, values: Mapping[tuple[str, Quantity], float | None]) -> None:
        """One sample. A quantity that appears late is unknown before; one left out, unknown now.

        Beyond MAX_SAMPLES every other sample is dropped, so that a long run keeps its shape.
        """
        if len(self._times) >= MAX_SAMPLES:
            self._times = self._times[::2]
            self._values = {key: series[::2] for key, series in self._values.items()}
        before = len(self._times)
        self._times.append(time_ms)
        for key, value in values.items():
            self._values.setdefault(key, [None] * before).append(value)
        for series in self._values.values():
            if len(series) == before:
                series.append(None)

    def since(self, index: int) -> Fresh:
        """Samples from ``index`` on."""
        start = index if index <= len(self._times) else 0
        values = {key: series[start:] for key, series in self._values.items()}
        return Fresh(start, self._times[start:], values)

    def trace(self) -> Trace:
        """What was collected so far."""
        return Trace(
            times_ms=tuple(self._times),
            series=tuple(
                Series(place=place, quantity=quantity, values=tuple(values))
                for (place, quantity), values in self._values.items()
            ),
        )
