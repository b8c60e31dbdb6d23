"""The session: rig, model, settings, usage and results as one document, in JSON.

It holds what a person chose and measured, and what followed from that when it was last worked out,
so that a later opening can say what has changed since.
"""

import functools
import importlib.metadata
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, Literal
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from advisor import __version__
from advisor.advice import hardware_prices
from advisor.advice.usage import Usage
from advisor.basis import Range
from advisor.errors import SessionError
from advisor.hardware.rig import Rig
from advisor.hardware.table import gpu_table
from advisor.probe.result import ProbeResult
from advisor.sizing.plan import LLAMA_CPP
from advisor.sizing.settings import RunSettings

VERSION: Final = 3

Migration = Callable[[dict[str, Any]], dict[str, Any]]


def _without_data(fields: dict[str, Any]) -> dict[str, Any]:
    """Version 1 did not record data and prices: they are unknown, whatever stands there."""
    return {name: held for name, held in fields.items() if name not in ("data", "prices")}


def _with_outcome(fields: dict[str, Any]) -> dict[str, Any]:
    """Version 2 recorded data and prices, but neither the plan nor the verdict."""
    data, prices = fields.pop("data", None), fields.pop("prices", ())
    if data is None:
        return fields
    outcome = {"made": fields.get("modified"), "data": data, "prices": prices}
    return {**fields, "outcome": {k: held for k, held in outcome.items() if held is not None}}


_MIGRATIONS: Final[dict[int, Migration]] = {1: _without_data, 2: _with_outcome}
"""From version N to N + 1."""


class NotASession(SessionError):  # noqa: N818 - reads as the sentence it stands for
    """The file is something else; a damaged or a newer session is none of these."""


class ModelChoice(BaseModel):
    """The model in question: a catalogue id with a file type, or a GGUF file."""

    model_config = ConfigDict(frozen=True)

    model: str
    """Catalogue id or the path of a GGUF file."""
    file_type: str | None = None
    """None: as the file has it, or the model's usual one."""
    imatrix: bool = False


class ReportChoices(BaseModel):
    """How the session's report is to be made; its title and note are the session's own."""

    model_config = ConfigDict(frozen=True)

    left_out: frozenset[str] = frozenset()
    """Sections that do not go in."""
    paper: Literal["A4", "Letter"] | None = None
    """None: what the desktop's language uses; A4 without a desktop."""
    archival: bool = False
    """PDF/A-1b, without the session inside."""
    region: str | None = None
    """Locale whose way of writing figures is used: ``"de_DE"``. Empty: international. None: the
    desktop's; international without a desktop."""
    decimal_bytes: bool = False
    """Memory in GB (10⁹ bytes) instead of GiB (2³⁰)."""


class DataVersions(BaseModel):
    """What the figures were worked out from."""

    model_config = ConfigDict(frozen=True)

    hardware_prices: str
    """Day on which the shipped prices were reviewed."""
    api_prices: str
    """Version of genai-prices."""
    gpus: str
    """Day of the GPU table."""
    engine: str
    """Version of xllamacpp."""

    @classmethod
    def current(cls) -> "DataVersions":
        """Those of this installation."""
        return cls(
            hardware_prices=hardware_prices.data_date(),
            api_prices=_installed("genai-prices"),
            gpus=gpu_table().date,
            engine=_installed("xllamacpp"),
        )


_installed = functools.cache(importlib.metadata.version)
"""Reads the package's files each time."""


class PriceUsed(BaseModel):
    """A price that an option of the report was worked out with, in US dollars."""

    model_config = ConfigDict(frozen=True)

    name: str
    """The piece of hardware, or the API for one of the usage's requests."""
    low: Decimal
    mid: Decimal
    high: Decimal
    date: str = ""
    source: str = ""


class PlaceTotal(BaseModel):
    """Planned memory at one device or in RAM. Bytes; None is unknown."""

    model_config = ConfigDict(frozen=True)

    name: str
    total: int | None
    headroom: int | None


