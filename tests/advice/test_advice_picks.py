"""What fits best: filters, speed and order."""

from collections.abc import Mapping, Sequence

import pytest

from advisor.advice.best_type import BestType
from advisor.advice.picks import Pick, current, likely_order, offered, picks
from advisor.advice.wish import Wish
from advisor.hardware.compose import parse_rig
from advisor.llm.catalogue import catalogue
from advisor.llm.model import Model
from advisor.llm.quality import model_loss
from advisor.sizing import size
from advisor.sizing.matrix import Asked, Matrices, matrix
from advisor.sizing.settings import FIT, RunSettings

NAMES = ("Qwen/Qwen3-8B", "Qwen/Qwen3-32B", "google/gemma-3-27b-it", "CohereLabs/aya-expanse-8b")
RIG = parse_rig("RTX 4090 + 64 GB DDR5-6000")


def found(wish: Wish) -> list[Pick]:
    known = [e for e in catalogue().entries if e.id in NAMES]
    some = picks(known, RIG, wish, RunSettings(ctx=wish.ctx))
    return sorted(some, key=lambda pick: pick.order)


@pytest.mark.parametrize("least", [5.0, 30.0, 60.0])
def test_fast_comes_first_then_the_ablest(least: float) -> None:
    best = found(Wish(ctx=16384, least_tps=least))

    assert best
    assert [pick.order for pick in best] == sorted(pick.order for pick in best)
    for pick in best:
        assert pick.fast == (pick.served is not None and pick.served.mid >= least)
        assert pick.cell.verdict in {"fits", "tight", "offload"}


def test_a_wish_is_held_against_what_llama_server_writes() -> None:
    """Of gpt-oss 20B on an RTX 5090 a seventh less than llama-bench measures."""
    entry, rig = catalogue().find("openai/gpt-oss-20b"), parse_rig("RTX 5090 + 64 GB DDR5-6000")

    def pick(least: float) -> Pick:
        (found,) = picks([entry], rig, Wish(ctx=8192, least_tps=least), RunSettings(ctx=8192))
        return found

    first = pick(10.0)
    assert first.cell.decode is not None
    assert first.served is not None
    assert first.served.mid < 0.9 * first.cell.decode.mid
    between = (first.served.mid + first.cell.decode.mid) / 2
    slow = pick(between)
    assert not slow.fast
    assert pick(first.served.mid * 0.999).fast
    # Its speed stays the one that its plan and published figures tell, and the rest is told.
    assert slow.cell.decode == first.cell.decode
    assert f"llama-server writes about {first.served.mid:,.0f} tok/s" in slow.in_use


def test_filters_leave_out() -> None:
    assert {p.entry.maker for p in found(Wish(words=("qwen",)))} == {"Qwen (Alibaba)"}
    assert all("vision" in p.entry.abilities for p in found(Wish(abilities=frozenset({"vision"}))))
    assert all(p.entry.n_params <= 9e9 for p in found(Wish(most_params=9 * 10**9)))
    assert all(p.entry.licence in {"apache-2.0", "mit"} for p in found(Wish(licence="open")))
    assert not found(Wish(words=("no such model",)))


def test_a_replaced_release_gives_way_unless_it_is_asked_for() -> None:
    left = {entry.id for entry in current(catalogue().entries)}
    assert "Qwen/Qwen3.6-27B" in left
    assert not left & {"Qwen/Qwen3.5-27B", "unsloth/Qwen3.6-27B-MTP-GGUF"}
    # What can do more than its successor stays: Qwen3-VL sees, Qwen3 reasons.
    assert {"Qwen/Qwen3-8B", "Qwen/Qwen3-VL-8B-Instruct"} <= left
    assert [p.entry.id for p in found(Wish(words=("qwen3", "8b")))] == ["Qwen/Qwen3-8B"]


def test_code_ranks_every_model_by_its_code() -> None:
    wish = Wish(abilities=frozenset({"code"}))
    assert wish.admits(catalogue().find("Qwen/Qwen3-32B"))
    order = [entry.id for entry in likely_order(catalogue().entries, wish.purpose)]
    general = [entry.id for entry in likely_order(catalogue().entries)]

    def ahead(places: list[str], one: str, other: str) -> bool:
        return places.index(one) < places.index(other)

    coder, chat = "mistralai/Devstral-Small-2-24B-Instruct-2512", "Qwen/Qwen3.5-9B"
    assert ahead(general, chat, coder)
    assert ahead(order, coder, chat)


