"""The whole command, word by word."""

from dataclasses import replace
from pathlib import Path

import pytest

from advisor.engine.bench import bench_arguments
from advisor.engine.builds import Build, BuildDevice
from advisor.engine.command import devices_for, for_build, lm_studio_text, ollama_text
from advisor.engine.launch import Address, Files, embedded_job
from advisor.engine.worker import fill_parameters
from advisor.errors import EngineError
from advisor.hardware.compose import parse_rig
from advisor.llm.catalogue import catalogue
from advisor.sizing import size
from advisor.sizing.arguments import server_arguments
from advisor.sizing.settings import RunSettings
from advisor.sizing.speculative import kind

QWEN = catalogue().find("Qwen/Qwen3-30B-A3B").model("Q4_K_M")


def test_defaults_are_spelled_out_where_llama_cpp_would_choose() -> None:
    command = server_arguments(QWEN, RunSettings(ctx=8192), n_devices=1)

    assert command == (
        "-m", "Qwen3-30B-A3B-Q4_K_M.gguf", "-c", "8192",
        "-ngl", "all", "-fa", "auto", "-np", "1",
    )  # fmt: skip


def test_everything_that_differs_is_written() -> None:
    settings = RunSettings(
        ctx=65536,
        ctk="q8_0",
        ctv="q4_0",
        batch_size=512,
        ubatch_size=256,
        parallel=4,
        kv_unified=True,
        flash_attn="on",
        tensor_split=(3, 1),
        main_gpu=1,
        n_gpu_layers=40,
        n_cpu_moe=12,
        kv_offload=False,
        swa_full=True,
        spec_type="draft-mtp",
        repack=False,
        mmap=False,
    )

    command = server_arguments(QWEN, settings, n_devices=2)

    assert command == (
        "-m", "Qwen3-30B-A3B-Q4_K_M.gguf", "-c", "65536",
        "-ngl", "40", "--n-cpu-moe", "12", "-ts", "3,1", "-mg", "1", "--no-kv-offload",
        "-fa", "on", "-ctk", "q8_0", "-ctv", "q4_0", "-b", "512", "-ub", "256", "-np", "4",
        "--kv-unified", "--swa-full", "--no-repack", "--spec-type", "draft-mtp",
        "--load-mode", "none",
    )  # fmt: skip


def test_layers_that_would_draft_do_not_make_a_command_draft() -> None:
    """llama-server loads them only where it drafts with them, which takes more memory."""
    model = catalogue().find("zai-org/GLM-4.7").model("Q4_K_M")
    plan = size(model, parse_rig("8x H100 + 1 TB DDR5-4800"), RunSettings(ctx=4096, load_mtp=True))
    assert "--spec-type" not in plan.command
    assert any("they stay in the file" in note for note in plan.notes)
    drafting = plan.settings.model_copy(update={"spec_type": "draft-mtp"})
    assert "draft-mtp" in server_arguments(model, drafting, n_devices=8)


def test_without_devices_nothing_is_said_about_them() -> None:
    settings = RunSettings(ctx=4096, n_gpu_layers=10, tensor_split=(1, 1))

    command = server_arguments(QWEN, settings, n_devices=0)

    assert command == (
        "-m", "Qwen3-30B-A3B-Q4_K_M.gguf", "-c", "4096", "-fa", "auto", "-np", "1",
    )  # fmt: skip


def test_one_card_of_several() -> None:
    settings = RunSettings(ctx=4096, split_mode="none", main_gpu=2, n_cpu_moe="all")

    command = server_arguments(QWEN, settings, n_devices=3)

    assert command[4:11] == ("-ngl", "all", "--cpu-moe", "-sm", "none", "-mg", "2")


def test_ollama_gets_context_per_slot_and_layers() -> None:
    settings = RunSettings(ctx=32768, parallel=4, ctk="q8_0", ctv="q8_0")
    plan = size(QWEN, parse_rig("RTX 4090 + 64 GB"), settings)

    assert ollama_text(plan).splitlines() == [
        "# Environment of the Ollama server",
        "OLLAMA_FLASH_ATTENTION=1",
        "OLLAMA_NUM_PARALLEL=4",
        "OLLAMA_KV_CACHE_TYPE=q8_0",
        "",
        "# Modelfile",
        "FROM Qwen3-30B-A3B-Q4_K_M.gguf",
        "PARAMETER num_ctx 8192",
        "PARAMETER num_gpu 49",
        "PARAMETER num_batch 512",
    ]


