"""Benchmark rows as the fit reads them: each with its model's sums and its card's data sheet."""

import functools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from fit_given import MATRIX_RATES, MATRIX_SHARES, SPILL

from advisor.cli.request import with_backend
from advisor.errors import ModelError
from advisor.hardware.compose import parse_rig
from advisor.hardware.table import GpuEntry, gpu_table
from advisor.llm import architectures
from advisor.llm.catalogue import catalogue
from advisor.llm.filetypes import assign, nearest
from advisor.llm.model import Model
from advisor.sizing import size
from advisor.sizing import speed_sums as sums
from advisor.sizing.settings import RunSettings
from advisor.sizing.speed_class import class_key, spill_room
from advisor.sizing.speed_sums import Floats, ModelSums
from advisor.units import GIB

MODELS = json.loads((Path(__file__).parent / "bench_models.json").read_text(encoding="utf-8"))

# Cards whose name in the rows is not that of resources/gpus.json.
GPUS = {
    "Strix Halo 8060S": "Ryzen AI Max+ 395 (Strix Halo, 128GB)",
    "DGX Spark GB10": "DGX Spark / GB10",
    "RTX 3060": "GeForce RTX 3060 12GB",
    "Apple M3 Max": "Apple M3 Max (40-core)",
    "A100 PCIe 80GB": "A100 80GB PCIe",
    "Apple M5 Max (binned, 36GB)": "Apple M5 Max (32-core)",
}

RATES = {card: rate for card, rate, _ in MATRIX_RATES}
SHARES = {(architecture, backend): share for architecture, backend, share, _ in MATRIX_SHARES}

DOUBTED = {
    318: "fell out of video memory at this depth (5 tok/s after 25 at half of it)",
}
"""Rows that no rule leaves out: nothing is fitted to them, but their errors count."""
FLASH_BY_DEFAULT = {"llama-bench": "2026-05", "llama-server": "2025-09"}
"""Month from which Flash Attention is used where nothing is said. llama-bench of spring 2026, which
knows -fitt already, still has ``flash_attn { false }``, that with -ngl -1 has AUTO
(cmd_params_defaults); the server's is auto since pull request 15434."""
DELTA_KERNELS = "2026-02"
"""Month from which builds are taken to compute the gated delta rule well (llama.cpp pull request
20334 and those before it): those of December 2025 reach half of what newer ones do."""


BACKENDS = ("cuda", "rocm", "vulkan", "metal", "sycl")


@dataclass
class Row:
    """One usable measurement with its features."""

    raw: dict[str, Any]
    model: Model
    sums: ModelSums
    gpu: str
    bandwidth: float
    cores: float
    """Multiprocessors; infinite where the table does not tell."""
    rate: float | None
    watts: float | None
    """That its card may draw; None where memory and processor share it."""
    speed_class: str
    architecture: str
    backend: str
    scale: float
    kv_width: float
    n_prompt: int | None
    ubatch: int

    @property
    def depth(self) -> int:
        return int(self.raw["depth"] or 0)

    @property
    def flash(self) -> bool:
        """Whether with Flash Attention: said in the words of each source, or its tool's default."""
        flags = self.raw["flags"] or ""
        if re.search(r"no -fa|fa= |-fa 0", flags):
            return False
        if re.search(r"-fa\b|--flash-attn", flags):
            return True
        server = "server" in f"{flags} {self.raw['notes']} {self.raw['src']}"
        since = FLASH_BY_DEFAULT["llama-server" if server else "llama-bench"]
        return (self.raw["date"] or since) >= since

    @property
    def without_output(self) -> bool:
        """Whether a prompt was read in micro-batches of one token: logits of the last alone are
        asked for (llama-bench's ``test_prompt``), so all others skip the output layer."""
        return bool(re.search(r"ubatch 1\b", self.raw["tg_test"] or ""))

    @property
    def group(self) -> tuple[str, ...]:
        """Rows of one group are on the same side of every split."""
        raw = self.raw
        return (raw["gpu"], raw["model"], raw["backend"], raw["src"])

    @functools.cached_property
    def left_out(self) -> str:
        """Why a row is no measure of what is shown; "" for nearly all.

        Rules, not judgements of single rows: they hold for rows that nobody has seen.
        """
        raw = self.raw
        if "ollama" in (raw["notes"] or "").lower():
            return "imported into Ollama, which computes with code of its own"
        delta = any("ssm_ba." in t.name or "ssm_beta." in t.name for t in self.model.tensors)
        if delta and (raw["date"] or DELTA_KERNELS) < DELTA_KERNELS:
            return "of a build in which the gated delta rule had no kernels of its own"
        if self.backend in SPILL["backends"] and self._fills_its_cards():
            return "leaves so little of a card that no speed is shown (see “spill” in speed.json)"
        return ""

    def _fills_its_cards(self) -> bool:
        ctx = self.depth + (self.n_prompt or 512)
        settings = RunSettings(ctx=ctx, ubatch_size=self.ubatch, flash_attn="on")
        rig = with_backend(parse_rig(f"{self.raw['gpu_count']}x {self.gpu}"), self.backend)
        left, room = size(self.model, rig, settings).headroom, spill_room(rig)
        return left is not None and room > 0 and left < room

    @property
    def columns(self) -> Floats:
        """Column sums over all blocks, weights scaled to the file's size."""
        layers = self.sums.layers[:-1] if self.without_output else self.sums.layers
        total = np.asarray(layers.sum(axis=0))
        total[sums.DENSE] *= self.scale
        total[sums.EXPERTS] *= self.scale
        total[sums.ALL_EXPERTS] *= self.scale
        return total

    def cache(self, depth: float) -> tuple[float, float]:
        """Bytes of caches and arithmetic of attention of one token at a depth."""
        read = flops = 0.0
        for cache in self.sums.caches:
            positions = cache.positions(depth)
            read += positions * (cache.k_values.sum() + cache.v_values.sum()) * self.kv_width
            flops += positions * cache.flops.sum()
        return read, flops


