"""What the window says of a plan."""

import pytest

from advisor import units
from advisor.basis import Range
from advisor.hardware.compose import parse_rig
from advisor.llm.catalogue import catalogue
from advisor.sizing import size
from advisor.sizing.settings import RunSettings
from advisor.ui import texts
from advisor.ui.widgets.figures import wait_text


def test_where_the_ram_lacks_no_card_is_said_to_have_room(qapp) -> None:
    """“fits, 1.1 GiB left” stood beside “does not fit”, and “-1.1 GiB are missing”."""
    rig = parse_rig("Ryzen 7 8845HS + 8 GB DDR5-5600")
    model = catalogue().find("google/gemma-3-27b-it").model("Q4_K_M")
    plan = size(model, rig, RunSettings(ctx=8192, n_gpu_layers="fit", n_cpu_moe="fit"))

    assert plan.verdict == "no"
    assert plan.headroom is not None
    assert plan.headroom > 0
    lacks = f"{-(plan.host.headroom or 0) / (1 << 30):.1f} GiB"
    assert texts.verdict_text(plan) == f"lacks {lacks}"
    assert texts.answer(plan, "Gemma 3 27B", rig)[1] == f"{lacks} are missing where it is tightest."


@pytest.mark.parametrize(
    ("low", "mid", "high", "said"),
    [
        (1.1, 1.7, 2.7, "1.1–2.7 s"),
        (105.0, 170.0, 246.0, "105–246 s"),
        (285.0, 444.0, 693.0, "4.8–12 min"),
        (13_864.0, 21_143.0, 32_243.0, "3.9–9.0 h"),
    ],
)
def test_a_wait_is_counted_in_what_people_count_it_in(
    low: float, mid: float, high: float, said: str
) -> None:
    assert wait_text(Range(low=low, mid=mid, high=high)) == said
    assert units.wait(high).split()[1] == said.split()[1]
