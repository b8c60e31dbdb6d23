"""What lies in RAM: its bandwidth, experts beside a device, prompts on the processor."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.hardware.compose import parse_rig
from advisor.hardware.rig import PcieLink, Rig
from advisor.llm.model import Model
from advisor.sizing import size, size_anywhere
from advisor.sizing.plan import Speed
from advisor.sizing.prompt_ways import prompt_ways
from advisor.sizing.settings import RunSettings
from advisor.sizing.speed_data import speed_data
from advisor.sizing.speed_prefill import COPIED
from tests.sizing.speed_cases import mid, model, speed

CPU = "CPU only 1024 GB"
CARD = "RTX 3060 + 1024 GB"
MOE = {"n_cpu_moe": "all"}
ALONE = {"n_gpu_layers": 0}


def with_host(
    words: str, ram_gbs: float, cores: int | None = 16, read: float | None = None, **more: object
) -> Rig:
    rig = parse_rig(words)
    told = {"ram_bandwidth_gbs": ram_gbs, "cores": cores, "ram_read_gbs": read} | more
    return rig.model_copy(update={"hosts": (rig.host.model_copy(update=told),)})


@given(st.floats(5.0, 2000.0), st.floats(1.0, 4.0))
def test_more_bandwidth_delivers_more_but_less_of_it(ram_gbs: float, times: float) -> None:
    host = speed_data().host
    less, more = host.delivered(ram_gbs), host.delivered(ram_gbs * times)
    assert less <= more <= less * times * (1 + 1e-9)


@pytest.mark.parametrize(
    ("words", "changes"), [(CPU, {"n_gpu_layers": 0}), (CARD, {"n_cpu_moe": "all"})]
)
def test_faster_ram_is_never_slower(words: str, changes: dict[str, object]) -> None:
    of = model("Qwen3 30B-A3B")
    found = [mid(speed(of, with_host(words, gbs), **changes)) for gbs in (30, 51, 90, 460, 900)]
    assert found == sorted(found)


@pytest.mark.parametrize(
    ("words", "changes"), [(CPU, {"n_gpu_layers": 0}), (CARD, {"n_cpu_moe": "all"})]
)
def test_terms_of_ram_sum_to_the_total(words: str, changes: dict[str, object]) -> None:
    found = speed(model("Qwen3 30B-A3B"), with_host(words, 90), **changes)
    assert sum(term.seconds for term in found.decode_terms) == pytest.approx(1 / mid(found))
    assert found.prefill_tps is not None
    total = sum(term.seconds for term in found.prefill_terms)
    assert total == pytest.approx(1 / found.prefill_tps.mid)


def test_every_layer_of_experts_beside_a_card_waits_for_it() -> None:
    of, rig = model("Qwen3 30B-A3B"), with_host(CARD, 90)
    assert of.hp is not None

    def starts(found: Speed) -> float:
        return sum(t.seconds for t in found.decode_terms if t.name == "CPU: start layers")

    one, all_of_them = (starts(speed(of, rig, n_cpu_moe=n)) for n in (1, "all"))
    host = speed_data().host
    assert one == pytest.approx((host.tau_us + host.beside_us) * 1e-6)
    assert all_of_them == pytest.approx(of.hp.n_layer * one)


def test_prompts_on_a_processor_need_its_cores() -> None:
    of = model("Llama 3.1 8B", "Q8_0")
    by_cores = [
        speed(of, with_host(CPU, 80, cores), n_gpu_layers=0).prefill_tps for cores in (4, 8, 16)
    ]
    tps = [found.mid for found in by_cores if found is not None]
    assert len(tps) == 3
    assert tps == sorted(tps)
    unknown = speed(of, with_host(CPU, 80, None), n_gpu_layers=0)
    assert unknown.prefill_tps is None
    assert "how many cores" in unknown.notes[-1]


@pytest.mark.parametrize(
    ("name", "file_type", "words", "ram", "cores", "changes", "measured"),
    [
        ("GLM-4.5 Air", "Q4_K_S", "2x RTX 3060 + 96 GB", (89.6,), 12, MOE, 10.83),
        ("Qwen3.5 35B-A3B", "Q8_0", "RTX 5080 + 128 GB", (76.8,), 16, MOE, 35.7),
        ("gpt-oss 120B", "MXFP4_MOE", "RTX 5090 + 64 GB", (96.1,), 16, {"n_cpu_moe": 28}, 32.47),
        ("gpt-oss 120B", "MXFP4_MOE", "RTX 5090 + 96 GB", (96, 56.2), 16, {"n_cpu_moe": 32}, 28.9),
        ("gpt-oss 120B", "MXFP4_MOE", "RTX 4090 + 128 GB", (51, 34.0), 6, {"n_cpu_moe": 32}, 18.1),
        ("Qwen3 30B-A3B", "BF16", "RTX 5090 + 96 GB", (96, 44.7), 16, {"n_cpu_moe": 42}, 13.4),
        ("Mixtral 8x7B", "Q8_0", CPU, (57.6,), 12, ALONE, 3.58),
        ("Phi-4", "Q8_0", CPU, (460.8,), 64, ALONE, 19.194),
        ("Llama 3.1 8B", "IQ4_XS", CPU, (138.9, 138.9), 8, ALONE, 12.07),
    ],
)
def test_ranges_hold_published_rows(  # noqa: PLR0917 - one row
    name: str,
    file_type: str,
    words: str,
    ram: tuple[float, ...],
    cores: int,
    changes: dict[str, object],
    measured: float,
) -> None:
    """Of packaging/bench_host.jsonl, with their pages; ``ram``: the modules', and what was read."""
    rig = with_host(words, ram[0], cores, *ram[1:])
    found = speed(model(name, file_type), rig, **changes).decode_tps
    assert found is not None
    assert found.low <= measured <= found.high


