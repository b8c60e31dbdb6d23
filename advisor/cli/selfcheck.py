"""`rig-advisor --self-check`: the whole chain once, as it is installed or frozen here."""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from advisor.cli.output import DONE, NO, complain, say
from advisor.engine.accuracy import reference_cases
from advisor.engine.builds import embedded
from advisor.engine.dry_run import dry_run
from advisor.engine.machine import read_machine
from advisor.errors import EngineError, ProbeError, RigAdvisorError
from advisor.hardware.rig import Rig
from advisor.hardware.table import gpu_table
from advisor.llm.catalogue import catalogue
from advisor.llm.model import Model
from advisor.probe.prepare import prepare
from advisor.probe.result import ProbeResult
from advisor.probe.run import Probe
from advisor.report.build import ReportOptions, build
from advisor.report.gather import findings
from advisor.report.pdf import write_pdf
from advisor.session import ModelChoice, Session
from advisor.sizing import size
from advisor.sizing.plan import Plan
from advisor.sizing.settings import RunSettings
from advisor.units import mib, rate
from advisor.units import size as people

_CTX = 1024
_PROBE_S = 2.0
_CLOSE = 0.05
"""How far our host figures may be from the engine's before the check fails."""


@dataclass
class _Chain:
    """What the steps hand on to each other."""

    folder: Path
    rig: Rig = field(default_factory=lambda: Rig(name=""))
    model: Model | None = None
    plan: Plan | None = None
    probe: ProbeResult | None = None

    def chosen(self) -> Model:
        """The smallest catalogue model: quick, and its ghost is small."""
        if self.model is None:
            entry = min((e for e in catalogue().entries if e.chats), key=lambda e: e.n_params)
            self.model = entry.model(entry.suggested_file_type)
        return self.model


def _data(chain: _Chain) -> str:
    del chain
    cases = reference_cases().cases
    return f"{len(gpu_table().gpus)} GPUs, {len(catalogue().entries)} models, {len(cases)} cases"


def _machine(chain: _Chain) -> str:
    chain.rig = read_machine()
    devices = ", ".join(device.name for device in chain.rig.devices) or "no accelerator"
    return f"{devices}; {people(chain.rig.host.ram_total)} of RAM"


def _sizing(chain: _Chain) -> str:
    model = chain.chosen()
    chain.plan = size(model, chain.rig, RunSettings(ctx=_CTX))
    return f"{model.name} {model.file_type}: {chain.plan.verdict}"


def _engine(chain: _Chain) -> str:
    build = embedded()
    if build.problem:
        raise EngineError(build.problem)
    settings = RunSettings(ctx=_CTX, n_gpu_layers=0, built=build.version)
    model = chain.chosen()
    run = dry_run(model, settings)
    cpu = chain.rig.model_copy(update={"devices": ()})
    host = size(model, cpu, settings).host
    ours = host.weights + (host.context or 0) + (host.compute or 0)
    if abs(ours - run.host_total) > _CLOSE * run.host_total:
        message = f"The engine says {mib(run.host_total)}, we say {mib(ours)}."
        raise EngineError(message)
    return f"llama.cpp {build.version}: {mib(run.host_total)}, computed {mib(ours)}"


def _probe(chain: _Chain) -> str:
    prepared = prepare(
        chain.chosen(), chain.rig, RunSettings(ctx=_CTX), builds=(embedded(),), seconds=_PROBE_S
    )
    chain.probe = Probe(prepared.question).run()
    ending = chain.probe.ending
    if ending.state != "done":
        raise ProbeError(ending.sentence, detail=ending.detail)
    speeds = [point.decode_tps for point in chain.probe.speeds]
    return f"ghost ran at {rate(speeds[0] if speeds else None)}"


def _report(chain: _Chain) -> str:
    model = chain.chosen()
    session = Session(
        rig=chain.rig,
        model=ModelChoice(model=model.id, file_type=model.file_type),
        settings=RunSettings(ctx=_CTX),
        probes=(chain.probe,) if chain.probe else (),
    )
    now = datetime.now(UTC)
    document = build(session, findings(session, chain.rig, now), ReportOptions(), now)
    path = chain.folder / "report.pdf"
    pages = write_pdf(document, path, session=session.to_json())
    return f"{pages} pages, {path.stat().st_size // 1024} KiB"


_STEPS: tuple[tuple[str, Callable[[_Chain], str]], ...] = (
    ("data", _data),
    ("machine", _machine),
    ("sizing", _sizing),
    ("engine", _engine),
    ("probe", _probe),
    ("report", _report),
)


def run() -> int:
    """Go through the chain in a home of its own, say what each step found, and "ready".

    1: a step failed; its sentence is on stderr.
    """
    before = os.environ.get("RIG_ADVISOR_HOME")
    with tempfile.TemporaryDirectory(prefix="rig-advisor-check-") as folder:
        os.environ["RIG_ADVISOR_HOME"] = folder
        chain = _Chain(Path(folder))
        try:
            for name, step in _STEPS:
                try:
                    say(f"{name}: {step(chain)}")
                except RigAdvisorError as error:
                    complain(f"{name}: {error}\n{error.detail}")
                    return NO
        finally:
            if before is None:
                del os.environ["RIG_ADVISOR_HOME"]
            else:
                os.environ["RIG_ADVISOR_HOME"] = before
    say("ready")
    return DONE
