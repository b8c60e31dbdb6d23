"""One matrix, the whole catalogue, one plan, one solution: seconds against what they may take.

Models and compute buffers are known (a second look at the same models); every round has another
amount of free memory, so every cell is judged anew. Run with ``make bench``.
"""

from collections.abc import Callable, Iterator
from itertools import count

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from advisor.advice.picks import TOGETHER
from advisor.hardware.compose import parse_rig
from advisor.hardware.rig import Rig
from advisor.llm.catalogue import catalogue
from advisor.llm.model import Model
from advisor.sizing import size
from advisor.sizing.matrix import Matrices, matrix
from advisor.sizing.settings import RunSettings
from advisor.sizing.solver import solve

CONTEXTS = tuple(1024 << power for power in range(2, 12))
SETTINGS = RunSettings()
LIMITS = {"matrix": 0.016, "catalogue": 0.250, "plan": 0.005, "solver": 0.020}
"""Seconds."""
FILE_TYPES = 13


@pytest.fixture(scope="module")
def models() -> list[dict[str, Model]]:
    rows: list[dict[str, Model]] = []
    for entry in catalogue().entries:
        names = list(dict.fromkeys((*entry.file_types, "Q5_K_S", "Q4_K_S", "Q3_K_S", "Q2_K_S")))
        rows.append({name: entry.model(name) for name in names[:FILE_TYPES]})
    return rows


def rigs(text: str) -> Iterator[Rig]:
    """The same rig with ever less free memory."""
    rig = parse_rig(text)
    for used in count(0, 1 << 20):
        devices = tuple(d.model_copy(update={"memory_used": used}) for d in rig.devices)
        yield rig.model_copy(update={"devices": devices})


def judge(name: str, benchmark: BenchmarkFixture, run: Callable[[], object], rounds: int) -> None:
    run()
    benchmark.pedantic(run, rounds=rounds, warmup_rounds=2)
    if benchmark.stats is not None:
        seconds = benchmark.stats.stats.min
        print(f"\n{name}: {seconds * 1000:.1f} ms, {seconds / LIMITS[name]:.2f} of its limit")


def test_one_matrix(benchmark: BenchmarkFixture, models: list[dict[str, Model]]) -> None:
    rows = models[len(models) // 2]
    some = rigs("RTX 4090 + 64 GB DDR5-6000")
    assert len(rows) * len(CONTEXTS) == FILE_TYPES * 10

    judge("matrix", benchmark, lambda: matrix(rows, next(some), SETTINGS, CONTEXTS), 20)


def test_the_whole_catalogue(benchmark: BenchmarkFixture, models: list[dict[str, Model]]) -> None:
    some = rigs("2x RTX 4090 + 128 GB DDR5-6000")

    def run() -> None:
        matrices = Matrices(next(some), SETTINGS)
        for start in range(0, len(models), TOGETHER):
            together = models[start : start + TOGETHER]
            matrices.fill([matrices.ask(rows, CONTEXTS) for rows in together])

    judge("catalogue", benchmark, run, 5)


def test_one_plan(benchmark: BenchmarkFixture) -> None:
    model = catalogue().find("Qwen/Qwen3-30B-A3B").model("Q4_K_M")
    some = rigs("RTX 4090 + 64 GB DDR5-6000")

    judge("plan", benchmark, lambda: size(model, next(some), SETTINGS), 20)


def test_eight_cards_and_a_hundred_layers(benchmark: BenchmarkFixture) -> None:
    # 94 blocks is the deepest mixture of experts of the catalogue that people run on many cards.
    model = catalogue().find("Qwen/Qwen3-235B-A22B-Instruct-2507").model("Q8_0")
    some = rigs("4x RTX 4090 + 4x RTX 3090 + 512 GB DDR5-4800")
    fit = RunSettings(n_gpu_layers="fit", n_cpu_moe="fit")

    judge("solver", benchmark, lambda: solve(model, next(some), fit), 10)
