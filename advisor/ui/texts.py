"""Rigs and models in a few words, for headers and lists."""

import datetime as dt
from typing import TYPE_CHECKING, Final

from PySide6.QtCore import QCoreApplication, QDateTime, QLocale

from advisor import units
from advisor.advice.capability import IN_RAM, Capability
from advisor.advice.picks import Pick
from advisor.hardware.rig import Rig
from advisor.sizing.matrix import Cell
from advisor.sizing.plan import Plan, Verdict
from advisor.ui.design import Tone
from advisor.ui.fit_cells import FitMatrix
from advisor.ui.widgets.figures import range_text

if TYPE_CHECKING:
    from advisor.ui.state import AppState


def moment(when: dt.datetime) -> str:
    """Day and time as the desktop writes them; international where it has no region."""
    here, at = QLocale(), QDateTime.fromSecsSinceEpoch(int(when.timestamp()))
    if here.language() is QLocale.Language.C:
        return at.toString("yyyy-MM-dd HH:mm")
    return here.toString(at, QLocale.FormatType.ShortFormat)


def rig_in_short(rig: Rig) -> str:
    """``"2× RTX 4090 · 128 GiB RAM"``; the CPU's cores where there is no accelerator.

    A pool that a GPU shares is not called RAM: ``"M3 Ultra · 512 GiB"``.
    """
    parts = [cards_in_short(rig)] if rig.devices else []
    host = rig.host
    if not parts and host.cores:
        parts.append(units.cores(host.cores))
    if host.ram_total is not None:
        size = units.gib(host.ram_total, 0)
        shared = any(device.unified for device in rig.devices)
        parts.append(size if shared else tr("{size} RAM").format(size=size))
    return " · ".join(parts)


def cards_in_short(rig: Rig) -> str:
    """``"2× RTX 4090 · RTX 3060"``; empty without accelerators."""
    counts: dict[str, int] = {}
    for device in rig.devices:
        counts[device.name] = counts.get(device.name, 0) + 1
    return " · ".join(name if n == 1 else f"{n}x {name}" for name, n in counts.items())


def rig_name(state: "AppState") -> str:
    """The rig in question by its name; a recorded one with the day on which it was read."""
    rig = state.rig
    if rig is None:
        return ""
    day = (rig.detected_at or "")[:10]
    if not state.recorded or not day:
        return rig.name
    words = tr("{name}, as read on {day}")
    return words.format(name=rig.name, day=day)


def detection_in_short(rig: Rig) -> str:
    """What was detected and from where, for the status line."""
    drivers = sorted({d.driver for d in rig.devices if d.driver})
    parts = [rig_in_short(rig)]
    if drivers:
        parts.append(f"driver {', '.join(drivers)}")
    if rig.host.os:
        parts.append(rig.host.os)
    return " · ".join(part for part in parts if part)


VERDICT_TONES: Final[dict[Verdict, Tone]] = {
    "fits": "good",
    "tight": "tight",
    "offload": "offload",
    "no": "none",
    "unknown": "plain",
}


def tr(source: str) -> str:
    """``tr`` for this module's words."""
    return QCoreApplication.translate("Texts", source)


def verdict_word(verdict: Verdict) -> str:
    """A verdict in a few words, as legends say it."""
    return {
        "fits": tr("fits"),
        "tight": tr("fits, little left"),
        "offload": tr("part in RAM"),
        "no": tr("does not fit"),
        "unknown": tr("unknown"),
    }[verdict]


def verdict_text(plan: Plan) -> str:
    """A plan's verdict with its headroom: ``"fits, 2.0 GiB left"``."""
    left = plan.tightest
    if left is None:
        return verdict_word(plan.verdict)
    if left < 0:
        return tr("lacks {size}").format(size=units.size(-left))
    if plan.verdict == "offload":
        words = tr("part in RAM, {size} left") if in_vram(plan) else tr("in RAM, {size} left")
        return words.format(size=units.size(left))
    return tr("fits, {size} left").format(size=units.size(left))


def memory_name(rig: Rig) -> str:
    """What the memory that a model should fit into is called there."""
    if not rig.devices:
        return tr("RAM")
    shared = all(device.unified for device in rig.devices)
    return tr("the shared memory") if shared else tr("VRAM")


def in_vram(plan: Plan) -> bool:
    """Whether any device holds a part of the model."""
    return any(device.layers for device in plan.devices)


