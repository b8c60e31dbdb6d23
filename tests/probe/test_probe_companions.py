"""Runs with a draft model and a projector: the real embedded engine against the plan."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from advisor import paths
from advisor.engine.builds import Build
from advisor.engine.dry_run import dry_run
from advisor.engine.log import BufferSize, LoadingDraft, ProjectorOn, WarmingUp
from advisor.errors import ModelError
from advisor.hardware.rig import Host, Rig
from advisor.llm.companions import with_companions
from advisor.llm.model import Model
from advisor.probe.buffers import Buffers
from advisor.probe.prepare import prepare
from advisor.probe.question import Question
from advisor.probe.run import Probe
from advisor.sizing import size
from advisor.sizing.settings import RunSettings
from advisor.ui.checks import figures
from tests import tiny

MIB = 1 << 20
RIG = Rig(name="This machine", hosts=(Host(ram_available=8 << 30),))
BUILD = Build(kind="embedded", path="", version="b11549")
LARGE = {**tiny.DENSE, "num_hidden_layers": 6}


@pytest.fixture
def model(tmp_path: Path) -> Model:
    projector = tiny.projector(tmp_path)
    return replace(
        with_companions(tiny.tiny(LARGE), draft="", mmproj=str(projector)), draft=tiny.dense()
    )


def settings_for(model: Model, **more: Any) -> RunSettings:
    assert model.projector is not None
    return RunSettings(
        ctx=2048, n_prompt=64, model_draft="tiny", mmproj=str(model.projector.path), **more
    )


@pytest.mark.engine
def test_a_probe_holds_all_three_against_the_plan(model: Model):
    plan = size(model, RIG, settings_for(model, ctkd="q8_0", ctvd="q8_0"))
    assert plan.settings.spec_type == "draft-simple"
    result = Probe(Question(model, RIG, plan.settings, plan, BUILD, seconds=0.5)).run()
    assert result.ending.state == "done", result.ending
    host = result.place("host")
    assert host is not None
    parts = {part.name: part for part in host.components}
    for name in ("weights", "context", "compute", "draft"):
        assert parts[name].planned, name
        assert parts[name].engine == pytest.approx(parts[name].planned, abs=65_536), name
    projector = parts["projector"]
    assert projector.planned
    assert projector.engine == pytest.approx(projector.planned, abs=65_536)
    assert not list((paths.cache() / "ghosts").iterdir())


@pytest.mark.engine
def test_a_dry_run_accounts_for_the_draft(model: Model):
    plan = size(model, RIG, settings_for(model))
    run = dry_run(model, plan.settings)
    (row,) = run.draft
    assert row.model + row.context + row.compute == pytest.approx(plan.host.draft, abs=3 * MIB)
    assert run.projector is not None
    assert not run.untold
    pairs = figures(plan, run)["host"]
    assert pairs["draft"].agrees
    assert not list((paths.cache() / "ghosts").iterdir())


def test_buffers_belong_to_the_model_that_is_being_loaded():
    buffers = Buffers()
    for event in (
        BufferSize("model", "CUDA0", 900),
        BufferSize("compute", "CUDA0", 50),
        BufferSize("compute", "CUDA0", 60),
        WarmingUp(),
        LoadingDraft(),
        BufferSize("model", "CUDA0", 100),
        BufferSize("context", "CUDA0", 30),
        BufferSize("compute", "CUDA0", 5),
        BufferSize("compute", "CUDA0", 7),
        BufferSize("output", "CUDA_Host", 1),
        ProjectorOn("CUDA0"),
        BufferSize("projector", "", 400),
        BufferSize("projector", "CUDA0", 20),
        BufferSize("projector", "CUDA0", 25),
        BufferSize("projector", "CPU", 2),
    ):
        buffers.take(event)
    assert buffers.by_place(["CUDA0"]) == {
        "CUDA0": {"weights": 900, "compute": 60, "draft": 137, "projector": 425},
        "host": {"draft": 1, "projector": 2},
    }
    assert buffers.pinned == 1


@pytest.mark.engine
def test_a_projector_without_a_file_stays_untold(model: Model):
    own = "Qwen/Qwen3-VL-2B-Instruct"
    alone = replace(with_companions(tiny.tiny(LARGE), draft="", mmproj=own), draft=None)
    plan = size(alone, RIG, RunSettings(ctx=2048, mmproj=own))
    assert plan.host.projector
    run = dry_run(alone, plan.settings)
    assert run.untold == ("projector",)
    assert "projector" not in figures(plan, run)["host"]


def test_a_probe_asks_for_the_projectors_file():
    own = "Qwen/Qwen3-VL-2B-Instruct"
    with pytest.raises(ModelError, match="Name its mmproj GGUF file"):
        prepare(tiny.tiny(LARGE), RIG, RunSettings(ctx=2048, mmproj=own), builds=(BUILD,))
