"""Ghosts: sparse files with a model's true shapes and almost no data, to load, time and throw away.

llama.cpp allocates and computes with a ghost exactly as with the model, but its output is noise.
Norms hold ones; some rows of the token embedding and a part of every router hold random numbers,
so that different tokens choose different experts. All other weights are holes, which read as zeros,
but for those that are asked to be whole.
"""

import contextlib
import ctypes
import mmap
import os
import re
import secrets
import shutil
import sys
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import psutil

from advisor.errors import ModelError
from advisor.files import listed
from advisor.llm import ghost_data
from advisor.llm.architectures.required import full_key
from advisor.llm.gguf import LazyValue, read_header
from advisor.llm.gguf_writer import (
    FLOAT32S,
    INT32S,
    STRINGS,
    GgufValue,
    Layout,
    RawArray,
    layout,
    string,
    wide,
)
from advisor.llm.ghost_data import Fill, Whole
from advisor.llm.model import Model
from advisor.units import MIB, size

MARK: Final = "rig_advisor.ghost"
"""Metadata key that only ghosts have."""
FIRST_TOKEN: Final = 512
"""First token with an embedding: past the control and byte tokens of the dummy vocabulary."""
FILLED_TOKENS: Final = 1024
"""Rows of the token embedding that hold numbers; prompts and sampling keep to these tokens."""
SPARE_DISK: Final = 64 * MIB
"""Bytes of disk that are left free beside a ghost."""

_FEW_BYTES: Final = 2 * MIB
"""A file with a hole of 8 MiB takes less than this where there are holes."""
_SEED: Final = 20260101
_NAME: Final = re.compile(r"^ghost-(?P<pid>\d+)-.*\.gguf$")


@dataclass(frozen=True)
class Ghost:
    """A ghost on disk. Remove it after use."""

    path: Path
    apparent_bytes: int
    """What the file claims to hold, as large as the model's own file."""
    disk_bytes: int
    """What it really takes."""
    tokens: range
    """Tokens with an embedding: the only ones worth prompting with or sampling."""
    left_empty: bool = False
    """Tensors that were to be whole are holes: the disk has no room for them."""

    def remove(self) -> None:
        """Delete the file. Missing is fine."""
        self.path.unlink(missing_ok=True)


def disk_bytes(path: Path) -> int:
    """Bytes that a file takes on its disk, holes left out."""
    if sys.platform == "win32":
        high = ctypes.c_ulong(0)
        low = ctypes.windll.kernel32.GetCompressedFileSizeW(str(path), ctypes.byref(high))
        return (high.value << 32) | (low & 0xFFFFFFFF)
    return path.stat().st_blocks * 512


def _make_sparse(descriptor: int) -> None:
    """Ask NTFS for holes (FSCTL_SET_SPARSE); other systems make them by themselves."""
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415 - exists on Windows only

        returned = ctypes.c_ulong(0)
        ctypes.windll.kernel32.DeviceIoControl(
            msvcrt.get_osfhandle(descriptor),
            0x900C4,
            None,
            0,
            None,
            0,
            ctypes.byref(returned),
            None,
        )


def _reach(file: BinaryIO, size: int) -> None:
    """Make a file ``size`` bytes long with one byte at its end, all before it a hole.

    Windows' own way to lengthen a file (_chsize_s, by which Python truncates) writes every zero.
    """
    file.seek(size - 1)
    file.write(b"\0")


def _free(folder: Path) -> int:
    """Bytes free there; Windows fills no holes by reading."""
    if sys.platform == "win32":
        return 1 << 62
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def has_sparse_files(folder: Path, *, read: bool = True) -> bool:
    """Whether files in this folder can have holes; FAT and some network drives can't have any.

    read: holes must also stay holes when a program maps and reads them, which fills those of a
    file system in memory (Linux' mm/shmem.c), until it is full and the program dies.
    """
    path = folder / f"ghost-{os.getpid()}-sparse-check-{secrets.token_hex(4)}.gguf"
    try:
        with path.open("xb") as file:
            _make_sparse(file.fileno())
            _reach(file, 8 * MIB)
            file.flush()
            os.fsync(file.fileno())
        # Filled holes that find no room end the program (SIGBUS).
        if read and disk_bytes(path) < _FEW_BYTES and _free(folder) > 16 * MIB:
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as m:
                _ = m[:: mmap.PAGESIZE]
        return disk_bytes(path) < _FEW_BYTES
    finally:
        path.unlink(missing_ok=True)


def is_ghost(metadata: Mapping[str, object]) -> bool:
    """Whether a GGUF header is a ghost's."""
    return bool(metadata.get(MARK))


