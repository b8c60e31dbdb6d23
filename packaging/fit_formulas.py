"""What the fit explains: the app's formulas over all rows at once, with the constants they have."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from fit_given import CAMPING, KERNELS, QUANTIZED_CACHE, SLOW_MEMORY, UNPACKING, WITHOUT_BF16
from fit_joint import Array, Parameters
from fit_rows import BACKENDS, Row, relative_watts

from advisor.sizing import speed_terms as terms
from advisor.sizing.settings import RunSettings
from advisor.sizing.speed_load import attention_along
from advisor.sizing.speed_prefill import type_group
from advisor.sizing.speed_sums import GROUPS, KERNEL_KINDS


@dataclass
class Problem(ABC):
    """Rows as arrays, and the formula that they are fitted to."""

    measured: Array = field(init=False)
    inside: ClassVar[float]
    """Share of rows that ranges are made to hold: more where never fitted ones needed it."""
    inside_several: ClassVar[float]
    """Share of rows of several cards that ranges are made to hold: six runs or so of each kind
    tell less than they seem, in prefill, where a row may not tell its micro-batch, least."""

    rows: list[Row]
    classes: list[str]

    def __post_init__(self) -> None:
        rows = self.rows
        self.parameters = Parameters()
        self.kind = np.array([self.classes.index(r.speed_class) for r in rows])
        self.backend = np.array([BACKENDS.index(r.backend) for r in rows])
        self.bandwidth = np.array([r.bandwidth for r in rows])
        self.rate = np.array([r.rate or 50e12 for r in rows])
        self.columns = np.array([r.columns for r in rows])
        self.n = np.array([float(r.raw["gpu_count"]) for r in rows])
        self.widened_bf16 = np.array(
            [
                r.model.file_type == "BF16"
                and r.backend == WITHOUT_BF16["backend"]
                and r.architecture in WITHOUT_BF16["architectures"]
                for r in rows
            ]
        )

    @abstractmethod
    def log_time(self, vector: Array) -> Array:
        """Logarithm of every row's time with these constants."""

    def untold(self, vector: Array, *, ubatch: bool) -> Array:  # noqa: ARG002 - for all alike
        """See ``fit_joint.Formula``: by default all that matters is told."""
        return np.zeros(len(self.rows)) * vector[0]

    def by_class(self, name: str, value: float | Sequence[float]) -> None:
        """A constant for each kind of GPU under each backend."""
        self.parameters.add(name, value, len(self.classes), "class")

    def by_backend(self, name: str, value: float) -> None:
        """A constant for each backend."""
        self.parameters.add(name, value, len(BACKENDS), "backend")


class Decode(Problem):
    inside = 0.86
    inside_several = 0.86

    def __post_init__(self) -> None:
        super().__post_init__()
        caches = [r.cache(r.depth) for r in self.rows]
        self.read = np.array([c[0] for c in caches])
        self.flops = np.array([c[1] for c in caches])
        self.unpacks = np.array(
            [r.kv_width < 2 and r.backend in QUANTIZED_CACHE["backends"] for r in self.rows]
        )
        self.measured = np.array([-np.log(r.raw["tg_tps"]) for r in self.rows])
        self.cores = np.array(
            [r.cores if r.speed_class in UNPACKING["classes"] else np.inf for r in self.rows]
        )
        self.by_class("eta", [SLOW_MEMORY.get(name, 0.72) for name in self.classes])
        self.by_class("tau", 1.5e-6)
        self.by_class("rho", 1.2)
        self.by_class("attention", 0.08)
        self.parameters.add("groups", 1.0, len(GROUPS))
        self.parameters.add("unpacking", [UNPACKING["gbs"][name] for name in GROUPS])
        self.by_backend("gather", 1.0)
        self.by_class("step", 0.2e-6)
        self.parameters.add("quantized_kv", 2.0)
        for name, value in KERNELS.items():
            self.by_backend(f"start_{name}", value)
        self.by_backend("mla_attention", 1.0)
        self.by_backend("hand_over", 3e-4)
        self.by_backend("fixed", 2e-4)

    def log_time(self, vector: Array) -> Array:
        g = lambda name: self.parameters.get(vector, name)  # noqa: E731 - as in the formulas
        kind, backend = self.kind, self.backend
        effective = g("eta")[kind] * self.bandwidth
        groups = terms.unpacked(
            g("groups"), effective[:, None], self.cores[:, None] * g("unpacking") * 1e9
        )
        experts = groups * g("gather")[backend][:, None]
        kernels = np.stack(
            [
                g(f"start_{name}")[backend] if name in KERNELS else np.ones(len(kind))
                for name in KERNEL_KINDS
            ],
            axis=-1,
        )
        k = terms.Constants(
            bandwidth=self.bandwidth, rate=self.rate, eta=g("eta")[kind],
            tau=g("tau")[kind], rho=g("rho")[kind], attention=g("attention")[kind],
            groups=groups, expert_groups=experts, kernels=kernels,
            step=np.where(backend == BACKENDS.index("vulkan"), g("step")[kind], 0.0),
            mla_attention=g("mla_attention")[backend],
        )  # fmt: skip
        flops = self.flops * np.where(self.unpacks, g("quantized_kv")[0], 1.0)
        parts = terms.decode_parts(k, terms.Work(self.columns, self.read, flops))
        hand_over = (self.n - 1) * g("hand_over")[backend]
        return np.log(parts.total + hand_over + g("fixed")[backend])


