"""What runs beside a model: drafting contexts, projectors, and what the server keeps in RAM."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from advisor.answers import accompanied
from advisor.errors import ModelError, SettingsError
from advisor.hardware.compose import parse_rig
from advisor.llm import architectures
from advisor.llm.catalogue import catalogue
from advisor.llm.filetypes import assign
from advisor.llm.gguf_writer import layout
from advisor.llm.tensor import TYPES, Tensor
from advisor.sizing import size
from advisor.sizing.allocation import Allocation, allocate
from advisor.sizing.matrix import matrix
from advisor.sizing.placement import HOST
from advisor.sizing.plan import Plan
from advisor.sizing.settings import RunSettings
from tests.llm.llm_small_configs import SMALL as CONFIGS

LARGE, SMALL = "meta-llama/Llama-3.3-70B-Instruct", "meta-llama/Llama-3.1-8B-Instruct"
MTP = "zai-org/GLM-4.5-Air"
RIG = parse_rig("2x RTX 5090 + 128 GB DDR5-6000")


def allocated(name: str, **given: Any) -> Allocation:
    settings = RunSettings.model_validate(given)
    model = accompanied(catalogue().find(name).model("Q4_K_M"), settings)
    return allocate(model, settings, ["cuda"] * 2, [1 << 42] * 2)


def plan(name: str = SMALL, **given: Any) -> Plan:
    settings = RunSettings.model_validate({"ctx": 8192, **given})
    model = accompanied(catalogue().find(name).model("Q4_K_M"), settings)
    return size(model, RIG, settings)


# Sums of llama.cpp b11434's own breakdowns of both contexts (no_alloc, simulated CUDA devices).
@pytest.mark.parametrize(
    ("layers", "totals"),
    [("all", [30933533184, 30479246848]), (10, [28416751616, 28112104576])],
)
def test_a_draft_model_takes_what_llama_cpp_gives_it(layers: int | str, totals: list[int]) -> None:
    found = allocated(
        LARGE, ctx=32768, model_draft=SMALL, ctkd="q8_0", ctvd="q8_0", n_gpu_layers_draft=layers
    )
    assert [found.device_total(device) for device in (0, 1)] == totals


def test_nextn_layers_draft_from_the_main_models_weights() -> None:
    found = allocated(MTP, ctx=16384, spec_type="draft-mtp", ctkd="q8_0", ctvd="q8_0")
    assert found.weights.devices == (35436466304, 37062537472)
    main, draft = found.compute, found.draft
    assert main is not None
    assert draft is not None
    assert draft.context is not None
    assert draft.compute is not None
    assert (main.devices, main.host) == ((398516224, 356557312), 151068800)
    assert draft.weights.devices == (0, 0)
    assert draft.context.devices == (0, 35651584)
    assert (draft.compute.devices, draft.compute.host) == ((0, 323338752), 101040256)


def test_a_slot_has_logits_for_its_whole_draft() -> None:
    alone, drafting = plan(parallel=2), plan(parallel=2, model_draft=SMALL, spec_draft_n_max=7)
    assert alone.settings.n_outputs is None
    assert drafting.settings.n_outputs == 16
    assert drafting.host.output == alone.host.output
    words = drafting.command
    assert words[words.index("--spec-type") + 1] == "draft-simple"
    assert words[words.index("--spec-draft-n-max") + 1] == "7"
    assert words[words.index("-md") + 1].endswith(".gguf")


def test_a_model_without_nextn_layers_cannot_draft_with_them() -> None:
    with pytest.raises(SettingsError, match="no NextN layers"):
        plan(spec_type="draft-mtp")


@pytest.mark.parametrize("label", ["eagle3", "dflash"])
def test_a_head_drafts_for_another_model_and_never_runs_alone(label: str) -> None:
    hp = architectures.from_config(CONFIGS[label])
    family = architectures.architecture(hp.arch)
    assert family is not None
    main = catalogue().find(SMALL).model("Q4_K_M")
    tensors = assign(hp, family.tensors(hp), "F16")
    head = replace(main, hp=hp, tensors=tensors, memory=family.memory(hp))
    settings = RunSettings(ctx=8192, model_draft="head.gguf")

    found = size(replace(main, draft=head), RIG, settings)

    # Logits of every token of a micro-batch, since such a head may encode (llama-context.cpp).
    assert sum(device.draft or 0 for device in found.devices) > 512 * hp.n_vocab * 4
    assert found.command[found.command.index("--spec-type") + 1] == f"draft-{label}"
    with pytest.raises(SettingsError, match="only drafts for another model"):
        size(head, RIG, RunSettings())


def test_a_draft_model_that_was_not_read_is_said() -> None:
    model = catalogue().find(SMALL).model("Q4_K_M")
    found = size(model, RIG, RunSettings(ctx=8192, spec_type="draft-simple"))
    assert any("was not read" in note for note in found.notes)


@pytest.mark.parametrize("given", [{"model_draft": SMALL}, {"model_draft": SMALL, "mmproj": "x"}])
def test_totals_are_sums_of_what_is_shown(given: dict[str, str], tmp_path: Path) -> None:
    if "mmproj" in given:
        given = {**given, "mmproj": str(projector(tmp_path))}
    found = plan(LARGE, **given)
    for name, place in [("host", found.host), *((d.name, d) for d in found.devices)]:
        terms = found.explanations[f"{name}.total"].terms
        assert sum(int(term.value or 0) for term in terms) == place.total
        assert place.draft
        assert f"{name}.draft" in found.explanations


def test_a_cell_counts_what_runs_beside_the_model() -> None:
    settings = RunSettings(ctx=8192, model_draft=SMALL)
    model = accompanied(catalogue().find(LARGE).model("Q4_K_M"), settings)
    cell = matrix({"Q4_K_M": model}, RIG, settings, (8192,)).cell("Q4_K_M", 8192)
    found = size(model, RIG, settings)
    assert (cell.headroom, cell.verdict) == (found.headroom, found.verdict)
    assert cell.host_total == found.host.total


def projector(folder: Path, architecture: str = "clip") -> Path:
    tensors = [
        Tensor("v.patch_embd.weight", (14, 14, 3, 1152), TYPES["F16"]),
        Tensor("mm.0.weight", (4608, 2000), TYPES["Q8_0"]),
        Tensor("mm.0.bias", (2000,), TYPES["F32"]),
    ]
    made = layout(
        {"general.architecture": architecture, "clip.projector_type": "qwen3vl_merger"}, tensors
    )
    path = folder / "mmproj.gguf"
    path.write_bytes(made.header)
    with path.open("r+b") as file:
        file.truncate(made.total)
    return path


def test_a_projector_lies_on_the_first_device_or_in_ram(tmp_path: Path) -> None:
    path = str(projector(tmp_path))
    plain = 14 * 14 * 3 * 1152 * 2 + 4608 * 2000 // 32 * 34 + 2000 * 4
    there = allocated(SMALL, mmproj=path, main_gpu=1)
    assert there.projector[0] == -(-(plain - 8000) // 128) * 128 + 8064
    assert there.projector[1:] == (0, 0)
    in_ram = allocated(SMALL, mmproj=path, mmproj_offload=False)
    assert in_ram.projector == (0, 0, plain)
    assert in_ram.projector_on(HOST) == plain
    found = plan(mmproj=path, mmproj_offload=False)
    assert found.command[-3:] == ("--mmproj", path, "--no-mmproj-offload")
    assert any("only the weights are counted" in note for note in found.notes)


def test_what_is_no_projector_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not a multimodal projector"):
        plan(mmproj=str(projector(tmp_path, "llama")))
    with pytest.raises(ModelError, match="There is no file"):
        plan(mmproj=str(tmp_path / "missing.gguf"))


def test_the_prompt_cache_is_named_with_its_limit() -> None:
    assert plan().host.prompt_cache == 8 << 30
    off = plan(cache_ram=0)
    assert off.host.prompt_cache == 0
    assert off.host.total == plan().host.total
    assert off.command[-2:] == ("--cache-ram", "0")
    endless = plan(cache_ram=-1)
    assert endless.host.prompt_cache is None
    assert any("no limit" in note for note in endless.notes)


def test_checkpoints_copy_what_cannot_be_rolled_back() -> None:
    assert plan().host.checkpoints == 0
    found = plan("google/gemma-3-27b-it", parallel=2, ctx_checkpoints=4)
    assert found.host.checkpoints == found.kv["swa"].bytes * 4
    assert plan("google/gemma-3-27b-it", swa_full=True).host.checkpoints == 0
    hybrid = plan("Qwen/Qwen3.6-27B", ctx_checkpoints=4)
    assert hybrid.host.checkpoints == 4 * (hybrid.recurrent_state or 0)
    assert hybrid.command[-2:] == ("--ctx-checkpoints", "4")
