"""That a range is wide because few have measured such a device is said, from the fit's own data."""

from collections import Counter

import pytest

from advisor.hardware.compose import parse_rig
from advisor.hardware.rig import Device
from advisor.llm.catalogue import catalogue
from advisor.sizing import size
from advisor.sizing.bench_rows import bench_data
from advisor.sizing.calibration import Calibration
from advisor.sizing.notes import of_few_rows
from advisor.sizing.plan import Plan
from advisor.sizing.settings import RunSettings
from advisor.sizing.speed_class import class_of
from advisor.sizing.speed_data import speed_data

MODEL = catalogue().find("Qwen/Qwen3-8B").model("Q4_K_M")
ARC = "Arc B580 + 32 GB DDR5-6000"
FEW = "Few published speeds"
NONE = "No published speeds"


def planned(rig: str, calibration: Calibration | None = None, **settings: object) -> Plan:
    asked = RunSettings.model_validate({"ctx": 4096, **settings})
    return size(MODEL, parse_rig(rig), asked, calibration=calibration)


def told(plan: Plan) -> list[str]:
    return [note for note in plan.speed.notes if note.startswith((FEW, NONE))]


def test_it_is_said_where_the_figure_is_opened() -> None:
    plan = planned(ARC)
    (sentence,) = told(plan)
    for key in ("speed.decode", "speed.prefill"):
        assert sentence in plan.explanations[key].notes
    fitted = speed_data().classes["vulkan-arc"]
    pages = {
        row.url or row.by
        for row in bench_data().rows
        if row.speed_class == "vulkan-arc"
        and not (row.decode_error is None and row.prefill_error is None)
    }
    assert "with Vulkan on devices like Arc B580" in sentence
    assert f"{fitted.rows_decode} figures of decoding" in sentence
    assert f"from {len(pages)} pages" in sentence
    assert f"{fitted.widen:.1f} times as wide" in sentence


def test_every_wider_kind_is_told_and_no_other() -> None:
    """By the data alone: a refit that finds more pages takes the sentence away."""
    card = parse_rig(ARC).devices[0]
    scarce = {key for key, kind in speed_data().classes.items() if kind.widen > 1}
    assert scarce
    devices: dict[str, Device] = {}
    for row in bench_data().rows:
        backend, architecture = row.speed_class.split("-", 1)
        shared = architecture.endswith("-shared")
        devices[row.speed_class] = card.model_copy(
            update={
                "name": row.gpu,
                "backend": backend,
                "architecture": architecture.removesuffix("-shared"),
                "unified": shared,
            }
        )
    known = {key: found for key, d in devices.items() if (found := class_of(d)) is not None}
    seen = Counter[bool]()
    for key, (name, fitted, borrowed) in known.items():
        sentences = of_few_rows([devices[key]])
        wider = borrowed * fitted.widen > 1
        assert bool(sentences) == wider, key
        assert all(s.startswith(NONE if borrowed > 1 else FEW) for s in sentences), name
        seen[wider] += 1
    assert min(seen[True], seen[False]) > 5


def test_a_kind_with_constants_of_others_says_whose() -> None:
    (sentence,) = told(planned("RX 6800M + 32 GB DDR4-3200"))
    (lent,) = (
        b for b in speed_data().borrowed if (b.backend, b.architecture) == ("vulkan", "rdna2")
    )
    gpus = Counter(r.gpu for r in bench_data().rows if r.speed_class == lent.like)
    assert sentence.startswith(f"{NONE} of llama.cpp with Vulkan")
    assert gpus.most_common(1)[0][0] in sentence
    assert f"{lent.widen:.1f} times as wide" in sentence


@pytest.mark.parametrize(
    ("rig", "settings"),
    [("RTX 4090 + 64 GB DDR5-6000", {}), (ARC, {"n_gpu_layers": 0, "kv_offload": False})],
)
def test_it_is_not_said_of_what_many_measured_or_nothing_runs_on(
    rig: str, settings: dict[str, object]
) -> None:
    assert not told(planned(rig, **settings))


def test_a_probe_takes_it_away() -> None:
    measured = Calibration(bandwidth_factor=1.1, source="probe", spread=0.1)
    assert measured.of_devices
    assert not told(planned(ARC, measured))
