"""The session that `advise` and `report` work on: a file, or made from options."""

import argparse
import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from advisor import session as sessions
from advisor.advice.price_list import price_list
from advisor.advice.scenarios import scenario
from advisor.advice.usage import Limits, Usage, preset, presets
from advisor.cli.options import settings_of
from advisor.cli.request import first_problem, probes_of, resolve_rig, with_backend
from advisor.errors import SettingsError
from advisor.hardware.rig import Rig
from advisor.llm.catalogue import catalogue
from advisor.llm.open import load
from advisor.session import ModelChoice, Session
from advisor.sizing.settings import RunSettings

_LIMITS: Final = tuple(Limits.model_fields)
_NEEDS: Final = (
    *(name for name in Usage.model_fields if name not in {"also", "limits", "own_prices"}),
    *_LIMITS,
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """A session's file, or a model, a rig and a usage."""
    parser.add_argument("session", nargs="?", help="session, or a report's PDF")
    parser.add_argument("--scenario", metavar="NAME", help="a built-in case: deepseek-v4-at-home")
    parser.add_argument("--model", help="GGUF file, or name of a catalogue model")
    parser.add_argument("--file-type", metavar="TYPE", help="Q4_K_M, MXFP4_MOE … (catalogue)")
    known = ", ".join(p.id for p in presets())
    parser.add_argument(
        "--usage", help=f"how it is used (chat, the case's, the session's): {known}"
    )
    parser.add_argument(
        "--need",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="what differs from that usage: requests_per_month, prompt_tokens, output_tokens, "
        "min_decode_tps, data_may_leave, budget, currency …, and what the machine takes: "
        "free_slots, supply_w, quiet …; may be repeated",
    )
    parser.add_argument(
        "--price",
        action="append",
        default=[],
        metavar="PIECE=AMOUNT",
        help="what you were offered for a card, machine or part, in the usage's currency "
        "(memory per GB); may be repeated",
    )
    parser.add_argument(
        "--also",
        action="append",
        default=[],
        metavar="MODEL",
        help="a catalogue model that would do as well, for advice; may be repeated",
    )


def session_of(arguments: argparse.Namespace) -> Session:
    """The session asked for. Raises SessionError, or SettingsError when nothing was named."""
    named = {"a session": arguments.session, "--scenario": arguments.scenario}
    named["--model"] = arguments.model
    given = [name for name, value in named.items() if value]
    if not given:
        raise SettingsError("Name a session's file, a --scenario, or a model with --model.")
    if len(given) > 1:
        raise SettingsError(f"Name one of {' and '.join(given)}, not both.")
    if not arguments.model:
        return _kept(arguments)
    model = load(arguments.model, arguments.file_type)
    usage = _asked(arguments, preset("chat").apply(Usage()))
    # The run that is told of is the one that the need asks for, as far as the model goes.
    trained = model.hp.n_ctx_train if model.hp is not None else 0
    ctx = min(usage.context, trained or usage.context)
    try:
        settings = RunSettings.model_validate({"ctx": ctx, **settings_of(arguments)})
    except ValidationError as error:
        raise SettingsError(first_problem(error)) from error
    rig = None
    if arguments.rig.strip().lower() != "this":
        rig = with_backend(resolve_rig(arguments.rig), arguments.backend)
    return Session(
        rig=rig,
        model=ModelChoice(
            model=str(model.path or model.id),
            file_type=None if model.path else model.file_type,
        ),
        settings=settings,
        usage=usage,
    )


def _kept(arguments: argparse.Namespace) -> Session:
    """A file's session or a built-in case, which have a rig, a model and settings of their own."""
    elsewhere = arguments.rig.strip().lower() != "this" or arguments.backend
    if elsewhere or arguments.file_type or settings_of(arguments):
        raise SettingsError(
            "--rig, --backend, --file-type and run settings go with --model; a session and a "
            "built-in case have their own."
        )
    if arguments.scenario:
        case = scenario(arguments.scenario)
        return Session(scenario=case.id, usage=_asked(arguments, case.usage))
    session = sessions.load(Path(arguments.session))
    usage = _asked(arguments, session.usage)
    # What followed from another need says nothing about what changed since.
    kept = session.outcome if usage == session.usage else None
    return session.model_copy(update={"usage": usage, "outcome": kept})


def _asked(arguments: argparse.Namespace, usage: Usage) -> Usage:
    """A usage, or a preset in its place, with what is said otherwise. Raises SettingsError."""
    if arguments.also:
        also = tuple(dict.fromkeys(catalogue().find(name).id for name in arguments.also))
        usage = usage.model_copy(update={"also": also})
    if arguments.usage:
        try:
            usage = preset(arguments.usage).apply(usage)
        except KeyError as error:
            known = ", ".join(p.id for p in presets())
            raise SettingsError(f"No usage “{arguments.usage}”; there are {known}.") from error
    return _with_prices(_with_needs(usage, arguments.need), arguments.price)


def _with_needs(usage: Usage, needs: list[str]) -> Usage:
    """With what is said otherwise ("budget=2000"). Raises SettingsError."""
    given: dict[str, str] = {}
    for need in needs:
        field, equals, value = need.partition("=")
        if not equals or field not in _NEEDS:
            raise SettingsError(f"--need {need}: say NAME=VALUE; names are {', '.join(_NEEDS)}.")
        given[field] = value
    if given.get("currency", usage.currency) not in {"USD", usage.currency} and (
        "usd_rate" not in given
    ):
        currency = given["currency"]
        raise SettingsError(
            f"--need currency={currency}: prices are kept in US dollars, so say what one costs in "
            f"{currency}, too: --need usd_rate=…"
        )
    limits = {name: given.pop(name) for name in _LIMITS if name in given}
    asked = {"limits": usage.limits.model_dump() | limits}
    try:
        return Usage.model_validate(usage.model_dump() | given | asked)
    except ValidationError as error:
        raise SettingsError(f"--need: {first_problem(error)}") from error


def _with_prices(usage: Usage, prices: list[str]) -> Usage:
    """With prices of one's own ("RTX 5090=3000"). Raises SettingsError."""
    known = {line.name.casefold(): line.name for line in price_list()} if prices else {}
    for price in prices:
        piece, _, amount = (part.strip() for part in price.rpartition("="))
        if not piece:
            raise SettingsError(f"--price {price}: say PIECE=AMOUNT, as in “RTX 5090=3000”.")
        name = known.get(piece.casefold())
        if name is None:
            raise SettingsError(
                f"--price {price}: there is no {piece} to buy{_like(piece, known)}."
            )
        try:
            usage = usage.with_own_price(name, amount)
        except ValidationError as error:
            message = f"--price {price}: “{amount}” is no amount of money from 0 on."
            raise SettingsError(message) from error
    return usage


def _like(piece: str, known: Mapping[str, str]) -> str:
    """What may have been meant: names that hold these words, else names spelt nearly so."""
    wanted = piece.casefold()
    close = [key for key in known if wanted in key]
    close = (close or difflib.get_close_matches(wanted, known, n=3))[:5]
    return f"; there are {', '.join(known[key] for key in close)}" if close else ""


def rig_of(session: Session) -> Rig:
    """The session's rig, or this machine."""
    return session.rig or resolve_rig("this")


def with_probes(session: Session, rig: Rig, arguments: argparse.Namespace) -> Session:
    """With what earlier probes of this machine taught, unless a file says what counts."""
    if arguments.session or arguments.uncalibrated:
        return session
    return session.model_copy(update={"probes": probes_of(rig)})
