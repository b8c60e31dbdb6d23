"""Ghosts: true shapes, almost no disk, never left behind, never taken for a model."""

import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader
from gguf.quants import dequantize

from advisor.errors import ModelError
from advisor.llm import ghost, ghost_fill
from advisor.llm.gguf import read_header
from advisor.llm.ghost import ghost_of, has_sparse_files, is_ghost, remove_stale, write_ghost
from advisor.llm.tensor import TYPES
from tests import tiny


@pytest.mark.parametrize("file_type", ["Q8_0", "Q4_K_M", "F16"])
def test_shapes_types_and_metadata_are_the_models(tmp_path, file_type):
    model = tiny.moe(file_type)
    made = write_ghost(model, tmp_path)
    header = read_header(made.path)
    assert header.model_tensors() == model.tensors
    assert header.metadata["general.architecture"] == "qwen3moe"
    assert header.metadata["qwen3moe.block_count"] == 4
    assert header.metadata["qwen3moe.expert_count"] == 32
    assert is_ghost(header.metadata)
    assert made.path.name.startswith("ghost-")
    assert header.length("tokenizer.ggml.tokens") == 4096
    tokens = header.strings("tokenizer.ggml.tokens")
    assert tokens is not None
    assert len(set(tokens)) == 4096
    assert made.path.stat().st_size == made.apparent_bytes > model.nbytes


def test_other_readers_agree(tmp_path):
    model = tiny.moe()
    reader = GGUFReader(write_ghost(model, tmp_path).path)
    assert [t.name for t in reader.tensors] == [t.name for t in model.tensors]
    assert [int(t.n_bytes) for t in reader.tensors] == [t.nbytes for t in model.tensors]


def test_what_steers_routing_is_random_and_the_rest_is_not(tmp_path):
    made = write_ghost(tiny.moe(), tmp_path)
    tensors = {t.name: t for t in GGUFReader(made.path).tensors}
    embedding = dequantize(
        tensors["token_embd.weight"].data, tensors["token_embd.weight"].tensor_type
    )
    assert np.abs(embedding[made.tokens.start]).max() > 0
    assert np.abs(embedding[made.tokens.stop - 1]).max() > 0
    assert np.abs(embedding[0]).max() == 0
    router = tensors["blk.2.ffn_gate_inp.weight"].data
    assert np.abs(router).max(axis=1).min() > 0
    assert (tensors["blk.0.attn_norm.weight"].data == 1).all()
    assert not tensors["blk.0.ffn_down_exps.weight"].data.any()


@pytest.mark.parametrize("file_type", ["Q8_0", "Q2_K", "Q3_K_M", "Q4_0", "Q4_K_M", "Q5_K_M"])
def test_tokens_choose_different_experts(tmp_path, file_type):
    made = write_ghost(tiny.moe(file_type), tmp_path)
    tensors = {t.name: t for t in GGUFReader(made.path).tensors}
    rows = dequantize(tensors["token_embd.weight"].data, tensors["token_embd.weight"].tensor_type)
    state = rows[made.tokens.start : made.tokens.stop]
    state = state / np.sqrt((state**2).mean(axis=1, keepdims=True))
    for layer in range(4):
        scores = state @ tensors[f"blk.{layer}.ffn_gate_inp.weight"].data.T
        chosen = np.argsort(scores, axis=1)[:, -4:]
        counts = np.bincount(chosen.ravel(), minlength=32)
        # Evenly would be 128 each; every expert has work, none has several times its share.
        assert counts.min() > 40
        assert counts.max() < 320


def test_almost_no_disk(tmp_path):
    if not has_sparse_files(tmp_path):
        pytest.skip("no sparse files here")
    made = write_ghost(tiny.tiny({**tiny.MOE, "num_experts": 256}), tmp_path)
    assert made.apparent_bytes > 400 << 20
    assert made.disk_bytes < made.apparent_bytes / 40


def test_what_may_not_be_zero_is_filled(tmp_path):
    """An MXFP4 block's scale byte of 0 is a denormal number, not 0."""
    if not has_sparse_files(tmp_path):
        pytest.skip("no sparse files here")
    model = in_mxfp4()
    wanted = [t for t in model.tensors if t.name == "blk.1.ffn_up_exps.weight"]
    made = write_ghost(model, tmp_path, whole=[t.name for t in wanted])
    (tensor,) = wanted
    assert not made.left_empty
    assert made.disk_bytes > tensor.nbytes
    data = {t.name: t.data for t in GGUFReader(made.path).tensors}
    blocks = data[tensor.name].reshape(-1, tensor.type.size)
    assert (blocks[:, 0] == 118).all()
    assert len(np.unique(blocks[:, 1:])) == 256
    assert not data["blk.0.ffn_up_exps.weight"].any()


def in_mxfp4():
    """The small MoE with its experts as gpt-oss has them."""
    model = tiny.moe()
    experts = tuple(
        replace(t, type=TYPES["MXFP4"]) if "_exps." in t.name else t for t in model.tensors
    )
    return replace(model, tensors=experts)


