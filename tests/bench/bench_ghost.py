"""Ghosts against the same files with random weights, and how evenly they use their experts.

Run with ``make bench``; ``-s`` shows what they print. On a GPU ``tests/gpu/rows.py`` compares the
two: on an H200 (2026-11-26) decode 0.999 and 1.017, prefill 1.001 and 1.025 (docs/accuracy.md).
"""

import shutil
import statistics
import time
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from advisor.llm import ghost_fill
from advisor.llm.gguf import GgufHeader, read_header
from advisor.llm.ghost import Ghost, ghost_of, write_ghost
from advisor.llm.model import Model
from advisor.llm.tensor import TYPES, TensorType
from advisor.probe.residency import look
from tests import tiny
from tests.bench.bench_probe import BIG, Server, ratios

MOE = {
    **BIG,
    "architectures": ["Qwen3MoeForCausalLM"],
    "model_type": "qwen3_moe",
    "num_hidden_layers": 8,
    "num_experts": 64,
    "num_experts_per_tok": 8,
    "moe_intermediate_size": 384,
    "norm_topk_prob": True,
}
PAIRS = 10
SMALL = {**BIG, "num_hidden_layers": 6, "vocab_size": 2048}
KINDS = [kind for kind in TYPES.values() if ghost_fill.can_fill(kind)]


def filled(ghost: Ghost, target: Path) -> Path:
    """The ghost with every hole filled with random weights of the tensor's own type."""
    shutil.copy(ghost.path, target)
    rng = np.random.default_rng(7)
    with target.open("r+b") as file:
        for tensor in read_header(ghost.path).tensors:
            kept = ("norm", "ffn_gate_inp", "token_embd")
            if any(word in tensor.name for word in kept):
                continue
            file.seek(tensor.offset)
            count = tensor.nbytes // tensor.type.size * tensor.type.block
            file.write(ghost_fill.random_values(tensor.type, count, rng).tobytes())
    return target


@pytest.mark.parametrize("config", [BIG, MOE], ids=["dense", "moe"])
@pytest.mark.parametrize("file_type", ["Q8_0", "Q4_K_M"])
def test_a_ghost_is_as_fast_as_random_weights(benchmark, tmp_path, config, file_type):
    model = tiny.tiny(config, file_type)
    with ghost_of(model, tmp_path) as ghost:
        random_file = filled(ghost, tmp_path / "random.gguf")
        servers = [Server(model, path, ghost.tokens) for path in (ghost.path, random_file)]
        for server in servers:
            server.decode_tps(n_prompt=256)

        def alternate() -> list[tuple[tuple[float, float], ...]]:
            rows = []
            for turn in range(PAIRS):
                order = servers if turn % 2 else servers[::-1]
                found = {id(s): s.decode_tps(n_prompt=256) for s in order}
                rows.append(tuple(found[id(s)] for s in servers))
            return rows

        rows = benchmark.pedantic(alternate, rounds=1)
        for server in servers:
            server.close()
    decode = [(ghostly[0], real[0]) for ghostly, real in rows]
    prefill = [(ghostly[1], real[1]) for ghostly, real in rows]
    print(f"\nghost against random, decode: {ratios(decode)}; prefill: {ratios(prefill)}")


def of_kind(kind: TensorType) -> Model:
    """The small model with every matrix of its blocks of one type."""
    model = tiny.tiny(SMALL)
    tensors = tuple(
        replace(t, type=kind) if t.name.startswith("blk.") and len(t.shape) == 2 else t
        for t in model.tensors
    )
    return replace(model, tensors=tensors)


