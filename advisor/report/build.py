"""From a session to its report: what was chosen, what follows from it, and how it is told."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from advisor import __version__
from advisor.advice.scenarios import Answer
from advisor.advice.verdict import Advice
from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.paths import without_home
from advisor.probe.preflight import nothing_to_time
from advisor.probe.result import ProbeResult
from advisor.report.convention import Convention
from advisor.report.document import Block, Document, Heading, PageBreak, Paragraph
from advisor.report.flow import Paper
from advisor.report.provenance import changes
from advisor.report.sections.fit import fit_blocks
from advisor.report.sections.machine import machine_blocks
from advisor.report.sections.options import options_blocks, verdict_blocks
from advisor.report.sections.plan import keeps_context, plan_blocks
from advisor.report.sections.probe import probe_blocks
from advisor.report.sections.scenario import scenario_blocks
from advisor.report.sections.sources import source_blocks
from advisor.session import Session
from advisor.sizing.build_rules import version_of
from advisor.sizing.matrix import Matrix
from advisor.sizing.plan import Plan
from advisor.sizing.waits import Wait
from advisor.units import decimal_bytes


class Section(StrEnum):
    """Parts of the report that can be left out, in their order."""

    VERDICT = "verdict"
    SCENARIO = "scenario"
    MACHINE = "machine"
    FIT = "fit"
    PLAN = "plan"
    PROBE = "probe"
    OPTIONS = "options"
    SOURCES = "sources"


class ReportOptions(BaseModel):
    """How a report is to be made."""

    model_config = ConfigDict(frozen=True)

    sections: frozenset[Section] = frozenset(Section)
    paper: Paper = Paper.A4
    title: str = ""
    """Empty: the verdict's own words."""
    note: str = ""
    archival: bool = False
    """PDF/A-1b, without the session inside."""
    convention: Convention = Convention()

    @classmethod
    def of(cls, session: Session) -> "ReportOptions":
        """What the session says; A4 where it does not name a paper."""
        choices = session.report
        return cls(
            sections=frozenset(s for s in Section if s.value not in choices.left_out),
            paper=Paper.LETTER if choices.paper == "Letter" else Paper.A4,
            title=session.title,
            note=session.note,
            archival=choices.archival,
            convention=Convention(choices.region or "", choices.decimal_bytes),
        )


@dataclass(frozen=True)
class Findings:
    """What follows from a session. None: not asked for, or not possible."""

    rig: Rig
    plan: Plan | None = None
    ways: tuple[str, ...] = ()
    """What would make the plan's run faster."""
    longest: tuple[Wait, ...] = ()
    """How long its first token takes after a prompt that fills the context, where that is known."""
    matrix: Matrix | None = None
    models: Mapping[str, Model] = field(default_factory=dict[str, Model])
    """The models of the matrix's rows."""
    advice: Advice | None = None
    probe: ProbeResult | None = None
    scenario: Answer | None = None
    """Of the built-in case that the session is about."""
    problem: str = ""
    """Why there is no advice, and perhaps no plan, as a sentence."""


def build(session: Session, findings: Findings, options: ReportOptions, made: datetime) -> Document:
    """The report as a document: verdict first, sources last."""
    with decimal_bytes(options.convention.decimal_bytes):
        return _build(session, findings, options, made)


def _build(
    session: Session, findings: Findings, options: ReportOptions, made: datetime
) -> Document:
    convention = options.convention
    usual = _title(findings)
    title = options.title or convention.text(usual)
    # What a person wrote stands as it is; what we wrote is put into the reader's convention.
    own: list[Block] = [Heading(level=1, text=title)]
    if options.note:
        own.append(Paragraph(text=options.note))
    blocks: list[Block] = []
    parts: dict[Section, Callable[[], list[Block]]] = {
        Section.VERDICT: lambda: verdict_blocks(
            findings.advice, options.title or usual, problem=findings.problem
        ),
        Section.SCENARIO: lambda: scenario_blocks(findings.scenario),
        Section.MACHINE: lambda: _machine(session, findings),
        Section.FIT: lambda: _fit(findings),
        Section.PLAN: lambda: _plan(findings),
        Section.PROBE: lambda: _probe(findings),
        Section.OPTIONS: lambda: options_blocks(findings.advice, plan=findings.plan),
        Section.SOURCES: lambda: _sources(session, findings),
    }
    for section, write in parts.items():
        if section in options.sections:
            written = write()
            blocks += written
            if section is Section.VERDICT and findings.advice is not None:
                blocks.append(PageBreak())
    if blocks and isinstance(blocks[-1], PageBreak):
        blocks.pop()
    return Document(
        title=title,
        made=made,
        app_version=__version__,
        region=convention.region,
        blocks=(*own, *(convention.block(b.with_texts(without_home)) for b in blocks)),
    )


def _only_a_case(session: Session, findings: Findings) -> bool:
    """A built-in case has rigs of its own: the rig in question is not what it is about."""
    return findings.scenario is not None and session.model is None


def _silent(findings: Findings) -> bool:
    """Whether the model writes no answers that could be timed."""
    return any(map(nothing_to_time, findings.models.values()))


def _machine(session: Session, findings: Findings) -> list[Block]:
    return [] if _only_a_case(session, findings) else machine_blocks(findings.rig)


def _probe(findings: Findings) -> list[Block]:
    plan = findings.plan
    if findings.probe is None and (plan is None or _silent(findings)):
        return []
    return probe_blocks(findings.probe, None if plan is None else (plan.model_id, plan.file_type))


def _sources(session: Session, findings: Findings) -> list[Block]:
    rig = None if _only_a_case(session, findings) else findings.rig
    plan, case = findings.plan, findings.scenario
    rules = version_of("" if case is None else case.llama_cpp)
    return source_blocks(
        session,
        rig,
        plan,
        changes(session, plan, findings.advice),
        advised=findings.advice is not None or case is not None,
        rules=rules if plan is None else plan.llama_cpp,
    )


def _fit(findings: Findings) -> list[Block]:
    plan, rig = findings.plan, findings.rig
    unified = any(device.unified for device in rig.devices)
    memory = "memory" if unified else "graphics memory" if rig.devices else "RAM"
    chosen = None if plan is None else (plan.file_type, plan.settings.ctx)
    columns = "can run with a longer memory of the conversation (columns, in tokens)"
    if plan is not None and not keeps_context(plan):
        columns = "can read longer texts at once (columns, in tokens)"
    return fit_blocks(
        findings.matrix, findings.models, rig, chosen=chosen, memory=memory, columns=columns
    )


def _plan(findings: Findings) -> list[Block]:
    plan, advice = findings.plan, findings.advice
    if plan is None:
        return []
    best = advice.best.option if advice is not None and advice.best is not None else None
    same = best is not None and (best.model_id, best.file_type) == (plan.model_id, plan.file_type)
    recommended = "" if best is None or same else best.runs or best.title
    return plan_blocks(plan, recommended=recommended, ways=findings.ways, longest=findings.longest)


def _title(findings: Findings) -> str:
    if findings.advice is not None:
        return findings.advice.headline.partition(": ")[0]
    if findings.plan is not None:
        return f"{findings.plan.model_name} on {findings.rig.name}"
    return findings.rig.name
