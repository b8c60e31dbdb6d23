"""File types against llama-quantize: every tensor of 12 models in 13 file types each."""

import hashlib
import json
import re
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from advisor.errors import ModelError
from advisor.llm.catalogue import catalogue
from advisor.llm.filetypes import BY_FTYPE, FILE_TYPES, assign, file_type
from advisor.llm.gguf import GgufHeader, read_header
from advisor.llm.hyperparameters import Hyperparameters
from advisor.llm.mixes import fallback
from tests.truth import TRUTH

FACTS: dict[str, Any] = json.loads(
    (Path(__file__).parent / "quantize_facts.json").read_text(encoding="utf-8")
)["models"]


def hyperparameters(facts: dict[str, Any]) -> Hyperparameters:
    layers = facts["n_layer_all"]
    return Hyperparameters(
        arch=facts["arch"],
        n_layer_all=layers,
        n_layer_nextn=facts["n_layer_nextn"],
        n_vocab=1,
        n_embd=1,
        n_head=(facts["n_head"],) * layers,
        n_head_kv=(facts["n_head_kv"],) * layers,
        n_embd_head_k=1,
        n_embd_head_v=1,
        n_expert=facts["n_expert"],
    )


def shapes(facts: dict[str, Any]) -> list[tuple[str, tuple[int, ...]]]:
    found: list[tuple[str, tuple[int, ...]]] = []
    for name, shape, layers in facts["tensors"]:
        if layers is None:
            found.append((name, tuple(shape)))
            continue
        for span in layers.split(","):
            first, _, last = span.partition("-")
            found += [
                (f"blk.{i}.{name}", tuple(shape)) for i in range(int(first), int(last or first) + 1)
            ]
    return found


@pytest.mark.parametrize("model", FACTS)
def test_every_tensor_as_llama_quantize(model: str) -> None:
    facts = FACTS[model]
    hp, names = hyperparameters(facts), shapes(facts)
    for name, expected in facts["file_types"].items():
        tensors = assign(hp, names, name)
        assert sum(t.nbytes for t in tensors) == expected["bytes"], name
        assert Counter(t.type.name for t in tensors) == expected["counts"], name
        lines = "\n".join(f"{t.name} {t.type.name}" for t in sorted(tensors, key=lambda t: t.name))
        assert hashlib.sha256(lines.encode()).hexdigest()[:16] == expected["sha"], name


def from_header(header: GgufHeader) -> Hyperparameters:
    meta = header.metadata
    arch = str(meta["general.architecture"])
    layers = int(meta[f"{arch}.block_count"])  # type: ignore[arg-type]

    def first(key: str) -> Any:
        value = meta.get(f"{arch}.{key}", 0)
        return value[0] if isinstance(value, tuple) else value

    return hyperparameters(
        {
            "arch": arch,
            "n_layer_all": layers,
            "n_layer_nextn": first("nextn_predict_layers"),
            "n_head": first("attention.head_count"),
            "n_head_kv": first("attention.head_count_kv"),
            "n_expert": first("expert_count"),
        }
    )


@pytest.mark.skipif(not TRUTH.exists(), reason="no reference headers beside this checkout")
def test_every_reference_header_tensor_by_tensor(tmp_path: Path) -> None:
    with tarfile.open(TRUTH / "headers.tar.xz") as tar:
        tar.extractall(tmp_path, filter="data")
    index = json.loads((tmp_path / "index.json").read_text())
    assert len(index) >= 156
    for name, entry in index.items():
        path = tmp_path / name
        with path.open("r+b") as file:
            file.truncate(entry["file_bytes"])
        header = read_header(path)
        assert header.data_offset == entry["header_bytes"]
        tensors = assign(
            from_header(header),
            [(t.name, t.shape) for t in header.tensors],
            name.split(".")[-2],
        )
        wrong = [
            (a.name, a.type.name, b.type.name)
            for a, b in zip(tensors, header.tensors, strict=True)
            if a.type != b.type
        ]
        assert not wrong, name


