"""Benchmark rows asked through `size --batch`, named as their sources print them."""

import json
import re
from pathlib import Path

import pytest

from advisor.cli.request import Sizer
from advisor.llm.catalogue import catalogue
from advisor.llm.filetypes import nearest
from advisor.sizing.bench_rows import BenchRow, bench_data

PACKAGING = Path(__file__).parents[2] / "packaging"


@pytest.fixture(scope="module")
def sizer() -> Sizer:
    return Sizer()


def request(row: BenchRow) -> dict[str, object]:
    return {
        "id": row.id,
        "model": row.model,
        "file_type": row.quant,
        "file_bytes": row.file_bytes,
        "rig": {
            "gpus": [{"name": row.gpu, "count": row.n_gpu}],
            "ram_gib": 64,
            **({"ram_bandwidth_gbs": row.ram_gbs} if row.ram_gbs else {}),
        },
        "backend": row.backend.upper(),
        "ctx": row.depth + 4096,
        "depth": row.depth,
        "n_prompt": row.n_prompt or 512,
        "ubatch_size": row.ubatch,
    }


def test_no_shipped_row_is_lost_on_the_way(sizer: Sizer) -> None:
    known = {entry.id.lower() for entry in catalogue().entries}
    known |= {alias.lower() for entry in catalogue().entries for alias in entry.aliases}
    # One row of each model and file type as printed, and of each rig, with a prefill rate if any.
    seen: set[tuple[object, ...]] = set()
    for row in sorted(bench_data().rows, key=lambda row: row.prefill_error is None):
        news = {(row.model, row.quant), (row.gpu, row.backend, row.n_gpu)} - seen
        if not news or row.left_out:
            continue
        seen |= news
        if row.model.lower() not in known:
            assert row.model == "rednote-hilab/dots.llm1.inst"
            continue
        answer = sizer.answer(request(row))
        assert "error" not in answer, (row.id, answer)
        assert answer["decode_tps"] is not None, (row.id, answer["notes"])
        if row.prefill_error is not None:
            assert answer["prefill_tps"] is not None, (row.id, answer["notes"])


FILE_NAME = re.compile(r"-(ud-)?i?q\d_\w+$|heretic|qwopus")
"""Server runs print the name of a file instead of a model's."""


def test_names_of_rows_lead_to_the_model_that_was_fitted() -> None:
    names = json.loads((PACKAGING / "bench_models.json").read_text(encoding="utf-8"))
    for label, name in names["labels"].items():
        if name not in names["configs"] and not FILE_NAME.search(label):
            found, fitted = catalogue().find(label), catalogue().find(name)
            assert found.model("Q4_K_M").shape == fitted.model("Q4_K_M").shape


@pytest.mark.parametrize(
    ("printed", "base"),
    [
        ("UD-Q4_K_XL", "Q4_K_M"),
        ("Q8_K_XL", "Q8_0"),
        ("ud-q6_k_xl", "Q6_K"),
        ("UD-Q2_K_XL", "Q2_K"),
        ("UD-IQ1_S", "IQ1_S"),
        ("IQ2_XXS-XL", "IQ2_XXS"),
        ("Q3_K_S", "Q3_K_S"),
        ("MXFP4", "MXFP4_MOE"),
    ],
)
def test_a_publishers_mix_is_read_as_the_type_it_is_named_after(printed: str, base: str) -> None:
    assert nearest(printed).name == base


def test_a_mix_is_said_and_nonsense_is_refused(sizer: Sizer) -> None:
    asked = {"model": "llama3-8b", "rig": "RTX 4090", "ctx": 4096, "file_type": "UD-Q4_K_XL"}
    assert any("publisher's own mix" in note for note in sizer.answer(asked)["notes"])
    plain = sizer.answer(asked | {"file_type": "Q4_K_M"})
    assert not any("publisher's own mix" in note for note in plain["notes"])
    assert "not a file type" in sizer.answer(asked | {"file_type": "Q99_Z"})["error"]