class Prefill(Problem):
    inside = 0.825
    inside_several = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        self.prompt = np.array([float(r.n_prompt or 0) for r in self.rows])
        self.ubatch = np.minimum(np.array([float(r.ubatch) for r in self.rows]), self.prompt)
        self.attention = np.array([along(r) for r in self.rows])
        self.used = np.array(
            [s.n_expert_used / s.n_expert if (s := r.sums).n_expert else 1.0 for r in self.rows]
        )
        self.read = np.asarray(terms.touched(self.columns, self.used, self.ubatch))
        names = {name: i for i, name in enumerate(TYPE_NAMES)}
        self.type = np.array([names.get(type_group(r.model.file_type), -1) for r in self.rows])
        self.measured = np.array([-np.log(r.raw["pp_tps"]) for r in self.rows])
        self.camps = np.array([r.speed_class in CAMPING for r in self.rows])
        self.by_class("quantized", 0.35)
        self.by_class("sixteen", 0.4)
        self.by_class("experts", 0.2)
        self.by_class("attention", 0.12)
        self.by_class("bend", 0.3)
        self.parameters.add("types", 1.0, len(TYPE_NAMES))
        self.parameters.add("bf16", 0.4)
        self.parameters.add("memory", 1.7)
        self.parameters.add("watts", 0.4)
        self.watts = relative_watts(self.rows)
        self.by_backend("launch", 60e-6)
        self.by_backend("mla_attention", 1.0)
        self.by_class("sharing", 0.35)
        self.parameters.add("camping", 1.0)
        self.flash = np.array([r.flash for r in self.rows])
        self.parameters.add("unfused", 26.0)
        self.by_backend("score", 128.0)
        self.by_backend("tile", 16.0)
        self.by_backend("pipeline", 0.5)

    def log_time(self, vector: Array) -> Array:
        g = lambda name: self.parameters.get(vector, name)  # noqa: E731 - as in the formulas
        kind, backend = self.kind, self.backend
        k = terms.PrefillConstants(
            bandwidth=self.bandwidth, rate=self.rate * self.watts ** g("watts")[0],
            quantized=g("quantized")[kind],
            sixteen=g("sixteen")[kind], experts=g("experts")[kind],
            attention=g("attention")[kind],
            bf16=np.where(self.widened_bf16, g("bf16")[0], 1.0),
            type_factor=np.append(g("types"), 1.0)[self.type], memory=g("memory")[0],
            launch=g("launch")[backend], mla_attention=g("mla_attention")[backend],
            bend=g("bend")[kind], sharing=g("sharing")[kind],
            camping=np.where(self.camps, g("camping")[0], 0.0),
            unfused=np.where(self.flash, 0.0, g("unfused")[0]),
            score=g("score")[backend], tile=g("tile")[backend],
        )  # fmt: skip
        parts = terms.prefill_parts(
            k, self.columns, self.attention, self.read, self.ubatch, used=self.used
        )
        pipe = terms.pipelined(self.n, self.prompt, self.ubatch, g("pipeline")[backend])
        return np.log(parts.total * pipe)

    def untold(self, vector: Array, *, ubatch: bool) -> Array:
        """With Flash Attention and, if ``ubatch``, llama.cpp's own micro-batch instead of what a
        row was measured with."""
        usual = copy(self)
        usual.flash = np.ones(len(self.rows), dtype=np.bool_)
        if ubatch:
            usual.ubatch = np.minimum(
                float(RunSettings.model_fields["ubatch_size"].default), self.prompt
            )
            usual.read = np.asarray(terms.touched(self.columns, self.used, usual.ubatch))
        return self.log_time(vector) - usual.log_time(vector)


TYPE_NAMES = ("k_or_i", "q8", "q4_legacy", "fp4")


def along(row: Row) -> Array:
    """Arithmetic of attention along a row's prompt, as ``speed_terms`` counts it."""
    middle = row.depth + (row.n_prompt or 0) / 2
    return sum(
        (attention_along(c, c.positions(middle)).sum(axis=0) for c in row.sums.caches),
        np.zeros(terms.ENTRIES),
    )
