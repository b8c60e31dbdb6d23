"""From a session to its report: what was chosen, what follows from it, and how it is told."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from advisor import __version__
from advisor.advice.verdict import Advice
from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.probe.result import ProbeResult
from advisor.report.document import Block, Document, Heading, PageBreak, Paragraph
from advisor.report.flow import Paper
from advisor.report.sections.fit import fit_blocks
from advisor.report.sections.machine import machine_blocks
from advisor.report.sections.options import options_blocks, verdict_blocks
from advisor.report.sections.plan import plan_blocks
from advisor.report.sections.probe import probe_blocks
from advisor.report.sections.sources import source_blocks
from advisor.session import Session
from advisor.sizing.matrix import Matrix
from advisor.sizing.plan import Plan


class Section(StrEnum):
    """Parts of the report that can be left out, in their order."""

    VERDICT = "verdict"
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


@dataclass(frozen=True)
class Findings:
    """What follows from a session. None: not asked for, or not possible."""

    rig: Rig
    plan: Plan | None = None
    matrix: Matrix | None = None
    models: Mapping[str, Model] = field(default_factory=dict[str, Model])
    """The models of the matrix's rows."""
    advice: Advice | None = None
    probe: ProbeResult | None = None


def build(session: Session, findings: Findings, options: ReportOptions, made: datetime) -> Document:
    """The report as a document: verdict first, sources last."""
    title = options.title or _title(session, findings)
    blocks: list[Block] = [Heading(level=1, text=title)]
    if options.note:
        blocks.append(Paragraph(text=options.note))
    parts: dict[Section, Callable[[], list[Block]]] = {
        Section.VERDICT: lambda: verdict_blocks(findings.advice, title),
        Section.MACHINE: lambda: machine_blocks(findings.rig),
        Section.FIT: lambda: fit_blocks(findings.matrix, findings.models),
        Section.PLAN: lambda: plan_blocks(findings.plan) if findings.plan else [],
        Section.PROBE: lambda: probe_blocks(findings.probe),
        Section.OPTIONS: lambda: options_blocks(findings.advice),
        Section.SOURCES: lambda: source_blocks(session, findings.rig, findings.plan),
    }
    for section, write in parts.items():
        if section in options.sections:
            written = write()
            if section is Section.MACHINE and len(blocks) > 1 and written:
                blocks.append(PageBreak())
            blocks += written
    return Document(title=title, made=made, app_version=__version__, blocks=tuple(blocks))


def _title(session: Session, findings: Findings) -> str:
    if session.title:
        return session.title
    if findings.advice is not None:
        return findings.advice.headline
    if findings.plan is not None:
        return f"{findings.plan.model_name} on {findings.rig.name}"
    return findings.rig.name