def prompt_seconds(of: Model, rig: Rig, **changes: object) -> float:
    """Of the processor's arithmetic, per token."""
    found = speed(of, rig, n_gpu_layers=0, **changes)
    return sum(t.seconds for t in found.prefill_terms if t.name == "CPU: arithmetic")


@pytest.mark.parametrize("file_type", ["IQ2_XXS", "IQ3_XXS", "IQ1_S", "Q5_K_M", "Q6_K"])
def test_builds_that_compute_in_tiles_read_prompts_of_all_types_alike(file_type: str) -> None:
    """b11549 on 16 threads of a Xeon: IQ2_XXS 131 tok/s, Q4_K_M 115; a third before the tiles."""
    rig, of = with_host(CPU, 90), model("Llama 3.1 8B", file_type)
    before, after, untold = (prompt_seconds(of, rig, built=b) for b in ("2026-07", "b11549", ""))
    usual = prompt_seconds(model("Llama 3.1 8B"), rig, built="b11549")
    assert after == untold
    assert after == pytest.approx(usual, rel=0.1)
    assert before > 1.3 * after


def test_tiles_are_on_x86_and_of_types_that_have_them() -> None:
    of, plain = model("Llama 3.1 8B", "IQ2_XXS"), model("Llama 3.1 8B", "Q8_0")
    rig = with_host(CPU, 90)
    arm = with_host(CPU, 90, simd="arm")
    assert prompt_seconds(of, arm, built="b11549") == prompt_seconds(of, arm, built="2026-07")
    assert prompt_seconds(plain, rig, built="b11549") == prompt_seconds(plain, rig, built="2026-07")


def test_an_expert_that_few_tokens_chose_gains_little_from_tiles() -> None:
    """Qwen3.6 35B-A3B: 2.4 times as fast at 512 tokens, 1.1 times at 8 (pull request 27402)."""
    of, rig = model("Qwen3.6 35B-A3B", "IQ2_XXS"), with_host(CPU, 90)

    def gain(**changes: object) -> float:
        before, after = (prompt_seconds(of, rig, built=b, **changes) for b in ("2026-07", "b11549"))
        return before / after

    assert gain(ubatch_size=8, n_prompt=8) < 1.3
    assert 1.2 < gain(n_prompt=512) < gain(ubatch_size=4096, batch_size=4096, n_prompt=4096)
    assert gain(n_prompt=512) < 3


