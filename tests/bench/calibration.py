"""Does one probe predict another model? Ghosts take turns on this machine's processor.

    python tests/bench/calibration.py [--seconds 10] [--rounds 4] [MODEL:TYPE ...]

Other work only ever makes a machine slower, so the fastest of each model's turns counts: it is
calibrated on one model's and held against each other model's. Prints the ratio of predicted to
measured decode speed for every pair, and whether all are within 10 %. Nothing is saved.
"""

import argparse
import sys
from itertools import permutations

from advisor import llm
from advisor.engine.machine import read_machine
from advisor.llm.model import Model
from advisor.probe.calibrate import Measured, calibrate, predicted
from advisor.probe.prepare import prepare
from advisor.probe.result import SpeedPoint
from advisor.probe.run import Probe
from advisor.sizing.settings import RunSettings

GOAL = 0.10
MODELS = ("Qwen/Qwen3-0.6B:Q8_0", "Qwen/Qwen3-1.7B:Q8_0")


def named(text: str) -> Model:
    """``id:file type``."""
    name, _, file_type = text.partition(":")
    return llm.load(name, file_type or None)


def probe(model: Model, seconds: float) -> Measured:
    """Run its ghost on the processor alone."""
    rig = read_machine().model_copy(update={"devices": ()})
    prepared = prepare(model, rig, RunSettings(ctx=4096), seconds=seconds, anyway=True)
    result = Probe(prepared.question, devices=None, on_event=lambda _event: None).run()
    if result.ending.state != "done":
        sys.exit(result.ending.sentence)
    return Measured(model, result)


def ratios(taught: Measured, asked: Measured) -> list[tuple[SpeedPoint, float]]:
    """Predicted over measured decode speed at each depth of the other model."""
    found = calibrate([taught])
    if found is None:
        sys.exit("The probe taught nothing.")
    pairs: list[tuple[SpeedPoint, float]] = []
    for point in asked.result.speeds:
        tps = predicted(asked, point, found).decode_tps
        if tps is not None and point.decode_tps:
            pairs.append((point, tps.mid / point.decode_tps))
    return pairs


def quickest(runs: list[Measured]) -> Measured:
    """The run that was disturbed least."""
    return max(runs, key=lambda run: max((p.decode_tps or 0 for p in run.result.speeds), default=0))


def main() -> int:
    """0: within the goal for every pair."""
    parser = argparse.ArgumentParser(description="Ghosts, taking turns.")
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=4)
    arguments = parser.parse_args()
    models = [named(text) for text in arguments.models]
    runs: dict[int, list[Measured]] = {number: [] for number in range(len(models))}
    for _ in range(arguments.rounds):
        for number, model in enumerate(models):
            runs[number].append(probe(model, arguments.seconds))
            speeds = ", ".join(
                f"{point.decode_tps:.2f} tok/s at {point.depth}"
                for point in runs[number][-1].result.speeds
                if point.decode_tps
            )
            print(f"{model.name} {model.file_type}: {speeds}", flush=True)
    best = [quickest(found) for found in runs.values()]
    good = True
    for taught, asked in permutations(best, 2):
        found = ratios(taught, asked)
        shown = ", ".join(f"{ratio:.2f} at {point.depth}" for point, ratio in found)
        good = good and bool(found) and all(abs(ratio - 1) <= GOAL for _point, ratio in found)
        way = f"{taught.result.title} → {asked.result.title}"
        print(f"{way}: predicted / measured {shown or 'unknown, too few tokens'}")
    print("within 10 %" if good else "not within 10 %")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
