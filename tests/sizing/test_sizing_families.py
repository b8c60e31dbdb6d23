"""Families that no other reference covers, on two devices, layer by layer.

Recorded from llama.cpp b11434 over a simulated CUDA runtime (compute capability 8.9, no_alloc).
"""

import json
from pathlib import Path

import pytest

from advisor.llm.catalogue import CatalogueEntry
from advisor.sizing.allocation import allocate
from advisor.sizing.settings import RunSettings
from tests.llm.llm_small_configs import SMALL
from tests.today import today

CASES: dict[str, tuple[tuple[int, int, int], ...]] = {
    "google/gemma-7b-it": (
        (2495029248, 4026531840, 320921600), (2828685312, 3489660928, 289448448),
    ),
    "LGAI-EXAONE/EXAONE-3.5-7.8B-Instruct": (
        (2215936256, 1140850688, 289464320), (2314584320, 1006632960, 247505408),
    ),
    "internlm/internlm2_5-7b-chat": (
        (2215936000, 1140850688, 289464320), (2281467904, 1006632960, 247505408),
    ),
    "bigcode/starcoder2-7b": (
        (2259150848, 570425344, 255909888), (2200381440, 503316480, 208708096),
    ),
    "arcee-ai/AFM-4.5B": (
        (1289615360, 637534208, 188801024), (1434532224, 570425344, 162570752),
    ),
    "swiss-ai/Apertus-8B-Instruct-2509": (
        (2276508928, 1140850688, 245424128), (2471492864, 1006632960, 203465216),
    ),
    "openbmb/MiniCPM4.1-8B": (
        (2407236096, 285212672, 302047232), (2387371776, 251658240, 260088320),
    ),
    "inclusionAI/Ling-flash-2.0": (
        (31594972160, 570425344, 379678720), (30461851648, 503316480, 337719808),
    ),
    "rednote-hilab/dots.llm1.inst": (
        (47435052288, 8589934592, 312008704), (46692632704, 8053063680, 262750720),
    ),
    "baidu/ERNIE-4.5-0.3B-PT": (
        (83222528, 167772160, 119595008), (155039744, 134217728, 109093376),
    ),
    "nvidia/NVIDIA-Nemotron-Nano-12B-v2": (
        (3428416000, 282181632, 431571968), (3680706048, 271400960, 480640512),
    ),
    "Qwen/Qwen2-VL-72B-Instruct": (
        (23346658944, 2751463424, 517292032), (23320427904, 2617245696, 433390080),
    ),
    "tencent/Hunyuan-7B-Instruct": (
        (2215953408, 1140850688, 289464320), (2401176576, 1006632960, 247505408),
    ),
}  # fmt: skip
"""Per device: weights, context, compute."""


@pytest.mark.parametrize("name", CASES)
def test_a_family_takes_what_llama_cpp_gives_it(name: str) -> None:
    model = today(name).model("Q4_K_M")
    settings = RunSettings(ctx=16384, n_outputs=1, repack=False)
    found = allocate(model, settings, ["cuda"] * 2, [1 << 42] * 2)
    assert found.context is not None
    assert found.compute is not None
    for device, figures in enumerate(CASES[name]):
        here = (found.weights, found.context, found.compute)
        assert tuple(part.devices[device] for part in here) == figures


FACTS = json.loads(Path(__file__).with_name("family_facts.json").read_text(encoding="utf-8"))
"""By small model (``tests/llm``): for each of ``ASKED`` weights, context and compute per device
and, last, of the host. T5 has one: llama.cpp ends itself over two slots."""
ASKED = (
    (2, RunSettings(ctx=16384, n_outputs=1, repack=False)),
    (
        1,
        RunSettings(
            ctx=4096, parallel=2, n_outputs=2, n_gpu_layers=3, flash_attn="off", repack=False
        ),
    ),
)


def test_every_small_family_was_recorded() -> None:
    assert set(FACTS) == set(SMALL)


@pytest.mark.parametrize("label", FACTS)
def test_a_small_family_takes_what_llama_cpp_gives_it(label: str) -> None:
    entry = CatalogueEntry.model_validate(
        {
            "id": label,
            "name": label,
            "maker": "nobody",
            "source": ["here"],
            "date": "2026-11-26",
            "config": SMALL[label],
        }
    )
    model = entry.model("Q4_K_M")
    for (devices, settings), figures in zip(ASKED, FACTS[label], strict=False):
        found = allocate(model, settings, ["cuda"] * devices, [1 << 42] * devices)
        assert found.context is not None
        assert found.compute is not None
        parts = (found.weights, found.context, found.compute)
        for device, (weights, context, compute) in enumerate(figures[:-1]):
            assert found.weights.devices[device] == weights
            assert found.context.devices[device] == context
            assert found.compute.devices[device] == compute
        assert [part.host for part in parts] == figures[-1]
