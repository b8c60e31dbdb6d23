"""Ways out by how layers are cut: another split of the cards, or every matrix across them."""

from collections.abc import Iterator

from advisor.sizing.plan import Plan
from advisor.sizing.ways_out import SPLIT_SIZE, WHOLE, Case, Change, shares


def split(case: Case) -> Iterator[Change]:
    """The solver's borders where llama.cpp's own leave one card too little."""
    asked = case.settings
    if len(case.rig.devices) < 2 or asked.tensor_split or asked.split_mode != "layer":
        return
    split = case.split(case.model, case.rig, {})
    if not split:
        return
    title = f"Split the layers by hand: -ts {shares(split)}"
    cost = "Costs nothing; the cards keep their order."
    if found := case.change("split", title, cost, SPLIT_SIZE, fields={**WHOLE, **split}):
        yield found


def tensor(case: Case, now: Plan) -> Iterator[Change]:
    """Every matrix cut across alike cards, where layer after layer is too slow."""
    names = {device.name for device in case.rig.devices}
    if len(case.rig.devices) < 2 or len(names) > 1 or case.settings.split_mode != "layer":
        return
    if case.fast(now):
        return
    found = case.change(
        "tensor",
        "Cut every matrix across the cards: -sm tensor",
        "Nothing in quality; it needs a quick link, and prompts may be read more slowly.",
        0.4,
        fields={"split_mode": "tensor", "tensor_split": (), "n_gpu_layers": "all"},
    )
    if found:
        yield found