def test_ranges_hold_published_prompts() -> None:
    """Llama 3.1 8B on 16 cores (ik_llama.cpp, discussion 164); GLM-4.5 Air beside two RTX 3060."""
    of = model("Llama 3.1 8B", "Q8_0")
    alone = speed(of, with_host(CPU, 80), n_gpu_layers=0, n_prompt=512).prefill_tps
    beside = speed(
        model("GLM-4.5 Air", "Q4_K_S"),
        with_host("2x RTX 3060 + 96 GB", 89.6),
        n_cpu_moe="all",
        n_prompt=512,
    ).prefill_tps
    assert alone is not None
    assert beside is not None
    assert alone.low <= 147.92 <= alone.high
    assert beside.low <= 98.54 <= beside.high


def copy_seconds(found: Speed) -> float:
    return sum(term.seconds for term in found.prefill_terms if term.name == COPIED)


def test_a_ghosts_prompt_copies_the_experts_that_chance_chooses() -> None:
    """113 of 128 in 44 tokens with 8 used (tests/bench/bench_ghost.py); a text has favourites."""
    of = model("Qwen/Qwen3-30B-A3B")
    rig = with_host("RTX 3060 + 64 GB", 200)

    def copied(n_prompt: int, *, ghost: bool) -> float:
        asked = RunSettings(ctx=4096, n_cpu_moe="all", n_prompt=n_prompt)
        return copy_seconds(size(of, rig, asked, ghost=ghost).speed) * n_prompt

    experts = sum(t.nbytes for t in of.tensors if "_exps" in t.name)
    whole, text = copied(512, ghost=True), copied(512, ghost=False)
    assert whole * speed_data().host.pageable_gbs * 1e9 == pytest.approx(experts, rel=0.02)
    assert text < 0.8 * whole
    assert 113 / 128 < copied(44, ghost=True) / whole < 0.95
    # What is not chosen is the same for both: layers that are in RAM whole, and answers.
    asked = RunSettings(ctx=4096, n_gpu_layers=20)
    dense = model("Qwen/Qwen3-8B")
    assert size(dense, rig, asked, ghost=True).speed == size(dense, rig, asked).speed
    moe = asked.model_copy(update={"n_cpu_moe": "all", "n_gpu_layers": "all"})
    found, plain = (size(of, rig, moe, ghost=ghost).speed for ghost in (True, False))
    assert found.decode_tps == plain.decode_tps


def test_what_is_mapped_is_copied_as_fast_as_a_core_copies_and_what_is_locked_as_the_link() -> None:
    of = model("openai/gpt-oss-120b", "MXFP4_MOE")
    seconds = {
        (generation, mmap): copy_seconds(
            speed(of, with_host(f"{card} + 128 GB", 90), n_cpu_moe=24, mmap=mmap)
        )
        for generation, card in ((4, "RTX 3090"), (5, "RTX 5090"))
        for mmap in (True, False)
    }
    assert seconds[4, True] == pytest.approx(seconds[5, True])
    assert seconds[4, False] == pytest.approx(2 * seconds[5, False], rel=0.02)
    assert seconds[4, False] < seconds[4, True]
    slow = with_host("RTX 3090 + 128 GB", 90)
    link = PcieLink(max_generation=3, max_width=4)
    narrow = slow.model_copy(
        update={"devices": tuple(d.model_copy(update={"pcie": link}) for d in slow.devices)}
    )
    both = [copy_seconds(speed(of, narrow, n_cpu_moe=24, mmap=mmap)) for mmap in (True, False)]
    assert both[0] == pytest.approx(both[1])  # the link is slower than any copy


