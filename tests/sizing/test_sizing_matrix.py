"""A cell says what the plan behind it says."""

from dataclasses import replace

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from advisor.hardware.compose import parse_rig
from advisor.hardware.rig import Rig
from advisor.llm.catalogue import catalogue
from advisor.sizing import size, size_anywhere
from advisor.sizing.allocation import allocate, room
from advisor.sizing.feasible import holds, learn
from advisor.sizing.matrix import matrix
from advisor.sizing.settings import RunSettings
from advisor.sizing.solver import solve
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
@pytest.mark.parametrize("name", ["Qwen/Qwen3-30B-A3B", "google/gemma-3-27b-it"])
@pytest.mark.parametrize("n_cpu_moe", [0, 10])
def test_cells_agree_with_plans(rig_text: str, name: str, n_cpu_moe: int) -> None:
    rig, entry = parse_rig(rig_text), catalogue().find(name)
    models = {kind: entry.model(kind) for kind in ("Q4_K_M", "Q8_0", "F16")}
    asked = RunSettings(n_cpu_moe=n_cpu_moe)

    found = matrix(models, rig, asked, CONTEXTS)

    for file_type, model in models.items():
        for ctx in CONTEXTS:
            cell = found.cell(file_type, ctx)
            fixed = size(model, rig, asked.model_copy(update={"ctx": ctx}))
            opened = size_anywhere(model, rig, asked.model_copy(update={"ctx": ctx}))
            assert opened.verdict == cell.verdict
            shown = fixed if opened.verdict == "offload" else opened
            assert cell.headroom == shown.headroom
            assert cell.host_total == shown.host.total


