"""What runs of neighbouring layers need on devices, as far as a search has learnt it.

Compute buffers follow from a placement and not the other way round, so they are learnt from the
exact bytes of every placement that was tried.
"""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from advisor.llm.model import Model
from advisor.sizing.allocation import Room
from advisor.sizing.borders import NO_RUN, Bytes, Floats, packs
from advisor.sizing.compute import ComputeBuffers
from advisor.sizing.layer_bytes import LayerBytes
from advisor.sizing.overrides import Targets
from advisor.sizing.placement import layer_devices, split_shares
from advisor.sizing.settings import RunSettings
from advisor.sizing.tables import PerModel
from advisor.sizing.weights import moved_weights, weight_table

_DOUBT = 8 << 20
"""Bytes by which a buffer may be smaller than the smallest that was seen of its role."""
LAST, FIRST, BEGINS = 3, 6, 12
"""Added to the role of a run that holds the output layer, lies on the first device here, which gets
a copy of what a batch needs from RAM, or begins behind RAM on another device. The rest of a role
says how many of the run's experts are away: 0 none, 1 some, 2 all. Compute buffers differ by role.
"""


_Run = tuple[int, int, int]
"""Number of a device among those that take part, first layer behind those in RAM, and end."""
_Buffers = dict[tuple[bool, bool], dict[int, int]]
"""Compute buffers that were seen: by layers and experts in RAM, then by a run's role."""


def _none_seen(_model: Model, _key: object) -> _Buffers:
    return {}


_seen: PerModel[tuple[RunSettings, tuple[str, ...]], _Buffers] = PerModel(_none_seen)
"""The smallest of each role. They do not depend on free memory, so that the next search on a like
rig begins with them; it raises its own copy where a placement turns out to need more."""


