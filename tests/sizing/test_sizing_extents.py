"""A graph that was built for one context answers for others exactly as their own would."""

import importlib
import random
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.llm.catalogue import catalogue
from advisor.llm.model import Model
from advisor.sizing.compute import compute_buffers
from advisor.sizing.compute.extents import Extent, Region, value_at
from advisor.sizing.placement import place
from advisor.sizing.settings import RunSettings

traces = importlib.import_module("advisor.sizing.compute.traces")

Step = Callable[[int, int], int]
STEPS: dict[str, Step] = {
    "plus": lambda a, b: a + b,
    "minus": lambda a, b: a - b,
    "times": lambda a, b: a * (b % 7),
    "product": lambda a, b: a * b,
    "over": lambda a, b: a // (b % 5 + 1),
    "under": lambda a, b: (b % 9) // (a or 1),
    "rest": lambda a, b: a % 64 + b,
    "padded": lambda a, _: -(-a // 128) * 128,
    "smaller": min,
    "larger": max,
    "branch": lambda a, b: a + 1 if a <= b else b,
    "equal": lambda a, b: 3 * a if a == b else b - 2,
    "nothing": lambda a, b: a or b,
    "member": lambda a, b: 7 if a in (0, 256, b) else a,
}


def run(program: Sequence[tuple[str, int, int]], start: Sequence[int]) -> list[int]:
    """Every step reads two of the values so far."""
    values = [*start, 1, 256]
    for name, left, right in program:
        values.append(STEPS[name](values[left % len(values)], values[right % len(values)]))
    return values


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 20), st.integers(0, 20)),
        max_size=10,
    ),
    st.lists(st.integers(1, 40), min_size=2, max_size=2),
    st.lists(st.integers(1, 40), min_size=2, max_size=2),
)
def test_a_region_never_says_that_it_holds_where_something_differs(
    program: list[tuple[str, int, int]], here: list[int], there: list[int]
) -> None:
    region = Region(here)
    found = run(program, region.extents(256))
    assert [int(value) for value in found] == run(program, [256 * x for x in here])
    if region.holds(there):
        formulas = [
            value_at(value.form, there) if isinstance(value, Extent) else value for value in found
        ]
        assert formulas == run(program, [256 * x for x in there])


def test_a_number_that_is_looked_up_pins_its_region() -> None:
    region = Region((4,))
    (cells,) = region.extents(256)
    assert {cells: 1}
    assert region.holds((4,))
    assert not region.holds((5,))


@cache
def model_of(name: str) -> Model:
    return catalogue().find(name).model("Q4_K_M")


def buffers(model: Model, wanted: RunSettings, n_gpu: int) -> list[int]:
    assert model.hp is not None
    backends = ["cuda"] * n_gpu
    placement = place(
        n_layer_all=model.hp.n_layer_all, settings=wanted, free=[24 << 30] * n_gpu,
        backends=backends,
    )  # fmt: skip
    found = compute_buffers(model, wanted, placement, backends)
    assert found is not None
    return [*found.devices, found.host]


def forget() -> None:
    traces.measure.cache_clear()
    traces._known.cache_clear()


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    forget()
    yield
    forget()


def plain(model: Model, wanted: RunSettings, n_gpu: int) -> list[int]:
    """The simulation of this one context and placement, with plain numbers and every block."""
    forget()
    with (
        patch.object(Region, "extents", lambda self, unit: [unit * x for x in self.units]),
        patch.object(traces, "ATTEMPTS", 0),
    ):
        found = buffers(model, wanted, n_gpu)
    forget()
    return found


MODELS = [
    "Qwen/Qwen3-8B",
    "google/gemma-3-27b-it",
    "openai/gpt-oss-20b",
    "deepseek-ai/DeepSeek-V3.2",
    "deepseek-ai/DeepSeek-V4-Flash",
    "zai-org/GLM-5.3-Flash",
    "MiniMaxAI/MiniMax-M3",
    "Qwen/Qwen3-Next-80B-A3B-Instruct",
]


@pytest.mark.parametrize("name", MODELS)
def test_contexts_that_share_a_graph_get_what_their_own_would_say(name: str) -> None:
    pick = random.Random(name)
    n_gpu = pick.choice((1, 0, 2, 1))
    kv, flash = pick.choice((("f16", "auto"), ("q8_0", "auto"), ("f16", "off")))
    shared: dict[str, object] = {
        "ctk": kv, "ctv": kv, "flash_attn": flash, "parallel": pick.randint(1, 2),
        "n_cpu_moe": pick.choice((0, 5)) if n_gpu else 0,
    }  # fmt: skip
    model = model_of(name)
    wanted = [
        RunSettings.model_validate({"ctx": ctx, **shared})
        for ctx in pick.sample(range(1, 1 << 20), 2)
    ]
    alone = [plain(model, each, n_gpu) for each in wanted]
    assert [buffers(model, each, n_gpu) for each in wanted] == alone


@pytest.mark.parametrize("name", MODELS)
def test_ten_contexts_need_few_graphs(name: str) -> None:
    model = model_of(name)
    contexts = [4096 << power for power in range(10)]
    found = [buffers(model, RunSettings(ctx=ctx), 1)[0] for ctx in contexts]
    assert all(a < b for a, b in pairwise(found[2:]))
    # A choice of the best cells begins where there are more cells than it takes.
    made: list[bool] = []

    def simulate(*asked: Any) -> Any:
        found = original(*asked)
        made.append(found.complete)
        return found

    original = traces._simulate
    forget()
    with patch.object(traces, "_simulate", simulate):
        for ctx in contexts:
            buffers(model, RunSettings(ctx=ctx), 1)
    assert sum(made) <= 3


@pytest.mark.parametrize("name", MODELS)
def test_placements_that_share_a_graph_get_what_their_own_would_say(name: str) -> None:
    model = model_of(name)
    assert model.hp is not None
    pick = random.Random(name)
    ways = ("n_gpu_layers", "n_cpu_moe") if model.hp.n_expert else ("n_gpu_layers",)
    which, n_gpu = pick.choice(ways), pick.randint(1, 2)
    wanted = [
        RunSettings.model_validate({"ctx": 8192, which: border})
        for border in pick.sample(range(model.hp.n_layer + 1), 2)
    ]
    alone = [plain(model, each, n_gpu) for each in wanted]
    assert [buffers(model, each, n_gpu) for each in wanted] == alone
