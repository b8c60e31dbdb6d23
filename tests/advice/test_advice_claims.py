"""The guide's claims against this app's own figures: each figure, and each verdict."""

import datetime as dt
import functools
import json
import operator
from pathlib import Path

import pytest

from advisor.advice import prices
from advisor.advice.costs import api_cost, break_even, local_cost
from advisor.advice.engine import Engine
from advisor.advice.hardware_prices import PriceBook
from advisor.advice.options import Purchase
from advisor.advice.scenarios import check_guide, scenario
from advisor.advice.timing import timed
from advisor.advice.usage import Usage, preset
from advisor.advice.variants import Variant, loss_of
from advisor.hardware import table
from advisor.hardware.compose import parse_rig
from advisor.llm import quality
from advisor.llm.catalogue import catalogue
from advisor.sizing import interconnect, size, speed_sums
from advisor.sizing.settings import RunSettings
from advisor.sizing.speed_load import layer_caches

GIB = 1 << 30
MILLION = 1 << 20
DOCUMENT = json.loads((Path(__file__).parent / "claims.json").read_text())
CLAIMS = DOCUMENT["claims"]
NOW = dt.datetime(2026, 11, 23, 14, tzinfo=dt.UTC)
PRO = "deepseek-ai/DeepSeek-V4-Pro"
FLASH = "deepseek-ai/DeepSeek-V4-Flash"


@functools.cache
def entry(name):
    return catalogue().find(name)


@functools.cache
def plan(model, file_type, rig, ctx, fit="all"):
    settings = RunSettings(ctx=ctx, n_gpu_layers=fit, n_cpu_moe="fit" if fit == "fit" else 0)
    return size(entry(model).model(file_type), parse_rig(rig), settings)


def gib(model, file_type):
    return entry(model).model(file_type).nbytes / GIB


def kv(model, ctx):
    """Bytes of everything that grows with the context."""
    held = plan(model, entry(model).native_file_type, "8x H200 + 2 TB DDR5-4800", ctx)
    return sum(cache.bytes for kind, cache in held.kv.items() if not kind.endswith("swa"))


def smallest(model):
    return min(entry(model).file_types, key=lambda ft: gib(model, ft))


def api_usd(name, *, prompt, output):
    api = next(a for a in prices.api_models() if a.id == name)
    _, tariff = prices.api_price(api, NOW).schedule[0]
    return float(tariff.request(prompt=prompt, output=output))


def vram(rig):
    return sum(d.memory_total for d in parse_rig(rig).devices) / GIB


@functools.cache
def speed(file_type, rig, prompt=2000, ctx=16384):
    model = entry(FLASH).model(file_type)
    usage = Usage(prompt_tokens=prompt, context=ctx, cached_share=0)
    return timed(
        Variant(model, "f16", loss_of(model, "f16"), 3),
        parse_rig(rig),
        usage,
        Engine(RunSettings()),
    )


def reading_is_most():
    """Share of a token's time that goes into reading, on the guide's own rig."""
    found = plan(FLASH, "IQ2_XXS", "2x RTX 4090 + 128 GB DDR5-6000", 8192, "fit")
    parts = found.speed.decode_terms
    reading = sum(p.seconds for p in parts if "read" in p.name.lower())
    return reading / sum(p.seconds for p in parts) > 0.5


def guide():
    return check_guide(scenario("deepseek-v4-at-home").guide)


def tp2(model, *, batch=1):
    return interconnect.all_reduce_bytes(entry(model).hp, 2) * batch


def fastest_minutes():
    """One request of a million tokens on the largest rig of the case."""
    usage = preset("single-million").apply(Usage())
    model = entry(FLASH).model("MXFP4_MOE")
    found = timed(
        Variant(model, "f16", "near lossless", 3),
        parse_rig("8x H200 + 2 TB DDR5-4800"),
        usage,
        Engine(RunSettings()),
    )
    return float(found.run.seconds(usage).mid) / 60


