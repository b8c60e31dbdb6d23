"""Probes that ran elsewhere, kept by tests/gpu/record.py: what llama.cpp's logs said of them."""

from pathlib import Path

import pytest

from advisor.answers import load_model
from advisor.engine import bench
from advisor.engine.log import read_line
from advisor.probe import memory, noticed
from advisor.probe.buffers import Buffers
from advisor.probe.calibrate import Measured, calibrate, predicted
from advisor.probe.result import PlaceResult, ProbeResult
from advisor.session import ModelChoice
from advisor.sizing import size
from advisor.sizing.driver import driver_context
from advisor.sizing.plan import Plan
from advisor.sizing.sampling import served_tps

MIB = 1 << 20
FOLDER = Path(__file__).parents[1] / "data" / "probes"
RESULTS = sorted(FOLDER.glob("*.json"))
BY_LOG = {"weights", "context", "compute", "output"}


ON_GPU = [path for path in RESULTS if path.with_suffix(".log").exists()]


def recorded(path: Path) -> ProbeResult:
    return ProbeResult.model_validate_json(path.read_bytes())


def replanned(result: ProbeResult) -> Plan:
    """Today's plan of the same run."""
    model = load_model(ModelChoice(model=result.model_id, file_type=result.file_type))
    settings = result.settings
    if result.method == "llama-bench":
        settings = bench.planned_settings(settings)
    return size(model, result.rig, settings)


def measured(path: Path, result: ProbeResult, plan: Plan) -> tuple[PlaceResult, ...]:
    """Memory as it was concluded then, or by today's code from the log, where that was kept."""
    log = path.with_suffix(".log")
    if not log.exists():
        return result.places
    buffers = Buffers()
    for line in log.read_text().splitlines():
        if (event := read_line(line)) is not None:
            buffers.take(event)
    return memory.places(plan, result.trace, result.phases, buffers=buffers, program=None)


@pytest.mark.parametrize("path", RESULTS, ids=[path.stem for path in RESULTS])
def test_todays_plan_holds_against_a_recorded_run(path):
    """The plan of the same run, made anew, against what llama.cpp's log said it allocated."""
    result = recorded(path)
    assert result.ending.state == "done"
    assert result.speeds
    rate = result.trace.rate_hz
    assert rate is not None
    assert rate >= 20
    plan = replanned(result)
    planned = {"host": plan.host, **{device.name: device for device in plan.devices}}
    compared = 0
    for place in measured(path, result, plan):
        for part in place.components:
            if part.engine is None or part.name not in BY_LOG:
                continue
            ours = getattr(planned[place.name], part.name)
            # On a GPU to what two decimals of a MiB can tell, of one buffer or of two.
            near = {"abs": 20_000} if path in ON_GPU else {"rel": 0.01, "abs": 4 * MIB}
            assert ours == pytest.approx(part.engine, **near), (place, part)
            compared += 1
    assert compared >= 3


@pytest.mark.parametrize("path", ON_GPU, ids=[path.stem for path in ON_GPU])
def test_a_gpu_held_what_was_planned(path):
    """In all and beside llama.cpp's own count, and nobody else held any of it."""
    result = recorded(path)
    plan = replanned(result)
    (device,) = plan.devices
    (place, _host) = measured(path, result, plan)
    assert place.peak is not None
    assert device.total == pytest.approx(place.peak, rel=0.03)
    driver = next(part.engine for part in place.components if part.name == "driver")
    expected = driver_context(result.rig.devices[0])
    assert driver is not None
    assert expected is not None
    assert expected.low <= driver <= expected.high
    assert not noticed.observations(result.trace, result.phases, {})


ON_HOPPER = [path for path in RESULTS if path.stem.startswith(("h100", "h200"))]


@pytest.mark.parametrize("path", ON_HOPPER, ids=[path.stem for path in ON_HOPPER])
def test_a_server_and_llama_bench_calibrate_each_other(path):
    """llama-server chooses its tokens too, 8 to 14 % of their time here: that is no slow card.

    Taken for one, these probes were off by up to 20 % from one another.
    """

    def of(path: Path) -> Measured:
        result = recorded(path)
        chosen = ModelChoice(model=result.model_id, file_type=result.file_type)
        return Measured(load_model(chosen), result)

    learnt = calibrate([of(path)])
    assert learnt is not None
    card = path.stem.partition("-")[0]
    for other in map(of, (one for one in ON_HOPPER if one.stem.startswith(card))):
        for point in other.result.speeds:
            if point.decode_tps is None:
                continue
            speed = predicted(other, point, learnt)
            served = other.result.method == "server"
            span = served_tps(speed) if served else speed.decode_tps
            assert span is not None
            assert span.mid == pytest.approx(point.decode_tps, rel=0.08)
            assert span.low < point.decode_tps < span.high