def remove_stale(folder: Path) -> int:
    """Delete ghosts of processes that are gone. Returns how many were deleted."""
    removed = 0
    for path in listed(folder, "ghost-*.gguf"):
        match = _NAME.match(path.name)
        if match and not psutil.pid_exists(int(match["pid"])):
            with contextlib.suppress(OSError):
                path.unlink()
                removed += 1
    return removed


@contextlib.contextmanager
def ghost_of(model: Model, folder: Path, *, header_only: bool = False) -> Generator[Ghost]:
    """A ghost that is deleted at the end of the block. Raises as ``write_ghost``."""
    ghost = write_ghost(model, folder, header_only=header_only)
    try:
        yield ghost
    finally:
        ghost.remove()


def write_ghost(
    model: Model,
    folder: Path,
    *,
    header_only: bool = False,
    every_token: bool = False,
    dense: bool = False,
    whole: Collection[str] = (),
    check: Callable[[], None] = lambda: None,
) -> Ghost:
    """Write a ghost of ``model`` into ``folder``.

    header_only: all weights are holes and there is no vocabulary: enough for a dry run.
    every_token: all rows of the token embedding hold numbers, for a run that may prompt with any.
    dense: it may take as much disk as it claims, where there are no sparse files.
    whole: names of tensors to fill with random weights, where the disk has room for that.
    check: called between pieces; what it raises ends the writing.
    Raises ModelError when the folder cannot have sparse files or too little disk is free, and
    when the architecture's metadata is not known.
    """
    plan = layout(_metadata(model, header_only=header_only), model.tensors)
    fills: list[Fill | Whole] = []
    if not header_only:
        fills += ghost_data.fills(model, plan, _filled_tokens(model, every=every_token))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_stale(folder)
        sparse = has_sparse_files(folder, read=not header_only)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        message = (
            f"Nothing can be written to {folder}: {error.strerror or error}. A stand-in for "
            f"{model.name} must lie there: make the folder writable, or name one on another disk "
            "as RIG_ADVISOR_HOME in the environment."
        )
        raise ModelError(message, detail=str(error)) from error
    filled = [] if header_only else list(ghost_data.whole(model, plan, whole))
    fitting = free >= (_on_disk(plan, [*fills, *filled]) if sparse else plan.total) + SPARE_DISK
    fills += filled if fitting else []
    _check_disk(folder, plan, fills, sparse=sparse, free=free, dense=dense)
    label = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{model.name}-{model.file_type}")[:80]
    path = folder / f"ghost-{os.getpid()}-{label}-{secrets.token_hex(4)}.gguf"
    try:
        with path.open("xb") as file:
            _make_sparse(file.fileno())
            _reach(file, plan.total)
            file.seek(0)
            file.write(plan.header)
            rng = np.random.default_rng(_SEED)
            for fill in fills:
                for offset, data in fill.pieces(rng):
                    check()
                    file.seek(offset)
                    file.write(data)
        used = disk_bytes(path)
    except BaseException as error:
        path.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        needed = _on_disk(plan, fills) if sparse else plan.total
        message = (
            f"The stand-in file for {model.name} could not be written to {folder}: "
            f"{error.strerror or error}. It claims {size(plan.total)} and needs {size(needed)}; "
            "name a folder on a disk that allows that as RIG_ADVISOR_HOME in the environment."
        )
        raise ModelError(message, detail=str(error)) from error
    last = _n_vocab(model) if every_token else FIRST_TOKEN + FILLED_TOKENS
    tokens = _within(range(FIRST_TOKEN, last) if fills else range(0), _n_vocab(model))
    return Ghost(path, plan.total, used, tokens, left_empty=bool(filled) and not fitting)


def _filled_tokens(model: Model, *, every: bool) -> range:
    n_vocab = _n_vocab(model)
    few = _within(range(FIRST_TOKEN, FIRST_TOKEN + FILLED_TOKENS), n_vocab)
    return range(n_vocab) if every else few


