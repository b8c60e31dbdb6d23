"""Experts that llama.cpp multiplies in full precision: Mistral Small 4."""

from advisor.hardware.compose import parse_rig
from advisor.llm.catalogue import catalogue
from advisor.sizing import size
from advisor.sizing.settings import RunSettings
from advisor.sizing.speed_prefill import COPIED
from advisor.units import MIB

NAME = "mistralai/Mistral-Small-4-119B-2603"


def test_buffers_do_not_depend_on_what_was_sized_before() -> None:
    """They lie on devices and are copied to RAM, in their own types."""
    rig = parse_rig("2x RTX 3090 + 256 GB")
    found: list[int] = []
    for file_type in ("Q8_0", "Q4_K_M", "IQ2_XXS"):
        plan = size(catalogue().find(NAME).model(file_type), rig, RunSettings(ctx=4096))
        assert plan.host.compute is not None
        found.append(plan.host.compute)
    assert found[2] < 0.6 * found[1] < 0.5 * found[0]


def test_what_a_device_does_not_multiply_has_no_known_speed() -> None:
    model = catalogue().find(NAME).model("IQ2_XXS")
    for words, known in (("RTX PRO 6000 + 256 GB", False), ("M3 Ultra 256GB", True)):
        plan = size(model, parse_rig(words), RunSettings(ctx=4096))
        assert plan.host.compute is not None
        assert (plan.speed.decode_tps is not None) == known
        assert any("in full precision" in note for note in plan.speed.notes) != known
        # Of what Metal multiplies nothing is copied.
        assert (plan.host.compute < 100 * MIB) == known


def test_with_all_experts_in_ram_the_processor_reads_prompts_with_them() -> None:
    """No device takes them over for a batch, so a prompt waits for no copies of them."""
    model = catalogue().find(NAME).model("Q4_K_M")
    rig = parse_rig("RTX PRO 6000 + 256 GB DDR5-6000")
    host = rig.host.model_copy(update={"cores": 16})
    rig = rig.model_copy(update={"hosts": (host,)})
    found = size(model, rig, RunSettings(ctx=4096, n_cpu_moe="all")).speed
    assert found.decode_tps is not None
    assert found.prefill_tps is not None
    terms = {term.name: term for term in found.prefill_terms}
    assert COPIED not in terms
    assert "RTX PRO 6000 Blackwell: experts" not in terms
    assert terms["CPU: arithmetic"].seconds > 0.5 / found.prefill_tps.mid
    partly = size(model, rig, RunSettings(ctx=4096, n_cpu_moe=20)).speed
    assert partly.decode_tps is None
    assert any("--cpu-moe" in note for note in partly.notes)
    layers = size(model, rig, RunSettings(ctx=4096, n_cpu_moe="all", n_gpu_layers=10)).speed
    assert layers.decode_tps is not None
    assert layers.prefill_tps is None
    assert any("whole layers" in note for note in layers.notes)
