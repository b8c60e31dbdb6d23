"""Weights, caches and state against llama.cpp's own accounting, to the byte."""

import functools
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from conftest import TRUTH

from advisor import resources
from advisor.llm.catalogue import catalogue
from advisor.llm.model import Model
from advisor.llm.open import open_gguf
from advisor.sizing.allocation import allocate
from advisor.sizing.settings import RunSettings

EQUAL_CARDS = 24 << 30
"""The reference devices had equal free memory; how much does not matter."""


def shipped_cases() -> list[dict[str, Any]]:
    return resources.read_json("reference_cases.json")["cases"]


@pytest.mark.parametrize("case", shipped_cases(), ids=lambda case: case["model"].split("/")[1])
def test_a_catalogue_model_is_placed_as_llama_cpp_places_it(case: dict[str, Any]) -> None:
    model = catalogue().find(case["model"]).model(case["file_type"])
    settings = RunSettings.model_validate(case["settings"])
    n_gpu = len(case["devices"])

    got = allocate(model, settings, ["cuda"] * n_gpu, [EQUAL_CARDS] * n_gpu)

    assert got.context is not None
    assert list(got.weights.devices) == [device[0] for device in case["devices"]]
    assert list(got.context.devices) == [device[1] for device in case["devices"]]
    assert [got.weights.host, got.context.host] == case["host"][:2]
    assert got.output == case["output"]
    assert got.context.state == case["state"]
    kv = {kind: [c.cells, c.streams, c.bytes] for kind, c in got.context.kv.items()}
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
        got = allocate(model, truth_settings(case), ["cuda"] * n_gpu, [EQUAL_CARDS] * n_gpu)
        assert got.context is not None
        buffers = case["buffers"]
        on_host = [name for name in buffers if name.startswith("CPU") or name == "CUDA_Host"]
        names = [f"CUDA{i}" for i in range(n_gpu)]
        kv = {kind: cache.model_dump() for kind, cache in got.context.kv.items()}
        same = (
            list(got.weights.devices) == [buffers.get(n, {}).get("model", 0) for n in names]
            and list(got.context.devices) == [buffers.get(n, {}).get("context", 0) for n in names]
            and got.weights.host == sum(buffers[n]["model"] for n in on_host)
            and got.context.host == sum(buffers[n]["context"] for n in on_host)
            and kv == case["kv"]
            and got.context.state == case["recurrent_state_bytes"]
            and got.output == case["output_buffer_bytes"]
            and got.placement.n_copies == case["n_copies"]
        )
        if not same:
            wrong.append(f"line {number + 1}: {case['model']} {case['file_type']}")
    assert lines
    assert not wrong
