"""The pure parts of a probe: schedule, trace, outcome, preflight, store."""

import csv
import io
import mmap
import os
import sys
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.engine.log import BufferSize
from advisor.errors import ProbeError
from advisor.hardware.rig import Device, Host, Rig
from advisor.llm.gguf import read_header
from advisor.llm.ghost import ghost_of
from advisor.probe import memory, noticed, outcome, residency, schedule, spill, store
from advisor.probe.buffers import Buffers
from advisor.probe.compare import differences
from advisor.probe.preflight import preflight
from advisor.probe.prepare import usable_rig
from advisor.probe.processor import Processor
from advisor.probe.result import Ending, EngineFacts, Phase, ProbeResult, SpeedPoint
from advisor.probe.trace import MAX_SAMPLES, Recorder, Series, Trace
from advisor.sizing import size
from advisor.sizing.settings import RunSettings
from tests import tiny

MIB = 1 << 20


# --- Schedule -----------------------------------------------------------------------------------


@given(
    ctx=st.integers(256, 1 << 20),
    parallel=st.integers(1, 8),
    seconds=st.floats(5, 120),
    prefill=st.floats(0.5, 50_000),
    decode=st.floats(0.05, 2_000),
)
def test_points_stay_inside_the_context(ctx, parallel, seconds, prefill, decode):
    settings = RunSettings(ctx=ctx, parallel=parallel)
    room = schedule.cells_per_sequence(settings)
    warm = schedule.warm_up(settings)
    first = schedule.first(settings, seconds, prefill, decode)
    deep = schedule.deeper(settings, seconds, first.n_prompt, prefill, decode)
    for point in (warm, first, deep):
        if point is not None:
            assert point.n_prompt >= 1
            assert point.n_decode >= 1
            assert point.n_prompt + point.n_decode <= room
    if deep is not None:
        assert deep.n_prompt >= 2 * first.n_prompt


def test_a_fast_machine_gets_the_whole_prompt_and_a_deep_one():
    settings = RunSettings(ctx=32768, n_prompt=512)
    first = schedule.first(settings, 30, prefill_tps=3000, decode_tps=60)
    assert (first.n_prompt, first.n_decode) == (512, 256)
    deep = schedule.deeper(settings, 20, 512, prefill_tps=3000, decode_tps=60)
    assert deep is not None
    assert deep.n_prompt == 18000


def test_a_slow_machine_gets_what_the_time_allows():
    point = schedule.first(RunSettings(ctx=32768), 15, prefill_tps=8, decode_tps=1.2)
    assert point.n_prompt == 24
    assert point.n_decode == 4


# --- Trace --------------------------------------------------------------------------------------


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


# --- Outcome ------------------------------------------------------------------------------------

PHASES = (
    Phase(name="loading", start_ms=0, end_ms=100),
    Phase(name="prefill", start_ms=100, end_ms=200),
    Phase(name="decode", start_ms=200, end_ms=400, depth=512),
)


def trace_of(**series) -> Trace:
    length = len(next(iter(series.values())))
    named = [(*name.split("_"), values) for name, values in series.items()]
    return Trace.model_validate(
        {
            "times_ms": range(0, length * 100, 100),
            "series": [{"place": p, "quantity": q, "values": values} for p, q, values in named],
        }
    )


def test_memory_of_a_device():
    rig = Rig(
        name="r",
        hosts=(Host(ram_available=64 << 30),),
        devices=(
            Device(
                name="RTX 4090", vendor="NVIDIA", backend="cuda", memory_total=24 << 30,
                memory_used=1 << 30,
            ),
        ),
    )  # fmt: skip
    plan = size(tiny.dense(), rig, RunSettings(ctx=1024))
    gib = 1 << 20  # in KiB
    trace = trace_of(
        CUDA0_used=[gib, 2 * gib, 3 * gib, 3 * gib, gib],
        CUDA0_power=[50, 60, 300, 310, 60],
        host_used=[1, 9, 5, 5, 1],
        host_available=[60 * gib] * 5,
    )
    buffers = [
        BufferSize("model", "CUDA0", 900 * MIB),
        BufferSize("context", "CUDA0", 800 * MIB),
        BufferSize("compute", "CUDA0", 100 * MIB),
        BufferSize("compute", "CUDA0", 90 * MIB),
        BufferSize("model", "CPU_Mapped", 10 * MIB),
    ]
    device, host = memory.places(plan, trace, PHASES, buffers=Buffers(buffers), program=4096)
    assert device.before == 1 << 30
    assert device.peak == 2 << 30
    assert device.capacity is not None
    assert device.lowest_free == device.capacity - (3 << 30)
    parts = {part.name: part.engine for part in device.components}
    assert parts["weights"] == 900 * MIB
    assert parts["compute"] == 90 * MIB
    assert parts["driver"] == (2048 - 900 - 800 - 90) * MIB
    assert (host.peak, host.load_peak) == (9 << 10, 9 << 10)
    (power,) = outcome.power(
        trace,
        PHASES,
        [SpeedPoint(depth=1, n_prompt=1, prefill_tps=1, ttft_s=1, n_decode=9, decode_tps=30)],
    )
    assert power.mean_w == pytest.approx((300 + 310 + 60) / 3)
    assert power.joules_per_token == pytest.approx(power.mean_w / 30)


