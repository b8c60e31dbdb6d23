"""Parts of a layer's experts in RAM: never slower, never beyond the margin, near the best."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.hardware.compose import parse_rig
from advisor.hardware.rig import Rig
from advisor.llm.catalogue import catalogue
from advisor.llm.model import Model
from advisor.sizing import size
from advisor.sizing.allocation import allocate, room
from advisor.sizing.expert_parts import _IN_RAM, WORTH, in_parts
from advisor.sizing.goal import goal_seconds
from advisor.sizing.settings import RunSettings
from advisor.sizing.solver import solve
from advisor.sizing.verdict import headrooms
from tests import tiny

MODEL = tiny.tiny({**tiny.MOE, "num_hidden_layers": 6, "moe_intermediate_size": 2048})
FIT = RunSettings(ctx=1024, n_gpu_layers="fit", n_cpu_moe="fit", margin=1 << 20)


def named(name: str, file_type: str) -> Model:
    return catalogue().find(name).model(file_type)


@pytest.mark.parametrize(
    ("name", "file_type", "cards", "gain"),
    [
        ("zai-org/GLM-4.5-Air", "Q4_K_M", "3x RTX 3090 + 64 GB DDR5-5600", 0.10),
        ("openai/gpt-oss-120b", "MXFP4_MOE", "2x RTX 5090 + 64 GB DDR5-5600", 0.10),
        ("openai/gpt-oss-20b", "MXFP4_MOE", "RTX 3060 12GB + 32 GB DDR4-3200", 0.03),
    ],
)
def test_what_whole_layers_leave_empty_is_used(name, file_type, cards, gain):
    model, rig = named(name, file_type), parse_rig(cards)
    asked = RunSettings(ctx=32768, n_gpu_layers="fit", n_cpu_moe="fit")
    plain, fine = size(model, rig, asked), size(model, rig, asked, finely=True)
    assert not plain.settings.override_tensor
    assert fine.settings.override_tensor
    assert plain.speed.decode_tps is not None
    assert fine.speed.decode_tps is not None
    assert fine.speed.decode_tps.mid > (1 + gain) * plain.speed.decode_tps.mid
    assert all((d.headroom or 0) >= asked.margin for d in fine.devices if d.layers)
    assert int(fine.settings.n_cpu_moe) < int(plain.settings.n_cpu_moe)
    assert any(word.startswith("blk") for word in fine.command)


def test_what_somebody_chose_stays():
    model, rig = named("openai/gpt-oss-20b", "MXFP4_MOE"), parse_rig("RTX 3060 12GB + 32 GB")
    for fixed in ({"n_cpu_moe": 3}, {"n_cpu_moe": "fit", "override_tensor": ("output=CPU",)}):
        asked = RunSettings.model_validate({"ctx": 32768, "n_gpu_layers": "all", **fixed})
        plan = size(model, rig, asked, finely=True)
        assert plan.settings.override_tensor == asked.override_tensor


def cramped(shares: list[float], names: tuple[str, ...]) -> Rig:
    """Cards that hold such shares of the model beside their buffers."""
    rig = parse_rig(" + ".join((*names[: len(shares)], "64 GB DDR5-6000")))
    drivers = room(rig).driver
    devices = tuple(
        device.model_copy(
            update={"memory_total": (driver or 0) + (24 << 20) + int(MODEL.nbytes * share)}
        )
        for device, driver, share in zip(rig.devices, drivers, shares, strict=True)
    )
    return rig.model_copy(update={"devices": devices})


def seconds(rig: Rig, asked: RunSettings) -> float | None:
    """Of a run that keeps its margin, else None."""
    space = room(rig)
    allocation = allocate(MODEL, asked, space.backends, space.free)
    left = headrooms(allocation, space)
    used = {d for d in allocation.placement.layer_device if d >= 0}
    if any((left[d] or 0) < asked.margin for d in used):
        return None
    return goal_seconds(MODEL, rig, asked, allocation.placement)


def every_way(n_devices: int, n_layers: int):
    """Settings with the first layers away and any part of the layer behind, on every device."""
    for counts in product(range(n_layers + 1), repeat=n_devices):
        if sum(counts) != n_layers:
            continue
        starts = [sum(counts[:d]) for d in range(n_devices)]
        for away in range(n_layers):
            for thirds in product(range(3), repeat=n_devices):
                places = [max(start, away) for start in starts]
                parts = {
                    place: _IN_RAM[third].format(il=place)
                    for place, third in zip(places, thirds, strict=True)
                    if third and place < n_layers - 1
                }
                yield FIT.model_copy(
                    update={
                        "n_gpu_layers": "all",
                        "n_cpu_moe": away,
                        "tensor_split": tuple(map(float, counts)) if n_devices > 1 else (),
                        "override_tensor": tuple(parts.values()),
                    }
                )


@settings(max_examples=12, deadline=None)
@given(st.lists(st.floats(0.15, 0.6), min_size=1, max_size=2))
def test_never_slower_and_never_beyond_the_margin(shares: list[float]):
    rig = cramped(shares, ("RTX 4090", "RTX 3090"))
    solved = solve(MODEL, rig, FIT, room(rig))
    fine = in_parts(MODEL, rig, solved, room(rig))
    if fine == solved:
        return
    before, after = seconds(rig, solved), seconds(rig, fine)
    assert before is not None
    assert after is not None
    assert after < before * (1 - WORTH)


@pytest.mark.parametrize("shares", [(0.45,), (0.3, 0.25), (0.25, 0.4)])
def test_near_the_best_of_all_ways(shares):
    rig = cramped(list(shares), ("RTX 4090", "RTX 3090"))
    fine = in_parts(MODEL, rig, solve(MODEL, rig, FIT, room(rig)), room(rig))
    ours = seconds(rig, fine)
    best = min(s for way in every_way(len(shares), 7) if (s := seconds(rig, way)) is not None)
    assert ours is not None
    assert ours <= best * 1.06