def test_of_models_that_are_alike_the_one_that_fits_comes_first() -> None:
    rig = parse_rig("RTX 5090 + RTX 3090 + 64 GB DDR5-6000")
    both = [catalogue().find(name) for name in ("MiniMaxAI/MiniMax-M2.7", "Qwen/Qwen3.6-27B")]
    best = sorted(picks(both, rig, Wish(), RunSettings()), key=lambda pick: pick.order)

    # The index of both, less what their file types lose, is 38.
    assert [round(pick.score) for pick in best] == [38, 38]
    assert [pick.cell.verdict for pick in best] == ["fits", "offload"]


@pytest.mark.parametrize("name", ["Qwen/Qwen3.6-27B", "Qwen/Qwen3-VL-32B-Instruct"])
@pytest.mark.parametrize(
    "words",
    ["RTX 3060 12GB + RTX 3090 + 64 GB DDR4-3200", "Ryzen AI Max+ 395 128GB + RTX 5090"],
)
def test_unlike_cards_are_filled_by_their_speed(name: str, words: str) -> None:
    rig, settings = parse_rig(words), RunSettings(ctx=16384)
    entry = catalogue().find(name)
    (pick,) = picks([entry], rig, Wish(ctx=16384), settings, usual_type=True)
    plan = size(pick.model, rig, settings.model_copy(update=pick.fields))
    plain = size(pick.model, rig, settings)

    assert pick.cell.decode is not None
    assert plan.speed.decode_tps is not None
    assert plain.speed.decode_tps is not None
    assert plan.verdict == pick.cell.verdict
    assert pick.cell.decode.mid == pytest.approx(plan.speed.decode_tps.mid, rel=0.02)
    assert pick.cell.decode.mid > plain.speed.decode_tps.mid
    asked = settings.model_copy(update=pick.fields)
    (cell,) = matrix({"": pick.model}, rig, asked, (16384,), closely=True).rows[0]
    assert cell.decode == plan.speed.decode_tps


@pytest.mark.parametrize(
    ("name", "words", "least"),
    [
        # Split evenly these reach so much in three bits at most; the fast card alone, or filled
        # first, does in four or five.
        ("Qwen/Qwen3-32B", "RTX 4090 + RTX 3060 12GB + 64 GB DDR5-6000", 30.0),
        ("google/gemma-3-27b-it", "RTX 3060 12GB + RTX 4090 + 64 GB DDR5-6000", 40.0),
        # Split evenly it does not fit in three bits.
        ("swiss-ai/Apertus-70B-Instruct-2509", "RTX 5090 + RTX 3060 12GB + 64 GB DDR5-6000", 10.0),
    ],
)
def test_file_types_on_unlike_cards_are_judged_as_the_solver_places_them(
    name: str, words: str, least: float
) -> None:
    rig, settings, entry = parse_rig(words), RunSettings(ctx=16384), catalogue().find(name)
    (pick,) = picks([entry], rig, Wish(ctx=16384, least_tps=least), settings)
    good: list[tuple[float, int, str]] = []
    for file_type in entry.file_types:
        model = entry.model(file_type)
        plan = size(model, rig, settings.model_copy(update=FIT), longest=False)
        speed, loss = plan.speed.decode_tps, model_loss(model).typical
        if file_type == pick.cell.file_type:
            assert (plan.verdict, speed) == (pick.cell.verdict, pick.cell.decode)
        if plan.verdict in {"fits", "tight"} and speed is not None and speed.mid >= least:
            # Per cent that nobody notices counts as none.
            good.append((max(0.3, 100.0 if loss is None else loss), model.nbytes, file_type))

    assert pick.placed
    assert pick.fast
    assert pick.cell.file_type == min(good)[-1]


def asked_of(
    monkeypatch: pytest.MonkeyPatch, words: str, name: str, least: float = 10.0
) -> tuple[Pick, list[str]]:
    """What is picked of a model, and the file types that were sized for it."""
    asked: list[str] = []
    ask = Matrices.ask

    def noted(
        matrices: Matrices,
        models: Mapping[str, Model],
        contexts: Sequence[int],
        *,
        like: Model | None = None,
    ) -> Asked:
        asked.extend(models)
        return ask(matrices, models, contexts, like=like)

    monkeypatch.setattr(Matrices, "ask", noted)
    entry, wish = catalogue().find(name), Wish(ctx=8192, least_tps=least)
    (pick,) = picks([entry], parse_rig(words), wish, RunSettings(ctx=8192))
    return pick, [*asked]


