"""Models that other programs have put on this machine: where they lie, and that they open."""

import json
import os
from pathlib import Path

import gguf
import numpy as np
import pytest

from advisor import llm
from advisor.errors import BadModelFile, UnknownModel
from advisor.llm.local_files import LocalFile, local_files, places
from advisor.llm.open import is_gguf

DIGEST = "sha256-" + "ab" * 32


def model(path: Path, name: str = "Tiny") -> Path:
    """A small real GGUF, whatever its name is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(name)
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(64)
    writer.add_head_count(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(8)
    writer.add_tensor("token_embd.weight", np.zeros((8, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def ollama(folder: Path, name: str, tag: str, digest: str, kind: str = "model") -> Path:
    """A manifest as ``ollama pull`` writes it."""
    layers = [
        {"mediaType": "application/vnd.ollama.image.template", "digest": "sha256:00", "size": 3},
        {"mediaType": f"application/vnd.ollama.image.{kind}", "digest": digest.replace("-", ":")},
    ]
    path = folder / "manifests" / "registry.ollama.ai" / "library" / name / tag
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"schemaVersion": 2, "layers": layers}))
    return path


def found(place: str, folder: Path) -> list[LocalFile]:
    return list(local_files(known=[(place, folder)]))


def test_lm_studio(tmp_path: Path) -> None:
    path = model(tmp_path / "publisher" / "Tiny-GGUF" / "Tiny-Q4_K_M.gguf")
    model(tmp_path / "publisher" / "Tiny-GGUF" / "mmproj-Tiny-F16.gguf")
    (tmp_path / "publisher" / "Tiny-GGUF" / "README.md").write_text("about it")

    assert found("LM Studio", tmp_path) == [
        LocalFile(path, "Tiny-Q4_K_M", "LM Studio", path.stat().st_size)
    ]


def test_ollama_names_blobs_as_its_users_do(tmp_path: Path) -> None:
    blob = model(tmp_path / "blobs" / DIGEST, "Tiny of Ollama")
    ollama(tmp_path, "tiny", "8b", DIGEST)
    ollama(tmp_path, "gone", "latest", "sha256-" + "cd" * 32)
    ollama(tmp_path, "adapter", "latest", DIGEST, kind="adapter")
    (tmp_path / "manifests" / "broken").write_text("{")
    (tmp_path / "manifests" / "list").write_text("[1]")

    files = found("Ollama", tmp_path)

    assert files == [LocalFile(blob, "tiny:8b", "Ollama", blob.stat().st_size)]
    loaded = llm.load(str(files[0].path))
    assert loaded.name == "Tiny of Ollama"
    assert loaded.path == blob


def test_hugging_face_links_into_its_blobs(tmp_path: Path) -> None:
    repo = tmp_path / "models--someone--Tiny-GGUF"
    blob = model(repo / "blobs" / "0123abcd")
    link = repo / "snapshots" / "revision" / "Tiny-Q8_0.gguf"
    link.parent.mkdir(parents=True)
    try:
        link.symlink_to(os.path.relpath(blob, link.parent))
    except OSError:
        pytest.skip("this system makes no links without rights")
    (repo / "snapshots" / "latest").symlink_to(repo / "snapshots", target_is_directory=True)

    files = found("Hugging Face", tmp_path)

    assert [(f.name, f.size) for f in files] == [("Tiny-Q8_0", blob.stat().st_size)]
    assert llm.load(str(files[0].path)).name == "Tiny"


def test_llama_cpp_cache_and_split_models(tmp_path: Path) -> None:
    one = model(tmp_path / "someone_Tiny-GGUF_Tiny-Q4_K_M.gguf")
    parts = [model(tmp_path / f"Big-{n:05d}-of-00003.gguf") for n in (1, 2, 3)]
    (tmp_path / "manifest=someone=Tiny.json").write_text("{}")
    model(tmp_path / "ghost-17-Tiny.gguf")

    files = found("llama.cpp", tmp_path)

    assert {(f.path, f.size) for f in files} == {
        (one, one.stat().st_size),
        (parts[0], sum(part.stat().st_size for part in parts)),
    }


def test_places_follow_the_environment(tmp_path: Path) -> None:
    environment = {
        "OLLAMA_MODELS": str(tmp_path / "o"),
        "HF_HOME": str(tmp_path / "h"),
        "LLAMA_CACHE": str(tmp_path / "l"),
        "XDG_CACHE_HOME": str(tmp_path / "c"),
    }

    known = places(environment, tmp_path / "home")

    assert ("Ollama", tmp_path / "o") in known
    assert ("Hugging Face", tmp_path / "h" / "hub") in known
    assert ("Hugging Face", tmp_path / "c" / "huggingface" / "hub") in known
    assert ("llama.cpp", tmp_path / "l") in known
    assert ("LM Studio", tmp_path / "home" / ".lmstudio" / "models") in known
    assert len(known) == len(set(known))


def test_same_file_is_listed_once_and_missing_folders_are_no_error(tmp_path: Path) -> None:
    path = model(tmp_path / "Tiny.gguf")

    files = local_files([tmp_path], [("Jan", tmp_path), ("LM Studio", tmp_path / "none")])

    assert [(f.path, f.place) for f in files] == [(path, "Jan")]


def test_any_absolute_path_to_a_gguf_opens(tmp_path: Path) -> None:
    blob = model(tmp_path / DIGEST)
    other = tmp_path / "sha256-ef"
    other.write_bytes(b"{}" * 40)

    assert is_gguf(blob)
    assert not is_gguf(other)
    assert not is_gguf(tmp_path)
    assert llm.load(str(blob)).path == blob
    with pytest.raises(BadModelFile, match="sha256-ef"):
        llm.load(str(other))
    with pytest.raises(UnknownModel, match="There is no file"):
        llm.load(str(tmp_path / "nothing"))
    with pytest.raises(UnknownModel, match="is a folder"):
        llm.load(str(tmp_path))
