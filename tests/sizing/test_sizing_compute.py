"""Compute buffers against llama.cpp's own reservation, for every architecture we know."""

import functools
import gc
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_sizing_families import CASES as FAMILIES

from advisor.llm import architectures
from advisor.llm.catalogue import catalogue
from advisor.llm.model import Model
from advisor.llm.open import open_gguf
from advisor.sizing.compute import compute_buffers
from advisor.sizing.compute.allocator import FREE
from advisor.sizing.compute.graphs import GRAPHS
from advisor.sizing.compute.layout import representative
from advisor.sizing.compute.nodes import Node
from advisor.sizing.compute.replay import Arena, Repetition, Replay, peaks
from advisor.sizing.placement import place
from advisor.sizing.settings import RunSettings
from tests.llm.llm_small_configs import SMALL
from tests.today import today
from tests.truth import TRUTH

MIB = 1 << 20
FACTS = json.loads((Path(__file__).parent / "compute_facts.json").read_text())


def buffers(model: Model, settings: RunSettings, n_gpu: int) -> list[int]:
    assert model.hp is not None
    backends = ["cuda"] * n_gpu
    placement = place(
        n_layer_all=model.hp.n_layer_all,
        settings=settings,
        free=[24 << 30] * n_gpu,
        backends=backends,
    )
    found = compute_buffers(model, settings, placement, backends)
    assert found is not None
    return [*found.devices, found.host]


@pytest.mark.parametrize("name", sorted({case["model"] for case in FACTS["cases"]}))
def test_a_catalogue_model_reserves_what_llama_cpp_reserves(name: str) -> None:
    model = today(name).model(FACTS["file_type"])
    wrong = [
        (case, got)
        for case in FACTS["cases"]
        if case["model"] == name
        and (got := buffers(model, RunSettings(**case["settings"]), case["n_gpu"])) != case["bytes"]
    ]
    assert not wrong


def test_the_facts_cover_the_architectures_of_the_catalogue() -> None:
    names = {case["model"] for case in FACTS["cases"]} | set(FAMILIES)
    covered = {catalogue().find(name).model("Q4_K_M").hp for name in names}
    known = {entry.model("Q4_K_M").hp for entry in catalogue().entries}
    archs = {hp.arch for hp in covered if hp is not None}
    # Of these a small model was recorded (test_sizing_families).
    archs |= {architectures.from_config(config).arch for config in SMALL.values()}
    assert {hp.arch for hp in known if hp is not None and hp.arch in GRAPHS} <= archs


@pytest.mark.skipif(not TRUTH.exists(), reason="no reference headers beside this checkout")
def test_every_tenth_reference_case_is_equal_to_the_byte(tmp_path: Path) -> None:
    with tarfile.open(TRUTH / "headers.tar.xz") as tar:
        tar.extractall(tmp_path, filter="data")
    for name, entry in json.loads((tmp_path / "index.json").read_text()).items():
        with (tmp_path / name).open("r+b") as file:
            file.truncate(entry["file_bytes"])

    @functools.cache
    def model_of(name: str) -> Model:
        return open_gguf(tmp_path / name)

    wrong: list[str] = []
    lines = (TRUTH / "memory_cases.jsonl").read_text().splitlines()
    assert len(lines) > 700
    for line in lines[::10]:
        case = json.loads(line)
        settings = RunSettings(
            ctx=case["ctx"], ctk=case["ctk"], ctv=case["ctv"], batch_size=case["n_batch"],
            ubatch_size=case["n_ubatch"], parallel=case["n_seq"], kv_unified=case["kv_unified"],
            flash_attn=case["fa"], split_mode=case["split_mode"],
            n_cpu_moe="all" if case["cpu_moe"] else 0, kv_offload=case["offload_kqv"],
            load_mtp=case["load_mtp"], swa_full=case["swa_full"], ctx_type=case["ctx_type"],
            n_rs_seq=case["n_rs_seq"], n_outputs=case["n_outputs_max"] or case["n_batch"],
        )  # fmt: skip
        got = buffers(
            model_of(f"{case['model']}.{case['file_type']}.gguf"), settings, case["n_gpu"]
        )
        parts = case["buffers"]
        wanted = [parts.get(f"CUDA{i}", {}).get("compute", 0) for i in range(case["n_gpu"])]
        wanted.append(sum(part["compute"] for part in parts.values() if part["host"]))
        if got != wanted:
            wrong.append(f"{line}: {got}")
    assert not wrong


def test_file_types_share_one_simulation_unless_weights_are_copied() -> None:
    entry = catalogue().find("Qwen/Qwen3-30B-A3B")
    settings = RunSettings(ctx=8192)
    small, large = entry.model("Q4_K_M"), entry.model("Q8_0")
    assert buffers(small, settings, 1) == buffers(large, settings, 1)
    in_ram = RunSettings(ctx=8192, n_cpu_moe="all")
    assert buffers(small, in_ram, 1)[0] < buffers(large, in_ram, 1)[0]


