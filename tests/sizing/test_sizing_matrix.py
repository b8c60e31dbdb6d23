"""A cell says what the plan behind it says."""

import pytest

from advisor.hardware.compose import parse_rig
from advisor.llm.catalogue import catalogue
from advisor.sizing import size
from advisor.sizing.matrix import matrix, settings_of
from advisor.sizing.settings import RunSettings

CONTEXTS = (4096, 32768, 131072)
RIGS = (
    "RTX 4090 + 64 GB DDR5-6000",
    "RTX 3060 12GB + RTX 3090 + 32 GB DDR4-3200",
    "CPU only + 32 GB DDR5-6000",
    "M4 Max 64GB",
)


@pytest.mark.parametrize("rig_text", RIGS)
@pytest.mark.parametrize("name", ["Qwen/Qwen3-30B-A3B", "google/gemma-3-27b-it"])
@pytest.mark.parametrize("n_cpu_moe", [0, 10])
def test_cells_agree_with_plans(rig_text: str, name: str, n_cpu_moe: int) -> None:
    rig, entry = parse_rig(rig_text), catalogue().find(name)
    models = {kind: entry.model(kind) for kind in ("Q4_K_M", "Q8_0", "F16")}
    asked = RunSettings(n_cpu_moe=n_cpu_moe)

    found = matrix(models, rig, asked, CONTEXTS)

    for file_type, model in models.items():
        for ctx in CONTEXTS:
            cell = found.cell(file_type, ctx)
            fixed = size(model, rig, asked.model_copy(update={"ctx": ctx}))
            assert cell.headroom == fixed.headroom
            assert cell.host_total == fixed.host.total
            opened = size(model, rig, settings_of(cell, asked))
            assert opened.verdict == cell.verdict
