"""Prompts and generations against a loaded model, one point after the other."""

import contextlib
import random
import statistics
import time
from collections.abc import Generator
from dataclasses import replace
from typing import Final, Protocol

from advisor.engine.client import Client, Progress
from advisor.errors import EngineError
from advisor.probe import schedule
from advisor.probe.result import ObservationKind, PhaseName, SpeedPoint
from advisor.probe.schedule import Point, Read
from advisor.sizing.settings import RunSettings

CHOICES: Final = 64
"""Tokens that decoding picks from, anew for every measurement."""


_LATE: Final = 1.5
_GRACE_S: Final = 10.0
"""A prompt is left out where the time was over so much before it: a machine far too slow."""


class Steps(Protocol):
    """What a measurement tells while it runs."""

    def enter(self, name: PhaseName, *, depth: int = 0) -> None:
        """Another phase begins."""
        ...

    def touch(self) -> None:
        """The child made progress."""
        ...

    def check(self) -> None:
        """Raises when the run was stopped."""
        ...

    def notice(self, kind: ObservationKind, sentence: str) -> None:
        """Something a person should know."""
        ...

    def measured(self, point: SpeedPoint) -> None:
        """A speed is known."""
        ...


class Measurement:
    """The part of a probe between loading and stopping."""

    def __init__(self, settings: RunSettings, seconds: float, tokens: range, steps: Steps) -> None:
        """``tokens``: those to prompt with and to choose from."""
        self._settings = settings
        self._seconds = seconds
        self._tokens = tokens
        self._steps = steps
        self._random = random.Random(20260101)  # noqa: S311 - tokens, not secrets

    def run(self, client: Client) -> None:
        """All points that the time allows. Raises EngineError when the child fails."""
        settings, seconds = self._settings, self._seconds
        begun = time.monotonic()
        warm = self._run_point(client, schedule.warm_up(settings), measured=False)
        if warm is None or not warm.prefill_tps or not warm.decode_tps:
            message = "llama.cpp answered, but generated nothing."
            raise EngineError(message)
        self._run_point(client, schedule.zero(settings, seconds, warm.decode_tps))
        if time.monotonic() - begun > max(_LATE * seconds, seconds + _GRACE_S):
            sentence = (
                f"The {seconds:.0f} s for measuring were over before a prompt could be read. "
                "Choose a longer time to measure that too."
            )
            self._steps.notice("noise", sentence)
            return
        # llama.cpp's speeds with a batch of 16 are below those of a full batch: a safe start.
        point = schedule.first(settings, seconds, warm.prefill_tps, warm.decode_tps)
        read: list[Read] = []
        while point is not None:
            speed = self._run_point(client, point)
            left = seconds - (time.monotonic() - begun)
            if speed is None or not speed.prefill_tps or not speed.decode_tps or left < seconds / 4:
                return
            read.append(Read(speed.n_prompt, speed.prefill_tps))
            if len(read) > schedule.MOST_DEPTHS:
                return
            point = schedule.deeper(settings, left, read, speed.decode_tps)

    def _run_point(
        self, client: Client, point: Point, *, measured: bool = True
    ) -> SpeedPoint | None:
        speed = self._ask(client, point, measured=measured)
        if speed is not None and measured:
            speed = self._read_again(client, point, speed)
            self._steps.measured(speed)
        return speed

    def _ask(self, client: Client, point: Point, *, measured: bool) -> SpeedPoint | None:
        prompt = self._random.choices(self._tokens, k=point.n_prompt)
        count = min(CHOICES, len(self._tokens))
        choices = self._random.sample(self._tokens, k=count)
        seed = self._random.randrange(1 << 31)
        stream = client.complete(prompt, point.n_decode, choices=choices, seed=seed)
        if measured and point.n_prompt > 1:
            self._steps.enter("prefill", depth=0)
        with contextlib.closing(stream):
            return self._follow(stream, point, measured=measured)

    def _read_again(self, client: Client, point: Point, speed: SpeedPoint) -> SpeedPoint:
        """The speed of a prompt that was short the first time, measured behind that."""
        if not speed.prefill_tps:
            return speed
        count = schedule.again(self._seconds, speed.n_prompt / speed.prefill_tps)
        alone = replace(point, n_decode=1)
        found: list[tuple[float, float]] = []
        for _turn in range(count):
            self._steps.enter("prefill", depth=0)
            anew = self._ask(client, alone, measured=False)
            if anew is None or not anew.prefill_tps or anew.ttft_s is None:
                return speed
            found.append((anew.prefill_tps, anew.ttft_s))
        if not found:
            return speed
        rates, waits = zip(*found, strict=True)
        return speed.model_copy(
            update={
                "prefill_tps": statistics.mean(rates),
                "prefill_spread": statistics.stdev(rates) if len(rates) > 1 else None,
                "ttft_s": statistics.mean(waits),
            }
        )

    def _follow(
        self, stream: Generator[Progress], point: Point, *, measured: bool
    ) -> SpeedPoint | None:
        empty = point.n_prompt == 1  # the one token that there has to be
        sent = time.monotonic()
        first: float | None = None
        last: Progress | None = None
        for progress in stream:
            self._steps.touch()
            self._steps.check()
            moment = time.monotonic()
            if progress.made and first is None:
                first = moment
                if measured:
                    self._steps.enter("decode", depth=0 if empty else progress.prompt_tokens)
            last = progress
            if first is not None and moment - first > point.decode_s and progress.made > 1:
                break
            if moment - sent > point.limit_s:
                self._steps.notice(
                    "noise",
                    f"A prompt of {point.n_prompt} tokens was cut off: it took longer than "
                    f"{point.limit_s:.0f} s.",
                )
                break
        if last is None or first is None:
            return None
        # The first token comes with the prompt; the time of the others is between them.
        between = last.made - 1
        return SpeedPoint(
            depth=0 if empty else point.n_prompt,
            n_prompt=last.prompt_tokens,
            prefill_tps=None if empty else _rate(last.prompt_tokens, last.prompt_ms),
            ttft_s=None if empty else first - sent,
            n_decode=last.made,
            decode_tps=_rate(between, last.made_ms) if between > 0 else None,
        )


def _rate(count: int, milliseconds: float) -> float | None:
    return count / milliseconds * 1000 if count and milliseconds > 0 else None
