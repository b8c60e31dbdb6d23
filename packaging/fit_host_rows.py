"""Rows of packaging/bench_host.jsonl as the fit reads them: what the app counts of each."""

import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from fit_given import HOST
from fit_rows import GPUS, file_type, load

from advisor.errors import RigAdvisorError
from advisor.hardware.compose import parse_rig
from advisor.hardware.processors import simd_of_name
from advisor.hardware.rig import Rig, Simd
from advisor.llm.model import Model
from advisor.sizing import speed_sums as sums
from advisor.sizing.build_dates import built_year
from advisor.sizing.calibration import IDENTITY
from advisor.sizing.placement import HOST as IN_RAM
from advisor.sizing.placement import Placement, place
from advisor.sizing.plan import Speed, SpeedTerm
from advisor.sizing.settings import RunSettings
from advisor.sizing.speed import predict
from advisor.sizing.speed_data import HostCosts
from advisor.sizing.speed_host import arithmetic, in_tiles, simd_of
from advisor.sizing.speed_load import Load, loads
from advisor.sizing.speed_machine import (
    Machine,
    byte_times,
    host_seconds,
    machine,
    ram_gbs,
    ram_rate,
)
from advisor.sizing.speed_prefill import COPIED
from advisor.sizing.speed_similar import NORMAL_80
from advisor.units import GIB

BESIDE, ALONE = "experts in RAM", "CPU only"


@dataclass(frozen=True)
class HostRow:
    """One measurement with what the app counts for it."""

    raw: dict[str, Any]
    model: Model
    rig: Rig
    settings: RunSettings
    box: Machine
    load: Load
    found: Speed
    locked: float
    """Bytes per second of copies from page-locked memory; nan without a device."""

    @property
    def page(self) -> str:
        return str(self.raw["url"])

    @property
    def group(self) -> str:
        return BESIDE if self.rig.devices else ALONE

    @property
    def tells(self) -> bool:
        """Whether its decoding says something of RAM: half of its time or more is the host's."""
        if self.raw["ram_gbs"] is None or self.found.decode_tps is None:
            return False
        return self.rest(prefill=False)[0] * self.found.decode_tps.mid <= 0.5

    def host(self, costs: HostCosts) -> float:
        """Seconds per token of what lies in RAM."""
        host, load = self.rig.host, self.load
        times = byte_times(costs, ram_gbs(costs, host), host.cores)
        times, hard = times[: len(sums.GROUPS)], times[len(sums.GROUPS) :]
        gbs = ram_rate(host, costs)
        box = replace(self.box, host=costs, host_gbs=gbs, host_times=times, hard_times=hard)
        parts = host_seconds(box, load.columns, load.cache_bytes, load.attention_flops, load.beside)
        return float(sum(float(part) for part in parts))

    def rest(self, prefill: bool) -> tuple[float, float]:
        """Seconds per token of everything else, and what of them is in doubt."""
        if not self.rig.devices:
            return 0.0, 0.0
        mine = COPIED if prefill else None
        speed = self.found.prefill_tps if prefill else self.found.decode_tps
        terms = self.found.prefill_terms if prefill else self.found.decode_terms
        if speed is None:
            return 0.0, 0.0
        ours = [term for term in terms if term.where == IN_RAM or term.name == mine]
        costs = self.box.host
        spread = costs.copy_spread if prefill else costs.spread_beside
        taken = _seconds(ours)
        doubt = math.log(speed.high / speed.mid) / NORMAL_80 / speed.mid - taken * spread
        return 1 / speed.mid - taken, max(doubt, 0.0)

    @property
    def ram(self) -> float:
        """What its RAM delivers, GB/s; infinite where it is not told."""
        known = self.raw["ram_gbs"] is not None
        return (ram_gbs(self.box.host, self.rig.host) or math.inf) if known else math.inf

    @property
    def copied(self) -> float:
        """Bytes per token of a prompt that are copied."""
        terms = [term for term in self.found.prefill_terms if term.name == COPIED]
        return _seconds(terms) * (self.box.copy_rate or math.nan)

    @property
    def simd(self) -> Simd | None:
        """The vector instructions of its processor."""
        return simd_of(self.rig)

    @property
    def tiled(self) -> bool:
        """Whether its build multiplies its types in tiles."""
        built = built_year(self.settings.built) or 0.0
        if not in_tiles(self.box.host, self.simd, built):
            return False
        sizes = self.load.columns[sums.DENSE] + self.load.columns[sums.EXPERTS]
        most = sums.GROUPS[int(np.argmax(sizes))]
        return most in HOST["tiled"]["gflops"]

    @property
    def arithmetic(self) -> float:
        """Seconds per token of a prompt by ``fit_given.HOST``'s rates."""
        alike = {kind: {"plain": 1.0, "tiled": 1.0} for kind in ("avx512_vnni", "avx2", "arm")}
        costs = HostCosts.model_validate(self.box.host.model_dump() | HOST | {"vectors": alike})
        asked, known = self.settings, self.model.hp
        ubatch = min(asked.ubatch_size, asked.batch_size, asked.n_prompt)
        return arithmetic(
            costs,
            self.load,
            self.rig.host.cores or costs.cores,
            ubatch,
            used=known.n_expert_used / known.n_expert if known and known.n_expert else 1.0,
            tiled=in_tiles(costs, self.simd, built_year(asked.built) or 0.0),
            kind=self.simd,
        )


