"""`rig-advisor accuracy`: how far our figures are from llama.cpp's and from measurements."""

import argparse
from collections.abc import Mapping, Sequence

from advisor.cli.output import DONE, say, say_json, table
from advisor.engine.accuracy import (
    Errors,
    against_engine,
    against_reference,
    as_json,
    one_per_architecture,
    reference_cases,
)
from advisor.engine.told import embedded_version
from advisor.sizing.build_rules import version_of
from advisor.sizing.speed_data import Errors as SpeedErrors
from advisor.sizing.speed_data import speed_data

_HEAD = ["figure", "cases", "equal", "within 1 % or 4 MiB", "median", "p95", "worst"]


_SPEED_HEAD = ["speed", "rows", "median error", "90 % below", "inside the range"]


def _speed_rows(kind: str, found: Mapping[str, SpeedErrors]) -> list[list[str]]:
    return [
        [
            f"{kind}, {name}",
            f"{some.rows}",
            *(f"{value:.1f}%" for value in (some.median, some.p90, some.coverage)),
        ]
        for name, some in found.items()
    ]


def _percent(value: float) -> str:
    return f"{value:.2%}" if 0 < value < 0.1 else f"{value:.0%}"


def _row(found: Errors) -> list[str]:
    return [
        found.name,
        f"{found.count}",
        _percent(found.equal),
        _percent(found.close),
        *(_percent(value) for value in (found.median, found.p95, found.worst)),
    ]


def _print(rows: Sequence[list[str]], *, markdown: bool) -> None:
    if not markdown:
        table(list(rows))
        return
    head, *rest = rows
    say("| " + " | ".join(head) + " |")
    say("|" + " --- |" + " ---: |" * (len(head) - 1))
    for row in rest:
        say("| " + " | ".join(row) + " |")


def run(arguments: argparse.Namespace) -> int:
    """Print the error tables."""
    shipped = reference_cases()
    reference = against_reference(shipped.cases)
    engine = None if arguments.no_engine else against_engine(one_per_architecture(arguments.models))
    speed = speed_data()
    decode = speed.errors_decode | speed.host.errors["decode"]
    prefill = speed.errors_prefill | speed.host.errors["prefill"]
    if arguments.json:
        say_json(
            {
                "reference": {
                    "llama_cpp": shipped.llama_cpp,
                    "source": shipped.source,
                    "cases": len(shipped.cases),
                    "errors": [as_json(found) for found in reference],
                },
                "engine": None
                if engine is None
                else {
                    "engine": engine.engine,
                    "architectures": list(engine.architectures),
                    "errors": [as_json(found) for found in engine.errors],
                    "refused": list(engine.refused),
                    "apart": list(engine.apart),
                },
                "speed": {
                    "method": speed.method,
                    "date": speed.date,
                    "decode": {k: v.model_dump() for k, v in decode.items()},
                    "prefill": {k: v.model_dump() for k, v in prefill.items()},
                },
            }
        )
        return DONE
    say(f"Memory against llama.cpp {shipped.llama_cpp}, {len(shipped.cases)} reference cases:")
    say()
    _print([_HEAD, *(_row(found) for found in reference)], markdown=arguments.markdown)
    if engine is not None:
        say()
        say(
            f"Host memory against the {engine.engine} engine, "
            f"{len(engine.architectures)} architectures (it rounds down to MiB):"
        )
        say()
        _print([_HEAD, *(_row(found) for found in engine.errors)], markdown=arguments.markdown)
        if engine.apart:
            rules = version_of(embedded_version())
            say()
            say(f"Rules here are those of llama.cpp {rules}; a later engine may differ:")
            say()
        for sentence in engine.apart:
            say(f"* {sentence}")
        for sentence in engine.refused:
            say(f"not compared: {sentence}")
    say()
    say("Speed against published measurements, each predicted without its like:")
    say()
    rows = _speed_rows("decode", decode)
    rows += _speed_rows("prefill", prefill)
    _print([_SPEED_HEAD, *rows], markdown=arguments.markdown)
    return DONE
