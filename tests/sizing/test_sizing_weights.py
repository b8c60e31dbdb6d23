"""Weights that llama.cpp does not place like the others, to the byte (b11434, no_alloc)."""

import pytest

from advisor.llm import architectures
from advisor.llm.catalogue import catalogue
from advisor.llm.filetypes import assign
from advisor.llm.model import Model
from advisor.sizing.allocation import allocate
from advisor.sizing.explain import weight_parts
from advisor.sizing.placement import HOST
from advisor.sizing.settings import RunSettings
from tests.llm.llm_small_configs import SMALL


def small_model(label: str) -> Model:
    hp = architectures.from_config(SMALL[label])
    family = architectures.architecture(hp.arch)
    assert family is not None
    tensors = assign(hp, family.tensors(hp), "Q4_K_M")
    memory = family.memory(hp)
    return Model(
        id=label, name=label, file_type="Q4_K_M", source="catalogue", tensors=tensors, hp=hp,
        memory=memory,
    )  # fmt: skip


def model_of(name: str, file_type: str) -> Model:
    return catalogue().find(name).model(file_type) if "/" in name else small_model(name)


@pytest.mark.parametrize(
    ("name", "file_type", "settings", "sizes"),
    [
        # NextN tensors that are loaded although their layer is skipped.
        ("hy_v3", "Q4_K_M", {}, [15493632, 1179648]),
        ("step35", "Q4_K_M", {}, [14709632, 1179648]),
        ("zai-org/GLM-5", "Q4_K_M", {}, [447869588992, 535265280]),
        # Rope factors only where a block reads them.
        ("gemma4", "Q4_K_M", {}, [3938688, 3378560, 1720320]),
        ("gemma4", "Q4_K_M", {}, [2524416, 1414272, 1656192, 1722368, 1720320]),
        # Types that no device multiplies with, experts in RAM or not.
        ("Qwen/Qwen3-30B-A3B", "TQ1_0", {}, [306427904, 6481428480]),
        ("Qwen/Qwen3-30B-A3B", "TQ1_0", {"n_cpu_moe": "all"}, [306427904, 6481428480]),
    ],
)
def test_exceptions_are_llama_cpps(
    name: str, file_type: str, settings: dict[str, object], sizes: list[int]
) -> None:
    model = model_of(name, file_type)
    backends = ["cuda"] * (len(sizes) - 1)
    run = RunSettings.model_validate({"ctx": 16384, **settings})

    found = allocate(model, run, backends, [24 << 30] * len(backends))

    assert [*found.weights.devices, found.weights.host] == sizes
    for device in (*range(len(backends)), HOST):
        parts = weight_parts(model, run, found, backends, device)
        assert sum(size for _, size, _ in parts) == sizes[device]


@pytest.mark.parametrize(
    ("free", "sizes"),
    [
        ([0, 24 << 30], [0, 633495552]),
        ([24 << 30, 0, 100 << 20], [633495552, 0, 0]),
        # Where free memory is not known, all get as much.
        ([None, 24 << 30], [250813440, 382682112]),
    ],
)
def test_a_device_without_free_memory_gets_nothing(
    free: list[int | None], sizes: list[int]
) -> None:
    # llama.cpp b11549 over simulated CUDA devices with so much free
    model = catalogue().find("Qwen/Qwen3-0.6B").model("Q8_0")
    found = allocate(model, RunSettings(ctx=4096), ["cuda"] * len(free), free)
    assert list(found.weights.devices) == sizes
