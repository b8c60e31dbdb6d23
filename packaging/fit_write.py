"""The fitted constants and the reviewed rows as resources/*.json."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fit_formulas import TYPE_NAMES
from fit_given import (
    BORROWED,
    CALIBRATED,
    CAMPING,
    KERNELS,
    LAUNCHES,
    LINKS_ON_BOARD,
    MATRIX_RATES,
    MATRIX_SHARES,
    PCIE,
    POWER_MODES,
    QUANTIZED_CACHE,
    SCARCE,
    SPILL,
    TENSOR_SPLIT,
    UNFUSED_SCORE,
    UNPACKING,
    WATTS,
    WITHOUT_BF16,
)
from fit_joint import Fitted
from fit_rows import BACKENDS, DOUBTED, Row, per_joule

from advisor.sizing.speed_sums import GROUPS, KERNEL_KINDS
from advisor.units import GIB

RESOURCES = Path(__file__).parents[1] / "resources"
SPEED = RESOURCES / "speed.json"


def _r(value: float) -> float:
    return float(f"{value:.4g}")


def write(
    rows: Sequence[Row],
    decode: Fitted,
    prefill: Fitted,
    *,
    errors: dict[str, Any],
    splits: int,
    wider: float,
    today: str,
) -> None:
    """Both files, from fits on everything that is trusted; ``rows``: all that are shown.

    ``wider``: ranges of scarce kinds while decoding.
    """
    d_rows, p_rows = decode.problem.rows, prefill.problem.rows
    d = lambda name: decode.problem.parameters.get(decode.fit.vector, name)  # noqa: E731
    p = lambda name: prefill.problem.parameters.get(prefill.fit.vector, name)  # noqa: E731
    classes: dict[str, Any] = {}
    joules = per_joule(p_rows)
    for i, name in enumerate(decode.problem.classes):
        classes[name] = {
            "eta": _r(d("eta")[i]), "tau_us": _r(d("tau")[i] * 1e6), "rho": _r(d("rho")[i]),
            "attention": _r(d("attention")[i]),
            "bf16_step_us": _r(d("step")[i] * 1e6) if name.startswith("vulkan") else 0.0,
            "prefill_q": _r(p("quantized")[i]),
            "prefill_16": _r(p("sixteen")[i]), "prefill_experts": _r(p("experts")[i]),
            "prefill_attention": _r(p("attention")[i]), "prefill_bend": _r(p("bend")[i]),
            "prefill_sharing": _r(p("sharing")[i]),
            "prefill_camping": _r(p("camping")[0]) if name in CAMPING else 0.0,
            "watts_per_tflops": _r(1e12 / joules[name]) if name in joules else None,
            "widen": wider if name in SCARCE else 1.0,
            "rows_decode": sum(r.speed_class == name for r in d_rows),
            "rows_prefill": sum(r.speed_class == name for r in p_rows),
        }  # fmt: skip
    backends: dict[str, Any] = {}
    for i, name in enumerate(BACKENDS):
        vulkan = name == "vulkan"
        backends[name] = {
            "gather": _r(d("gather")[i]),
            "bf16_prefill": _r(p("bf16")[0]) if vulkan else 1.0,
            "kernels": {
                name: _r(d(f"start_{name}")[i]) if name in KERNELS else 1.0
                for name in KERNEL_KINDS
            },
            "mla_attention": _r(d("mla_attention")[i]),
            "mla_prefill": _r(p("mla_attention")[i]), "fixed_us": _r(d("fixed")[i] * 1e6),
            "hand_over_us": _r(d("hand_over")[i] * 1e6),
            "prefill_launch_us": _r(p("launch")[i] * 1e6),
            "prefill_score": _r(p("score")[i]), "prefill_tile": _r(p("tile")[i]),
            "pipeline": _r(p("pipeline")[i]),
        }  # fmt: skip
    document = {
        "date": today,
        "method": "packaging/fit_speed.py: constants with priors and a Gaussian process over the "
        "errors, fitted together to the logarithm of the time; rows that the others contradict "
        "count less; errors by ten-fold cross-validation split by GPU, model, backend and source, "
        f"over {splits} such splits together. Priors and likeness (packaging/fit_assumed.py) were "
        "chosen knowing these rows, by errors of rows without their groups; the width of ranges "
        "is chosen for each block of folds by the rows of the others. Rows never fitted to "
        "(packaging/bench_held.jsonl) were collected apart; ranges are chosen to hold "
        "with a row's micro-batch and build told and untold; rows read in micro-batches of one "
        "token are computed without the output layer; rows that a rule leaves out "
        "(left_out) count in neither",
        "data": f"{len(decode.fit.train)} decode and {len(prefill.fit.train)} prefill rows of "
        "resources/bench.json; many CUDA rows are of May 2024 and slower than today's builds",
        "classes": classes,
        "backends": backends,
        "groups": {g: _r(v) for g, v in zip(GROUPS, d("groups"), strict=True)},
        "prefill_groups": {t: _r(v) for t, v in zip(TYPE_NAMES, p("types"), strict=True)},
        "memory_prefill": _r(p("memory")[0]),
        "borrowed": [
            {"backend": b, "architecture": a, "like": like, "widen": w}
            for b, a, like, w in BORROWED
        ],
        "host": json.loads(SPEED.read_text(encoding="utf-8"))["host"],  # fit_host.py's
        "calibrated": CALIBRATED,
        "tensor_split": TENSOR_SPLIT,
        "pcie": PCIE,
        "links_on_board": LINKS_ON_BOARD,
        "launches": LAUNCHES,
        "unpacking": {
            **UNPACKING,
            "gbs": {g: _r(v) for g, v in zip(GROUPS, d("unpacking"), strict=True)},
        },
        "quantized_cache": {"slower": _r(max(1.0, d("quantized_kv")[0])), **QUANTIZED_CACHE},
        "watts": {"exponent": _r(p("watts")[0]), **WATTS},
        "unfused_score": {"nbytes": _r(p("unfused")[0]), **UNFUSED_SCORE},
        "without_bf16": WITHOUT_BF16,
        "spill": SPILL,
        "power_modes": POWER_MODES,
        "matrix_rates": [
            {"card": card, "tflops": round(rate, 1), "source": source}
            for card, rate, source in MATRIX_RATES
        ],
        "matrix_shares": [
            {"architecture": architecture, "backend": backend, "share": share, "source": source}
            for architecture, backend, share, source in MATRIX_SHARES
        ],
        "similar_decode": decode.how.model_dump(),
        "similar_prefill": prefill.how.model_dump(),
        "errors_decode": errors["decode"],
        "errors_prefill": errors["prefill"],
    }
    SPEED.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    d_found, p_found = _found(decode), _found(prefill)
    found = [_row(row, d_found, p_found) for row in rows]
    text = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in found)
    source = (
        "public benchmark posts and repositories, each row with its address; errors are the "
        "natural logarithm of measured over computed time (packaging/fit_speed.py)"
    )
    head = f' "date": "{today}",\n "source": {json.dumps(source)},\n "rows": [\n  '
    (RESOURCES / "bench.json").write_text("{\n" + head + text + "\n ]\n}\n", encoding="utf-8")


def _found(fitted: Fitted) -> dict[int, tuple[float, float]]:
    """Error and weight of the rows that were fitted, by id."""
    left = fitted.problem.measured - fitted.fit.computed
    return {
        fitted.problem.rows[i].raw["id"]: (round(float(left[i]), 4), round(float(weight), 4))
        for i, weight in zip(fitted.fit.train, fitted.fit.weight, strict=True)
    }


def _row(
    row: Row, decode: dict[int, tuple[float, float]], prefill: dict[int, tuple[float, float]]
) -> dict[str, Any]:
    raw = row.raw
    d_error, d_weight = decode.get(raw["id"], (None, 1.0))
    p_error, p_weight = prefill.get(raw["id"], (None, 1.0))
    shared = {"ram_gbs": raw["ram_gbs"]} if "ram_gbs" in raw else {}
    return {
        "id": raw["id"], "model": row.model.id, "shape": row.model.shape,
        "file_type": row.model.file_type, "quant": raw["quant"],
        "file_bytes": round(raw["file_gib"] * GIB) if raw["file_gib"] else None,
        "gpu": row.gpu, "n_gpu": raw["gpu_count"], **shared, "backend": row.backend,
        "speed_class": row.speed_class, "experts": bool(row.sums.n_expert), "depth": row.depth,
        "decode_tps": raw["tg_tps"], "prefill_tps": raw["pp_tps"], "n_prompt": row.n_prompt,
        "ubatch": row.ubatch, "flash": row.flash, "date": raw["date"], "url": raw["url"],
        "by": raw["src"],
        "decode_error": d_error, "prefill_error": p_error, "decode_weight": d_weight,
        "prefill_weight": p_weight, "left_out": row.left_out or DOUBTED.get(raw["id"], ""),
    }  # fmt: skip
