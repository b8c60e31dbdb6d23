"""`rig-advisor accuracy`: how far our figures are from llama.cpp's and from measurements."""

import argparse
from collections.abc import Sequence

from advisor.cli.output import DONE, say, say_json, table
from advisor.engine.accuracy import (
    Errors,
    against_engine,
    against_reference,
    as_json,
    one_per_architecture,
    reference_cases,
)

_HEAD = ["figure", "cases", "equal", "within 1 % or 4 MiB", "median", "p95", "worst"]


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
            f"{len(engine.architectures)} architectures (it prints whole MiB):"
        )
        say()
        _print([_HEAD, *(_row(found) for found in engine.errors)], markdown=arguments.markdown)
        for sentence in engine.refused:
            say(f"not compared: {sentence}")
    return DONE
