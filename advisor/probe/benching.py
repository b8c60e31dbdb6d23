"""A run of llama-bench, followed line by line: its progress as phases, its results as speeds."""

from advisor.engine import bench
from advisor.engine.bench import Test
from advisor.engine.process import EngineProcess
from advisor.errors import EngineError
from advisor.probe.measure import Steps
from advisor.probe.result import PhaseName, SpeedPoint

_STEP_S = 0.05


def as_point(test: Test) -> SpeedPoint:
    """A result of llama-bench as a probe keeps speeds: it times prompts and generation apart."""
    prompt = test.n_prompt > 0
    return SpeedPoint(
        depth=test.depth,
        n_prompt=test.n_prompt,
        prefill_tps=test.tps if prompt else None,
        prefill_spread=test.spread if prompt else None,
        ttft_s=None,
        n_decode=test.n_gen,
        decode_tps=None if prompt else test.tps,
        decode_spread=None if prompt else test.spread,
    )


class Benching:
    """Between the start of llama-bench and its end."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._points = 0

    def line(self, line: str) -> None:
        """One line that it printed; called on the log reader's thread."""
        step = bench.read_step(line)
        if step is not None and step.what != "load":
            phases: dict[str, PhaseName] = {
                "warm-up": "warm-up",
                "prefill": "prefill",
                "decode": "decode",
            }
            self._steps.enter(phases[step.what], depth=step.depth)
        test = bench.read_test(line)
        if test is not None:
            self._points += 1
            self._steps.measured(as_point(test))

    def run(self, process: EngineProcess) -> None:
        """Wait for its end. Raises EngineError when it failed or measured nothing."""
        while not process.wait(_STEP_S):
            self._steps.check()
        ended = process.stop()
        self._steps.check()
        if ended.code != 0 or not self._points:
            message = "llama-bench ended without a result."
            raise EngineError(message)
