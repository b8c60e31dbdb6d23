"""What a verdict rests on, in sentences: speeds, power, prices and how requests are counted."""

import datetime as dt
from collections.abc import Sequence

from advisor.advice import batching
from advisor.advice.assessment import Assessment
from advisor.advice.money import price
from advisor.advice.options import Purchase, old_prices
from advisor.advice.whatif import name
from advisor.advice.wording import listed
from advisor.basis import Basis
from advisor.sizing.sampling import on_a_bench


def _counted(purchase: Purchase) -> str:
    """``"2x RTX 3090: 1,800 USD, 900 USD each"``: what a price list gives is for one, or one GB."""
    name, one = purchase.name, price(purchase.price.mid, "USD")
    if purchase.count == 1:
        return f"{name}: {one}"
    per_gb = purchase.price.name.endswith(" per GB")
    counted = name if per_gb else f"{purchase.count:f}x {name}"
    return f"{counted}: {price(purchase.usd.mid, 'USD')}, {one} {'a GB' if per_gb else 'each'}"


def _at_once(told: Sequence[Assessment]) -> list[str]:
    """How requests are counted, and what several at once rest on."""
    ways = [(a.option.rig, a.option.run) for a in told if a.option.run is not None]
    if not ways:
        return []
    found = (
        "Requests come one after the other where that is enough in the hours given; more of them "
        "keep the rig busy through all those hours."
    )
    most, kinds = 1, dict[str, None]()
    for rig, run in ways:
        servers = () if run.apart is None else run.apart.servers
        gains = [gain.at_once for one in (run, *(s.run for s in servers)) for gain in one.gains]
        if gains and rig is not None:
            most, kinds = max(most, *gains), kinds | {batching.kind(rig.devices): None}
    if most == 1:
        said = (
            f"{found} Several answers at once are not counted: their caches do not fit beside each "
            "other in fast memory, or it is not known what they gain."
        )
        return [said]
    devices = dict.fromkeys(name for kind in kinds for name in batching.measured_on(kind))
    said = (
        f"{found} Then, and where nobody waits, a server runs on each card that holds the model "
        f"alone, and llama-server answers up to {most} requests at once, as far as their caches "
        "fit in fast memory and each answer stays as fast as asked. What that gains is taken from "
        f"batch runs of llama.cpp on {listed(list(devices))}; that a prompt makes other answers "
        "wait is left out. With a part of the model in RAM nothing is counted as gained, for want "
        "of figures."
    )
    return [said]


def leans_on(
    best: Assessment | None, runner_up: Assessment | None, today: dt.date
) -> tuple[str, ...]:
    """Basis, source and date of what decided."""
    found: list[str] = []
    told = [a for a in (best, runner_up) if a is not None]
    for a in told:
        option = a.option
        if option.run is not None:
            speed = "measured" if option.run.basis is Basis.MEASURED else "predicted"
            power = "measured" if option.run.power.basis is Basis.MEASURED else "estimated"
            found.append(f"{name(a)}: speed {speed}, power {power}.")
            if apart := on_a_bench(option.run.decode_tps, option.run.sampling_s):
                found.append(f"{name(a)}: {apart}.")
        if option.api is not None:
            found.append(f"{option.api.api.title}: price from {option.api.source}.")
            found += option.api.notes
        old = set(old_prices(option, today))
        for purchase in option.purchases:
            offer = purchase.price
            mark = ", more than half a year old" if purchase.name in old else ""
            found.append(
                f"{_counted(purchase)} ({offer.condition}, {offer.date or 'today'}{mark}), "
                f"{offer.source.replace(' ; ', '; ')}."
            )
    found += _at_once(told)
    if any(a.option.rig is not None and len(a.option.rig.devices) > 1 for a in told):
        found.append(
            "A model on several cards is split by layers, llama.cpp's default; what its "
            "experimental -sm tensor would gain is not counted."
        )
    found.append("Left out: cooling of the room, repairs, and the time to set things up.")
    return tuple(dict.fromkeys(found))
