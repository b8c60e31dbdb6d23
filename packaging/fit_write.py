"""The fitted constants and the reviewed rows as resources/*.json."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from fit_given import BORROWED, HOST, MATRIX_RATES, PCIE, TENSOR_SPLIT
from fit_rows import LEFT_OUT, Row

from advisor.sizing.speed_data import Similar
from advisor.sizing.speed_sums import GROUPS
from advisor.units import GIB

RESOURCES = Path(__file__).parents[1] / "resources"
BACKENDS = ("cuda", "rocm", "vulkan", "metal")


def _r(value: float) -> float:
    return float(f"{value:.4g}")


def write(
    decode: Any,  # noqa: ANN401 - fit_speed.Decode
    prefill: Any,  # noqa: ANN401 - fit_speed.Prefill
    fit: Callable[..., Any],
    *,
    similar: dict[str, Similar],
    errors: dict[str, Any],
    today: str,
) -> None:
    """Fit on everything that is trusted, and write both files."""
    trusted = np.array([r.raw["id"] not in LEFT_OUT for r in decode.rows])
    every = np.ones(len(prefill.rows), dtype=bool)
    d_vector, p_vector = fit(decode, trusted), fit(prefill, every)
    d = lambda name: decode.parameters.get(d_vector, name)  # noqa: E731
    p = lambda name: prefill.parameters.get(p_vector, name)  # noqa: E731
    classes: dict[str, Any] = {}
    for i, name in enumerate(decode.classes):
        classes[name] = {
            "eta": _r(d("eta")[i]), "tau_us": _r(d("tau")[i] * 1e6), "rho": _r(d("rho")[i]),
            "attention": _r(d("attention")[i]), "prefill_q": _r(p("quantized")[i]),
            "prefill_16": _r(p("sixteen")[i]), "prefill_experts": _r(p("experts")[i]),
            "prefill_attention": _r(p("attention")[i]),
            "rows_decode": sum(r.speed_class == name for r in decode.rows),
            "rows_prefill": sum(r.speed_class == name for r in prefill.rows),
        }  # fmt: skip
    backends: dict[str, Any] = {}
    for i, name in enumerate(BACKENDS):
        vulkan = name == "vulkan"
        backends[name] = {
            "gather": _r(d("gather")[i]),
            "bf16_experts": _r(d("bf16_experts")[0]) if vulkan else 1.0,
            "bf16_prefill": _r(p("bf16")[0]) if vulkan else 1.0,
            "moe": _r(d("moe")[i]), "recurrent": _r(d("recurrent")[i]), "mla": _r(d("mla")[i]),
            "vector": _r(d("vector")[i]), "mla_attention": _r(d("mla_attention")[i]),
            "mla_prefill": _r(p("mla_attention")[i]), "fixed_us": _r(d("fixed")[i] * 1e6),
            "hand_over_us": _r(d("hand_over")[i] * 1e6),
            "prefill_launch_us": _r(p("launch")[i] * 1e6),
        }  # fmt: skip
    backends["sycl"] = backends["vulkan"]
    types = ("k_or_i", "q8", "q4_legacy", "fp4")
    document = {
        "date": today,
        "method": "packaging/fit_speed.py: robust least squares on the logarithm of the time with "
        "weak priors, then a Gaussian process over the errors; errors by ten-fold "
        "cross-validation split by GPU, model, backend and source, nested: what the process "
        "assumes is chosen for each block of folds by the rows of the others, from a start that "
        "was chosen earlier on other splits of the same rows",
        "data": f"{int(trusted.sum())} decode and {len(prefill.rows)} prefill rows of "
        "resources/bench.json; many CUDA rows are of May 2024 and slower than today's builds",
        "classes": classes,
        "backends": backends,
        "groups": {g: _r(v) for g, v in zip(GROUPS, d("groups"), strict=True)},
        "prefill_groups": {t: _r(v) for t, v in zip(types, p("types"), strict=True)},
        "memory_prefill": _r(p("memory")[0]),
        "pipeline": _r(p("pipeline")[0]),
        "borrowed": [
            {"backend": b, "architecture": a, "like": like, "widen": w}
            for b, a, like, w in BORROWED
        ],
        "host": HOST,
        "tensor_split": TENSOR_SPLIT,
        "pcie": PCIE,
        "matrix_rates": [
            {"card": card, "tflops": round(rate, 1), "source": source}
            for card, rate, source in MATRIX_RATES
        ],
        "similar_decode": similar["decode"].model_dump(),
        "similar_prefill": similar["prefill"].model_dump(),
        "errors_decode": errors["decode"],
        "errors_prefill": errors["prefill"],
    }
    (RESOURCES / "speed.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    all_rows = np.ones(len(decode.rows), dtype=bool)
    d_error = decode.measured - decode.log_time(d_vector, all_rows)
    p_error = dict(
        zip(
            (r.raw["id"] for r in prefill.rows),
            prefill.measured - prefill.log_time(p_vector, every),
            strict=True,
        )
    )
    rows = [
        _row(row, float(error), p_error.get(row.raw["id"]))
        for row, error in zip(decode.rows, d_error, strict=True)
    ]
    text = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in rows)
    source = (
        "public benchmark posts and repositories, each row with its address; errors are the "
        "natural logarithm of measured over computed time (packaging/fit_speed.py)"
    )
    head = f' "date": "{today}",\n "source": {json.dumps(source)},\n "rows": [\n  '
    (RESOURCES / "bench.json").write_text("{\n" + head + text + "\n ]\n}\n", encoding="utf-8")


def _row(row: Row, decode_error: float, prefill_error: float | None) -> dict[str, Any]:
    raw = row.raw
    reason = LEFT_OUT.get(raw["id"], "")
    return {
        "id": raw["id"], "model": row.model.id, "file_type": row.model.file_type,
        "quant": raw["quant"],
        "file_bytes": round(raw["file_gib"] * GIB) if raw["file_gib"] else None,
        "gpu": row.gpu, "n_gpu": raw["gpu_count"], "backend": row.backend,
        "speed_class": row.speed_class, "experts": bool(row.sums.n_expert), "depth": row.depth,
        "decode_tps": raw["tg_tps"], "prefill_tps": raw["pp_tps"], "n_prompt": row.n_prompt,
        "ubatch": row.ubatch, "date": raw["date"], "url": raw["url"], "by": raw["src"],
        "decode_error": None if reason else round(decode_error, 4),
        "prefill_error": None if prefill_error is None else round(float(prefill_error), 4),
        "left_out": reason,
    }  # fmt: skip
