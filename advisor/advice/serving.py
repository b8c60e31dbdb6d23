"""How a rig serves requests: one after the other, several at once, or with a server on each card.

A server on each card takes requests that do not depend on each other; every one of them holds the
whole model, so nothing is handed from card to card, and all cards work at the same time.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final, Literal, NamedTuple

from advisor.advice.batching import Gain, faster
from advisor.advice.load import Step, climbing
from advisor.advice.money import ZERO, Span
from advisor.advice.power import Power
from advisor.advice.usage import Usage
from advisor.basis import Basis, Range

_NOTHING: Final = Decimal(0)
_REMEMBERED: Final = 64
"""Kinds of requests whose times a run keeps."""


class Level(NamedTuple):
    """Answers at once on one server, and how much faster they are together than in turns."""

    at_once: int
    faster: Range


_IN_TURNS: Final = Level(1, Range.exactly(1.0))


class Server(NamedTuple):
    """A server on one card that holds the whole model."""

    device: str
    """As llama.cpp calls the card: ``"CUDA1"``."""
    run: "LocalRun"


@dataclass(frozen=True, eq=False)
class Apart:
    """A server on each of several cards."""

    servers: tuple[Server, ...]
    power: Power
    """With all of them busy."""


@dataclass(frozen=True, eq=False)
class Way:
    """One way to serve requests."""

    level: Level = _IN_TURNS
    """On each server."""
    servers: tuple[Server, ...] = ()
    """One on each of these cards; empty: one on the whole rig."""

    @property
    def at_once(self) -> int:
        """Answers at once on the whole rig."""
        return self.level.at_once * max(1, len(self.servers))


@dataclass(frozen=True, eq=False)
class Busy:
    """What one request takes of the rig."""

    way: Way
    seconds: Span
    """Of its time; the fast end comes first."""
    watts: Span
    """At the wall meanwhile."""


@dataclass(frozen=True, eq=False)
class Served:
    """How a rig serves requests."""

    ways: tuple[Busy, ...]
    """One answer alone, then whatever serves more, the fastest answers first."""
    steps: tuple[tuple[Step, ...], tuple[Step, ...], tuple[Step, ...]]
    """Of them those worth taking: at the fast end of its speeds and little power, as expected, and
    at the slow end."""


@dataclass(frozen=True)
class LocalRun:
    """How fast and at what power a rig answers. Speeds in tokens per second, of one answer."""

    decode_tps: Range
    """As llama-server writes, which also chooses each token."""
    prefill_tps: Range
    power: Power
    basis: Basis = Basis.COMPUTED
    sampling_s: float = 0.0
    """Seconds of a token's time that this choice takes, of every answer in its turn."""
    slots: int = 1
    """Answers whose caches fit beside each other, each with the usage's context."""
    cache_share: float = 0.0
    """Part of a token's time that goes into reading its own cache."""
    gains: tuple[Gain, ...] = ()
    """What more answers at once gain; empty where nobody published that."""
    apart: Apart | None = None
    """Where more than one of its cards holds the model alone."""

    def ways(self, usage: Usage) -> Iterator[Way]:
        """One answer alone, then whatever serves more, the fastest answers first."""
        yield Way()
        together = [Way(level) for level in self.levels(usage)][1:]
        together += _ways_apart(self.apart, usage)
        yield from sorted(together, key=self._each, reverse=True)

    def levels(self, usage: Usage) -> Iterator[Level]:
        """One answer alone, then more: as far as caches fit and each stays fast enough."""
        yield _IN_TURNS
        for gain in self.gains:
            if gain.at_once > self._room(usage):
                return
            level = self._level(gain)
            # Each of sixteen answers may be faster than each of eight.
            if self.pace(level) >= usage.min_decode_tps:
                yield level

    def _level(self, gain: Gain) -> Level:
        low, mid, high = (faster(g, self.cache_share) for g in (gain.low, gain.mid, gain.high))
        return Level(gain.at_once, Range(low=low, mid=mid, high=high))

    def _room(self, usage: Usage) -> int:
        """Answers whose caches fit; a long request takes the room of several."""
        if not usage.long_share:
            return self.slots
        longest = usage.long_prompt_tokens + usage.output_tokens
        return self.slots // max(1, -(-longest // usage.context))

    def pace(self, level: Level) -> float:
        """Tokens per second of one answer among so many."""
        return self._together(level).mid / level.at_once

    def _together(self, level: Level) -> Range:
        """Tokens per second of so many answers together: tokens are still chosen one by one."""
        if level.at_once == 1:
            return self.decode_tps
        ends = {
            end: 1
            / (max(0.0, 1 / tps - self.sampling_s) / getattr(level.faster, end) + self.sampling_s)
            for end, tps in self.decode_tps.model_dump().items()
        }
        return Range(**ends)

    def _each(self, way: Way) -> float:
        """Tokens per second of the slowest answer."""
        runs = [server.run for server in way.servers] or [self]
        return min(run.pace(way.level) for run in runs)

    def at(self, end: Literal["low", "high"]) -> "LocalRun":
        """At the slow or the fast end of its speeds, on the whole rig and on each card."""

        def exact(run: LocalRun) -> LocalRun:
            decode, prefill = (
                Range.exactly(getattr(speed, end)) for speed in (run.decode_tps, run.prefill_tps)
            )
            return replace(run, decode_tps=decode, prefill_tps=prefill)

        if self.apart is None:
            return exact(self)
        servers = tuple(Server(s.device, exact(s.run)) for s in self.apart.servers)
        return replace(exact(self), apart=replace(self.apart, servers=servers))

    def drawing(self, end: Literal["low", "high"]) -> "LocalRun":
        """At the low or the high end of the power that it draws."""

        def exact(power: Power) -> Power:
            busy, idle = (Range.exactly(getattr(watts, end)) for watts in (power.busy, power.idle))
            return replace(power, busy=busy, idle=idle)

        apart = self.apart and replace(self.apart, power=exact(self.apart.power))
        return replace(self, power=exact(self.power), apart=apart)

    def serves_alone(self, usage: Usage) -> bool:
        """Whether a single answer of this run is what was asked for."""
        wait = float(usage.new_tokens) / self.prefill_tps.mid + 1 / self.decode_tps.mid
        in_time = usage.max_ttft_s is None or wait <= usage.max_ttft_s
        return in_time and self.decode_tps.mid >= usage.min_decode_tps and self._room(usage) > 0

    @functools.cached_property
    def _speeds(self) -> tuple[Span, Span]:
        return Span.of(self.decode_tps), Span.of(self.prefill_tps)

    @functools.cached_property
    def watts(self) -> tuple[Span, Span]:
        """Idle, then busy."""
        return Span.of(self.power.idle), Span.of(self.power.busy)

    @functools.cached_property
    def _known(self) -> dict[object, "Served"]:
        """By what times depend on: another volume asks for them again."""
        return {}

    def seconds(
        self, usage: Usage, *, prompt_tokens: int | None = None, way: Way | None = None
    ) -> Span:
        """Time that one request takes of the rig: new prompt tokens, then the answer.

        The fast end comes first.
        """
        level = _IN_TURNS if way is None else way.level
        if way is not None and way.servers:
            rates = ZERO
            for server in way.servers:
                alone = server.run.seconds(usage, prompt_tokens=prompt_tokens, way=Way(level))
                rates += alone.inverted()
            return rates.inverted()
        prompt = prompt_tokens or usage.prompt_tokens
        new = prompt * (1 - usage.cached_share)
        decode, prefill = self._speeds
        if level.at_once > 1:
            decode = Span.of(self._together(level))
        return Span(
            new / prefill.high + usage.output_tokens / decode.high,
            new / prefill.mid + usage.output_tokens / decode.mid,
            new / prefill.low + usage.output_tokens / decode.low,
        )

    def served(self, usage: Usage) -> "Served":
        """How requests are served; no part of the answer depends on their number."""
        asked = (
            usage.prompt_tokens,
            usage.cached_share,
            usage.output_tokens,
            usage.context,
            usage.long_share,
            usage.long_prompt_tokens,
            usage.min_decode_tps,
            usage.max_ttft_s,
            usage.idle,
            usage.batch_ok,
        )
        if asked not in self._known:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[asked] = self._served(usage)
        return self._known[asked]

    def _served(self, usage: Usage) -> "Served":
        found = tuple(self._busy(usage, way) for way in self.ways(usage))
        # Where idle power is paid for or lost anyway, a request only takes what exceeds it.
        idle = ZERO if usage.idle == "off" else self.watts[0]

        def steps(end: Literal["low", "mid", "high"]) -> tuple[Step, ...]:
            spent = getattr(idle, end)
            chain = climbing(
                (getattr(busy.seconds, end), max(_NOTHING, getattr(busy.watts, end) - spent))
                for busy in found
            )
            # A queue that nobody waits for keeps every slot busy, whatever its length.
            return chain[-1:] if usage.batch_ok else chain

        return Served(found, (steps("low"), steps("mid"), steps("high")))

    def _busy(self, usage: Usage, way: Way) -> Busy:
        seconds = self.seconds(usage, way=way)
        if usage.long_share:
            long = self.seconds(usage, prompt_tokens=usage.long_prompt_tokens, way=way)
            seconds = seconds.times(1 - usage.long_share) + long.times(usage.long_share)
        apart = self.apart if way.servers else None
        return Busy(way, seconds, self.watts[1] if apart is None else Span.of(apart.power.busy))


def _ways_apart(apart: Apart | None, usage: Usage) -> list[Way]:
    """A server on each card that answers well enough, with one answer at once and more."""
    if apart is None:
        return []
    able = tuple(server for server in apart.servers if server.run.serves_alone(usage))
    if len(able) < 2:
        return []
    on_each = [tuple(server.run.levels(usage)) for server in able]
    # Servers differ in room and speed where cards do: as many on each as all of them can.
    return [
        Way(min(both, key=lambda level: level.faster.mid), able)
        for both in zip(*on_each, strict=False)
    ]
