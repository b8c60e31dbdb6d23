"""The embedded llama.cpp's own accounting against our plan, for models that need no file."""

import sys
import threading
from pathlib import Path

import psutil
import pytest

from advisor import paths
from advisor.engine.builds import Build
from advisor.engine.dry_run import dry_run
from advisor.engine.log import BreakdownRow
from advisor.engine.told import embedded_version, told
from advisor.errors import EngineError, SettingsError
from advisor.hardware.rig import Host, Rig
from advisor.llm.catalogue import catalogue
from advisor.llm.ghost import write_ghost
from advisor.sizing import size
from advisor.sizing.build_rules import version_of
from advisor.sizing.settings import RunSettings
from tests import tiny

pytestmark = pytest.mark.engine

RIG = Rig(name="host", hosts=(Host(ram_available=8 << 30),))
MIB = 1 << 20
OPTIONS = ("--fit", "--spec-type", "--host", "--port", "--flash-attn=on")
DATA = Path(__file__).parents[1] / "data" / "engine"


@pytest.mark.parametrize("model", [tiny.dense(), tiny.moe()], ids=["dense", "moe"])
@pytest.mark.parametrize("file_settings", [{"ctx": 4096}, {"ctx": 8192, "ctk": "q8_0"}])
def test_plan_and_llama_cpp_agree(model, file_settings):
    settings = RunSettings(**file_settings)
    plan = size(model, RIG, settings)
    run = dry_run(model, settings)
    # The breakdown is in whole MiB.
    assert 0 <= plan.host.weights - run.host_model < MIB
    assert 0 <= plan.host.context - run.host.context < MIB
    assert sum(cache.size for cache in run.caches) == pytest.approx(plan.host.context, abs=16_384)
    assert run.output["CPU"] == pytest.approx(plan.host.output, abs=16_384)
    assert run.compute["CPU"] == pytest.approx(plan.host.compute, abs=16_384)
    assert not run.devices


@pytest.mark.parametrize("name", ["BAAI/bge-small-en-v1.5", "Qwen/Qwen3-Embedding-0.6B"])
def test_what_makes_vectors_is_asked_for_vectors(name):
    model = catalogue().find(name).model("Q8_0")
    plan = size(model, RIG, RunSettings(ctx=4096, parallel=2))
    run = dry_run(model, plan.settings)
    assert run.compute["CPU"] == pytest.approx(plan.host.compute, abs=16_384)
    vocabulary, vector = model.hp.n_vocab, model.hp.n_embd
    assert run.output["CPU"] == pytest.approx(2 * 4 * (vocabulary + vector), abs=16_384)


@pytest.mark.parametrize(
    ("name", "file_settings", "moves"),
    [
        ("Qwen/Qwen3-VL-2B-Instruct", {}, True),
        ("google/gemma-4-E2B-it", {"flash_attn": "off"}, True),
        ("Qwen/Qwen3.8-Flash-Next", {}, True),
        ("zai-org/GLM-5.3-Flash", {"ubatch_size": 8, "ctx": 16384}, True),
        # With NextN layers; on the processor alone nothing moves.
        ("XiaomiMiMo/MiMo-V2-Flash", {"flash_attn": "off"}, False),
    ],
)
def test_a_plan_follows_the_build_that_will_run_it(name, file_settings, moves):
    """As the window asks: with the embedded engine's build told, whose dry run this is."""
    model = catalogue().find(name).model("Q4_K_M")
    settings = told(RunSettings(**{"ctx": 4096, **file_settings}), RIG)
    assert settings.built == embedded_version()
    run = dry_run(model, settings)
    plan = size(model, RIG, settings)
    assert plan.llama_cpp == version_of(embedded_version())
    assert run.compute["CPU"] == pytest.approx(plan.host.compute, abs=16_384)
    before = size(model, RIG, settings.model_copy(update={"built": ""}))
    assert (abs(before.host.compute - run.compute["CPU"]) > 16_384) == moves


def test_nothing_is_left_behind():
    dry_run(tiny.dense(), RunSettings(ctx=512))
    assert not list((paths.cache() / "ghosts").iterdir())
    assert not psutil.Process().children(recursive=True)


def test_repacked_weights_count_as_weights():
    model = tiny.dense("Q4_0")
    run = dry_run(model, RunSettings(ctx=512))
    assert [row.name for row in run.extra] == ["CPU_REPACK"]
    assert run.host_model == pytest.approx(model.nbytes, abs=2 * MIB)
    plain = dry_run(model, RunSettings(ctx=512, repack=False))
    assert not plain.extra


def test_a_file_can_be_asked(tmp_path):
    ghost = write_ghost(tiny.moe(), tmp_path)
    assert dry_run(ghost.path, RunSettings(ctx=512)).host.model > 50 * MIB


def test_refused_settings():
    with pytest.raises(SettingsError, match="flash_attn"):
        dry_run(tiny.dense(), RunSettings(ctx=512, ctv="q8_0", flash_attn="off"))


def test_unresolved_settings():
    with pytest.raises(SettingsError, match="fit"):
        dry_run(tiny.dense(), RunSettings(n_gpu_layers="fit"))


def test_no_gguf(tmp_path):
    path = tmp_path / "text.gguf"
    path.write_text("not a model")
    with pytest.raises(EngineError, match=r"cannot read text\.gguf"):
        dry_run(path, RunSettings(ctx=512))


def test_a_missing_file():
    with pytest.raises(EngineError, match="cannot read"):
        dry_run(Path("/nonexistent/model.gguf"), RunSettings(ctx=512))


def test_cancelling():
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(EngineError, match="cancelled"):
        dry_run(tiny.dense(), RunSettings(ctx=512), cancel=cancel)


def test_giving_up():
    with pytest.raises(EngineError, match="did not report"):
        dry_run(tiny.dense(), RunSettings(ctx=512), timeout=0.0)


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")
def test_an_mtp_context_shares_the_models_weights(tmp_path):
    """b11434's accounting of GLM 4.5 Air with its MTP layer: the second table repeats the model."""
    program, log = tmp_path / "llama-server", DATA / "b11434-mtp.log"
    program.write_text(f"#!/bin/sh\ncat {log}\nsleep 60\n")
    program.chmod(0o755)
    build = Build(kind="program", path=str(program), version="b11434", options=OPTIONS)
    settings = RunSettings(ctx=4096, load_mtp=True, spec_type="draft-mtp", n_gpu_layers=0)
    run = dry_run(tiny.dense(), settings, build=build)
    assert run.host_model == (29659 + 39813) * MIB
    assert run.draft == (BreakdownRow("Host", 0, 16 * MIB, 150 * MIB),)
    assert not run.untold


def test_what_the_embedded_engine_does_not_tell():
    """It ends before it makes an MTP context, whatever the model."""
    settings = RunSettings(ctx=512, load_mtp=True, spec_type="draft-mtp")
    run = dry_run(tiny.dense(), settings)
    assert (run.draft, run.untold) == ((), ("draft",))
