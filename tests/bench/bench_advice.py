"""The search over 10⁵ options, and the answer to another volume or price after it.

The goals are half a second and a tenth. Run with ``make bench``.
"""

import datetime as dt
from decimal import Decimal
from itertools import count

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from advisor.advice.advise import advise
from advisor.advice.usage import Usage
from advisor.advice.verdict import Advice
from advisor.advice.workings import Workings
from advisor.hardware.compose import parse_rig
from advisor.llm.catalogue import catalogue
from advisor.sizing import speed

AT = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
RIG = parse_rig("RTX 4090 + 64 GB DDR5-6000")
OPTIONS = 100_000
SEARCH_S, CHANGE_S = 0.5, 0.1


def asked(usage: Usage, workings: Workings) -> Advice:
    return advise(usage, RIG, MODELS, at=AT, workings=workings)


def models() -> list:
    """As many models of the catalogue as make 10⁵ options."""
    found: list = []
    for entry in catalogue().entries:
        found.append(entry)
        if advise(Usage(), RIG, found, at=AT).searched >= OPTIONS:
            break
    return found


MODELS = models()


def told(name: str, benchmark: BenchmarkFixture, limit: float) -> None:
    if benchmark.stats is not None:
        seconds = benchmark.stats.stats.min
        print(f"\n{name}: {seconds * 1000:.0f} ms, {seconds / limit:.2f} of its limit")


def test_search(benchmark: BenchmarkFixture) -> None:
    """Models are known; builds, sizes and speeds are not."""
    asked(Usage(), Workings())

    def forget() -> None:
        speed._remembered._known.clear()

    advice = benchmark.pedantic(lambda: asked(Usage(), Workings()), setup=forget, rounds=5)
    assert advice.searched >= OPTIONS
    told("search", benchmark, SEARCH_S)


@pytest.mark.parametrize(
    ("field", "first"), [("requests_per_month", 1200), ("electricity_price", Decimal("0.18"))]
)
def test_change(benchmark: BenchmarkFixture, field: str, first: int | Decimal) -> None:
    workings = Workings()
    asked(Usage(), workings)
    steps = count(1)

    def change() -> Advice:
        value = first * (100 + next(steps)) / 100
        update = {field: int(value) if isinstance(first, int) else value}
        return asked(Usage().model_copy(update=update), workings)

    benchmark.pedantic(change, rounds=10)
    told(field, benchmark, CHANGE_S)
