"""The catalogue: found by the names people use, extended by the user."""

from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from llm_small_configs import SMALL

from advisor import paths
from advisor.errors import ModelError, UnknownModel
from advisor.llm import architectures, load, unsupported
from advisor.llm.catalogue import CatalogueEntry, add_from_config, add_from_gguf, catalogue, remove
from advisor.llm.ghost import write_ghost
from advisor.sizing.plan import LLAMA_CPP

# Published safetensors that hold more than the GGUF does: vision or audio parts, layers that
# predict further tokens, an output matrix stored beside the tied one, scales of 8- or 4-bit files.
MORE_PUBLISHED = {
    "bert": 0.006, "jina-bert-v2": 0.005,  # the layer behind the first token's vector
    "deepseek2": 0.045, "deepseek32": 0.025, "deepseek4": 0.07, "ernie4_5-moe": 0.01,
    "gemma3": 0.1, "gemma3n": 0.2, "gemma4": 0.1, "glm4": 0.09, "glm4moe": 0.01,
    "glm5-next": 0.03, "hy_v3": 0.02,
    "kimi-k3": 0.001, "llama4": 0.01, "mimo2": 0.007, "minimax-m2": 0.001, "minimax-m3": 0.01,
    "muse-glimmer": 0.07, "paddleocr": 0.52,
    "mistral3": 0.021, "mistral4": 0.01, "nemotron_h_moe": 0.03, "qwen2vl": 0.31, "qwen3": 0.21,
    "qwen3vl": 0.1, "qwen35": 0.18,
    "qwen35moe": 0.04, "qwen3next": 0.025, "qwen4exp": 0.018, "step35": 0.03,
}  # fmt: skip

# Facts that must hold without the reference files: bytes of all tensors, from files' headers.
TENSOR_BYTES = [
    ("Qwen/Qwen3-8B", "Q4_K_M", 5_021_827_072),
    ("meta-llama/Llama-3.1-8B-Instruct", "Q8_0", 8_532_934_912),
    ("openai/gpt-oss-20b", "MXFP4_MOE", 12_096_558_336),
]


@pytest.mark.parametrize("entry", catalogue().entries, ids=lambda entry: entry.id)
def test_an_entry_is_a_whole_model_with_its_sources(entry: CatalogueEntry) -> None:
    names = [name for name, _ in entry.shapes]
    assert len(names) == len(set(names))
    assert all(all(n > 0 for n in shape) for _, shape in entry.shapes)
    assert entry.hp.n_ctx_train >= 2048 or not entry.chats
    assert entry.memory.keeps or not entry.chats
    assert entry.source
    assert entry.licence
    assert entry.released
    assert not {"chat", "embedding", "reranking", "diffusion", "text-to-text"}.isdisjoint(
        entry.abilities
    )
    assert entry.model(entry.suggested_file_type).served == entry.chats
    assert entry.native_file_type in entry.file_types
    assert entry.suggested_file_type in entry.file_types
    assert entry.model(entry.suggested_file_type) is entry.model(entry.suggested_file_type)
    if entry.published_params:
        short = entry.published_params - entry.n_params
        # What the list does not count or the converter adds: routers' biases, frequency factors;
        # RWKV's first layer gets unused matrices.
        assert short >= (-500_000 if entry.arch == "rwkv7" else -10_000)
        # Older checkpoints store rotary frequencies.
        rotary = 64 * entry.hp.n_layer
        assert short <= rotary + entry.published_params * MORE_PUBLISHED.get(entry.arch, 0.0)


def test_the_catalogue_is_large_and_every_id_is_there_once() -> None:
    entries = catalogue().entries
    assert len(entries) >= 70
    everything = Counter(name.lower() for entry in entries for name in (entry.id, *entry.aliases))
    assert [name for name, count in everything.items() if count > 1] == []


