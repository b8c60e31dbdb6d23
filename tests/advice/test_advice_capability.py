"""What a rig can run: complete at the end, and the same list growing on the way."""

from advisor.advice.capability import Capability, capability
from advisor.hardware.compose import parse_rig
from advisor.llm.catalogue import catalogue
from advisor.sizing.settings import RunSettings

RIG = parse_rig("RTX 3060 + 32 GB DDR4-3200")


def small() -> list:
    return [entry for entry in catalogue().entries if (entry.active_params or 9e9) < 4e9][:6]


def test_the_list_grows_newest_first_and_ends_with_all() -> None:
    entries = small()
    seen: list[tuple[int, Capability]] = []

    whole = capability(entries, RIG, RunSettings(ctx=4096), arrived=lambda *told: seen.append(told))

    assert [sized for sized, _found in seen] == list(range(len(entries)))
    sizes = [len(found.models) for _sized, found in seen]
    assert sizes == sorted(sizes)
    assert len(whole.models) >= sizes[-1]
    dates = [runs.entry.released for runs in seen[3][1].models]
    newest = sorted((e.released for e in entries if e.released), reverse=True)
    assert set(dates) <= set(newest[:3])


def test_what_is_cancelled_ends_with_what_it_has() -> None:
    asked: list[int] = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 2

    found = capability(small(), RIG, RunSettings(ctx=4096), cancelled)

    assert 0 < len(found.models) <= 2
