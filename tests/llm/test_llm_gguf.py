"""The header reader: what it reads is what the gguf package reads, and no header can hurt it."""

import contextlib
import mmap
import random
import struct
import tracemalloc
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.errors import BadModelFile
from advisor.llm.gguf import LazyValue, read_header
from advisor.llm.gguf_parser import MAX_STRINGS, MAX_UNFINISHED
from advisor.llm.gguf_strings import skip_strings

U64 = (1 << 64) - 1


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def string_list(key: bytes, items: list[bytes]) -> bytes:
    return text(key) + struct.pack("<IIQ", 9, 8, len(items)) + b"".join(map(text, items))


def tensor(name: bytes, shape: tuple[int, ...], type_id: int = 0, offset: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, type_id, offset)


def header(
    keys: tuple[bytes, ...] = (),
    tensors: tuple[bytes, ...] = (),
    *,
    version: int = 3,
    n_keys: int | None = None,
    n_tensors: int | None = None,
    data: int = 0,
) -> bytes:
    head = b"GGUF" + struct.pack(
        "<IQQ",
        version,
        len(tensors) if n_tensors is None else n_tensors,
        len(keys) if n_keys is None else n_keys,
    )
    body = head + b"".join(keys) + b"".join(tensors)
    return body + b"\0" * (-len(body) % 32) + b"\1" * data


ARCH = text(b"general.architecture") + struct.pack("<I", 8) + text(b"llama")
WORDS = [f"token{i}".encode() for i in range(2000)]
SEED = header(
    (
        ARCH,
        text(b"llama.block_count") + struct.pack("<II", 4, 2),
        text(b"llama.rope") + struct.pack("<If", 6, 1e4),
        text(b"llama.head_count_kv") + struct.pack("<IIQ3i", 9, 5, 3, 8, 4, 2),
        text(b"flag") + struct.pack("<IB", 7, 1),
        string_list(b"small", [b"a", b"", b"\xc3\xa9"]),
        string_list(b"tokenizer.ggml.tokens", WORDS),
    ),
    (tensor(b"token_embd.weight", (256, 3), 12), tensor(b"norm.weight", (8,), 0, 448)),
    data=480,
)


def write(folder: Path, data: bytes, name: str = "model.gguf") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def test_everything_in_a_header(tmp_path: Path) -> None:
    read = read_header(write(tmp_path, SEED))
    assert read.version == 3
    assert read.metadata["general.architecture"] == "llama"
    assert read.metadata["llama.block_count"] == 2
    assert read.metadata["llama.rope"] == 1e4
    assert read.metadata["flag"] is True
    assert read.metadata["llama.head_count_kv"] == (8, 4, 2)
    assert read.metadata["small"] == ("a", "", "é")
    assert isinstance(read.metadata["tokenizer.ggml.tokens"], LazyValue)
    assert read.length("tokenizer.ggml.tokens") == 2000
    assert read.strings("tokenizer.ggml.tokens") == tuple(w.decode() for w in WORDS)
    first, second = read.tensors
    assert (first.name, first.shape, first.type.name) == ("token_embd.weight", (256, 3), "Q4_K")
    assert first.offset == read.data_offset
    assert first.nbytes == 3 * 144
    assert second.offset == read.data_offset + 448
    assert [t.nbytes for t in read.model_tensors()] == [3 * 144, 32]


