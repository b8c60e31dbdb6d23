"""What a rig can run at a glance: complete at the end, and the same list growing on the way."""

from dataclasses import replace

from advisor.advice.capability import Capability, capability
from advisor.advice.picks import Wish, likely_order
from advisor.hardware.compose import parse_rig
from advisor.llm.catalogue import catalogue
from advisor.sizing.settings import RunSettings

RIG = parse_rig("RTX 3060 + 32 GB DDR4-3200")
WISH = Wish(ctx=4096)
SETTINGS = RunSettings(ctx=4096)


def small() -> list:
    return [entry for entry in catalogue().entries if (entry.active_params or 9e9) < 4e9][:6]


def test_the_list_grows_likeliest_first_and_ends_with_all() -> None:
    seen: list[tuple[float, Capability]] = []

    whole = capability(
        small(), RIG, WISH, SETTINGS, arrived=lambda share, found: seen.append((share, found))
    )

    assert [len(found.models) for _share, found in seen] == list(range(1, len(seen) + 1))
    shares = [share for share, _found in seen]
    assert shares == sorted(shares)
    assert shares[-1] <= 1
    # What is told of the rig in a sentence has its plan's speed at the end.
    last = {pick.entry.id: pick for pick in seen[-1][1].models}
    assert last.keys() == {pick.entry.id for pick in whole.models}
    planned = [pick for pick in whole.models if pick.planned]
    assert len(planned) == 1
    for pick in whole.models:
        before = last[pick.entry.id]
        assert pick in planned or pick == before
        assert replace(pick, cell=before.cell, fast=before.fast, planned=False) == before
    assert seen[0][1].models[0].entry.id == likely_order(small())[0].id
    assert [pick.order for pick in whole.models] == sorted(pick.order for pick in whole.models)


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
