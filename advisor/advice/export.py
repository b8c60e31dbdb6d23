"""Advice and worked-out cases as plain data, for `--json` and for the report's attachment."""

from dataclasses import asdict
from decimal import Decimal
from typing import Any

from advisor.advice.assessment import Assessment
from advisor.advice.commands import commands, way_of
from advisor.advice.costs import BreakEven
from advisor.advice.money import Span, cents
from advisor.advice.scenarios import Answer, Crossing, Link, Row, Specification, Speeds
from advisor.advice.usage import Usage
from advisor.advice.verdict import Advice
from advisor.basis import Range


def _number(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def money(span: Span | None) -> dict[str, str] | None:
    """Cheap end, expected and dear end, to the cent, as decimal text."""
    if span is None:
        return None
    return {"low": f"{cents(span.low)}", "mid": f"{cents(span.mid)}", "high": f"{cents(span.high)}"}


def _range(value: Range | None) -> dict[str, float] | None:
    return None if value is None else value.model_dump()


def _break_even(even: BreakEven | None) -> dict[str, Any] | None:
    if even is None:
        return None
    return {
        "low": _number(even.low),
        "mid": _number(even.mid),
        "high": _number(even.high),
        "capacity": float(even.capacity),
        "reachable": even.reachable,
    }


def assessment_data(a: Assessment, usage: Usage) -> dict[str, Any]:
    """One option held against a usage."""
    option, way = a.option, way_of(a)
    return {
        "id": option.id,
        "kind": option.kind,
        "title": option.title,
        "model": option.model_id or None,
        "file_type": option.file_type or None,
        "kv_type": option.kv_type if option.rig else None,
        "loss": option.loss or None,
        "rig": option.rig.name if option.rig else None,
        "in_ram": option.in_ram if option.rig else None,
        "api": option.api.api.id if option.api else None,
        "relation": option.relation,
        "meets": a.meets,
        "failures": list(a.failures),
        "doubts": list(a.doubts),
        "hardware": money(a.hardware),
        "monthly": money(a.monthly),
        "per_thousand": money(a.per_thousand(usage)),
        "decode_tps": _range(a.decode_tps),
        "ttft_s": _range(a.ttft_s),
        "busy_hours_per_day": _number(a.busy_hours_per_day),
        "answers_at_once": way.at_once if way else None,
        "servers": max(1, len(way.servers)) if way else None,
        "to_buy": [
            {
                "name": p.name,
                "count": float(p.count),
                "usd": money(p.usd),
                "condition": p.price.condition,
                "date": p.price.date,
                "source": p.price.source,
            }
            for p in option.purchases
        ],
        "commands": [list(words) for words in commands(a, usage)],
        "notes": list(option.notes),
    }


def advice_data(advice: Advice) -> dict[str, Any]:
    """The verdict with everything behind it."""
    return {
        "headline": advice.headline,
        "reasons": list(advice.reasons),
        "best": advice.best.option.id if advice.best else None,
        "runner_up": advice.runner_up.option.id if advice.runner_up else None,
        "close": advice.close,
        "changes": [{"when": c.when, "then": c.then} for c in advice.changes],
        "break_even": _break_even(advice.break_even),
        "compared": [a.option.id for a in advice.compared] if advice.compared else None,
        "influences": [
            {
                "name": i.name,
                "low_input": i.low_input,
                "high_input": i.high_input,
                "at_low": f"{cents(i.at_low)}",
                "at_high": f"{cents(i.at_high)}",
            }
            for i in advice.influences
        ],
        "assessments": [assessment_data(a, advice.usage) for a in advice.assessments],
        "front": list(advice.front),
        "unknowns": list(advice.unknowns),
        "assumptions": list(advice.assumptions),
        "usage": advice.usage.model_dump(mode="json"),
        "rig": advice.rig_name,
        "made": advice.made.isoformat(),
        "searched": advice.searched,
    }


def _specification(found: Specification) -> dict[str, Any]:
    return asdict(found) | {"kv": [{"ctx": ctx, "bytes": size} for ctx, size in found.kv]}


def _row(row: Row) -> dict[str, Any]:
    return {
        "rig": row.rig,
        "model": row.model,
        "file_type": row.file_type,
        "ctx": row.ctx,
        "verdict": row.verdict,
        "file_bytes": row.file_bytes,
        "on_devices": row.on_devices,
        "in_ram": row.in_ram,
        "headroom": row.headroom,
        "lacking": row.moved,
    }


def _speeds(found: Speeds) -> dict[str, Any]:
    return {
        "rig": found.rig,
        "model": found.model,
        "file_type": found.file_type,
        "loss": found.loss,
        "in_ram": found.in_ram,
        "decode_tps": _range(found.decode_tps),
        "prefill_tps": _range(found.prefill_tps),
        "minutes_per_request": _number(found.minutes),
    }


def _link(link: Link) -> dict[str, Any]:
    return {
        "rig": link.rig,
        "model": link.model,
        "cards": link.cards,
        "tensor_split_bytes_per_token": link.tensor_split,
        "layer_split_bytes_per_token": link.layer_split,
        "link": link.link,
        "link_gbs": link.link_gbs,
        "share_of_link": link.share,
    }


def _crossing(found: Crossing) -> dict[str, Any]:
    return {
        "rig": found.rig,
        "model": found.model,
        "api": found.api,
        "api_per_request": float(found.api_per_request),
        "api_lacks": found.api_lacks,
        "rig_lacks": found.rig_lacks,
        "hardware": money(found.local.hardware),
        "fixed_per_month": money(found.local.fixed),
        "electricity_per_request": float(found.local.per_request.mid),
        "break_even": _break_even(found.break_even),
    }


def answer_data(answer: Answer) -> dict[str, Any]:
    """Every table of a case."""
    guide = answer.guide
    return {
        "scenario": answer.scenario.id,
        "title": answer.scenario.title,
        "question": answer.scenario.question,
        "made": answer.made.isoformat(),
        "headline": answer.advice.headline,
        "rules": list(answer.rules),
        "models": [_specification(found) for found in answer.models],
        "allocation": [_row(row) for row in answer.allocation],
        "speeds": [_speeds(found) for found in answer.speeds],
        "interconnect": [_link(link) for link in answer.links],
        "break_even": [_crossing(found) for found in answer.crossings],
        "by_volume": [{"requests": n, "verdict": text} for n, text in answer.by_volume],
        "guide_recalculated": {
            "electricity_per_month": f"{cents(guide.electricity_month)}",
            "hardware_per_month": f"{cents(guide.hardware_month)}",
            "hardware_per_request": f"{cents(guide.hardware_per_request)}",
            "break_even_electricity": float(guide.break_even_electricity),
            "break_even": float(guide.break_even),
        },
        "advice": advice_data(answer.advice),
    }
