"""From a model, this machine and settings to a question that can be probed."""

from dataclasses import dataclass

import psutil

from advisor.engine.builds import Build, Choice, choose, discover
from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.probe.preflight import Objection, preflight
from advisor.probe.question import Question
from advisor.sizing import size
from advisor.sizing.settings import RunSettings


@dataclass(frozen=True, slots=True)
class Prepared:
    """What will be run, with which llama.cpp, and what speaks against it."""

    question: Question
    choice: Choice
    objections: tuple[Objection, ...]


def usable_rig(rig: Rig, build: Build) -> Rig:
    """The rig as a build can use it: without accelerators where it has no backend for them."""
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
    seconds: float = 30.0,
    anyway: bool = False,
) -> Prepared:
    """Choose a llama.cpp, plan the run on what it can use, and look for objections.

    builds: those that are known; None: look for them now, which asks every program found.
    Raises EngineError when no llama.cpp works, and what ``size`` raises.
    """
    choice = choose(builds if builds is not None else discover(), rig)
    used = usable_rig(rig, choice.build)
    available = psutil.virtual_memory().available
    if not rig.imagined:
        host = used.host.model_copy(update={"ram_available": available})
        used = used.model_copy(update={"hosts": (host, *used.hosts[1:])})
    if not used.devices:
        # Without accelerators there is nothing to place.
        settings = settings.model_copy(update={"n_cpu_moe": 0, "n_gpu_layers": "all"})
    plan = size(model, used, settings)
    question = Question(
        model=model,
        rig=used,
        settings=plan.settings,
        plan=plan,
        build=choice.build,
        seconds=seconds,
        anyway=anyway,
    )
    return Prepared(question, choice, preflight(used, plan, available=available))
