"""`rig-advisor advise`: what to do about a need, on this rig, another one, or with an API."""

import argparse
import datetime as dt
import shlex
from decimal import Decimal

from advisor import answers
from advisor.advice.commands import commands
from advisor.advice.export import advice_data, answer_data
from advisor.advice.money import Span
from advisor.advice.scenarios import Answer
from advisor.advice.verdict import Advice
from advisor.advice.whatif import name
from advisor.cli.output import DONE, NO, complain, say, say_json, table
from advisor.cli.session import rig_of, session_of, with_probes

_SHOWN = 8
_HERE = frozenset({"keep", "close programs", "tune"})


def _money(value: Span | None) -> str:
    return "?" if value is None else f"{value.mid.quantize(Decimal('0.01')):,}"


def show(advice: Advice) -> None:
    """Advice for people."""
    say(advice.headline)
    for reason in advice.reasons:
        say(f"- {reason}")
    say()
    rows = [["option", f"{advice.usage.currency} a month", "to buy", "meets the need"]]
    shown = list(advice.assessments[:_SHOWN])
    # What is there already is what every other option is measured by, however it ranks.
    here = next((a for a in advice.assessments if a.option.kind in _HERE), None)
    if here is not None and not any(a.option.kind in _HERE for a in shown):
        shown.append(here)
    for found in shown:
        verdict = "yes" if found.meets else f"no: {found.failures[0]}"
        rows.append([name(found), _money(found.monthly), _money(found.hardware), verdict])
    table(rows)
    if left := len(advice.assessments) - len(shown):
        say(f"{left:,} more options: --json tells all.")
    for change in advice.changes:
        say(f"would change it: {change}")
    if advice.best is not None:
        for command in commands(advice.best, advice.usage):
            say(f"run it: {shlex.join(command)}")
    for line in (*advice.unknowns, *advice.assumptions):
        say(f"note: {line}")


def show_case(answer: Answer) -> None:
    """A worked-out case for people: verdict, rules, speeds and break-even."""
    case = answer.scenario
    say(f"{case.title}: {case.question}")
    say(answer.advice.headline)
    for rule in answer.rules:
        say(f"- {rule}")
    say()
    rows = [["rig", "runs", "loss", "tok/s", "minutes per request"]]
    rows += [
        [
            found.rig,
            f"{found.model} {found.file_type}{', partly in RAM' if found.in_ram else ''}",
            found.loss,
            "?" if found.decode_tps is None else f"{found.decode_tps.mid:,.1f}",
            "?" if found.minutes is None else f"{found.minutes:,.0f}",
        ]
        for found in answer.speeds
    ]
    table(rows)
    say()
    rows = [["rig", "against", "cheaper from (requests a month)", "can serve"]]
    for found in answer.crossings:
        even = found.break_even
        start = "never" if even.mid is None else f"{even.mid:,.0f}"
        rows.append([f"{found.rig}, {found.model}", found.api, start, f"{even.capacity:,.0f}"])
    table(rows)
    for short in answer.shortfalls:
        say(f"would not do: {short}")


def run(arguments: argparse.Namespace) -> int:
    """Advise. 1: nothing known meets the need."""
    session, now = session_of(arguments), dt.datetime.now(dt.UTC)
    answer = answers.scenario_of(session, at=now) if arguments.scenario else None
    if answer is not None:
        if arguments.json:
            say_json(answer_data(answer))
        else:
            show_case(answer)
        return DONE
    rig = rig_of(session)
    session = with_probes(session, rig, arguments)
    advice = answers.advice_of(session, rig, at=now)
    if advice is None:
        complain("this session has no model yet")
        return NO
    if arguments.json:
        say_json(advice_data(advice))
    else:
        show(advice)
    return DONE if advice.best is not None else NO
