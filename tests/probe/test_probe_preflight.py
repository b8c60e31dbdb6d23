"""Before a run: what would freeze the machine is named, and a build runs on what it can use."""

import pytest

from advisor import answers
from advisor.engine.builds import Build
from advisor.engine.told import embedded_version, told
from advisor.hardware.rig import Device, Host, Rig
from advisor.llm.catalogue import catalogue
from advisor.probe.preflight import nothing_to_time, preflight
from advisor.probe.prepare import prepare, usable_rig
from advisor.sizing import size
from advisor.sizing.settings import RunSettings
from tests import tiny


def test_preflight_counts_ram():
    rig = Rig(name="r", hosts=(Host(ram_available=4 << 30),))
    plan = size(tiny.moe(), rig, RunSettings(ctx=1024))
    assert not preflight(tiny.moe(), rig, plan, available=4 << 30)
    (objection,) = preflight(tiny.moe(), rig, plan, available=1 << 30)
    assert objection.overridable
    assert "1.0 GiB can be had" in objection.sentence


def test_a_device_too_small_is_named():
    device = Device(name="GT 1030", backend="cuda", memory_total=32 << 20, memory_used=0)
    rig = Rig(name="r", devices=(device,), hosts=(Host(ram_available=4 << 30),))
    plan = size(tiny.moe(), rig, RunSettings(ctx=8192))
    sentences = " ".join(o.sentence for o in preflight(tiny.moe(), rig, plan, available=4 << 30))
    assert "GT 1030 (CUDA0)" in sentences
    assert "too few" in sentences


def test_a_build_without_the_backend_runs_on_the_cpu():
    rig = Rig(name="r", devices=(Device(name="RTX 4090", backend="cuda"),))
    inside = Build(kind="embedded", path="", version="b1")
    assert not usable_rig(rig, inside).devices
    cuda = inside.model_copy(update={"backends": ("cuda", "cpu")})
    assert usable_rig(rig, cuda) == rig
    imagined = rig.model_copy(update={"imagined": True})
    assert usable_rig(imagined, inside) == imagined


@pytest.mark.parametrize("imagined", [True, False])
def test_a_probe_predicts_what_the_fit_page_says(imagined: bool):
    card = Device(name="a card", backend="cuda", memory_total=8 << 30, memory_used=0)
    host = Host(ram_total=64 << 30, ram_available=64 << 30)
    rig = Rig(name="r", devices=(card,), hosts=(host,), imagined=imagined)
    settings = RunSettings(ctx=8192)
    model = tiny.moe()
    whole = size(model, rig, settings).devices[0].total
    assert whole is not None
    card = card.model_copy(update={"memory_total": whole - (1 << 20)})
    rig = rig.model_copy(update={"devices": (card,)})
    assert size(model, rig, settings).verdict == "no"  # else nothing has to go to RAM
    cuda = Build(kind="program", path="/llama-server", version="b9870", backends=("cuda", "cpu"))
    ready = prepare(model, rig, settings, builds=(cuda,))
    read = rig if imagined else rig.model_copy(update={"llama_cpp": cuda.version})
    expected = answers.plan_of(model, rig, told(settings, read))
    assert expected.verdict == "offload"
    assert ready.question.plan is not None
    assert ready.question.plan.devices == expected.devices
    assert ready.question.settings == expected.settings
    assert ready.question.settings.built == (embedded_version() if imagined else "b9870")


@pytest.mark.parametrize("allowed", [None, 3])
def test_a_probe_begins_no_more_threads_than_it_may_use(allowed: int | None):
    host = Host(ram_available=8 << 30, limited_to=allowed)
    ready = prepare(tiny.moe(), Rig(name="r", hosts=(host,)), RunSettings(ctx=512))
    assert ready.question.threads == allowed


def test_what_writes_nothing_is_not_started():
    entry = catalogue().find("BAAI/bge-small-en-v1.5")
    ready = prepare(entry.model("F16"), Rig(name="r", hosts=(Host(),)), RunSettings(ctx=512))
    (objection,) = ready.objections
    assert not objection.overridable
    assert "writes no answers token by token with BGE Small" in objection.sentence
    vectors = catalogue().find("Qwen/Qwen3-Embedding-0.6B").model("Q8_0")
    assert nothing_to_time(vectors) is None