def answer(plan: Plan, name: str, rig: Rig) -> tuple[str, str]:
    """The plan's answer in one sentence, and what stands behind it in another."""
    what = f"{name} {plan.file_type}"
    context = units.tokens(plan.settings.ctx)
    place = memory_name(rig)
    speed = plan.speed.decode_tps
    words = tr(": {span} tok/s") if plan.settings.depth else tr(": {span} tok/s when empty")
    pace = "" if speed is None else words.format(span=range_text(speed))
    # A figure and its unit stay on one line.
    pace = pace.replace(" tok/s", "\N{NO-BREAK SPACE}tok\N{WORD JOINER}/\N{WORD JOINER}s")
    left = plan.tightest
    spare = units.size(abs(left)) if left is not None else units.UNKNOWN
    sentence = {
        "fits": tr("{what} fits in {place} at {context}{pace}."),
        "tight": tr("{what} just fits in {place} at {context}{pace}."),
        "offload": tr("{what} runs with a part in RAM at {context}{pace}.")
        if in_vram(plan)
        else tr("{what} runs in RAM, not on the device, at {context}{pace}."),
        "no": tr("{what} does not fit this rig at {context}."),
        "unknown": tr("Whether {what} fits at {context} is not known."),
    }[plan.verdict].format(what=what, place=place, context=context, pace=pace)
    reason = {
        "fits": tr("{spare} stay free where it is tightest."),
        "tight": tr("Only {spare} stay free: other programs may push it out."),
        "offload": tr("{spare} stay free where it is tightest."),
        "no": tr("{spare} are missing where it is tightest."),
        "unknown": tr("See the notes for what is missing."),
    }[plan.verdict].format(spare=spare)
    return sentence, reason


def pace(pick: Pick, unit: str = "tok/s") -> str:
    """How fast a pick writes; "~" marks what its plan, or another file type, may change yet."""
    decode = pick.cell.decode
    words = units.rate(None if decode is None else decode.mid, unit)
    known = pick.settled and not pick.rough
    return words if known or decode is None else f"~{words}"


def capability_text(found: Capability, rig: Rig) -> str:
    """What a rig can run, in a sentence."""
    context = units.tokens(found.ctx)
    place = memory_name(rig)
    whole: tuple[Verdict, ...] = ("fits", "tight")
    best, dense = found.best(whole), found.best(whole, dense=True)
    spilled = found.best(IN_RAM, dense=False)
    if best is None and spilled is None:
        untold = next((device for device in rig.devices if device.memory_total is None), None)
        if untold is not None:
            words = tr(
                "What fits is not known: no source tells the memory of {name}. Facts… takes it."
            )
            return words.format(name=untold.name)
        return tr("No model of the catalogue fits at {context} of context.").format(context=context)
    parts: list[str] = []
    if best is not None:
        names = best.entry.name
        if dense is not None and dense is not best:
            names = tr("{best}, or {dense} dense").format(best=names, dense=dense.entry.name)
        parts.append(
            tr("Up to {names} in {place} at {context}").format(
                names=names, place=place, context=context
            )
        )
    if spilled is not None and (best is None or spilled.score > best.score):
        speed = spilled.cell.decode
        pace = "" if speed is None else tr(" at {span} tok/s").format(span=range_text(speed))
        words = (
            tr("{name} split unevenly or with a part in RAM{pace}")
            if _may_stay(spilled.cell, rig)
            else tr("{name} with experts in RAM{pace}")
        )
        sentence = words.format(name=spilled.entry.name, pace=pace)
        alone = tr("At {context}, {sentence}").format(context=context, sentence=sentence)
        parts.append(sentence if best is not None else alone)
    return "; ".join(parts) + "."


def _may_stay(cell: Cell, rig: Rig) -> bool:
    """Whether another split over the cards could hold all of it: together they have the room."""
    free = [device.memory_free for device in rig.devices]
    known = [value for value in free if value is not None]
    enough = cell.device_total is not None and cell.device_total <= sum(known)
    return enough and 1 < len(known) == len(free)


def way_out(matrix: FitMatrix, plan: Plan, rig: Rig) -> str:
    """The nearest cells that fit wholly: another file type here, a shorter context there."""
    ctx = plan.settings.ctx
    place = tr("fits in {place}").format(place=memory_name(rig)) if plan.devices else tr("fits")
    parts: list[str] = []
    column = matrix.contexts.index(ctx) if ctx in matrix.contexts else None
    if column is not None:
        for row in matrix.rows:
            if row.cells[column].verdict in {"fits", "tight"}:
                parts.append(
                    tr("at {context} the largest that {fits} is {file_type}").format(
                        context=units.tokens(ctx), fits=place, file_type=row.file_type
                    )
                )
                break
    mine = next((row for row in matrix.rows if row.file_type == plan.file_type), None)
    shorter = [
        other
        for other, cell in zip(matrix.contexts, mine.cells if mine else (), strict=False)
        if other < ctx and cell.verdict in {"fits", "tight"}
    ]
    if shorter:
        parts.append(
            tr("{file_type} {fits} up to {context}").format(
                file_type=plan.file_type, fits=place, context=units.tokens(shorter[-1])
            )
        )
    if not parts:
        left = plan.tightest
        if plan.verdict == "no" and left is not None:
            return tr("{size} are missing where it is tightest.").format(size=units.size(-left))
        return tr("No file type {fits} at this context.").format(fits=place)
    sentence = "; ".join(parts)
    return sentence[0].upper() + sentence[1:] + "."


def billions(count: int) -> str:
    """A number of parameters: ``"8.2B"``, ``"671B"``, ``"596M"``, ``"1.03T"``."""
    if round(count / 10**6) < 1000:
        return f"{count / 10**6:.0f}M"
    value = count / 10**9
    if round(value) >= 1000:
        return f"{value / 1000:.2f}T"
    return f"{value:.0f}B" if value >= 100 else f"{value:.1f}B"
