"""Where choosing what a fit assumes starts: chosen knowing the rows and splits that judge it."""

from fit_choose import Assumed
from fit_given import KERNELS
from fit_joint import Prior

from advisor.sizing.speed_data import Similar

DEPTH = 1.4
"""Doublings from 4,096 tokens over which likeness in depth falls to 1/e."""
BUILT = 1.0
"""Years between builds over which their likeness falls to 1/e."""

_NONE = dict.fromkeys(("z", "z_deep", "z_experts", "z_experts_deep", "unmeasured"), 1.0) | {
    "centre": 0.0,
    "untold": 0.0,
    "several": 1.0,
}

DECODE = Assumed(
    Similar(
        model=0.0, model_backend=0.006, model_class=0.0, gpu_backend=0.05, gpu_model=0.014,
        gpu_model_backend=0.05, gpu_model_depth=0.024, gpu_model_slope=0.0, class_type=0.05,
        backend_built=0.0, class_built=0.08, class_flash=0.033, depth=DEPTH,
        built=BUILT, noise=0.05, **_NONE,
    ),
    {
        "eta": Prior(0.9, 0.6, 0.3), "tau": Prior(0.8, 0.5), "rho": Prior(1.76, 0.5),
        "attention": Prior(0.18, 0.0, 0.5), "groups": Prior(0.2), "unpacking": Prior(0.4),
        "gather": Prior(0.067), "step": Prior(0.8, 0.3), "quantized_kv": Prior(0.42),
        **{f"start_{name}": Prior(0.35, 0.5) for name in KERNELS},
        "start_scan": Prior(0.4, 0.7), "start_mla": Prior(0.4, 0.7),
        "start_delta": Prior(0.2, 0.5),
        "mla_attention": Prior(0.033), "hand_over": Prior(1.8),
        "fixed": Prior(0.7),
    },
)  # fmt: skip
PREFILL = Assumed(
    Similar(
        model=0.0, model_backend=0.0, model_class=0.0, gpu_backend=0.133, gpu_model=0.047,
        gpu_model_backend=0.0, gpu_model_depth=0.0, gpu_model_slope=0.0, class_type=0.08,
        backend_built=0.0, class_built=0.15, class_flash=0.1, depth=DEPTH,
        built=BUILT, noise=0.09, **_NONE | {"untold": 0.75},
    ),
    {
        "quantized": Prior(0.63), "sixteen": Prior(0.7, 0.5), "experts": Prior(1.5, 0.0, 0.5),
        "attention": Prior(3.0, 0.5), "bend": Prior(1.32), "types": Prior(0.3),
        "bf16": Prior(0.23), "watts": Prior(0.5), "memory": Prior(0.45), "launch": Prior(0.72, 0.8),
        "mla_attention": Prior(0.056), "sharing": Prior(1.0, 0.5), "camping": Prior(1.0),
        "unfused": Prior(0.4), "score": Prior(3.2, 0.3), "pipeline": Prior(0.18),
        "tile": Prior(0.7, 0.5),
    },
)  # fmt: skip
