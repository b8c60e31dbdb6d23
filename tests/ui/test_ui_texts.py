"""What the window says of a plan."""

from advisor.hardware.compose import parse_rig
from advisor.llm.catalogue import catalogue
from advisor.sizing import size
from advisor.sizing.settings import RunSettings
from advisor.ui import texts


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
