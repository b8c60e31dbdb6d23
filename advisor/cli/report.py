"""`rig-advisor report`: a session as a PDF, as a web page, or as one JSON object."""

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from advisor.advice.export import advice_data, answer_data
from advisor.cli.output import DONE, USAGE, complain, say, say_json
from advisor.cli.session import rig_of, session_of, with_probes
from advisor.errors import ReportError, SettingsError
from advisor.files import is_folder
from advisor.report import gather
from advisor.report.build import Findings, ReportOptions, build
from advisor.report.convention import REGIONS, is_region
from advisor.report.document import Document
from advisor.report.html import to_html
from advisor.report.pdf import write_pdf
from advisor.report.provenance import stamped
from advisor.session import ReportChoices, Session, for_others
from advisor.sizing.matrix import Matrix

_CELL: Final = ("ctx", "verdict", "headroom", "device_total", "host_total")


def _matrix(found: Matrix) -> list[dict[str, Any]]:
    """Rows as `rig-advisor matrix --json` gives them; sizes in bytes."""
    return [
        {"file_type": name, "cells": [{k: getattr(cell, k) for k in _CELL} for cell in row]}
        for name, row in zip(found.file_types, found.rows, strict=True)
    ]


def as_json(session: Session, found: Findings, document: Document) -> dict[str, Any]:
    """The report for machines: its blocks, and the findings that they were written from."""
    return {
        "title": document.title,
        "document": document.model_dump(mode="json"),
        "session": session.model_dump(mode="json", exclude={"probes": {"__all__": {"trace"}}}),
        "rig": found.rig.model_dump(mode="json"),
        "plan": None if found.plan is None else found.plan.model_dump(mode="json"),
        "matrix": None if found.matrix is None else _matrix(found.matrix),
        "advice": None if found.advice is None else advice_data(found.advice),
        "scenario": None if found.scenario is None else answer_data(found.scenario),
        "problem": found.problem or None,
    }


def _printed(session: Session, arguments: argparse.Namespace) -> Session:
    """The session with what the command line says about the report."""
    changes: dict[str, Any] = {}
    if arguments.paper is not None:
        changes["paper"] = {"A4": "A4", "LETTER": "Letter"}[arguments.paper]
    if arguments.archival:
        changes["archival"] = True
    if arguments.region is not None:
        if not is_region(arguments.region):
            raise SettingsError(
                f"--region {arguments.region}: no such region; write a language and a country, as "
                f"in {', '.join(REGIONS)}."
            )
        changes["region"] = arguments.region
    if arguments.gb:
        changes["decimal_bytes"] = True
    choices = ReportChoices.model_validate({**session.report.model_dump(), **changes})
    texts = {"title": arguments.title, "note": arguments.note}
    given = {key: value for key, value in texts.items() if value is not None}
    return session.model_copy(update={"report": choices, **given})


def run(arguments: argparse.Namespace) -> int:
    """Write the report."""
    if not (arguments.pdf or arguments.html or arguments.json):
        complain("report needs --pdf OUT, --html OUT or --json")
        return USAGE
    for target in filter(None, (arguments.pdf, arguments.html)):
        # A wrong letter or a disk that is not there is told before the work, which is long.
        if is_folder(Path(target)):
            raise ReportError(f"{target} is a folder; name the file in it, too.")
        folder = Path(target).absolute().parent
        if not is_folder(folder):
            raise ReportError(f"{folder} is no folder; make it first or choose another.")
    session = _printed(session_of(arguments), arguments)
    rig = rig_of(session)
    session = with_probes(session, rig, arguments)
    now = datetime.now(UTC).astimezone()
    found = gather.findings(session, rig, now)
    options = ReportOptions.of(session)
    document = build(session, found, options, now)
    session = stamped(session, found.rig, found.plan, found.advice)
    facts: dict[str, Any] = {}
    if arguments.pdf:
        path = Path(arguments.pdf)
        pages = write_pdf(
            document,
            path,
            paper=options.paper,
            session=for_others(session).to_json(),
            archival=options.archival,
        )
        facts |= {"pdf": str(path), "pages": pages}
    if arguments.html:
        gather.save_text(Path(arguments.html), to_html(document))
        facts["html"] = arguments.html
    if arguments.json:
        say_json({**facts, **as_json(session, found, document)})
    else:
        say("; ".join(f"{key}: {value}" for key, value in facts.items()))
        say(document.title)
    return DONE
