"""What disturbs a run is told once, with its moment and place: swap, spill, throttling, others."""

import os
import time

import pytest
from probe_cases import PHASES, trace_of

from advisor.probe import noticed
from advisor.probe.processor import Processor
from advisor.probe.result import Phase
from advisor.units import MIB


def test_swapping_throttling_and_others_are_noticed():
    gib = 1 << 20
    trace = trace_of(
        host_used=[0, gib, gib, gib, gib],
        host_file=[0, 0, 0, 0, 0],
        host_swap=[0, 0, 200 << 10, 0, 0],
        host_available=[9 * gib, 8 * gib, 8 * gib, 6 * gib, 8 * gib],
    )
    found = {o.kind: o.sentence for o in noticed.observations(trace, PHASES, {"CUDA0": "power"})}
    assert "CUDA0" in found["throttled"]
    assert "swapped out" in found["swap"]
    assert "2.0 GiB" in found["other-program"]


def test_nothing_noticed_in_a_quiet_run():
    gib = 1 << 20
    trace = trace_of(
        host_used=[0, gib, gib, gib, gib],
        host_file=[0, gib // 2, gib // 2, gib // 2, gib // 2],
        host_available=[9 * gib] + [9 * gib - gib // 2] * 4,
    )
    assert not noticed.observations(trace, PHASES, {})


@pytest.mark.parametrize(
    ("others", "whole", "told"), [(45, 99, True), (45, 60, False), (5, 100, False)]
)
def test_a_busy_processor_is_told_where_it_held_the_run_up(others, whole, told):
    trace = trace_of(
        host_used=[0, 1, 1, 1, 1],
        host_available=[9 << 20] * 5,
        host_others=[None, None, others, others, others],
        host_utilisation=[None, None, whole, whole, whole],
    )
    found = noticed.observations(trace, PHASES, {})
    assert [o.kind for o in found] == ["busy"] * told
    assert all("used 45% of the processor" in o.sentence for o in found)


def test_everything_is_told_once_when_it_begins():
    gib = 1 << 20
    noticing, told = noticed.Noticing(), []
    samples = [
        ({("host", "swap"): 0, ("host", "shared"): gib}, {}),
        ({("host", "swap"): gib, ("host", "shared"): 3 * gib}, {}),
        ({("host", "swap"): 2 * gib, ("host", "shared"): 4 * gib}, {"CUDA0": "power"}),
        ({("host", "used"): gib, ("host", "available"): 8 * gib}, {"CUDA0": "power"}),
        ({("host", "used"): gib, ("host", "available"): 6 * gib}, {"CUDA0": "power"}),
        ({("CUDA0", "used"): 2 * gib, ("CUDA0", "process"): gib}, {}),
        ({("CUDA0", "used"): 4 * gib, ("CUDA0", "process"): gib}, {}),
        ({("CUDA0", "used"): 4 * gib, ("CUDA0", "process"): gib}, {}),
        ({("CUDA0", "used"): 5 * gib, ("CUDA0", "process"): gib}, {}),
        ({("CUDA0", "used"): 5 * gib, ("CUDA0", "process"): gib}, {}),
    ]
    samples[6:6] = [samples[5]]
    for turn, (values, throttled) in enumerate(samples):
        at = 500 * turn
        told += noticing.look(at, values, throttled, pinned=2 << 30, measuring=turn > 2)
    assert [(o.at_ms, o.kind, o.place) for o in told] == [
        (500, "swap", "host"),
        (500, "spill", ""),
        (1000, "throttled", "CUDA0"),
        (2000, "other-program", "host"),
        (4000, "other-program", "CUDA0"),
    ]
    assert "1.0 GiB of GPU memory" in told[1].sentence
    assert "took 2.0 GiB of RAM" in told[3].sentence


def test_a_power_limit_is_no_fault_and_heat_after_it_is():
    noticing = noticed.Noticing()
    told = [
        *noticing.look(0, {}, {"CUDA0": "power limit"}, pinned=0, measuring=True),
        *noticing.look(
            1, {}, {"CUDA0": "power limit, temperature (software)"}, pinned=0, measuring=True
        ),
    ]
    assert [o.kind for o in told] == ["power-limited", "throttled"]


def test_a_gap_between_samples_is_told():
    noticing = noticed.Noticing()
    told = [
        happened
        for at in (0, 50, 4000, 64_000, 64_050)
        for happened in noticing.look(at, {}, {}, pinned=0, measuring=True)
    ]
    assert [(o.kind, o.at_ms) for o in told] == [("asleep", 64_000)]
    assert "for 60 s" in told[0].sentence


def test_while_it_loads_nothing_is_anothers():
    """The driver tells a process's share later than the whole."""
    values = {("CUDA0", "used"): 9 << 20, ("CUDA0", "process"): 1}
    noticing = noticed.Noticing()
    assert not noticing.look(0, values, {}, pinned=0, measuring=False)


def test_the_processor_is_shared_out():
    """A busy thread of ours counts as busy, and not as others'."""
    processor = Processor()
    assert processor.read(os.getpid()) is None
    until = time.process_time() + 0.2
    while time.process_time() < until:
        pass
    busy, others = processor.read(os.getpid())
    assert 0 < busy <= 100
    assert 0 <= others <= busy


def test_spilling_and_throttling_have_their_moment():
    gib = 1 << 20
    trace = trace_of(
        host_used=[0, gib, gib, gib, gib],
        host_shared=[0, 10, 400 << 10, 900 << 10, 900 << 10],
        host_available=[9 * gib, 8 * gib, 8 * gib, 8 * gib, 8 * gib],
    )
    found = noticed.observations(
        trace, PHASES, {"CUDA1": "power"}, {"CUDA1": 250}, pinned=100 * MIB
    )
    throttled, spilled = found
    assert (throttled.at_ms, throttled.place) == (250, "CUDA1")
    assert (spilled.kind, spilled.at_ms) == ("spill", 200)
    assert "0.8 GiB of GPU memory" in spilled.sentence
    # What llama.cpp pins on purpose is no spill.
    assert len(noticed.observations(trace, PHASES, {}, pinned=800 * MIB)) == 0


def test_another_program_on_the_card_is_noticed():
    """It came while speeds were measured, and stayed; on the other card the child itself grew,
    which the driver tells of its processes a moment later than of the card."""
    gib = 1 << 20
    trace = trace_of(
        CUDA0_used=[gib, *[5 * gib] * 7, *[7 * gib] * 7],
        CUDA0_process=[0, *[4 * gib] * 14],
        CUDA1_used=[gib, *[5 * gib] * 7, *[6 * gib] * 7],
        CUDA1_process=[0, *[4 * gib] * 10, *[5 * gib] * 4],
    )
    (found,) = noticed.observations(trace, PHASES, {})
    assert (found.kind, found.at_ms, found.place) == ("other-program", 1300, "CUDA0")
    assert "2.0 GiB of CUDA0" in found.sentence


def test_a_child_that_ends_is_no_other_program():
    """The card is empty at once, the driver tells of the child for another 250 ms."""
    gib = 1 << 20
    trace = trace_of(
        CUDA0_used=[0, *[7 * gib] * 9, *[gib] * 6],
        CUDA0_process=[0, *[7 * gib] * 12, *[gib] * 3],
    )
    stopping = Phase(name="stopping", start_ms=1100, end_ms=1600)
    assert not noticed.observations(trace, PHASES, {})
    assert not noticed.observations(trace, (*PHASES, stopping), {})


def test_what_others_give_back_while_a_child_ends_is_not_taken():
    """From "stopping" on the driver's two figures are of different moments, however long."""
    gib = 1 << 20
    trace = trace_of(
        CUDA0_used=[0, *[9 * gib] * 9, *[2 * gib] * 14],
        CUDA0_process=[0, *[7 * gib] * 16, *[1] * 7],
    )
    stopping = Phase(name="stopping", start_ms=1000, end_ms=2400)
    assert not noticed.observations(trace, (*PHASES, stopping), {})
