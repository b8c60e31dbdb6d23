"""Usage: presets that follow from their own sources, and what is refused."""

from decimal import Decimal

import pytest
from pydantic import ValidationError

from advisor.advice.usage import LOSS_WORDS, Usage, places, preset, presets
from advisor.llm import quality


def test_presets_are_complete_and_say_where_their_counts_come_from():
    assert [p.id for p in presets()][:4] == ["chat", "documents", "agent", "batch"]
    for p in presets():
        usage = p.apply(Usage())
        assert usage.prompt_tokens == p.prompt_tokens
        assert len(p.source) > 60


def test_the_chat_preset_is_the_mean_of_its_six_turns():
    turns = [300 * k + 400 * (k - 1) for k in range(1, 7)]
    chat = preset("chat")
    assert chat.prompt_tokens == sum(turns) / 6
    assert float(chat.cached_share) == pytest.approx(1 - 300 * 6 / sum(turns), abs=0.01)


def test_a_preset_keeps_prices_and_rules():
    mine = Usage(data_may_leave=False, electricity_price=Decimal("0.40"), currency="EUR")
    chat = preset("agent").apply(mine)
    assert not chat.data_may_leave
    assert chat.electricity_price == Decimal("0.40")


@pytest.mark.parametrize(
    "wrong",
    [
        {"requests_per_month": 0},
        {"requests_per_month": 1_000_001},
        {"prompt_tokens": 20_000, "context": 16_384},
        {"cached_share": "1.2"},
        {"currency": "euro"},
        {"usd_rate": 0},
        {"horizon_months": 0},
        {"hours_per_day": 25},
        {"long_share": "0.1", "long_prompt_tokens": 10},
        {"nonsense": 1},
    ],
)
def test_nonsense_is_refused(wrong):
    with pytest.raises(ValidationError):
        Usage.model_validate(wrong)


def test_a_month_is_a_twelfth_of_a_year():
    assert Usage(hours_per_day=24).hours_per_month == Decimal("730.5")


def test_loss_words_are_those_of_the_quality_table():
    assert quality.WORDS == LOSS_WORDS
    assert Usage(max_loss="small").accepts_loss("near lossless")
    assert not Usage(max_loss="small").accepts_loss("noticeable")
    assert not Usage(max_loss="broken").accepts_loss("")


def test_usage_survives_json():
    usage = preset("agent").apply(Usage(budget=Decimal("2500.50"), currency="EUR"))
    assert Usage.model_validate_json(usage.model_dump_json()) == usage


def test_electricity_prices_are_dated():
    for place in places():
        assert 0 < place.price < 1
        assert place.date
        assert place.source
