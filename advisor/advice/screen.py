"""Bounds for every pair of build and variant, as arrays, so that most need no closer look.

Every bound flatters a pair. Size: weights and caches without compute buffers, packed without loss.
Speed: the engine's own formulas with everything on the build's best kind of card
(``advisor.sizing.speed_ideal``), and whatever cannot lie there read from RAM without any delay.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from advisor.advice import batching
from advisor.advice.engine import Engine
from advisor.advice.shelf import Flags, Floats, Shelf
from advisor.advice.skyline import Ints
from advisor.advice.timing import context_bytes
from advisor.advice.usage import Usage
from advisor.advice.variants import Variant
from advisor.sizing.calibration import IDENTITY
from advisor.sizing.settings import RunSettings
from advisor.sizing.speed_data import speed_data
from advisor.sizing.speed_ideal import Ideal, Least, ideal, least
from advisor.sizing.speed_prefill import MIN_OFFLOAD
from advisor.sizing.speed_terms import pipelined


@dataclass(frozen=True, eq=False)
class Space:
    """The pairs that the bounds do not rule out, as flat arrays."""

    build: Ints
    variant: Ints
    cost: Floats
    """Lowest possible expected cost a month, in the user's currency."""
    speed: Floats
    """Highest possible decode speed, tokens per second."""
    quality: Ints
    closer: "Closer"
    """A closer bound on the speed of one pair."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What a variant takes and asks for, for one usage's lengths."""

    dense: int
    used: int
    experts: int
    context: float
    """Bytes of caches."""
    ideal: Ideal


def reference(variant: Variant, usage: Usage, base: RunSettings) -> Reference:
    """Worked out once for a variant and a usage's lengths."""
    settings = variant.settings(base, usage, whole=True)
    return Reference(
        *variant.bytes_read, context_bytes(variant.model, settings), ideal(variant.model, settings)
    )


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Bytes of every pair, builds down and variants across."""

    outside: Floats
    """What the cards cannot hold."""
    slow: Floats
    """Read from RAM for every token; bytes of few bits count for more."""
    dense_outside: Floats
    experts_outside: Floats
    inside: Floats
    """Part of a token's bytes that is read on the cards."""
    apart: Flags
    """Whether each of several cards may hold everything alone."""


def _bytes(shelf: Shelf, known: Sequence[Reference], margin: int) -> _Pairs:
    figures = np.array([(v.dense, v.used, v.experts, v.context) for v in known], dtype=np.float64)
    dense, used, experts, context = figures.reshape(len(known), 4).T[:, None, :]
    room = np.maximum(0.0, shelf.vram - margin * shelf.cards)[:, None]
    outside = np.maximum(0.0, dense + experts + context - room)
    experts_outside = np.minimum(outside, experts)
    dense_outside = np.minimum(outside - experts_outside, dense)
    share = np.divide(used, experts, out=np.ones_like(used), where=experts > 0)
    read = experts_outside * share
    inside = 1 - (read + dense_outside) / (dense + used)
    longer = np.array([v.ideal.experts_in_ram for v in known])
    largest = np.array([max((room for _, room in rooms), default=0) for rooms in shelf.rooms])
    return _Pairs(
        outside,
        read * longer + dense_outside,
        dense_outside,
        experts_outside,
        inside,
        dense + experts + context + margin <= largest[:, None],
    )


def space(
    shelf: Shelf,
    wanted: Sequence[Variant],
    known: Sequence[Reference],
    usage: Usage,
    engine: Engine,
) -> Space:
    """Bounds for every pair that can possibly meet the need. ``known``: of every variant."""
    settings = engine.settings
    ubatch = min(settings.ubatch_size, settings.batch_size, max(1, int(usage.new_tokens)))
    calibration = engine.calibration or IDENTITY
    kinds = [(device, calibration if here else IDENTITY) for device, here in shelf.kinds]
    fast = least(kinds, [v.ideal for v in known], ubatch)
    pairs = _bytes(shelf, known, settings.margin)
    ram_gbs = shelf.ram_gbs
    if calibration.host_bandwidth_gbs is not None:
        ram_gbs = np.where(shelf.here, calibration.host_bandwidth_gbs, ram_gbs)
    decode = _decode(shelf, pairs, fast, ram_gbs)
    new = float(usage.new_tokens)
    prompt = new * _prefill(shelf, known, pairs, fast, new=new, ubatch=ubatch)
    for run in engine.measured:
        for at in (v for v, variant in enumerate(wanted) if run.of(variant)):
            decode[shelf.here, at] = np.minimum(decode[shelf.here, at], 1 / run.decode_tps)
            if run.prefill_tps:
                prompt[shelf.here, at] = np.minimum(prompt[shelf.here, at], new / run.prefill_tps)
    answer = usage.output_tokens * decode
    busy = (prompt + answer) * usage.requests_per_month
    hours = float(usage.hours_per_month) * 3600
    # Whatever lies in RAM answers one by one.
    most = np.where(pairs.outside > 0, 1.0, _most(shelf, known))
    # A server on each card, where one card holds everything.
    servers = np.where(pairs.apart, shelf.cards[:, None], 1.0)
    served = (prompt + answer / most) / servers * usage.requests_per_month
    # More at once are taken as far as the volume needs them, which keeps all hours busy; where
    # nobody waits, whatever the volume.
    busy = np.minimum(busy, served if usage.batch_ok else hours)
    in_time = prompt <= (float("inf") if usage.max_ttft_s is None else usage.max_ttft_s)
    saved = 0.0 if usage.idle == "off" else shelf.idle_w
    second = np.maximum(0.0, shelf.busy_w - saved) / 3.6e6 * float(usage.electricity_price)
    cost = shelf.fixed(usage)[:, None] + second[:, None] * busy
    possible: Flags = (
        (pairs.outside <= shelf.ram[:, None])
        & shelf.affordable(usage)[:, None]
        & (decode * usage.min_decode_tps <= 1)
        & in_time
        & (served <= hours)
    )
    build, variant = np.nonzero(possible)
    with np.errstate(divide="ignore"):
        speed = 1 / decode[build, variant]
    return Space(
        build=build.astype(np.int64),
        variant=variant.astype(np.int64),
        cost=cost[build, variant],
        speed=speed,
        quality=np.array([v.quality for v in wanted], dtype=np.int64)[variant],
        closer=Closer(shelf, known, fast, ram_gbs, settings.margin),
    )


