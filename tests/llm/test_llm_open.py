"""A file that is opened: what it turns out to be, and why it is refused where it is no model."""

from pathlib import Path
from typing import Any

import pytest
from llm_small_configs import SMALL

from advisor.errors import BadModelFile, ModelError, UnknownModel
from advisor.llm import architectures, load, open_gguf
from advisor.llm.architectures import required
from advisor.llm.catalogue import add_from_gguf
from advisor.llm.gguf_writer import layout
from advisor.llm.ghost import write_ghost
from advisor.llm.model import Model
from advisor.llm.tensor import TYPES, Tensor


def plain_file(folder: Path, metadata: dict[str, Any], odd: str = "blk.0.strange.weight") -> Path:
    tensors = (
        Tensor("token_embd.weight", (256, 1000), TYPES["F16"]),
        Tensor(odd, (256, 256), TYPES["Q8_0"]),
    )
    plan = layout(metadata, tensors)
    path = folder / "strange.gguf"
    with path.open("wb") as file:
        file.write(plan.header)
        file.truncate(plan.total)
    return path


GENERIC = {
    "general.architecture": "brandnew",
    "general.file_type": 7,
    "brandnew.block_count": 2,
    "brandnew.embedding_length": 256,
    "brandnew.attention.head_count": 4,
    "brandnew.attention.head_count_kv": 2,
    "brandnew.context_length": 4096,
}


def test_an_unknown_architecture_keeps_its_weights_and_the_plain_rule(tmp_path: Path) -> None:
    model = open_gguf(plain_file(tmp_path, GENERIC))
    assert model.nbytes == 256 * 1000 * 2 + 256 * 256 // 32 * 34
    assert model.file_type == "Q8_0"
    assert model.hp is not None
    assert model.hp.n_vocab == 1000
    assert model.memory is not None
    (cache,) = model.memory.caches
    assert (cache.k_width, cache.v_width) == ((128, 128), (128, 128))


@pytest.mark.parametrize(
    ("extra", "has_hp"),
    [
        ({"brandnew.ssm.state_size": 16}, True),
        ({"brandnew.attention.kv_lora_rank": 16}, True),
        ({"brandnew.attention.sliding_window": 512}, True),
        ({"brandnew.rope.dimension_count_swa": 64}, True),
        ({"brandnew.num_loops": 2}, True),
        ({"brandnew.attention.head_count": 0}, True),
        ({"brandnew.block_count": "two"}, False),
    ],
)
def test_what_an_unknown_architecture_keeps_is_unknown_when_its_keys_say_more(
    tmp_path: Path, extra: dict[str, Any], has_hp: bool
) -> None:
    model = open_gguf(plain_file(tmp_path, {**GENERIC, **extra}))
    assert (model.hp is not None) == has_hp
    assert model.memory is None


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("blk.0.attn_q.weight", True),
        ("blk.0.attn_k.weight", False),  # twice as wide as the heads that the keys tell of
        ("blk.1.ssm_in.weight", False),
        ("blk.0.attn_kv_a_mqa.weight", False),
    ],
)
def test_tensors_of_an_unknown_architecture_may_tell_against_the_plain_rule(
    tmp_path: Path, name: str, plain: bool
) -> None:
    assert (open_gguf(plain_file(tmp_path, GENERIC, name)).memory is not None) == plain


def test_a_header_without_an_architecture_still_has_its_weights(tmp_path: Path) -> None:
    model = open_gguf(plain_file(tmp_path, {"general.name": "odd"}))
    assert (model.name, model.file_type, model.hp, model.memory) == ("odd", "mixed", None, None)
    with pytest.raises(ModelError, match="does not know"):
        add_from_gguf(plain_file(tmp_path, {"general.name": "odd"}))