# Byte sizes of published files; all files of one publisher have the same header but for its name.
PUBLISHED = (
    ("llama31-8b", "IQ4_XS", True, 4447667616 - 7840928),
    ("llama31-8b", "Q4_K_M", True, 4920739232 - 7840928),
    ("llama31-8b", "Q5_K_M", True, 5732992416 - 7840928),
    ("llama31-8b", "Q8_0", True, 8540775840 - 7840928),
    ("qwen3-8b", "Q4_K_M", True, 5027784224 - 5957152),
    ("qwen3-8b", "Q5_K_M", True, 5851112992 - 5957152),
    ("qwen3-8b", "Q6_K", True, 6725899808 - 5957152),
    ("qwen3-8b", "Q8_0", True, 8709518880 - 5957152),
)


@pytest.mark.parametrize(("model", "name", "imatrix", "size"), PUBLISHED)
def test_published_files(model: str, name: str, imatrix: bool, size: int) -> None:
    facts = FACTS[model]
    tensors = assign(hyperparameters(facts), shapes(facts), name, imatrix)
    assert sum(t.nbytes for t in tensors) == size


# huggingface.co/bartowski/openai_gpt-oss-20b-GGUF, sizes in 10 MB as printed; header 13.0 MB.
GPT_OSS = {
    "IQ2_M": 1155, "IQ2_S": 1155, "IQ2_XS": 1151, "IQ2_XXS": 1151, "IQ3_M": 1156, "IQ3_XS": 1156,
    "IQ3_XXS": 1156, "IQ4_NL": 1156, "IQ4_XS": 1156, "Q2_K": 1156, "Q3_K_L": 1149, "Q3_K_M": 1156,
    "Q3_K_S": 1155, "Q4_0": 1152, "Q4_1": 1159, "Q4_K_M": 1167, "Q4_K_S": 1167, "Q5_K_M": 1173,
    "Q5_K_S": 1172, "Q6_K": 1204,
}  # fmt: skip


def test_published_gpt_oss_keeps_its_experts() -> None:
    facts = FACTS["gpt-oss-20b"]
    hp, names = hyperparameters(facts), shapes(facts)
    for name, size in GPT_OSS.items():
        tensors = assign(hp, names, name, imatrix=True, keep_mxfp4=True)
        assert round((sum(t.nbytes for t in tensors) + 13_008_224) / 1e7) == size, name
    plain = assign(hp, names, "MXFP4", keep_mxfp4=True)
    assert sum(t.nbytes for t in plain) == 12109566560 - 13_008_224


def test_imatrix_changes_what_it_changes() -> None:
    facts = FACTS["llama31-8b"]
    hp, names = hyperparameters(facts), shapes(facts)

    def types(name: str, imatrix: bool) -> dict[str, str]:
        return {t.name: t.type.name for t in assign(hp, names, name, imatrix)}

    for name, better in (("Q4_0", "Q4_1"), ("Q5_0", "Q5_1")):
        plain, guided = types(name, False), types(name, True)
        changed = {n for n in plain if plain[n] != guided[n]}
        assert changed == {f"blk.{i}.ffn_down.weight" for i in range(4)}
        assert {guided[n] for n in changed} == {better}
    assert types("IQ4_XS", False)["blk.0.ffn_down.weight"] == "Q5_K"
    assert types("IQ4_XS", True)["blk.0.ffn_down.weight"] == "IQ4_XS"
    assert types("Q4_K_M", False) == types("Q4_K_M", True)


def test_eight_experts_get_better_attention() -> None:
    """Mixtral's special case (llama-quant.cpp: n_expert == 8)."""
    hp = hyperparameters(
        {"arch": "llama", "n_layer_all": 32, "n_layer_nextn": 0, "n_head": 32, "n_head_kv": 8,
         "n_expert": 8}
    )  # fmt: skip
    names = [
        ("output.weight", (4096, 32000)),
        ("blk.9.attn_k.weight", (4096, 1024)),
        ("blk.9.attn_v.weight", (4096, 1024)),
        ("blk.9.attn_output.weight", (4096, 4096)),
        ("blk.9.ffn_down_exps.weight", (14336, 4096, 8)),
    ]
    assert [t.type.name for t in assign(hp, names, "Q4_K_M")] == [
        "Q6_K", "Q8_0", "Q8_0", "Q5_K", "Q6_K" if (9 - 4) % 3 == 2 else "Q4_K",
    ]  # fmt: skip