def test_what_ollama_cannot_do_is_said() -> None:
    settings = RunSettings(ctx=32768, n_cpu_moe=8, ctk="q8_0", mmap=False)
    text = ollama_text(size(QWEN, parse_rig("RTX 4090 + 64 GB"), settings))

    assert "has no setting for what follows" in text
    assert text.endswith("# LLAMA_ARG_N_CPU_MOE=8\n# LLAMA_ARG_LOAD_MODE=none\n")
    assert "no KV cache with K in q8_0 and V in f16" in text


def test_lm_studio_by_the_names_on_its_screen() -> None:
    settings = RunSettings(ctx=16384, n_cpu_moe=8, flash_attn="on")
    plan = size(QWEN, parse_rig("RTX 4090 + 64 GB"), settings)

    assert lm_studio_text(plan).splitlines() == [
        "Context Length: 16384",
        "GPU Offload: 49 layers",
        "Number of layers for which to force MoE weights onto CPU: 8",
        "Offload KV Cache to GPU Memory: on",
        "Max Concurrent Predictions: 1",
        "Unified KV Cache: off",
        "Evaluation Batch Size: 512",
        "Flash Attention: on",
        "K Cache Quantization Type: f16",
        "V Cache Quantization Type: f16",
        "Try mmap(): on",
    ]


def test_lm_studio_gives_each_prediction_the_length_unless_they_share_it() -> None:
    """Its own words: without a unified cache "each prediction can utilize the full context"."""
    for unified, length in ((False, 4096), (True, 16384)):
        settings = RunSettings(ctx=16384, parallel=4, kv_unified=unified)
        text = lm_studio_text(size(QWEN, parse_rig("RTX 4090 + 64 GB"), settings))
        assert f"Context Length: {length}" in text


# --- Words of one build -------------------------------------------------------------------------

NEW = ("--flash-attn=on", "--n-gpu-layers=all", "--load-mode", "--n-cpu-moe", "--cache-ram")
SETTINGS = RunSettings(ctx=4096, n_cpu_moe=3, flash_attn="on", mmap=False)


def program(*options: str) -> Build:
    return Build(kind="program", path="/x/llama-server", version="b6000", options=options)


def arguments() -> list[str]:
    return [*server_arguments(QWEN, SETTINGS, n_devices=1), "--cache-ram", "0"]


def test_a_build_that_was_never_asked_gets_the_words_of_today() -> None:
    assert for_build(arguments(), program()) == arguments()
    assert for_build(arguments(), program(*NEW)) == arguments()


def test_an_older_build_gets_its_own_words() -> None:
    assert for_build(arguments(), program("--n-cpu-moe", "--no-mmap")) == [
        "-m", "Qwen3-30B-A3B-Q4_K_M.gguf", "-c", "4096", "-ngl", "999", "--n-cpu-moe", "3",
        "-fa", "-np", "1", "--no-mmap",
    ]  # fmt: skip
    auto = server_arguments(QWEN, RunSettings(ctx=4096), n_devices=1)
    assert "-fa" not in for_build(auto, program("--n-cpu-moe"))


def test_what_an_older_build_cannot_do_is_said() -> None:
    with pytest.raises(EngineError, match="b6000 has no --n-cpu-moe"):
        for_build(arguments(), program("--no-mmap"))


