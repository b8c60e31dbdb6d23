"""A rig as JSON: saved, loaded, or read from what ``detect --json`` wrote on another machine."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from advisor.errors import RigError
from advisor.hardware.rig import Rig

_LARGEST = 4 << 20
"""Bytes of a rig file; a hundred devices need about 200 KiB."""


def rig_to_json(rig: Rig) -> str:
    """The whole rig, readable by `rig_from_json` of this and later versions."""
    return rig.model_dump_json(indent=1)


def rig_from_json(document: str | bytes | Mapping[str, Any]) -> Rig:
    """A rig from JSON, or from an object that holds one under ``"rig"``. Raises RigError."""
    data: object = document
    if isinstance(document, str | bytes):
        try:
            data = json.loads(document)
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise RigError("This is not a rig file: it is not JSON.", detail=str(error)) from error
    if not isinstance(data, Mapping):
        raise RigError("This is not a rig file: it holds no rig.")
    fields = cast("Mapping[str, Any]", data)
    inner = fields.get("rig", fields)
    if not isinstance(inner, Mapping) or "hosts" not in inner:
        raise RigError("This is not a rig file: it names no devices and no host.")
    try:
        rig = Rig.model_validate(cast("Mapping[str, Any]", inner))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        message = f"The rig file cannot be used: {where}: {first['msg']}."
        raise RigError(message, detail=str(error)) from error
    if not rig.hosts:
        raise RigError("The rig file cannot be used: it names no host.")
    if any(not 0 <= device.host_index < len(rig.hosts) for device in rig.devices):
        raise RigError("The rig file cannot be used: a device sits in a host that is not there.")
    ends = {end for link in rig.links for end in (link.from_host, link.to_host)}
    if not ends <= set(range(len(rig.hosts))):
        raise RigError("The rig file cannot be used: a network leads to a host that is not there.")
    return rig


def imported(rig: Rig) -> Rig:
    """A rig that another machine detected: shown as imagined here, since it is not this machine."""
    name = rig.name if rig.imagined else f"Imported: {rig.name}"
    return rig.model_copy(update={"name": name, "imagined": True})


def save_rig(rig: Rig, path: Path) -> None:
    """Write a rig, whole or not at all. Raises RigError when the file cannot be written."""
    scratch = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        scratch.write_text(rig_to_json(rig), encoding="utf-8")
        scratch.replace(path)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        reason = error.strerror or str(error)
        raise RigError(f"The rig could not be saved to {path}: {reason}.") from error


def load_rig(path: Path) -> Rig:
    """Read a saved rig, or another machine's ``detect --json``. Raises RigError."""
    try:
        if path.stat().st_size > _LARGEST:
            raise RigError(f"{path.name} is too large to be a rig file.")
        return imported(rig_from_json(path.read_bytes()))
    except OSError as error:
        reason = error.strerror or str(error)
        raise RigError(f"The rig could not be read from {path}: {reason}.") from error
