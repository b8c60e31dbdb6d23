"""Kernels: what a token starts beyond what it reads, and those that only some files need."""

import pytest

from advisor.hardware.compose import parse_rig
from advisor.hardware.rig import Rig
from advisor.llm.catalogue import catalogue
from advisor.sizing import speed_sums as sums
from advisor.sizing.calibration import Calibration
from advisor.sizing.speed_data import speed_data
from tests.sizing.speed_cases import mid, model, speed

FORMULA = Calibration(source="formula alone")


def on(text: str, backend: str) -> Rig:
    """A rig of one device, under a backend."""
    rig = parse_rig(text)
    device = rig.devices[0].model_copy(update={"backend": backend})
    return rig.model_copy(update={"devices": (device, *rig.devices[1:])})


def columns(name: str, file_type: str) -> dict[str, float]:
    """Sums of a catalogue model by kind of kernel."""
    known = sums.model_sums(catalogue().find(name).model(file_type))
    assert known is not None
    total = known.layers.sum(axis=0)
    return dict(zip(sums.KERNEL_KINDS, total[sums.KERNELS], strict=True)) | {
        "steps": float(total[sums.STEPS])
    }


def test_tensors_tell_what_a_token_starts() -> None:
    llama = columns("meta-llama/Llama-3.1-8B-Instruct", "Q4_K_M")
    assert llama["matrix"] == 32 * 7 + 1
    assert llama["norm"] == 32 * 2 + 1
    assert llama["attention"] == 32
    assert llama["moe"] == llama["scan"] == llama["delta"] == llama["mla"] == 0
    hybrid = columns("Qwen/Qwen3.6-35B-A3B", "Q4_K_M")
    assert (hybrid["attention"], hybrid["delta"], hybrid["moe"]) == (10, 30, 40)
    mamba = columns("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", "Q4_K_M")
    assert (mamba["attention"], mamba["scan"], mamba["delta"], mamba["moe"]) == (6, 23, 0, 23)
    short = columns("LiquidAI/LFM2.5-8B-A1B", "Q4_K_M")
    assert (short["attention"], short["conv"]) == (6, 18)
    latent = columns("zai-org/GLM-4.7-Flash", "Q4_K_M")
    assert latent["attention"] == latent["mla"] == 47


def test_the_term_says_how_many_kernels_and_what_one_takes() -> None:
    found = speed(model("Qwen/Qwen3-8B"), parse_rig("RTX 4090"), FORMULA)
    term = next(t for t in found.decode_terms if t.name == "Launches and waits")
    tau = speed_data().classes["cuda-ada"].tau_us
    assert f" kernels of {tau:.1f} µs in 36 blocks" in term.detail
    assert int(term.detail.split()[0].replace(",", "")) > 36 * 7


@pytest.mark.parametrize(("backend", "least", "most"), [("vulkan", 2.5, 7.0), ("rocm", 1.2, 2.2)])
def test_bf16_experts_under_vulkan_take_the_kernel_for_batches(
    backend: str, least: float, most: float
) -> None:
    rig = on("Strix Halo", backend)
    name = "zai-org/GLM-4.7-Flash"
    half, quarter = (
        mid(speed(catalogue().find(name).model(kind), rig, FORMULA)) for kind in ("Q8_0", "BF16")
    )
    assert least < half / quarter < most


def test_bf16_steps_are_those_of_experts_alone_and_leave_with_them() -> None:
    name = "zai-org/GLM-4.7-Flash"
    # 46 blocks of a gate and an up matrix of 2,048 inputs, and a down matrix of 1,536.
    assert columns(name, "BF16")["steps"] == 46 * (2048 + 2048 + 1536)
    assert columns(name, "Q8_0")["steps"] == 0
    assert columns("Qwen/Qwen3-8B", "BF16")["steps"] == 0
    rig = on("2x R9700 + 128 GB DDR5-6000", "vulkan")
    of = catalogue().find(name).model("BF16")
    found = speed(of, rig, FORMULA, n_cpu_moe="all")
    assert not any(t.name.endswith("Read experts") and t.where >= 0 for t in found.decode_terms)


def test_prompts_without_flash_attention_pay_for_scores_along_the_context() -> None:
    rig, of = parse_rig("H200 SXM"), model("meta-llama/Llama-3.1-8B-Instruct")

    def slower(depth: int) -> float:
        fused, plain = (
            speed(of, rig, FORMULA, ctx=32768, depth=depth, flash_attn=flash).prefill_tps
            for flash in ("on", "off")
        )
        assert fused is not None
        assert plain is not None
        return fused.mid / plain.mid

    # Measured at 16,384: 7,097 and 3,898 tok/s.
    assert 1.3 < slower(16384) < 2.0
    assert 1.0 < slower(0) < 1.1
