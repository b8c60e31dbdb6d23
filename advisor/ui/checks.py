"""What the Fit page asks about one cell: why it does not fit, and what llama.cpp says. No Qt."""

import datetime as dt
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from advisor import answers
from advisor.advice.instead import api_sentence, instead, priced
from advisor.advice.usage import Usage
from advisor.engine import builds, folders
from advisor.engine.builds import Build
from advisor.engine.command import devices_for
from advisor.engine.dry_run import DryRun, Part, cannot, dry_run
from advisor.errors import EngineError
from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.probe.calibrate import learn
from advisor.probe.result import ProbeResult
from advisor.session import ModelChoice
from advisor.sizing import why_not as ways
from advisor.sizing.plan import Plan
from advisor.sizing.prompt_ways import prompt_ways
from advisor.sizing.settings import RunSettings
from advisor.sizing.ways_out import BOUGHT
from advisor.sizing.why_not import WhyNot

MIB: Final = 1 << 20


def why_not(
    choice: ModelChoice,
    rig: Rig,
    settings: RunSettings,
    probes: tuple[ProbeResult, ...],
    usage: Usage,
    *,
    plan: Plan,
    at: dt.datetime,
    cancelled: Callable[[], bool] = lambda: False,
    so_far: Callable[[WhyNot], None] = lambda _found: None,
) -> WhyNot:
    """What is missing, at most three ways out, and what would read prompts faster.

    ``plan``: what the settings lead to, which may lie partly in RAM. Raises RigAdvisorError.
    """
    model, calibration = answers.load_model(choice), learn(rig, probes)
    whole = answers.accompanied(model, settings)
    prompts = prompt_ways(whole, rig, settings, plan, calibration)

    def told(found: WhyNot) -> WhyNot:
        changes = tuple(priced(way, rig, usage) for way in found.changes)
        return replace(found, changes=changes, prompts=prompts)

    found = ways.why_not(
        answers.file_types_of(choice),
        model.file_type,
        rig,
        settings,
        calibration=calibration,
        least_tps=usage.min_decode_tps,
        instead=instead(rig, model, settings, usage, at.date()),
        cancelled=cancelled,
        so_far=lambda found: so_far(told(found)),
    )
    if len(found.changes) < ways.SHOWN or any(way.kind in BOUGHT for way in found.changes):
        nearest = " ".join(filter(None, (found.nearest, api_sentence(model, at))))
        found = replace(found, nearest=nearest)
    return told(found)


@dataclass(frozen=True, slots=True)
class Pair:
    """One part of a memory as llama.cpp says and as we computed it, in bytes."""

    said: int
    computed: int | None
    rounding: int = MIB
    """What llama.cpp's table may leave out: it shows whole MiB, line by line."""

    @property
    def agrees(self) -> bool:
        """As far as the table tells."""
        return self.computed is not None and abs(self.said - self.computed) < self.rounding


@dataclass(frozen=True, slots=True)
class Checked:
    """llama.cpp's own figures for a plan."""

    engine: str
    """``"llama.cpp b11549"``."""
    places: Mapping[str, Mapping[str, Pair]]
    """By place as in ``Plan.explanations`` ("CUDA0", "host"), then "weights", "context", …"""
    untold: tuple[Part, ...] = ()
    """Parts of the run that it did not account for."""

    @property
    def said(self) -> int:
        """Bytes of everything that llama.cpp accounts for."""
        return sum(pair.said for parts in self.places.values() for pair in parts.values())

    @property
    def computed(self) -> int | None:
        """The same parts as we computed them; None where we could not compute one of them."""
        known = [pair.computed for parts in self.places.values() for pair in parts.values()]
        return None if None in known else sum(value or 0 for value in known)

    @property
    def differing(self) -> tuple[tuple[str, str, Pair], ...]:
        """Place, part and figures where the two do not agree."""
        return tuple(
            (place, part, pair)
            for place, parts in self.places.items()
            for part, pair in parts.items()
            if not pair.agrees
        )


