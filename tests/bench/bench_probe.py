"""What a probe costs, and whether many of them leave anything behind.

Timings swing with the machine: every comparison alternates, and its median ratio is what counts.
Run with ``make bench``; ``-s`` shows what they print.
"""

import gc
import json
import random
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import psutil
import pytest

from advisor.engine.builds import Build
from advisor.engine.client import Client
from advisor.engine.launch import Address, Files, embedded_job
from advisor.engine.log import Ready
from advisor.engine.process import EngineProcess
from advisor.hardware.rig import Host, Rig
from advisor.llm.ghost import ghost_of
from advisor.llm.model import Model
from advisor.probe.question import Question
from advisor.probe.run import Probe
from advisor.probe.sampler import NoDevices, Sampler
from advisor.sizing import size
from advisor.sizing.settings import RunSettings
from tests import tiny

PAIRS = 40
TOKENS = 64
BIG = {
    **tiny.DENSE,
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
}
EMBEDDED = Build(kind="embedded", path="", version="b11549")


class Server:
    """One embedded engine with a model, driven request by request."""

    def __init__(self, model: Model, path, tokens: range, threads: int = 1) -> None:
        self._tokens = list(tokens)
        self._random = random.Random(1)
        self.address = Address()
        ready = threading.Event()
        settings = RunSettings(ctx=2048)
        self.process = EngineProcess(
            embedded_job(Files(path), settings, self.address, threads=threads),
            on_event=lambda e: ready.set() if isinstance(e, Ready) else None,
        )
        self.process.start()
        assert ready.wait(60)
        self.client = Client(f"unix://{self.address.host}", self.address.api_key)
        self.model = model

    def decode_tps(self, n_tokens: int = TOKENS, n_prompt: int = 16) -> tuple[float, float]:
        """Speeds by the engine's own clock: decode and prefill, tok/s."""
        prompt = self._random.choices(self._tokens, k=n_prompt)
        choices = self._random.sample(self._tokens, k=64)
        *_, last = self.client.complete(prompt, n_tokens, choices=choices)
        decode = (last.made - 1) / last.made_ms * 1000
        return decode, last.prompt_tokens / last.prompt_ms * 1000

    def plain_tps(self, n_tokens: int = TOKENS, n_prompt: int = 16) -> float:
        """Decode speed of one request that answers when all is done."""
        body = {
            "prompt": self._random.choices(self._tokens, k=n_prompt),
            "n_predict": n_tokens,
            "cache_prompt": False,
            "ignore_eos": True,
            "samplers": ["top_k", "temperature"],
            "top_k": 64,
            "temperature": 1000.0,
            "logit_bias": [[t, 1000.0] for t in self._random.sample(self._tokens, k=64)],
        }
        connection = self.client._connection(60)
        headers = self.client._headers
        connection.request("POST", "/completion", json.dumps(body), headers)
        timings = json.loads(connection.getresponse().read())["timings"]
        connection.close()
        return (timings["predicted_n"] - 1) / timings["predicted_ms"] * 1000

    def close(self) -> None:
        self.process.stop()
        self.address.close()


@pytest.fixture
def server(tmp_path) -> Iterator[Server]:
    model = tiny.tiny(BIG)
    with ghost_of(model, tmp_path) as ghost:
        running = Server(model, ghost.path, ghost.tokens)
        running.decode_tps()
        yield running
        running.close()


def ratios(pairs: list[tuple[float, float]]) -> str:
    """Ratio of the medians of two columns, with a bootstrap's interval of 95 %."""
    table = np.array(pairs)
    draws = np.random.default_rng(1).integers(0, len(table), (4000, len(table)))
    medians = np.median(table[draws], axis=1)
    low, high = np.percentile(medians[:, 0] / medians[:, 1], (2.5, 97.5))
    middle = np.median(table, axis=0)
    return f"ratio of medians {middle[0] / middle[1]:.4f} (95 %: {low:.4f} to {high:.4f})"


@dataclass(frozen=True)
class Cost:
    """One generation: seconds on the engine's clock, on its processor, on ours, and of the wall."""

    clock: float
    engine: float
    ours: float
    wall: float