@pytest.mark.parametrize(
    ("name", "file_types", "contexts", "ram"),
    [
        ("Qwen/Qwen3-30B-A3B", ("Q8_0", "F16"), (4096, 65536), range(4, 48, 3)),
        ("google/gemma-3-27b-it", ("Q8_0", "F16"), (131072,), range(8, 64, 5)),
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

                verdict = judged(allocation, space, asked.margin).verdict
                found = holds(model, asked, space, beside)

                # Where the devices alone are enough, nobody asks.
                if found is not None and verdict in WORDS.values():
                    assert verdict == WORDS[found]
                    seen.add(found)

    assert seen == {False, True}


def test_a_placement_that_the_search_misses_is_found() -> None:
    rig = parse_rig("RX 7900 XTX + RTX 3060 + 32 GB DDR4-3200")
    model = catalogue().find("Qwen/Qwen3.5-122B-A10B").model("IQ4_XS")
    asked = RunSettings(ctx=65536, n_gpu_layers="fit", n_cpu_moe="fit")

    assert matrix({"IQ4_XS": model}, rig, RunSettings(), (65536,)).rows[0][0].verdict == "offload"
    assert size(model, rig, asked).verdict == "offload"


def test_less_memory_than_was_too_little_is_too_little() -> None:
    """What only the search for the fastest placement can tell is not searched for again."""
    model = catalogue().find("Qwen/Qwen3-30B-A3B").model("Q8_0")
    asked = RunSettings(ctx=65536, n_gpu_layers="fit", n_cpu_moe="fit")
    rig = parse_rig("RTX 3060 12GB + 26 GB DDR4-3200")
    space, beside = room(rig), (1 << 30,) * 2
    less = replace(space, free=tuple((free or 0) - 1 for free in space.free))
    more = replace(space, host=(space.host or 0) + (64 << 30))
    assert holds(model, asked, less, beside) is None
    found = allocate(model, solve(model, rig, asked, space), space.backends, space.free)
    assert judged(found, space, asked.margin).verdict == "no"

    learn(model, asked, space, found, fits=False)

    assert holds(model, asked, less, beside) is False
    assert holds(model, asked, replace(less, host=None), beside) is None
    assert holds(model, asked, more, beside) is True


def test_a_longer_context_that_fits_speaks_for_shorter_ones() -> None:
    rig, entry = parse_rig("RTX 3090 + 32 GB DDR4-3200"), catalogue().find("Qwen/Qwen3-30B-A3B")
    contexts = tuple(4096 * n for n in (8, 1, 64, 2, 32, 4, 16))

    together = matrix({"Q8_0": entry.model("Q8_0")}, rig, RunSettings(), contexts)

    for ctx in contexts:
        alone = matrix({"Q8_0": entry.model("Q8_0")}, rig, RunSettings(), (ctx,))
        assert together.cell("Q8_0", ctx) == alone.cell("Q8_0", ctx)


def rigs_of_unlike_cards() -> st.SearchStrategy[Rig]:
    cards = st.lists(
        st.sampled_from(("RTX 3070", "RTX 3060", "RTX 4060 Ti 16GB", "RTX 4090", "RTX 5090")),
        min_size=1,
        max_size=3,
    )
    used = st.lists(st.integers(0, 2 << 30), min_size=3, max_size=3)

    def made(names: list[str], ram: int, taken: list[int]) -> Rig:
        rig = parse_rig(f"{' + '.join(names)} + {ram} GB DDR5-6000")
        devices = tuple(
            device.model_copy(update={"memory_used": size})
            for device, size in zip(rig.devices, taken, strict=False)
        )
        return rig.model_copy(update={"devices": devices})

    return st.builds(made, cards, st.sampled_from((16, 32, 128)), used)


ASKED = st.builds(
    RunSettings,
    n_gpu_layers=st.sampled_from(("all", "all", "fit", 0)),
    n_cpu_moe=st.sampled_from((0, 0, "fit", 3)),
    split_mode=st.sampled_from(("layer", "layer", "none")),
    ctx=st.sampled_from((8192, 32768)),
)


@settings(max_examples=25, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(
    rig=rigs_of_unlike_cards(),
    name=st.sampled_from(("openai/gpt-oss-20b", "Qwen/Qwen3-14B", "google/gemma-3-27b-it")),
    file_type=st.sampled_from(("Q4_K_M", "Q8_0", "BF16")),
    asked=ASKED,
)
def test_a_cell_of_any_rig_says_what_its_plan_says(
    rig: Rig, name: str, file_type: str, asked: RunSettings
) -> None:
    model = catalogue().find(name).model(file_type)

    cell = matrix({file_type: model}, rig, asked, (asked.ctx,)).rows[0][0]

    plan = size_anywhere(model, rig, asked)
    assert cell.verdict == plan.verdict
    if cell.verdict in {"fits", "tight"}:
        assert cell.headroom == plan.headroom
        assert cell.decode == plan.speed.decode_tps


def test_a_split_of_unlike_cards_that_holds_everything_is_found() -> None:
    """llama.cpp splits by free memory, which overfills one card by a layer."""
    rig = parse_rig("RTX 5090 + RTX 4060 Ti 16GB + 128 GB DDR5-6000")
    devices = tuple(
        device.model_copy(update={"memory_used": used})
        for device, used in zip(rig.devices, (1_673_291_265, 910_133_698), strict=True)
    )
    rig = rig.model_copy(update={"devices": devices})
    model = catalogue().find("tencent/Hunyuan-A13B-Instruct").model("IQ4_XS")
    asked = RunSettings(ctx=8192)
    assert size(model, rig, asked).verdict == "no"

    cell = matrix({"IQ4_XS": model}, rig, asked, (8192,)).rows[0][0]

    plan = size_anywhere(model, rig, asked)
    assert plan.settings.tensor_split == (22.0, 11.0)
    assert (cell.verdict, cell.headroom) == ("fits", plan.headroom)
    assert (cell.device_total, cell.host_total) == (
        sum((device.total or 0) - (device.driver or 0) for device in plan.devices),
        plan.host.total,
    )
    assert cell.decode == plan.speed.decode_tps


def test_what_lacks_the_margin_alone_stays_where_ram_is_too_small() -> None:
    rig = parse_rig("RTX 3060 12GB + 1 GB DDR5-6000")
    model = catalogue().find("Qwen/Qwen3-14B").model("Q4_K_M")
    asked = RunSettings(ctx=8192, n_gpu_layers="fit", n_cpu_moe="fit")
    plain = size(model, rig, RunSettings(ctx=8192))
    assert plain.headroom is not None
    taken = plain.headroom - asked.margin // 2
    card = rig.devices[0].model_copy(update={"memory_used": taken})
    rig = rig.model_copy(update={"devices": (card,)})

    cell = matrix({"Q4_K_M": model}, rig, asked, (asked.ctx,)).rows[0][0]

    assert cell.verdict == size_anywhere(model, rig, asked).verdict == "tight"


def test_what_pipelining_keeps_on_the_host_is_not_needed_with_a_part_in_ram() -> None:
    """llama.cpp has no attention kernel for its heads on CUDA; four copies of that take 109 GB."""
    rig = parse_rig("RTX 4060 Ti 16GB + RTX 3090 + RTX 5090 + 32 GB DDR5-6000")
    model = catalogue().find("mistralai/Mistral-Small-4-119B-2603").model("Q4_K_M")
    asked = RunSettings(ctx=16384)

    cell = matrix({"Q4_K_M": model}, rig, asked, (asked.ctx,)).rows[0][0]

    assert cell.host_total is not None
    assert cell.host_total > 100 << 30
    assert cell.verdict == size_anywhere(model, rig, asked).verdict == "offload"
