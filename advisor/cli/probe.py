"""`rig-advisor probe`: run a model, or its ghost, on this machine and measure."""

import argparse
import signal
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any, Final

from pydantic import ValidationError

from advisor.cli.options import settings_of
from advisor.cli.output import DONE, NO, USAGE, complain, say, say_json, table
from advisor.cli.request import Sizer, first_problem, probes_of
from advisor.engine import folders
from advisor.engine.builds import EMBEDDED, Build, ask, discover
from advisor.engine.machine import read_machine
from advisor.errors import EngineError, ProbeError, SettingsError
from advisor.probe import store
from advisor.probe.calibrate import disturbed, measures_speed, teaches
from advisor.probe.consequences import consequences
from advisor.probe.devices import MonitoredDevices
from advisor.probe.prepare import prepare, probe_of
from advisor.probe.question import Measured, Noticed, PhaseStarted, ProbeEvent
from advisor.probe.result import ProbeResult, SpeedPoint
from advisor.probe.sampler import HOST
from advisor.sizing.settings import RunSettings
from advisor.units import rate, speed
from advisor.units import size as people

_ENDS: Final = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""What ends a run as its Stop does; the last is a terminal that was closed."""


def _tell(event: ProbeEvent) -> None:
    """Progress, on stderr: stdout is for the result."""
    if isinstance(event, PhaseStarted):
        complain(event.phase.name)
    elif isinstance(event, Measured):
        point = event.point
        complain(_speeds(point))
    elif isinstance(event, Noticed):
        complain(event.observation.sentence)


def _speeds(point: SpeedPoint) -> str:
    parts: list[str] = []
    if point.decode_tps is not None:
        parts.append(f"decode {rate(point.decode_tps)}{_spread(point.decode_spread)}")
    if point.prefill_tps is not None:
        spread = _spread(point.prefill_spread)
        parts.append(f"prefill {rate(point.prefill_tps)}{spread} ({point.n_prompt} tokens)")
    return f"depth {point.depth}: {', '.join(parts)}"


def _spread(value: float | None) -> str:
    return "" if value is None else f" ± {speed(value)}"


def show(result: ProbeResult) -> None:
    """A result for people."""
    kind = " (ghost)" if result.ghost else ""
    if result.layers is not None:
        few, more, count = result.layers
        kind = f" (extrapolated from ghosts with {few} and {more} of {count} layers)"
    how = " by llama-bench" if result.method == "llama-bench" else ""
    say(f"{result.title}{kind}{how}: {result.ending.sentence}")
    rows = [["", "planned", "measured", "lowest free"]]
    for place in result.places:
        sizes = (place.planned, place.peak, place.lowest_free)
        title = place.title if place.name == HOST else f"{place.title} ({place.name})"
        rows.append([title, *(people(size) for size in sizes)])
    table(rows)
    for point in result.speeds:
        say(_speeds(point))
    for observation in result.observations:
        say(f"note: {observation.sentence}")
    for sentence in (*consequences(result), _taught(result)):
        if sentence:
            say(f"note: {sentence}")


def _taught(result: ProbeResult) -> str:
    """What becomes of other figures of this machine."""
    if result.ending.state != "done":
        return ""
    if not measures_speed(result):
        return "This probe does not calibrate other figures."
    if not teaches(result):
        return "Too few tokens were generated for it to calibrate other figures."
    if disturbed(result):
        return (
            "It was disturbed: it calibrates other figures only until there is an undisturbed "
            "probe, and their ranges stay wide."
        )
    return "Speeds on this machine are calibrated by this probe from now on."


def _builds(named: str | None, *, bench: bool) -> tuple[tuple[Build, ...], str | None]:
    """The llama.cpp builds to choose from, and the path of the one that was named."""
    if named == EMBEDDED:
        return discover(folders.named()), ""
    if named is not None:
        program = folders.find(Path(named).expanduser())
        build = ask(program)
        if build.problem:
            raise EngineError(build.problem)
        return (build,), build.path
    builds = discover(folders.named())
    # Only those with a llama-bench beside them can run it.
    able = tuple(build for build in builds if build.has_bench) if bench else ()
    return able or builds, None


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
    builds, wanted = _builds(arguments.engine, bench=arguments.bench)
    prepared = prepare(
        model,
        rig,
        settings,
        builds=builds,
        wanted=wanted,
        method="llama-bench" if arguments.bench else "server",
        seconds=arguments.seconds,
        anyway=arguments.anyway,
        probes=probes_of(rig),
    )
    complain(f"with {prepared.choice.build.title}")
    for objection in prepared.objections:
        if arguments.anyway or not objection.refuses:  # others are the reason why it ends
            complain(objection.sentence)
    rig = prepared.question.rig
    devices = MonitoredDevices(rig) if rig.devices else None
    if prepared.short is not None and not arguments.anyway:
        complain("Say --anyway to run the two short stand-ins.")
        return NO
    probe = probe_of(prepared, devices=devices, on_event=_tell)

    def interrupted(_number: int, _frame: FrameType | None) -> None:
        probe.stop()

    # What nohup ignores stays ignored.
    heard = [number for number in _ENDS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interrupted) for number in heard}
    try:
        result = probe.run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    try:
        store.save(result)
    except ProbeError as error:
        complain(str(error))
    if arguments.json:
        complain(result.ending.sentence)
        say_json(result.model_dump(mode="json", exclude={"trace"}))
    else:
        show(result)
    return DONE if result.ending.state == "done" else NO