@pytest.mark.parametrize(
    ("header", "holds"),
    [
        ({"general.architecture": "llama", "general.type": "adapter"}, "an adapter"),
        ({"general.architecture": "clip"}, "a projector"),
        ({"general.architecture": "controlvector"}, "a control vector"),
        ({"general.type": "imatrix"}, "an importance matrix"),
    ],
)
def test_a_file_that_holds_no_model_is_called_what_it_is(
    tmp_path: Path, header: dict[str, Any], holds: str
) -> None:
    with pytest.raises(BadModelFile, match=f"holds {holds}"):
        open_gguf(plain_file(tmp_path, header))


def test_a_header_without_a_key_that_llama_cpp_requires_is_refused(tmp_path: Path) -> None:
    known = {key.replace("brandnew", "llama"): value for key, value in GENERIC.items()}
    known["general.architecture"] = "llama"
    with pytest.raises(BadModelFile, match=r"lacks llama\.attention\.layer_norm_rms_epsilon\."):
        open_gguf(plain_file(tmp_path, known))
    known["llama.attention.layer_norm_rms_epsilon"] = 1e-5
    assert open_gguf(plain_file(tmp_path, known)).memory is not None


def test_what_we_convert_has_every_key_that_llama_cpp_requires() -> None:
    assert set(architectures.names()) == set(required.data().architectures)
    for label, config in SMALL.items():
        hp = architectures.from_config(config)
        keys = {required.full_key(hp.arch, key): 1 for key in hp.metadata}
        assert not required.lacking({"general.architecture": hp.arch, **keys}), label


def test_experts_one_by_one_are_refused_as_llama_cpp_does(tmp_path: Path) -> None:
    file = plain_file(tmp_path, {"general.architecture": "llama"}, "blk.0.ffn_gate.7.weight")
    with pytest.raises(BadModelFile, match="download a newer file"):
        open_gguf(file)


def test_the_first_files_of_gemma_2_do_not_state_their_window() -> None:
    family = architectures.architecture("gemma2")
    assert family is not None
    stated = family.from_config(SMALL["gemma2"] | {"sliding_window": 4096})
    keys = {f"gemma2.{key}": value for key, value in stated.metadata.items()}
    del keys["gemma2.attention.sliding_window"]
    older = family.from_gguf(
        {"general.architecture": "gemma2", **keys}, tuple(family.tensors(stated))
    )
    assert family.memory(older) == family.memory(stated)


def test_load_takes_a_path_or_a_name(tmp_path: Path) -> None:
    ghost = write_ghost(load("Qwen/Qwen3-0.6B", "Q8_0"), tmp_path, header_only=True)
    from_file: Model = load(str(ghost.path))
    assert from_file.source == "gguf"
    assert from_file.nbytes == load("qwen3-0.6b", "Q8_0").nbytes
    assert load("qwen3-0.6b").file_type == "Q4_K_M"
    assert load("gpt-oss-20b").file_type == "MXFP4_MOE"
    with pytest.raises(UnknownModel, match="no file"):
        load(str(tmp_path / "missing.gguf"))
    (tmp_path / "text.gguf").write_text("hello", encoding="utf-8")
    with pytest.raises(BadModelFile):
        load(str(tmp_path / "text.gguf"))


def test_a_name_of_many_lines_or_with_controls_becomes_one_short_line(tmp_path: Path) -> None:
    """Who made the file wrote it, and a terminal would obey it."""

    def called(name: str) -> str:
        return open_gguf(plain_file(tmp_path, {**GENERIC, "general.name": name})).name

    assert called("Lama\n\x1b[31m red\x07 \u202e2") == "Lama [31m red 2"
    assert called("Qwen 通义 7B") == "Qwen 通义 7B"
    assert called("word " * 500) == ("word " * 20)[:-1] + "…"
    assert called(" \x00\n") == "strange"


def test_a_file_without_weights_is_no_model(tmp_path: Path) -> None:
    """llama.cpp's own ggml-vocab files hold a vocabulary alone."""
    path = tmp_path / "ggml-vocab-new.gguf"
    path.write_bytes(layout(GENERIC, ()).header)
    with pytest.raises(BadModelFile, match="holds no weights: a vocabulary alone"):
        open_gguf(path)