@pytest.mark.timeout(900)
def test_what_a_probe_costs(benchmark, server: Server):
    """Our stream and sampler beside the engine, against one plain request to the same engine.

    Speeds swing with what else the machine does; the engine's processor time per token does not.
    """
    engine = psutil.Process(server.process.pid)

    def spent() -> float:
        times = engine.cpu_times()
        return times.user + times.system

    def run(*, probed: bool) -> Cost:
        before, ours, wall = spent(), time.process_time(), time.monotonic()
        if probed:
            sampler = Sampler(NoDevices())
            sampler.pid = server.process.pid
            sampler.start(time.monotonic())
            speed, _ = server.decode_tps()
            sampler.stop()
        else:
            speed = server.plain_tps()
        return Cost(
            1 / speed,
            (spent() - before) / TOKENS,
            time.process_time() - ours,
            time.monotonic() - wall,
        )

    def pairs() -> list[tuple[Cost, Cost]]:
        found = []
        for turn in range(PAIRS):
            first = run(probed=bool(turn % 2))
            second = run(probed=not turn % 2)
            found.append((first, second) if turn % 2 else (second, first))
        return found

    rows = benchmark.pedantic(pairs, rounds=1)
    share = sum(p.ours for p, _ in rows) / sum(p.wall for p, _ in rows)
    middle = 1 / np.median([p.clock for p, _ in rows])
    plain = sum(b.ours for _, b in rows) / sum(b.wall for _, b in rows)
    print(
        f"\nprobed against bare, {PAIRS} pairs of {TOKENS} tokens"
        f"\n  seconds per token: {ratios([(p.clock, b.clock) for p, b in rows])}"
        f"\n  engine's processor time per token: {ratios([(p.engine, b.engine) for p, b in rows])}"
        f"\n  ours: {100 * share:.2f} % of a core at {middle:.0f} tok/s, "
        f"{100 * plain:.2f} % for the plain request"
    )


def test_sampling_takes_little_of_a_core(benchmark, server: Server):
    """Processor time of the sampling thread, beside a process that decodes."""

    def ten_seconds() -> tuple[float, float | None]:
        sampler = Sampler(NoDevices())
        sampler.pid = server.process.pid
        began = time.process_time()
        sampler.start(time.monotonic())
        time.sleep(10)
        sampler.stop()
        return (time.process_time() - began) / 10, sampler.trace().rate_hz

    share, rate = benchmark.pedantic(ten_seconds, rounds=1)
    print(f"\nsampling: {100 * share:.2f} % of a core at {rate:.1f} Hz")


def test_two_hundred_starts_and_stops(benchmark):
    """Stopped at another moment each time; nothing may be left or grow."""
    model, rig = tiny.dense(), Rig(name="here", hosts=(Host(ram_available=8 << 30),))
    settings = RunSettings(ctx=1024, n_prompt=64)
    question = Question(model, rig, settings, size(model, rig, settings), EMBEDDED, seconds=60)
    me = psutil.Process()

    def cycle(turn: int) -> float:
        probe = Probe(question)
        probe.start()
        until = time.monotonic() + 0.05 * (turn % 24)
        while time.monotonic() < until and probe.result is None:
            time.sleep(0.005)
        began = time.monotonic()
        probe.stop()
        assert probe.join(30)
        return time.monotonic() - began

    def state() -> tuple[int, int, int, int]:
        gc.collect()
        held = me.memory_info().rss >> 20
        return threading.active_count(), me.num_fds(), len(me.children(recursive=True)), held

    cycle(10)
    cycle(20)
    before = state()
    stops = benchmark.pedantic(lambda: [cycle(turn) for turn in range(200)], rounds=1)
    after = state()
    print(
        f"\nthreads, files, children, MiB: {before} before, {after} after; "
        f"stop took {statistics.median(stops):.2f} s in the middle, {max(stops):.2f} s at most"
    )
    assert after[0] == before[0]
    assert after[1] <= before[1] + 1
    assert after[2] == 0
