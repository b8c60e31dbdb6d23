"""What a card may draw decides how fast its cores read prompts, hardly how fast it decodes."""

import pytest
from speed_cases import model, speed

from advisor.hardware.compose import parse_rig
from advisor.hardware.rig import Rig
from advisor.sizing.speed_class import class_of, clocked, watts
from advisor.sizing.speed_data import speed_data


def limited(rig: Rig, **facts: object) -> Rig:
    return rig.model_copy(update={"devices": (rig.devices[0].model_copy(update=facts),)})


def read(rig: Rig) -> tuple[float, float]:
    found = speed(model("Llama 3.1 8B"), rig)
    assert found.prefill_tps is not None
    assert found.decode_tps is not None
    return found.prefill_tps.mid, found.decode_tps.mid


def test_a_lower_limit_slows_prompts_by_a_power_of_it_and_leaves_decoding() -> None:
    rig = parse_rig("RTX 4090")
    usual = rig.devices[0].power_default_w
    assert usual is not None
    full, decoding = read(rig)
    half, still = read(limited(rig, power_limit_w=usual / 2))
    assert still == decoding
    exponent = speed_data().watts.exponent
    assert 0.3 < exponent < 0.5
    # Launches and reading are a part of the time that does not depend on the clock.
    assert full * 0.5**exponent < half < 0.85 * full


def test_of_two_cards_of_one_kind_the_one_with_fewer_watts_for_its_cores_runs_them_slower() -> None:
    desktop, workstation = (parse_rig(words).devices[0] for words in ("RTX 4090", "RTX 6000 Ada"))
    found = class_of(desktop)
    assert found is not None
    factors = [
        clocked(device, device.fp16_tflops or 0, found[1]) for device in (desktop, workstation)
    ]
    assert factors[0] > 1.2 * factors[1]


@pytest.mark.parametrize(
    ("facts", "drawn"),
    [
        ({}, 450),
        ({"power_limit_w": 600.0}, 450),
        ({"power_limit_w": 300.0}, 300),
        ({"power_limit_w": 300.0, "power_default_w": None}, 300),
        ({"power_limit_w": None, "power_default_w": None}, None),
        ({"mig": True}, None),
        ({"unified": True}, None),
    ],
)
def test_a_card_draws_its_limit_or_what_it_would_by_itself(
    facts: dict[str, object], drawn: float | None
) -> None:
    device = limited(parse_rig("RTX 4090"), **facts).devices[0]
    assert watts(device) == drawn
    found = class_of(device)
    assert found is not None
    if drawn is None:
        assert clocked(device, 330.3, found[1]) == 1


def test_a_prompts_terms_tell_the_clock() -> None:
    term = next(
        term
        for term in speed(model("Llama 3.1 8B"), parse_rig("RTX 6000 Ada")).prefill_terms
        if term.name.endswith("matrices")
    )
    assert " by its watts × " in term.detail