@pytest.mark.parametrize("entry", catalogue().entries, ids=lambda entry: entry.id)
def test_what_was_quantized_before_march_2026_is_marked(entry: CatalogueEntry) -> None:
    touched = ("attn_qkv.weight", "attn_kv_b.weight", "per_layer_token_embd.weight")
    changed = any(name.endswith(touched) for name, _ in entry.shapes)
    assert entry.released
    # llama.cpp runs MiniMax-01 since August 2026, so that no file of it is older.
    changed = changed and entry.arch != "minimax-01"
    assert entry.older_mix == (changed and entry.released < date(2026, 3, 1))


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("Qwen/Qwen3-8B", "Qwen/Qwen3-8B"),
        ("qwen/qwen3-8b", "Qwen/Qwen3-8B"),
        ("qwen3-8b", "Qwen/Qwen3-8B"),
        ("Qwen3 8B", "Qwen/Qwen3-8B"),
        ("deepseek-v3", "deepseek-ai/DeepSeek-R1"),
        ("DeepSeek-V4-Flash", "deepseek-ai/DeepSeek-V4-Flash"),
        ("gpt-oss-120b", "openai/gpt-oss-120b"),
        ("llama-3.1-70b-instruct", "meta-llama/Llama-3.3-70B-Instruct"),
        ("gemma 3 27b", "google/gemma-3-27b-it"),
        ("qwen3-30b-a3b", "Qwen/Qwen3-30B-A3B"),
        ("bartowski/Meta-Llama-3.1-8B-Instruct-GGUF", "meta-llama/Llama-3.1-8B-Instruct"),
        ("bartowski/google_gemma-3-27b-it-GGUF", "google/gemma-3-27b-it"),
        ("google/gemma-3-27b-it-qat-q4_0-gguf", "google/gemma-3-27b-it"),
        ("mradermacher/Llama-3.3-70B-Instruct-i1-GGUF", "meta-llama/Llama-3.3-70B-Instruct"),
        ("hf.co/unsloth/Qwen3-8B-GGUF:Q8_0", "Qwen/Qwen3-8B"),
        ("unsloth/gemma-4-26B-A4B-it-GGUF:UD-Q4_K_XL", "google/gemma-4-26B-A4B-it"),
        ("DeepSeek-R1-Q4_K_M-00001-of-00009.gguf", "deepseek-ai/DeepSeek-R1"),
        ("Huihui-gpt-oss-20b-BF16-abliterated-v2", "openai/gpt-oss-20b"),
        ("HauhauCS/Qwen3.5-9B-Uncensored-HauhauCS-Aggressive", "Qwen/Qwen3.5-9B"),
        (
            "bartowski/cerebras_Qwen3-Coder-REAP-25B-A3B-GGUF",
            "cerebras/Qwen3-Coder-REAP-25B-A3B",
        ),
        ("Qwen/Qwen3.6-35B-A3B-FP8", "Qwen/Qwen3.6-35B-A3B"),
        ("llama3.3", "meta-llama/Llama-3.3-70B-Instruct"),
        ("llama3.1:8b-instruct-q4_K_M", "meta-llama/Llama-3.1-8B-Instruct"),
        ("THUDM/GLM-4-32B-0414", "zai-org/GLM-4-32B-0414"),
    ],
)
def test_a_model_is_found_by_the_names_people_use(asked: str, found: str) -> None:
    assert catalogue().find(asked).id == found


def test_a_name_that_states_a_file_type_means_it() -> None:
    named = load("unsloth/Qwen3-8B-GGUF:Q8_0")
    assert named.file_type == "Q8_0"
    assert load("unsloth/Qwen3-8B-GGUF").file_type == "Q4_K_M"
    assert load("unsloth/Qwen3-8B-GGUF:Q8_0", "Q6_K").file_type == "Q6_K"
    assert load("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16").file_type == "Q4_K_M"
    with pytest.raises(ModelError, match="not a file type"):
        load("unsloth/Qwen3-8B-GGUF:UD-Q4_K_XM")


