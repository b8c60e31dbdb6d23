"""`rig-advisor probe`: run a model, or its ghost, on this machine and measure."""

import argparse
import signal
from dataclasses import replace
from types import FrameType
from typing import Any

from pydantic import ValidationError

from advisor.cli.options import settings_of
from advisor.cli.output import DONE, NO, USAGE, complain, say, say_json, table
from advisor.cli.request import Sizer, first_problem
from advisor.engine.machine import read_machine
from advisor.errors import SettingsError
from advisor.probe import store
from advisor.probe.devices import MonitoredDevices
from advisor.probe.prepare import prepare, probe_of
from advisor.probe.question import Measured, Noticed, PhaseStarted, ProbeEvent
from advisor.probe.result import ProbeResult
from advisor.sizing.settings import RunSettings
from advisor.units import rate
from advisor.units import size as people


def _tell(event: ProbeEvent) -> None:
    """Progress, on stderr: stdout is for the result."""
    if isinstance(event, PhaseStarted):
        complain(event.phase.name)
    elif isinstance(event, Measured):
        point = event.point
        complain(f"depth {point.depth}: {rate(point.decode_tps)}")
    elif isinstance(event, Noticed):
        complain(event.observation.sentence)
    else:
        complain(event.result.ending.sentence)


def show(result: ProbeResult) -> None:
    """A result for people."""
    say(f"{result.title}{' (ghost)' if result.ghost else ''}: {result.ending.sentence}")
    rows = [["", "planned", "measured", "lowest free"]]
    for place in result.places:
        sizes = (place.planned, place.peak, place.lowest_free)
        rows.append([place.title or place.name, *(people(size) for size in sizes)])
    table(rows)
    for point in result.speeds:
        say(
            f"depth {point.depth}: decode {rate(point.decode_tps)}, "
            f"prefill {rate(point.prefill_tps)} ({point.n_prompt} tokens)"
        )
    for observation in result.observations:
        say(f"note: {observation.sentence}")


def run(arguments: argparse.Namespace) -> int:
    """Probe. 1: it did not run to its end."""
    if arguments.model is None:
        complain("probe needs a model")
        return USAGE
    given: dict[str, Any] = settings_of(arguments)
    try:
        settings = RunSettings.model_validate({"ctx": 4096, **given})
    except ValidationError as error:
        raise SettingsError(first_problem(error)) from error
    model = Sizer().model(arguments.model, arguments.file_type, imatrix=arguments.imatrix)
    if arguments.ghost:
        model = replace(model, path=None)
    rig = read_machine()
    prepared = prepare(model, rig, settings, seconds=arguments.seconds, anyway=arguments.anyway)
    complain(f"with {prepared.choice.build.title}")
    for objection in prepared.objections:
        complain(objection.sentence)
    rig = prepared.question.rig
    devices = MonitoredDevices(rig) if rig.devices else None
    if prepared.short is not None and not arguments.anyway:
        complain("Say --anyway to run the two short stand-ins.")
        return NO
    probe = probe_of(prepared, devices=devices, on_event=_tell)

    def interrupted(_number: int, _frame: FrameType | None) -> None:
        probe.stop()

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        result = probe.run()
    finally:
        signal.signal(signal.SIGINT, before)
    store.save(result)
    if arguments.json:
        say_json(result.model_dump(mode="json", exclude={"trace"}))
    else:
        show(result)
    return DONE if result.ending.state == "done" else NO
