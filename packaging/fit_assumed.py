"""Where choosing what a fit assumes starts: chosen knowing the rows and splits that judge it."""

from fit_choose import Assumed
from fit_joint import Prior

from advisor.sizing.speed_data import Similar

DEPTH = 1.4
"""Doublings from 4,096 tokens over which likeness in depth falls to 1/e."""
BUILT = 1.0
"""Years between builds over which their likeness falls to 1/e."""

_NONE = dict.fromkeys(("z", "z_deep", "z_experts", "z_experts_deep", "unmeasured"), 1.0) | {
    "centre": 0.0,
    "several": 1.0,
}

DECODE = Assumed(
    Similar(
        model=0.07, model_backend=0.006, model_class=0.0, gpu_backend=0.0, gpu_model=0.014,
        gpu_model_backend=0.12, gpu_model_depth=0.036, gpu_model_slope=0.0, class_type=0.05,
        backend_built=0.05, class_built=0.06, class_flash=0.05, depth=DEPTH,
        built=BUILT, noise=0.06, **_NONE,
    ),
    {
        "eta": Prior(0.56, 0.6, 0.3), "tau": Prior(0.8, 0.5), "rho": Prior(1.1, 0.5),
        "attention": Prior(1.0, 0.0, 0.5), "groups": Prior(0.13), "gather": Prior(0.067),
        "bf16_experts": Prior(0.75), "quantized_kv": Prior(0.7), "moe": Prior(2.0),
        "recurrent": Prior(0.7, 0.5),
        "mla": Prior(0.6, 0.8), "vector": Prior(0.27), "mla_attention": Prior(0.11),
        "hand_over": Prior(0.7), "fixed": Prior(0.7),
    },
)  # fmt: skip
PREFILL = Assumed(
    Similar(
        model=0.0, model_backend=0.0, model_class=0.0, gpu_backend=0.2, gpu_model=0.07,
        gpu_model_backend=0.0, gpu_model_depth=0.0, gpu_model_slope=0.0, class_type=0.0,
        backend_built=0.0, class_built=0.25, class_flash=0.15, depth=DEPTH,
        built=BUILT, noise=0.09, **_NONE,
    ),
    {
        "quantized": Prior(1.05), "sixteen": Prior(0.7, 0.0, 0.8), "experts": Prior(1.5, 0.0, 0.5),
        "attention": Prior(3.0, 0.3, 0.5), "bend": Prior(2.2), "types": Prior(0.3),
        "bf16": Prior(0.23), "memory": Prior(0.45), "launch": Prior(1.2, 0.8),
        "mla_attention": Prior(0.056), "sharing": Prior(0.3, 0.5), "score": Prior(2.0, 0.3),
        "pipeline": Prior(1.0), "tile": Prior(0.7, 0.5),
    },
)  # fmt: skip
