"""The commands that serve a need as its cost was counted."""

from collections.abc import Sequence
from typing import Final

from advisor.advice.assessment import Assessment
from advisor.advice.serving import Way
from advisor.advice.usage import Usage

FIRST_PORT: Final = 8080
"""Always written out: llama-server's own default (8080) is announced to become 9931 (PR 26508)."""


def way_of(a: Assessment) -> Way | None:
    """How its rig serves the volume; None for an API."""
    line = a.local or (a.hybrid.local if a.hybrid is not None else None)
    return None if line is None else line.way


def commands(a: Assessment, usage: Usage) -> tuple[tuple[str, ...], ...]:
    """One llama-server, or one for each card; none for an API and where there is no plan yet."""
    way = way_of(a)
    if way is None:
        return ()
    if not way.servers:
        plan = a.option.plan
        return () if plan is None else (_with_slots(plan.command, way.level.at_once, usage),)
    plan = a.option.server_plan
    if plan is None:
        return ()
    words = _with_slots(plan.command, way.level.at_once, usage)
    return tuple(
        (*words, "-dev", server.device, "--port", str(FIRST_PORT + place))
        for place, server in enumerate(way.servers)
    )


def _with_slots(command: Sequence[str], slots: int, usage: Usage) -> tuple[str, ...]:
    """The command with so many slots, each with the usage's context."""
    words = list(command)
    if slots > 1:
        words[words.index("-c") + 1] = str(slots * usage.context)
        words[words.index("-np") + 1] = str(slots)
    return tuple(words)