def split_in_two():
    """Share of the weights that the first of two equal cards holds with a tensor split."""
    settings = RunSettings(ctx=4096, split_mode="tensor")
    model = catalogue().find("Qwen/Qwen3-32B").model("Q4_K_M")
    devices = size(model, parse_rig("2x RTX 4090 + 64 GB DDR5-6000"), settings).devices
    return devices[0].weights / sum(d.weights for d in devices)


def read_share():
    """Part of V4-Pro's cache of a million tokens that one more token reads."""
    model = entry(PRO).model(entry(PRO).native_file_type)
    asked = RunSettings(ctx=MILLION, depth=MILLION - 1, n_prompt=1)
    cached, _flops, _along = layer_caches(speed_sums.model_sums(model), asked)
    return cached.sum() / kv(PRO, MILLION)


def tensor_over_layer():
    """A dense model on two cards without NVLink; published: x1.36 with 31B parameters."""
    model = catalogue().find("Qwen/Qwen3-32B").model("Q4_K_M")
    rig = parse_rig("2x RTX 4090 + 64 GB DDR5-6000")
    layer, tensor = (
        size(model, rig, RunSettings(ctx=8192, split_mode=mode)).speed.decode_tps.mid
        for mode in ("layer", "tensor")
    )
    return tensor / layer


def even_with_sonnet():
    """Requests a month from which V4-Flash on the guide's rig costs less than Claude Sonnet."""
    case = scenario("deepseek-v4-at-home")
    rig, usage, book = case.rigs[0], case.usage, PriceBook()
    model = entry(FLASH).model("MXFP4_MOE")
    asked = Variant(model, "f16", "near lossless", 3)
    run = timed(asked, parse_rig(rig.rig), usage, Engine(RunSettings())).run
    parts = (Purchase(name, count, book.part(name)).usd for name, count in rig.parts.items())
    api = prices.api_price(next(a for a in prices.api_models() if a.id == "claude-sonnet-5-5"), NOW)
    line = local_cost(usage, run, functools.reduce(operator.add, parts))
    return float(break_even(line, api_cost(usage, api)).mid)


def tensor_over_layer_flash():
    """V4-Flash on two cards that hold it; published for a model of 26B with experts: x0.70."""
    rig = parse_rig("2x RTX PRO 6000 Blackwell Workstation + 128 GB DDR5-6000")
    layer, tensor = (
        size(entry(FLASH).model("MXFP4_MOE"), rig, RunSettings(ctx=8192, split_mode=mode))
        for mode in ("layer", "tensor")
    )
    return tensor.speed.decode_tps.mid / layer.speed.decode_tps.mid