def test_devices_are_named_where_llama_cpp_would_take_others() -> None:
    """It leaves integrated graphics out beside a card, and the plan counts both."""
    rig = parse_rig("RTX 4060 + 32 GB DDR5-5600")
    card = rig.devices[0]
    shared = card.model_copy(update={"backend": "vulkan", "integrated": True})
    both = rig.model_copy(update={"devices": (shared, card)})
    seen = [BuildDevice(name=n, title=n, total=1, free=1) for n in ("CUDA0", "Vulkan0", "Vulkan1")]
    build = program().model_copy(update={"devices": tuple(seen)})
    assert devices_for(both, build) == ("Vulkan0", "CUDA0")
    assert not devices_for(rig, build)
    # It would refuse to start over a name that it does not know.
    assert not devices_for(both, build.model_copy(update={"devices": tuple(seen[:1])}))


def test_the_embedded_engine_drafts_as_the_draft_models_file_says() -> None:
    import xllamacpp  # noqa: PLC0415 - 106 MB, only here

    draft = catalogue().find("Qwen/Qwen3-0.6B").model("Q8_0")
    head = replace(draft, hp=replace(draft.hp, arch="eagle3"))
    settings = RunSettings(ctx=4096, spec_type="draft-simple", model_draft="head.gguf")
    address = Address()
    files = Files(Path("model.gguf"), Path("head.gguf"))
    spec_type = kind(replace(QWEN, draft=head), settings)
    job = embedded_job(files, settings, address, spec_type=spec_type)
    address.close()
    parameters = xllamacpp.CommonParams()
    fill_parameters(parameters, job, xllamacpp)
    eagle = xllamacpp.common_speculative_type.COMMON_SPECULATIVE_TYPE_DRAFT_EAGLE3
    assert list(parameters.speculative.types) == [eagle]
    assert parameters.speculative.draft.mparams.path == "head.gguf"


# --- llama-bench --------------------------------------------------------------------------------


def test_llama_bench_keeps_the_defaults_of_the_scoreboards() -> None:
    assert bench_arguments(QWEN, RunSettings(ctx=32768), "x.gguf", n_devices=1) == [
        "-m", "x.gguf", "-p", "512", "-n", "128", "-r", "5", "-ngl", "999",
        "-ctk", "f16", "-ctv", "f16", "-b", "2048", "-ub", "512", "-o", "jsonl", "-v", "--progress",
    ]  # fmt: skip


def test_llama_bench_has_words_of_its_own() -> None:
    settings = RunSettings(
        ctx=4096, ctk="q8_0", ctv="q8_0", flash_attn="on", n_gpu_layers=20, n_cpu_moe="all",
        tensor_split=(3, 1), main_gpu=1, kv_offload=False, mmap=False, repack=False,
    )  # fmt: skip
    assert bench_arguments(QWEN, settings, "x.gguf", n_devices=2)[8:] == [
        "-ngl", "20", "-ncmoe", "48", "-sm", "layer", "-mg", "1", "-ts", "3/1", "-nkvo", "1",
        "-fa", "1", "-ctk", "q8_0", "-ctv", "q8_0", "-b", "2048", "-ub", "512", "--repack", "0",
        "-lm", "none", "-o", "jsonl", "-v", "--progress",
    ]  # fmt: skip
    parts = RunSettings(
        ctx=4096, n_gpu_layers=20, n_cpu_moe=2, tensor_split=(1 / 3, 2 / 3),
        override_tensor=("ffn_up=CPU", "attn_k=CUDA1"),
    )  # fmt: skip
    devices = ("CUDA0", "CUDA1")
    assert bench_arguments(QWEN, parts, "x.gguf", n_devices=2, devices=devices)[8:22] == [
        "-dev", "CUDA0/CUDA1", "-ngl", "20", "-ncmoe", "2", "-ot", "ffn_up=CPU;attn_k=CUDA1",
        "-sm", "layer", "-mg", "0", "-ts", "0.333333333/0.666666667",
    ]  # fmt: skip
    with pytest.raises(EngineError, match="no -ot"):
        bench_arguments(QWEN, parts, "x.gguf", n_devices=1, options=("--mmap",))
    old = bench_arguments(QWEN, settings, "x.gguf", n_devices=0, options=("--mmap",))
    assert old[8:] == [
        "-fa", "1", "-ctk", "q8_0", "-ctv", "q8_0", "-b", "2048", "-ub", "512", "-mmp", "0",
        "-o", "jsonl", "-v",
    ]  # fmt: skip
