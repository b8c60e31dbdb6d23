"""Short ghosts for disks without sparse files: the pattern kept, the whole extrapolated."""

from unittest.mock import patch

import pytest

from advisor import paths
from advisor.engine.builds import Build
from advisor.errors import ModelError
from advisor.hardware.rig import Host, Rig
from advisor.llm import ghost
from advisor.llm.catalogue import catalogue
from advisor.llm.ghost import has_sparse_files, write_ghost
from advisor.llm.ghost_scaled import scaled
from advisor.probe.calibrate import usable
from advisor.probe.prepare import prepare, probe_of
from advisor.probe.sampler import Sampler
from advisor.probe.scaled_run import ScaledProbe
from advisor.sizing.settings import RunSettings
from tests import tiny

LONG = {**tiny.DENSE, "num_hidden_layers": 12}
HERE = Rig(name="This machine", hosts=(Host(ram_available=8 << 30),))
BUILD = Build(kind="embedded", path="", version="b11549", resident=30 << 20)


def test_a_plain_model_needs_one_layer_and_two():
    parts = scaled(tiny.tiny(LONG))
    assert parts.layers == (1, 2, 12)
    assert {t.name.split(".")[1] for t in parts.small.tensors if t.name.startswith("blk.")} == {"0"}
    assert parts.small.hp.metadata["block_count"] == 1
    # Everything but the layers is in both.
    whole = tiny.tiny(LONG)
    assert parts.whole(parts.small.nbytes, parts.large.nbytes) == pytest.approx(whole.nbytes)


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("Qwen/Qwen3-30B-A3B", (1, 2, 48)),
        ("google/gemma-3-27b-it", (6, 12, 62)),  # five sliding windows, then a full one
        ("Qwen/Qwen3-Next-80B-A3B-Instruct", (4, 8, 48)),  # three linear, then a full one
        ("deepseek-ai/DeepSeek-R1", (4, 5, 61)),  # three dense ones lead
    ],
)
def test_the_pattern_of_the_layers_is_kept(name, layers):
    model = catalogue().find(name).model("Q4_K_M")
    if model.hp.n_layer_nextn:
        with pytest.raises(ModelError, match="cannot be shortened"):
            scaled(model)
        return
    assert scaled(model).layers == layers


def test_too_few_layers_are_not_shortened():
    with pytest.raises(ModelError, match="repeat often enough"):
        scaled(tiny.tiny({**tiny.DENSE, "num_hidden_layers": 3}))


def test_a_disk_is_tried_not_believed(tmp_path):
    assert has_sparse_files(tmp_path)  # the disks that we test on
    with patch("advisor.llm.ghost.disk_bytes", lambda path: path.stat().st_size):
        assert not has_sparse_files(tmp_path)
        with pytest.raises(ModelError, match="no sparse files"):
            write_ghost(tiny.dense(), tmp_path)
        made = write_ghost(scaled(tiny.tiny(LONG)).small, tmp_path, dense=True)
    assert made.path.exists()
    made.remove()
    assert not list(tmp_path.iterdir())


@pytest.mark.engine
def test_two_short_ghosts_stand_for_the_whole(monkeypatch):
    monkeypatch.setattr(ghost, "has_sparse_files", lambda _folder, **_how: False)
    # A busy machine: the sampler's thread has no turn while so short a run measures.
    monkeypatch.setitem(Sampler.__init__.__kwdefaults__, "interval", 600.0)
    model = tiny.tiny(LONG)
    settings = RunSettings(ctx=2048, n_prompt=64)
    ready = prepare(model, HERE, settings, builds=(BUILD,), seconds=2.0, anyway=True)
    (objection,) = ready.objections
    assert objection.overridable
    assert "1 and 2 of 12 layers" in objection.sentence
    events = []
    probe = probe_of(ready, on_event=events.append)
    assert isinstance(probe, ScaledProbe)
    result = probe.run()
    assert result.ending.state == "done", result.ending
    assert result.layers == (1, 2, 12)
    assert result.title == "Tiny qwen3 Q8_0"
    assert result.file_bytes == model.nbytes
    assert result.speeds[0].decode_tps > 0
    assert "1 and 2 of 12 layers" in result.observations[-1].sentence
    assert sum(type(event).__name__ == "Ended" for event in events) == 1
    host = result.place("host")
    assert host.planned > ready.question.plan.host.total
    assert host.peak is not None
    assert not usable(HERE, [result])  # extrapolated: it calibrates nothing
    assert not list((paths.cache() / "ghosts").glob("*.gguf"))


@pytest.mark.engine
def test_stopping_between_the_two_leaves_nothing(monkeypatch):
    monkeypatch.setattr(ghost, "has_sparse_files", lambda _folder, **_how: False)
    ready = prepare(tiny.tiny(LONG), HERE, RunSettings(ctx=512), builds=(BUILD,), anyway=True)
    probe = probe_of(ready)
    probe.stop()
    assert probe.run().ending.state == "stopped"
