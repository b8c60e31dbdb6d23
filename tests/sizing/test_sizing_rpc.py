"""Devices of other machines: what llama.cpp's RPC backend takes of them, and what it leaves near.

Recorded from llama.cpp b11549 with one simulated CUDA device behind rpc-server and one before it.
"""

from typing import Any

import pytest

from advisor.hardware.compose import parse_rig
from advisor.llm.catalogue import catalogue
from advisor.sizing import size
from advisor.sizing.allocation import allocate, room
from advisor.sizing.settings import RunSettings

RIG = parse_rig("RTX 4090 + 64 GB DDR5-6000 over 10GbE with RTX 4090 + 64 GB DDR5-6000")


@pytest.mark.parametrize(
    ("asked", "far", "near", "host"),
    [
        ({}, (9411640576, 419430400, 176218112), (8964057856, 385875968, 151036416), 75571328),
        # What a batch needs of RAM is copied to the near device, even where it holds no layer.
        (
            {"n_cpu_moe": "all"},
            (295314432, 419430400, 41957376),
            (527209472, 385875968, 282853248),
            25184288,
        ),
        (
            {"n_gpu_layers": 20},
            (3722916352, 167772160, 88614912),
            (3783279872, 150994944, 266342656),
            25184288,
        ),
        ({"n_gpu_layers": 0}, (0, 0, 0), (0, 0, 266342656), 25184288),
        (
            {"kv_offload": False},
            (9411640576, 0, 100669440),
            (8964057856, 0, 134219776),
            25184288,
        ),
    ],
)
def test_far_devices_take_over_nothing_from_ram(
    asked: dict[str, Any], far: tuple[int, ...], near: tuple[int, ...], host: int
) -> None:
    model = catalogue().find("Qwen/Qwen3-30B-A3B").model("Q4_K_M")
    backends = room(RIG).backends
    settings = RunSettings.model_validate({"ctx": 8192, **asked})
    found = allocate(model, settings, backends, [24 << 30] * 2)
    assert found.context is not None
    assert found.compute is not None
    parts = (found.weights, found.context, found.compute)
    assert [tuple(part.devices[at] for part in parts) for at in (0, 1)] == [far, near]
    assert found.compute.host == host


def test_far_devices_are_named_as_llama_cpp_names_them() -> None:
    model = catalogue().find("Qwen/Qwen3-30B-A3B").model("Q4_K_M")
    asked = RunSettings(ctx=8192, override_tensor=(r"blk\.0\.ffn=RPC0", "output=CUDA0"))
    plan = size(model, RIG, asked, longest=False)
    assert [device.name for device in plan.devices] == ["RPC0", "CUDA0"]
    assert plan.devices[1].weights > size(model, RIG, RunSettings(ctx=8192)).devices[1].weights


def test_the_solver_leaves_room_where_copies_go() -> None:
    model = catalogue().find("openai/gpt-oss-120b").model("MXFP4_MOE")
    plan = size(model, RIG, RunSettings(ctx=32768, n_gpu_layers="fit", n_cpu_moe="fit"))
    assert plan.verdict == "offload"
    assert all((d.headroom or 0) >= plan.settings.margin for d in plan.devices if d.layers)
