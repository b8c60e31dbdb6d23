"""Which weights of a ghost are filled: those in RAM of a type whose zeros are denormal numbers."""

import json
from dataclasses import replace

import psutil
import pytest
from probe_cases import result

from advisor.engine.builds import Build
from advisor.hardware.rig import Device, Host, Rig
from advisor.llm.model import Model
from advisor.llm.tensor import TYPES, Tensor
from advisor.probe import slow_zeros, store
from advisor.probe.calibrate import learn, teaches, why_untaught
from advisor.probe.preflight import Objection
from advisor.probe.question import Question
from advisor.probe.result import Observation, ProbeResult
from advisor.sizing import size
from advisor.sizing.settings import RunSettings
from tests import tiny

CARD = Device(name="RTX 4090", vendor="NVIDIA", backend="cuda", memory_total=24 << 30)
BUILD = Build(kind="embedded", path="", version="b11549")
N_LAYER = tiny.MOE["num_hidden_layers"]


def in_mxfp4() -> Model:
    model = tiny.moe()
    experts = tuple(
        replace(t, type=TYPES["MXFP4"]) if "_exps." in t.name else t for t in model.tensors
    )
    return replace(model, tensors=experts)


def question(model: Model, *devices: Device, **settings) -> Question:
    ram = psutil.virtual_memory().total
    rig = Rig(name="r", hosts=(Host(ram_total=ram, ram_available=ram),), devices=devices)
    plan = size(model, rig, RunSettings(ctx=1024, **settings))
    return Question(model=model, rig=rig, settings=plan.settings, plan=plan, build=BUILD)


def to_fill(model: Model, *devices: Device, **settings) -> tuple[Tensor, ...]:
    asked = question(model, *devices, **settings)
    return slow_zeros.to_fill(model, asked.rig, asked.settings)


def filling(model: Model, *devices: Device) -> tuple[Objection, ...]:
    asked = question(model, *devices)
    return slow_zeros.filling(asked.model, asked.rig, asked.settings)


@pytest.mark.parametrize(
    ("devices", "settings", "layers"),
    [
        ((), {}, range(N_LAYER)),
        ((CARD,), {}, ()),
        ((CARD,), {"n_cpu_moe": "all"}, range(N_LAYER)),
        ((CARD,), {"n_cpu_moe": 1}, (0,)),
        ((CARD,), {"n_gpu_layers": 1}, range(N_LAYER)),
        ((CARD, CARD), {"override_tensor": r"blk\.2\.ffn_up_exps=CPU"}, (2,)),
    ],
)
def test_what_the_processor_multiplies_with_is_filled(devices, settings, layers):
    model = in_mxfp4()
    found = to_fill(model, *devices, **settings)
    names = {t.name for t in found}
    assert {int(name.split(".")[1]) for name in names} == set(layers)
    assert all("_exps." in name for name in names)


def test_other_types_stay_empty():
    model = tiny.moe("Q4_K_M")
    assert not to_fill(model)


def test_a_file_needs_no_numbers(tmp_path):
    model = replace(in_mxfp4(), path=tmp_path / "model.gguf")
    assert not to_fill(model)


def test_much_disk_is_said_before(monkeypatch):
    model = in_mxfp4()
    assert not filling(model)
    monkeypatch.setattr(slow_zeros, "MUCH", 1 << 20)
    (objection,) = filling(model)
    assert objection.overridable
    assert not filling(model, CARD)


def test_a_probe_of_slow_zeros_calibrates_nothing():
    noticed = Observation(kind="slow-zeros", at_ms=0, sentence=slow_zeros.EMPTY)
    assert teaches(result())
    spoilt = result(observations=(noticed,))
    assert not teaches(spoilt)
    assert "no room" in why_untaught(spoilt)


def kept_before(monkeypatch, tmp_path, **changes) -> ProbeResult:
    """A result in the app's folder as versions wrote it that did not know of slow zeros."""
    monkeypatch.setattr(store, "folder", lambda: tmp_path)
    before = {"model_id": "openai/gpt-oss-20b", "file_type": "MXFP4_MOE"}
    made = result(**{**before, **changes})
    path = store.save(made)
    document = json.loads(path.read_text())
    del document["result"]["minds_zeros"]
    path.write_text(json.dumps(document))
    return store.load(made.id)


def test_a_kept_probe_that_ran_on_slow_zeros_calibrates_nothing_and_says_why(monkeypatch, tmp_path):
    kept = kept_before(monkeypatch, tmp_path)

    assert slow_zeros.held_zeros(kept)
    assert not teaches(kept)
    assert learn(kept.rig, [kept]) is None
    assert "earlier version" in why_untaught(kept)


@pytest.mark.parametrize(
    "changes",
    [
        {"rig": Rig(name="r", hosts=(Host(cpu="EPYC"),), devices=(CARD,))},
        {"model_id": "Qwen/Qwen3-8B", "file_type": "Q4_K_M"},
        {"ghost": False},
        {"model_id": "nobody/knows-it"},
    ],
)
def test_other_kept_probes_count_as_before(monkeypatch, tmp_path, changes):
    kept = kept_before(monkeypatch, tmp_path, **changes)

    assert teaches(kept)
    assert not why_untaught(kept)


def test_a_probe_of_today_minds_zeros():
    assert teaches(result(model_id="openai/gpt-oss-20b", file_type="MXFP4_MOE", minds_zeros=True))
