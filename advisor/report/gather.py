"""Everything a report needs, worked out from a session."""

from datetime import datetime
from pathlib import Path

from advisor import answers
from advisor.errors import ReportError, SettingsError
from advisor.files import write_atomically
from advisor.hardware.rig import Rig
from advisor.report.build import Findings
from advisor.session import Session


def findings(session: Session, rig: Rig, at: datetime) -> Findings:
    """Plan, matrix, advice and newest probe for the session on ``rig``. Takes about a second.

    Raises ModelError when the session's model cannot be read.
    """
    choice = session.model
    probe = max(session.probes, key=lambda p: p.created, default=None)
    if choice is None:
        return Findings(rig=rig, probe=probe)
    matrix, models = answers.matrix_of(choice, rig, session.settings)
    model = answers.load_model(choice)
    try:
        plan = answers.plan_of(model, rig, session.settings)
    except SettingsError:
        plan = None  # llama.cpp would refuse these settings; the matrix says so in its cells
    return Findings(
        rig=rig,
        plan=plan,
        matrix=matrix,
        models=models,
        advice=answers.advice_of(session, rig, at=at),
        probe=probe,
    )


def save_text(path: Path, content: str) -> None:
    """Write a text whole or not at all. Raises ReportError with a sentence."""
    try:
        write_atomically(path, content.encode())
    except OSError as error:
        message = f"{path.name} could not be saved in {path.parent}: {error.strerror or error}."
        raise ReportError(message) from error
