"""Samples of a run: gaps, followers, thinning, and Windows' counters of shared memory."""

import sys

import pytest

from advisor.probe import spill
from advisor.probe.trace import MAX_SAMPLES, Recorder, Series, Trace


def test_late_and_missing_quantities_are_unknown():
    recorder = Recorder()
    recorder.add(0, {("host", "available"): 5})
    recorder.add(40, {("host", "available"): 4, ("host", "used"): 1})
    recorder.add(80, {("host", "used"): 2})
    trace = recorder.trace()
    values = {series.quantity: series.values for series in trace.series}
    assert values == {"available": (5, 4, None), "used": (None, 1, 2)}
    assert trace.get("host", "used") in trace.series
    assert trace.get("CUDA0", "used") is None
    assert trace.peak("host", "used") == 2
    assert trace.peak("host", "available", since_ms=60) is None
    assert trace.rate_hz == pytest.approx(25)


def test_a_follower_sees_only_what_is_new():
    recorder = Recorder()
    for at in range(5):
        recorder.add(at, {("host", "used"): at})
    fresh = recorder.since(3)
    assert (fresh.start, fresh.times_ms) == (3, [3, 4])
    assert fresh.values["host", "used"] == [3, 4]
    assert recorder.since(99).start == 0


def test_a_very_long_run_is_thinned():
    recorder = Recorder()
    for at in range(MAX_SAMPLES + 10):
        recorder.add(at, {("host", "used"): at})
    trace = recorder.trace()
    assert len(trace.times_ms) <= MAX_SAMPLES
    assert trace.times_ms[-1] == MAX_SAMPLES + 9


def test_series_of_other_lengths_are_refused():
    with pytest.raises(ValueError, match="one value per sample"):
        Trace(times_ms=(0, 1), series=(Series(place="host", quantity="used", values=(1,)),))


def test_counters_of_windows_are_added_up_per_process():
    # Instances as the counter set names them (typeperf -q "GPU Process Memory").
    sample = [
        ("pid_8412_luid_0x00000000_0x0000D50A_phys_0", 300 << 20),
        ("pid_8412_luid_0x00000000_0x0000EA11_phys_0", 50 << 20),
        ("pid_1204_luid_0x00000000_0x0000D50A_phys_0", 900 << 20),
        ("_total", 1 << 40),
    ]
    assert spill.shared_bytes(sample, {8412}) == 350 << 20
    assert spill.shared_bytes(sample, {8412, 1204}) == 1250 << 20
    assert spill.shared_bytes([], {1}) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="there it reads")
def test_elsewhere_there_is_no_counter():
    counter = spill.SharedMemory()
    assert counter.read([1]) is None
    counter.close()
