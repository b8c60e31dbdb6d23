"""`rig-advisor size`: one model on one rig, or a batch of requests."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, TextIO

from advisor.cli.options import request_of
from advisor.cli.output import DONE, NO, USAGE, complain, say, say_json, table
from advisor.cli.request import Sizer, as_json
from advisor.sizing.plan import Plan
from advisor.units import rate, tokens
from advisor.units import size as people


def _lines(file: TextIO) -> int:
    sizer = Sizer()
    for line in file:
        if not line.strip():
            continue
        answer: dict[str, Any]
        try:
            answer = sizer.answer(json.loads(line))
        except (json.JSONDecodeError, RecursionError) as error:
            answer = {"id": None, "error": f"This line is not JSON: {error}."}
        say_json(answer)
    return DONE


def batch(name: str) -> int:
    """Answer every line of a file, or of stdin for "-", in the same order."""
    if name == "-":
        return _lines(sys.stdin)
    try:
        with Path(name).open(encoding="utf-8") as file:
            return _lines(file)
    except (OSError, UnicodeDecodeError) as error:
        complain(f"{name} can't be read: {error}")
        return USAGE


def show(plan: Plan) -> None:
    """A plan for people."""
    say(f"{plan.model_name} {plan.file_type}, context {tokens(plan.settings.ctx)}")
    rows = [["", "weights", "context", "compute", "driver", "total", "free before", "left"]]
    rows += [
        [
            f"{device.name} ({device.title})",
            *(people(part) for part in (device.weights, device.context, device.compute)),
            *(people(part) for part in (device.driver, device.total)),
            people(device.free_before),
            people(device.headroom),
        ]
        for device in plan.devices
    ]
    host = plan.host
    rows.append(
        [
            "host",
            *(people(part) for part in (host.weights, host.context, host.compute)),
            f"out {people(host.output)}",
            *(people(part) for part in (host.total, host.free_before, host.headroom)),
        ]
    )
    table(rows)
    for place, what in (*((device.name, device) for device in plan.devices), ("host", host)):
        if what.draft or what.projector:
            parts = f"draft {people(what.draft)}, projector {people(what.projector)}"
            say(f"{place}, in the total: {parts}")
    largest = "unknown" if plan.max_ctx is None else f"{plan.max_ctx:,} tokens"
    say(f"verdict: {plan.verdict}; headroom {people(plan.headroom)}; largest context {largest}")
    speed = plan.speed
    hedge = ", if it did fit" if plan.fits is False else ""
    for label, known in (("decode", speed.decode_tps), ("prefill", speed.prefill_tps)):
        if known is not None:
            say(f"{label}{hedge}: {rate(known.mid)} ({rate(known.low)} to {rate(known.high)})")
    say(" ".join(plan.command))
    for note in (*plan.notes, *speed.notes):
        say(f"note: {note}")
    say(f"basis: {plan.basis.value}, rules of llama.cpp {plan.llama_cpp}")


def run(arguments: argparse.Namespace) -> int:
    """Size one model, or a batch. 1: it does not fit."""
    if arguments.batch is not None:
        return batch(arguments.batch)
    if arguments.model is None:
        complain("size needs a model, or --batch FILE")
        return USAGE
    sizer, request = Sizer(), request_of(arguments)
    plan = sizer.with_card_order(request, sizer.plan(request))
    if arguments.json:
        say_json(as_json(plan))
    else:
        show(plan)
        if plan.fits is False and plan.devices and arguments.n_gpu_layers != "fit":
            say("To see what part of it in RAM does, add -ngl fit -ncmoe fit.")
    return NO if plan.fits is False else DONE
