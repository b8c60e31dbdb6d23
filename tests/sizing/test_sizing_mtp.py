"""Draft heads of models with sliding windows: bytes that llama.cpp allocates for their context.

Recorded from llama.cpp b11434 over a simulated CUDA runtime (compute capability 8.9, no_alloc).
"""

from dataclasses import dataclass, replace

import pytest

from advisor.errors import SettingsError
from advisor.llm.catalogue import CatalogueEntry, catalogue
from advisor.llm.model import Model
from advisor.llm.tensor import Tensor
from advisor.sizing.allocation import allocate
from advisor.sizing.refusals import check
from advisor.sizing.settings import RunSettings

STEP, MIMO = "stepfun-ai/Step-3.7-Flash", "XiaomiMiMo/MiMo-V2-Flash"


def with_nextn(name: str, **config: object) -> Model:
    """The model as a file holds it that was converted with its NextN blocks."""
    entry = next(e for e in catalogue().entries if e.id == name)
    config = {**(entry.config or {}), "keep_nextn": True, **config}
    # Made anew: a copy would keep what the entry has already derived from its own config.
    fresh = CatalogueEntry.model_validate({**entry.model_dump(exclude_none=True), "config": config})
    return fresh.model("Q4_K_M")


def fused(model: Model) -> Model:
    """Q, K and V in one matrix, which mimo2.cpp wants of a NextN block."""
    shapes = {tensor.name: tensor.shape for tensor in model.tensors}
    made: list[Tensor] = []
    for tensor in model.tensors:
        stem = tensor.name.rpartition("attn_q.weight")[0]
        if stem:
            rows = sum(shapes[f"{stem}attn_{which}.weight"][1] for which in "qkv")
            made.append(Tensor(f"{stem}attn_qkv.weight", (tensor.shape[0], rows), tensor.type))
        elif not tensor.name.endswith(("attn_k.weight", "attn_v.weight")):
            made.append(tensor)
    return replace(model, tensors=tuple(made))


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    mimo = fused(with_nextn(MIMO, num_nextn_predict_layers=3))
    return {STEP: with_nextn(STEP), MIMO: mimo}


@dataclass(frozen=True)
class Case:
    """Settings, and bytes per device; ``host`` is the compute buffer there."""

    name: str
    ctx: int
    parallel: int
    ubatch: int
    weights: tuple[int, ...]
    context: tuple[int, ...]
    compute: tuple[int, ...]
    host: int


CASES = (
    Case(STEP, 4096, 1, 512, (120127562240,), (50331648,), (90189952,), 12595232),
    Case(STEP, 32768, 4, 512, (120127562240,), (402653184,), (102772864,), 16789536),
    Case(STEP, 8192, 1, 1024, (120127562240,), (100663296,), (205545600,), 33579040),
    Case(STEP, 8192, 1, 512, (61560591360, 58566971136), (0, 100663296), (0, 153141760), 67158144),
    Case(MIMO, 4096, 1, 512, (185920153088,), (11796480,), (118237312,), 17575968),
    Case(MIMO, 32768, 4, 512, (185920153088,), (47185920,), (118237312,), 17575968),
    Case(MIMO, 8192, 1, 1024, (185920153088,), (19660800,), (237523072,), 36200480),
    Case(MIMO, 8192, 1, 512, (98288826624, 87631326464), (0, 11796480), (0, 204513792), 45138048),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}-{case.ctx}-{case.ubatch}")
def test_a_draft_head_takes_what_llama_cpp_allocates(models: dict[str, Model], case: Case) -> None:
    asked = RunSettings(
        ctx=case.ctx, parallel=case.parallel, ubatch_size=case.ubatch, ctx_type="mtp",
        load_mtp=True, n_gpu_layers="all", n_cpu_moe=0,
    )  # fmt: skip
    n = len(case.weights)

    found = allocate(models[case.name], asked, ("cuda",) * n, (400 << 30,) * n)

    assert found.weights.devices == case.weights
    assert found.context is not None
    assert found.compute is not None
    assert found.context.devices == case.context
    assert found.compute.devices == case.compute
    assert found.compute.host == case.host


def test_a_draft_head_that_ends_llama_cpp_is_refused() -> None:
    settings = RunSettings(ctx=4096, spec_type="draft-mtp")
    apart = with_nextn(MIMO, num_nextn_predict_layers=3)
    with pytest.raises(SettingsError, match="apart"):
        check(apart, settings)
    check(fused(apart), settings)
