"""A cell says what the plan behind it says."""

from dataclasses import replace
from random import Random

import pytest

from advisor.hardware.compose import parse_rig
from advisor.llm.catalogue import catalogue
from advisor.sizing import size, size_anywhere
from advisor.sizing.allocation import allocate, room
from advisor.sizing.feasible import case_of, holds, learn
from advisor.sizing.matrix import Matrices, matrix, settings_of
from advisor.sizing.settings import RunSettings
from advisor.sizing.solver import solve
from advisor.sizing.tables import Latest
from advisor.sizing.verdict import judged

CONTEXTS = (4096, 32768, 131072)
WORDS = {True: "offload", False: "no"}
RIGS = (
    "RTX 4090 + 64 GB DDR5-6000",
    "RTX 3060 12GB + RTX 3090 + 32 GB DDR4-3200",
    "CPU only + 32 GB DDR5-6000",
    "M4 Max 64GB",
)


@pytest.mark.parametrize("rig_text", RIGS)
@pytest.mark.parametrize(
    ("name", "n_cpu_moe"),
    [("Qwen/Qwen3-30B-A3B", 0), ("Qwen/Qwen3-30B-A3B", 10), ("google/gemma-3-27b-it", 0)],
)
def test_cells_agree_with_plans(rig_text: str, name: str, n_cpu_moe: int) -> None:
    rig, entry = parse_rig(rig_text), catalogue().find(name)
    models = {kind: entry.model(kind) for kind in ("Q4_K_M", "Q8_0", "F16")}
    asked = RunSettings(n_cpu_moe=n_cpu_moe)

    found = matrix(models, rig, asked, CONTEXTS)

    for file_type, model in models.items():
        for ctx in CONTEXTS:
            cell = found.cell(file_type, ctx)
            fixed = size(model, rig, asked.model_copy(update={"ctx": ctx}))
            assert cell.headroom == fixed.headroom
            assert cell.host_total == fixed.host.total
            opened = size(model, rig, settings_of(cell, asked))
            assert opened.verdict == cell.verdict


@pytest.mark.parametrize("rig_text", ["RTX 4090 + 24 GB DDR5-6000", "Small 1GB 100 GB/s + 24 GB"])
def test_cells_of_a_run_in_ram_say_what_plans_say(rig_text: str) -> None:
    """Beside a card that has room for what is copied to it, and beside one that has not."""
    rig, entry = parse_rig(rig_text), catalogue().find("Qwen/Qwen3-14B")
    models = {kind: entry.model(kind) for kind in ("Q4_K_M", "F16")}
    asked = RunSettings(n_gpu_layers=0, ubatch_size=4096, batch_size=4096)

    found = matrix(models, rig, asked, CONTEXTS)

    plans = {
        (kind, ctx): size(model, rig, asked.model_copy(update={"ctx": ctx}), longest=False)
        for kind, model in models.items()
        for ctx in CONTEXTS
    }
    assert {plan.verdict for plan in plans.values()} == (
        {"offload", "no"} if "4090" in rig_text else {"no"}
    )
    for (kind, ctx), plan in plans.items():
        cell = found.cell(kind, ctx)
        assert (cell.verdict, cell.headroom) == (plan.verdict, plan.headroom)


@pytest.mark.parametrize(
    ("name", "file_types", "contexts", "ram"),
    [
        ("Qwen/Qwen3-30B-A3B", ("Q8_0", "F16"), (4096, 65536), range(4, 48, 5)),
        ("google/gemma-3-27b-it", ("Q8_0", "F16"), (131072,), range(8, 64, 9)),
    ],
)
@pytest.mark.parametrize("cards", ["RTX 3060 12GB", "RTX 3060 12GB + RTX 3090"])
def test_a_verdict_without_a_search_is_the_solvers(
    cards: str, name: str, file_types: tuple[str, ...], contexts: tuple[int, ...], ram: range
) -> None:
    """Where RAM is nearly too small, whether something was found or ruled out without a search."""
    entry = catalogue().find(name)
    seen: set[bool] = set()

    for file_type in file_types:
        model = entry.model(file_type)
        for gib in ram:
            rig = parse_rig(f"{cards} + {gib} GB DDR4-3200")
            space = room(rig)
            for ctx in contexts:
                asked = RunSettings(ctx=ctx, n_gpu_layers="fit", n_cpu_moe="fit")
                beside = (1 << 30,) * (len(rig.devices) + 1)
                solved = solve(model, rig, asked, space)
                allocation = allocate(model, solved, space.backends, space.free)

                case = case_of(model, asked, space.backends)
                found = holds(model, case, space, beside)

                if found is not None:
                    assert judged(allocation, space, asked.margin).verdict == WORDS[found]
                    seen.add(found)

    assert seen == {False, True}