@pytest.mark.parametrize(
    ("named", "kind", "gigabytes"),
    [
        ("unsloth/Qwen3-8B-GGUF:UD-Q4_K_XL", "Q4_K_M", 5.0),
        ("teamblobfish/DeepSeek-V4-Flash-GGUF:Q2_K-XL", "Q2_K", 103.1),
        # What unsloth's files have: their experts are as they were released.
        ("unsloth/DeepSeek-V4-Flash-GGUF:UD-Q4_K_XL", "MXFP4_MOE", 155.1),
        ("unsloth/DeepSeek-V4-Flash-GGUF:UD-Q8_K_XL", "MXFP4_MOE", 155.1),
        ("unsloth/DeepSeek-V4-Flash-GGUF:UD-IQ2_XXS", "IQ2_XXS", 74.2),
    ],
)
def test_a_publishers_own_mix_is_computed_as_what_comes_nearest(
    named: str, kind: str, gigabytes: float
) -> None:
    mix = named.rpartition(":")[2]
    model = load(named)
    assert model.file_type == kind
    assert model.nbytes / 1e9 == pytest.approx(gigabytes, abs=0.05)
    assert f"“{mix}” is a publisher's own mix: computed as {kind}." in model.published
    bare = load(named.rpartition(":")[0], kind)
    assert "own mix" not in bare.published
    assert bare.nbytes == model.nbytes


def test_the_name_of_a_repository_is_found_by_search_too() -> None:
    assert [e.id for e in catalogue().search("bartowski/Qwen_Qwen3-8B-GGUF")] == ["Qwen/Qwen3-8B"]


@pytest.mark.parametrize(
    ("words", "first"),
    [
        ("qwen3 0.6b", "Qwen/Qwen3-0.6B"),
        ("openai 20b", "openai/gpt-oss-20b"),
        ("deepseek flash", "deepseek-ai/DeepSeek-V4-Flash"),
        ("google vision 27b", "google/gemma-3-27b-it"),
        ("meta 405b", "meta-llama/Llama-3.1-405B-Instruct"),
    ],
)
def test_search_takes_parts_of_names_makers_and_abilities(words: str, first: str) -> None:
    assert catalogue().search(words)[0].id == first


def test_a_model_with_experts_is_not_taken_for_a_dense_one() -> None:
    for entry in catalogue().entries:
        assert (entry.active < 0.9 * entry.n_params) == bool(entry.hp.n_expert), entry.id


def test_an_unknown_name_says_what_is_near() -> None:
    with pytest.raises(UnknownModel, match=r"Did you mean .*Qwen"):
        catalogue().find("qwen9-900b")
    with pytest.raises(UnknownModel, match=r"Did you mean Qwen/Qwen3-"):
        catalogue().find("Qwen3 9000B")
    with pytest.raises(UnknownModel, match=r"Did you mean Qwen/Qwen3-8B"):
        catalogue().find("Quen3 8B")
    with pytest.raises(UnknownModel, match=r"Search the catalogue"):
        catalogue().find("x")
    assert catalogue().search("") == list(catalogue().entries)
    assert catalogue().search("no such thing") == []


@pytest.mark.parametrize(
    "asked",
    [
        "DeepSeek V4.1 Flash",
        "unsloth/DeepSeek-V4.1-Flash-GGUF:Q4_K_M",
        "Kolibri",
        "Kolbri",
        "apertus 1.5",
        "llama3.2-vision:11b",
        "Meta-Llama-3.2-11B-Vision-Instruct",
        "skt/A.X-K1",
        "k2 horizon",
        "Motif",
        "mllama",
        "gpt-5",
    ],
)
def test_a_model_that_llama_cpp_cannot_run_is_told_with_what_comes_nearest(asked: str) -> None:
    with pytest.raises(
        UnknownModel, match=rf"{LLAMA_CPP} can't run .*Nearest that it can: [\w-]+/"
    ):
        catalogue().find(asked)


