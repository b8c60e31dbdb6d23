"""Settings that end llama.cpp b11434, as it was seen to do with headers of such models."""

import re
from dataclasses import replace
from typing import Any

import pytest

from advisor.errors import SettingsError
from advisor.llm.catalogue import CatalogueEntry, catalogue
from advisor.sizing.refusals import check
from advisor.sizing.settings import RunSettings
from advisor.sizing.speculative import by_its_file, kind
from tests.llm.llm_small_configs import SMALL


@pytest.mark.parametrize(
    ("label", "ends", "runs"),
    [
        ("minimax-01", {"parallel": 3}, {"parallel": 3, "kv_unified": True}),
        ("minimax-01", {"parallel": 3}, {"parallel": 4}),
        ("kimi-linear", {"parallel": 3}, {"parallel": 2}),
        ("t5", {"parallel": 2}, {"parallel": 2, "kv_unified": True}),
    ],
)
def test_slots_that_end_llama_cpp_are_refused(
    label: str, ends: dict[str, Any], runs: dict[str, Any]
) -> None:
    entry = {"id": label, "name": label, "maker": "nobody", "source": ["here"]}
    entry |= {"date": "2026-11-26", "config": SMALL[label]}
    model = CatalogueEntry.model_validate(entry).model("Q8_0")

    with pytest.raises(SettingsError, match="ends itself"):
        check(model, RunSettings.model_validate({"ctx": 4096, **ends}))
    check(model, RunSettings.model_validate({"ctx": 4096, **runs}))


@pytest.mark.parametrize(
    ("model", "makes"),
    [("BAAI/bge-small-en-v1.5", "vectors"), ("Qwen/Qwen3-Embedding-0.6B", "vectors")],
)
def test_nothing_is_drafted_for_what_writes_nothing(model: str, makes: str) -> None:
    """llama-server b11549 was seen to load the draft model and to drop it."""
    found = catalogue().find(model).model("Q8_0")
    for drafts in ({"spec_type": "draft-simple"}, {"model_draft": "Qwen/Qwen3-0.6B"}):
        with pytest.raises(SettingsError, match=makes):
            check(found, RunSettings.model_validate({"ctx": 512, **drafts}))
    check(found, RunSettings(ctx=512))


@pytest.mark.parametrize(
    ("model", "ends", "runs"),
    [
        ("Qwen/Qwen3-0.6B", {"batch_size": 4, "parallel": 8}, {"batch_size": 8, "parallel": 8}),
        ("Qwen/Qwen3-0.6B", {"batch_size": 1, "parallel": 2}, {"ubatch_size": 1, "parallel": 2}),
        (
            "zai-org/GLM-4.5-Air",
            {"batch_size": 4, "parallel": 8, "spec_type": "draft-mtp", "n_outputs": 4},
            {"batch_size": 64, "parallel": 8, "spec_type": "draft-mtp", "n_outputs": 32},
        ),
        ("BAAI/bge-small-en-v1.5", {"ubatch_size": 4, "parallel": 8}, {"parallel": 8}),
        # The share of a micro-batch of 512 that each of three slots has is no whole number.
        ("google/embeddinggemma-300m", {"parallel": 3}, {"parallel": 3, "ubatch_size": 510}),
        ("google/embeddinggemma-300m", {"parallel": 3}, {"parallel": 4}),
    ],
)
def test_batches_that_do_not_serve_all_slots_are_refused(
    model: str, ends: dict[str, Any], runs: dict[str, Any]
) -> None:
    """As llama.cpp b11549 was seen to end (llama-context.cpp:2289, ggml_can_mul_mat)."""
    found = catalogue().find(model).model("Q8_0")
    with pytest.raises(SettingsError, match="ends itself"):
        check(found, RunSettings.model_validate({"ctx": 4096, **ends}))
    check(found, RunSettings.model_validate({"ctx": 4096, **runs}))


