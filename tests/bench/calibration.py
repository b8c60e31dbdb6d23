"""Does a probe of one model predict another? Ghosts take turns on this machine's processor.

    python -m tests.bench.calibration [--rounds 6] [--tokens 32] [--threads 1] [MODEL:TYPE ...]

All ghosts stay loaded and generate in turn. On a machine with other work the clock tells how long
the engine had to wait; so what counts is the processor time of the thread that computes, and the
clock is shown beside it. Other work also takes its part of caches and memory: a disturbance only
ever adds time, and adds more to a type that is read as fast as RAM delivers it (Q8_0) than to one
that the processor has to unpack (Q4_K). So each model's fastest round is what the app's own
calibration learns from, and what it is held against on every other model; what medians give is
told too. How far two halves of the same model's rounds differ shows what cannot be told here.
Nothing is saved.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path

import psutil

from advisor import llm
from advisor.engine.machine import read_machine
from advisor.hardware.rig import Rig
from advisor.llm.ghost import write_ghost
from advisor.llm.model import Model
from advisor.probe.calibrate import Measured, calibrate, predicted
from advisor.probe.result import Ending, EngineFacts, ProbeResult, SpeedPoint, now
from advisor.sizing.settings import RunSettings
from tests.bench.bench_probe import EMBEDDED, Server

GOAL = 0.10
MODELS = (
    "Qwen/Qwen3-0.6B:Q8_0",
    "Qwen/Qwen3-0.6B:Q4_K_M",
    "Qwen/Qwen3-1.7B:Q8_0",
    "Qwen/Qwen3-1.7B:Q4_K_M",
    "allenai/OLMoE-1B-7B-0924-Instruct:Q4_K_M",
    "meta-llama/Llama-3.2-1B-Instruct:Q8_0",
)
DEPTHS = (16, 192)


@dataclass
class Runner:
    """One loaded ghost, and its seconds per token by depth, round by round."""

    model: Model
    server: Server
    engine: psutil.Process
    processor: dict[int, list[float]] = field(default_factory=dict)
    clock: dict[int, list[float]] = field(default_factory=dict)

    def turn(self, tokens: int) -> None:
        """Generate once at every depth."""
        for depth in DEPTHS:
            spent, waited = self._generate(depth, tokens)
            self.processor.setdefault(depth, []).append(spent)
            self.clock.setdefault(depth, []).append(waited)

    def _generate(self, depth: int, tokens: int) -> tuple[float, float]:
        random, known = self.server._random, self.server._tokens
        begun: tuple[float, int, float] | None = None
        made, clock = 0, 0.0
        prompt, choices = random.choices(known, k=depth), random.sample(known, k=64)
        for progress in self.server.client.complete(prompt, tokens, choices=choices):
            if progress.made and begun is None:
                begun = self._spent(), progress.made, progress.made_ms
            made, clock = progress.made, progress.made_ms
        assert begun is not None
        count = made - begun[1]
        return (self._spent() - begun[0]) / count, (clock - begun[2]) / count / 1000

    def _spent(self) -> float:
        """Of the thread that computes; the server's own threads run beside it."""
        return max(thread.user_time + thread.system_time for thread in self.engine.threads())

    def noise(self, depth: int) -> float:
        """Ratio of the fastest of every other round and of the rest."""
        found = self.processor[depth]
        return min(found[::2]) / min(found[1::2] or found)


def named(text: str) -> Model:
    """``id:file type``."""
    name, _, file_type = text.partition(":")
    return llm.load(name, file_type or None)


def started(model: Model, folder: Path, threads: int) -> Runner:
    """Write and load its ghost."""
    ghost = write_ghost(model, folder / model.name / model.file_type)
    server = Server(model, ghost.path, ghost.tokens, threads=threads)
    server.decode_tps(4)
    return Runner(model, server, psutil.Process(server.process.pid))


def measured(runner: Runner, rig: Rig, of: Callable[[Iterable[float]], float] = min) -> Measured:
    """As a probe would have stored it, by processor time; ``of``: which of the rounds."""
    points = tuple(
        SpeedPoint(
            depth=depth,
            n_prompt=depth,
            prefill_tps=None,
            ttft_s=None,
            n_decode=64,
            decode_tps=1 / of(runner.processor[depth]),
        )
        for depth in DEPTHS
    )
    model = runner.model
    result = ProbeResult(
        id=model.id,
        created=now(),
        rig=rig,
        model_id=model.id,
        model_name=model.name,
        file_type=model.file_type,
        file_bytes=model.nbytes,
        ghost=True,
        settings=RunSettings(ctx=2048),
        engine=EngineFacts(name="embedded", version=EMBEDDED.version),
        ending=Ending(state="done", sentence=""),
        speeds=points,
    )
    return Measured(model, result)


def ratios(taught: Sequence[Measured], asked: Measured) -> list[float]:
    """Predicted over measured decode speed at each depth of the other model."""
    found = calibrate(taught)
    if found is None:
        sys.exit("The probe taught nothing.")
    ratios: list[float] = []
    for point in asked.result.speeds:
        tps = predicted(asked, point, found).decode_tps
        if tps is not None and point.decode_tps:
            ratios.append(tps.mid / point.decode_tps)
    return ratios


def main() -> int:
    """0: within the goal for every pair."""
    parser = argparse.ArgumentParser(description="Ghosts, taking turns.")
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    found = read_machine()
    host = found.host.model_copy(update={"cores": arguments.threads})
    rig = found.model_copy(update={"devices": (), "hosts": (host,)})
    with tempfile.TemporaryDirectory() as folder:
        runners = [
            started(named(text), Path(folder), arguments.threads) for text in arguments.models
        ]
        for number in range(arguments.rounds):
            for runner in runners if number % 2 else runners[::-1]:
                runner.turn(arguments.tokens)
        for runner in runners:
            runner.server.close()
    for runner in runners:
        for depth in DEPTHS:
            print(
                f"{runner.model.name} {runner.model.file_type} at {depth}: "
                f"{1000 * min(runner.processor[depth]):.1f} ms of the processor per token "
                f"(median {1000 * statistics.median(runner.processor[depth]):.1f}), "
                f"{1000 * min(runner.clock[depth]):.1f} ms by the clock; "
                f"two halves of its rounds {runner.noise(depth):.3f}"
            )
    by_medians = _errors([measured(runner, rig, statistics.median) for runner in runners])
    errors = _errors([measured(runner, rig) for runner in runners], tell=True)
    for how, found in (("medians", by_medians), ("fastest rounds", errors)):
        good = sum(error <= GOAL for error in found)
        print(
            f"by {how} {good} of {len(found)} within 10 %; "
            f"median {100 * statistics.median(found):.1f} %, worst {100 * max(found):.1f} %"
        )
    return 0 if max(errors) <= GOAL else 1


def _errors(found: Sequence[Measured], *, tell: bool = False) -> list[float]:
    errors: list[float] = []
    for taught, asked in permutations(found, 2):
        pair = ratios([taught], asked)
        errors += [abs(ratio - 1) for ratio in pair]
        if tell:
            shown = ", ".join(f"{ratio:.2f}" for ratio in pair)
            print(f"{taught.result.title} → {asked.result.title}: predicted / measured {shown}")
    return errors


if __name__ == "__main__":
    sys.exit(main())