def test_a_placement_that_the_search_misses_is_found() -> None:
    rig = parse_rig("RX 7900 XTX + RTX 3060 + 36 GB DDR4-3200")
    model = catalogue().find("Qwen/Qwen3.5-122B-A10B").model("IQ4_XS")
    asked = RunSettings(ctx=65536, n_gpu_layers="fit", n_cpu_moe="fit")

    assert matrix({"IQ4_XS": model}, rig, RunSettings(), (65536,)).rows[0][0].verdict == "offload"
    assert size(model, rig, asked).verdict == "offload"


def test_less_memory_than_was_too_little_is_too_little() -> None:
    """What only the search for the fastest placement can tell is not searched for again."""
    model = catalogue().find("Qwen/Qwen3-30B-A3B").model("Q8_0")
    asked = RunSettings(ctx=65536, n_gpu_layers="fit", n_cpu_moe="fit")
    rig = parse_rig("RTX 3060 12GB + 30 GB DDR4-3200")
    space, beside = room(rig), (1 << 30,) * 2
    less = replace(space, free=tuple((free or 0) - 1 for free in space.free))
    more = replace(space, host=(space.host or 0) + (64 << 30))
    case = case_of(model, asked, space.backends)
    assert holds(model, case, less, beside) is None
    found = allocate(model, solve(model, rig, asked, space), space.backends, space.free)
    assert judged(found, space, asked.margin).verdict == "no"

    learn(case, space, found, fits=False)

    assert holds(model, case, less, beside) is False
    assert holds(model, case, replace(less, host=None), beside) is None
    assert holds(model, case, more, beside) is True


def test_many_models_at_once_are_judged_as_alone() -> None:
    entries = [
        catalogue().find(name)
        for name in ("Qwen/Qwen3-0.6B", "Qwen/Qwen3-30B-A3B", "google/gemma-3-27b-it")
    ]
    rows = [{kind: entry.model(kind) for kind in ("Q4_K_M", "F16")} for entry in entries]
    several = (CONTEXTS, CONTEXTS[:1], CONTEXTS[1:])

    for rig in map(parse_rig, RIGS[1:]):
        matrices = Matrices(rig, RunSettings())
        asked = [matrices.ask(row, contexts) for row, contexts in zip(rows, several, strict=True)]

        for row, contexts, found in zip(rows, several, matrices.fill(asked), strict=True):
            assert found == matrix(row, rig, RunSettings(), contexts)


def test_a_longer_context_that_fits_speaks_for_shorter_ones() -> None:
    rig, entry = parse_rig("RTX 3090 + 32 GB DDR4-3200"), catalogue().find("Qwen/Qwen3-30B-A3B")
    contexts = tuple(4096 * n for n in (8, 1, 64, 2, 32, 4, 16))

    together = matrix({"Q8_0": entry.model("Q8_0")}, rig, RunSettings(), contexts)

    for ctx in contexts:
        alone = matrix({"Q8_0": entry.model("Q8_0")}, rig, RunSettings(), (ctx,))
        assert together.cell("Q8_0", ctx) == alone.cell("Q8_0", ctx)


@pytest.mark.parametrize("ctx", [106496, 122880])
def test_no_cell_takes_the_split_or_the_buffers_of_another(ctx: int) -> None:
    rig = parse_rig("GTX 1080 Ti + RTX A6000 + RTX 4070 + 16 GB DDR4-3200")
    entry = catalogue().find("zai-org/GLM-4.5-Air")
    models = {kind: entry.model(kind) for kind in ("F16", "IQ2_M")}

    together = matrix(models, rig, RunSettings(), (106496, 122880))

    for kind, model in models.items():
        alone = matrix({kind: model}, rig, RunSettings(), (ctx,))
        assert together.cell(kind, ctx) == alone.cell(kind, ctx)


