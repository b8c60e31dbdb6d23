"""Advice says that what it wants probed was probed already, and why that taught too little."""

import pytest
from probe_cases import result

from advisor.advice.options import Option
from advisor.answers import probed_in_vain
from advisor.probe.result import Observation, SpeedPoint

FAST = SpeedPoint(depth=0, n_prompt=512, n_decode=64, prefill_tps=900, ttft_s=0.6, decode_tps=50)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"speeds": (FAST.model_copy(update={"n_decode": 2}),)}, "too few tokens were generated"),
        (
            {"observations": (Observation(kind="busy", at_ms=0, sentence="Busy."),)},
            "other programs or heat held it back",
        ),
        (
            {"observations": (Observation(kind="swap", at_ms=0, sentence="Swap."),)},
            "the machine swapped",
        ),
        ({}, ""),
    ],
)
def test_a_probe_in_vain_is_told(changes: dict[str, object], why: str) -> None:
    probe = result(**{"speeds": (FAST,), **changes})
    wanted = Option(
        id="here", kind="keep", title="", model_id=probe.model_id, file_type=probe.file_type
    )
    told = probed_in_vain(wanted, [probe], probe.rig)
    assert told.endswith(f"because {why}." if why else "")
    assert bool(told) == bool(why)
    assert not told or f"{probe.created.astimezone():%Y-%m-%d %H:%M}, which" in told
    assert not probed_in_vain(None, [probe], probe.rig)
