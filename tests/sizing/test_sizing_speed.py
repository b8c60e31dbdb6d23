"""Speed: terms that add up, what each follows from, and None without a basis."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.hardware.compose import parse_rig
from advisor.hardware.rig import Backend, Device, NetworkLink, PcieLink, Rig
from advisor.hardware.table import gpu_table
from advisor.llm.catalogue import CatalogueEntry
from advisor.sizing import size, speed_decode
from advisor.sizing import speed_sums as sums
from advisor.sizing.calibration import IDENTITY, Calibration
from advisor.sizing.interconnect import crossings
from advisor.sizing.matrix import matrix
from advisor.sizing.placement import Placement
from advisor.sizing.settings import RunSettings
from advisor.sizing.speed_class import class_key, class_of, matrix_tflops
from advisor.sizing.speed_data import speed_data
from advisor.sizing.speed_machine import host_seconds, machine
from advisor.sizing.speed_similar import Correction
from tests.llm.llm_small_configs import SMALL
from tests.sizing.speed_cases import mid, model, speed

RIGS = (
    "RTX 4090",
    "2x RTX 3090 + 64 GB DDR4-3200",
    "RTX 5090 + 128 GB DDR5-6000",
    "H100 PCIe",
    "RX 7900 XTX",
    "Strix Halo",
    "DGX Spark",
    "M3 Ultra",
    "M1 Max",
    "64 GB DDR5-5600",
)


@pytest.mark.parametrize("text", RIGS)
@pytest.mark.parametrize("name", ["Qwen/Qwen3-8B", "Qwen/Qwen3-30B-A3B", "openai/gpt-oss-20b"])
def test_terms_add_up_to_the_figure(text: str, name: str) -> None:
    found = speed(model(name), parse_rig(text), depth=4096)
    assert found.decode_tps is not None
    total = sum(term.seconds for term in found.decode_terms)
    assert 1 / total == pytest.approx(found.decode_tps.mid)
    assert found.decode_tps.low < found.decode_tps.mid < found.decode_tps.high
    assert all(term.seconds > 0 for term in found.decode_terms)
    if found.prefill_tps is None:
        assert any("refill" in note for note in found.notes)
        return
    assert 1 / sum(t.seconds for t in found.prefill_terms) == pytest.approx(found.prefill_tps.mid)
    assert found.ttft_s is not None
    assert found.ttft_s.mid == pytest.approx(512 / found.prefill_tps.mid + 1 / found.decode_tps.mid)
    assert found.ttft_s.low <= found.ttft_s.mid <= found.ttft_s.high


def test_a_card_is_not_credited_with_instructions_that_llama_cpp_does_not_use() -> None:
    h100, a100 = (parse_rig(name).devices[0] for name in ("H100 PCIe", "A100 80GB PCIe"))
    assert matrix_tflops(h100) < 0.7 * (h100.fp16_tflops or 0)
    assert matrix_tflops(a100) == a100.fp16_tflops


@settings(max_examples=40, deadline=None)
@given(depths=st.lists(st.integers(0, 130_000), min_size=2, max_size=2, unique=True).map(sorted))
@pytest.mark.parametrize("name", ["Qwen/Qwen3-32B", "google/gemma-3-27b-it"])
def test_the_formula_never_gets_faster_with_depth(name: str, depths: list[int]) -> None:
    rig, of = parse_rig("H200 SXM"), model(name)
    alone = Calibration(source="formula alone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speed_decode, "correction", lambda *_: Correction(0.0, 0.1))
        first, second = (mid(speed(of, rig, alone, ctx=131072, depth=d)) for d in depths)
    assert second <= first * (1 + 1e-9)


def test_quantized_kv_is_read_faster() -> None:
    rig, of = parse_rig("RTX 4090"), model("Qwen/Qwen3-8B")
    known = Calibration(source="test")
    wide = speed(of, rig, known, ctx=40960, depth=32768)
    narrow = speed(of, rig, known, ctx=40960, depth=32768, ctk="q8_0", ctv="q8_0")
    assert mid(narrow) > mid(wide)


@pytest.mark.parametrize(("backend", "slower"), [("cuda", True), ("vulkan", False)])
def test_heads_that_share_keys_unpack_them_each(backend: str, slower: bool) -> None:
    rig, of = parse_rig("RTX 4090"), model("Qwen/Qwen3-8B")
    rig = rig.model_copy(
        update={"devices": (rig.devices[0].model_copy(update={"backend": backend}),)}
    )

    def attention(kind: str) -> float:
        found = speed(of, rig, IDENTITY, ctx=40960, depth=32768, ctk=kind, ctv=kind)
        return next(t.seconds for t in found.decode_terms if t.name == "Attention")

    times = speed_data().quantized_cache.slower if slower else 1.0
    assert attention("q8_0") == pytest.approx(times * attention("f16"))
    assert speed_data().quantized_cache.slower > 1


def test_a_window_limits_what_depth_costs() -> None:
    known = sums.model_sums(model("google/gemma-3-27b-it"))
    assert known is not None
    swa = next(c for c in known.caches if c.rule.cells == "window")
    assert swa.positions(100_000) == swa.rule.span == 1024


def test_bytes_per_token_are_the_weights_less_the_embedding() -> None:
    of = model("Qwen/Qwen3-8B", "Q8_0")
    known = sums.model_sums(of)
    assert known is not None
    embedding = next(t.nbytes for t in of.tensors if t.name == "token_embd.weight")
    assert known.layers[:, sums.DENSE].sum() == of.nbytes - embedding


def test_experts_count_by_how_many_are_used() -> None:
    of = model("Qwen/Qwen3-30B-A3B")
    known = sums.model_sums(of)
    assert known is not None
    every = known.layers[:, sums.ALL_EXPERTS].sum()
    assert known.layers[:, sums.EXPERTS].sum() == pytest.approx(every * 8 / 128)
    assert every == known.experts_by_group.sum()


def test_experts_in_ram_as_people_measured() -> None:
    """14900K with dual DDR5-6800, all experts of gpt-oss-120b in RAM: 25.6 tok/s."""
    rig = parse_rig("RTX 4090 + 128 GB DDR5-6800")
    found = speed(model("openai/gpt-oss-120b", "MXFP4"), rig, n_cpu_moe="all")
    assert found.decode_tps is not None
    assert found.decode_tps.low <= 25.6 <= found.decode_tps.high
    assert any(term.name == "RAM: read experts" for term in found.decode_terms)
    assert any(term.name == "Copy weights from RAM" for term in found.prefill_terms)


def with_cores(rig: Rig, cores: int) -> Rig:
    return rig.model_copy(update={"hosts": (rig.host.model_copy(update={"cores": cores}),)})


@pytest.mark.parametrize(("few", "more"), [("IQ2_XXS", "Q2_K"), ("IQ3_M", "Q3_K_M")])
def test_i_quants_in_ram_are_as_fast_as_the_cores_unpack_them(few: str, more: str) -> None:
    rig = parse_rig("CPU only 64 GB DDR5-5600")
    by_cores = [
        [mid(speed(model("qwen3-8b", kind), with_cores(rig, cores))) for cores in (4, 8, 32)]
        for kind in (few, more)
    ]
    slow, plain = by_cores
    assert slow[0] < slow[1] < slow[2]
    assert slow[2] / slow[0] > 1.1 * plain[2] / plain[0]
    assert slow[0] < plain[0]
    card = parse_rig("RTX 4090 + 64 GB DDR5-5600")
    on_card = [mid(speed(model("qwen3-8b", few), with_cores(card, cores))) for cores in (4, 32)]
    assert on_card[0] == on_card[1]


def test_what_i_quants_take_is_the_solvers_and_the_predictions() -> None:
    """Blocks in RAM one by one come to what they take together, and a probe scales all types."""
    known = sums.model_sums(model("qwen3-30b-a3b", "IQ2_XXS"))
    assert known is not None
    rig = with_cores(parse_rig("CPU only 64 GB DDR5-5600"), 4)
    box = machine(rig, Placement(layer_device=(-1,)), IDENTITY)
    probed = machine(rig, Placement(layer_device=(-1,)), Calibration(host_bandwidth_gbs=20.0))
    assert not isinstance(box, str)
    assert not isinstance(probed, str)
    each = host_seconds(box, known.layers, 0.0, 0.0)
    whole = host_seconds(box, known.layers.sum(axis=0), 0.0, 0.0)
    for one, total in zip(each[:2], whole[:2], strict=True):
        assert np.sum(one) == pytest.approx(total)
    assert box.host_gbs is not None
    slower = host_seconds(probed, known.layers.sum(axis=0), 0.0, 0.0)
    assert slower[1] == pytest.approx(whole[1] * box.host_gbs / 20.0)
    assert (known.layers[:, sums.HARD_EXPERTS].sum(axis=1) > 0).any()


def test_tensor_split_helps_dense_models_more_than_experts() -> None:
    rig = parse_rig("2x RTX 3090")
    gains = []
    for name in ("google/gemma-3-27b-it", "Qwen/Qwen3-30B-A3B"):
        layer = speed(model(name), rig)
        split = speed(model(name), rig, split_mode="tensor")
        gains.append(mid(split) / mid(layer))
    assert gains[0] > 1.2
    assert gains[1] < 1
    assert speed(model("Qwen/Qwen3-8B"), rig, split_mode="row").decode_tps is None


def test_cards_of_a_tensor_split_wait_for_the_slowest_and_for_their_link() -> None:
    of, fast = model("google/gemma-3-27b-it"), parse_rig("2x RTX 4090")
    slow = fast.model_copy(update={"devices": parse_rig("RTX 4090 + RTX 3090").devices})
    both = [speed(of, rig, split_mode="tensor", tensor_split=(1, 1)) for rig in (fast, slow)]
    assert mid(both[1]) < mid(both[0])
    assert {t.where for t in both[1].decode_terms if "Read" in t.name} == {1}

    narrow = PcieLink(max_generation=3, max_width=4)
    devices = tuple(d.model_copy(update={"pcie": narrow}) for d in fast.devices)
    far = speed(of, fast.model_copy(update={"devices": devices}), split_mode="tensor")
    near = both[0]
    # A token waits for latency and sends little; a prompt sends much.
    assert mid(near) * 0.9 < mid(far) < mid(near)
    assert near.prefill_tps is not None
    assert far.prefill_tps is not None
    assert far.prefill_tps.mid < near.prefill_tps.mid / 2


def test_what_lies_in_ram_is_copied_over_the_first_cards_slot() -> None:
    of, rig = model("Qwen/Qwen3-30B-A3B"), parse_rig("2x RTX 3090 + 64 GB DDR5-6000")
    narrow = PcieLink(max_generation=4, max_width=4)

    def prefill(*narrowed: int, **update: Any) -> float:
        devices = tuple(
            d.model_copy(update={"pcie": narrow}) if i in narrowed else d
            for i, d in enumerate(rig.devices)
        )
        found = speed(of, rig.model_copy(update={"devices": devices}), n_cpu_moe=24, **update)
        assert found.prefill_tps is not None
        return found.prefill_tps.mid

    assert prefill(0) < prefill(1) == prefill()
    alone: dict[str, Any] = {"split_mode": "none", "main_gpu": 1}
    assert prefill(1, **alone) < prefill(0, **alone) == prefill(**alone)


def test_a_network_between_hosts_is_a_term() -> None:
    rig = parse_rig("2x RTX 3090")
    first, second = rig.devices
    apart = rig.model_copy(
        update={
            "devices": (first, second.model_copy(update={"host_index": 1})),
            "hosts": (rig.host, rig.host),
            "links": (NetworkLink(from_host=0, to_host=1, bandwidth_gbs=1.25, latency_us=200),),
        }
    )
    found = speed(model("Qwen/Qwen3-32B"), apart)
    terms = {t.name: t.seconds for t in found.decode_terms}
    logits = 151_936 * 4  # the output layer lies on the far card
    assert terms["Network"] == pytest.approx(2 * (200e-6 + 5120 * 4 / 1.25e9) + logits / 1.25e9)
    of_prompt = {t.name: t.seconds for t in found.prefill_terms}
    assert of_prompt["Network"] == pytest.approx(2 * (200e-6 / 512 + 5120 * 4 / 1.25e9))


def test_two_far_machines_send_each_other_through_the_first() -> None:
    rig = parse_rig("RTX 3090 over 10GbE with RTX 3090 over 1GbE with RTX 3090")
    assert [device.host_index for device in rig.devices] == [1, 2, 0]
    near, far = rig.links
    assert crossings(rig, [1, 2, 0]) == [near, near, far, far]
    assert crossings(rig, [1]) == [near, near]
    assert crossings(rig, [0, 0]) == []
    terms = {t.name: t for t in speed(model("Qwen/Qwen3-32B"), rig).decode_terms}
    assert terms["Network"].detail == "4 × one way, 20,480 bytes each"
    assert "Hand over" not in terms


def test_unknown_is_none_with_a_reason() -> None:
    rig = parse_rig("RTX 4090")
    blind = rig.devices[0].model_copy(update={"bandwidth_gbs": None})
    odd = rig.devices[0].model_copy(update={"architecture": "granite-ridge"})
    for device, word in ((blind, "bandwidth"), (odd, "measurements")):
        found = speed(model("Qwen/Qwen3-8B"), rig.model_copy(update={"devices": (device,)}))
        assert found.decode_tps is None
        assert word in found.notes[0]
    no_ram = rig.model_copy(
        update={"hosts": (rig.host.model_copy(update={"ram_bandwidth_gbs": None}),)}
    )
    assert speed(model("Qwen/Qwen3-8B"), no_ram, n_gpu_layers=10).decode_tps is None


def test_a_file_of_known_size_scales_what_is_read() -> None:
    rig, of = parse_rig("RTX 4090"), model("Qwen/Qwen3-32B")
    assert mid(speed(of, rig, file_bytes=of.nbytes)) == pytest.approx(mid(speed(of, rig)))
    assert mid(speed(of, rig, file_bytes=of.nbytes * 2)) < mid(speed(of, rig)) * 0.6


def test_classes_of_cards() -> None:
    assert class_key("cuda", "ampere", 936) == "cuda-ampere"
    assert class_key("cuda", "ampere", 1935) == "cuda-hbm"
    assert class_key("vulkan", "ada", 1008) == "vulkan-nvidia"
    assert class_key("metal", "apple-m4", 273) == "metal-apple"
    assert class_key("rocm", "rdna4", 640) == "rocm-rdna"
    for other in speed_data().borrowed:
        assert other.like in speed_data().classes
        assert other.widen >= 1
    device = parse_rig("RTX 4090").devices[0]
    assert class_of(device.model_copy(update={"architecture": None})) is None


def test_graphics_in_a_processor_are_a_kind_of_their_own() -> None:
    def found(words: str, backend: Backend) -> tuple[str, float]:
        device = parse_rig(words).devices[0].model_copy(update={"backend": backend})
        key, _, widen = class_of(device) or ("", None, 0.0)
        return key, widen

    assert found("Radeon 780M + 64 GB DDR5-5600", "vulkan") == ("vulkan-rdna-shared", 1.0)
    assert found("Radeon 780M + 64 GB DDR5-5600", "rocm") == ("rocm-rdna-shared", 1.0)
    assert found("RX 7600", "vulkan") == ("vulkan-rdna", 1.0)
    # Nobody published an older one's under ROCm.
    key, widen = found("Radeon 680M + 64 GB DDR5-4800", "rocm")
    assert (key, widen > 1) == ("rocm-rdna-shared", True)


@pytest.mark.parametrize(
    ("rig", "known"),
    [("RTX 3090 + 64 GB DDR4-3200", False), ("CPU only + 64 GB DDR4-3200", True)],
)
def test_the_speed_of_matrices_that_no_device_multiplies_is_unknown(rig: str, known: bool) -> None:
    plan = size(model("Qwen/Qwen3-8B", "TQ1_0"), parse_rig(rig), RunSettings())

    assert plan.fits
    assert (plan.speed.decode_tps is not None) == known


def test_the_speed_of_a_card_that_is_nearly_full_is_unknown() -> None:
    of = model("Qwen/Qwen3-32B")
    rig = parse_rig("Radeon AI PRO R9700")
    device = rig.devices[0]
    assert device.memory_total is not None

    def spills(backend: str, spare: int) -> bool:
        card = device.model_copy(update={"backend": backend})
        told = RunSettings(ctx=8192)
        used = card.memory_total - (size(of, with_(card), told).headroom or 0)
        smaller = card.model_copy(
            update={"memory_total": used + spare, "memory_free": used + spare}
        )
        plan = size(of, with_(smaller), told)
        assert plan.fits
        # A cell says what its plan says.
        (cell,) = matrix({"Q4_K_M": of}, with_(smaller), told, [8192]).rows[0]
        assert (cell.decode is None) == (plan.speed.decode_tps is None)
        return any("move a part to RAM" in note for note in plan.speed.notes)

    def with_(card: Device) -> Rig:
        return rig.model_copy(update={"devices": (card,)})

    assert spills("vulkan", 256 << 20)
    assert not spills("vulkan", 2 << 30)
    assert not spills("rocm", 256 << 20)


@pytest.mark.parametrize(
    ("label", "runs"),
    [("nanbeige", [2, 2, 2, 2]), ("nanbeige-once", [1] * 4), ("hrm_text", [4, 4, 2, 2])],
)
def test_blocks_that_run_several_times_are_read_as_often(label: str, runs: list[int]) -> None:
    entry = {"id": label, "name": label, "maker": "nobody", "source": ["here"]}
    entry |= {"date": "2026-11-26", "config": SMALL[label]}
    of = CatalogueEntry.model_validate(entry).model("Q8_0")
    known = sums.model_sums(of)
    assert known is not None
    for il, times in enumerate(runs):
        once = sum(t.nbytes for t in of.tensors if t.name.startswith(f"blk.{il}."))
        assert known.layers[il, sums.DENSE].sum() == times * once
    assert not known.layers[len(runs) : -1, sums.DENSE].any()


def test_cards_whose_board_links_them_are_in_the_table() -> None:
    named = set(speed_data().links_on_board.cards)
    assert named <= {entry.name for entry in gpu_table().gpus}