class PlanFound(BaseModel):
    """The plan of the run in question, in short."""

    model_config = ConfigDict(frozen=True)

    verdict: str
    places: tuple[PlaceTotal, ...]
    decode_tps: Range | None
    prefill_tps: Range | None


class Outcome(BaseModel):
    """What followed from a session, and from which data."""

    model_config = ConfigDict(frozen=True)

    made: datetime = Field(default_factory=lambda: datetime.now(UTC))
    data: DataVersions = Field(default_factory=DataVersions.current)
    plan: PlanFound | None = None
    verdict: str = ""
    """In one sentence; empty where no advice was worked out."""
    prices: tuple[PriceUsed, ...] = ()
    """Of the options that the verdict compares."""


class Session(BaseModel):
    """Everything a person has chosen and measured. Plans and advice are computed from it."""

    model_config = ConfigDict(frozen=True)

    version: int = VERSION
    app_version: str = __version__
    llama_cpp: str = LLAMA_CPP
    id: str = Field(default_factory=lambda: uuid4().hex)
    created: datetime = Field(default_factory=lambda: datetime.now(UTC))
    modified: datetime = Field(default_factory=lambda: datetime.now(UTC))
    title: str = ""
    note: str = ""
    rig: Rig | None = None
    """None: this machine, detected anew. A file holds the rig as it was read last."""
    model: ModelChoice | None = None
    settings: RunSettings = RunSettings()
    usage: Usage = Usage()
    scenario: str | None = None
    """Name of the built-in scenario that it began with."""
    probes: tuple[ProbeResult, ...] = ()
    outcome: Outcome | None = None
    """What followed when it was saved; None: not recorded. A change of the question drops it."""
    report: ReportChoices = ReportChoices()

    def asks_the_same(self, other: "Session") -> bool:
        """Whether the same follows from both: how a report is made and named is left out."""
        return all(getattr(self, name) == getattr(other, name) for name in QUESTION)

    def to_json(self) -> str:
        """The document as a file holds it."""
        return self.model_dump_json(indent=1)


QUESTION: Final = ("rig", "model", "settings", "usage", "scenario", "probes")
"""Fields from which everything else follows."""


def loads(text: str | bytes, *, name: str = "This file") -> Session:
    """A session from its JSON. Raises SessionError with a sentence for a damaged or newer one."""
    try:
        document: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        message = f"{name} is not a Rig Advisor session. Open one that ends in .rig.json."
        if name.endswith(".rig.json"):
            what = "is damaged or was cut off" if text else "is empty"
            message = f"{name} {what}. “Open recent” keeps what was last saved by itself."
        raise NotASession(message, detail=str(error)) from error
    if not isinstance(document, dict) or not _is_version(document.get("version")):  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        message = f"{name} is not a Rig Advisor session."
        raise NotASession(message)
    fields: dict[str, Any] = document  # pyright: ignore[reportUnknownVariableType]
    if fields["version"] > VERSION:
        message = (
            f"{name} was made by a newer Rig Advisor ({fields.get('app_version', 'unknown')}); "
            f"this is {__version__}. Update the app to open it; the file was not changed."
        )
        raise SessionError(message)
    fields = migrate(fields)
    try:
        return Session.model_validate(fields)
    except ValidationError as error:
        message = f"{name} is damaged: {_first_problem(error)}. It was not changed."
        raise SessionError(message, detail=str(error)) from error


def _is_version(held: object) -> bool:
    return isinstance(held, int) and not isinstance(held, bool) and held > 0


def migrate(
    fields: dict[str, Any], migrations: Mapping[int, Migration] = _MIGRATIONS
) -> dict[str, Any]:
    """Bring an older document up to the newest version that ``migrations`` lead to."""
    while (step := migrations.get(fields["version"])) is not None:
        version = fields["version"] + 1
        fields = {**step(dict(fields)), "version": version}
    return fields


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    place = " → ".join(str(part) for part in problem["loc"])
    return f"{place or 'the document'}: {problem['msg'].lower()}"
