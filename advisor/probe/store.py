"""Past probes on disk: one JSON file each; listed, opened, exported, deleted."""

import contextlib
import csv
import io
import json
import os
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from advisor import paths
from advisor.errors import ProbeError
from advisor.files import listed
from advisor.probe.result import Method, ProbeResult, SpeedPoint
from advisor.units import GIB

VERSION: Final = 1
STOPPED_KEPT: Final = 3
"""So many probes that were stopped are kept."""
_ID: Final = re.compile(r"^[0-9A-Za-z-]+$")


class Entry(BaseModel):
    """One past probe as a list shows it."""

    model_config = ConfigDict(frozen=True)

    id: str
    created: datetime
    title: str
    rig: str
    ctx: int
    ghost: bool
    method: Method
    state: str
    sentence: str
    decode_tps: float | None
    peak: int | None
    """Bytes at the place that holds most."""


def folder() -> Path:
    """Where results lie; not there before the first."""
    return paths.data() / "probes"


def _path(identity: str) -> Path:
    if not _ID.match(identity):
        message = "That is not the name of a probe."
        raise ProbeError(message, detail=identity)
    return folder() / f"{identity}.json"


def save(result: ProbeResult) -> Path:
    """Keep a result. Raises ProbeError when it cannot be written; nothing half-written stays."""
    path = _path(result.id)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    document = {"version": VERSION, "result": result.model_dump(mode="json")}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(document, separators=(",", ":")), encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        message = (
            f"The probe's result could not be kept in {path.parent}: {error.strerror or error}."
        )
        raise ProbeError(message) from error
    return path


def load(identity: str) -> ProbeResult:
    """Open a result. Raises ProbeError when it is missing, damaged or of a newer version."""
    path = _path(identity)
    try:
        document: Any = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        message = "That probe is not there any more."
        raise ProbeError(message, detail=str(path)) from error
    except (OSError, ValueError) as error:
        message = f"The probe in {path.name} could not be read."
        raise ProbeError(message, detail=str(error)) from error
    try:
        if document["version"] > VERSION:
            message = f"{path.name} was made by a newer Rig Advisor; update the app to open it."
            raise ProbeError(message)
        return ProbeResult.model_validate(document["result"])
    except (KeyError, TypeError, ValidationError) as error:
        message = f"The probe in {path.name} is damaged."
        raise ProbeError(message, detail=str(error)) from error


def identities() -> list[str]:
    """Names of all past probes, newest first; some may be damaged."""
    return sorted((path.stem for path in listed(folder(), "*.json")), reverse=True)


def tidy() -> None:
    """Delete all but the newest of the probes that were stopped: they measured little.

    One that cannot be read or deleted stays.
    """
    for past in [entry for entry in entries() if entry.state == "stopped"][STOPPED_KEPT:]:
        with contextlib.suppress(ProbeError):
            delete(past.id)


def entries() -> tuple[Entry, ...]:
    """All past probes, newest first; damaged files are left out."""
    found: list[Entry] = []
    for identity in identities():
        try:
            found.append(entry(load(identity)))
        except ProbeError:
            continue
    return tuple(found)


def entry(result: ProbeResult) -> Entry:
    """A result as a list shows it."""
    return Entry(
        id=result.id,
        created=result.created,
        title=result.title,
        rig=result.rig.name,
        ctx=result.settings.ctx,
        ghost=result.ghost,
        method=result.method,
        state=result.ending.state,
        sentence=result.ending.sentence,
        decode_tps=next((s.decode_tps for s in result.speeds), None),
        peak=max((p.peak for p in result.places if p.peak is not None), default=None),
    )


def delete(identity: str) -> None:
    """Forget a result. Missing is fine. Raises ProbeError where it cannot be deleted."""
    path = _path(identity)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        message = f"{path.name} could not be deleted: {error.strerror or error}."
        raise ProbeError(message, detail=str(path)) from error


# --- Export -------------------------------------------------------------------------------------


def to_csv(result: ProbeResult) -> str:
    """The trace as a table: one row per sample, one column per series, a phase in each row."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    series = result.trace.series
    writer.writerow(["ms", "phase", *(f"{s.place}.{s.quantity} [{s.unit}]" for s in series)])
    for index, at in enumerate(result.trace.times_ms):
        row: list[object] = [at, phase_at(result, at)]
        row += ["" if s.values[index] is None else s.values[index] for s in series]
        writer.writerow(row)
    return out.getvalue()


def phase_at(result: ProbeResult, at_ms: int) -> str:
    """Name of the phase at a moment; empty before the first."""
    name = ""
    for phase in result.phases:
        if phase.start_ms <= at_ms:
            name = phase.name
    return name


def to_json(result: ProbeResult) -> str:
    """Everything, as one JSON object."""
    return result.model_dump_json(indent=1)


def to_markdown(results: Iterable[ProbeResult]) -> str:
    """A table like llama-bench's, to paste where people compare numbers."""
    lines = [
        "| model | size | params | backend | ngl | fa | test | t/s |",
        "| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    ghosts = False
    for result in results:
        ghosts = ghosts or result.ghost
        backend = ",".join(b for b in result.engine.backends if b != "cpu") or "cpu"
        head = (
            f"| {result.title}{' (ghost)' if result.ghost else ''} "
            f"| {result.file_bytes / GIB:.2f} GiB | {_parameters(result)} | {backend} "
            f"| {result.settings.n_gpu_layers} | {result.settings.flash_attn} "
        )
        for speed in result.speeds:
            lines += [f"{head}| {test} | {tps} |" for test, tps in _tests(speed)]
        devices = ", ".join(d.name for d in result.rig.devices) or result.rig.host.cpu
        repeated = result.method == "llama-bench"
        how = "by llama-bench" if repeated else "one run each, by Rig Advisor"
        lines += ["", f"llama.cpp {result.engine.version}, {devices}, {how}."]
    if ghosts:
        lines.append("(ghost): measured with true shapes and empty weights, before any download.")
    return "\n".join([*lines, ""]) + "\n"


def _tests(speed: SpeedPoint) -> Iterator[tuple[str, str]]:
    """Its lines as llama-bench names and writes them, the spread with tests that were repeated."""
    if speed.prefill_tps is not None:
        yield f"pp{speed.n_prompt}", _with_spread(speed.prefill_tps, speed.prefill_spread)
    if speed.decode_tps is not None:
        depth = f" @ d{speed.depth}" if speed.depth else ""
        tps = _with_spread(speed.decode_tps, speed.decode_spread)
        yield f"tg{speed.n_decode}{depth}", tps


def _with_spread(tps: float, spread: float | None) -> str:
    return f"{tps:.2f}" if spread is None else f"{tps:.2f} ± {spread:.2f}"


def _parameters(result: ProbeResult) -> str:
    return "" if result.n_params is None else f"{result.n_params / 1e9:.2f} B"