@pytest.mark.parametrize("flash", ["auto", "on", "off"])
def test_heads_that_do_not_fill_blocks_are_never_quantized(flash: str) -> None:
    model = catalogue().find("LGAI-EXAONE/EXAONE-3.5-2.4B-Instruct").model("Q4_K_M")
    asked = {"ctx": 4096, "ctk": "q8_0", "flash_attn": flash}
    with pytest.raises(SettingsError, match="80 values, which do not fill whole q8_0 blocks"):
        check(model, RunSettings.model_validate(asked))


def test_an_architecture_whose_graph_ends_llama_cpp_is_refused() -> None:
    model = catalogue().find("meta-llama/Llama-3.1-8B-Instruct").model("Q4_K_M")
    assert model.hp is not None
    model = replace(model, hp=replace(model.hp, arch="plm"))
    with pytest.raises(SettingsError, match="No setting changes that"):
        check(model, RunSettings(ctx=4096))


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"ctkd": "q8_0"}, "same type for K and V"),
        ({"ctkd": "q8_0", "ctvd": "q8_0", "flash_attn": "off"}, "needs flash attention"),
    ],
)
def test_caches_of_a_draft_that_its_context_refuses(asked: dict[str, Any], why: str) -> None:
    model = catalogue().find("zai-org/GLM-5.2").model("Q4_K_M")
    wanted = {"ctx": 4096, "spec_type": "draft-mtp"}
    with pytest.raises(SettingsError, match=why):
        check(model, RunSettings.model_validate({**wanted, **asked}))
    check(model, RunSettings.model_validate({**wanted, "ctkd": "q8_0", "ctvd": "q8_0"}))


def test_nextn_layers_without_a_graph_are_refused() -> None:
    model = catalogue().find("LGAI-EXAONE/K-EXAONE-236B-A23B").model("Q4_K_M")
    with pytest.raises(SettingsError, match="no graph"):
        check(model, RunSettings(ctx=4096, spec_type="draft-mtp"))


@pytest.mark.parametrize(
    ("name", "ends", "runs", "remedy"),
    [
        (
            "microsoft/phi-4",
            {"ctk": "q8_0", "ctv": "q8_0", "parallel": 2},
            {"ctk": "q8_0", "ctv": "q8_0", "parallel": 2, "kv_unified": True},
            "take one cache for all slots (--kv-unified) or an f16 cache.",
        ),
        (
            "ibm-granite/granite-3.0-1b-a400m-instruct",
            {"ctk": "iq4_nl", "ctv": "iq4_nl"},
            {"parallel": 4},
            "take an f16 cache.",
        ),
    ],
)
def test_a_graph_that_llama_cpp_has_no_room_for_is_refused(
    name: str, ends: dict[str, Any], runs: dict[str, Any], remedy: str
) -> None:
    model = catalogue().find(name).model("Q4_K_M")
    with pytest.raises(SettingsError, match=re.escape(remedy)):
        check(model, RunSettings.model_validate({"ctx": 8192, **ends}))
    check(model, RunSettings.model_validate({"ctx": 8192, **runs}))


def test_a_head_that_drafts_is_told_by_its_file_not_by_nextn_layers_of_the_model() -> None:
    entry = {"id": "head", "name": "Head", "maker": "nobody", "source": ["here"]}
    entry |= {"date": "2026-11-26", "config": SMALL["gemma4-assistant"]}
    head = CatalogueEntry.model_validate(entry).model("Q8_0")
    main = catalogue().find("google/gemma-3-4b-it").model("Q4_K_M")
    asked = RunSettings(ctx=4096, spec_type="draft-mtp", model_draft="head.gguf")

    beside = replace(main, draft=head)
    assert by_its_file(beside, asked).spec_type == "draft-simple"
    assert kind(beside, by_its_file(beside, asked)) == "draft-mtp"
    with pytest.raises(SettingsError, match="leave it out"):
        by_its_file(replace(main, draft=main), asked)
    assert by_its_file(main, asked) is asked
