"""Lines of real logs, b6000 to b11549, and what they mean."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.engine.log import (
    Adjusted,
    BreakdownHeader,
    BreakdownRow,
    BufferSize,
    CacheSize,
    Failure,
    LoadingTensors,
    Offloaded,
    Ready,
    Timing,
    WarmingUp,
    plain,
    read_line,
)

MIB = 1 << 20


def mib(value: float) -> int:
    return round(value * MIB)


# The lines come from public issues (numbers of ggml-org/llama.cpp) and from the embedded engine.
KNOWN = [
    (  # 22673, b9xxx
        (
            "common_memory_breakdown_print: |   - CUDA0 (RTX 2000 Ada Generation Laptop GPU) |"
            "  7807 = 7627 + ( 5658 =  2542 +    2622 +     493) +       -5478 |"
        ),
        BreakdownRow(
            "CUDA0",
            2542 * MIB,
            2622 * MIB,
            493 * MIB,
            "RTX 2000 Ada Generation Laptop GPU",
            7807 * MIB,
            7627 * MIB,
        ),
    ),
    (  # 23679: with a time stamp
        (
            "0.00.603.363 I common_memory_breakdown_print: |   - CUDA1 (RTX 4090)   |"
            " 24080 = 23608 + (21275 =  9109 +    9927 +    2237) +      -20802 |"
        ),
        BreakdownRow(
            "CUDA1", 9109 * MIB, 9927 * MIB, 2237 * MIB, "RTX 4090", 24080 * MIB, 23608 * MIB
        ),
    ),
    (  # 19437: the last column underflowed
        (
            "llama_memory_breakdown_print: |   - CUDA0 (GTX 1080 Ti) |"
            " 11165 = 8702 + (10001 =  9814 +     134 +      51) + 17592186036877 |"
        ),
        BreakdownRow(
            "CUDA0", 9814 * MIB, 134 * MIB, 51 * MIB, "GTX 1080 Ti", 11165 * MIB, 8702 * MIB
        ),
    ),
    (
        (
            "common_memory_breakdown_print: |   - Host               |"
            "                 19891 = 19627 +       0 +     264                |"
        ),
        BreakdownRow("Host", 19627 * MIB, 0, 264 * MIB),
    ),
    (
        (
            "0.00.031.291 I common_memory_breakdown_print: |   - CPU_REPACK         |"
            "                 13432 = 13432 +       0 +       0                |"
        ),
        BreakdownRow("CPU_REPACK", 13432 * MIB, 0, 0),
    ),
    (
        (
            "0.00.031.196 I common_memory_breakdown_print: | memory breakdown [MiB] | total   free"
            "     self   model   context   compute    unaccounted |"
        ),
        BreakdownHeader(),
    ),
    (  # 14043, b5589
        "load_tensors:   CPU_Mapped model buffer size =  2460.94 MiB",
        BufferSize("model", "CPU_Mapped", mib(2460.94)),
    ),
    (
        "llama_context:  CUDA_Host  output buffer size =     0.98 MiB",
        BufferSize("output", "CUDA_Host", mib(0.98)),
    ),
    (  # 14939
        "\tllama_context:      CUDA0 compute buffer size =   789.62 MiB",
        BufferSize("compute", "CUDA0", mib(789.62)),
    ),
    (  # 27680: colours
        (
            "\x1b[34m0.00.612.795\x1b[0m \x1b[32mI \x1b[0msched_reserve:        CPU compute buffer "
            "size =   299.63 MiB"
        ),
        BufferSize("compute", "CPU", mib(299.63)),
    ),
    (
        "llama_memory_recurrent:      CUDA0 RS buffer size =    62.81 MiB",
        BufferSize("state", "CUDA0", mib(62.81)),
    ),
    (
        "llama_dsv4_comp_state:        CPU DSV4 CSA state buffer size =     2.62 MiB",
        BufferSize("state", "CPU", mib(2.62)),
    ),
    (
        (
            "llama_kv_cache_unified: size =  144.00 MiB (  4096 cells,  36 layers,  1 seqs), "
            "K (f16):   72.00 MiB, V (f16):   72.00 MiB"
        ),
        CacheSize(4096, 36, 1, 144 * MIB, "f16", 72 * MIB, "f16", 72 * MIB),
    ),
    (
        (
            "0.30.692 I llama_kv_cache: size =  576.00 MiB (  4096 cells,  36 layers,  4/4 seqs)"
            ", K (q8_0):  288.00 MiB, V (f16):  288.00 MiB"
        ),
        CacheSize(4096, 36, 4, 576 * MIB, "q8_0", 288 * MIB, "f16", 288 * MIB),
    ),
    ("load_tensors: offloaded 62/62 layers to GPU", Offloaded(62, 62)),
    (
        "load_tensors: loading model tensors, this can take a while... (mmap = true)",
        LoadingTensors(),
    ),
    (
        "0.00.070.095 I cmn  common_init_: warming up the model with an empty run - please wait",
        WarmingUp(),
    ),
    (
        "main: server is listening on http://127.0.0.1:8080 - starting the main loop",
        Ready("http://127.0.0.1:8080"),
    ),
    (
        "0.00.077.823 I srv          init: listening on unix:///run/x/engine.sock",
        Ready("unix:///run/x/engine.sock"),
    ),
    (
        (
            "3.15.248.619 I slot print_timing: id  0 | task 17 |        eval time =   66351.85 ms /"
            "    32 tokens ( 2140.38 ms per token,     0.47 tokens per second)"
        ),
        Timing("generation", 66351.85, 32),
    ),
    (
        "prompt eval time =     294.11 ms /   120 tokens (    2.45 ms per token)",
        Timing("prompt", 294.11, 120),
    ),
]

FAILURES = [
    (  # 20431
        (
            "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 144817.04 MiB on device 0: "
            "cudaMalloc failed: out of memory"
        ),
        "out-of-memory",
        mib(144817.04),
    ),
    (
        "alloc_tensor_range: failed to allocate CUDA0 buffer of size 151851674624",
        "out-of-memory",
        151851674624,
    ),
    ("ggml_vulkan: vk::Device::allocateMemory: ErrorOutOfDeviceMemory", "out-of-memory", None),
    ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED", "out-of-memory", None),
    (  # 23858: a router's child, whose memory is on another machine
        (
            "[41303] 0.01.289.827 E alloc_tensor_range: failed to allocate "
            "RPC0[10.0.69.2:50052] buffer of size 193608946688"
        ),
        "out-of-memory",
        193608946688,
    ),
    (
        (
            "llama_model_load: error loading model: error loading model architecture: "
            "unknown model architecture: 'mamba9'"
        ),
        "unknown-architecture",
        None,
    ),
    (
        "0.00.004.530 E gguf_init_from_reader: invalid magic characters: 'root', expected 'GGUF'",
        "bad-file",
        None,
    ),
    (
        (
            "llama_model_load: error loading model: tensor 'blk.1.ffn_up.weight' data is not "
            "within the file bounds, model is corrupted or incomplete"
        ),
        "bad-file",
        None,
    ),
    ("/src/ggml.c:1234: GGML_ASSERT(ggml_are_same_shape(a, b)) failed", "assertion", None),
    ("vk::Queue::submit: ErrorDeviceLost", "device-lost", None),
    (  # gpustack 1382, b4800
        "0.17.512.848 E CUDA error: no kernel image is available for execution on the device",
        "wrong-build",
        None,
    ),
    (  # 23934, b9307
        "ROCm error: device kernel image is invalid",
        "wrong-build",
        None,
    ),
    (
        "CUDA error: CUDA driver version is insufficient for CUDA runtime version",
        "old-driver",
        None,
    ),
    (  # 15099, b6090, with a file of the day after
        (
            "gguf_init_from_file_impl: tensor 'blk.0.ffn_down_exps.weight' has invalid ggml type 39"
            " (NONE)"
        ),
        "old-build",
        None,
    ),
    (
        (
            "llama_model_load: error loading model: error loading model vocabulary: unknown "
            "pre-tokenizer type: 'kimi-k3'"
        ),
        "old-build",
        None,
    ),
    (
        "ggml_metal_buffer_init: error: failed to allocate buffer, size = 23456.50 MiB",
        "out-of-memory",
        mib(23456.5),
    ),
    (
        (
            "ggml_backend_metal_buffer: failed to allocate Metal buffer of 1048576 "
            "bytes (out of memory)"
        ),
        "out-of-memory",
        1048576,
    ),
    (  # 7010, 9701
        "error: Insufficient Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)",
        "out-of-memory",
        None,
    ),
    (
        "Native API failed. Native API returns: 40 (UR_RESULT_ERROR_OUT_OF_RESOURCES)",
        "out-of-memory",
        None,
    ),
    ("CUDA error: the resource allocation failed", "out-of-memory", None),
    (
        "llama_kv_cache_init: failed to allocate buffer for kv cache",
        "out-of-memory",
        None,
    ),
    (  # 22643, b9002
        "ggml-rpc.cpp:640: Remote RPC server crashed or returned malformed response",
        "device-lost",
        None,
    ),
    (
        "load_model: error loading model: corrupted model: 579 tensors expected but 291 found",
        "bad-file",
        None,
    ),
    (
        "llama_init_from_model: quantized V cache requires flash_attn to be enabled",
        "settings",
        None,
    ),
]


@pytest.mark.parametrize(("line", "event"), KNOWN, ids=[str(i) for i in range(len(KNOWN))])
def test_known_lines(line, event):
    assert read_line(line) == event


@pytest.mark.parametrize(("line", "kind", "size"), FAILURES)
def test_failures(line, kind, size):
    event = read_line(line)
    assert isinstance(event, Failure)
    assert (event.kind, event.size) == (kind, size)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "srv  update_slots: all slots are idle",
        "print_info: n_ctx_train           = 262144",
        "llama_kv_cache: layer   3: dev = CPU",
        "ggml_cuda_init: found 1 CUDA devices:",
        "common_params_fit_impl: getting device memory data for initial parameters:",
        "llama_context: CUDA0 compute buffer size = many MiB",
        "| - Host |",
        "ggml_cuda_host_malloc: failed to allocate 4096.00 MiB of pinned memory: out of memory",
        (
            "ggml_vulkan: Failed to allocate pinned memory (vk::Device::allocateMemory: "
            "ErrorOutOfDeviceMemory)"
        ),
        (
            "warning: failed to mlock 123456-byte buffer (after previously locking 0 bytes): "
            "Cannot allocate memory"
        ),
    ],
)
def test_other_lines_mean_nothing(line):
    assert read_line(line) is None


def test_a_changed_context_is_told():
    line = "llama_params_fit_impl: context size reduced from 262144 to 30000 -> need less memory"
    assert isinstance(read_line(line), Adjusted)


def test_a_second_try_is_told():
    """ggml-org/llama.cpp/pull/26297: the compute buffer did not fit, and it went on without."""
    line = "sched_reserve: compute buffer allocation failed, retrying without pipeline parallelism"
    assert isinstance(read_line(line), Adjusted)


def test_prefixes_are_taken_off():
    assert plain("0.00.004.530 E srv    load_model: failed") == "load_model: failed"


@given(st.text() | st.text(string.printable).map(lambda t: f"breakdown_print: |   - {t}|"))
def test_no_line_raises(line):
    read_line(line)
