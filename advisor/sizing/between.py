"""What passes between the cards of a rig for every token, and how little of their link that takes.

A cache is read where it lies: its bytes stay inside one card, whatever the length of the context.
"""

from advisor.basis import Explanation, Term
from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.sizing.interconnect import all_reduce_bytes, hand_over_bytes, slowest_link
from advisor.sizing.plan import Plan
from advisor.sizing.speed_data import speed_data

_TENSOR = (
    "llama.cpp -sm tensor: two sums per layer in F32, ring of the cards; half as much where it "
    "sends them in BF16, as between two cards without NCCL (ggml-cuda/allreduce.cu)"
)
_LAYER = "llama.cpp -sm layer: hidden state in F32, once per border"


def _kib(size: float) -> str:
    return f"{size / 1024:,.0f} KiB" if size < 10 << 20 else f"{size / (1 << 20):,.1f} MiB"


def _percent(share: float) -> str:
    return f"{share:.2%}" if share >= 0.0001 else "under 0.01%"


def explain_traffic(
    model: Model, rig: Rig, plan: Plan
) -> tuple[tuple[str, str], Explanation] | None:
    """Size and share of the link, and what stands behind them.

    None with fewer than two cards in one machine.
    """
    hp = model.hp
    cards = [device for device in rig.devices if not device.host_index and not device.unified]
    if hp is None or len(cards) < 2:
        return None
    n, split = len(cards), speed_data().tensor_split
    link = slowest_link(cards)
    tensor = all_reduce_bytes(hp, n, value_bytes=4)
    used = sum(bool(device.layers) for device in plan.devices)
    layer = hand_over_bytes(hp) * max(used - 1, 0)
    now = tensor if plan.settings.split_mode == "tensor" else layer
    wait = 2 * hp.n_layer * (split.moe_us if hp.n_expert else split.dense_us) * 1e-6
    tps = plan.speed.decode_tps
    terms = [
        Term(name="by layers (-sm layer), a token", value=layer, unit="bytes", source=_LAYER),
        Term(name="by tensors (-sm tensor), each card", value=tensor, unit="bytes", source=_TENSOR),
        Term(
            name="by tensors, waiting a token",
            value=wait * 1000,
            unit="ms",
            source=split.source,
        ),
    ]
    words, formula = "" if now else "one card works alone", f"{_kib(now)} a token"
    notes = [
        "Neither depends on the length of the context: every cache is read where it lies.",
        "Prompts send as much for every token of a micro-batch at once.",
    ]
    if link is not None:
        terms.append(
            Term(
                name=f"{link[1]}, one direction", value=link[0], unit="GB/s", source="PCI-SIG rates"
            )
        )
        if tps is not None and now:
            share = now * tps.mid / (link[0] * 1e9)
            words = f"{_percent(share)} of the link"
            formula += (
                f" × {tps.mid:,.1f} tok/s ÷ {link[0]:,.1f} GB/s ({link[1]}) = {_percent(share)}"
            )
            other = tensor * tps.mid / (link[0] * 1e9)
            notes.append(f"By tensors at this speed it would be {_percent(other)} of the link.")
    return (_kib(now), words), Explanation(
        title="Between the cards", formula=formula, terms=tuple(terms), notes=tuple(notes)
    )
