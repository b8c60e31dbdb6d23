"""Memory as it was measured: by component, what was never read, what the engine keeps."""

import mmap
import os
import sys

import pytest
from probe_cases import PHASES, trace_of

from advisor.engine.log import BufferSize
from advisor.hardware.rig import Device, Host, Rig
from advisor.llm.gguf import read_header
from advisor.llm.ghost import ghost_of
from advisor.probe import memory, outcome, residency
from advisor.probe.buffers import Buffers
from advisor.probe.result import SpeedPoint
from advisor.sizing import size
from advisor.sizing.settings import RunSettings
from advisor.units import MIB
from tests import tiny


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


def test_a_buffer_over_several_devices_is_not_the_hosts():
    """-sm tensor (ggml-org/llama.cpp/issues/26208): the log gives one sum for all of them."""
    both = BufferSize("model", "Meta(CUDA0,CUDA1)", 40 << 30)
    host = BufferSize("model", "CPU_Mapped", 300 * MIB)
    assert Buffers([both, host]).by_place(["CUDA0", "CUDA1"]) == {"host": {"weights": 300 * MIB}}


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
    buffers = Buffers(loaded)
    (found,) = memory.kept(trace, PHASES, buffers, 99, buffers.mapped)
    assert found.sentence.startswith("0.6 GiB more of RAM")
    plain = Buffers([BufferSize("model", "CPU_Mapped", 690 * MIB)])
    assert not memory.kept(trace, PHASES, plain, 99, plain.mapped)
    assert not memory.kept(trace, PHASES, Buffers(), 99, 0)
    # Its own libraries are no pages that it could do without.
    assert not memory.kept(trace, PHASES, buffers, 99, buffers.mapped + 560 * MIB)


def test_pages_that_a_llama_cpp_keeps_are_not_in_its_peak():
    rig = Rig(name="r", hosts=(Host(ram_available=64 << 30),))
    plan = size(tiny.dense(), rig, RunSettings(ctx=1024))
    trace = trace_of(
        host_used=[0, 900 << 10, 800 << 10, 850 << 10, 100],
        host_file=[0, 700 << 10, 500 << 10, 400 << 10, 0],
    )
    buffers = Buffers([BufferSize("model", "CPU_Mapped", 100 * MIB)])

    def peak(files_needed: int | None) -> int:
        (host,) = memory.places(
            plan, trace, PHASES, buffers=buffers, program=0, files_needed=files_needed
        )
        assert host.load_peak == 900 * MIB
        return host.peak

    assert peak(None) == 900 * MIB
    assert peak(100 * MIB) == (850 - 300) * MIB
    assert peak(1 << 40) == 900 * MIB
