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
from collections.abc import Callable, Iterator
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

TOKENS = 64
WINDOW = 32
"""Tokens of one window."""
WINDOWS_S = 120
"""Seconds of windows for each thing that is priced."""
QUICK_S = 0.001
"""Seconds between samples of a sampler that is to cost enough to be seen."""
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
        assert ready.wait(300)
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
class Window:
    """Some tens of milliseconds of generation: microseconds per token."""

    clock: float
    """On the engine's own clock."""
    processor: float
    """Of the engine's processor time, all its threads."""


def alternate(
    server: Server, bare: Callable[[], float], probed: Callable[[], float]
) -> list[tuple[Window, Window]]:
    """Windows without and with what is to be priced, one after the other in one engine."""
    clock = ((~server.process.pid) << 3) | 2  # clock_getcpuclockid(3): its processor time, in ns

    def window(run: Callable[[], float]) -> Window:
        before = time.clock_gettime(clock)
        speed = run()
        return Window(1e6 / speed, 1e6 * (time.clock_gettime(clock) - before) / WINDOW)

    found: list[tuple[Window, Window]] = []
    until = time.monotonic() + WINDOWS_S
    while time.monotonic() < until:
        first, second = (bare, probed) if len(found) % 2 else (probed, bare)
        pair = window(first), window(second)
        found.append(pair if len(found) % 2 else pair[::-1])
    return found


def price(pairs: list[tuple[Window, Window]]) -> str:
    """What probing adds to a token, from windows that nothing else disturbed.

    Other programs only ever add to a window, so the undisturbed are its fastest: the tenth part
    is where each side's is read, with a bootstrap's interval of 95 %.
    """
    lines = [f"{len(pairs)} pairs of windows of {WINDOW} tokens"]
    for name in ("clock", "processor"):
        table = np.array([[getattr(window, name) for window in pair] for pair in pairs])
        draws = np.random.default_rng(1).integers(0, len(table), (2000, len(table)))
        bare, probed = (np.percentile(table[draws, side], 10, axis=1) for side in (0, 1))
        low, middle, high = np.percentile(probed - bare, (2.5, 50, 97.5))
        lines.append(
            f"  {name}: {np.median(bare):.0f} us a token bare, {middle:+.1f} us probed "
            f"(95 %: {low:+.1f} to {high:+.1f})"
        )
    return "\n".join(lines)


@pytest.mark.timeout(900)
def test_what_a_probe_costs(benchmark, tmp_path):
    """What each token of a stream and each sample take from the engine, priced apart.

    Both are the same for every model, and far below the noise of one that people use. So the
    model is one of a thousand tokens a second, and the sampler is forty times as quick as a
    probe's: what a probe costs at other speeds follows by the rule of three.
    """
    model = tiny.dense()
    with ghost_of(model, tmp_path) as ghost:
        server = Server(model, ghost.path, ghost.tokens)

        def bare() -> float:
            return server.plain_tps(WINDOW, 1)

        def streamed() -> float:
            return server.decode_tps(WINDOW, 1)[0]

        def sampled() -> float:
            sampler = Sampler(NoDevices(), interval=QUICK_S)
            sampler.pid = server.process.pid
            sampler.start(time.monotonic())
            speed = bare()
            sampler.stop()
            return speed

        for warm in (bare, streamed, sampled):
            warm()
        streams, samples = benchmark.pedantic(
            lambda: (alternate(server, bare, streamed), alternate(server, bare, sampled)), rounds=1
        )
        server.close()
    print(
        f"\nthe stream, per token: {price(streams)}"
        f"\nthe sampler at {1 / QUICK_S:.0f} Hz, per token: {price(samples)}"
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