def _simple(name: str) -> str:
    text = re.sub(r"geforce|radeon|apple|tesla|nvidia", "", name.lower())
    return re.sub(r"[^a-z0-9]", "", text)


@functools.cache
def _gpus() -> dict[str, GpuEntry]:
    return {
        _simple(name): entry
        for entry in gpu_table().gpus
        for name in (entry.name, entry.label or entry.name, *entry.aliases)
    }


@functools.cache
def load(label: str, kind: str) -> Model | None:
    """The model of a label: as a request finds it in the catalogue, or from its config."""
    name = MODELS["labels"].get(label.strip('"'))
    if name is None:
        return None
    config = MODELS["configs"].get(name)
    if config is None:
        return catalogue().find(name).model(kind)
    hp = architectures.from_config(config)
    family = architectures.architecture(hp.arch)
    if family is None:
        return None
    return Model(
        id=name,
        name=name,
        file_type=kind,
        source="catalogue",
        tensors=assign(hp, list(family.tensors(hp)), kind),
        hp=hp,
        memory=family.memory(hp),
    )


def file_type(quant: str) -> str | None:
    """The file type that a row's words mean; None where none does."""
    try:
        return nearest(quant).name
    except ModelError:
        return None


def _number(pattern: str, text: str | None) -> int | None:
    found = re.search(pattern, text or "")
    return int(found[1]) if found else None


def _unstated(raw: dict[str, Any], backend: str) -> int:
    """Micro-batch where a row's flags do not say it: llama.cpp's default, but for one source.

    kyuz0's toolboxes measure deep prompts under ROCm with ``-ub 2048``
    (amd-r9700-ai-toolboxes, benchmark/run_benchmarks.sh).
    """
    deep = raw["src"] == "kyuz0" and backend == "rocm" and raw["pp_test"] == "pp2048"
    return 2048 if deep else 512


def read(path: Path) -> Iterator[Row | str]:
    """Usable rows, and a sentence for each row that is not."""
    for line in path.read_text(encoding="utf-8").splitlines():
        raw = json.loads(line)
        backend = {"rocm/vulkan": "vulkan"}.get(raw["backend"].lower(), raw["backend"].lower())
        kind = file_type(raw["quant"])
        if raw["engine"] != "llama.cpp" or backend not in {
            "cuda",
            "rocm",
            "vulkan",
            "metal",
            "sycl",
        }:
            yield f"{raw['id']}: another engine"
            continue
        if raw["offload"]:
            yield f"{raw['id']}: partly on the CPU"
            continue
        try:
            model = load(raw["model"], kind) if kind else None
        except ModelError as error:
            yield f"{raw['id']}: {error}"
            continue
        card = GPUS.get(raw["gpu"], raw["gpu"])
        entry = _gpus().get(_simple(str(card)))
        found = sums.model_sums(model) if model else None
        if model is None or found is None or entry is None:
            yield f"{raw['id']}: {raw['model']} {raw['quant']} on {raw['gpu']} is not known"
            continue
        bandwidth = raw.get("ram_gbs") or entry.bandwidth_gbs
        rate = entry.fp16_tflops or RATES.get(entry.name)
        share = SHARES.get((entry.architecture, backend), SHARES.get((entry.architecture, None), 1))
        if bandwidth is None:
            yield f"{raw['id']}: bandwidth of {raw['gpu']} is not known"
            continue
        flags = raw["flags"] or ""
        kv_type = re.search(r"(?:-ctk|cache-type-k) (q8_0|q4_0)", flags)
        yield Row(
            raw=raw,
            model=model,
            sums=found,
            gpu=entry.name,
            bandwidth=bandwidth * 1e9,
            cores=entry.multiprocessors or np.inf,
            rate=rate * share * 1e12 if rate else None,
            watts=None if entry.unified else entry.tdp_w,
            speed_class=class_key(backend, entry.architecture, bandwidth, shared=entry.unified),
            architecture=entry.architecture,
            backend=backend,
            scale=raw["file_gib"] * GIB / model.nbytes if raw["file_gib"] else 1.0,
            kv_width={"q8_0": 34 / 32, "q4_0": 18 / 32}[kv_type[1]] if kv_type else 2.0,
            n_prompt=_number(r"^pp(\d+)", raw["pp_test"]),
            ubatch=_number(r"-ub (\d+)", flags) or _unstated(raw, backend),
        )


def per_joule(rows: Sequence[Row]) -> dict[str, float]:
    """Operations per second for a watt of each class's cards, in the middle.

    Of a class that nobody measured: of the cards of the table.
    """
    cards = {(r.speed_class, r.gpu): r.rate / r.watts for r in rows if r.rate and r.watts}
    measured = {name for name, _ in cards}
    for entry in _gpus().values():
        name = class_key(entry.backend, entry.architecture, entry.bandwidth_gbs)
        if name not in measured and entry.fp16_tflops and entry.tdp_w and not entry.unified:
            cards[name, entry.name] = entry.fp16_tflops * 1e12 / entry.tdp_w
    return {
        name: float(np.median([ratio for (of, _), ratio in cards.items() if of == name]))
        for name, _ in cards
    }


def relative_watts(rows: Sequence[Row]) -> Floats:
    """Of each row for its matrix rate, over those of its class in the middle; 1: not known."""
    middle = per_joule(rows)
    return np.array(
        [r.watts / r.rate * middle[r.speed_class] if r.rate and r.watts else 1.0 for r in rows]
    )
