"""Fit what lies in RAM to measured rows: writes the section “host” of resources/speed.json.

    python packaging/fit_host.py [ROWS.jsonl…] [--check]

ROWS: in the form of packaging/bench_host.jsonl, which is always read. What a row's device does is
counted as the app counts it; the rest of its time is the host's (speed_machine.host_seconds).
Errors are those of rows predicted without their page's rows. --check prints without writing.
fit_speed.py keeps the section as it is: run this after it, since devices' constants matter here.
"""

import argparse
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from fit_given import HOST
from fit_host_rows import ALONE, BESIDE, HostRow, read

from advisor.sizing.speed_data import Errors, HostCosts, speed_data
from advisor.sizing.speed_similar import NORMAL_80

ROWS = Path(__file__).parent / "bench_host.jsonl"
SPEED = Path(__file__).parents[1] / "resources" / "speed.json"

NOISE = 0.15
"""Standard deviation of a row's logarithm beside what its whole page has in common."""
OF_PAGE = 0.2
"""Standard deviation of what all rows of a page have in common: its machine and how it was set."""
COPIES = {
    "copy_share": 0.76,
    "chosen_power": 0.5,
    "copy_source": "Share: 24 GB/s from page-locked memory over PCIe 4.0 x16 to an RTX 3060 "
    "(github.com/turboderp-org/exllamav3/pull/392, Sep 2026). Power: of 128 experts 72 to 95 are "
    "used by 512 tokens of code, block by block (github.com/ggml-org/llama.cpp/pull/15346, Aug "
    "2025), where independent choice would leave none; with 0.5 the five micro-batches of 256 to "
    "8,192 tokens of one page were copied at 22 to 28 GB/s, with 1 at 23 to 60, more than the link "
    "has. Page-locked against mapped on one machine: 1.8 times as fast in all at 128 tokens "
    "(gpt-oss 20B, github.com/ggml-org/llama.cpp/pull/20978, March 2026), 2.2 times at 1,024 "
    "(ikawrakow/ik_llama.cpp/issues/1695, Apr 2026), 2.0 to 2.3 beside two RTX 3090 "
    "(ggml-org/llama.cpp/pull/28223, Sep 2026), 1.2 times at 2,048 beside an RTX 3060 "
    "(ggml-org/llama.cpp/issues/25859, July 2026)",
}
STAGED = 14.0
"""GB/s at which one core copies to page-locked memory: 11 to 18 on a desktop with an RTX 4090
(github.com/turboderp-org/exllamav3/pull/341, Sep 2026). It counts as one page."""
MAPPED_DIFFER = 0.35
"""Least spread of copies: mapped weights were copied at 8 GB/s in a virtual machine, 13 to 16 on
the pages here, 15 on the one of ik_llama.cpp above and at about 21 on that of pull 20978."""
PRIORS = {
    "eta": (0.7, 0.3),
    "power": (0.2, 0.15),
    "low": (1.4, 0.25),
    "experts": (1.2, 0.3),
    "beside_us": (60.0, 0.7),
    "fp4": (1.2, 0.25),
}
"""Constant: what it is near, and how far the rows may take it (``power``: as it is; of the others
the logarithm). Bandwidth falls short of the data sheet by a third as a rule (STREAM on desktops);
a hand-over to a device and back costs tens of µs (its launch and a copy of a few KB)."""


def _costs(given: HostCosts, values: Sequence[float]) -> HostCosts:
    told = dict(zip(PRIORS, values, strict=True))
    types = {**given.types, "fp4": told.pop("fp4")}
    return given.model_copy(update={**told, "types": types})


def _start() -> np.ndarray[Any, Any]:
    return np.array([m if name == "power" else math.log(m) for name, (m, _) in PRIORS.items()])


def _values(vector: np.ndarray[Any, Any]) -> list[float]:
    return [
        float(min(max(v, 0.0), 0.9)) if name == "power" else math.exp(v)
        for name, v in zip(PRIORS, vector, strict=True)
    ]


