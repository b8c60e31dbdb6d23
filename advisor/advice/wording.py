"""Advice in sentences."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from advisor.advice.assessment import Assessment
from advisor.advice.commands import FIRST_PORT, way_of
from advisor.advice.costs import BreakEven
from advisor.advice.money import CENT, money, price, two_digits
from advisor.advice.options import EFFORT, Option
from advisor.advice.serving import Way
from advisor.advice.usage import READING_TPS, Usage
from advisor.advice.whatif import THIS_RIG, name
from advisor.basis import Range
from advisor.units import rate, rates, tokens

_NEAR: Final = 3
"""Near misses of different kinds that are told."""
_SLOWER: Final = 0.9
"""Speeds nearer than that are alike."""
_MINUTES: Final = 90
"""Below that many, hours are told in minutes."""


def sentence(text: str) -> str:
    """With a capital at its head and a full stop at its end."""
    first = text.partition(" ")[0]
    if first.isalpha():  # names of models keep their letters: "gpt-oss"
        text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "?", "!")) else text + "."


def headline(
    best: Assessment | None,
    runner_up: Assessment | None,
    ranked: Sequence[Assessment],
    usage: Usage,
    rig_name: str,
    *,
    close: bool,
) -> str:
    """The verdict as one sentence."""
    if best is None:
        return _nothing(ranked)
    said = _action(best.option, rig_name)
    blind = untried(best, ranked)
    if blind is not None:
        what = "speed" if blind.option.answer_tps is None else "time for a prompt"
        first = f"Probe {blind.option.runs} on this rig first, its {what} here is not known"
        said = f"{first}; if that will not do, {said[0].lower()}{said[1:]}"
    if best.monthly is not None:
        said += f": {about(best.monthly.mid, usage.currency)} a month"
    both_apis = runner_up is not None and {best.option.kind, runner_up.option.kind} == {"API"}
    if close and not both_apis and runner_up is not None:
        said += _as_good(best, runner_up, usage)
    return said + "."


def _as_good(best: Assessment, runner_up: Assessment, usage: Usage) -> str:
    """What the runner-up costs, where that does not tell the two apart."""
    if best.monthly is None or runner_up.monthly is None:
        return ""
    other = name(runner_up) if runner_up.option.rig is None else f"“{name(runner_up)}”"
    gap = best.monthly.mid - runner_up.monthly.mid
    if CENT / 2 <= abs(gap) < usage.worth_changing:
        return f", {_more(gap, usage.currency)} than {other}, too little to decide by"
    if abs(gap) < CENT / 2:
        cost = about(runner_up.monthly.mid, usage.currency).removeprefix("about ")
        return f", too close to call with {other} at {cost}"
    # So far apart in money, and yet close: what weighs against the cheaper one has to be said.
    cheaper, dearer = (best, runner_up) if gap < 0 else (runner_up, best)
    against = _weaknesses(cheaper, dearer, usage)
    if cheaper.changes and not dearer.changes:
        against.append("the trouble of a change")
    given = f" given {listed(against)}" if against else ""
    return f", {_more(gap, usage.currency)} than {other}, yet too close to call{given}"


def about(amount: Decimal, currency: str) -> str:
    """``"about 14.20 USD"``, or that it is less than a cent."""
    if 0 < amount < CENT / 2:
        return f"less than {money(CENT, currency)}"
    return f"about {money(amount, currency)}"


def _more(gap: Decimal, currency: str) -> str:
    """``"3.20 USD more"``."""
    if abs(gap) < CENT / 2:
        return "the same to the cent"
    return f"{money(abs(gap), currency)} {'more' if gap >= 0 else 'less'}"


def standing(a: Assessment, best: Assessment | None, usage: Usage) -> str:
    """Why an option is the verdict or is not, in one line."""
    if not a.meets:
        return f"No: {a.failures[0]}."
    doubt = f"; {a.doubts[0]}" if a.doubts else ""
    if best is None or a.monthly is None or best.monthly is None or a is best:
        return f"Meets the need{doubt}."
    gap = a.monthly.mid - best.monthly.mid
    cost = money(abs(gap), usage.currency)
    if gap >= 0:
        return f"{cost} a month more{doubt}."
    if a.changes and not best.changes:
        why = _against(a, best, -gap, usage)
        return f"{cost} a month less, which does not make up for {why}{doubt}."
    return f"{cost} a month less, which is too little to decide{doubt}."


def _against(a: Assessment, best: Assessment, saved: Decimal, usage: Usage) -> str:
    """Why what is cheaper is not the verdict, in the order of what weighs."""
    found: list[str] = []
    if a.changes and not best.changes and saved <= usage.worth_changing:
        found.append(f"the {money(usage.worth_changing, usage.currency)} that a change has to earn")
    found += _weaknesses(a, best, usage)
    return listed(found) or "the trouble of a change"


def listed(words: Sequence[str]) -> str:
    """``"one, two and three"``."""
    return " and ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)


def _weaknesses(a: Assessment, best: Assessment, usage: Usage) -> list[str]:
    """What an option has less of than the verdict, beside money."""
    found: list[str] = []
    if a.option.tier < best.option.tier:
        found.append("a less able model")
    if a.option.loss != best.option.loss and a.option.quality < best.option.quality:
        loss = f" ({a.option.loss})" if a.option.loss else ""
        found.append(f"its loss of quality{loss}")
    if a.decode_tps is not None:
        slow = a.decode_tps.mid
        fast = usage.fast_enough_tps if best.decode_tps is None else best.decode_tps.mid
        if slow < min(fast, usage.fast_enough_tps) * _SLOWER:
            than = f" instead of {rate(fast)}" if best.decode_tps is not None else ""
            found.append(f"{rate(slow)}{than}")
    if not a.sure and best.sure:
        found.append("what is in doubt about it")
    if a.changes and not best.changes:
        return found
    if a.option.unsure_slots > best.option.unsure_slots:
        found.append("slots that may not be free")
    if len(a.option.at_launch_price) > len(best.option.at_launch_price):
        found.append("a launch price that no shop may ask")
    return found


def untried(best: Assessment, ranked: Sequence[Assessment]) -> Assessment | None:
    """What is here already and may do, where the verdict would change something."""
    if EFFORT[best.option.kind] < EFFORT["API"]:
        return None
    able = [a for a in ranked if a.unknown and a.option.kind in {"keep", "tune"}]
    return min(able, key=lambda a: a.option.kind != "keep", default=None)


def _action(option: Option, rig_name: str) -> str:
    here = _called(rig_name)
    match option.kind:
        case "keep":
            return f"Keep {here} as it is and run {option.runs}"
        case "tune":
            return f"Keep {here} and run {option.runs}"
        case "close programs":
            return f"Close other programs on {here} and run {option.runs}"
        case "API":
            the = "the " if " API" in option.title else ""
            return f"Use {the}{option.title}"
        case "hybrid":
            rest = "" if option.api is None else option.api.api.title
            bought = option.title.removesuffix(f" plus {rest}")
            rig = f"Keep {here}" if bought.startswith(THIS_RIG) else bought
            return f"{rig}, run {option.runs} and send the rest to {rest}"
        case _:
            return f"{option.title} and run {option.runs}"


def _nothing(ranked: Sequence[Assessment]) -> str:
    if not ranked:
        return "Nothing known meets this need."
    nearest = ranked[0]
    what = nearest.option.title if nearest.option.purchases else name(nearest)
    return f"Nothing known meets this need; nearest comes “{what}”: {nearest.failures[0]}."


def reasons(
    best: Assessment | None,
    runner_up: Assessment | None,
    ranked: Sequence[Assessment],
    usage: Usage,
    *,
    compared: tuple[Assessment, Assessment] | None,
    even: BreakEven | None,
) -> tuple[str, ...]:
    """Why, in a few sentences: cost against the next best, what it does, and the break-even."""
    if best is None:
        near = _unlike(ranked)
        first = _of_the_nearest(near[0], usage) if near else ()
        return (*first, *(_misses(a, usage) for a in near[1:]), *_trained_for_less(ranked, usage))
    found: list[str] = []
    if best.decode_tps is not None:
        found.append(_does(best, best.decode_tps, usage))
    if best.option.kind == "API" and best.monthly is not None:
        count = usage.requests_per_month
        counted = "One request costs" if count == 1 else f"{count:,} requests cost"
        text = f"{counted} {about(best.monthly.mid, usage.currency)} a month there"
        rig = next((a for a in ranked if a.meets and a.local is not None), None)
        if rig is not None and rig.monthly is not None:
            text += f"; the best rig for it costs {money(rig.monthly.mid, usage.currency)}"
        found.append(f"{text}.")
        if usage.min_decode_tps > READING_TPS:
            asked = rate(usage.min_decode_tps)
            found.append(f"How fast it answers is not in the price data; {asked} were asked for.")
    if runner_up is not None and runner_up.monthly is not None and best.monthly is not None:
        found.append(_next_best(runner_up, best, runner_up.monthly.mid - best.monthly.mid, usage))
    if even is not None and compared is not None:
        found.append(_break_even(even, compared))
    keep = next((a for a in ranked if a.option.kind == "keep"), None)
    if keep is not None and not (keep.meets or keep.unknown or keep is best):
        # Where the same rig is advised, with another file or other settings.
        what = "run as it is set" if best.option.kind == "tune" else "rig as it is"
        found.append(f"The {what} falls short: {'; '.join(keep.failures)}.")
    return tuple(found)


def _next_best(a: Assessment, best: Assessment, gap: Decimal, usage: Usage) -> str:
    """The runner-up, and what speaks against it where money does not."""
    text = f"Runner-up: {inside(a)}, {_more(gap, usage.currency)} a month"
    if gap < 0:
        return f"{text}, which does not make up for {_against(a, best, -gap, usage)}."
    if CENT <= gap < usage.worth_changing:
        text += f": a difference counts from {money(usage.worth_changing, usage.currency)} on"
        weak = listed(_weaknesses(a, best, usage))
        return f"{text}; against it: {weak}." if weak else f"{text}."
    return f"{text}."


def _unlike(ranked: Sequence[Assessment]) -> list[Assessment]:
    """The nearest, the nearest of other kinds, and what is here as it is."""
    found: dict[str, Assessment] = {}
    for a in ranked:
        found.setdefault(a.option.kind, a)
    first = list(found.values())[:_NEAR]
    keep = found.get("keep")
    return [*first, keep] if keep is not None and keep not in first else first


def _trained_for_less(ranked: Sequence[Assessment], usage: Usage) -> tuple[str, ...]:
    """That another model may do, where none of those asked about was trained for the context."""
    local = [a.option for a in ranked if a.option.rig is not None]
    if not local or any(not o.trained_ctx or o.trained_ctx >= usage.context for o in local):
        return ()
    alone = len({o.model_id for o in local}) == 1
    who = f"{local[0].model_name} was not" if alone else "None of these models was"
    told = (
        f"{who} trained for {tokens(usage.context)} tokens at once: under More (--also) name "
        "others that would do as well, and they compete."
    )
    return (told,)


def _misses(a: Assessment, usage: Usage) -> str:
    """What an option lacks, and what it would cost all the same."""
    price = _all_the_same(a, usage)
    return f"{name(a)}: {'; '.join(a.failures)}{f' ({price})' if price else ''}."


def _of_the_nearest(a: Assessment, usage: Usage) -> tuple[str, ...]:
    """What the headline leaves out: its cost, what it would run, and what else it lacks."""
    price, others = _all_the_same(a, usage), "; ".join(a.failures[1:])
    runs = f", with {a.option.runs}" if a.option.purchases else ""
    cost = (f"That would cost {price}{runs}.",) if price else ()
    return (*cost, f"What it lacks besides: {others}.") if others else cost


def _all_the_same(a: Assessment, usage: Usage) -> str:
    """``"74.55 USD a month, 3,650 USD to buy"``; empty where it is not known."""
    if a.monthly is None:
        return ""
    text = f"{money(a.monthly.mid, usage.currency)} a month"
    bought = f", {price(a.hardware.mid, usage.currency)} to buy" if a.hardware.mid else ""
    return f"{text}{bought}"


def _does(best: Assessment, speed: Range, usage: Usage) -> str:
    where = "partly in RAM" if best.option.in_ram else "in fast memory"
    way = way_of(best)
    each = [server.run.decode_tps for server in way.servers] if way is not None else []
    slowest, fastest = min(s.low for s in each or [speed]), max(s.high for s in each or [speed])
    pace = rates(slowest, fastest)
    text = f"It holds {tokens(usage.context)} tokens {where} and answers at {pace}"
    if best.busy_hours_per_day is not None:
        text += f", busy {a_day(best.busy_hours_per_day)}"
    if way is not None:
        text += _together(way, usage)
    return text + "."


def _together(way: Way, usage: Usage) -> str:
    """How more than one answer at a time is served, in llama-server's own words."""
    each = way.level.at_once
    slots = f"-np {each} -c {each * usage.context}"
    if way.servers:
        first, last = way.servers[0].device, way.servers[-1].device
        end = FIRST_PORT + len(way.servers) - 1
        text = (
            f" with a server on each of {len(way.servers)} cards (llama-server -dev {first} --port "
            f"{FIRST_PORT} to -dev {last} --port {end}; a conversation stays with its server)"
        )
        return f"{text}, {each} answers at once on each ({slots})" if each > 1 else text
    if each == 1:
        return ""
    return f" with {each} answers at once, each then slower (llama-server {slots})"


