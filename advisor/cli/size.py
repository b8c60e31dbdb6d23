"""`rig-advisor size`: one model on one rig, or a batch of requests."""

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any, TextIO

from advisor.cli.options import request_of
from advisor.cli.output import DONE, NO, USAGE, complain, say, say_json, table
from advisor.cli.request import Findings, Sizer, as_json, terms_as_json
from advisor.files import is_file
from advisor.sizing import build_dates, sampling
from advisor.sizing.bottleneck import by_place, decode_bottleneck, prefill_bottleneck
from advisor.sizing.plan import Plan
from advisor.units import rate, rates, tokens, wait, waits
from advisor.units import size as people

_PART_IN_RAM = {"n_gpu_layers": "fit", "n_cpu_moe": "fit"}
_ANY_BUILD = "any that was measured; --built 2026-08 tells its age"


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
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        complain(f"{name} can't be read: {reason}.")
        return USAGE


def show(plan: Plan, found: Findings | None = None, *, terms: bool = False) -> None:
    """A plan for people. ``found``: what else was worked out; ``terms``: every part of its time."""
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
    _show_companions(plan)
    largest = f"{plan.max_ctx:,} tokens" if plan.max_ctx else "none"
    if plan.max_ctx is None:
        largest = "unknown"
    say(f"verdict: {plan.verdict}; headroom {people(plan.tightest)}; largest context {largest}")
    _show_speed(plan)
    for sentence in (decode_bottleneck(plan), prefill_bottleneck(plan)):
        if sentence:
            say(f"bottleneck: {sentence}")
    if terms:
        show_terms(plan)
    say(shlex.join(plan.command))
    if found is not None:
        for sentence in found.sentences:
            say(f"change: {sentence}")
        if found.traffic is not None:
            sent, share = found.traffic[0]
            say(f"between cards: {sent} a token{f', {share}' if share else ''}")
    for note in (*plan.notes, *plan.speed.notes):
        say(f"note: {note}")
    say(f"basis: {plan.basis.value}, rules of llama.cpp {plan.llama_cpp}")


def _show_speed(plan: Plan) -> None:
    speed = plan.speed
    hedge = ", if it did fit" if plan.fits is False else ""
    by = ", calibrated" if speed.calibrated_by else ""
    for label, known in (("decode", speed.decode_tps), ("prefill", speed.prefill_tps)):
        if known is not None:
            span = f"{rate(known.mid)} ({rates(known.low, known.high)})"
            say(f"{label}{hedge}: {span}{by}")
    if speed.ttft_s is not None:
        first, prompt = speed.ttft_s, f"{plan.settings.n_prompt:,} tokens"
        span = waits(first.low, first.high)
        say(f"first token{hedge}: {wait(first.mid)} ({span}) after {prompt}{by}")
    if sentence := sampling.sentence(speed):
        say(f"served: {sentence}")
    if plan.devices and speed.prefill_tps is not None and not by:
        say(f"llama.cpp: {build_dates.words(plan.settings.built) or _ANY_BUILD}")
    if by:
        say(f"calibrated: by the {speed.calibrated_by}")


def _show_companions(plan: Plan) -> None:
    places = (*((device.name, device) for device in plan.devices), ("host", plan.host))
    for place, what in places:
        if what.draft or what.projector:
            parts = f"draft {people(what.draft)}, projector {people(what.projector)}"
            say(f"{place}, in the total: {parts}")


def show_terms(plan: Plan) -> None:
    """Every part of the time per token, and per token of a prompt."""
    for title, terms in (
        ("decode, ms a token", plan.speed.decode_terms),
        ("prefill, ms a token", plan.speed.prefill_terms),
    ):
        if not terms:
            continue
        places = {place.where: place.name for place in by_place(plan, terms)}
        rows = [[title, "ms", "of it", "how"]]
        total = sum(term.seconds for term in terms)
        rows += [
            [
                f"{places[term.where]}: {term.name.rsplit(': ', 1)[-1]}",
                f"{term.seconds * 1000:.3g}",
                f"{term.seconds / total:.0%}",
                term.detail,
            ]
            for term in terms
        ]
        table(rows)


def _with_a_part_in_ram(plan: Plan) -> str:
    """What a model that does not fit on its cards does with a part of it in RAM."""
    if plan.fits is False:
        return "Nor does it fit with a part of it in RAM (-ngl fit -ncmoe fit)."
    if plan.fits is None:
        return "To see what a part of it in RAM does, add -ngl fit -ncmoe fit."
    decode, prefill = plan.speed.decode_tps, plan.speed.prefill_tps
    if decode is None:
        why = next((note for note in plan.speed.notes if "nknown" in note), "Its speed is unknown.")
        return f"With a part of it in RAM (-ngl fit -ncmoe fit) it fits. {why}"
    speed = f"{rate(decode.mid)} ({rates(decode.low, decode.high)})"
    if prefill is not None:
        speed += f", prompts at {rate(prefill.mid)}"
    return f"With a part of it in RAM (-ngl fit -ncmoe fit) it fits, at {speed}."


def run(arguments: argparse.Namespace) -> int:
    """Size one model, or a batch. 1: it does not fit."""
    if arguments.batch is not None:
        return batch(arguments.batch)
    if arguments.model is None:
        complain("size needs a model, or --batch FILE")
        return USAGE
    sizer, request = Sizer(calibrated=not arguments.uncalibrated), request_of(arguments)
    plan = sizer.plan(request)
    found = sizer.findings(request, plan)
    if arguments.json:
        beside = terms_as_json(plan, found) if arguments.terms else {}
        notes = [*plan.notes, *plan.speed.notes, *found.sentences]
        say_json({**as_json(plan), "notes": notes, **beside})
    else:
        show(plan, found, terms=arguments.terms)
        if arguments.file_type and is_file(Path(arguments.model)):
            other = f"--file-type {arguments.file_type} is for models of the catalogue"
            say(f"note: the file is sized as it is; {other}")
        if plan.fits is False and plan.devices and arguments.n_gpu_layers != "fit":
            say(_with_a_part_in_ram(sizer.plan({**request, **_PART_IN_RAM})))
    return NO if plan.fits is False else DONE
