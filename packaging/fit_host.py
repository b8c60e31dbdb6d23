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

from advisor.hardware.rig import Simd
from advisor.sizing.speed_data import Errors, HostCosts, speed_data
from advisor.sizing.speed_similar import NORMAL_80
from advisor.sizing.speed_sums import HARD

ROWS = Path(__file__).parent / "bench_host.jsonl"
SPEED = Path(__file__).parents[1] / "resources" / "speed.json"

NOISE = 0.15
"""Standard deviation of a row's logarithm beside what its whole page has in common."""
OF_PAGE = 0.2
"""Standard deviation of what all rows of a page have in common: its machine and how it was set."""
COPIES = {
    "copy_share": 0.76,
    "chosen_power": 0.5,
    "mapped_share": 0.36,
    "copy_source": "Share: 24 GB/s from page-locked memory over PCIe 4.0 x16 to an RTX 3060 "
    "(github.com/turboderp-org/exllamav3/pull/392, Sep 2026). Power: of 128 experts 72 to 95 are "
    "used by 512 tokens of code, block by block (github.com/ggml-org/llama.cpp/pull/15346, Aug "
    "2025), where independent choice would leave none; with 0.5 the five micro-batches of 256 to "
    "8,192 tokens of one page were copied at 22 to 28 GB/s, with 1 at 23 to 60, more than the link "
    "has. Page-locked against mapped on one machine: 1.8 times as fast in all at 128 tokens "
    "(gpt-oss 20B, github.com/ggml-org/llama.cpp/pull/20978, March 2026), 2.2 times at 1,024 "
    "(ikawrakow/ik_llama.cpp/issues/1695, Apr 2026), 2.0 to 2.3 beside two RTX 3090 "
    "(ggml-org/llama.cpp/pull/28223, Sep 2026), 1.2 times at 2,048 beside an RTX 3060 "
    "(ggml-org/llama.cpp/issues/25859, July 2026). Share of mapped copies: prompts of "
    "Qwen3.6 35B-A3B beside an RTX 3090 went up by 29 % when DDR4 of one desktop went from 2133 to "
    "3000, beside an RTX 3060 and DDR4-2133 likewise: 0.33 to 0.39 of what is taken for their RAM "
    "(github.com/msb-msb/insiderllm-bench-results, Sep and Oct 2026)",
}
X86: tuple[Simd, Simd] = ("avx512_vnni", "avx2")
ARM: Simd = "arm"
STAGED = 14.0
"""GB/s at which one core copies to page-locked memory: 11 to 18 on a desktop with an RTX 4090
(github.com/turboderp-org/exllamav3/pull/341, Sep 2026). It counts as one page."""
MAPPED_DIFFER = 0.35
"""Least spread of copies: mapped weights were copied at 8 GB/s in a virtual machine, 13 to 16 on
the pages here, 15 on the one of ik_llama.cpp above and at about 21 on that of pull 20978."""
PRIORS = {
    "eta": (0.75, 0.3),
    "power": (0.2, 0.15),
    "read": (0.95, 0.15),
    "cores": (1.0, 0.3),
    "fp4": (1.0, 0.3),
    "looked_up": (1.0, 0.3),
    "state_gbs": (0.6, 0.6),
    "experts": (1.1, 0.3),
    "tau_us": (20.0, 0.5),
    "beside_us": (60.0, 0.7),
}
"""Constant: what it is near, and how far the rows may take it (``power``: as it is; of the others
the logarithm). Bandwidth falls short of the data sheet by a quarter as a rule (STREAM on desktops),
what reads with every core reaches nearly all of it. ``cores``: factor on all rates of
``fit_given.HOST`` by which a core unpacks, ``fp4`` of that type's beside it, ``looked_up`` of
I-quants'. A hand-over to a device and back costs tens of µs (its launch and a copy of a few KB)."""


CLOSE = 2e-3
"""Change of every constant's logarithm at which a fit is done."""


def _costs(given: HostCosts, values: Sequence[float]) -> HostCosts:
    told = dict(zip(PRIORS, values, strict=True))
    cores, fp4, looked_up = (told.pop(name) for name in ("cores", "fp4", "looked_up"))
    rates = {name: rate * cores for name, rate in HOST["core_gbs"].items()}
    rates["fp4"] *= fp4
    for name in HARD:
        rates[name] *= looked_up
    return given.model_copy(update={**told, "core_gbs": rates})


def _start() -> np.ndarray[Any, Any]:
    return np.array([m if name == "power" else math.log(m) for name, (m, _) in PRIORS.items()])


def _values(vector: np.ndarray[Any, Any]) -> list[float]:
    return [
        float(min(max(v, 0.0), 0.9)) if name == "power" else math.exp(v)
        for name, v in zip(PRIORS, vector, strict=True)
    ]


Vector = np.ndarray[Any, Any]