def test_odd_widths_fall_back() -> None:
    hp = hyperparameters(
        {"arch": "qwen2", "n_layer_all": 24, "n_layer_nextn": 0, "n_head": 14, "n_head_kv": 2,
         "n_expert": 0}
    )  # fmt: skip
    names = [("output.weight", (896, 100)), ("blk.0.ffn_up.weight", (896, 4864))]
    for name, expected in (("Q4_K_S", "Q5_0"), ("Q5_K_S", "Q5_1"), ("Q6_K", "Q8_0"),
                           ("IQ4_XS", "IQ4_NL"), ("Q2_K", "Q4_0"), ("TQ1_0", "Q4_0")):  # fmt: skip
        assert assign(hp, names, name)[1].type.name == expected
    assert assign(hp, [("blk.0.ffn_up.weight", (100, 7))], "Q4_0")[0].type.name == "F16"


def test_float_files_keep_norms_and_routers_in_f32() -> None:
    facts = FACTS["deepseek-v4-flash"]
    types = {
        re.sub(r"blk\.\d+\.", "", t.name): t.type.name
        for t in assign(hyperparameters(facts), shapes(facts), "F16")
    }
    assert types["attn_kv.weight"] == "F16"
    assert types["ffn_gate_inp.weight"] == "F32"
    assert types["attn_norm.weight"] == "F32"
    assert types["indexer.proj.weight"] == "F32"
    assert types["ffn_gate_tid2eid.weight"] == "I32"


def test_names_aliases_and_unknown_types() -> None:
    assert file_type("q4_k").name == "Q4_K_M"
    assert file_type("MXFP4").name == "MXFP4_MOE"
    assert BY_FTYPE[15].name == "Q4_K_M"
    orders = [t.order for t in FILE_TYPES.values()]
    assert orders == sorted(orders)
    with pytest.raises(ModelError, match="UD-Q4_K_XL"):
        file_type("UD-Q4_K_XL")
    facts = FACTS["qwen3-8b"]
    with pytest.raises(ModelError, match="NVFP4"):
        assign(hyperparameters(facts), shapes(facts), "NVFP4")


def test_a_type_without_a_fallback_is_refused_as_llama_quantize_refuses_it() -> None:
    assert fallback("Q1_0", 1920) == "Q1_0"
    assert fallback("MXFP4", 1000) == "F16"
    with pytest.raises(ModelError, match="cannot make Q1_0"):
        fallback("Q1_0", 1856)


WIDE = {"token_embd|indexer|compressor|hc_|ffn_gate_inp": "F16"}
"""What antirez's files of DeepSeek V4 Flash have in 16 bits (huggingface.co/antirez)."""


@pytest.mark.parametrize(
    ("model", "chosen", "published"),
    [
        ("deepseek-ai/DeepSeek-V4-Flash", {}, 282),  # teamblobfish's Q8_0
        (
            "deepseek-ai/DeepSeek-V4-Flash",
            {"ffn_(gate|up)_exps": "IQ2_XXS", "ffn_down_exps": "Q2_K", **WIDE},
            80.8,
        ),
        ("deepseek-ai/DeepSeek-V4-Flash", {"_exps": "Q4_K", **WIDE}, 153.3),
        # teamblobfish says "~1.46 TiB" at 8.5 bits of its Q8_0, which 1.573T weights do not make:
        # that is one byte for each of 1.6T. Theirs are the release's 1,598.8B less a draft layer.
        ("deepseek-ai/DeepSeek-V4-Pro", {}, 1557),
    ],
)
def test_files_of_deepseek_v4_have_the_sizes_that_were_published(
    model: str, chosen: dict[str, str], published: float
) -> None:
    entry = catalogue().find(model)
    made = assign(entry.hp, entry.shapes, "Q8_0", chosen=chosen)
    assert sum(tensor.nbytes for tensor in made) / 2**30 == pytest.approx(published, rel=0.002)
