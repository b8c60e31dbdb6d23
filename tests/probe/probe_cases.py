"""A trace, its phases and a whole result, as small as tests of their reading allow."""

from datetime import UTC, datetime

from advisor.hardware.rig import Host, Rig
from advisor.probe.result import Ending, EngineFacts, Phase, ProbeResult, SpeedPoint
from advisor.probe.trace import Trace
from advisor.sizing.settings import RunSettings

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