def fit(rows: Sequence[HostRow], given: HostCosts, near: Vector | None = None) -> Vector:
    """Constants by least squares on the logarithm of the time, rows of a page going together.

    ``near``: where to begin, the solution of almost the same rows.
    """
    measured = np.log([1 / row.raw["tg_tps"] for row in rows])
    pages = np.array([row.page for row in rows])
    covariance = NOISE**2 * np.eye(len(rows)) + OF_PAGE**2 * (pages[:, None] == pages[None, :])
    whiten = np.linalg.inv(np.linalg.cholesky(covariance))
    doubts = np.array([doubt for _, doubt in PRIORS.values()])
    start = _start()
    vector = start if near is None else near
    rest = [row.rest(prefill=False)[0] for row in rows]

    def left(at: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        costs = _costs(given, _values(at))
        times = np.log([row.host(costs) + more for row, more in zip(rows, rest, strict=True)])
        return np.concatenate([whiten @ (measured - times), (start - at) / doubts])

    for _ in range(30 if near is None else 6):
        now, step = left(vector), 1e-4
        slopes = np.stack(
            [(left(vector + step * unit) - now) / step for unit in np.eye(len(vector))], axis=1
        )
        # Rows that the others contradict count less (as Student's t of 4 degrees would have it).
        weight = np.sqrt(5 / (4 + now**2))
        weight[len(rows) :] = 1.0
        change = np.linalg.lstsq(slopes * weight[:, None], now * weight, rcond=None)[0]
        vector = vector - change
        if np.abs(change).max() < CLOSE:
            break
    return vector


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
    mapped = _pageable(rows)

    def seconds(row: HostRow) -> float:
        if not row.settings.mmap:
            return row.copied / row.locked
        limit = min(mapped, COPIES["mapped_share"] * row.ram) * 1e9
        return row.copied / min(row.locked, limit)

    return seconds


def _pageable(rows: Sequence[HostRow]) -> float:
    """10**9 bytes per second of what is mapped, where RAM is not the limit."""
    told = [
        (row.page, 1e-9 * row.copied / max(1 / row.raw["pp_tps"] - row.rest(prefill=True)[0], 1e-9))
        for row in rows
        if row.settings.mmap and COPIES["mapped_share"] * row.ram > STAGED
    ]
    return _middle([*told, ("", STAGED)])


def _reads(rows: Sequence[HostRow]) -> Callable[[HostRow], float]:
    scales = _scales(rows)
    return lambda row: row.arithmetic / _scale_of(row, scales)


Scales = dict[tuple[Simd | None, bool], float]
"""By vector instructions (None: any) and tiles: how much faster a core is than the rates that types
are compared by."""


def _scale_of(row: HostRow, scales: Scales) -> float:
    return scales.get((row.simd, row.tiled), scales[None, row.tiled])


def _scales(rows: Sequence[HostRow]) -> Scales:
    """Medians over pages: laptops that throttle and boards of small cores are among them."""
    found: Scales = {}
    for tiled in (False, True):
        alike = [row for row in rows if row.tiled == tiled]
        kinds = {row.simd for row in alike} - {None}
        for kind in kinds:
            found[kind, tiled] = _median([row for row in alike if row.simd == kind])
        x86 = [math.log(found[kind, tiled]) for kind in X86 if (kind, tiled) in found]
        found[None, tiled] = math.exp(float(np.mean(x86)))
    return found


def _median(rows: Sequence[HostRow]) -> float:
    pages = dict.fromkeys(row.page for row in rows)
    own = [
        np.mean([math.log(r.arithmetic * r.raw["pp_tps"]) for r in rows if r.page == page])
        for page in pages
    ]
    return math.exp(float(np.median(own)))


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
    given = speed_data().host
    decoded = [row for row in rows if row.raw["tg_tps"] and row.tells]
    copied = [row for row in rows if row.raw["pp_tps"] and row.group == BESIDE]
    computed = [row for row in rows if row.raw["pp_tps"] and row.group == ALONE]

    whole = fit(decoded, given)

    def seconds(others: Sequence[HostRow]) -> Callable[[HostRow], float]:
        costs = _costs(given, _values(fit(others, given, whole)))
        return lambda row: row.host(costs)

    held = _held(decoded, seconds, prefill=False)
    beside = [one for one in held if one.row.group == BESIDE]
    alone = [one for one in held if one.row.group == ALONE]
    copies = _held(copied, _copies, prefill=True)
    reads = _held(computed, _reads, prefill=True)
    costs = _costs(given, _values(whole))
    scales = _scales(computed)
    plain, tiled = scales[None, False], scales[None, True]
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
        **HOST,
        **{name: _r(getattr(costs, name)) for name in PRIORS if hasattr(costs, name)},
        "core_gbs": {name: _r(rate) for name, rate in costs.core_gbs.items()},
        "spread": _r(_spread(alone)),
        "spread_beside": _r(_spread(beside)),
        **COPIES,
        "pageable_gbs": _r(_pageable(copied)),
        "copy_spread": _r(_spread(copies, MAPPED_DIFFER)),
        "prefill_gflops": {k: _r(v * plain) for k, v in HOST["prefill_gflops"].items()},
        "tiled": HOST["tiled"]
        | {"gflops": {k: _r(v * tiled) for k, v in HOST["tiled"]["gflops"].items()}},
        "vectors": {
            kind: {
                "plain": _r(scales[kind, False] / plain),
                "tiled": _r(scales.get((kind, True), tiled) / tiled),
            }
            for kind in (*X86, ARM)
        },
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