def _seconds(terms: Iterable[SpeedTerm]) -> float:
    return sum(term.seconds for term in terms)


def _settings(raw: dict[str, Any]) -> RunSettings:
    flags = raw["flags"] or ""

    def told(pattern: str, otherwise: str) -> str:
        found = re.search(pattern, flags)
        return found[1] if found else otherwise

    prompt = int((raw["pp_test"] or "pp512").removeprefix("pp"))
    return RunSettings(
        ctx=max(4096, raw["depth"] + prompt + 512),
        depth=raw["depth"],
        n_prompt=prompt,
        n_gpu_layers="all",
        n_cpu_moe=raw["n_cpu_moe"] or 0,
        ubatch_size=int(told(r"-ub (\d+)", "512")),
        batch_size=int(told(r"-b (\d+)", "2048")),
        ctk=told(r"-ctk ([a-z0-9_]+)", "f16"),
        ctv=told(r"-ctv ([a-z0-9_]+)", "f16"),
        mmap=not raw.get("pinned", False),
        built=re.sub(r"^(\d{4}-\d\d).*", r"\1", raw["date"]) if "-" in raw["date"] else "",
    )


def _rig(raw: dict[str, Any]) -> Rig:
    card = GPUS.get(raw["gpu"], raw["gpu"])
    rig = parse_rig(f"{raw['gpu_count']}x {card} + 1024 GB" if card else "CPU only 1024 GB")
    told = {
        "cpu": raw["cpu"] or "",
        "simd": raw.get("simd") or simd_of_name(raw["cpu"] or ""),
        "ram_read_gbs" if raw.get("measured") else "ram_bandwidth_gbs": raw["ram_gbs"],
        "cores": raw["threads"] or raw["cores"],
    }
    if raw["threads"] and raw["cores"]:
        told["cores"] = min(raw["threads"], raw["cores"])
    devices = tuple(d.model_copy(update={"backend": raw["backend"].lower()}) for d in rig.devices)
    hosts = (rig.host.model_copy(update=told),)
    return rig.model_copy(update={"devices": devices, "hosts": hosts})


def _placement(model: Model, rig: Rig, settings: RunSettings) -> Placement:
    n_layer_all = model.hp.n_layer_all if model.hp else 0
    if not rig.devices:
        return Placement((IN_RAM,) * (n_layer_all + 1))
    return place(
        n_layer_all=n_layer_all,
        settings=settings,
        free=[d.memory_free for d in rig.devices],
        backends=[d.backend for d in rig.devices],
    )


def read(path: Path) -> Iterator[HostRow | str]:
    """Usable rows, and a sentence for each that is not."""
    for line in path.read_text(encoding="utf-8").splitlines():
        raw = json.loads(line)
        if raw.get("left_out"):
            yield f"{raw['id']}: {raw['left_out']}"
            continue
        kind = file_type(raw["quant"])
        try:
            model = load(raw["model"], kind) if kind else None
            rig = _rig(raw)
        except RigAdvisorError as error:
            yield f"{raw['id']}: {error}"
            continue
        known = sums.model_sums(model) if model else None
        if model is None or known is None:
            yield f"{raw['id']}: {raw['model']} {raw['quant']} is not known"
            continue
        settings = _settings(raw)
        placement = _placement(model, rig, settings)
        size = round(raw["file_gib"] * GIB) if raw["file_gib"] else None
        box = machine(rig, placement, IDENTITY, mmap=settings.mmap)
        locked = machine(rig, placement, IDENTITY, mmap=False)
        if isinstance(box, str) or isinstance(locked, str):
            yield f"{raw['id']}: {box}"
            continue
        scale = size / model.nbytes if size else 1.0
        parts = loads(known, settings, placement, scale=scale)
        # Where RAM is not told only prompts are used, which hardly depend on it.
        usual = rig.host.model_copy(update={"ram_bandwidth_gbs": rig.host.ram_bandwidth_gbs or 80})
        counted = rig.model_copy(update={"hosts": (usual,)})
        found = predict(model, counted, settings, placement, file_bytes=size)
        host = next(part for part in parts if part.where == IN_RAM)
        rate = locked.copy_rate or math.nan
        yield HostRow(raw, model, rig, settings, box, host, found, rate)
