"""GGUF files that are already here: in the folders of LM Studio, Ollama, Hugging Face, llama.cpp.

Places and layouts: lmstudio.ai/docs (models folder), ollama docs/faq (OLLAMA_MODELS; manifests
name blobs), huggingface_hub's environment variables, llama.cpp
common/common.cpp:fs_get_cache_directory.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from advisor.files import is_file, is_folder

_DEPTH: Final = 6
_MOST: Final = 5000
"""Files looked at per place, so that a folder of everything cannot hold the search up for long."""
_PART: Final = re.compile(r"-(\d{5})-of-(\d{5})$")
_OLLAMA_MODEL: Final = "application/vnd.ollama.image.model"


@dataclass(frozen=True, slots=True)
class LocalFile:
    """One model on disk; a split one is named by its first part."""

    path: Path
    name: str
    place: str
    """Whose folder it lies in: ``"LM Studio"``, ``"Ollama"``, …"""
    size: int
    """Bytes of all parts."""


def places(
    environment: Mapping[str, str] = os.environ, home: Path | None = None
) -> tuple[tuple[str, Path], ...]:
    """Names and folders where programs keep models; those that exist are searched."""
    home = home or Path.home()

    def from_variable(name: str, *below: str) -> list[Path]:
        value = environment.get(name)
        return [Path(value).expanduser().joinpath(*below)] if value else []

    cache = from_variable("XDG_CACHE_HOME") or [home / ".cache"]
    local = from_variable("LOCALAPPDATA")
    found: list[tuple[str, Path]] = []
    for name, folders in (
        ("LM Studio", [home / ".lmstudio" / "models", home / ".cache" / "lm-studio" / "models"]),
        (
            "Ollama",
            [
                *from_variable("OLLAMA_MODELS"),
                home / ".ollama" / "models",
                Path("/usr/share/ollama/.ollama/models"),
                Path("/var/lib/ollama/models"),
            ],
        ),
        (
            "Hugging Face",
            [
                *from_variable("HF_HUB_CACHE"),
                *from_variable("HF_HOME", "hub"),
                *(folder / "huggingface" / "hub" for folder in cache),
            ],
        ),
        (
            "llama.cpp",
            [
                *from_variable("LLAMA_CACHE"),
                *(folder / "llama.cpp" for folder in cache),
                home / "Library" / "Caches" / "llama.cpp",
                *(folder / "llama.cpp" for folder in local),
            ],
        ),
        ("Jan", [home / "jan" / "models", home / ".local/share/Jan/data/llamacpp/models"]),
    ):
        found += [(name, folder) for folder in dict.fromkeys(folders)]
    return tuple(found)


def local_files(
    folders: Iterable[Path] = (), known: Iterable[tuple[str, Path]] | None = None
) -> tuple[LocalFile, ...]:
    """Every model in the known places and in ``folders``, by name; unreadable ones are left out."""
    found: dict[Path, LocalFile] = {}
    for place, folder in (*(places() if known is None else known), *((f.name, f) for f in folders)):
        search = _ollama if place == "Ollama" and is_folder(folder / "manifests") else _ggufs
        for file in search(place, folder):
            found.setdefault(file.path, file)
    return tuple(sorted(found.values(), key=lambda file: (file.name.lower(), str(file.path))))


def _ggufs(place: str, folder: Path) -> Iterator[LocalFile]:
    sizes: dict[tuple[Path, str], int] = {}
    first: dict[tuple[Path, str], Path] = {}
    for path in _walk(folder):
        if path.suffix.lower() != ".gguf" or path.name.lower().startswith(("ghost-", "mmproj")):
            continue
        try:
            size = path.stat().st_size
        except OSError:
            continue
        part = _PART.search(path.stem)
        key = (path.parent, path.stem[: part.start()] if part else path.stem)
        sizes[key] = sizes.get(key, 0) + size
        if part is None or part[1] == "00001":
            first[key] = path
    for (_parent, stem), path in first.items():
        yield LocalFile(path, stem, place, sizes[path.parent, stem])


def _ollama(place: str, folder: Path) -> Iterator[LocalFile]:
    """Manifests name the blob that holds the GGUF."""
    for manifest in _walk(folder / "manifests"):
        try:
            document: Any = json.loads(manifest.read_bytes())
            layers: Any = document["layers"]
            digest = next(str(x["digest"]) for x in layers if x["mediaType"] == _OLLAMA_MODEL)
            blob = folder / "blobs" / digest.replace(":", "-")
            size = blob.stat().st_size
        except (OSError, ValueError, KeyError, TypeError, StopIteration):
            continue
        yield LocalFile(blob, f"{manifest.parent.name}:{manifest.name}", place, size)


def _walk(folder: Path) -> Iterator[Path]:
    """Files below a folder, not deeper than any of the programs nests them."""
    seen = 0
    waiting = [(folder, 0)]
    while waiting:
        current, depth = waiting.pop()
        try:
            entries = sorted(current.iterdir())
        except OSError:
            continue
        for entry in entries:
            seen += 1
            if seen > _MOST:
                return
            # Hugging Face's snapshots are links to files; links to folders may lead in circles.
            if is_file(entry):
                yield entry
            elif depth < _DEPTH and is_folder(entry) and not entry.is_symlink():
                waiting.append((entry, depth + 1))
