"""A session as it goes to others inside a report: nothing that only its owner's machine needs.

Serial numbers, programs that were running and the name of the home folder change nothing in the
report. Everything that the report follows from stays.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from advisor.hardware.report import without_names
from advisor.hardware.rig import Device, Rig
from advisor.paths import without_home
from advisor.probe.result import ProbeResult
from advisor.session.document import Session
from advisor.sizing.settings import RunSettings


def for_others(session: Session) -> Session:
    """Without UUIDs, bus addresses, programs, host names, and with ``~`` for the home folder."""
    rig = None if session.rig is None else _rig(session.rig)
    probes = tuple(_told(probe) for probe in session.probes)
    return _with_paths(session.model_copy(update={"rig": rig, "probes": probes}), without_home)


def as_own(session: Session) -> Session:
    """With this user's home folder for ``~``."""
    return _with_paths(session, lambda path: str(Path(path).expanduser()))


def _rig(rig: Rig) -> Rig:
    hosts = tuple(
        h.model_copy(update={"name": "", "disk_path": None, "unknown": _reasons(h.unknown)})
        for h in rig.hosts
    )
    update = {
        "problems": tuple(map(without_names, rig.problems)),
        "devices": tuple(map(_device, rig.devices)),
        "ignored": tuple(map(_device, rig.ignored)),
        "hosts": hosts,
    }
    return rig.model_copy(update=update)


def _device(device: Device) -> Device:
    return device.model_copy(
        update={
            "uuid": None,
            "pci_address": None,
            "processes": (),
            "unknown": _reasons(device.unknown),
        }
    )


def _reasons(unknown: Mapping[str, str]) -> dict[str, str]:
    """Why something could not be read, as the system worded it."""
    return {name: without_names(why) for name, why in unknown.items()}


def _told(probe: ProbeResult) -> ProbeResult:
    """What the engine's log says of paths and names goes too."""
    ending = probe.ending.model_copy(
        update={
            "sentence": without_names(probe.ending.sentence),
            "detail": without_names(probe.ending.detail),
        }
    )
    return probe.model_copy(update={"rig": _rig(probe.rig), "ending": ending})


def _with_paths(session: Session, change: Callable[[str], str]) -> Session:
    model = session.model
    if model is not None:
        model = model.model_copy(update={"model": _path(model.model, change)})
    probes = tuple(
        probe.model_copy(
            update={
                "path": None if probe.path is None else Path(change(str(probe.path))),
                "settings": _settings(probe.settings, change),
                "engine": probe.engine.model_copy(
                    update={"name": _path(probe.engine.name, change)}
                ),
            }
        )
        for probe in session.probes
    )
    update = {"model": model, "settings": _settings(session.settings, change), "probes": probes}
    return session.model_copy(update=update)


def _settings(settings: RunSettings, change: Callable[[str], str]) -> RunSettings:
    paths = {name: _path(getattr(settings, name), change) for name in ("model_draft", "mmproj")}
    return settings.model_copy(update=paths)


def _path(text: str, change: Callable[[str], str]) -> str:
    """Names of models stay as they are: only a path begins at a root or at home."""
    return change(text) if text.startswith("~") or Path(text).is_absolute() else text
