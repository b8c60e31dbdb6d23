"""Headers whose keys contradict their tensors are answered at once, never with a crash."""

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.cli.request import Sizer
from advisor.llm import architectures
from advisor.llm.filetypes import assign
from advisor.llm.gguf_writer import layout
from tests.llm.llm_small_configs import SMALL

NONSENSE: list[Any] = [
    0, 1, 7, -1, 255, 10**6, 1 << 31, (1 << 32) - 1, 0.5, True, "x", (), (0,) * 64, (1,) * 64,
]  # fmt: skip
RIGS = ["64 GB DDR5-6000", "RTX 4090 + 64 GB DDR5-6000", "2x RTX 4090 + 64 GB DDR5-6000"]


def answer(folder: Path, label: str, changes: dict[str, Any], rig: str) -> dict[str, Any]:
    hp = architectures.from_config(SMALL[label])
    family = architectures.architecture(hp.arch)
    assert family is not None
    keys = {f"{hp.arch}.{key}": value for key, value in {**hp.metadata, **changes}.items()}
    plan = layout({"general.architecture": hp.arch, **keys}, assign(hp, family.tensors(hp), "Q8_0"))
    file = folder / "hostile.gguf"
    with file.open("wb") as written:
        written.write(plan.header)
        written.truncate(plan.total)
    asked = {"model": str(file), "rig": rig, "ctx": 4096, "ctk": "q8_0", "n_gpu_layers": 2}
    return Sizer().answer(asked)


@pytest.mark.parametrize(
    ("label", "changes"),
    [
        ("llama", {"embedding_length": 1}),
        ("ernie4_5", {"attention.key_length": 0}),
        ("nemotron_h", {"attention.head_count_kv": (0,) * 64}),
        ("phimoe", {"attention.head_count_kv": 0}),
        ("glm5-next", {"attention.indexer.kpool": 0}),
    ],
)
def test_contradictions_leave_figures_unknown_or_are_refused(
    tmp_path: Path, label: str, changes: dict[str, Any]
) -> None:
    found = answer(tmp_path, label, changes, RIGS[1])
    assert "error" in found or found["file_bytes"] > 0


def test_more_experts_than_there_are_is_refused(tmp_path: Path) -> None:
    found = answer(tmp_path, "qwen3moe", {"expert_used_count": 10**6}, RIGS[1])
    assert "experts" in found["error"]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_any_value_of_any_key_is_answered(tmp_path: Path, data: st.DataObject) -> None:
    label = data.draw(st.sampled_from(sorted(SMALL)))
    keys = sorted(architectures.from_config(SMALL[label]).metadata)
    changes = data.draw(
        st.dictionaries(st.sampled_from(keys), st.sampled_from(NONSENSE), min_size=1, max_size=2)
    )
    found = answer(tmp_path, label, changes, data.draw(st.sampled_from(RIGS)))
    assert "error" in found or found["file_bytes"] > 0


def test_blocks_that_all_differ_are_not_built_one_by_one_for_seconds(tmp_path: Path) -> None:
    hp = architectures.from_config({**SMALL["llama"], "num_hidden_layers": 512})
    family = architectures.architecture(hp.arch)
    assert family is not None
    kinds = random.Random(0)
    keys = {f"{hp.arch}.{key}": value for key, value in hp.metadata.items()}
    keys[f"{hp.arch}.attention.head_count_kv"] = [kinds.choice((1, 2)) for _ in range(512)]
    metadata = {"general.architecture": hp.arch, **keys}
    hp = family.from_gguf(metadata, [(name, ()) for name, _ in family.tensors(hp)])
    tensors = assign(hp, family.tensors(hp), "Q8_0")
    plan = layout(metadata, tensors)
    file = tmp_path / "deep.gguf"
    with file.open("wb") as written:
        written.write(plan.header)
        written.truncate(plan.total)
    found = Sizer().answer({"model": str(file), "rig": RIGS[1], "ctx": 4096})
    assert found["devices"][0]["context"] > 0
    assert found["devices"][0]["compute"] is None
    assert found["fits"] is None
