"""When a llama.cpp was built, from what it calls itself: ``b11549``, ``v0.6.0-dev``, ``2026-08``.

A sparse table of builds with their days (resources/llama_cpp_builds.json); those between lie
between. Speeds of prompts depend on it most (``speed_similar``).
"""

import bisect
import datetime as dt
import functools
import re
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from advisor import resources
from advisor.sizing.bench_rows import bench_data, year

ANY: Final = "any"
"""What is told where any of the builds that were measured may be meant."""

_TOLD: Final = re.compile(
    r"(?P<month>20\d{2}(?:-(?:0[1-9]|1[0-2])(?:-\d{2})?)?)"
    r"|b(?P<build>\d{1,6})"
    r"|v(?P<version>\d{1,4}\.\d{1,4}\.\d{1,4})(?:-[a-z0-9.]+)?"
)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DatedBuild(_Frozen):
    """A numbered build and the day it was published."""

    build: int
    date: dt.date
    source: str


class DatedVersion(_Frozen):
    """A semantic version and the month it was published."""

    version: str
    month: str
    source: str

    @property
    def order(self) -> tuple[int, ...]:
        """The version, ready to be compared."""
        return _parts(self.version)


class Change(_Frozen):
    """Something that llama.cpp reserves otherwise since a build."""

    rule: str
    """A field of ``build_rules.BuildRules``."""
    build: int
    """The oldest that is proven to have it."""
    date: dt.date
    """The day from which on what is current has it."""
    version: str
    """What the build still calls itself; only later versions are sure to have it."""
    what: str
    source: str


class DatedBuilds(_Frozen):
    """resources/llama_cpp_builds.json, all lists from old to new."""

    about: str
    builds: tuple[DatedBuild, ...] = Field(min_length=2)
    versions: tuple[DatedVersion, ...] = Field(min_length=1)
    changes: tuple[Change, ...]


@functools.cache
def dated_builds() -> DatedBuilds:
    """The shipped table, validated once per process."""
    return resources.load(DatedBuilds, "llama_cpp_builds.json")


def check(told: str) -> str:
    """``RunSettings.built`` as it is kept. Raises ValueError with a sentence."""
    told = told.strip().lower()
    if re.fullmatch(r"\d{4,6}", told) and not told.startswith("20"):
        told = f"b{told}"  # as llama.cpp prints it
    if not told or told == ANY or _TOLD.fullmatch(told):
        return told
    message = (
        f"“{told}” does not tell when llama.cpp was built: say a month (2026-08), its build "
        f"(b10549) or version (v0.4.0), or “{ANY}”"
    )
    raise ValueError(message)


@functools.lru_cache(maxsize=256)
def month(told: str) -> str:
    """``"2026-08"`` for a build, a version or a date; empty where nothing is known of it.

    A build that is newer than the table is at least as new as the table's last: that month.
    """
    match = _TOLD.fullmatch(told)
    if match is None:
        return ""
    if match["month"]:
        return match["month"][:7]
    if match["build"]:
        return _month_of_build(int(match["build"]))
    known = [v for v in dated_builds().versions if v.order <= _parts(match["version"])]
    return known[-1].month if known else ""


def has(told: str, change: Change) -> bool:
    """Whether a build is proven to have a change. Of a month or year its first day counts."""
    match = _TOLD.fullmatch(told)
    if match is None:
        return False
    if match["build"]:
        return int(match["build"]) >= change.build
    if match["version"]:
        return _parts(match["version"]) > _parts(change.version)
    year, month, day = (int(part) for part in f"{match['month']}-01-01".split("-")[:3])
    return dt.date(year, month, day) >= change.date


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _month_of_build(number: int) -> str:
    marks = dated_builds().builds
    after = bisect.bisect_right(marks, number, key=lambda mark: mark.build)
    if after == 0:
        return ""
    before = marks[after - 1]
    day = before.date
    if after < len(marks):
        following = marks[after]
        share = (number - before.build) / (following.build - before.build)
        day += (following.date - before.date) * share
    return f"{day:%Y-%m}"


def words(told: str) -> str:
    """As people read it: ``"2026-08 (b10549)"``; empty where its time is not known."""
    when = month(told)
    if not when or told.startswith(when):
        return when
    return f"{when}{' or later' if _beyond(told) else ''} ({told})"


def _beyond(told: str) -> bool:
    """Whether it is newer than all that the table knows."""
    match = _TOLD.fullmatch(told)
    if match is None or match["month"]:
        return False
    if match["build"]:
        return int(match["build"]) > dated_builds().builds[-1].build
    return _parts(match["version"]) > dated_builds().versions[-1].order


@functools.lru_cache(maxsize=256)
def built_year(told: str) -> float | None:
    """When it was built, in years, as the speed model takes it; None: any build may be meant.

    One newer than every measured row counts as the newest of them: what has changed since, nobody
    knows, and the further it is from all rows the more it would read like one of the oldest. (The
    rows after a day, predicted so from those before it, lay inside the range of prefill in 80 to
    98 % of cases for six such days, with a median error no larger than without.)
    """
    known = year(month(told))
    return known if known is None else min(known, newest_row())


@functools.cache
def newest_row() -> float:
    """When the newest row was measured, in years."""
    return max(when for row in bench_data().rows if (when := year(row.date)) is not None)


@functools.cache
def newest_month() -> str:
    """The same as ``"2026-09"``."""
    return max(row.date[:7] for row in bench_data().rows if row.date and "-" in row.date)