def test_what_cannot_be_run_is_told_apart_from_what_can() -> None:
    assert unsupported.data().llama_cpp == LLAMA_CPP
    known = catalogue()
    ids = {entry.id for entry in known.entries}
    for model in unsupported.data().models:
        assert set(model.instead) <= ids
        assert unsupported.named(model.name) is model
    for entry in known.entries:
        for name in (entry.id, entry.name, *entry.aliases):
            assert unsupported.named(name) is None, name
    with pytest.raises(ModelError, match=r"can't run Inkling.*inkling_mm_model"):
        add_from_config({"model_type": "inkling_mm_model"}, "thinkingmachines/Inkling")


@pytest.mark.parametrize(("name", "file_type", "nbytes"), TENSOR_BYTES)
def test_bytes_are_those_of_the_real_files(name: str, file_type: str, nbytes: int) -> None:
    assert load(name, file_type).nbytes == nbytes


def test_a_dropped_config_becomes_a_model_that_stays(app_home: Path) -> None:
    del app_home
    added = add_from_config(SMALL["qwen3moe"], "me/My-MoE")

    found = catalogue().find("my-moe")
    assert found == added
    assert found.added
    assert found.model("Q4_K_M").nbytes > 0
    assert list((paths.data() / "models").glob("*.json"))

    remove(found)
    with pytest.raises(UnknownModel):
        catalogue().find("me/My-MoE")


def test_a_model_is_added_from_a_gguf_header_in_every_file_type(tmp_path: Path) -> None:
    source = add_from_config(SMALL["gemma4-small"], "me/Source").model("Q8_0")
    file = write_ghost(source, tmp_path, header_only=True).path

    added = add_from_gguf(file)
    again = catalogue().find(added.id)

    assert sorted(again.shapes) == sorted((t.name, t.shape) for t in source.tensors)
    assert again.memory == source.memory
    assert again.model("Q8_0").nbytes == source.nbytes
    assert again.model("Q4_K_M").nbytes < source.nbytes


def test_a_config_of_no_known_model_is_refused_and_nothing_is_kept() -> None:
    with pytest.raises(ModelError, match="does not know"):
        add_from_config({"architectures": ["Nobody"]}, "me/Nobody")
    assert not list((paths.data() / "models").glob("*"))


QWEN = SMALL["qwen3"]


@pytest.mark.parametrize(
    ("config", "arch"),
    [
        ({**QWEN, "architectures": None, "model_type": "qwen3"}, "qwen3"),
        ({**QWEN, "architectures": ["Qwen3Model"]}, "qwen3"),
        ({**SMALL["gemma3"], "architectures": [], "model_type": "gemma3_text"}, "gemma3"),
        (
            {
                "architectures": ["Qwen3OmniMoeForConditionalGeneration"],
                "thinker_config": {"text_config": SMALL["qwen3moe"] | {"architectures": None}},
            },
            "qwen3vlmoe",
        ),
        (
            {
                "architectures": ["Idefics3ForConditionalGeneration"],
                "text_config": QWEN | {"architectures": ["VLlama3ForCausalLM"]},
            },
            "llama",
        ),
    ],
)
def test_a_config_names_its_architecture_in_many_ways(config: dict[str, Any], arch: str) -> None:
    assert architectures.from_config(config).arch == arch


def test_a_damaged_entry_does_not_take_the_others_along() -> None:
    folder = paths.data() / "models"
    folder.mkdir()
    (folder / "broken.json").write_text("{", encoding="utf-8")
    (folder / "other.json").write_text('{"id": "x"}', encoding="utf-8")
    add_from_config(SMALL["llama"], "me/Good")

    assert catalogue().find("me/Good").arch == "llama"
    assert len(catalogue().entries) > 70
