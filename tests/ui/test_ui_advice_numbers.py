"""Numbers of the advice form, as people write them."""

from decimal import Decimal

import pytest

from advisor.ui.pages.advice_numbers import Bounds, parse, shown

COUNT = Bounds("count", Decimal(1), Decimal(1_000_000))
TOKENS = Bounds("tokens", Decimal(1), Decimal(1 << 27))
PERCENT = Bounds("percent", Decimal(0), Decimal(100))
MONEY = Bounds("amount", Decimal(0), Decimal(10**9), none="no limit")


@pytest.mark.parametrize(
    ("content", "bounds", "value"),
    [
        ("1,200", COUNT, 1200),
        ("12k", COUNT, 12_000),
        ("32k", TOKENS, 32_768),
        ("70 %", PERCENT, Decimal("0.7")),
        ("0,31", MONEY, Decimal("0.31")),
        ("0,310", MONEY, Decimal("0.310")),
        ("2,500", MONEY, Decimal(2500)),
        ("1,234.50", MONEY, Decimal("1234.50")),
        ("", MONEY, None),
        ("no limit", MONEY, None),
    ],
)
def test_numbers_are_read_as_people_write_them(content: str, bounds: Bounds, value) -> None:
    assert parse(content, bounds) == value


@pytest.mark.parametrize(
    ("content", "bounds"),
    [("", COUNT), ("0", COUNT), ("1.5", COUNT), ("many", COUNT), ("101", PERCENT), ("nan", MONEY)],
)
def test_what_is_no_number_of_the_field_is_refused(content: str, bounds: Bounds) -> None:
    with pytest.raises(ValueError, match=f"^{content}$"):
        parse(content, bounds)


@pytest.mark.parametrize("value", [None, Decimal("0.31"), Decimal(1000), Decimal("1E+3")])
def test_what_is_shown_is_read_back(value: Decimal | None) -> None:
    assert parse(shown(value, MONEY), MONEY) == value