def test_agrees_with_the_gguf_package(tmp_path: Path) -> None:
    path = tmp_path / "written.gguf"
    writer = gguf.GGUFWriter(path, "qwen3")
    writer.add_block_count(3)
    writer.add_custom_alignment(64)
    writer.add_token_list([f"word{i}" * (1 + i % 50) for i in range(1500)])
    writer.add_token_scores([float(i) for i in range(1500)])
    writer.add_tensor("a.weight", np.zeros((3, 64), np.float16))
    writer.add_tensor("b.weight", np.zeros((5, 7), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    theirs, ours = gguf.GGUFReader(path), read_header(path)
    assert ours.data_offset == theirs.data_offset
    assert ours.alignment == 64
    assert [(t.name, t.offset) for t in ours.tensors] == [
        (t.name, t.data_offset) for t in theirs.tensors
    ]
    assert [list(t.shape) for t in ours.tensors] == [list(t.shape) for t in theirs.tensors]
    tokens = theirs.fields["tokenizer.ggml.tokens"].contents()
    assert list(ours.strings("tokenizer.ggml.tokens") or ()) == tokens
    scores = ours.metadata["tokenizer.ggml.scores"]
    assert isinstance(scores, LazyValue)
    assert scores.read() == tuple(float(i) for i in range(1500))


HOSTILE = {
    "empty": (b"", "it is empty"),
    "eleven bytes": (b"GGUF is not", "only 11 bytes"),
    "not a GGUF": (b"PK\3\4" + bytes(60), "not a GGUF"),
    "version 1": (header(version=1), "version 1"),
    "version 4": (header(version=4), "version 4"),
    "big-endian": (b"GGUF" + struct.pack(">IQQ", 3, 1, 1) + bytes(32), "big-endian"),
    "tensor count": (header(n_tensors=U64), "claims"),
    "key count": (header(n_keys=1 << 40), "claims"),
    "more keys than bytes": (header((ARCH,), n_keys=60_000), "damaged|middle of its header"),
    "key length": (header((struct.pack("<Q", U64),), n_keys=1), "damaged"),
    "key length past the end": (header((struct.pack("<Q", 60_000),), n_keys=1), "middle"),
    "string length": (header((text(b"k") + struct.pack("<IQ", 8, U64),)), "middle"),
    "array length": (header((text(b"k") + struct.pack("<IIQ", 9, 12, 1 << 60),)), "middle"),
    "string array length": (header((text(b"k") + struct.pack("<IIQ", 9, 8, 1 << 61),)), "middle"),
    "array of arrays": (header((text(b"k") + struct.pack("<IIQ", 9, 9, 1),)), "unknown type 9"),
    "unknown type": (header((text(b"k") + struct.pack("<II", 99, 1),)), "unknown metadata type 99"),
    "duplicate key": (header((ARCH, ARCH)), "twice"),
    "alignment": (
        header((text(b"general.alignment") + struct.pack("<II", 4, 24),)),
        "power of two",
    ),
    "alignment zero": (header((text(b"general.alignment") + struct.pack("<II", 4, 0),)), "power"),
    "tensor type": (header((), (tensor(b"a.weight", (32,), 1000),)), "type 1000"),
    "removed tensor type": (header((), (tensor(b"a.weight", (32,), 4),)), "type 4"),
    "dimensions": (header((), (tensor(b"a.weight", (1, 1, 1, 1, 1)),)), "5 dimensions"),
    "shape overflow": (header((), (tensor(b"a.weight", (1 << 40, 1 << 40)),)), "shape"),
    "zero dimension": (header((), (tensor(b"a.weight", (0, 4)),)), "shape"),
    "half a block": (header((), (tensor(b"a.weight", (100,), 12),)), "shape"),
    "duplicate tensor": (
        header((), (tensor(b"a", (8,)), tensor(b"a", (8,), 0, 32)), data=64),
        "twice",
    ),
    "overlapping tensors": (
        header((), (tensor(b"a", (8,)), tensor(b"b", (8,), 0, 0)), data=64),
        "does not follow",
    ),
    "offset": (header((), (tensor(b"a", (8,), 0, U64),), data=64), "does not follow"),
    "tensor name": (header((), (tensor(b"n" * 64, (8,)),), data=64), "damaged"),
    "name is no text": (header((), (tensor(b"\xff\xfe", (8,)),), data=64), "not text"),
    "truncated data": (SEED[:-100], "truncated"),
    "truncated header": (SEED[:900], "middle of its header"),
}


@pytest.mark.parametrize(("data", "sentence"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_headers_get_a_sentence(tmp_path: Path, data: bytes, sentence: str) -> None:
    tracemalloc.start()
    with pytest.raises(BadModelFile, match=sentence) as caught:
        read_header(write(tmp_path, data))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(caught.value).startswith("model.gguf ")
    assert peak < 8 << 20


def test_a_sparse_file_of_empty_strings_is_refused(tmp_path: Path) -> None:
    """A hole of 8 GiB reads as a billion empty strings."""
    path = write(tmp_path, header((text(b"k") + struct.pack("<IIQ", 9, 8, 1 << 30),)))
    with path.open("r+b") as file:
        file.truncate(9 << 30)
    with pytest.raises(BadModelFile, match="list entries"):
        read_header(path)


def test_long_strings_spread_over_a_sparse_file_are_refused(tmp_path: Path) -> None:
    gap, count = 1 << 20, 600
    path = tmp_path / "model.gguf"
    start = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text(b"k") + struct.pack("<IIQ", 9, 8, count)
    with path.open("wb") as file:
        file.write(start)
        pos = len(start)
        for _ in range(count):
            file.seek(pos)
            file.write(struct.pack("<Q", gap))
            pos += 8 + gap
        file.truncate(pos)
    with pytest.raises(BadModelFile, match="takes more than"):
        read_header(path)


def test_many_tensors_stay_within_memory(tmp_path: Path) -> None:
    count = 32_000
    entries = [tensor(f"t{i}.weight".encode(), (8,), 0, 32 * i) for i in range(count)]
    path = write(tmp_path, header((ARCH,), tuple(entries)))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + 32 * count)
    tracemalloc.start()
    read = read_header(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(read.tensors) == count
    assert peak < 64 << 20


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_mutations_never_break_out(tmp_path: Path, data: st.DataObject) -> None:
    """Flip, cut, repeat or overwrite lengths of a good header: a header or a BadModelFile."""
    raw = bytearray(SEED)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, min(len(raw) - 1, 900)))
        match data.draw(st.sampled_from(["byte", "cut", "length", "insert"])):
            case "byte":
                raw[at] = data.draw(st.integers(0, 255))
            case "cut":
                del raw[at : at + data.draw(st.integers(1, 64))]
            case "length":
                value = data.draw(st.sampled_from([0, 1, 255, 1 << 20, 1 << 31, 1 << 63, U64]))
                raw[at : at + 8] = struct.pack("<Q", value)
            case _:
                raw[at:at] = data.draw(st.binary(min_size=1, max_size=16))
    path = write(tmp_path, bytes(raw))
    with contextlib.suppress(BadModelFile):
        unfinished = read_header(path, unfinished=True)
        assert 0 <= unfinished.missing <= MAX_UNFINISHED
    try:
        read = read_header(path)
    except BadModelFile:
        return
    assert all(t.offset + t.nbytes <= len(raw) for t in read.tensors)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 1 << 30), odd=st.sampled_from([0.0, 0.001, 0.05, 0.5]))