class Needs:
    """The layers of one model on the devices of a rig, with the caches where the settings say."""

    def __init__(self, model: Model, space: Room, asked: RunSettings, loads: LayerBytes) -> None:
        self.model, self.space, self.asked = model, space, asked
        count = len(space.free)
        self.devices = list(range(count))
        """Those that take part."""
        if asked.split_mode == "none":
            self.devices = [asked.main_gpu]
        near = (at for at, d in enumerate(self.devices) if space.backends[d] != "rpc")
        self._first = next(near, 0)
        """Among them, that which gets copies from RAM: none of another machine does
        (ggml-rpc.cpp has no offload_op)."""
        self.n = len(loads.dense)
        self.dense = np.array(loads.dense)
        self.experts = np.array(loads.experts)
        self.context = np.array(loads.context)
        kept = self.context if asked.kv_offload else np.zeros_like(self.context)
        self.thin = self.dense + kept
        """Bytes of every layer without its experts."""
        self.hopeful = False
        """Whether buffers count as the smallest of their role, or as the largest."""
        self.missing = [0] * count
        """Bytes that exact answers found beyond what was learnt, per device."""
        self._repeated = weight_table(model, space.backends[0], load_mtp=asked.load_mtp).repeated
        self._seen = _seen(model, (asked, space.backends))
        self._buffers: _Buffers = {key: dict(roles) for key, roles in self._seen.items()}
        self._by_others = [0] * count
        """Bytes of tensors that ``-ot`` puts on each device."""
        self._exact: dict[tuple[int, int], dict[_Run, int]] = {}
        """Compute buffers of runs that were tried, by layers and experts in RAM."""
        self._copies: dict[tuple[bool, bool], int] = {}
        """That device's buffer for what a batch needs from RAM while it holds no layer: the
        smallest seen of a kind, where the answer is not to be looked at closely."""
        self._copied: dict[tuple[int, int], int] = {}
        """The same by layers and experts in RAM, exact."""
        self._by_role: dict[tuple[bool, bool], Bytes] = {}
        self._room: list[int] | None = None
        self._numbers = np.arange(self.n)
        self._backwards = np.triu(np.ones((self.n + 1, self.n + 1), dtype=np.bool_))
        """Runs that end before they begin."""

    def put_by_hand(self, targets: Targets) -> None:
        """Leave room for tensors that ``-ot`` puts on devices; they cost the same everywhere."""
        moved = moved_weights(
            self.model, self.space.backends, targets, load_mtp=self.asked.load_mtp
        )
        self._by_others = list(moved)
        self.forget()

    def forget(self) -> None:
        """Begin to propose anew: what was derived no longer follows from what was learnt."""
        self._by_role, self._room = {}, None

    def sizes(self, layers: int, experts: int) -> tuple[Bytes, NDArray[np.bool_]]:
        """Bytes of every layer behind ``layers`` on its device, and whose experts are away."""
        away = self._numbers[layers:] < experts
        return self.thin[layers:] + np.where(away, 0, self.experts[layers:]), away

    def _place(self, number: int, start: int) -> int:
        """The part of a role that says where a run lies."""
        return FIRST if number == self._first else 0 if start else BEGINS

    def roles(self, layers: int, experts: int) -> NDArray[np.int64]:
        """At [j, i] the role of a run, but for where it lies."""
        has = self.experts[layers:] > 0
        away = (self._numbers[layers:] < experts) & has
        gone, all_ = (np.concatenate(([0], np.cumsum(part))) for part in (away, has))
        moved, held = gone[:, None] - gone, all_[:, None] - all_
        roles = np.where(moved <= 0, 0, np.where(moved == held, 2, 1))
        roles[-1, :] += LAST
        return roles

    def table(self, layers: int, experts: int) -> Bytes:
        """Compute buffers by role, as far as they are known."""
        kind = (layers > 0, experts > layers)
        table = self._by_role.get(kind)
        if table is None:
            table = self._by_role[kind] = self._known_table(kind)
        return table

    def _known_table(self, kind: tuple[bool, bool]) -> Bytes:
        buffers = self._seen if self.hopeful else self._buffers
        known = buffers.get(kind, {})
        if self.hopeful:
            known = {role: max(size - _DOUBT, 0) for role, size in known.items()}
        highest = max(known.values(), default=0)
        # A role that was never seen counts as the largest one with as many experts away, or in
        # hope as nothing.
        alike = [
            max((v for r, v in known.items() if r % LAST == a), default=highest) for a in range(3)
        ]
        if self.hopeful:
            alike = [0, 0, 0]
        sizes = [known.get(role, alike[role % LAST]) for role in range(BEGINS + FIRST)]
        return np.array(sizes, dtype=np.int64)

    def need(self, layers: int, experts: int) -> list[Bytes]:
        """What every run of layers behind ``layers`` takes, buffers included, by device."""
        sizes, _away = self.sizes(layers, experts)
        total = np.concatenate(([0], np.cumsum(sizes)))
        roles, table = self.roles(layers, experts), self.table(layers, experts)
        found: list[Bytes] = []
        others = roles.copy()
        others[:, 0] += BEGINS
        for role in (roles + FIRST, others):
            need = total[:, None] - total + table[role] + self._repeated
            need[self._backwards[: len(need), : len(need)]] = NO_RUN
            found.append(need)
        needs = [found[number != self._first] for number in range(len(self.devices))]
        tried = self._exact.get((layers, experts), {}) if self.hopeful else {}
        for number in {number for number, _start, _end in tried}:
            needs[number] = needs[number].copy()
        for (number, start, end), size in tried.items():
            needs[number][end, start] = total[end] - total[start] + size + self._repeated
        return needs

    def room(self) -> list[int]:
        """Bytes that runs may take on every device that takes part."""
        if self._room is None:
            self._room = self._known_room()
        return self._room

    def _known_room(self) -> list[int]:
        return [
            (self.space.free[d] or 0)
            - (self.space.driver[d] or 0)
            - self.asked.margin
            - self._by_others[d]
            - (0 if self.hopeful else self.missing[d])
            for d in self.devices
        ]

    def usual(self, layers: int) -> tuple[int, ...]:
        """Layers per device as llama.cpp or the given shares split them."""
        shares = split_shares(self.asked, self.space.free)
        placed = layer_devices(self.n - 1, self.n - layers, tuple(self.devices), shares)
        return tuple(placed.count(device) for device in self.devices)

    def fits(self, counts: Sequence[int], layers: int, experts: int) -> bool:
        """Whether runs of so many layers per device fit."""
        sizes, _away = self.sizes(layers, experts)
        roles, table = self.roles(layers, experts), self.table(layers, experts)
        tried = self._exact.get((layers, experts), {}) if self.hopeful else {}
        for number, (end, space) in enumerate(zip(accumulate(counts), self.room(), strict=True)):
            start = end - counts[number]
            if start == end:
                continue
            role = int(roles[end, start]) + self._place(number, start)
            buffer = tried.get((number, start, end), int(table[role]))
            if int(sizes[start:end].sum()) + buffer + self._repeated > space:
                return False
        return True

    def may_fit(self, layers: int, experts: int) -> bool:
        """Whether the layers fit in order beside the smallest buffers."""
        least = int(self.table(layers, experts).min()) + self._repeated
        return packs(self.sizes(layers, experts)[0], [space - least for space in self.room()])

    def copies_fit(self, layers: int, experts: int) -> bool:
        """Whether the first device can hold what is copied to it, as far as that is known."""
        copied = self._copied.get((layers, experts), 0)
        if not self.hopeful:
            copied = max(copied, self._copies.get((layers > 0, experts > layers), 0))
        return copied <= self.room()[self._first]

    def largest(self, layers: Sequence[int], experts: Sequence[int]) -> Floats:
        """Bytes of layers that all devices can hold at most, beside the smallest buffers."""
        space = self.room()
        most = np.empty((2, 2))
        for some, away in ((False, False), (False, True), (True, False), (True, True)):
            table = self.table(int(some), int(some) + int(away))
            elsewhere = min(table[:FIRST].min(), table[BEGINS:].min())
            least = [elsewhere] * len(space)
            least[self._first] = table[FIRST:BEGINS].min()
            most[int(some), int(away)] = sum(
                max(value - buffer - self._repeated, 0)
                for value, buffer in zip(space, least, strict=True)
            )
        behind = np.array(experts)[None, :] > np.array(layers)[:, None]
        return most[(np.array(layers) > 0).astype(int)[:, None], behind.astype(int)]

    def note(
        self, layers: int, experts: int, counts: Sequence[int], compute: ComputeBuffers
    ) -> bool:
        """Keep the buffers of a placement; whether one is larger than was known."""
        kind = (layers > 0, experts > layers)
        counts = counts or self.usual(layers)
        changed = False
        copied = compute.devices[self.devices[self._first]]
        if copied and not counts[self._first]:
            changed = self._copies.get(kind, copied + 1) > copied
            self._copies[kind] = min(self._copies.get(kind, copied), copied)
            self._copied[layers, experts] = copied
        if layers == self.n:
            return changed
        known, seen = (table.setdefault(kind, {}) for table in (self._buffers, self._seen))
        tried = self._exact.setdefault((layers, experts), {})
        roles = self.roles(layers, experts)
        for number, (end, count) in enumerate(zip(accumulate(counts), counts, strict=True)):
            if not count:
                continue
            size = compute.devices[self.devices[number]]
            tried[number, end - count, end] = size
            role = int(roles[end, end - count]) + self._place(number, end - count)
            seen[role] = min(seen.get(role, size), size)
            changed |= known.get(role, -1) < size
            known[role] = max(known.get(role, size), size)
        return changed
