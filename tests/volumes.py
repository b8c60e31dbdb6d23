"""What must hold of a rig's cost at any two volumes."""

from collections.abc import Iterable
from decimal import Decimal

from advisor.advice.costs import local_cost
from advisor.advice.serving import LocalRun
from advisor.advice.usage import Usage


def no_cheaper_months(done: LocalRun, usage: Usage, volumes: Iterable[int]) -> None:
    """Held for the figures shown at two volumes, and at any end of their ranges."""
    few, many = (
        local_cost(usage.model_copy(update={"requests_per_month": volume}), done)
        for volume in sorted(volumes)
    )
    small, large = sorted(volumes)
    rounding = 1 + Decimal("1e-20")
    for end in ("low", "mid", "high"):
        assert getattr(many.each(large), end) <= getattr(few.each(small), end) * rounding
        assert getattr(few.monthly(small), end) <= getattr(many.monthly(large), end) * rounding
        # The line drawn through the one volume is the line drawn through the other.
        there, here = getattr(few.monthly(large), end), getattr(many.monthly(large), end)
        assert max(there, here) <= min(there, here) * rounding
    assert few.monthly(small).low <= few.monthly(small).mid <= few.monthly(small).high
