"""Everything a report needs, worked out from a session."""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from advisor import answers
from advisor.advice.advise import Progress
from advisor.engine.told import told
from advisor.errors import ModelError, ReportError, SettingsError
from advisor.files import write_atomically
from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.probe.calibrate import learn
from advisor.probe.result import ProbeResult
from advisor.report.build import Findings
from advisor.session import Session
from advisor.sizing.calibration import Calibration
from advisor.sizing.card_order import better_cards
from advisor.sizing.plan import Plan
from advisor.sizing.prompt_ways import as_sentence, prompt_ways
from advisor.sizing.settings import RunSettings
from advisor.sizing.waits import waits


def findings(
    session: Session,
    rig: Rig,
    at: datetime,
    *,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Progress = lambda _share, _text: None,
) -> Findings:
    """Plan, matrix, advice and newest probe for the session on ``rig``. Takes seconds.

    ``progress`` hears the share that is done. After ``cancelled`` the advice is incomplete. Raises
    ModelError when the session's model cannot be read.
    """
    choice = session.model
    scenario = answers.scenario_of(session, at=at, cancelled=cancelled, progress=progress)
    if choice is None:
        advice = None if scenario is None else scenario.advice
        probe = _newest(session.probes)
        return Findings(rig=rig, probe=probe, scenario=scenario, advice=advice)
    model = answers.load_model(choice)
    probe = _newest(session.probes, model.id, model.file_type)
    progress(0.05, "")
    calibration = learn(rig, session.probes)
    settings = told(session.settings, rig)
    try:
        plan = answers.plan_of(model, rig, settings, calibration)
        matrix, models = answers.matrix_of(choice, rig, settings, calibration)
        ways = _ways(model, rig, settings, plan, calibration)
        longest = waits(model, rig, plan.settings, calibration)[-1:]
    except SettingsError as error:
        # llama.cpp would refuse these settings; the rest of the report does not depend on them.
        return Findings(rig=rig, probe=probe, scenario=scenario, problem=str(error))
    progress(0.15, "")
    advice, problem = None, ""
    try:
        advice = answers.advice_of(
            session,
            rig,
            at=at,
            cancelled=cancelled,
            progress=lambda share, text: progress(0.15 + 0.85 * share, text),
        )
    except ModelError as error:
        problem = str(error)
    return Findings(
        rig=rig,
        plan=plan,
        ways=ways,
        longest=longest,
        matrix=matrix,
        models=models,
        advice=advice,
        probe=probe,
        scenario=scenario,
        problem=problem,
    )


def _ways(
    model: Model, rig: Rig, settings: RunSettings, plan: Plan, calibration: Calibration | None
) -> tuple[str, ...]:
    """What would make the run faster on this very rig."""
    several = len(rig.devices) > 1
    split = better_cards(model, rig, settings, plan, calibration) if several else ""
    prompts = prompt_ways(model, rig, settings, plan, calibration)
    return (*filter(None, [split]), *map(as_sentence, prompts))


def _newest(
    probes: Sequence[ProbeResult], model_id: str = "", file_type: str = ""
) -> ProbeResult | None:
    """The newest probe of the model in this file type; else of the model, else of any."""

    def likeness(probe: ProbeResult) -> tuple[bool, bool, datetime]:
        alike = probe.model_id == model_id
        return alike and probe.file_type == file_type, alike, probe.created

    return max(probes, key=likeness, default=None)


def save_text(path: Path, content: str) -> None:
    """Write a text whole or not at all. Raises ReportError with a sentence."""
    try:
        write_atomically(path, content.encode())
    except OSError as error:
        message = f"{path.name} could not be saved in {path.parent}: {error.strerror or error}."
        raise ReportError(message) from error