def cannot_check(rig: Rig) -> str:
    """Why llama.cpp cannot check this rig's plans here, as far as one knows without asking it."""
    if rig.devices and rig.imagined:
        return "llama.cpp cannot check this here: the rig's GPUs are not in this machine."
    return ""


def engine_for(rig: Rig, n_devices: int) -> Build:
    """The llama.cpp that can account for plans of this rig. Blocks while programs answer.

    Raises EngineError with a sentence where none can.
    """
    reason = cannot_check(rig)
    if reason:
        raise EngineError(reason)
    build = (
        builds.choose(builds.discover(folders.named()), rig).build
        if rig.devices
        else builds.embedded()
    )
    if rig.devices and len(build.devices) != n_devices:
        message = (
            f"llama.cpp cannot check this here: {build.title} sees {len(build.devices)} GPUs, "
            f"the rig has {n_devices}. A probe with a llama.cpp that uses them measures it."
        )
        raise EngineError(message)
    reason = cannot(build)
    if reason:
        raise EngineError(reason)
    return build


def check(model: Model, plan: Plan, rig: Rig, cancel: threading.Event) -> Checked:
    """Let llama.cpp account for a plan, without loading weights.

    Raises EngineError or SettingsError with a sentence, also when it was cancelled.
    """
    build = engine_for(rig, len(plan.devices))
    model = answers.accompanied(model, plan.settings)
    run = dry_run(
        model,
        plan.settings,
        build=build,
        n_devices=len(plan.devices),
        devices=devices_for(rig, build),
        cancel=cancel,
    )
    return Checked(f"llama.cpp {build.version}", figures(plan, run), run.untold)


def figures(plan: Plan, run: DryRun) -> Mapping[str, Mapping[str, Pair]]:
    """llama.cpp's figures beside those of the plan; equal ones are not rounded as it does."""
    places: dict[str, dict[str, Pair]] = {}
    for device, line in zip(plan.devices, run.devices, strict=True):
        places[device.name] = {
            "weights": _pair(line.model, device.weights),
            "context": _pair(line.context, device.context),
            "compute": _pair(line.compute, device.compute),
        }
    host = plan.host
    places["host"] = {
        "weights": _pair(run.host_model, host.weights, lines=1 + len(run.extra)),
        "context": _pair(run.host.context, host.context),
        "compute": _pair(run.host.compute, host.compute),
    }
    for name, draft, projector in _beside(plan, run):
        if draft is not None:
            places[name]["draft"] = draft
        if projector is not None:
            places[name]["projector"] = projector
    if run.output:
        places["host"]["output"] = _pair(sum(run.output.values()), host.output)
    return places


def _beside(plan: Plan, run: DryRun) -> Iterator[tuple[str, Pair | None, Pair | None]]:
    """What drafts and the projector, at every place of the plan."""
    rows = {row.name: row for row in run.draft}
    others = [row for row in run.draft if not row.is_device]
    held = [(d.name, d.draft, d.projector, [rows[d.name]] if d.name in rows else [])
            for d in plan.devices]  # fmt: skip
    held.append(("host", plan.host.draft, plan.host.projector, others))
    # llama.cpp tells one figure for all places: it stands at the one that holds the weights.
    whole = sum(projector for _, _, projector, _ in held)
    home = max(held, key=lambda place: place[2])[0]
    for name, computed, _, said in held:
        total = sum(row.model + row.context + row.compute for row in said)
        drafting = _pair(total, computed, lines=3 * len(said)) if said and computed != 0 else None
        projector = None
        if run.projector is not None and whole and name == home:
            projector = _pair(run.projector, whole if plan.projector_buffer else None)
        yield name, drafting, projector


def _pair(said: int, computed: int | None, *, lines: int = 1) -> Pair:
    rounded = Pair(said, computed, lines * MIB)
    return Pair(computed, computed) if rounded.agrees and computed is not None else rounded
