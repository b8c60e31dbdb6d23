"""What the owner of this machine stated about its devices: kept, and put in at every detection."""

import json
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from advisor import paths
from advisor.errors import RigError
from advisor.hardware.imagined import with_field
from advisor.hardware.rig import Device, Reading

_FILE = "corrected_devices.json"
STATED = "as you wrote"


class Correction(BaseModel):
    """Facts that replace what was read; None leaves it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    memory_total: int | None = Field(default=None, gt=0)
    """Bytes."""
    bandwidth_gbs: float | None = Field(default=None, gt=0)


_File = TypeAdapter(dict[str, Correction])


def _key(device: Device) -> str:
    """One product of this machine: cards of one kind are corrected together."""
    return f"{device.pci_id or ''}|{device.name}"


def _known() -> dict[str, Correction]:
    try:
        return _File.validate_json((paths.data() / _FILE).read_bytes())
    except (OSError, ValidationError):
        return {}


def corrected(device: Device, correction: Correction) -> Device:
    """The device with the stated facts; what was read of them stays as a second source."""
    for name, value in correction.model_dump(exclude_none=True).items():
        read = getattr(device, name)
        if read == value:
            continue
        if read is not None:
            earlier = Reading(value=float(read), source=device.sources.get(name, "detection"))
            known = (*device.alternatives.get(name, ()), earlier)
            alternatives = device.alternatives | {name: known}
            device = device.model_copy(update={"alternatives": alternatives})
        device = with_field(device, name, value)
    return device


def applied(devices: Sequence[Device]) -> tuple[Device, ...]:
    """This machine's devices with what their owner stated of them."""
    known = _known()
    return tuple(
        corrected(device, known[_key(device)]) if _key(device) in known else device
        for device in devices
    )


def keep(device: Device, correction: Correction | None) -> None:
    """Remember a correction for devices of this kind; None forgets it. Raises RigError."""
    known = _known()
    if correction is None:
        known.pop(_key(device), None)
    else:
        known[_key(device)] = correction
    target = paths.data() / _FILE
    scratch = target.with_suffix(".part")
    content = {name: fact.model_dump(exclude_none=True) for name, fact in known.items()}
    try:
        scratch.write_text(json.dumps(content, indent=1), encoding="utf-8")
        scratch.replace(target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise RigError(f"The correction could not be kept: {reason}.") from error
