"""Sizes of real published files, through the catalogue, within the rounding they were printed in.

``published_sizes.json`` holds files of which the publisher, the type and the size are known:
``imatrix`` where the publisher says so, ``half_unit`` half of the last printed digit, ``what`` is
"tensors" where llama.cpp printed the size of the tensors, else it is the whole file; ``params_b``
are the parameters that it printed beside it. ``repo`` means its publisher's files
(``advisor.llm.published``). Rows with ``differs`` were made by rules that are not known or no
longer matter; they say which and must not fit.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from advisor.llm import load, published
from advisor.llm.catalogue import catalogue
from advisor.sizing.arguments import file_name
from tests.truth import TRUTH

OURS: dict[str, Any] = json.loads(
    Path(__file__).with_name("published_sizes.json").read_text(encoding="utf-8")
)
UNIT = {"GiB": 1 << 30, "MiB": 1 << 20, "GB": 10**9, "MB": 10**6, "bytes": 1}
PER_TOKEN = (20, 70)
"""Bytes of a file's header for each entry of its vocabulary: with scores (SentencePiece) 23 to 27,
with merges (BPE) 35 to 65."""


def miss(row: dict[str, Any]) -> str:
    """What is wrong with a row's model, or "" where its size is within the rounding."""
    model = published.model_of(
        catalogue().find(row["model"]),
        row.get("repo") or row["model"],
        row["file_type"],
        imatrix=bool(row["imatrix"]),
    )
    assert model.hp is not None
    if abs(model.n_params / 1e9 - (row.get("params_b") or model.n_params / 1e9)) > 0.006:
        return f"{row['model']}: {model.n_params} parameters"
    more = row["size"] * UNIT[row["unit"]] - model.nbytes
    half = row.get("half_unit", 0) * UNIT[row["unit"]]
    least, most = (0, 0)
    if row.get("what", "file") == "file":
        least, most = (bytes_each * model.hp.n_vocab for bytes_each in PER_TOKEN)
    if least - half <= more <= most + half:
        return ""
    return f"{row['model']} {row['file_type']} of {row.get('repo')}: {more / 1e6:+.3f} MB"


def test_sizes_are_the_published_ones_within_their_rounding() -> None:
    rows = [row for row in OURS["rows"] if "differs" not in row]
    assert len(rows) >= 700
    assert len({row["model"] for row in rows}) >= 115
    assert [wrong for row in rows if (wrong := miss(row))] == []


def test_files_made_by_other_rules_are_told_apart() -> None:
    rows = [row for row in OURS["rows"] if "differs" in row]
    assert {row["differs"] for row in rows} == set(OURS["differs"])
    assert [row for row in rows if not miss(row)] == []


def test_what_is_known_of_a_publisher_is_held_by_his_sizes() -> None:
    held = [
        (row["repo"], catalogue().find(row["model"]), row["file_type"])
        for row in OURS["rows"]
        if "differs" not in row and row.get("repo")
    ]
    unheld = [
        habit.name
        for habit in published.habits()
        # The one row of files with whole K and V of DeepSeek R1 names no repository.
        if habit.exact and "deepseek-ai/DeepSeek-R1" not in habit.models
        for kind in (habit.file_types or ("",))
        if not any(
            kind in {"", file_type} and habit.of(repo, entry, file_type)
            for repo, entry, file_type in held
        )
    ]
    # Known of other files of the same publisher and date.
    assert set(unheld) <= {"(bartowski|lmstudio-community)/.*gguf"}


def test_a_repository_means_its_own_files() -> None:
    plain = load("Qwen/Qwen3.5-9B", "Q4_K_M")
    theirs = load("https://huggingface.co/unsloth/Qwen3.5-9B-GGUF:Q4_K_M")
    assert theirs.id == "unsloth/Qwen3.5-9B-GGUF"
    assert theirs.file_type == "Q4_K_M"
    assert theirs.weights_of == plain.weights_of == "Qwen/Qwen3.5-9B"
    assert theirs.nbytes > plain.nbytes
    assert "unsloth" in theirs.published
    assert file_name(theirs) == "Qwen3.5-9B-Q4_K_M.gguf"
    assert not plain.published
    assert load("mradermacher/Qwen3.5-9B-GGUF", "Q4_K_M") is plain
    assert load(theirs.id, "Q4_K_M") is theirs


def test_files_from_before_latent_attention_keep_every_head() -> None:
    now = load("deepseek-ai/DeepSeek-V2-Lite-Chat", "Q4_K_M")
    then = load("bartowski/DeepSeek-Coder-V2-Lite-Instruct-GGUF", "Q4_K_M")
    assert now.hp is not None
    assert then.hp is not None
    assert now.hp.is_mla
    assert not then.hp.is_mla
    assert then.hp.k_gqa(0) == 16 * 192
    assert "attn_kv_b" in " ".join(tensor.name for tensor in then.tensors)


def test_a_row_is_there_once_and_says_where_it_was_read() -> None:
    rows = OURS["rows"]
    assert {row["read"] for row in rows} == set(OURS["read"])
    seen = Counter((r["model"], r.get("repo"), r["file_type"], r["size"]) for r in rows)
    assert [row for row, count in seen.items() if count > 1] == []


def shared_rows() -> list[dict[str, Any]]:
    file = TRUTH / "published_sizes.jsonl"
    if not file.exists():
        return []
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    # Made by a fork of llama.cpp with mixes of its own, or by a mix that its printer did not name.
    fork = {("google/gemma-3-27b-it", 13.747), ("google/gemma-3-27b-it", 14.539)}
    return [
        r for r in rows if (r["model"], r["size"]) not in fork | {("zai-org/GLM-4.5-Air", 67.96)}
    ]


@pytest.mark.skipif(not shared_rows(), reason="published sizes are not here")
def test_the_reference_sizes_too() -> None:
    assert [wrong for row in shared_rows() if (wrong := miss(row))] == []