def test_unlike_cards_are_solved_for_what_is_picked(monkeypatch: pytest.MonkeyPatch) -> None:
    pick, asked = asked_of(monkeypatch, "RTX 5090 + RTX 3060 + 64 GB DDR5-6000", NAMES[0])

    assert pick.placed
    # As llama.cpp splits the cards every one once, and what is picked as the solver does.
    assert len(asked) == len(set(asked)) + 1
    assert asked.count(pick.cell.file_type) == 2


@pytest.mark.parametrize(("words", "least"), [("RTX 4090 + 64 GB DDR5-6000", 10.0), *(
    ("RTX 3060 12GB + 64 GB DDR4-3200", tps) for tps in (5.0, 10.0, 20.0, 500.0)
)])  # fmt: skip
@pytest.mark.parametrize("name", NAMES)
def test_what_is_sized_holds_the_best_of_all(
    monkeypatch: pytest.MonkeyPatch, name: str, words: str, least: float
) -> None:
    """The few that are sized, against a search that knows every file type."""
    pick, _asked = asked_of(monkeypatch, words, name, least)
    entry, wish = pick.entry, Wish(ctx=8192, least_tps=least)
    names = [file_type for file_type in entry.file_types if offered(entry, file_type)]
    models = {file_type: entry.model(file_type) for file_type in names}
    all_ = matrix(models, parse_rig(words), RunSettings(ctx=8192), (8192,))
    search = BestType(entry, names, 8192, wish, known={c.file_type: c for (c,) in all_.rows})

    assert pick.cell == search.found


def test_what_cannot_be_the_best_is_not_sized(monkeypatch: pytest.MonkeyPatch) -> None:
    pick, asked = asked_of(monkeypatch, "RTX 4090 + 64 GB DDR5-6000", "Qwen/Qwen3-8B")

    assert pick.cell.file_type == "Q6_K"
    # Near lossless all of them: which file is the smallest decides.
    assert set(asked) == {"Q6_K", "Q8_0", "F16", "BF16"}


def test_what_was_trained_for_less_comes_after_what_reaches_the_context() -> None:
    best = found(Wish(ctx=65536))

    assert [pick.long_enough for pick in best] == [True, False, False, False]
    assert best[0].name == "Gemma 3 27B"
    assert best[-1].name.endswith("(8k)")


def test_a_broken_file_type_is_only_taken_where_no_other_runs() -> None:
    (pick,) = picks(
        [catalogue().find("google/gemma-4-12b-it")],
        parse_rig("MacBook M1 16GB"),
        Wish(least_tps=10),
        RunSettings(),
    )
    assert "broken" not in pick.loss.word
    assert not pick.fast


def test_no_bits_are_given_up_for_a_speed_that_nobody_knows() -> None:
    entry = catalogue().find("Qwen/Qwen3.6-27B")
    (unknown,) = picks([entry], parse_rig("24 GB"), Wish(least_tps=10), RunSettings())
    assert unknown.cell.decode is None
    assert unknown.loss.word in {"small", "near lossless"}


def test_where_no_speed_is_known_what_fits_comes_before_what_lies_in_ram() -> None:
    """A 27B half in RAM led the list of a card whose speed nobody measured."""
    names = ("Qwen/Qwen3.6-27B", "Qwen/Qwen3.5-9B")
    rig = parse_rig("GTX 980 Ti + 16 GB DDR4-3200")
    some = picks([catalogue().find(name) for name in names], rig, Wish(ctx=8192), RunSettings())
    first, second = sorted(some, key=lambda pick: pick.order)
    assert first.cell.decode is None
    assert (first.whole, second.whole) == (True, False)
    assert second.score > first.score


def test_a_good_file_type_in_ram_beats_a_broken_one_on_the_card() -> None:
    rig = parse_rig("RTX 3060 12GB + 32 GB DDR4-3200")
    moe = [catalogue().find("Qwen/Qwen3.6-35B-A3B")]
    (pick,) = picks(moe, rig, Wish(ctx=16384), RunSettings(ctx=16384))
    assert pick.cell.verdict == "offload"
    assert pick.fast
    assert "heavy" not in pick.loss.word
