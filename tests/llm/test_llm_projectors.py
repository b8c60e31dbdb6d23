"""Projectors of catalogue models against published files and llama.cpp's own figures."""

from typing import Any

import pytest

from advisor.answers import accompanied
from advisor.errors import ModelError, UnknownModel
from advisor.hardware.compose import parse_rig
from advisor.llm.catalogue import catalogue
from advisor.llm.projectors import projector
from advisor.sizing import size
from advisor.sizing.compute import projector_compute
from advisor.sizing.plan import Plan
from advisor.sizing.settings import RunSettings
from tests.projectors import CASES

HEADER = 120_000
"""Bytes that the keys and the tensor list of a projector's file take at most (1,411 tensors)."""

# Sizes of files on Hugging Face: bytes of the uploads' git-lfs pointers.
PUBLISHED = [
    # bartowski/Qwen2-VL-…-Instruct-GGUF
    ("Qwen/Qwen2-VL-2B-Instruct", "F16", 1331656192),
    ("Qwen/Qwen2-VL-2B-Instruct", "F32", 2661115392),
    ("Qwen/Qwen2-VL-7B-Instruct", "F16", 1352635904),
    ("Qwen/Qwen2-VL-7B-Instruct", "F32", 2703066624),
    # hfmaster/models-moved
    ("Qwen/Qwen2.5-VL-7B-Instruct", "F16", 1354163040),
    ("google/gemma-3-12b-it", "BF16", 854200448),
    # LateMonk/ForestControl_Models
    ("Qwen/Qwen3-VL-4B-Instruct", "F16", 836180640),
    # khtsly/Mini-Coder-GGUF
    ("Qwen/Qwen3.5-9B", "BF16", 921704576),
    # unsloth/…-GGUF: mmproj-F16.gguf
    ("Qwen/Qwen3.5-2B", "F16", 668227264),
    ("Qwen/Qwen3.5-4B", "F16", 672423616),
    ("Qwen/Qwen3.5-9B", "F16", 918166080),
    ("Qwen/Qwen3.5-27B", "F16", 927607040),
    ("Qwen/Qwen3.5-35B-A3B", "F16", 899283648),
    ("google/gemma-4-E2B-it", "F16", 985654080),
    ("google/gemma-4-E4B-it", "F16", 990372672),
    ("google/gemma-4-12B-it", "F16", 175115840),
    ("google/gemma-4-26B-A4B-it", "F16", 1193058784),
    ("google/gemma-4-31B-it", "F16", 1198957024),
]


def weights(name: str, file_type: str) -> int:
    return sum(tensor.nbytes for tensor in catalogue().find(name).projector(file_type).tensors)


@pytest.mark.parametrize(("name", "file_type", "published"), PUBLISHED)
def test_the_tensors_are_those_of_the_published_file(
    name: str, file_type: str, published: int
) -> None:
    assert 0 < published - weights(name, file_type) < HEADER


@pytest.mark.parametrize(
    ("name", "file_type", "printed"),
    [
        # koboldcpp/mmproj and maxnocker/model: whole MB, or hundredths of a GB.
        ("google/gemma-3-4b-it", "F16", (851, 1e6)),
        ("google/gemma-3-12b-it", "F16", (854, 1e6)),
        ("google/gemma-3-27b-it", "F16", (858, 1e6)),
        ("Qwen/Qwen2.5-VL-7B-Instruct", "BF16", (1.36, 1e9)),
    ],
)
def test_sizes_are_those_printed(name: str, file_type: str, printed: tuple[float, float]) -> None:
    figure, unit = printed
    digits = 0 if unit == 1e6 else 2
    assert round(weights(name, file_type) / unit, digits) == figure


@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("google/gemma-3-4b-it", "Gemma 3"),
        ("Qwen/Qwen2-VL-2B-Instruct", "Qwen2 VL"),
        ("Qwen/Qwen2.5-VL-7B-Instruct", "Qwen2.5 VL"),
        ("Qwen/Qwen3-VL-8B-Instruct", "Qwen3 VL 8B"),
        ("meta-llama/Llama-4-Scout-17B-16E-Instruct", "Llama 4"),
        ("google/gemma-4-31B-it", "Gemma 4 31B"),
        ("moonshotai/Kimi-K2.6", "Kimi K2.5"),
        ("moonshotai/Kimi-VL-A3B-Thinking", "Kimi VL"),
        ("zai-org/GLM-4.5V", "GLM 4.1V"),
        ("OpenGVLab/InternVL3-8B", "InternVL 3 8B"),
        ("HuggingFaceTB/SmolVLM2-500M-Video-Instruct", "SmolVLM"),
    ],
)
def test_the_buffer_is_what_llama_cpp_reserves(name: str, case: str) -> None:
    known, on_cuda, without = CASES[case]
    found = catalogue().find(name).projector()
    assert {t.name: t.shape for t in found.tensors} == {t.name: t.shape for t in known.tensors}
    assert projector_compute(found, "") == (0, without)
    assert projector_compute(found, "cuda") == on_cuda