def test_skipping_strings_equals_walking_them(tmp_path: Path, seed: int, odd: float) -> None:
    """Empty, long and NUL-laden strings among ordinary ones, more than one chunk at times."""
    rng = random.Random(seed)
    items: list[bytes] = []
    for _ in range(rng.choice([0, 3, 700, 5000])):
        if rng.random() < odd:
            items.append(rng.choice([b"", b"\0", b"a\0b", b"\0" * 40, b"x" * 300, b"y" * 256]))
        else:
            items.append(rng.randbytes(rng.randint(1, 12)).replace(b"\0", b"z"))
    body = b"".join(map(text, items))
    path = write(tmp_path, header((text(b"k") + struct.pack("<IIQ", 9, 8, len(items)) + body,)))
    read = read_header(path)
    value = read.metadata["k"]
    if isinstance(value, LazyValue):
        assert value.nbytes == len(body)
        assert value.length == len(items)
    else:
        assert len(value) == len(items)  # type: ignore[arg-type]


def test_skipping_stops_at_the_limit(tmp_path: Path) -> None:
    path = write(tmp_path, b"".join(map(text, WORDS)))
    size = path.stat().st_size
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        assert skip_strings(data, 0, len(WORDS), size) == size
        assert skip_strings(data, 0, len(WORDS) + 1, size) is None
        assert skip_strings(data, 0, len(WORDS), size - 1) is None
    assert len(WORDS) < MAX_STRINGS


def part(number: int, count: int, name: bytes, total: int) -> bytes:
    keys = (
        ARCH,
        text(b"split.no") + struct.pack("<IH", 2, number),
        text(b"split.count") + struct.pack("<IH", 2, count),
        text(b"split.tensors.count") + struct.pack("<Ii", 5, total),
    )
    return header(keys, (tensor(name, (8,)),), data=32)


def split(folder: Path, total: int = 3) -> list[Path]:
    return [
        write(folder, part(i, 3, f"blk.{i}.w".encode(), total), f"m-{i + 1:05d}-of-00003.gguf")
        for i in range(3)
    ]


def test_split_files_are_one_model(tmp_path: Path) -> None:
    paths = split(tmp_path)
    for named in paths:
        read = read_header(named)
        assert [t.name for t in read.tensors] == ["blk.0.w", "blk.1.w", "blk.2.w"]
        assert [t.part for t in read.tensors] == [0, 1, 2]
        assert read.parts == tuple(paths)
        assert read.file_bytes == sum(p.stat().st_size for p in paths)


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    paths = split(tmp_path)
    paths[1].unlink()
    with pytest.raises(BadModelFile, match=r"Part 2 of 3 is missing: m-00002-of-00003\.gguf"):
        read_header(paths[0])
    paths[0].unlink()
    with pytest.raises(BadModelFile, match=r"m-00001-of-00003\.gguf"):
        read_header(paths[2])


def test_parts_of_different_models_are_noticed(tmp_path: Path) -> None:
    paths = split(tmp_path, total=7)
    with pytest.raises(BadModelFile, match="do not belong together"):
        read_header(paths[0])
    renamed = paths[0].rename(tmp_path / "renamed.gguf")
    with pytest.raises(BadModelFile, match="Restore its name"):
        read_header(renamed)


def test_folders_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(BadModelFile, match="is not a file"):
        read_header(tmp_path)
    with pytest.raises(BadModelFile, match="No such file"):
        read_header(tmp_path / "nothing.gguf")


def test_a_lazy_list_of_a_file_that_shrank(tmp_path: Path) -> None:
    path = write(tmp_path, SEED)
    value = read_header(path).metadata["tokenizer.ggml.tokens"]
    assert isinstance(value, LazyValue)
    path.write_bytes(SEED[:600])
    with pytest.raises(BadModelFile, match="shorter"):
        value.read()
    path.unlink()
    with pytest.raises(BadModelFile, match="no longer"):
        value.read()
