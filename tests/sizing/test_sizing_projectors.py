"""Compute buffers of vision projectors against llama.cpp's own."""

from dataclasses import replace
from typing import Any

import pytest

from advisor.answers import accompanied
from advisor.hardware.compose import parse_rig
from advisor.llm.catalogue import catalogue
from advisor.llm.tensor import TYPES, Tensor
from advisor.sizing import size
from advisor.sizing.compute import picture_side, projector_compute
from advisor.sizing.plan import Plan
from advisor.sizing.settings import RunSettings
from tests.projectors import CASES


@pytest.mark.parametrize("name", CASES)
def test_a_projector_reserves_what_llama_cpp_reserves(name: str) -> None:
    projector, on_cuda, without = CASES[name]
    assert projector_compute(projector, "cuda") == on_cuda
    assert projector_compute(projector, "") == (0, without)


def plan(name: str, rig: str, **given: Any) -> Plan:
    settings = RunSettings.model_validate({"ctx": 4096, **given})
    model = accompanied(catalogue().find("Qwen/Qwen3-8B").model("Q4_K_M"), settings)
    return size(replace(model, projector=CASES[name][0]), parse_rig(rig), settings)


def test_the_buffer_is_part_of_the_plan_and_of_its_explanation() -> None:
    projector, (device, host), without = CASES["Qwen2.5 VL"]
    weights = sum(tensor.nbytes for tensor in projector.tensors)
    found = plan("Qwen2.5 VL", "2x RTX 4090 + 64 GB DDR5-6000")
    assert found.projector_buffer
    assert 0 <= found.devices[0].projector - weights - device < 1 << 18
    assert (found.devices[1].projector, found.host.projector) == (0, host)
    assert "buffer" in found.explanations["CUDA0.projector"].formula
    assert any("1288 × 1288" in note for note in found.notes)
    assert picture_side(projector) == 1288
    found = plan("Qwen2.5 VL", "2x RTX 4090 + 64 GB DDR5-6000", mmproj_offload=False)
    assert found.devices[0].projector == 0
    assert 0 <= found.host.projector - weights - without < 1 << 18


def test_what_is_not_known_of_a_projector_is_said() -> None:
    known = CASES["Gemma 3"][0]
    sound = Tensor("a.blk.0.attn_q.weight", (8, 8), TYPES["F16"])
    for projector in (
        replace(known, kind="resampler"),
        replace(known, tensors=(*known.tensors, sound)),
        replace(known, tensors=known.tensors[1:]),
        replace(known, metadata={}),
        replace(known, metadata={**known.metadata, "clip.vision.block_count": 1 << 30}),
        replace(known, metadata={**known.metadata, "clip.vision.image_size": 1 << 30}),
        replace(known, metadata={**known.metadata, "clip.vision.attention.head_count": 0}),
        replace(known, metadata={**known.metadata, "clip.vision.patch_size": "14"}),
    ):
        assert projector_compute(projector, "cuda") is None
        settings = RunSettings(ctx=4096)
        model = replace(catalogue().find("Qwen/Qwen3-8B").model("Q4_K_M"), projector=projector)
        found = size(model, parse_rig("RTX 4090 + 64 GB DDR5-6000"), settings)
        assert not found.projector_buffer
        assert any("only the weights are counted" in note for note in found.notes)