def test_a_larger_micro_batch_copies_what_it_chooses_once() -> None:
    """Bytes grow with the tokens, by less and less: texts have their favourites."""
    of, rig = model("openai/gpt-oss-120b", "MXFP4_MOE"), with_host("RTX 3090 + 128 GB", 90)
    copied = [
        n * copy_seconds(speed(of, rig, n_cpu_moe=24, n_prompt=n, ubatch_size=n, batch_size=n))
        for n in (128, 512, 2048, 8192)
    ]
    assert copied == sorted(copied)
    assert copied[1] / copied[3] == pytest.approx(
        (1 - (1 - 4 / 128) ** 512**0.5) / (1 - (1 - 4 / 128) ** 8192**0.5), rel=0.01
    )
    # 72 to 95 of 128 experts, block by block, in 512 tokens of code (llama.cpp's pull 15346).
    share = 1 - (1 - 4 / 128) ** speed_data().host.distinct(512)
    assert 0.45 < share < 95 / 128


@pytest.mark.parametrize(
    ("ubatch", "in_ram", "measured"),
    [(256, 25, 240.03), (512, 26, 380.27), (2048, 25, 1112.54), (4096, 26, 1682.47)],
)
def test_micro_batches_of_one_page(ubatch: int, in_ram: int, measured: float) -> None:
    """An RTX 3090 of packaging/bench_host.jsonl; no rate of copies is fitted to it."""
    found = speed(
        model("openai/gpt-oss-120b", "MXFP4_MOE"),
        with_host("RTX 3090 + 128 GB", 90),
        n_cpu_moe=in_ram,
        n_prompt=4096,
        ubatch_size=ubatch,
        batch_size=max(2048, ubatch),
        mmap=False,
        ctx=8192,
        built="2026-05",
    ).prefill_tps
    assert found is not None
    assert found.mid == pytest.approx(measured, rel=0.15)
    assert found.low < measured < found.high


def test_what_would_read_prompts_faster_is_offered_with_what_it_costs() -> None:
    of = model("openai/gpt-oss-120b", "MXFP4_MOE")
    rig = parse_rig("RTX 3090 + 128 GB DDR4-3200")
    asked = RunSettings(ctx=16384)
    plan = size_anywhere(of, rig, asked)
    locked, larger = prompt_ways(of, rig, asked, plan)
    assert "--load-mode none" in locked.title
    assert "38.5 GiB of RAM stay taken" in locked.cost
    assert "-ub 2048" in larger.title
    assert "0.3 GiB more" in larger.cost
    for way, more, words in (
        (locked, {}, ("--load-mode", "none")),
        (larger, {"n_prompt": 4096}, ("-ub", "2048")),
    ):
        # What its fields lead to is its plan, at least 1.2 times as fast, and so is the command.
        before = size_anywhere(of, rig, asked.model_copy(update=more))
        after = size_anywhere(of, rig, asked.model_copy(update={**way.fields, **more}))
        assert after.speed.prefill_tps == way.plan.speed.prefill_tps
        assert before.speed.prefill_tps
        assert after.speed.prefill_tps
        assert after.speed.prefill_tps.mid > 1.2 * before.speed.prefill_tps.mid
        at = after.command.index(words[0])
        assert after.command[at : at + 2] == words
        assert words[0] not in before.command


def test_no_way_to_read_prompts_faster_is_offered_that_is_taken_or_needless() -> None:
    of = model("openai/gpt-oss-120b", "MXFP4_MOE")
    rig = parse_rig("RTX 3090 + 128 GB DDR4-3200")
    both = RunSettings(ctx=16384, mmap=False, ubatch_size=2048)
    assert not prompt_ways(of, rig, both, size_anywhere(of, rig, both))
    whole, asked = model("Qwen/Qwen3-8B"), RunSettings(ctx=4096)
    assert not prompt_ways(whole, rig, asked, size(whole, rig, asked))


