"""Speeds of one model on one rig, for the tests of speed."""

from advisor.hardware.rig import Rig
from advisor.llm.catalogue import catalogue
from advisor.llm.model import Model
from advisor.sizing.calibration import Calibration
from advisor.sizing.placement import place
from advisor.sizing.plan import Speed
from advisor.sizing.settings import RunSettings
from advisor.sizing.speed import predict


def model(name: str, file_type: str = "Q4_K_M") -> Model:
    return catalogue().find(name).model(file_type)


def speed(
    of: Model,
    rig: Rig,
    calibration: Calibration | None = None,
    file_bytes: int | None = None,
    **changes: object,
) -> Speed:
    wanted = RunSettings.model_validate(changes)
    assert of.hp is not None
    placement = place(
        n_layer_all=of.hp.n_layer_all,
        settings=wanted,
        free=[d.memory_free for d in rig.devices],
        backends=[d.backend for d in rig.devices],
    )
    return predict(of, rig, wanted, placement, calibration, file_bytes=file_bytes)


def mid(found: Speed) -> float:
    assert found.decode_tps is not None
    return found.decode_tps.mid
