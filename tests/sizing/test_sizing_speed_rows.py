"""Benchmark rows asked through `size --batch`, named as their sources print them."""

import json
import re
from pathlib import Path

import pytest

from advisor.cli.request import Sizer
from advisor.hardware.compose import parse_rig
from advisor.llm.catalogue import catalogue
from advisor.llm.filetypes import nearest
from advisor.sizing.bench_rows import BenchRow, bench_data
from tests.sizing.speed_cases import model, speed

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


KINDS = (
    # Model and file type, prompt, measured tok/s of decoding and prompts (bench_added.jsonl).
    ("Jetson AGX Thor", "google/gemma-4-12B-it Q4_K_M", 512, (18.65, 792.0)),
    ("Jetson AGX Orin 64GB", "meta-llama/Llama-3.1-8B-Instruct Q4_K_M", 512, (27.1, 1001.7)),
    ("2x Tesla P100 16GB PCIe", "mistralai/Devstral-Small-2-24B-Instruct-2512 Q8_0", 512, (12.88,)),
    ("Arc A770 16GB", "meta-llama/Llama-3.1-8B-Instruct Q4_K_M", 512, (53.0, 556.6)),
    ("RX 5700 XT", "meta-llama/Llama-2-7b-chat-hf Q4_0", 512, (65.2, 468.1)),
    ("RX 580 8GB", "Qwen/Qwen3.5-4B Q4_K_M", 2130, (47.2, 340.0)),
    ("M1 Max 64GB", "Qwen/Qwen3-30B-A3B Q4_K_M", 512, (51.0, 618.6)),
)


@pytest.mark.parametrize(("rig", "name", "prompt", "measured"), KINDS)
def test_kinds_that_few_have_measured_are_about_as_fast_as_they_were(
    rig: str, name: str, prompt: int, measured: tuple[float, ...]
) -> None:
    """A Thor was said to read prompts six times as fast as it does, an A770 to decode at 1.7
    times its pace; of Polaris and RDNA 1 nothing was known."""
    found = speed(model(*name.split(" ")), parse_rig(rig), n_prompt=prompt)
    for told, range_ in zip(measured, (found.decode_tps, found.prefill_tps), strict=False):
        assert range_ is not None
        assert range_.low / 1.05 <= told <= range_.high * 1.05
