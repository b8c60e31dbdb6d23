"""What fits best: filters, speed and order."""

import pytest

from advisor.advice.picks import Pick, Wish, likely_order, picks, well_known
from advisor.hardware.compose import parse_rig
from advisor.llm.catalogue import catalogue
from advisor.sizing.settings import RunSettings

NAMES = ("Qwen/Qwen3-8B", "Qwen/Qwen3-32B", "google/gemma-3-27b-it", "CohereLabs/aya-expanse-8b")
RIG = parse_rig("RTX 4090 + 64 GB DDR5-6000")


def found(wish: Wish) -> list[Pick]:
    known = [e for e in catalogue().entries if e.id in NAMES]
    some = picks(known, RIG, wish, RunSettings(ctx=wish.ctx))
    return sorted(some, key=lambda pick: pick.order)


@pytest.mark.parametrize("least", [5.0, 30.0, 60.0])
def test_fast_and_whole_come_first(least: float) -> None:
    best = found(Wish(ctx=16384, least_tps=least))

    assert best
    assert [pick.order for pick in best] == sorted(pick.order for pick in best)
    for pick in best:
        tps = pick.cell.decode.mid if pick.cell.decode else 0
        assert pick.fast == (tps >= least)
        assert pick.cell.verdict in {"fits", "tight", "offload"}


def test_filters_leave_out() -> None:
    assert {p.entry.maker for p in found(Wish(words=("qwen",)))} == {"Qwen (Alibaba)"}
    assert all("vision" in p.entry.abilities for p in found(Wish(abilities=frozenset({"vision"}))))
    assert all(p.entry.n_params <= 9e9 for p in found(Wish(most_params=9 * 10**9)))
    assert all(p.entry.licence in {"apache-2.0", "mit"} for p in found(Wish(licence="open")))
    assert not found(Wish(words=("no such model",)))


def test_no_obscure_model_first() -> None:
    entries = catalogue().entries
    makers = [entry.maker for entry in entries]

    first = likely_order(entries)[:10]

    assert all(well_known(entry, makers) for entry in first)