def test_a_micro_batch_that_does_not_fit_where_experts_were_put_moves_more_of_them() -> None:
    of = model("openai/gpt-oss-120b", "MXFP4_MOE")
    rig = parse_rig("RTX 3090 + 128 GB DDR4-3200")
    fewest = size_anywhere(of, rig, RunSettings(ctx=16384)).settings.n_cpu_moe
    assert isinstance(fewest, int)
    asked = RunSettings(ctx=16384, n_cpu_moe=fewest - 1, mmap=False)
    plan = size(of, rig, asked)
    assert plan.fits
    assert size(of, rig, asked.model_copy(update={"ubatch_size": 2048})).fits is False
    (larger,) = prompt_ways(of, rig, asked, plan)
    assert larger.fields["n_cpu_moe"] == "fit"
    assert larger.plan.fits


H100 = "H100 SXM + 128 GB"
"""As measured on 2026-11-27: a virtual machine of 16 cores, RAM read at 139.5 GB/s."""


@pytest.mark.parametrize(
    ("changes", "measured"),
    [
        ({"n_gpu_layers": 0, "n_prompt": 512, "mmap": False}, 2706),
        ({"n_gpu_layers": 0, "n_prompt": 2048, "mmap": False, "ubatch_size": 128}, 913),
        ({"n_gpu_layers": 0, "n_prompt": 512, "mmap": False, "depth": 8192}, 1639),
        ({"n_gpu_layers": 16, "n_prompt": 512, "mmap": False}, 4371),
        ({"n_gpu_layers": 16, "n_prompt": 2048, "mmap": False}, 4295),
    ],
)
def test_an_h100_reads_prompts_of_what_lies_in_ram(
    changes: dict[str, object], measured: float
) -> None:
    """Llama 3.1 8B in Q4_K_M by llama-bench of b11549, from page-locked memory: other memory that
    machine copied at 8 GB/s, which is not what others do."""
    of, rig = model("Llama 3.1 8B"), with_host(H100, 139.5)
    found = speed(of, rig, ctx=16384, flash_attn="on", built="2026-10", **changes).prefill_tps
    assert found is not None
    assert found.low <= measured <= found.high


def test_a_card_reads_prompts_of_layers_that_it_does_not_hold() -> None:
    of, rig = model("Llama 3.1 8B"), with_host(H100, 139.5)

    def read(words: Rig, **changes: object) -> float:
        found = speed(of, words, flash_attn="on", **changes).prefill_tps
        assert found is not None
        return found.mid

    alone = read(with_host("CPU only 128 GB", 139.5), n_gpu_layers=0)
    assert read(rig, n_gpu_layers=0) > 5 * alone
    # llama.cpp gives a card no batch of less than 32 tokens.
    assert read(rig, n_gpu_layers=0, ubatch_size=16) < 2 * alone


def test_a_layers_arithmetic_is_a_cards_wherever_its_weights_lie() -> None:
    of, rig = model("Llama 3.1 8B"), with_host(H100, 139.5)

    def arithmetic(layers: object) -> float:
        found = speed(of, rig, n_gpu_layers=layers, depth=4096, flash_attn="on")
        names = ("matrices", "attention")
        return sum(t.seconds for t in found.prefill_terms if t.name.endswith(names))

    # Measured rows of one whole card do not count where it holds nothing.
    assert arithmetic(0) == pytest.approx(arithmetic("all"), rel=0.01)
    assert arithmetic(16) == pytest.approx(arithmetic("all"), rel=1e-3)


def test_caches_in_ram_are_copied_for_every_token_or_worked_on_by_the_processor() -> None:
    of, rig = model("Llama 3.1 8B"), with_host(H100, 139.5)

    def terms(flash: str) -> dict[str, float]:
        found = speed(of, rig, kv_offload=False, depth=8192, flash_attn=flash)
        assert sum(t.seconds for t in found.decode_terms) == pytest.approx(1 / mid(found))
        return {term.name: term.seconds for term in found.decode_terms}

    copied, worked_on = terms("on"), terms("off")
    cache = 8192 * 32 * 2 * 1024 * 2
    pageable = speed_data().host.pageable_gbs * 1e9
    assert copied["Copy KV cache from RAM"] == pytest.approx(cache / pageable)
    assert "CPU: attention" not in copied
    assert "CPU: attention" in worked_on
    assert "Copy KV cache from RAM" not in worked_on


