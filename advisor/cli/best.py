"""`rig-advisor best`: what this rig runs best, from the whole catalogue."""

import argparse
from typing import Any

from advisor.advice.closer import Closer, closed_up
from advisor.advice.picks import Pick, picks
from advisor.advice.wish import Wish
from advisor.cli.output import DONE, NO, complain, say, say_json, table
from advisor.cli.request import Sizer, with_backend
from advisor.engine.told import told
from advisor.hardware.rig import Rig
from advisor.llm.catalogue import catalogue
from advisor.llm.intelligence import CODING, data
from advisor.sizing.settings import RunSettings
from advisor.units import rate
from advisor.units import size as people

_TOLD = 20
"""Progress is told after so many models."""
_WORDS = {"fits": "fits", "tight": "fits, little left", "offload": "part in RAM"}


def _object(pick: Pick) -> dict[str, Any]:
    cell = pick.cell
    return {
        "model": pick.entry.id,
        "name": pick.entry.name,
        "file_type": cell.file_type,
        "file_bytes": pick.model.nbytes,
        "ctx": pick.ctx,
        "verdict": cell.verdict,
        "headroom": cell.headroom,
        "decode_tps": None if cell.decode is None else cell.decode.model_dump(),
        "served_tps": None if pick.served is None else pick.served.model_dump(),
        "fast_enough": pick.fast,
        "index": pick.standing.index,
        "index_estimated": pick.standing.estimated,
        "index_source": pick.standing.source,
        "quality_loss": pick.loss.word,
        "licence": pick.entry.licence,
        "abilities": list(pick.entry.abilities),
        "released": pick.entry.released.isoformat() if pick.entry.released else None,
    }


def _explain(found: list[Pick], wish: Wish, rig: Rig) -> None:
    """What the columns mean, as far as they are there."""
    name = CODING if wish.purpose == "code" else data().index
    say(f"What is fast enough first; then by the {name} ({data().date}), less what the file")
    say("type loses. ~: not published; what size, age and maker let expect at the least.")
    if any(pick.in_use for pick in found):
        say("Served: what llama-server writes, where its choice of each token takes 3 % or more;")
        say("that is held against --min-tps. Decode is llama-bench's, as published figures are.")
    if rig.devices and rig.host.ram_bandwidth_gbs is None:
        say("How fast the RAM is, is not known: what lies partly in it counts as slow. Write it")
        say("(64 GB DDR5-6000), or measure it (rig-advisor detect --measure).")
    if not all(pick.long_enough for pick in found):
        say("In brackets: the context that a model was trained for, where it is shorter.")
    if any(pick.placed for pick in found):
        say("Layers are split by the speed of the cards: “size … -ngl fit -ncmoe fit” says how.")


def run(arguments: argparse.Namespace) -> int:
    """Print the list. 1: nothing that is wanted runs."""
    sizer = Sizer(calibrated=not arguments.uncalibrated)
    rig = with_backend(sizer.rig(arguments.rig), arguments.backend)
    calibration = sizer.calibration(rig)
    wish = Wish(
        ctx=arguments.ctx,
        least_tps=arguments.min_tps,
        abilities=frozenset(arguments.ability or ()),
        licence=arguments.licence,
        most_params=None if arguments.max_params is None else round(arguments.max_params * 1e9),
    )
    settings = told(RunSettings(ctx=wish.ctx), rig)
    found: list[Pick] = []
    complain(f"Sizing the catalogue on {rig.name}…")
    for pick in picks(catalogue().entries, rig, wish, settings, calibration=calibration):
        found.append(pick)
        if len(found) % _TOLD == 0:
            complain(f"{len(found)} models run so far…")
    found.sort(key=lambda pick: pick.order)
    closer = Closer(rig, wish, settings, calibration)
    for closed in closed_up(found, closer, top=arguments.top):
        found = closed
    found = found[: arguments.top]
    if arguments.json:
        by = {} if calibration is None else {"calibrated_by": calibration.source}
        say_json({"rig": rig.name, **by, "models": [_object(pick) for pick in found]})
        return DONE if found else NO
    if not found:
        say(
            f"No model that you ask for runs on {rig.name} with a context of {wish.ctx:,} tokens, "
            "where a rig in words leaves a part of its RAM to its system. Ask for a shorter "
            "context (-c), or for less."
        )
        return NO
    rows = [["", "index", "type", "file", "on this rig", "decode", "quality loss", "licence"]]
    rows += [
        [
            pick.name,
            pick.standing.words,
            pick.cell.file_type,
            people(pick.model.nbytes),
            _WORDS[pick.cell.verdict],
            "unknown" if pick.cell.decode is None else rate(pick.cell.decode.mid),
            pick.loss.word,
            pick.entry.licence or "",
        ]
        for pick in found
    ]
    if any(pick.in_use for pick in found):
        rows[0].insert(6, "served")
        for line, pick in zip(rows[1:], found, strict=True):
            line.insert(6, rate(pick.served.mid) if pick.in_use and pick.served else "")
    table(rows)
    _explain(found, wish, rig)
    if calibration is not None:
        say(f"Speeds are calibrated by the {calibration.source}.")
    return DONE