def _within(tokens: range, n_vocab: int) -> range:
    if tokens.start >= n_vocab // 2:
        return range(n_vocab // 2, n_vocab)
    return range(tokens.start, min(tokens.stop, n_vocab))


# --- Metadata -----------------------------------------------------------------------------------


def _n_vocab(model: Model) -> int:
    for tensor in model.tensors:
        if tensor.name == "token_embd.weight":
            return tensor.shape[1]
    if model.hp is not None and model.hp.n_vocab:
        return model.hp.n_vocab  # it drafts with the embeddings of another model
    message = f"{model.name} has no token embedding, so no stand-in can be made of it."
    raise ModelError(message)


_WIDE: Final = frozenset({"ple.layer_multipliers", "ple.head_offsets", "ple.head_vocab_sizes"})
"""Keys whose arrays llama.cpp reads as u64 (models/qwen4exp.cpp)."""


def _architecture(model: Model) -> dict[str, GgufValue | RawArray]:
    """Architecture keys with their prefix: from the hyperparameters, else from the file."""
    if model.hp is not None and model.hp.metadata:
        arch = model.hp.arch
        prefixed = {
            full_key(arch, key): _encoded(key, value) for key, value in model.hp.metadata.items()
        }
        if "token_type_count" in model.hp.metadata:
            prefixed["tokenizer.ggml.token_type_count"] = model.hp.metadata["token_type_count"]
        return {"general.architecture": arch, **prefixed}
    if model.path is None:
        message = f"How to describe {model.name} to llama.cpp is not known; use its GGUF file."
        raise ModelError(message)
    header = read_header(model.path, unfinished=True)
    arch = str(header.metadata.get("general.architecture", ""))
    keys: dict[str, GgufValue | RawArray] = {"general.architecture": arch}
    for key, value in header.metadata.items():
        if key.startswith(f"{arch}."):
            plain = value.read() if isinstance(value, LazyValue) else value
            keys[key] = _encoded(key.removeprefix(f"{arch}."), plain)
    return keys


def _encoded(key: str, value: GgufValue) -> GgufValue | RawArray:
    if key not in _WIDE or not isinstance(value, tuple | list):
        return value
    return wide([item for item in value if isinstance(item, int)])


def _metadata(model: Model, *, header_only: bool) -> dict[str, GgufValue | RawArray]:
    n_vocab = _n_vocab(model)
    keys = _architecture(model)
    arch = keys["general.architecture"]
    return {
        **keys,
        # Not the model's name: llama.cpp treats some vocabularies by it ("phi-3") and would look
        # for tokens that the dummy vocabulary lacks (llama-vocab.cpp).
        "general.name": "Rig Advisor ghost",
        MARK: True,
        f"{arch}.vocab_size": n_vocab,
        **({"tokenizer.ggml.model": "no_vocab"} if header_only else _vocabulary(n_vocab)),
    }


def _vocabulary(n_vocab: int) -> dict[str, GgufValue | RawArray]:
    """A vocabulary that any architecture takes: SentencePiece-like, byte tokens and fillers.

    llama.cpp wants byte tokens of this model type and texts that are all different
    (llama-vocab.cpp:llama_vocab::impl::load).
    """
    first = [b"<unk>", b"<s>", b"</s>", *(f"<0x{b:02X}>".encode() for b in range(256))][:n_vocab]
    kinds = np.ones(n_vocab, dtype="<i4")
    kinds[: len(first)] = ([2, 3, 3] + [6] * 256)[:n_vocab]
    ids = np.arange(len(first), n_vocab)
    fillers = np.empty((len(ids), 16), dtype=np.uint8)
    fillers[:, :8] = (8, 0, 0, 0, 0, 0, 0, 0)  # the length of the text, u64
    fillers[:, 8] = ord("t")
    for place in range(7):
        fillers[:, 15 - place] = ids // 10**place % 10 + ord("0")
    texts = b"".join(string(t.decode()) for t in first) + fillers.tobytes()
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": RawArray(STRINGS, n_vocab, texts),
        "tokenizer.ggml.scores": RawArray(FLOAT32S, n_vocab, bytes(4 * n_vocab)),
        "tokenizer.ggml.token_type": RawArray(INT32S, n_vocab, kinds.tobytes()),
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.add_bos_token": False,
    }


# --- Disk ---------------------------------------------------------------------------------------


def _on_disk(plan: Layout, fills: Sequence[Fill | Whole]) -> int:
    return len(plan.header) + 2 * ghost_data.BLOCK + sum(fill.on_disk() for fill in fills)


def _check_disk(
    folder: Path,
    plan: Layout,
    fills: Sequence[Fill | Whole],
    *,
    sparse: bool,
    free: int,
    dense: bool,
) -> None:
    if not sparse and not dense:
        message = (
            f"The disk of {folder} has no sparse files, so a stand-in for the model would take "
            f"{size(plan.total)} there. Name a folder on another disk (NTFS, APFS, ext4, btrfs) as "
            "RIG_ADVISOR_HOME in the environment."
        )
        raise ModelError(message)
    needed = _on_disk(plan, fills) if sparse else plan.total
    if free < needed + SPARE_DISK:
        message = (
            f"The stand-in for the model needs {size(needed)} of disk in {folder}; "
            f"only {size(free)} are free. Make room on that disk, then try again."
        )
        raise ModelError(message)
