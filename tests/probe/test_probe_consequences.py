"""What a person should know where a run was not as predicted."""

import pytest
from probe_cases import result

from advisor.basis import Range
from advisor.probe.consequences import consequences
from advisor.probe.result import Component, Ending, Observation, PlaceResult
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


def test_a_run_that_broke_off_proves_nothing():
    ending = Ending(state="stopped", sentence="The probe was stopped.")
    parts = place(("context", MIB, GIB), left=0)
    assert consequences(result(places=(parts,), ending=ending)) == []