def test_a_mac_that_holds_no_layer_leaves_prompts_to_its_processor() -> None:
    of, mac = model("Llama 3.1 8B"), with_host("Apple M3 Max 64 GB", 400)
    found = speed(of, mac, n_gpu_layers=0)
    assert {t.name for t in found.prefill_terms} == {"CPU: arithmetic", "CPU: read weights"}


def test_without_flash_attention_prompts_too_wait_for_the_processor() -> None:
    of, rig = model("Llama 3.1 8B"), with_host(H100, 139.5)
    found = speed(of, rig, kv_offload=False, depth=8192, flash_attn="off")
    terms = {term.name: term.seconds for term in found.prefill_terms}
    assert terms["CPU: attention"] > 0.9 * sum(terms.values())
    assert not any(name.endswith(": attention") for name in terms if "H100" in name)


def test_prompts_go_by_the_processors_vectors() -> None:
    """b11549: 220 to 270 GFLOP/s a core with AVX-512 VNNI, some 75 with AVX2."""
    of = model("Llama 3.1 8B")
    known = {
        kind: speed(of, with_host(CPU, 90, simd=kind), n_gpu_layers=0, built="b11549").prefill_tps
        for kind in ("avx512_vnni", "avx2", "arm", None)
    }
    wide, narrow, arm, untold = (found for found in known.values() if found is not None)
    assert wide.mid > 2 * narrow.mid
    assert narrow.mid > arm.mid
    assert narrow.mid < untold.mid < wide.mid
    assert untold.high / untold.low > 1.5 * wide.high / wide.low


@pytest.mark.parametrize(("nominal", "read"), [(96, 62.0), (51, 42.4), (90, 66.0)])
def test_measuring_ram_changes_little(nominal: float, read: float) -> None:
    """A desktop's fabric delivers two thirds to nine tenths of what its modules may."""
    of = model("gpt-oss 120B", "MXFP4_MOE")
    told, measured = (
        mid(speed(of, with_host("RTX 5090 + 128 GB", nominal, read=read), n_cpu_moe="all"))
        for read in (None, read)
    )
    assert measured == pytest.approx(told, rel=0.25)


def test_what_reading_reached_counts_and_not_the_modules() -> None:
    of = model("Qwen3 30B-A3B")
    one, two = (
        mid(speed(of, with_host(CARD, gbs, read=40.0), n_cpu_moe="all")) for gbs in (50, 90)
    )
    assert one == two
    faster = mid(speed(of, with_host(CARD, 50, read=60.0), n_cpu_moe="all"))
    assert faster > 1.1 * one


def test_slow_ram_holds_back_what_is_copied_from_mapped_files() -> None:
    """Qwen3.6 35B-A3B beside an RTX 3090: 375 tok/s with DDR4-2133, 484 with DDR4-3000."""
    of = model("Qwen3.6 35B-A3B")
    slow, fast, locked = (
        copy_seconds(speed(of, with_host(CARD, gbs), n_cpu_moe="all", mmap=mapped))
        for gbs, mapped in ((34.1, True), (48.0, True), (34.1, False))
    )
    assert 1.2 < slow / fast < 1.5
    assert locked < fast


def test_recurrent_state_is_the_processors_too() -> None:
    found = speed(model("Qwen3.6 35B-A3B"), with_host(CPU, 90), n_gpu_layers=0)
    state = next(t for t in found.decode_terms if t.name == "CPU: recurrent state")
    assert 0.05 < state.seconds * mid(found) < 0.5
    assert not any(
        "state" in t.name for t in speed(model("Qwen3 30B-A3B"), with_host(CPU, 90)).decode_terms
    )
