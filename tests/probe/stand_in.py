"""A scripted engine: reads its job like the worker, then behaves as badly as its argument says."""

import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time

MODE = sys.argv[1] if len(sys.argv) > 1 else ""


def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def load():
    say("0.00.100.000 I load_tensors: loading model tensors, this can take a while...")


def loaded(host):
    say("0.00.200.000 I load_tensors:   CPU_Mapped model buffer size =    58.18 MiB")
    say("0.00.300.000 I cmn  common_init_: warming up the model with an empty run")
    say(f"0.00.400.000 I srv          init: listening on unix://{host}")
    say("rig-advisor-ready")


def hang():
    threading.Event().wait()


def spin():
    while True:
        pass


def flood():
    line = "noise " * 40
    while True:
        sys.stdout.write(line + "\n")


def event(made, prompt=16, stop=False, tps=100.0, prefill_tps=1600.0):
    timings = {
        "prompt_n": prompt,
        "prompt_ms": 1000 * prompt / prefill_tps,
        "predicted_n": made,
        "predicted_ms": 1000 * (made - 1) / tps,
    }
    body = {"tokens": [600], "stop": stop, "timings": timings}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def serve(host, hang_after, *, tokens=8, tps=None, prefill_tps=1600.0):
    """Answer every request with ``tokens`` or as many as it wants, at ``tps`` or at once."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(host)
    server.listen()
    loaded(host)
    requests = 0
    while True:
        client, _ = server.accept()
        request = b""
        while b"\r\n\r\n" not in request:
            request += client.recv(65536)
        head, _, body = request.partition(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        )
        while len(body) < length:
            body += client.recv(65536)
        requests += 1
        wanted = json.loads(body)
        answer(client, len(wanted["prompt"]), min(tokens, wanted["n_predict"]), tps, prefill_tps,
               hangs=requests > hang_after)  # fmt: skip


def answer(client, prompt, tokens, tps, prefill_tps, *, hangs):
    speeds = {} if tps is None else {"tps": tps, "prefill_tps": prefill_tps}
    with client, contextlib.suppress(OSError):  # who asked has heard enough
        client.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        time.sleep(0 if tps is None else prompt / prefill_tps)
        for made in range(1, tokens + 1):
            if hangs and made == 3:
                end_of_decode()
            time.sleep(0 if tps is None else 1 / tps)
            client.sendall(event(made, prompt, stop=made == tokens, **speeds))


def end_of_decode():
    if MODE == "dies-decoding":
        os.kill(os.getpid(), signal.SIGSEGV)
    hang()


def exits_at_once(_host):
    sys.exit(7)


def aborts_loading(_host):
    load()
    say("/src/ggml/src/ggml.c:1234: GGML_ASSERT(ggml_are_same_shape(a, b)) failed")
    os.abort()


def out_of_memory(_host):
    load()
    say(
        "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 9866.00 MiB on device 1: "
        "cudaMalloc failed: out of memory"
    )
    say("alloc_tensor_range: failed to allocate CUDA1 buffer of size 10345253120")
    say("llama_model_load: error loading model: unable to allocate CUDA1 buffer")
    sys.exit(1)


def recovers_then_dies(_host):
    load()
    say("E graph_reserve: failed to allocate compute buffers")
    say("W sched_reserve: compute buffer allocation failed, retrying without pipeline parallelism")
    os.abort()


def wrong_build(_host):
    load()
    say("CUDA error: no kernel image is available for execution on the device")
    os.abort()


def gpu_lost(_host):
    load()
    say("CUDA error: an illegal memory access was encountered")
    say("/src/ggml/src/ggml-cuda/ggml-cuda.cu:90: CUDA error")
    os.abort()


def killed(_host):
    load()
    os.kill(os.getpid(), signal.SIGKILL)


def hangs_loading(_host):
    load()
    hang()


def floods(_host):
    load()
    flood()


def garbage(_host):
    load()
    sys.stdout.buffer.write(os.urandom(1 << 20))
    sys.stdout.flush()
    sys.exit(3)


def deaf(_host):
    """Children, and no ear for signals: only a kill of the whole family ends it."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.fork()
    load()
    hang()


def silent(_host):
    load()
    time.sleep(0.1)
    spin()


def stops_decoding(host):
    load()
    serve(host, hang_after=1)


def serves(host):
    load()
    serve(host, hang_after=1 << 30)


MODES = {
    "serves": serves,
    "exits-at-once": exits_at_once,
    "aborts-loading": aborts_loading,
    "out-of-memory": out_of_memory,
    "recovers-then-dies": recovers_then_dies,
    "wrong-build": wrong_build,
    "gpu-lost": gpu_lost,
    "killed": killed,
    "hangs-loading": hangs_loading,
    "floods": floods,
    "garbage": garbage,
    "deaf": deaf,
    "silent": silent,
    "hangs-decoding": stops_decoding,
    "dies-decoding": stops_decoding,
}

if __name__ == "__main__":
    MODES[MODE](json.loads(sys.stdin.readline())["host"])