def test_without_room_what_may_not_be_zero_stays_empty(tmp_path, monkeypatch):
    if not has_sparse_files(tmp_path):
        pytest.skip("no sparse files here")
    model = in_mxfp4()
    names = [t.name for t in model.tensors if "_exps." in t.name]
    room = ghost.SPARE_DISK + write_ghost(model, tmp_path).disk_bytes + (8 << 20)
    usage = ghost.shutil.disk_usage(tmp_path)._replace(free=room)
    monkeypatch.setattr(ghost.shutil, "disk_usage", lambda _folder: usage)
    made = write_ghost(model, tmp_path, whole=names)
    assert made.left_empty
    assert made.disk_bytes < room


def test_writing_can_be_ended(tmp_path):
    model = in_mxfp4()
    turns = iter(range(3))

    def check() -> None:
        if next(turns, None) is None:
            raise KeyError

    with pytest.raises(KeyError):
        write_ghost(model, tmp_path, whole=[t.name for t in model.tensors], check=check)
    assert not list(tmp_path.glob("ghost-*"))


def test_header_only_for_dry_runs(tmp_path):
    made = write_ghost(tiny.moe(), tmp_path, header_only=True)
    assert made.disk_bytes < 64 << 10
    assert read_header(made.path).metadata["tokenizer.ggml.model"] == "no_vocab"


def test_it_is_gone_after_use(tmp_path):
    with ghost_of(tiny.dense(), tmp_path) as made:
        assert made.path.exists()
    assert not list(tmp_path.iterdir())
    with pytest.raises(RuntimeError), ghost_of(tiny.dense(), tmp_path):
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_ghosts_of_dead_processes_are_swept(tmp_path):
    (tmp_path / "ghost-999999999-x-abc.gguf").touch()
    (tmp_path / f"ghost-{os.getpid()}-x-abc.gguf").touch()
    (tmp_path / "model.gguf").touch()
    assert remove_stale(tmp_path) == 1
    assert len(list(tmp_path.iterdir())) == 2


def test_no_sparse_files_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(ghost, "has_sparse_files", lambda _, **_how: False)
    with pytest.raises(ModelError, match="no sparse files"):
        write_ghost(tiny.dense(), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not os.path.ismount("/dev/shm"), reason="a file system in memory")  # noqa: S108
def test_holes_that_reading_fills_are_none():
    """A ghost there would fill the memory when it is loaded; a header alone is never read so."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        folder = Path(name)
        assert has_sparse_files(folder, read=False)
        assert not has_sparse_files(folder)
        with pytest.raises(ModelError, match="no sparse files"):
            write_ghost(tiny.dense(), folder)
        write_ghost(tiny.dense(), folder, header_only=True).remove()
        assert not list(folder.iterdir())


def test_a_folder_that_cannot_be_written(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(ModelError, match="Nothing can be written"):
        write_ghost(tiny.dense(), tmp_path)


def test_too_large_for_the_file_system(tmp_path):
    tensors = tiny.dense().tensors
    vast = replace(tensors[-1], shape=(1 << 20, 1 << 38), type=TYPES["F32"])
    model = replace(tiny.dense(), tensors=(*tensors[:-1], vast))
    with pytest.raises(ModelError, match="could not be written"):
        write_ghost(model, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_gguf_of_an_unknown_architecture_keeps_its_keys(tmp_path):
    first = write_ghost(tiny.dense(), tmp_path)
    model = replace(tiny.dense(), hp=None, path=first.path)
    second = write_ghost(model, tmp_path)
    before, after = read_header(first.path).metadata, read_header(second.path).metadata
    assert {k: v for k, v in before.items() if k.startswith("qwen3.")} == {
        k: v for k, v in after.items() if k.startswith("qwen3.")
    }


@pytest.mark.parametrize("name", sorted(n for n, t in TYPES.items() if ghost_fill.can_fill(t)))
def test_random_blocks_decode_to_sane_numbers(name):
    kind = TYPES[name]
    data = ghost_fill.random_values(kind, 4096, np.random.default_rng(1))
    assert data.nbytes == kind.row_bytes(4096)
    from gguf import GGMLQuantizationType  # noqa: PLC0415

    values = dequantize(data.reshape(1, -1), GGMLQuantizationType[name])
    assert np.isfinite(values).all()
    assert 1e-4 < np.abs(values).max() < 100
    assert values.std() > 0
    # What all tokens had in common would send them all to the same experts.
    kind_of = GGMLQuantizationType[name]
    many = dequantize(
        ghost_fill.random_values(kind, 1 << 18, np.random.default_rng(2)).reshape(1024, -1), kind_of
    )
    tokens = many.reshape(1024, 256) / np.linalg.norm(many, axis=1, keepdims=True)
    assert abs((tokens[:512] @ tokens[512:].T).mean()) < 0.01
