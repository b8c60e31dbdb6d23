"""How long the first token takes after long prompts."""

import pytest

from advisor.hardware.compose import parse_rig
from advisor.llm.open import load
from advisor.sizing import size
from advisor.sizing.settings import FIT, RunSettings
from advisor.sizing.waits import waits


@pytest.mark.parametrize(
    ("settings", "counts"),
    [
        ({"ctx": 8192}, [8191]),
        ({"ctx": 16384}, [16383]),
        ({"ctx": 32768}, [8192, 32767]),
        ({"ctx": 32768, "parallel": 4}, [8191]),
    ],
)
def test_a_long_prompt_and_one_that_fills_a_slot(settings: dict, counts: list[int]) -> None:
    model, rig = load("Qwen3 8B"), parse_rig("RTX 4090 + 64 GB DDR5-6000")
    plan = size(model, rig, RunSettings(**settings))
    found = waits(model, rig, plan.settings)
    assert [wait.tokens for wait in found] == counts
    assert all(wait.how is not None for wait in found)
    # A longer prompt takes longer than its share: attention grows with what was read.
    per_token = [wait.seconds.mid / wait.tokens for wait in found]
    assert per_token == sorted(per_token)


def test_experts_in_ram_let_one_wait_for_minutes() -> None:
    """What nobody says of a model that “runs”: 128k tokens take some minutes to read."""
    model, rig = load("gpt-oss 120b"), parse_rig("2x RTX 3090 + 64 GB DDR4-3200")
    plan = size(model, rig, RunSettings(ctx=131072, **FIT))
    assert waits(model, rig, plan.settings)[-1].seconds.mid > 120


def test_what_writes_no_tokens_or_has_no_speed_has_none() -> None:
    rig = parse_rig("RTX 4090 + 64 GB")
    assert waits(load("BGE M3"), rig, RunSettings(ctx=8192)) == ()
    assert waits(load("Qwen3 8B"), parse_rig("CPU only 64 GB"), RunSettings(ctx=8192)) == ()
