"""Sessions of every sort that a report is made of, with what really follows from them."""

import dataclasses
import functools
from datetime import UTC, datetime
from pathlib import Path

from advisor.advice import scenarios
from advisor.advice.scenario_work import work_out
from advisor.hardware.compose import parse_rig
from advisor.hardware.rig import Rig
from advisor.probe.result import Ending, ProbeResult
from advisor.report import gather
from advisor.report.build import Findings, ReportOptions, build
from advisor.report.document import Document
from advisor.session import ModelChoice, Session
from advisor.sizing.settings import RunSettings

MADE = datetime(2026, 11, 23, 12, tzinfo=UTC)
MODEL = ModelChoice(model="Qwen/Qwen3-8B", file_type="Q4_K_M")
LONG = (
    "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition, passively cooled, second-hand, "
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
)
RIGS = {
    "no GPU": "64 GB DDR5-5600",
    "one GPU": "RTX 4090 + 64 GB DDR5-5600",
    "eight mixed GPUs": "2x RTX 5090 + 2x RTX 4090 + 2x RTX 3090 + RTX 3060 + RTX 4060 Ti 16GB "
    "+ 256 GB DDR4-3200",
    "unified memory": "M3 Ultra 512 GB",
    "several machines": "2x RTX 3090 + 64 GB over 10GbE with M2 Ultra 192GB",
}
CASES = (
    *RIGS,
    "scenario",
    "no model",
    "refused settings",
    "probe",
    "failed probe",
    "short ghosts",
    "one GPU probed",
    "eight GPUs probed",
    "longest names",
)
PROBED = {"one GPU probed": "one GPU", "eight GPUs probed": "eight mixed GPUs"}


def probe() -> ProbeResult:
    """A ghost of Qwen3 0.6B, probed on a machine without a GPU."""
    recorded = Path(__file__).parents[1] / "data" / "report" / "probe.json"
    return ProbeResult.model_validate_json(recorded.read_bytes())


def failed_probe() -> ProbeResult:
    ending = Ending(
        state="failed",
        cause="out-of-memory",
        sentence="llama.cpp ran out of memory while it loaded the model.",
        detail="ggml_backend_cuda_buffer_type_alloc_buffer: allocating 18432.00 MiB failed\n"
        "llama_model_load: error loading model: unable to allocate CUDA0 buffer",
    )
    return probe().model_copy(update={"ending": ending, "speeds": ()})


def scaled() -> ProbeResult:
    """Extrapolated from two short ghosts."""
    return probe().model_copy(update={"layers": (2, 4, 28)})


def probed(rig: Rig) -> ProbeResult:
    """The recorded one as if every device had held what the host did."""
    result = probe()
    (host,) = result.places
    used = result.trace.get("host", "used")
    assert used is not None
    names = [f"CUDA{index}" for index in range(len(rig.devices))]
    places = [
        host.model_copy(update={"name": n, "title": d.name, "capacity": d.memory_total})
        for n, d in zip(names, rig.devices, strict=True)
    ]
    series = tuple(used.model_copy(update={"place": name}) for name in (*names, "host"))
    return result.model_copy(
        update={
            "rig": rig,
            "places": (*places, host),
            "trace": result.trace.model_copy(update={"series": series}),
        }
    )


@functools.cache
def _findings(rig: str) -> Findings:
    session = Session(rig=parse_rig(RIGS[rig]), model=MODEL)
    assert session.rig is not None
    return gather.findings(session, session.rig, MADE)


def case(name: str) -> tuple[Session, Findings]:
    """A session and its findings."""
    rig = parse_rig(RIGS.get(name, RIGS["one GPU"]))
    session = Session(rig=rig, model=MODEL, created=MADE, modified=MADE)
    if name in RIGS:
        return session, _findings(name)
    if name == "no model":
        session = session.model_copy(update={"model": None})
        return session, gather.findings(session, rig, MADE)
    if name == "scenario":
        return _scenario(session)
    if name == "refused settings":
        refused = RunSettings(ctk="q8_0", ctv="q8_0", flash_attn="off")
        session = session.model_copy(update={"settings": refused})
        return session, gather.findings(session, rig, MADE)
    if name == "longest names":
        return _longest(session)
    before = _findings(PROBED.get(name, "no GPU"))
    if name in PROBED:
        result = probed(before.rig)
    else:
        result = {"probe": probe, "failed probe": failed_probe, "short ghosts": scaled}[name]()
    session = session.model_copy(update={"probes": (result,), "rig": result.rig})
    return session, dataclasses.replace(before, rig=result.rig, probe=result)


def _scenario(session: Session) -> tuple[Session, Findings]:
    case = scenarios.scenario("deepseek-v4-at-home")
    session = session.model_copy(update={"model": None, "scenario": case.id, "usage": case.usage})
    answer = _answer()
    assert session.rig is not None
    return session, Findings(rig=session.rig, scenario=answer, advice=answer.advice)


@functools.cache
def _answer() -> scenarios.Answer:
    """A part of the seed's case: all of its rigs and models take half a minute."""
    case = scenarios.scenario("deepseek-v4-at-home")
    small = {"rigs": case.rigs[:2], "models": case.models[:1], "contexts": case.contexts[::3]}
    return work_out(case.model_copy(update=small), at=MADE)


def _longest(session: Session) -> tuple[Session, Findings]:
    """Names as long as vendors and people make them, in everything that has one."""
    found = _findings("one GPU")

    def renamed(rig: Rig) -> Rig:
        devices = tuple(d.model_copy(update={"name": LONG}) for d in rig.devices)
        return rig.model_copy(update={"name": LONG, "devices": devices})

    assert found.plan is not None
    devices = tuple(d.model_copy(update={"title": LONG}) for d in found.plan.devices)
    command = (*found.plan.command, "--override-tensor", "blk" * 60)
    plan = found.plan.model_copy(
        update={"model_name": LONG, "devices": devices, "command": command}
    )
    session = session.model_copy(
        update={
            "title": f"Für die Werkstatt, и кириллица: {LONG}",
            "note": f"Erste Zeile.\nZweite Zeile über {LONG}.",
        }
    )
    return session, dataclasses.replace(found, rig=renamed(found.rig), plan=plan)


def document(name: str) -> Document:
    """The report of a case."""
    session, found = case(name)
    return build(session, found, ReportOptions.of(session), MADE)
