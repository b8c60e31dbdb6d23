"""From a model, this machine and settings to a question that can be probed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from advisor import paths
from advisor.engine import bench, folders
from advisor.engine.builds import Build, Choice, choose, discover, newer
from advisor.engine.told import told
from advisor.errors import EngineError, ModelError
from advisor.hardware.host import available_memory
from advisor.hardware.rig import Rig
from advisor.llm import ghost
from advisor.llm.companions import with_companions
from advisor.llm.ghost_scaled import Scaled, scaled
from advisor.llm.model import Model
from advisor.probe.calibrate import learn
from advisor.probe.preflight import Objection, preflight, short_ghosts
from advisor.probe.question import ProbeEvent, Question
from advisor.probe.result import Method, ProbeResult
from advisor.probe.run import Probe
from advisor.probe.sampler import DeviceSource
from advisor.probe.scaled_run import ScaledProbe
from advisor.probe.slow_zeros import filling
from advisor.sizing import size, size_anywhere
from advisor.sizing.settings import RunSettings


@dataclass(frozen=True, slots=True)
class Prepared:
    """What will be run, with which llama.cpp, and what speaks against it."""

    question: Question
    choice: Choice
    objections: tuple[Objection, ...]
    builds: tuple[Build, ...] = ()
    """All that were found."""
    short: Scaled | None = None
    """Two short ghosts to run in place of the whole, where the disk has no sparse files."""


def usable_rig(rig: Rig, build: Build) -> Rig:
    """The rig as a build can use it: without accelerators where it has no backend for them.

    An imagined rig cannot be probed; what is predicted for it has nothing to do with this machine.
    """
    if rig.imagined or build.problem:
        return rig
    backends = {device.backend for device in rig.devices}
    if rig.devices and not backends & set(build.backends):
        return rig.model_copy(update={"devices": ()})
    return rig


def prepare(
    model: Model,
    rig: Rig,
    settings: RunSettings,
    *,
    builds: tuple[Build, ...] | None = None,
    wanted: str | None = None,
    method: Method = "server",
    seconds: float = 30.0,
    anyway: bool = False,
    probes: Sequence[ProbeResult] = (),
) -> Prepared:
    """Choose a llama.cpp, plan the run on what it can use, and look for objections.

    builds: those that are known; None: look for them now, which asks every program found.
    wanted: the path of the one to use (empty: the embedded one); None: the best for the rig.
    probes: those that calibrate what is predicted.
    Where no llama.cpp works at all, that is an objection; what is predicted stands all the same.
    Raises EngineError when llama-bench is missing, ModelError where a draft model or a projector is
    not what it should be, and what ``size`` raises.
    """
    model = with_companions(model, draft=settings.model_draft, mmproj=settings.mmproj)
    if model.projector is not None and model.projector.path is None:
        message = (
            f"A probe loads the projector, and of {settings.mmproj} there is no file here. Name "
            "its mmproj GGUF file, or probe without it."
        )
        raise ModelError(message)
    # One that was killed could not take its own away.
    ghost.remove_stale(paths.cache() / "ghosts")
    if builds is None:
        builds = discover(folders.named())
    choice = _chosen(builds, rig, wanted)
    if method == "llama-bench" and not choice.build.has_bench:
        message = f"There is no llama-bench beside {choice.build.path or 'the embedded engine'}."
        raise EngineError(message)
    used = usable_rig(rig, choice.build)
    available = available_memory()
    if not rig.imagined:
        host = used.host.model_copy(update={"ram_available": available})
        used = used.model_copy(update={"hosts": (host, *used.hosts[1:])})
    if not used.devices:
        # Without accelerators there is nothing to place.
        settings = settings.model_copy(update={"n_cpu_moe": 0, "n_gpu_layers": "all"})
    if not rig.imagined:
        used = used.model_copy(update={"llama_cpp": choice.build.version})
    settings = told(settings, used)
    calibration = learn(used, probes)
    stands_in = model.whole is None
    plan = size_anywhere(model, used, settings, calibration=calibration, ghost=stands_in)
    if method == "llama-bench":
        # It makes contexts of its own; where layers and experts lie stays as planned.
        planned = bench.planned_settings(plan.settings)
        model = replace(model, draft=None, projector=None)
        plan = size(model, used, planned, calibration=calibration, ghost=stands_in)
    question = Question(
        model=model,
        rig=used,
        settings=plan.settings,
        plan=plan,
        build=choice.build,
        method=method,
        seconds=seconds,
        anyway=anyway,
        threads=used.host.limited_to,
        calibration=calibration,
    )
    objections = list(preflight(model, used, plan, available=available))
    if choice.build.problem and not rig.imagined:
        objections.insert(0, Objection(choice.build.problem, False, "look-again"))
    if not rig.imagined and not choice.build.problem:
        objections += filling(question.model, question.rig, question.settings)
    parts = _short_parts(model)
    if parts is not None and not choice.build.problem:
        objections.insert(0, short_ghosts(parts))
    return Prepared(question, choice, tuple(objections), builds, parts)


def _short_parts(model: Model) -> Scaled | None:
    """Two short versions where a ghost is needed and its disk has no sparse files, else None."""
    if model.whole is not None:
        return None
    folder = paths.cache() / "ghosts"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return None if ghost.has_sparse_files(folder) else scaled(model)
    except (OSError, ModelError):
        return None  # the ghost itself will say what is wrong with the disk


def probe_of(
    ready: Prepared,
    *,
    devices: DeviceSource | None = None,
    on_event: Callable[[ProbeEvent], None] | None = None,
) -> Probe | ScaledProbe:
    """The probe that answers a prepared question."""
    if ready.short is not None:
        return ScaledProbe(ready.question, ready.short, devices=devices, on_event=on_event)
    return Probe(ready.question, devices=devices, on_event=on_event)


def _chosen(builds: tuple[Build, ...], rig: Rig, wanted: str | None) -> Choice:
    try:
        best = choose(builds, rig)
    except EngineError as error:
        none = Build(kind="embedded", path="", version="", problem=str(error))
        return Choice(build=none, reason="")
    if rig.imagined:
        return Choice(build=best.build, reason="")
    asked = [build for build in builds if build.path == wanted and not build.problem]
    if not asked or asked[0] == best.build:
        return best
    missing = "" if usable_rig(rig, asked[0]) == rig else "It cannot use this rig's GPUs."
    reason = f"You chose this one.{newer(asked[0], builds)}"
    return Choice(build=asked[0], reason=reason, missing=missing)