def a_day(hours: Decimal) -> str:
    """``"6 minutes a day"``, ``"2.5 hours a day"``."""
    minutes = hours * 60
    if minutes < 1:
        return "less than a minute a day"
    if minutes < _MINUTES:
        return f"{minutes:.0f} minutes a day" if round(minutes) != 1 else "1 minute a day"
    return f"{hours:,.1f} hours a day"


def _break_even(even: BreakEven, compared: tuple[Assessment, Assessment]) -> str:
    local, api = compared
    short = f" (which falls short: {local.failures[0]})" if local.failures else ""
    pair = f"{_where(local.option)}{short} against {name(api)}"
    if even.mid is None:
        return f"{pair}: never cheaper, since its electricity alone costs more than the API."
    if even.mid == 0:
        return f"{pair}: cheaper from the first request, nothing has to be bought."
    low = "0" if even.low is None else f"{two_digits(even.low):,}"
    high = even.high
    span = (
        f"at best from {low}, perhaps never" if high is None else f"{low} to {two_digits(high):,}"
    )
    text = f"{pair}: cheaper from {two_digits(even.mid):,} requests a month ({span})"
    if not even.reachable:
        text += f", more than the {two_digits(even.capacity):,} it can serve in the hours given"
    return text + "."


def _where(option: Option) -> str:
    """What runs where: of a comparison, which is no call to do something."""
    if option.rig is None:
        return option.title
    return f"{option.runs} on {_called(option.rig.name)}"


def _called(rig_name: str) -> str:
    return "this machine" if rig_name == "This machine" else rig_name


def inside(a: Assessment) -> str:
    """An outcome within a sentence: what is done to a rig is a verb and has no capital there."""
    words = name(a)
    return words if a.option.rig is None else f"{words[:1].lower()}{words[1:]}"


def doubts(best: Assessment | None) -> tuple[str, ...]:
    """What is not known about the verdict's own option."""
    if best is None:
        return ()
    found = list(best.doubts)
    if best.option.kind == "API":
        found.append("how fast the API answers is not in the data")
    if best.option.plan is not None:
        found += best.option.plan.notes
    return tuple(found)
