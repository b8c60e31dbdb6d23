"""Header of 150,000 tokens and as many merges: ours, the gguf package's, the engine's own.

The ratios are printed at the end; run with ``make bench``.
"""

import ctypes
import random
import statistics
import struct
import time
from collections.abc import Callable
from pathlib import Path

import gguf
import pytest
import xllamacpp
from pytest_benchmark.fixture import BenchmarkFixture

from advisor.llm.gguf import read_header

N = 150_000


def _text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def _list(key: bytes, items: list[bytes]) -> bytes:
    return _text(key) + struct.pack("<IIQ", 9, 8, len(items)) + b"".join(map(_text, items))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with vocabulary and merges of byte-pair shape, and one tensor."""
    rng = random.Random(7)
    letters = b"abcdefghijklmnopqrstuvwxyz"
    words = [bytes(rng.choices(letters, k=rng.randint(1, 11))) for _ in range(N)]
    tokens = [word + str(i).encode() for i, word in enumerate(words)]
    keys = (
        _text(b"general.architecture") + struct.pack("<I", 8) + _text(b"llama"),
        _list(b"tokenizer.ggml.tokens", tokens),
        _text(b"tokenizer.ggml.token_type") + struct.pack(f"<IIQ{N}i", 9, 5, N, *[1] * N),
        _list(b"tokenizer.ggml.merges", [word + b" " + word[:3] for word in words]),
    )
    tensor = _text(b"token_embd.weight") + struct.pack("<I2QIQ", 2, 32, 2, 0, 0)
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, len(keys)) + b"".join(keys) + tensor
    path = tmp_path_factory.mktemp("gguf") / "vocabulary.gguf"
    path.write_bytes(head + bytes(-len(head) % 32) + bytes(256))
    return path


def engine_reader() -> Callable[[Path], None]:
    """llama.cpp's gguf_init_from_file inside the embedded engine."""
    library = ctypes.CDLL(next(Path(xllamacpp.__file__).parent.glob("xllamacpp*.so")))

    class Params(ctypes.Structure):
        _fields_ = [("no_alloc", ctypes.c_bool), ("ctx", ctypes.c_void_p)]

    library.gguf_init_from_file.restype = ctypes.c_void_p
    library.gguf_init_from_file.argtypes = [ctypes.c_char_p, Params]
    library.gguf_free.argtypes = [ctypes.c_void_p]

    def read(path: Path) -> None:
        context = library.gguf_init_from_file(str(path).encode(), Params(no_alloc=True, ctx=None))
        assert context
        library.gguf_free(context)

    return read


def test_header(benchmark: BenchmarkFixture, model: Path) -> None:
    header = benchmark.pedantic(read_header, (model,), rounds=15, warmup_rounds=2)
    assert header.length("tokenizer.ggml.merges") == N


def test_engine(benchmark: BenchmarkFixture, model: Path) -> None:
    benchmark.pedantic(engine_reader(), (model,), rounds=15, warmup_rounds=2)


def _median(call: Callable[[], object], rounds: int) -> float:
    times: list[float] = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def test_ratios(
    benchmark: BenchmarkFixture, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = engine_reader()
    ours = _median(lambda: read_header(model), 15)
    theirs = _median(lambda: engine(model), 15)
    package = _median(lambda: gguf.GGUFReader(model), 1)
    benchmark.pedantic(read_header, (model,), rounds=1)
    with capsys.disabled():
        print(
            f"\nheader: {ours * 1e3:.1f} ms; gguf.GGUFReader {package / ours:.0f}x as long; "
            f"we take {ours / theirs:.2f}x the engine's {theirs * 1e3:.1f} ms"
        )