def test_repacked_weights_count_once():
    buffers = [
        BufferSize("model", "CPU_Mapped", 4762 * MIB),
        BufferSize("model", "CPU_REPACK", 3199 * MIB),
    ]
    assert Buffers(buffers).by_place([]) == {"host": {"weights": 4762 * MIB}}


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
    assert all("used 45 % of the processor" in o.sentence for o in found)


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
        ({("CUDA0", "used"): 5 * gib, ("CUDA0", "process"): gib}, {}),
    ]
    for at, (values, throttled) in enumerate(samples):
        told += noticing.look(at, values, throttled, pinned=2 << 30, measuring=at > 2)
    assert [(o.at_ms, o.kind, o.place) for o in told] == [
        (1, "swap", "host"),
        (1, "spill", ""),
        (2, "throttled", "CUDA0"),
        (4, "other-program", "host"),
        (6, "other-program", "CUDA0"),
    ]
    assert "1.0 GiB of GPU memory" in told[1].sentence
    assert "took 2.0 GiB of RAM" in told[3].sentence


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
    gib = 1 << 20
    trace = trace_of(
        CUDA0_used=[gib, 5 * gib, 5 * gib, 7 * gib, 5 * gib],
        CUDA0_process=[0, 4 * gib, 4 * gib, 4 * gib, 4 * gib],
        CUDA1_used=[gib, 5 * gib, 6 * gib, 6 * gib, 6 * gib],
        CUDA1_process=[0, 4 * gib, 5 * gib, 5 * gib, 5 * gib],
    )
    (found,) = noticed.observations(trace, PHASES, {})
    assert (found.kind, found.at_ms, found.place) == ("other-program", 300, "CUDA0")
    assert "2.0 GiB of CUDA0" in found.sentence


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


# --- What was never read ------------------------------------------------------------------------


def test_pages_that_were_read_are_seen_tensor_by_tensor(tmp_path):
    """A mapping of our own process: the same table that a probe reads of its child."""
    if sys.platform != "linux":
        pytest.skip("only Linux tells")
    with ghost_of(tiny.moe(), tmp_path) as ghost:
        header = read_header(ghost.path)
        experts = next(t for t in header.tensors if t.name == "blk.1.ffn_up_exps.weight")
        with ghost.path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
            mapped.madvise(mmap.MADV_RANDOM)  # no neighbours
            piece = experts.nbytes // 32
            for number in (3, 17, 30):
                start = experts.offset + number * piece
                sum(mapped[start : start + piece : 4096])
            found = residency.look(os.getpid(), ghost.path)
            mapped.close()
    assert found is not None
    (seen,) = found.experts
    assert (seen.tensor, seen.used, seen.of) == ("blk.1.ffn_up_exps.weight", 3, 32)
    assert found.weights == sum(t.nbytes for t in header.tensors)
    assert found.read == pytest.approx(3 * piece, rel=0.1)
    assert residency.look(os.getpid(), ghost.path) is None  # gone


def test_what_was_never_read_is_explained():
    seen = residency.Residency(
        weights=17 << 30,
        read=9 << 30,
        experts=(residency.Experts("a", 90, 128), residency.Experts("b", 128, 128)),
        untouched=6 << 30,
    )
    copied = [BufferSize("model", "CPU_REPACK", 6 << 30), BufferSize("model", "CPU_Mapped", 1)]
    (found,) = memory.unread(seen, Buffers(copied), 99)
    assert "2.0 GiB of the weights were never read" in found.sentence
    assert "218 of 256 experts" in found.sentence
    assert not memory.unread(seen, Buffers([BufferSize("model", "CPU_REPACK", 8 << 30)]), 99)
    assert not memory.unread(None, Buffers(), 99)


def test_pages_that_a_llama_cpp_keeps_are_told():
    trace = trace_of(
        host_used=[0, 900 << 10, 900 << 10, 900 << 10, 900 << 10],
        host_file=[0, 700 << 10, 500 << 10, 500 << 10, 500 << 10],
    )
    loaded = [
        BufferSize("model", "CPU_Mapped", 400 * MIB),
        BufferSize("model", "CPU_REPACK", 300 * MIB),
    ]
    (found,) = memory.kept(trace, PHASES, Buffers(loaded), 99)
    assert found.sentence.startswith("0.6 GiB of its RAM")
    plain = Buffers([BufferSize("model", "CPU_Mapped", 690 * MIB)])
    assert not memory.kept(trace, PHASES, plain, 99)
    assert not memory.kept(trace, PHASES, Buffers(), 99)


# --- Compare ------------------------------------------------------------------------------------


