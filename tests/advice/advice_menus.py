"""Options that need no search, for tests of what is made of them: rigs by their figures, APIs."""

import datetime as dt
from decimal import Decimal

from advisor.advice import prices
from advisor.advice.hardware_prices import HardwarePrice
from advisor.advice.options import EFFORT, Kind, Option, Purchase
from advisor.advice.power import Power
from advisor.advice.serving import LocalRun
from advisor.basis import Basis, Range
from advisor.hardware.rig import Rig

NOW = dt.datetime(2026, 11, 23, 14, tzinfo=dt.UTC)
RIG = Rig(name="RTX 4090 + 64 GB")
LOCAL_KINDS = [k for k in EFFORT if k not in {"API", "hybrid"}]


def local(
    *,
    kind: Kind = "keep",
    price=0,
    speed=40.0,
    loss="small",
    tier=2,
    fits=True,
    busy=400.0,
    ident="x",
):
    cost = HardwarePrice(
        name="card",
        kind="gpu",
        condition="new",
        low=Decimal(price),
        mid=Decimal(price),
        high=Decimal(price),
        date="2026-11-01",
        source="test",
    )
    power = Power(Range.exactly(busy), Range.exactly(60.0), Basis.COMPUTED, "test")
    run = LocalRun(
        Range(low=speed * 0.8, mid=speed, high=speed * 1.2), Range.exactly(1000.0), power
    )
    return Option(
        id=f"{kind}|{ident}",
        kind=kind,
        title=f"{kind} {ident}",
        model_id="m",
        model_name="Model",
        file_type="Q4_K_M",
        loss=loss,
        tier=tier,
        rig=RIG,
        fits=fits,
        headroom=1 << 30 if fits else -(1 << 30),
        ctx=1 << 20,
        run=run,
        ttft_s=Range.exactly(1.0),
        purchases=(Purchase("card", Decimal(1), cost),) if price else (),
    )


def rented(name="deepseek-flash"):
    api = next(a for a in prices.api_models() if a.id == name)
    price = prices.api_price(api, NOW)
    return Option(
        id=f"API|{name}",
        kind="API",
        title=api.title,
        tier=api.tier,
        api=price,
        relation="like class",
    )
