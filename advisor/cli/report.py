"""`rig-advisor report`: a session as a PDF."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from advisor.cli.output import DONE, USAGE, complain, say, say_json
from advisor.cli.session import rig_of, session_of
from advisor.report.build import ReportOptions, build
from advisor.report.flow import Paper
from advisor.report.gather import findings
from advisor.report.pdf import write_pdf


def run(arguments: argparse.Namespace) -> int:
    """Write the report."""
    if not arguments.pdf:
        complain("report needs --pdf OUT")
        return USAGE
    session = session_of(arguments)
    now = datetime.now(UTC)
    options = ReportOptions(paper=Paper[arguments.paper.upper()], archival=arguments.archival)
    document = build(session, findings(session, rig_of(session), now), options, now)
    path = Path(arguments.pdf)
    pages = write_pdf(
        document,
        path,
        paper=options.paper,
        session=session.to_json(),
        archival=options.archival,
    )
    if arguments.json:
        say_json({"pdf": str(path), "pages": pages, "title": document.title})
    else:
        say(f"{path}: {pages} pages, “{document.title}”")
    return DONE