def test_on_unlike_cards_a_cell_looked_at_closely_says_what_its_plan_says() -> None:
    random = Random(3)
    entry, mib = catalogue().find("Qwen/Qwen3-0.6B"), 1 << 20
    cards = parse_rig("RTX 3070 + RTX 3060 12GB + 32 GB DDR4-3200")
    seen: set[tuple[str, str]] = set()

    for _ in range(14):
        together = random.randrange(2400, 3000)
        first = random.randrange(900, together - 900)
        free = [first * mib, (together - first) * mib]
        devices = tuple(
            card.model_copy(update={"memory_used": card.memory_total - left})
            for card, left in zip(cards.devices, free, strict=True)
        )
        rig = cards.model_copy(update={"devices": devices})
        asked = RunSettings(ctx=4096, margin=64 * mib)
        models = {"BF16": entry.model("BF16")}

        before = matrix(models, rig, asked, (asked.ctx,)).cell("BF16", asked.ctx)
        cell = matrix(models, rig, asked, (asked.ctx,), closely=True).cell("BF16", asked.ctx)

        plan = size_anywhere(models["BF16"], rig, asked)
        seen.add((before.verdict, cell.verdict))
        assert cell.verdict == plan.verdict
        if cell.verdict in {"fits", "tight"}:
            drivers = sum(device.driver or 0 for device in plan.devices)
            assert cell.device_total == sum(d.total or 0 for d in plan.devices) - drivers
            assert (cell.headroom, cell.host_total) == (plan.headroom, plan.host.total)
            assert cell.decode == plan.speed.decode_tps
    assert seen >= {("offload", "fits"), ("offload", "offload"), ("fits", "fits")}


@pytest.mark.parametrize(
    ("cards", "split_mode", "ctx", "verdict"),
    [
        ("RTX 3060", "layer", 22528, "fits"),
        ("RTX 3060", "layer", 24576, "offload"),
        ("2x RTX 3060", "tensor", 101376, "offload"),
    ],
)
def test_where_fit_is_asked_for_a_tight_cell_says_what_its_plan_says(
    cards: str, split_mode: str, ctx: int, verdict: str
) -> None:
    models = {"Q8_0": catalogue().find("Qwen/Qwen3-8B").model("Q8_0")}
    rig = parse_rig(f"{cards} + 64 GB DDR5-6000")
    asked = RunSettings.model_validate(
        {"ctx": ctx, "n_gpu_layers": "fit", "split_mode": split_mode}
    )
    cell = matrix(models, rig, asked, (ctx,), closely=True).cell("Q8_0", ctx)
    plan = size(models["Q8_0"], rig, settings_of(cell, asked), longest=False)
    assert (cell.verdict, cell.headroom) == (verdict, plan.headroom)
    assert cell.verdict == plan.verdict


def test_a_pipeline_that_ram_cannot_hold_ends_with_a_part_in_ram() -> None:
    """Over several cards llama.cpp would want 85 GiB of RAM for this model's pipeline."""
    rig = parse_rig("2x RTX 4070 + RTX A6000 + 32 GB DDR5-6000")
    model = catalogue().find("mistralai/Mistral-Small-4-119B-2603").model("Q3_K_M")

    (cell,) = matrix({"Q3_K_M": model}, rig, RunSettings(), (8192,)).rows[0]

    assert cell.verdict == size_anywhere(model, rig, RunSettings(ctx=8192)).verdict == "offload"


def test_the_latest_answer_is_given_to_the_same_question_only() -> None:
    made: list[object] = []
    latest = Latest(lambda *asked: made.append(asked) or len(made))
    one, other = [1], [1]

    assert [latest(one), latest(one), latest(other), latest(one), latest(one, one)] == [
        1,
        1,
        2,
        3,
        4,
    ]
