"""Weights, caches and state against llama.cpp's own accounting, to the byte."""

import functools
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from advisor import resources
from advisor.llm.catalogue import catalogue
from advisor.llm.model import Model
from advisor.llm.open import open_gguf
from advisor.sizing import memory
from advisor.sizing.allocation import flash_attention, place_model
from advisor.sizing.memory import ContextBytes
from advisor.sizing.placement import Placement
from advisor.sizing.settings import RunSettings
from advisor.sizing.weights import WeightBytes, weights
from tests.truth import TRUTH

EQUAL_CARDS = 24 << 30
"""The reference devices had equal free memory; how much does not matter."""


def placed(
    model: Model, settings: RunSettings, n_gpu: int
) -> tuple[Placement, WeightBytes, ContextBytes]:
    """Everything but compute buffers, whose simulation has tests of its own."""
    backends = ["cuda"] * n_gpu
    placement = place_model(model, settings, backends, [EQUAL_CARDS] * n_gpu)
    flash = flash_attention(model, settings)
    context = memory.context(model, settings, placement, backends, flash=flash)
    assert context is not None
    return placement, weights(model, settings, placement, backends), context


def shipped_cases() -> list[dict[str, Any]]:
    return json.loads(resources.path("reference_cases.json").read_bytes())["cases"]


@pytest.mark.parametrize("case", shipped_cases(), ids=lambda case: case["model"].split("/")[1])
def test_a_catalogue_model_is_placed_as_llama_cpp_places_it(case: dict[str, Any]) -> None:
    model = catalogue().find(case["model"]).model(case["file_type"])
    settings = RunSettings.model_validate(case["settings"])
    n_gpu = len(case["devices"])

    _, loaded, context = placed(model, settings, n_gpu)

    assert list(loaded.devices) == [device[0] for device in case["devices"]]
    assert list(context.devices) == [device[1] for device in case["devices"]]
    assert [loaded.host, context.host] == case["host"][:2]
    assert memory.output_bytes(model, settings) == case["output"]
    assert context.state == case["state"]
    kv = {kind: [c.cells, c.streams, c.bytes] for kind, c in context.kv.items()}
    assert kv == case["kv"]


def truth_settings(case: dict[str, Any]) -> RunSettings:
    return RunSettings(
        ctx=case["ctx"],
        ctk=case["ctk"],
        ctv=case["ctv"],
        batch_size=case["n_batch"],
        ubatch_size=case["n_ubatch"],
        parallel=case["n_seq"],
        kv_unified=case["kv_unified"],
        flash_attn=case["fa"],
        split_mode=case["split_mode"],
        n_cpu_moe="all" if case["cpu_moe"] else 0,
        kv_offload=case["offload_kqv"],
        load_mtp=case["load_mtp"],
        swa_full=case["swa_full"],
        ctx_type=case["ctx_type"],
        n_rs_seq=case["n_rs_seq"],
        n_outputs=case["n_outputs_max"] or case["n_batch"],
        repack=case["repack"],
    )


@pytest.mark.skipif(not TRUTH.exists(), reason="no reference headers beside this checkout")
def test_every_reference_case_is_equal_to_the_byte(tmp_path: Path) -> None:
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
    for number, line in enumerate(lines):
        case = json.loads(line)
        n_gpu = case["n_gpu"]
        model = model_of(f"{case['model']}.{case['file_type']}.gguf")
        settings = truth_settings(case)
        placement, loaded, context = placed(model, settings, n_gpu)
        buffers = case["buffers"]
        on_host = [name for name in buffers if name.startswith("CPU") or name == "CUDA_Host"]
        names = [f"CUDA{i}" for i in range(n_gpu)]
        kv = {kind: cache.model_dump() for kind, cache in context.kv.items()}
        same = (
            list(loaded.devices) == [buffers.get(n, {}).get("model", 0) for n in names]
            and list(context.devices) == [buffers.get(n, {}).get("context", 0) for n in names]
            and loaded.host == sum(buffers[n]["model"] for n in on_host)
            and context.host == sum(buffers[n]["context"] for n in on_host)
            and kv == case["kv"]
            and context.state == case["recurrent_state_bytes"]
            and memory.output_bytes(model, settings) == case["output_buffer_bytes"]
            and placement.n_copies == case["n_copies"]
        )
        if not same:
            wrong.append(f"line {number + 1}: {case['model']} {case['file_type']}")
    assert lines
    assert not wrong