def test_two_probes_differ_where_both_measured():
    one = result()
    speeds = (one.speeds[0].model_copy(update={"decode_tps": 16.5, "prefill_tps": 34.2}),)
    slow, fast = result("20261123T120000-abd", speeds=one.speeds), result(speeds=speeds)
    found = {d.kind: d for d in differences(fast, slow)}
    assert found["decode"].relative == pytest.approx(1.0)
    assert found["prefill"].relative == pytest.approx(-0.5)
    deeper = (one.speeds[0].model_copy(update={"depth": 4096, "n_prompt": 4096}),)
    assert not differences(result(speeds=deeper), slow)


# --- Preflight and preparing --------------------------------------------------------------------


def test_preflight_counts_ram():
    rig = Rig(name="r", hosts=(Host(ram_available=4 << 30),))
    plan = size(tiny.moe(), rig, RunSettings(ctx=1024))
    assert not preflight(rig, plan, available=4 << 30)
    (objection,) = preflight(rig, plan, available=1 << 30)
    assert objection.overridable
    assert "1.0 GiB can be had" in objection.sentence


def test_a_device_too_small_is_named():
    device = Device(name="GT 1030", backend="cuda", memory_total=32 << 20, memory_used=0)
    rig = Rig(name="r", devices=(device,), hosts=(Host(ram_available=4 << 30),))
    plan = size(tiny.moe(), rig, RunSettings(ctx=8192))
    sentences = " ".join(o.sentence for o in preflight(rig, plan, available=4 << 30))
    assert "GT 1030 (CUDA0)" in sentences
    assert "too few" in sentences


def test_a_build_without_the_backend_runs_on_the_cpu():
    from advisor.engine.builds import Build  # noqa: PLC0415

    rig = Rig(name="r", devices=(Device(name="RTX 4090", backend="cuda"),))
    inside = Build(kind="embedded", path="", version="b1")
    assert not usable_rig(rig, inside).devices
    cuda = inside.model_copy(update={"backends": ("cuda", "cpu")})
    assert usable_rig(rig, cuda) == rig


# --- Store --------------------------------------------------------------------------------------


def result(identity="20261123T120000-abc", **changes) -> ProbeResult:
    fields = {
        "id": identity,
        "created": datetime(2026, 11, 23, 12, tzinfo=UTC),
        "rig": Rig(name="This machine", hosts=(Host(cpu="EPYC"),)),
        "model_id": "qwen",
        "model_name": "Qwen3 8B",
        "file_type": "Q4_K_M",
        "file_bytes": 5 << 30,
        "n_params": 8_190_000_000,
        "ghost": True,
        "settings": RunSettings(ctx=8192),
        "engine": EngineFacts(name="embedded", version="b11549", backends=("cpu",)),
        "ending": Ending(state="done", sentence="The probe ran to its end."),
        "phases": PHASES,
        "speeds": (
            SpeedPoint(
                depth=512, n_prompt=512, prefill_tps=68.4, ttft_s=7.5, n_decode=32, decode_tps=8.25
            ),
        ),
        "trace": trace_of(host_used=[1, None, 3, 4]),
    }
    return ProbeResult(**{**fields, **changes})


def test_saving_and_opening():
    saved = result()
    store.save(saved)
    assert store.load(saved.id) == saved
    (entry,) = store.entries()
    assert entry.title == "Qwen3 8B Q4_K_M"
    assert entry.decode_tps == 8.25
    store.delete(saved.id)
    assert not store.entries()
    with pytest.raises(ProbeError, match="not there"):
        store.load(saved.id)


def test_newest_first_and_damaged_ones_left_out():
    store.save(result("20261123T120000-aaa"))
    store.save(result("20261124T120000-bbb"))
    (store.folder() / "20261125T120000-ccc.json").write_text('{"version": 1, "result": {}}')
    assert [entry.id[-3:] for entry in store.entries()] == ["bbb", "aaa"]
    with pytest.raises(ProbeError, match="damaged"):
        store.load("20261125T120000-ccc")


def test_newer_files_and_strange_names_are_refused():
    (store.folder() / "x.json").write_text('{"version": 99, "result": {}}')
    with pytest.raises(ProbeError, match="newer"):
        store.load("x")
    with pytest.raises(ProbeError, match="not the name"):
        store.load("../../etc/passwd")


def test_csv_has_a_row_per_sample():
    rows = list(csv.reader(io.StringIO(store.to_csv(result()))))
    assert rows[0] == ["ms", "phase", "host.used [KiB]"]
    assert rows[1] == ["0", "loading", "1"]
    assert rows[2] == ["100", "prefill", ""]
    assert len(rows) == 5


def test_the_table_is_llama_benchs():
    text = store.to_markdown([result()])
    lines = text.splitlines()
    assert lines[0].startswith("| model | size | params | backend |")
    assert "| pp512 | 68.40 |" in lines[2]
    assert "| tg32 @ d512 | 8.25 |" in lines[3]
    assert "8.19 B" in lines[2]
    assert "empty weights" in text


def test_json_round_trip():
    assert ProbeResult.model_validate_json(store.to_json(result())) == result()