def costs(server: Server) -> tuple[float, float]:
    """Processor time per token, decoding and reading a prompt, in seconds."""
    clock = ((~server.process.pid) << 3) | 2  # clock_getcpuclockid(3)

    def run(n_tokens: int) -> float:
        before = time.clock_gettime(clock)
        server.decode_tps(n_tokens, n_prompt=128)
        return time.clock_gettime(clock) - before

    prompt = run(1)
    return (run(33) - prompt) / 32, prompt / 128


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_zeros_of_a_type_cost_a_processor_what_numbers_cost(benchmark, tmp_path, kind):
    """By the fastest of eight turns. Of MXFP4's they are slow (``ghost_fill.SLOW_ZEROS``)."""
    model = of_kind(kind)
    matrices = [t.name for t in model.tensors if t.type is kind]

    def server(whole: Collection[str]) -> Server:
        ghost = write_ghost(model, tmp_path, whole=whole)
        return Server(model, ghost.path, ghost.tokens)

    servers = [server(()), server(matrices)]

    def alternate() -> list[list[tuple[float, float]]]:
        found: list[list[tuple[float, float]]] = [[], []]
        for turn in range(8):
            for which in (0, 1) if turn % 2 else (1, 0):
                found[which].append(costs(servers[which]))
        return found

    empty, filled_whole = benchmark.pedantic(alternate, rounds=1)
    for running in servers:
        running.close()
    decode, prefill = (
        min(row[of] for row in filled_whole) / min(row[of] for row in empty) for of in (0, 1)
    )
    print(f"\n{kind.name}: speed of zeros by that of numbers, decode {decode:.2f}, {prefill:.2f}")


def routed(model: Model, header: GgufHeader, path: Path, tokens: range) -> list[np.ndarray]:
    """How often each expert of each layer is chosen, one count per token of the ghost.

    Everything but norms and routers is zero in a ghost, so every layer sees the token's embedding:
    what it chooses follows from the two (llama-graph.cpp:build_moe_ffn).
    """
    by_name = {t.name: t for t in header.tensors}
    data = np.memmap(path, dtype=np.uint8, mode="r")

    def values(name: str) -> np.ndarray:
        tensor = by_name[name]
        raw = np.array(data[tensor.offset : tensor.offset + tensor.nbytes])
        if tensor.type.name == "F32":
            return raw.view("<f4").reshape(tensor.shape[1], tensor.shape[0])
        assert tensor.type.name == "Q8_0"
        blocks = raw.reshape(-1, 34)
        scale = blocks[:, :2].copy().view("<f2").astype(np.float32)
        numbers = blocks[:, 2:].copy().view(np.int8).astype(np.float32)
        return (scale * numbers).reshape(tensor.shape[1], tensor.shape[0])

    embedding = values("token_embd.weight")[tokens.start : tokens.stop]
    embedding /= np.sqrt((embedding**2).mean(axis=1, keepdims=True) + 1e-6)
    used = model.hp.n_expert_used
    counts = []
    for layer in range(model.hp.n_layer):
        logits = embedding @ values(f"blk.{layer}.ffn_gate_inp.weight").T
        chosen = np.argpartition(-logits, used, axis=1)[:, :used]
        counts.append(np.bincount(chosen.ravel(), minlength=model.hp.n_expert))
    return counts


def test_experts_are_used_nearly_evenly(benchmark, tmp_path):
    """By the routers' own arithmetic, and by the pages that the engine really read."""
    model = tiny.tiny(MOE, "Q8_0")
    with ghost_of(model, tmp_path) as ghost:
        header = read_header(ghost.path)
        counts = routed(model, header, ghost.path, ghost.tokens)
        spread = [float(c.std() / c.mean()) for c in counts]
        most = [float(c.max() / c.mean()) for c in counts]
        share = model.hp.n_expert_used / model.hp.n_expert
        even = np.sqrt((1 - share) / (len(ghost.tokens) * share))
        print(
            f"\n{model.hp.n_expert} experts, {model.hp.n_expert_used} used: spread of use "
            f"{statistics.mean(spread):.3f} of the mean (chance alone {even:.3f}), the busiest "
            f"{statistics.mean(most):.2f} times the mean, never used "
            f"{sum(int((c == 0).sum()) for c in counts)}"
        )
        server = Server(model, ghost.path, ghost.tokens)

        def run() -> list[tuple[int, int, int]]:
            rows = []
            for _turn in range(4):
                server.decode_tps(n_tokens=24, n_prompt=8)
                found = look(server.process.pid, ghost.path)
                rows.append((8 + 24, found.experts_used, found.experts_in_all))
            return rows

        tokens = 0
        for added, used, of in benchmark.pedantic(run, rounds=1):
            tokens += added
            print(f"after {tokens} tokens: {used} of {of} experts read from the file")
        server.close()
