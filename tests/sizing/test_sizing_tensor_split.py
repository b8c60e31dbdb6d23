"""-sm tensor: slices equal to what llama.cpp allocates per device, and what it refuses."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.errors import SettingsError
from advisor.llm.model import Model
from advisor.sizing.allocation import allocate
from advisor.sizing.settings import RunSettings
from tests.today import today

FACTS = json.loads((Path(__file__).parent / "tensor_split_facts.json").read_text())


def model(name: str, file_type: str) -> Model:
    return today(name).model(file_type)


def settings(**update: object) -> RunSettings:
    plain = RunSettings(split_mode="tensor", n_gpu_layers="all", n_cpu_moe=0)
    return plain.model_copy(update=update)


@pytest.mark.parametrize(
    "case", FACTS["cases"], ids=lambda case: f"{case['model']}-{case['n_gpu']}"
)
def test_every_device_holds_what_llama_cpp_allocates(case: dict) -> None:
    n = case["n_gpu"]
    asked = settings(
        ctx=case["ctx"],
        ctk=case["kv"],
        ctv=case["kv"],
        parallel=case["n_seq"],
        ubatch_size=case["n_ubatch"],
        tensor_split=tuple(case["tensor_split"]),
        n_cpu_moe=case["n_cpu_moe"],
        n_outputs=case["n_seq"],  # recorded without --embeddings, encoders too
    )

    found = allocate(model(case["model"], case["file_type"]), asked, ("cuda",) * n, (80 << 30,) * n)

    assert list(found.weights.devices) == case["weights"]
    assert found.context is not None
    assert found.compute is not None
    assert list(found.context.devices) == case["context"]
    assert found.compute.devices == (case["compute"],) * n
    assert found.compute.host == case["compute_host"]
    assert found.context.devices == tuple(
        sum(part.size for part in found.context.parts if part.device == device)
        for device in range(n)
    )


def test_tensors_go_to_ram_by_hand_but_to_no_single_device() -> None:
    small = model("Qwen/Qwen3-0.6B", "Q8_0")
    free = (24 << 30,) * 2
    asked = settings(ctx=4096, override_tensor=("ffn_down=CUDA1",))
    with pytest.raises(SettingsError, match="joins all of them"):
        allocate(small, asked, ("cuda", "cuda"), free)
    in_ram = asked.model_copy(update={"override_tensor": ("ffn=CPU",)})
    found = allocate(small, in_ram, ("cuda", "cuda"), free)
    assert found.weights.host == 446177280  # llama.cpp b11549, no_alloc


def test_free_memory_does_not_move_the_cut() -> None:
    small = model("Qwen/Qwen3-0.6B", "Q8_0")
    cuts = [
        allocate(small, settings(ctx=4096), ("cuda", "cuda"), free).weights
        for free in ((8 << 30, 8 << 30), (24 << 30, 8 << 30))
    ]
    assert cuts[0] == cuts[1]


@given(
    shares=st.lists(st.integers(0, 9), min_size=2, max_size=6).filter(any),
    kv=st.sampled_from(["f16", "q8_0"]),
)
def test_slices_of_a_matrix_add_up_to_it(shares: list[int], kv: str) -> None:
    small = model("Qwen/Qwen3-0.6B", "Q8_0")
    n = len(shares)
    asked = settings(ctx=4096, ctk=kv, ctv=kv, tensor_split=tuple(map(float, shares)))
    cut = allocate(small, asked, ("cuda",) * n, (None,) * n)
    one = allocate(small, settings(ctx=4096, ctk=kv, ctv=kv), ("cuda",), (None,))

    assert cut.context is not None
    assert one.context is not None
    # Quantized rows that do not fill 512 values are padded on every device.
    more = sum(cut.context.devices) - one.context.devices[0]
    assert 0 <= more <= (0 if kv == "f16" else n * 2 * 28 * 1024)
    copied = sum(cut.weights.devices) - one.weights.devices[0]
    embedding = next(t for t in small.tensors if t.name == "token_embd.weight").nbytes
    # The tied embedding and the norms are on every device; the rest is nowhere twice.
    assert 0 <= copied - (n - 1) * embedding < (n - 1) * (2 << 20)


def test_what_llama_cpp_refuses_is_refused_with_a_sentence() -> None:
    ends = ("ibm-granite/granite-swash-3b-a600m", "nvidia/Llama-3_3-Nemotron-Super-49B-v1_5")
    small = model("Qwen/Qwen3-0.6B", "Q8_0")
    two, free = ("cuda", "cuda"), (None, None)
    for name in ("deepseek-ai/DeepSeek-V3.2", *ends):
        with pytest.raises(SettingsError, match="-sm layer"):
            allocate(model(name, "Q4_K_M"), settings(ctx=4096), two, free)
    with pytest.raises(SettingsError, match="flash attention"):
        allocate(small, settings(ctx=4096, flash_attn="off"), two, free)
    with pytest.raises(SettingsError, match="row split"):
        allocate(small, settings(ctx=4096, split_mode="row"), two, free)


def test_cards_of_two_kinds_are_unknown_rather_than_guessed() -> None:
    small = model("Qwen/Qwen3-0.6B", "Q8_0")
    found = allocate(small, settings(ctx=4096), ("cuda", "vulkan"), (None, None))
    assert found.context is None
    assert found.compute is None