FIGURES = {
    "flash_even_with_sonnet": even_with_sonnet,
    "tensor_split_slows_flash": lambda: int(tensor_over_layer_flash() < 1),
    "pro_read_share_of_cache": read_share,
    "tensor_split_over_layer_split_dense": tensor_over_layer,
    "nvlink_pair_beats_96gb_card": lambda: int(
        speed("IQ2_XXS", "2x RTX 3090 + 192 GB DDR5-6000").run.decode_tps.mid
        > speed(
            "IQ2_XXS", "RTX PRO 6000 Blackwell Workstation + 192 GB DDR5-6000"
        ).run.decode_tps.mid
    ),
    "pro_q2_on_dual_4090": lambda: (
        plan(PRO, "Q2_K", "2x RTX 4090 + 128 GB DDR5-6000", 16384, "fit").fits
    ),
    "active_under_a_tenth": lambda: (
        quality.active_params(entry(PRO).model("Q4_K_M")) < entry(PRO).n_params / 10
    ),
    "pro_native_bpw": lambda: entry(PRO).model(entry(PRO).native_file_type).bpw,
    "tensor_split_first_card": split_in_two,
    "pro_smallest_per_gpu_gib": lambda: gib(PRO, smallest(PRO)) / 2,
    "guide_left_gb": lambda: 24 - 30,
    "hardware_month": lambda: float(guide().hardware_month),
    "dual_4090_launch_usd": lambda: 2 * table.find("RTX 4090").launch_msrp_usd,
    "pro_params_t": lambda: entry(PRO).n_params / 1e12,
    "pro_q2_gib": lambda: gib(PRO, "Q2_K"),
    "pro_native_gib": lambda: gib(PRO, entry(PRO).native_file_type),
    "pro_active_b": lambda: quality.active_params(entry(PRO).model("Q4_K_M")) / 1e9,
    "pro_active_percent": lambda: (
        100 * quality.active_params(entry(PRO).model("Q4_K_M")) / entry(PRO).n_params
    ),
    "pro_kv_1m_gib": lambda: kv(PRO, MILLION) / GIB,
    "pro_kv_256k_gib": lambda: kv(PRO, MILLION // 4) / GIB,
    "pro_kv_8k_mib": lambda: kv(PRO, 8192) / (1 << 20),
    "flash_kv_1m_gib": lambda: kv(FLASH, MILLION) / GIB,
    "context": lambda: entry(PRO).hp.n_ctx_train,
    "experts_used": lambda: entry(PRO).hp.n_expert_used,
    "flash_runs_with_experts_in_ram": lambda: (
        plan(FLASH, "IQ2_XXS", "RTX 5070 + 96 GB DDR5-5600", 8192, "fit").fits
    ),
    "dual_4090_gib": lambda: vram("2x RTX 4090"),
    "dual_5090_gib": lambda: vram("2x RTX 5090"),
    "rtx_5090_gib": lambda: table.find("RTX 5090").memory_gib,
    "dual_4090_for_weights_gib": lambda: (
        vram("2x RTX 4090") - 2 * (RunSettings().margin + (1 << 29)) / GIB
    ),
    "pro_smallest_gib": lambda: gib(PRO, smallest(PRO)),
    "flash_compute_8k_gib": lambda: (
        max(
            d.compute
            for d in plan(FLASH, "IQ2_XXS", "2x RTX 5090 + 128 GB DDR5-6000", 8192).devices
        )
        / GIB
    ),
    "table_total_gb": lambda: 30 + 20 + 64,
    "guide_headroom_gb": lambda: 48 - 30 - 10 - 8,
    "dual_4090_flash_1m": lambda: (
        plan(FLASH, "IQ2_XXS", "2x RTX 4090 + 128 GB DDR5-6000", MILLION, "fit").fits
    ),
    "pro_q2_per_gpu_gib": lambda: gib(PRO, "Q2_K") / 2,
    "pro_on_dual_5090": lambda: (
        plan(PRO, smallest(PRO), "2x RTX 5090 + 128 GB DDR5-6000", MILLION // 4, "fit").fits
    ),
    # What crosses the link for one token is activations; caches are read where they lie.
    "kv_bytes_over_link": lambda: int(
        interconnect.traffic(entry(PRO).hp, parse_rig("2x RTX 4090")).tensor_split > kv(PRO, 8192)
    ),
    "pro_tp2_gbs_at_15": lambda: tp2(PRO) * 15 / 1e9,
    "pcie5_both_gbs": lambda: 2 * interconnect.pcie_gbs(5, 16),
    "pcie5_share_percent": lambda: (
        100 * interconnect.traffic(entry(PRO).hp, parse_rig("2x RTX 5090")).share(15)
    ),
    "batch2_mb_per_token": lambda: tp2(PRO, batch=2) / 1e6,
    "rtx_3090_nvlink": lambda: table.find("RTX 3090").nvlink_gbs,
    "h100_nvlink": lambda: table.find("H100 SXM").nvlink_gbs,
    "traffic_256k_over_1m": lambda: tp2(PRO) / tp2(PRO),
    "sonnet_request_usd": lambda: api_usd("claude-sonnet-5-5", prompt=1_000_000, output=2000),
    "electricity_month": lambda: float(guide().electricity_month),
    "even_electricity": lambda: float(guide().break_even_electricity),
    "hardware_per_request": lambda: float(guide().hardware_per_request),
    "even": lambda: float(guide().break_even),
    "fastest_minutes": fastest_minutes,
    "haiku_tier_factor": lambda: round(
        api_usd("claude-haiku-5-5", prompt=100_001, output=0)
        / api_usd("claude-haiku-5-5", prompt=100_000, output=0),
        3,
    ),
    "flash_on_one_4090": lambda: (
        plan(FLASH, "IQ2_XXS", "RTX 4090 + 96 GB DDR5-6000", 16384, "fit").fits
    ),
    "q2_is_small_loss": lambda: int(
        Usage(max_loss="small").accepts_loss(loss_of(entry(FLASH).model("Q2_K"), "f16"))
    ),
    "q3_over_q2_bits": lambda: entry(PRO).model("Q3_K_M").bpw / entry(PRO).model("Q2_K").bpw,
    "reading_is_most_of_decode": reading_is_most,
    "rtx_6000_ada_year": lambda: int(table.find("RTX 6000 Ada").launch_date[:4]),
    "rtx_6000_ada_gib": lambda: table.find("RTX 6000 Ada").memory_gib,
    "pro_on_dual_6000_ada": lambda: (
        plan(PRO, smallest(PRO), "2x RTX 6000 Ada + 128 GB DDR5-6000", MILLION // 2, "fit").fits
    ),
    "native_96gb_over_dual_5090": lambda: (
        speed(
            "MXFP4_MOE", "RTX PRO 6000 Blackwell Workstation + 192 GB DDR5-6000"
        ).run.decode_tps.mid
        / speed("MXFP4_MOE", "2x RTX 5090 + 192 GB DDR5-6000").run.decode_tps.mid
    ),
}


@functools.cache
def figure(name):
    return float(FIGURES[name]())


@pytest.mark.parametrize("claim", CLAIMS, ids=[f"{c['id']}" for c in CLAIMS])
def test_the_figure_is_the_checked_one(claim):
    found, truth = figure(claim["figure"]), claim["truth"]
    assert found == pytest.approx(truth, rel=claim["tolerance"], abs=1e-9), claim["quote"]


@pytest.mark.parametrize("claim", CLAIMS, ids=[f"{c['id']}" for c in CLAIMS])
def test_the_verdict_follows_from_the_figure(claim):
    found = figure(claim["figure"])
    close = found == pytest.approx(claim["claimed"], rel=claim.get("close", 0.05), abs=1e-9)
    assert ("right" if close else "wrong") == claim["verdict"], claim["quote"]


def test_every_figure_is_used():
    assert set(FIGURES) == {c["figure"] for c in CLAIMS}


def test_every_claim_of_the_guide_is_judged_once_or_says_why_not():
    judged = [c["id"] for c in CLAIMS]
    others = [int(number) for number in DOCUMENT["not_judged"]]
    assert sorted((*judged, *others)) == list(range(1, 71))


def test_a_layer_split_hands_over_one_state_with_its_four_streams():
    assert interconnect.hand_over_bytes(entry(PRO).hp) == 112 * 1024
    assert interconnect.hand_over_bytes(entry(FLASH).hp) == 64 * 1024


def test_a_single_card_sends_nothing():
    flow = interconnect.traffic(entry(PRO).hp, parse_rig("RTX 4090"))
    assert flow.tensor_split == flow.layer_split == 0
    assert flow.share(100) is None


def test_three_cards_without_a_board_send_over_pcie():
    """A bridge joins two cards, and nobody said that there is one."""
    slots = interconnect.traffic(entry(PRO).hp, parse_rig("3x H100 PCIe"))
    board = interconnect.traffic(entry(PRO).hp, parse_rig("8x H200 SXM"))
    assert (slots.link, slots.link_gbs) == ("PCIe 5.0 x16", pytest.approx(63, rel=0.01))
    assert (board.link, board.link_gbs) == ("NVLink", 450)
    old = parse_rig("2x RTX 3090").devices
    bridged = [d.model_copy(update={"nvlink_links": 4}) for d in old]
    assert interconnect.slowest_link(bridged) == (56.25, "NVLink")
    assert interconnect.slowest_link([*bridged, *bridged])[1] == "PCIe 4.0 x16"
