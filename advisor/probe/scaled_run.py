"""A probe where the disk has no sparse files: two short ghosts, and the whole model from both.

Times per token and what is held beyond the plan grow with the layers in a straight line; weights
and context follow from the plan. The result says that it was extrapolated.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from advisor.llm.ghost_scaled import Scaled
from advisor.probe import memory, program
from advisor.probe.buffers import Buffers
from advisor.probe.conclude import beside_predicted
from advisor.probe.question import Ended, ProbeEvent, Question
from advisor.probe.result import Observation, Phase, PlaceResult, ProbeResult, SpeedPoint
from advisor.probe.run import Probe
from advisor.probe.running import Running
from advisor.probe.sampler import DeviceSource
from advisor.probe.trace import Fresh, Trace
from advisor.sizing import size

_NOTHING: Final = Fresh(0, [], {})


class ScaledProbe(Running):
    """Two probes, one after the other, that answer as one. Use once, as ``Probe``."""

    def __init__(
        self,
        question: Question,
        parts: Scaled,
        *,
        devices: DeviceSource | None = None,
        on_event: Callable[[ProbeEvent], None] | None = None,
    ) -> None:
        """``on_event`` is called on the probe's threads; ``Ended`` comes once."""
        super().__init__("probe-scaled", on_event)
        self._question = question
        self._parts = parts
        self._devices = devices
        self._current: Probe | None = None

    def stop(self) -> None:
        """End it now. Returns at once."""
        self._stop.set()
        if self._current is not None:
            self._current.stop()

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Phases of the part that runs."""
        return self._current.phases if self._current is not None else ()

    @property
    def observations(self) -> tuple[Observation, ...]:
        """What was noticed in the part that runs."""
        return self._current.observations if self._current is not None else ()

    def since(self, index: int) -> Fresh:
        """Samples of the part that runs, from ``index`` on; from 0 when another part began."""
        return self._current.since(index) if self._current is not None else _NOTHING

    def run(self) -> ProbeResult:
        """Both parts in this thread. Never raises for what can go wrong: see ``result.ending``."""
        results: list[ProbeResult] = []
        for model in (self._parts.small, self._parts.large):
            question = self._question
            plan = None if question.plan is None else size(model, question.rig, question.settings)
            part = replace(
                question, model=model, plan=plan, seconds=question.seconds / 2, dense_ghost=True
            )
            self._current = Probe(part, devices=self._devices, on_event=self._pass_on)
            if self._stop.is_set():
                self._current.stop()
            results.append(self._current.run())
            if results[-1].ending.state != "done":
                break
        self.result = self._whole(results)
        self._emit(Ended(self.result))
        return self.result

    def _pass_on(self, event: ProbeEvent) -> None:
        if not isinstance(event, Ended):
            self._emit(event)

    def _whole(self, results: list[ProbeResult]) -> ProbeResult:
        model = self._question.model
        named = results[-1].model_copy(
            update={
                "model_name": model.name,
                "file_bytes": model.nbytes,
                "n_params": model.n_params,
                "layers": self._parts.layers,
            }
        )
        if named.ending.state != "done":
            return named
        small, large = results
        few, more, count = self._parts.layers
        note = Observation(
            kind="estimate",
            at_ms=large.trace.times_ms[-1] if large.trace.times_ms else 0,
            sentence=f"Extrapolated from ghosts with {few} and {more} of {count} layers, because "
            "this disk has no sparse files. The line is the longer one's.",
        )
        return named.model_copy(
            update={
                "places": self._places(small, large),
                "speeds": beside_predicted(self._question, self._speeds(small, large)),
                "observations": (*large.observations, note),
            }
        )

    def _places(self, small: ProbeResult, large: ProbeResult) -> tuple[PlaceResult, ...]:
        """Peaks: the plan of the whole, and what both held beyond their plans, carried on."""
        question = self._question
        planned = memory.places(
            question.plan,
            Trace(),
            (),
            buffers=Buffers(),
            program=None,
            program_planned=program.expected(question.build, question.model),
        )
        found: list[PlaceResult] = []
        for place in planned:
            one, two = small.place(place.name), large.place(place.name)
            beyond = [
                p.peak - p.planned
                for p in (one, two)
                if p is not None and p.peak is not None and p.planned is not None
            ]
            peak = None
            if len(beyond) == 2 and place.planned is not None:
                peak = place.planned + int(self._parts.whole(beyond[0], beyond[1]))
            before = two.before if two is not None else None
            capacity = two.capacity if two is not None else place.capacity
            left = None if capacity is None or peak is None else capacity - peak - (before or 0)
            found.append(
                place.model_copy(
                    update={
                        "peak": peak,
                        "before": before,
                        "capacity": capacity,
                        "lowest_free": left,
                    }
                )
            )
        return tuple(found)

    def _speeds(self, small: ProbeResult, large: ProbeResult) -> list[SpeedPoint]:
        """Points that both measured, with the time per token of the whole model."""
        found: list[SpeedPoint] = []
        for two in large.speeds:
            for one in small.speeds:
                if (one.depth, one.n_prompt) == (two.depth, two.n_prompt):
                    wait = (one.ttft_s, two.ttft_s)
                    found.append(
                        two.model_copy(
                            update={
                                "decode_tps": self._rate(one.decode_tps, two.decode_tps),
                                "prefill_tps": self._rate(one.prefill_tps, two.prefill_tps),
                                "ttft_s": None
                                if wait[0] is None or wait[1] is None
                                else max(wait[1], self._parts.whole(wait[0], wait[1])),
                            }
                        )
                    )
        return found

    def _rate(self, small: float | None, large: float | None) -> float | None:
        if not small or not large:
            return None
        # Noise could let the longer one look faster; the whole is never faster than that.
        return 1 / max(1 / large, self._parts.whole(1 / small, 1 / large))