def fit(rows: Sequence[HostRow], given: HostCosts) -> HostCosts:
    """Constants by least squares on the logarithm of the time, rows of a page going together."""
    measured = np.log([1 / row.raw["tg_tps"] for row in rows])
    pages = np.array([row.page for row in rows])
    covariance = NOISE**2 * np.eye(len(rows)) + OF_PAGE**2 * (pages[:, None] == pages[None, :])
    whiten = np.linalg.inv(np.linalg.cholesky(covariance))
    doubts = np.array([doubt for _, doubt in PRIORS.values()])
    start = vector = _start()
    rest = [row.rest(prefill=False)[0] for row in rows]

    def left(at: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        costs = _costs(given, _values(at))
        times = np.log([row.host(costs) + more for row, more in zip(rows, rest, strict=True)])
        return np.concatenate([whiten @ (measured - times), (start - at) / doubts])

    for _ in range(30):
        now, step = left(vector), 1e-4
        slopes = np.stack(
            [(left(vector + step * unit) - now) / step for unit in np.eye(len(vector))], axis=1
        )
        # Rows that the others contradict count less (as Student's t of 4 degrees would have it).
        weight = np.sqrt(5 / (4 + now**2))
        weight[len(rows) :] = 1.0
        vector = vector - np.linalg.lstsq(slopes * weight[:, None], now * weight, rcond=None)[0]
    return _costs(given, _values(vector))


@dataclass(frozen=True)
class Held:
    """One row predicted without its page."""

    row: HostRow
    error: float
    """Natural logarithm of measured over computed time."""
    host: float
    """The host's share of the computed time."""
    doubt: float
    """What else is in doubt, as a part of the computed time."""

    @property
    def needed(self) -> float:
        """Spread of the host's part that just holds the row."""
        return max((abs(self.error) / NORMAL_80 - self.doubt) / self.host, 0.0)


def _without(rows: Sequence[HostRow], page: str) -> tuple[list[HostRow], list[HostRow]]:
    others = [row for row in rows if row.page != page]
    return others, [row for row in rows if row.page == page]


def _held(
    rows: Sequence[HostRow],
    found: Callable[[Sequence[HostRow]], Callable[[HostRow], float]],
    *,
    prefill: bool,
) -> list[Held]:
    """``found``: what rows teach, as the host's seconds of another row."""
    result: list[Held] = []
    for page in dict.fromkeys(row.page for row in rows):
        others, mine = _without(rows, page)
        seconds = found(others)
        for row in mine:
            rest, doubt = row.rest(prefill)
            total = rest + seconds(row)
            measured = 1 / row.raw["pp_tps" if prefill else "tg_tps"]
            result.append(
                Held(row, math.log(measured / total), seconds(row) / total, doubt / total)
            )
    return result


def _spread(held: Sequence[Held], least: float = 0.0) -> float:
    """Spread that holds 80 % of the rows, at least ``least``.

    Every page counts as the root of its rows, and one more is reckoned with that was not seen yet:
    of n pages that is the n + 1st part more.
    """
    pages = [one.row.page for one in held]
    weights = np.array([pages.count(page) ** -0.5 for page in pages])
    needed = np.array([one.needed for one in held])
    order = np.argsort(needed)
    reached = np.cumsum(weights[order]) / weights.sum()
    level = min(0.8 * (1 + 1 / len(set(pages))), 1.0)
    found = float(needed[order][min(np.searchsorted(reached, level), len(held) - 1)])
    return max(found, least)


def _errors(held: Sequence[Held], least: float = 0.0) -> Errors:
    """In per cent of what was measured; each page's range chosen by the other pages."""
    off = np.array([abs(math.expm1(one.error)) for one in held]) * 100
    inside = [
        one.needed <= _spread([o for o in held if o.row.page != one.row.page], least)
        for one in held
    ]
    return Errors(
        rows=len(held),
        median=round(float(np.median(off)), 2),
        p90=round(float(np.percentile(off, 90)), 2),
        coverage=round(100 * float(np.mean(inside)), 2),
    )


def _middle(values: Sequence[tuple[str, float]]) -> float:
    """Geometric mean over pages of each page's own."""
    pages = dict.fromkeys(page for page, _ in values)
    own = [np.mean([math.log(v) for p, v in values if p == page]) for page in pages]
    return math.exp(float(np.mean(own)))


def _copies(rows: Sequence[HostRow]) -> Callable[[HostRow], float]:
    """Page-locked at the share of the link that is given, mapped as other pages' rows say."""
    mapped = _pageable(rows) * 1e9
    return lambda row: row.copied / (min(row.locked, mapped) if row.settings.mmap else row.locked)


def _pageable(rows: Sequence[HostRow]) -> float:
    """10**9 bytes per second of what is mapped."""
    told = [
        (row.page, 1e-9 * row.copied / max(1 / row.raw["pp_tps"] - row.rest(prefill=True)[0], 1e-9))
        for row in rows
        if row.settings.mmap
    ]
    return _middle([*told, ("", STAGED)])


def _reads(rows: Sequence[HostRow]) -> Callable[[HostRow], float]:
    scale = _core_scale(rows)
    return lambda row: row.arithmetic / scale


def _core_scale(rows: Sequence[HostRow]) -> float:
    """By how much a core is faster than the rates that the types are compared by."""
    return _middle([(row.page, row.arithmetic * row.raw["pp_tps"]) for row in rows])


def _print(title: str, held: Sequence[Held]) -> None:
    print(f"\n{title}: {_errors(held)}")
    for one in held:
        raw = one.row.raw
        name = f"{raw['id']} {raw['model']} {raw['quant']} {raw['gpu'] or ''} {raw['cpu'] or ''}"
        print(f"  {name:<70} {math.expm1(one.error) * 100:+6.1f} %  host {one.host:.2f}")


def _r(value: float) -> float:
    return float(f"{value:.4g}")


def main() -> None:
    """Fit, print the errors, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", type=Path)
    parser.add_argument("--check", action="store_true")
    asked = parser.parse_args()
    rows: list[HostRow] = []
    for path in [ROWS, *asked.rows]:
        for found in read(path):
            if isinstance(found, str):
                print(found)
            else:
                rows.append(found)
    given = HostCosts.model_validate(speed_data().host.model_dump() | HOST)
    decoded = [row for row in rows if row.raw["tg_tps"] and row.tells]
    copied = [row for row in rows if row.raw["pp_tps"] and row.group == BESIDE]
    computed = [row for row in rows if row.raw["pp_tps"] and row.group == ALONE]

    def seconds(others: Sequence[HostRow]) -> Callable[[HostRow], float]:
        costs = fit(others, given)
        return lambda row: row.host(costs)

    held = _held(decoded, seconds, prefill=False)
    beside = [one for one in held if one.row.group == BESIDE]
    alone = [one for one in held if one.row.group == ALONE]
    copies = _held(copied, _copies, prefill=True)
    reads = _held(computed, _reads, prefill=True)
    costs = fit(decoded, given)
    scale = _core_scale(computed)
    for title, part in (
        (f"decode, {BESIDE}", beside),
        (f"decode, {ALONE}", alone),
        (f"prefill, {BESIDE}", copies),
        (f"prefill, {ALONE}", reads),
    ):
        _print(title, part)
    section = {
        "date": date.today().isoformat(),  # noqa: DTZ011 - the day where it is fitted
        "method": "packaging/fit_host.py: least squares on the logarithm of the time with the "
        "priors there, rows of a page taken together; errors and ranges of rows predicted without "
        "their page; each page's range in “errors” is chosen by the other pages",
        "data": f"{len(decoded)} decode and {len(copied) + len(computed)} prefill rows of "
        f"{len({row.page for row in rows})} pages (packaging/bench_host.jsonl"
        + "".join(f", {path.name}" for path in asked.rows)
        + ")",
        **{name: _r(getattr(costs, name)) for name in PRIORS if name != "fp4"},
        **HOST,
        "types": {**HOST["types"], "fp4": _r(costs.types["fp4"])},
        "spread": _r(_spread(alone)),
        "spread_beside": _r(_spread(beside)),
        **COPIES,
        "pageable_gbs": _r(_pageable(copied)),
        "copy_spread": _r(_spread(copies, MAPPED_DIFFER)),
        "prefill_gflops": {k: _r(v * scale) for k, v in HOST["prefill_gflops"].items()},
        "tiled": HOST["tiled"]
        | {"gflops": {k: _r(v * scale) for k, v in HOST["tiled"]["gflops"].items()}},
        "prefill_spread": _r(_spread(reads)),
        "errors": {
            "decode": {g: _errors(p).model_dump() for g, p in ((BESIDE, beside), (ALONE, alone))},
            "prefill": {
                BESIDE: _errors(copies, MAPPED_DIFFER).model_dump(),
                ALONE: _errors(reads).model_dump(),
            },
        },
    }
    HostCosts.model_validate(section)
    print(json.dumps({k: v for k, v in section.items() if k != "errors"}, indent=1))
    if not asked.check:
        document = json.loads(SPEED.read_text(encoding="utf-8")) | {"host": section}
        text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
        SPEED.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
