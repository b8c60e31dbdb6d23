"""How far our sizes are from llama.cpp's own: shipped reference cases, and the engine in here."""

import statistics
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from advisor import resources
from advisor.engine.dry_run import dry_run
from advisor.engine.told import embedded_version
from advisor.errors import RigAdvisorError
from advisor.llm.catalogue import CatalogueEntry, catalogue
from advisor.sizing.allocation import Allocation, allocate
from advisor.sizing.settings import RunSettings
from advisor.units import MIB

_EQUAL_CARDS = 24 << 30
"""The reference devices had equal free memory; how much does not matter."""


class ReferenceCase(BaseModel):
    """One run as llama.cpp accounted for it. Bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    file_type: str
    settings: RunSettings
    devices: tuple[tuple[int, int, int], ...]
    """Weights, context and compute per device."""
    host: tuple[int, int, int]
    output: int
    state: int
    kv: dict[str, tuple[int, int, int]]
    """Cells, streams and bytes per cache."""


class ReferenceCases(BaseModel):
    """The shipped cases."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    about: str
    source: str
    date: str
    llama_cpp: str
    cases: tuple[ReferenceCase, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """What we say and what llama.cpp says, in bytes."""

    ours: int
    theirs: int

    @property
    def relative(self) -> float:
        """Absolute error as a share of llama.cpp's figure."""
        return abs(self.ours - self.theirs) / max(self.theirs, 1)


@dataclass(frozen=True, slots=True)
class Errors:
    """The errors of one kind of figure."""

    name: str
    count: int
    equal: float
    """Share of figures that are equal, to the byte or as finely as they were printed."""
    close: float
    """Share within 1 % or 4 MiB."""
    median: float
    p95: float
    worst: float
    """Relative errors of the median, the 95th percentile and the worst figure."""


def errors(name: str, pairs: Iterable[Pair]) -> Errors:
    """Summarise; figures of zero on both sides say nothing and are left out."""
    known = [pair for pair in pairs if pair.ours or pair.theirs]
    relative = sorted(pair.relative for pair in known)
    count = len(known)
    if not count:
        return Errors(name, 0, 1.0, 1.0, 0.0, 0.0, 0.0)
    off = [abs(pair.ours - pair.theirs) for pair in known]
    return Errors(
        name=name,
        count=count,
        equal=sum(not value for value in off) / count,
        close=sum(
            value <= max(4 * MIB, pair.theirs / 100) for value, pair in zip(off, known, strict=True)
        )
        / count,
        median=statistics.median(relative),
        p95=relative[min(count - 1, int(0.95 * count))],
        worst=relative[-1],
    )


def reference_cases() -> ReferenceCases:
    """The shipped cases of llama.cpp's accounting."""
    return resources.load(ReferenceCases, "reference_cases.json")


def _placed(case: ReferenceCase) -> Allocation:
    model = catalogue().find(case.model).model(case.file_type)
    n_gpu = len(case.devices)
    return allocate(model, case.settings, ["cuda"] * n_gpu, [_EQUAL_CARDS] * n_gpu)


def against_reference(cases: Sequence[ReferenceCase]) -> list[Errors]:
    """Our figures for the shipped cases, through the catalogue, against llama.cpp's."""
    pairs: dict[str, list[Pair]] = {
        "weights, devices": [],
        "weights, host": [],
        "context, devices": [],
        "context, host": [],
        "recurrent state": [],
        "compute, devices": [],
        "compute, host": [],
        "total, devices": [],
    }
    for case in cases:
        got = _placed(case)
        if got.context is None or got.compute is None:
            continue
        for index, (weights, context, compute) in enumerate(case.devices):
            pairs["weights, devices"].append(Pair(got.weights.devices[index], weights))
            pairs["context, devices"].append(Pair(got.context.devices[index], context))
            pairs["compute, devices"].append(Pair(got.compute.devices[index], compute))
            total = weights + context + compute
            pairs["total, devices"].append(Pair(got.device_total(index) or 0, total))
        pairs["weights, host"].append(Pair(got.weights.host, case.host[0]))
        pairs["context, host"].append(Pair(got.context.host, case.host[1]))
        pairs["compute, host"].append(Pair(got.compute.host, case.host[2]))
        pairs["recurrent state"].append(Pair(got.context.state, case.state))
    return [errors(name, found) for name, found in pairs.items()]


@dataclass(frozen=True, slots=True)
class EngineComparison:
    """Our host figures against the embedded engine's, one model after the other."""

    engine: str
    errors: tuple[Errors, ...]
    architectures: tuple[str, ...]
    refused: tuple[str, ...]
    """Models that the engine did not answer for, each with its sentence."""
    apart: tuple[str, ...]
    """Figures further apart than 1 % and 4 MiB, each with both values."""


def one_per_architecture(limit: int) -> list[CatalogueEntry]:
    """Catalogue models of different architectures, the smallest of each."""
    smallest: dict[str, CatalogueEntry] = {}
    for entry in sorted(filter(lambda e: e.chats, catalogue().entries), key=lambda e: e.n_params):
        smallest.setdefault(entry.arch, entry)
    return list(smallest.values())[:limit]


def _as_printed(ours: int, printed: int, rows: int) -> Pair:
    """Our figure beside one that was rounded down to MiB in every row of a table.

    Of the values that print alike, the nearest to ours is taken: rounding is no error.
    """
    return Pair(ours, min(max(ours, printed), printed + rows * MIB - 1))


def against_engine(
    entries: Sequence[CatalogueEntry], *, ctx: int = 8192, cancel: threading.Event | None = None
) -> EngineComparison:
    """Ask the embedded engine for the same runs on the CPU, through header-only ghosts."""
    settings = RunSettings(ctx=ctx, n_gpu_layers=0, built=embedded_version())
    pairs: dict[str, list[Pair]] = {"weights": [], "context": [], "compute": []}
    engine, refused, known, apart = "", list[str](), list[str](), list[str]()
    for entry in entries:
        model = entry.model(entry.suggested_file_type)
        try:
            run = dry_run(model, settings, cancel=cancel)
        except RigAdvisorError as error:
            refused.append(f"{entry.name}: {error}")
            continue
        got = allocate(model, settings, [], [])
        if got.context is None or got.compute is None:
            refused.append(f"{entry.name}: our figures are unknown")
            continue
        engine = run.engine
        known.append(entry.arch)
        # Weights can be in two rows of the breakdown.
        figures = {
            "weights": _as_printed(got.weights.host, run.host_model, 2),
            "context": _as_printed(got.context.host, run.host.context, 1),
            "compute": _as_printed(got.compute.host, run.host.compute, 1),
        }
        for name, pair in figures.items():
            pairs[name].append(pair)
            if abs(pair.ours - pair.theirs) > max(4 * MIB, pair.theirs / 100):
                apart.append(
                    f"{entry.name}, {name}: {pair.ours / MIB:.0f} MiB here, "
                    f"{pair.theirs / MIB:.0f} MiB there"
                )
    found = tuple(errors(name, some) for name, some in pairs.items())
    return EngineComparison(engine, found, tuple(known), tuple(refused), tuple(apart))


def as_json(found: Errors) -> dict[str, Any]:
    """The errors as plain data."""
    return {
        "figure": found.name,
        "count": found.count,
        "equal": round(found.equal, 4),
        "within_1pct_or_4mib": round(found.close, 4),
        "median": round(found.median, 6),
        "p95": round(found.p95, 6),
        "worst": round(found.worst, 6),
    }
