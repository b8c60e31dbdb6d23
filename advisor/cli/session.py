"""The session that `advise` and `report` work on: a file, or made from options."""

import argparse
from pathlib import Path

from pydantic import ValidationError

from advisor import session as sessions
from advisor.advice.scenarios import scenario
from advisor.advice.usage import Usage, preset, presets
from advisor.cli.options import settings_of
from advisor.cli.request import first_problem, resolve_rig, with_backend
from advisor.errors import SettingsError
from advisor.hardware.rig import Rig
from advisor.llm.catalogue import catalogue
from advisor.llm.open import load
from advisor.session import ModelChoice, Session
from advisor.sizing.settings import RunSettings


def add_options(parser: argparse.ArgumentParser) -> None:
    """A session's file, or a model, a rig and a usage."""
    parser.add_argument("session", nargs="?", help="session, or a report's PDF")
    parser.add_argument("--scenario", metavar="NAME", help="a built-in case: deepseek-v4-at-home")
    parser.add_argument("--model", help="GGUF file, or name of a catalogue model")
    parser.add_argument("--file-type", metavar="TYPE")
    parser.add_argument("--usage", default="chat", help="chat, documents, coding … (a preset)")
    parser.add_argument(
        "--also",
        action="append",
        default=[],
        metavar="MODEL",
        help="a catalogue model that would do as well, for advice; may be repeated",
    )


def session_of(arguments: argparse.Namespace) -> Session:
    """The session asked for. Raises SessionError, or SettingsError when nothing was named."""
    if arguments.session:
        return sessions.load(Path(arguments.session))
    if arguments.scenario:
        case = scenario(arguments.scenario)
        return Session(scenario=case.id, usage=case.usage)
    if not arguments.model:
        raise SettingsError("Name a session's file, a --scenario, or a model with --model.")
    model = load(arguments.model, arguments.file_type)
    try:
        settings = RunSettings.model_validate(settings_of(arguments))
    except ValidationError as error:
        raise SettingsError(first_problem(error)) from error
    rig = None
    if arguments.rig.strip().lower() != "this":
        rig = with_backend(resolve_rig(arguments.rig), arguments.backend)
    try:
        also = tuple(dict.fromkeys(catalogue().find(name).id for name in arguments.also))
        usage = preset(arguments.usage).apply(Usage(also=also))
    except KeyError as error:
        known = ", ".join(p.id for p in presets())
        raise SettingsError(f"No usage “{arguments.usage}”; there are {known}.") from error
    return Session(
        rig=rig,
        model=ModelChoice(
            model=str(model.path or model.id),
            file_type=None if model.path else model.file_type,
        ),
        settings=settings,
        usage=usage,
    )


def rig_of(session: Session) -> Rig:
    """The session's rig, or this machine."""
    return session.rig or resolve_rig("this")