@pytest.mark.parametrize("n_gpu", [1, 2])
def test_a_graph_goes_with_its_last_reference(n_gpu: int) -> None:
    # Casts (without a cache) and the copies of inputs for several GPUs.
    encoder = today("BAAI/bge-small-en-v1.5").model("F16")
    settings = RunSettings(ctx=768, ubatch_size=96)
    collects = gc.isenabled()
    gc.disable()
    try:
        gc.collect()
        buffers(encoder, settings, n_gpu)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left = [thing for thing in gc.garbage if isinstance(thing, Node)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        if collects:
            gc.enable()
    assert not left


def test_an_unknown_graph_is_unknown() -> None:
    entry = catalogue().find("Qwen/Qwen3-8B")
    model = entry.model("Q4_K_M")
    assert model.hp is not None
    stranger = Model(
        id="x", name="x", file_type="F16", source="gguf", tensors=model.tensors,
        hp=None, memory=model.memory,
    )  # fmt: skip
    placement = place(n_layer_all=36, settings=RunSettings(), free=[1 << 34], backends=["cuda"])
    assert compute_buffers(stranger, RunSettings(), placement, ["cuda"]) is None


def test_more_context_never_needs_less() -> None:
    model = catalogue().find("google/gemma-3-27b-it").model("Q4_K_M")
    sizes = [buffers(model, RunSettings(ctx=1024 << i), 1) for i in range(2, 11)]
    assert sizes == sorted(sizes)


@given(st.lists(st.integers(0, 64), min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_an_arena_never_gives_the_same_bytes_twice(sizes: list[int], random: Any) -> None:
    arena = Arena()
    live: list[tuple[int, int]] = []
    for size in sizes:
        if live and random.random() < 0.4:
            arena.release(*live.pop(random.randrange(len(live))))
        offset = arena.allocate(size * 128)
        for start, length in live:
            assert offset + size * 128 <= start or start + length <= offset or not size * length
        live.append((offset, size * 128))
        assert arena.peak >= offset + size * 128


@given(st.lists(st.integers(1, 9), min_size=2, max_size=6), st.integers(0, 40))
def test_repetitions_that_are_left_out_count_like_built_ones(sizes: list[int], extra: int) -> None:
    def repetition(first: int, carried: int) -> list[tuple[int, int, int]]:
        """Take blocks, give back what the one before left, keep the last."""
        taken = [(0, first + i, size * 128) for i, size in enumerate(sizes)]
        freed = [(0, first + i, FREE) for i in range(len(sizes) - 1)]
        return [*taken, (0, carried, FREE), *freed]

    n = len(sizes)

    def all_of(count: int) -> list[tuple[int, int, int]]:
        events = [(0, 0, 128)]
        carried = 0
        for i in range(count):
            events += repetition(1 + i * n, carried)
            carried = i * n + n
        return events

    kept = all_of(4)
    length = 2 * n
    shortened = Repetition(1, 1 + length, 1 + 2 * length, 1 + 3 * length, extra, {})
    whole = Replay(1)
    whole.run(all_of(4 + extra))
    assert peaks(kept, [shortened], 1) == whole.peaks


@pytest.mark.parametrize(
    ("kinds", "lead", "last", "blocks"),
    [
        ("aaaaaaaa", 3, False, (0, 1, 2, 7)),
        ("aaaaaaaab", 3, False, (0, 1, 2, 8)),
        ("aaaaaaaab", 3, True, (0, 1, 2, 7, 8)),
        ("aaaaaaaa", 4, True, (0, 1, 2, 3, 7)),
        ("dddaaaaaaaa", 3, False, (0, 1, 2, 3, 4, 5, 10)),
        ("abababababab", 3, False, (0, 1, 2, 3, 4, 5, 10, 11)),
        ("abcd", 3, False, (0, 1, 2, 3)),
    ],
)
def test_blocks_that_repeat_stand_for_each_other(
    kinds: str, lead: int, *, last: bool, blocks: tuple[int, ...]
) -> None:
    assert representative(list(kinds), lead, last=last).blocks == blocks


def on(backend: str, **settings: Any) -> tuple[int, int]:
    """Compute bytes on one device of a backend, and on the host."""
    model = catalogue().find("meta-llama/Llama-3.1-8B-Instruct").model("Q4_K_M")
    wanted = RunSettings(ctx=131072, **settings)
    placement = place(n_layer_all=32, settings=wanted, free=[1 << 36], backends=[backend])
    found = compute_buffers(model, wanted, placement, [backend])
    assert found is not None
    return found.devices[0], found.host


def test_each_backend_sizes_attention_by_its_own_rules() -> None:
    # One layer's K and V of 131,072 tokens × 8 heads × 128 values, in F16.
    copies = 2 * 131072 * 8 * 128 * 2
    plain, quantized = {}, {}
    for backend in ("cuda", "rocm", "vulkan", "metal"):
        plain[backend], _ = on(backend)
        quantized[backend], _ = on(backend, ctk="q8_0", ctv="q8_0")
    assert plain["rocm"] == plain["cuda"]
    assert quantized["rocm"] == quantized["cuda"]
    # CUDA copies what is quantized, Metal reserves the copies always, Vulkan never.
    assert quantized["cuda"] - plain["cuda"] > copies // 2
    assert abs(plain["vulkan"] - plain["cuda"]) < MIB
    assert abs(quantized["vulkan"] - plain["vulkan"]) < MIB
    assert abs(quantized["metal"] - plain["metal"]) < copies // 32
    assert plain["metal"] > plain["vulkan"] + copies // 2


def test_metal_has_no_flash_attention_for_mixed_types() -> None:
    scores = 131072 * 512 * 32 * 4
    assert on("metal", ctk="f16", ctv="bf16")[0] > scores
    assert on("cuda", ctk="f16", ctv="bf16")[0] < scores