def _most(shelf: Shelf, known: Sequence[Reference]) -> Floats:
    """What answers at once may gain, by build and variant."""
    kinds = [batching.kind(build.rig.devices) for build in shelf.builds]
    most = {k: [batching.most(k, experts=v.experts > 0) for v in known] for k in set(kinds)}
    return np.array([most[k] for k in kinds]).reshape(len(kinds), len(known))


@dataclass(frozen=True, eq=False)
class Closer:
    """Bounds that know where the layers lie: how much is in RAM, and how many cards take part."""

    shelf: Shelf
    known: Sequence[Reference]
    fast: Least
    ram_gbs: Floats
    margin: int

    def seconds(self, build: int, variant: int, *, in_ram: tuple[int, int], in_use: int) -> float:
        """Least seconds per token with so many bytes of dense weights and of experts in RAM, and so
        many cards in use."""
        asked = self.known[variant]
        cards: dict[int, float] = {}
        for kind, room in self.shelf.rooms[build]:
            cards[kind] = cards.get(kind, 0.0) + max(0.0, room - self.margin)
        everything = asked.dense + asked.experts + asked.context
        dense_outside, experts_outside = min(in_ram[0], asked.dense), min(in_ram[1], asked.experts)
        share = asked.used / asked.experts if asked.experts else 1.0
        inside = 1 - (experts_outside * share + dense_outside) / (asked.dense + asked.used)
        slow = experts_outside * share * asked.ideal.experts_in_ram + dense_outside
        outside = dense_outside + experts_outside
        each = sorted((self.fast.closely(kind, variant), room) for kind, room in cards.items())
        held = min(everything - outside, sum(cards.values()))
        seconds, left = 0.0, held
        for whole, room in each:
            seconds += whole * inside * min(left, room) / (held or 1)
            left -= min(left, room)
        handed = min((self.fast.hand_over(kind) for kind in cards), default=0.0)
        reach = float(self.ram_gbs[build]) * 1e9
        waited = max(0, in_use - 1) * handed
        return seconds + waited + (slow / reach if slow and reach else 0.0)


def _decode(shelf: Shelf, pairs: _Pairs, fast: Least, ram_gbs: Floats) -> Floats:
    """Least seconds per answered token."""
    # A build without cards has a row of zeros of its own, the last.
    by_kind = np.vstack((fast.decode, np.zeros((1, fast.decode.shape[1]))))
    on_cards = by_kind[shelf.kind].min(axis=1) * pairs.inside
    # Where there is no RAM to read from, a second per byte: never.
    per_byte = 1 / np.where(ram_gbs > 0, ram_gbs * 1e9, 1.0)
    return on_cards + pairs.slow * per_byte[:, None]


def _prefill(
    shelf: Shelf,
    known: Sequence[Reference],
    pairs: _Pairs,
    fast: Least,
    *,
    new: float,
    ubatch: int,
) -> Floats:
    """Least seconds per prompt token."""
    by_kind = np.vstack((fast.prefill, np.zeros((1, fast.prefill.shape[1]))))
    used = np.array([v.ideal.used for v in known])
    distinct = speed_data().host.distinct(ubatch)
    copied = pairs.dense_outside + pairs.experts_outside * (1 - np.power(1 - used, distinct))
    best = max(costs.pipeline for costs in speed_data().backends.values())
    pipe = pipelined(np.maximum(1, shelf.cards), max(1.0, new), ubatch, best)
    on_cards = by_kind[shelf.kind].min(axis=1) * np.asarray(pipe)[:, None]
    # No card computes the layers that are whole in RAM.
    on_cards = np.where(pairs.dense_outside > 0, 0.0, on_cards)
    copy = np.append(fast.copy, np.inf)[shelf.kind].max(axis=1)
    # A processor alone computes what lies in RAM; llama.cpp copies large batches to a card only.
    copied = np.where(ubatch >= MIN_OFFLOAD, copied, 0.0)
    return on_cards + copied / copy[:, None] / ubatch
