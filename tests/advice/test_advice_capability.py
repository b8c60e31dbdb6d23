"""What a rig can run at a glance: complete at the end, and the same list growing on the way."""

from dataclasses import replace

from advisor.advice.capability import Capability, capability
from advisor.advice.closer import Closer
from advisor.advice.picks import current, likely_order, picks
from advisor.advice.wish import Wish
from advisor.hardware.compose import parse_rig
from advisor.llm.catalogue import catalogue
from advisor.sizing.settings import RunSettings

RIG = parse_rig("RTX 3060 + 32 GB DDR4-3200")
WISH = Wish(ctx=4096)
SETTINGS = RunSettings(ctx=4096)


def small() -> list:
    return [entry for entry in catalogue().entries if (entry.active_params or 9e9) < 4e9][:6]


def test_a_first_look_grows_likeliest_first_and_ends_with_all() -> None:
    seen: list[tuple[float, Capability]] = []
    looks: list[Capability] = []

    whole = capability(
        small(),
        RIG,
        WISH,
        SETTINGS,
        arrived=lambda share, found: seen.append((share, found)),
        looked=looks.append,
    )

    assert [len(found.models) for _share, found in seen] == list(range(1, len(seen) + 1))
    shares = [share for share, _found in seen]
    assert shares == sorted(shares)
    assert shares[-1] <= 1
    assert seen[0][1].models[0].entry.id == likely_order(small())[0].id
    first = looks[0]
    last = {pick.entry.id: pick for pick in seen[-1][1].models}
    assert last.keys() == {pick.entry.id for pick in first.models}
    assert not any(pick.settled for pick in last.values())
    for pick in first.models:
        before = last[pick.entry.id]
        assert pick.cell.file_type == pick.entry.suggested_file_type
        assert replace(pick, cell=before.cell, fast=before.fast, planned=False) == before
    for found in (first, whole):
        assert [pick.order for pick in found.models] == sorted(pick.order for pick in found.models)
        # What is told of the rig in a sentence has its plan's speed.
        told = found.best(("offload",), dense=False)
        assert told is None or told.planned


def test_file_types_are_those_of_the_list_with_filters() -> None:
    """Machine and Fit show one model in one file type: the best that is fast enough."""
    entries = [catalogue().find(name) for name in ("Qwen/Qwen3-8B", "Qwen/Qwen3-32B")]
    for rig in (RIG, parse_rig("RTX 3060 12GB + RTX 4090 + 64 GB DDR5-6000")):
        for least in (5.0, 40.0):
            wish = replace(WISH, least_tps=least)
            whole = capability(entries, rig, wish, SETTINGS)
            listed = {pick.entry.id: pick for pick in picks(entries, rig, wish, SETTINGS)}
            closer = Closer(rig, wish, SETTINGS)
            assert {pick.entry.id for pick in whole.models} == listed.keys()
            for pick in whole.models:
                other = listed[pick.entry.id]
                if pick.planned and not other.planned:
                    other = closer.planned(other) or other
                assert pick.settled
                assert (pick.cell.file_type, pick.cell.decode) == (
                    other.cell.file_type,
                    other.cell.decode,
                )
                assert pick.fields == other.fields
    types = {pick.cell.file_type for pick in whole.models}
    assert types != {entry.suggested_file_type for entry in entries}


def test_the_ablest_have_their_file_type_first() -> None:
    looks: list[Capability] = []
    several = current([e for e in catalogue().entries if e.chats and e.n_params < 5e9])[:17]
    whole = capability(several, RIG, WISH, SETTINGS, looked=looks.append)
    first, second = looks
    assert {p.entry.id for p in first.models} == {p.entry.id for p in second.models}
    assert sum(pick.settled for pick in second.models) == 15
    assert all(pick.settled for pick in whole.models)


def test_one_suggestion_of_each_maker_fits_and_is_fast_enough() -> None:
    of_qwen = [e for e in catalogue().search("qwen3 b") if e.maker == "Qwen (Alibaba)"]
    whole = capability(of_qwen, RIG, WISH, SETTINGS)

    suggested = whole.suggestions(5)
    assert [pick.entry.maker for pick in suggested] == ["Qwen (Alibaba)"]
    (best,) = suggested
    fitting = [pick for pick in whole.models if pick.whole and pick.fast]
    assert best is fitting[0]
    dense = whole.best(("fits", "tight"), dense=True)
    assert dense is not None
    assert dense.dense
    assert whole.best(("no",)) is None


def test_unknown_speed_is_no_reason_to_suggest_nothing() -> None:
    rig = parse_rig("CPU only 64 GB DDR5-5600")
    host = rig.host.model_copy(update={"ram_bandwidth_gbs": None, "ram_type": None})
    rig = rig.model_copy(update={"hosts": (host,)})
    found = capability(catalogue().search("qwen3 0.6b"), rig, WISH, SETTINGS)

    assert found.models
    assert found.models[0].cell.decode is None
    assert found.suggestions(5) == found.models[:1]


def test_what_is_cancelled_ends_with_what_it_has() -> None:
    asked: list[int] = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 2

    found = capability(small(), RIG, WISH, SETTINGS, cancelled=cancelled)

    assert 0 < len(found.models) <= 2