# llama.cpp b11434 itself (mtmd_get_memory_usage, no weights loaded), given files of these tensors:
# bytes with a simulated CUDA device, beside it on the host, and without devices.
RESERVED = [
    ("meta-llama/Llama-4-Scout-17B-16E-Instruct", "BF16", 1787319680, 9748992, 1769261632),
    ("meta-llama/Llama-4-Scout-17B-16E-Instruct", "F16", 1785663872, 9748992, 1767605824),
    ("meta-llama/Llama-4-Scout-17B-16E-Instruct", "Q8_0", 972010880, 9748992, 953952832),
    ("mistralai/Ministral-3-3B-Instruct-2512", "BF16", 917499904, 8388640, 917499904),
    ("mistralai/Ministral-3-3B-Instruct-2512", "F16", 907907072, 8388640, 907907072),
    ("mistralai/Ministral-3-3B-Instruct-2512", "Q8_0", 528216064, 8388640, 528216064),
    ("mistralai/Mistral-Medium-3.5-128B", "BF16", 5505240064, 20447232, 5498424320),
    ("mistralai/Mistral-Medium-3.5-128B", "F16", 5481132032, 20447232, 5474316288),
    ("mistralai/Mistral-Medium-3.5-128B", "Q8_0", 3005860864, 20447232, 2999045120),
    ("Qwen/Qwen3-VL-2B-Instruct", "BF16", 1160675584, 26136832, 1160675584),
    ("Qwen/Qwen3-VL-2B-Instruct", "F16", 1157529856, 26136832, 1157529856),
    ("Qwen/Qwen3-VL-2B-Instruct", "Q8_0", 783188224, 26136832, 783188224),
    ("Qwen/Qwen3.5-0.8B", "BF16", 376481024, 26136832, 376481024),
    ("Qwen/Qwen3.5-0.8B", "F16", 374121728, 26136832, 374121728),
    ("Qwen/Qwen3.5-0.8B", "Q8_0", 285058304, 26136832, 285058304),
    ("Qwen/Qwen3.5-9B", "BF16", 1181834432, 26136832, 1181834432),
    ("Qwen/Qwen3.5-9B", "F16", 1178295488, 26136832, 1178295488),
    ("Qwen/Qwen3.5-9B", "Q8_0", 884359232, 26136832, 884359232),
    ("google/gemma-3-27b-it", "BF16", 984853952, 9633792, 984853952),
    ("google/gemma-3-27b-it", "F16", 984853952, 9633792, 984853952),
    ("google/gemma-3-27b-it", "Q8_0", 724980032, 9633792, 724980032),
]


@pytest.mark.parametrize(("name", "file_type", "on_cuda", "beside", "without"), RESERVED)
def test_weights_and_buffer_are_what_llama_cpp_takes(
    name: str, file_type: str, on_cuda: int, beside: int, without: int
) -> None:
    held, found = weights(name, file_type), catalogue().find(name).projector(file_type)
    assert projector_compute(found, "cuda") == (on_cuda - held, beside)
    assert projector_compute(found, "") == (0, without - held)


def test_mistrals_projector_is_that_of_the_published_file() -> None:
    facts = catalogue().find("mistralai/Ministral-3-3B-Instruct-2512").vision
    assert facts is not None
    # koboldcpp/mmproj: mmproj-mistralai_Mistral-Small-3.1-24B-Instruct-2503-f16.gguf, the same
    # tower in front of a wider model.
    found = projector(facts.model_copy(update={"out": 5120}), "F16")
    assert 0 < 878054144 - sum(tensor.nbytes for tensor in found.tensors) < HEADER
    known, on_cuda, without = CASES["Mistral Small 3.2"]
    assert {t.name: t.shape for t in found.tensors} == {t.name: t.shape for t in known.tensors}
    assert projector_compute(found, "cuda") == on_cuda
    assert projector_compute(found, "") == (0, without)


def plan(**given: Any) -> Plan:
    settings = RunSettings.model_validate({"ctx": 4096, **given})
    model = accompanied(catalogue().find("Qwen/Qwen3-VL-8B-Instruct").model("Q4_K_M"), settings)
    return size(model, parse_rig("RTX 4090 + 64 GB DDR5-6000"), settings)


def test_a_plan_counts_the_projector_that_the_catalogue_knows() -> None:
    own = "Qwen/Qwen3-VL-8B-Instruct"
    found = plan(mmproj=own)
    buffer = CASES["Qwen3 VL 8B"][1]
    assert found.projector_buffer
    assert 0 <= found.devices[0].projector - weights(own, "F16") - buffer[0] < 1 << 17
    assert found.host.projector == buffer[1]
    assert found.devices[0].total - plan().devices[0].total == found.devices[0].projector
    words = found.command
    assert words[words.index("--mmproj") + 1] == "mmproj-Qwen3-VL-8B-Instruct-F16.gguf"
    assert any("vision_config" in note for note in found.notes)
    term = found.explanations["CUDA0.projector"].terms[0]
    assert term.source is not None
    assert "MmprojModel" in term.source
    smaller = plan(mmproj=f"{own}:q8_0")
    assert smaller.devices[0].projector < found.devices[0].projector
    assert "mmproj-Qwen3-VL-8B-Instruct-Q8_0.gguf" in smaller.command
    entry = catalogue().find(own)
    assert entry.projector() is entry.projector("f16")  # its buffer is computed once


def test_every_projector_of_the_catalogue_can_be_sized() -> None:
    known = [entry for entry in catalogue().entries if entry.vision is not None]
    assert len(known) >= 20
    for entry in known:
        assert "vision" in entry.abilities
        assert entry.vision is not None
        assert entry.vision.out == entry.hp.n_embd
        # What the encoder of sound computes is not known, and not left out in silence.
        assert (projector_compute(entry.projector(), "cuda") is None) == bool(entry.vision.sound)


def test_what_is_not_known_is_said() -> None:
    for name, said in (
        ("Qwen/Qwen3-8B", "does not know a projector of Qwen3 8B"),
        ("Qwen/Qwen3-VL-8B-Instruct:Q4_K_M", "not “Q4_K_M”"),
        ("mmproj.gguf", "There is no file"),
    ):
        with pytest.raises(ModelError, match=said):
            plan(mmproj=name)
    with pytest.raises(UnknownModel):
        plan(mmproj="nobody/nothing")
