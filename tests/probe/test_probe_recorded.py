"""Probes that ran elsewhere, kept by tests/gpu/record.py: what llama.cpp's logs said of them."""

from pathlib import Path

import pytest

from advisor.answers import load_model
from advisor.engine import bench
from advisor.probe.result import ProbeResult
from advisor.session import ModelChoice
from advisor.sizing import size

MIB = 1 << 20
FOLDER = Path(__file__).parents[1] / "data" / "probes"
RESULTS = sorted(FOLDER.glob("*.json"))
BY_LOG = {"weights", "context", "compute", "output"}


@pytest.mark.parametrize("path", RESULTS, ids=[path.stem for path in RESULTS])
def test_todays_plan_holds_against_a_recorded_run(path):
    """The plan of the same run, made anew, against what llama.cpp's log said it allocated."""
    result = ProbeResult.model_validate_json(path.read_bytes())
    assert result.ending.state == "done"
    assert result.speeds
    rate = result.trace.rate_hz
    assert rate is not None
    assert rate >= 20
    model = load_model(ModelChoice(model=result.model_id, file_type=result.file_type))
    settings = result.settings
    if result.method == "llama-bench":
        settings = bench.planned_settings(settings)
    plan = size(model, result.rig, settings)
    planned = {"host": plan.host, **{device.name: device for device in plan.devices}}
    compared = 0
    for place in result.places:
        for part in place.components:
            if part.engine is None or part.name not in BY_LOG:
                continue
            ours = getattr(planned[place.name], part.name)
            assert ours == pytest.approx(part.engine, rel=0.01, abs=4 * MIB), (place, part)
            compared += 1
    assert compared >= 3
