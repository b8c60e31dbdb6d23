"""What a person should know where a run was not as predicted."""

from dataclasses import replace

import pytest
from probe_cases import result

from advisor.basis import Range
from advisor.engine.builds import Build
from advisor.hardware.compose import parse_rig
from advisor.llm.catalogue import catalogue
from advisor.probe.conclude import beside_predicted
from advisor.probe.consequences import GHOSTS_PROMPTS, consequences
from advisor.probe.question import Question
from advisor.probe.result import Component, Ending, Observation, PlaceResult, SpeedPoint
from advisor.sizing import size
from advisor.sizing.settings import RunSettings
from advisor.units import GIB, MIB


def place(*parts: tuple[str, int, int | None], name="CUDA0", left=8 * GIB) -> PlaceResult:
    return PlaceResult(
        name=name,
        title="RTX 4090",
        capacity=24 * GIB,
        before=0,
        peak=GIB,
        planned=GIB,
        lowest_free=left,
        components=tuple(
            Component(name=part, planned=planned, engine=engine) for part, planned, engine in parts
        ),
    )


@pytest.mark.parametrize(
    ("part", "planned", "engine", "said"),
    [
        ("context", 900 * MIB, 903 * MIB, ""),
        ("context", 900 * MIB, 1000 * MIB, "Context: llama.cpp b11549 allocated 100 MiB more"),
        (
            "compute",
            300 * MIB,
            100 * MIB,
            "Compute buffers: llama.cpp b11549 allocated 0.2 GiB",
        ),
        ("driver", 600 * MIB, 630 * MIB, ""),
        ("driver", 600 * MIB, 700 * MIB, "count 0.7 GiB for it"),
        ("program", 50 * MIB, 90 * MIB, ""),
        ("program", 50 * MIB, 450 * MIB, "llama.cpp itself holds 0.4 GiB more of CUDA0"),
        ("weights", GIB, None, ""),
    ],
)
def test_a_part_that_differs_much_says_what_follows(part, planned, engine, said):
    found = consequences(result(places=(place((part, planned, engine)),)))
    assert len(found) == bool(said)
    assert said in "".join(found)


def test_many_devices_share_a_sentence():
    places = tuple(
        place(("driver", 600 * MIB, (670 + n) * MIB), ("context", GIB, GIB), name=f"CUDA{n}")
        for n in range(8)
    )
    (said,) = consequences(result(places=places))
    assert "77 MiB more of CUDA7 (and of 7 more) than" in said


def test_little_left_is_told_and_where():
    (said,) = consequences(result(places=(place(name="host", left=100 * MIB),)))
    assert said.startswith("Only 100 MiB of RAM stayed free")


@pytest.mark.parametrize(
    ("kind", "said"),
    [(None, "predicted by what was measured"), ("busy", "no more than this"), ("swap", None)],
)
def test_a_speed_outside_its_range_says_what_follows(kind, said):
    point = (
        result()
        .speeds[0]
        .model_copy(update={"decode_predicted": Range(low=10.0, mid=11.0, high=12.0)})
    )
    seen = () if kind is None else (Observation(kind=kind, at_ms=0, sentence="It happened."),)
    found = consequences(result(speeds=(point,), observations=seen))
    assert len(found) == (said is not None)
    assert all(line.startswith("Decoding is 18% slower than") and said in line for line in found)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"settings": RunSettings(n_cpu_moe=8)}, True),
        ({"settings": RunSettings(override_tensor=("blk.1.ffn_up_exps=CPU",))}, True),
        ({"settings": RunSettings()}, False),
        ({"settings": RunSettings(n_cpu_moe=8), "ghost": False}, False),
        ({"settings": RunSettings(n_cpu_moe=8), "rig": parse_rig("CPU only 64 GB")}, False),
    ],
)
def test_a_ghosts_prompts_with_experts_in_ram_are_not_the_models(changes, said):
    found = consequences(result(**{"rig": parse_rig("RTX 4090 + 64 GB"), **changes}))
    assert found == ([GHOSTS_PROMPTS] if said else [])


@pytest.mark.parametrize("method", ["server", "llama-bench"])
def test_a_ghost_is_held_against_what_a_ghost_does(method, tmp_path):
    """Not against a text of the model, which has less copied for a prompt."""
    rig = parse_rig("RTX 3060 + 64 GB DDR4-3200")
    settings = RunSettings(ctx=4096, n_cpu_moe=48)
    of = catalogue().find("Qwen/Qwen3-30B-A3B").model("Q4_K_M")
    build = Build(kind="program", path="llama-server", version="b11549", backends=("cuda",))
    point = SpeedPoint(
        depth=0, n_prompt=512, prefill_tps=100.0, ttft_s=5.0, n_decode=32, decode_tps=20.0
    )
    own = replace(of, path=tmp_path / "own.gguf")
    held = []
    for model in (of, own):
        question = Question(model, rig, settings, None, build, method=method)
        assert question.ghost is (model is of)
        (told,) = beside_predicted(question, [point])
        held.append(told)
    ghost, file = held
    assert ghost.decode_predicted == file.decode_predicted
    assert ghost.prefill_predicted.mid < 0.85 * file.prefill_predicted.mid
    expected = size(of, rig, settings.model_copy(update={"n_prompt": 512}), ghost=True).speed
    assert ghost.prefill_predicted == expected.prefill_tps


def test_a_run_that_broke_off_proves_nothing():
    ending = Ending(state="stopped", sentence="The probe was stopped.")
    parts = place(("context", MIB, GIB), left=0)
    assert consequences(result(places=(parts,), ending=ending)) == []
