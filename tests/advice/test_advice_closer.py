"""What a list shows of models with a part in RAM is what a plan of them says."""

from collections.abc import Sequence

import pytest

from advisor.advice.capability import capability
from advisor.advice.closer import Closer, closed_up
from advisor.advice.picks import Pick, picks
from advisor.advice.wish import Wish
from advisor.answers import plan_of
from advisor.hardware.compose import parse_rig
from advisor.hardware.rig import Rig
from advisor.llm.catalogue import catalogue
from advisor.sizing.settings import RunSettings

NAMES = (
    "Qwen/Qwen3-30B-A3B-Instruct-2507",
    "openai/gpt-oss-120b",
    "google/gemma-3-27b-it",
    "mistralai/Mistral-Small-4-119B-2603",
    "Qwen/Qwen3-8B",
)
ENTRIES = [catalogue().find(name) for name in NAMES]
RIGS = (
    "RTX 3060 + 64 GB DDR4-3200",
    "2x RTX 3090 + 128 GB DDR4-3200",
    "RTX 4090 + RTX 3060 + 64 GB DDR5-6000",
)


def listed(rig: Rig, wish: Wish, settings: RunSettings) -> tuple[list[Pick], list[Pick]]:
    """Guessed, and closed up."""
    rough = list(picks(ENTRIES, rig, wish, settings))
    found: Sequence[Pick] = rough
    for found in closed_up(rough, Closer(rig, wish, settings)):
        assert [pick.order for pick in found] == sorted(pick.order for pick in found)
    return rough, list(found)


@pytest.mark.parametrize("words", RIGS)
def test_the_list_shows_what_the_plan_says(words: str) -> None:
    rig, wish, settings = parse_rig(words), Wish(ctx=16384), RunSettings(ctx=16384)
    rough, found = listed(rig, wish, settings)
    in_ram = [pick for pick in found if not pick.whole]
    assert len(in_ram) >= 2
    assert {pick.entry.id for pick in found} == {pick.entry.id for pick in rough}
    for pick in found:
        assert not pick.rough
        asked = settings.model_copy(update={"ctx": pick.ctx, **pick.fields})
        plan = plan_of(pick.model, rig, asked)
        assert pick.cell.decode == plan.speed.decode_tps, pick.entry.id
        assert pick.fast == (pick.cell.decode is not None and pick.cell.decode.mid >= 10)


def test_what_the_guess_took_for_fast_enough_is_looked_at_again() -> None:
    """A wish between guess and plan: another file type, or no longer called fast."""
    rig, settings = parse_rig(RIGS[0]), RunSettings(ctx=16384)
    seen = 0
    for guessed in listed(rig, Wish(ctx=16384), settings)[0]:
        (planned,) = listed_one(guessed, rig, Wish(ctx=16384), settings)
        if planned.cell.decode is None or planned.cell.file_type != guessed.cell.file_type:
            continue
        assert guessed.cell.decode is not None
        low, high = sorted((guessed.cell.decode.mid, planned.cell.decode.mid))
        if high < 1.01 * low or not guessed.rough:
            continue
        wish = Wish(ctx=16384, least_tps=(low + high) / 2)
        for pick in listed_one(guessed, rig, wish, settings):
            seen += 1
            assert pick.cell.decode is not None
            assert pick.fast == (pick.cell.decode.mid >= wish.least_tps)
    assert seen


def listed_one(pick: Pick, rig: Rig, wish: Wish, settings: RunSettings) -> list[Pick]:
    rough = list(picks([pick.entry], rig, wish, settings))
    return [rough, *closed_up(rough, Closer(rig, wish, settings))][-1]


def test_only_the_lines_that_are_shown_are_worked_out_and_those_in_sight_first() -> None:
    rig, wish, settings = parse_rig(RIGS[0]), Wish(ctx=16384), RunSettings(ctx=16384)
    rough = sorted(picks(ENTRIES, rig, wish, settings), key=lambda pick: pick.order)
    last = max(at for at, pick in enumerate(rough) if pick.rough)
    first = next(closed_up(rough, Closer(rig, wish, settings), in_sight=lambda: range(last, 99)))
    assert sum(pick.planned for pick in first) == 1
    assert next(p for p in first if p.planned).entry.id == rough[last].entry.id
    for found in closed_up(rough, Closer(rig, wish, settings), top=2):
        assert sum(pick.rough for pick in found[2:]) >= 1


def test_what_is_said_of_a_rig_in_a_sentence_is_planned() -> None:
    rig, settings = parse_rig(RIGS[0]), RunSettings(ctx=16384)
    found = capability(ENTRIES, rig, Wish(ctx=16384), settings)
    told = found.best(("offload",), dense=False)
    assert told is not None
    plan = plan_of(told.model, rig, settings)
    assert told.cell.decode == plan.speed.decode_tps
