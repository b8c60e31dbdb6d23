"""`rig-advisor advise`: what to do about a need, on this rig, another one, or with an API."""

import argparse
import datetime as dt
from decimal import Decimal
from typing import Any

from advisor import answers
from advisor.advice.costs import Span
from advisor.advice.options import Assessment
from advisor.advice.verdict import Advice
from advisor.cli.output import DONE, NO, complain, say, say_json, table
from advisor.cli.session import rig_of, session_of

_SHOWN = 8


def _span(value: Span | None) -> list[str] | None:
    return None if value is None else [str(v) for v in (value.low, value.mid, value.high)]


def _assessment(found: Assessment) -> dict[str, Any]:
    option = found.option
    return {
        "id": option.id,
        "kind": option.kind,
        "title": option.title,
        "model": option.model_id,
        "file_type": option.file_type,
        "meets": found.meets,
        "failures": list(found.failures),
        "doubts": list(found.doubts),
        "hardware": _span(found.hardware),
        "monthly": _span(found.monthly),
        "decode_tps": found.decode_tps.model_dump() if found.decode_tps else None,
    }


def as_json(advice: Advice) -> dict[str, Any]:
    """Advice as plain data; money as decimal text, cheap end, expected, dear end."""
    return {
        "headline": advice.headline,
        "reasons": list(advice.reasons),
        "best": advice.best.option.id if advice.best else None,
        "runner_up": advice.runner_up.option.id if advice.runner_up else None,
        "close": advice.close,
        "assessments": [_assessment(found) for found in advice.assessments],
        "unknowns": list(advice.unknowns),
        "assumptions": list(advice.assumptions),
        "rig": advice.rig_name,
        "made": advice.made.isoformat(),
        "searched": advice.searched,
    }


def _money(value: Span | None) -> str:
    return "?" if value is None else f"{value.mid.quantize(Decimal('0.01')):,}"


def show(advice: Advice) -> None:
    """Advice for people."""
    say(advice.headline)
    for reason in advice.reasons:
        say(f"- {reason}")
    say()
    rows = [["option", f"{advice.usage.currency} a month", "to buy", "meets the need"]]
    for found in advice.assessments[:_SHOWN]:
        verdict = "yes" if found.meets else f"no: {found.failures[0]}"
        rows.append([found.option.title, _money(found.monthly), _money(found.hardware), verdict])
    table(rows)
    for line in (*advice.unknowns, *advice.assumptions):
        say(f"note: {line}")


def run(arguments: argparse.Namespace) -> int:
    """Advise. 1: nothing known meets the need."""
    session = session_of(arguments)
    advice = answers.advice_of(session, rig_of(session), at=dt.datetime.now(dt.UTC))
    if advice is None:
        complain("this session has no model yet")
        return NO
    if arguments.json:
        say_json(as_json(advice))
    else:
        show(advice)
    return DONE if advice.best is not None else NO
