"""How long a token takes to write, with every term and the range of the whole."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, NamedTuple

from advisor.basis import Range
from advisor.hardware.rig import Device
from advisor.llm.model import Model
from advisor.sizing import speed_prefill
from advisor.sizing import speed_sums as sums
from advisor.sizing.bench_rows import BenchRow
from advisor.sizing.build_dates import built_year
from advisor.sizing.interconnect import crossings, slowest_link
from advisor.sizing.placement import HOST
from advisor.sizing.plan import SpeedTerm
from advisor.sizing.settings import RunSettings
from advisor.sizing.speed_data import speed_data
from advisor.sizing.speed_load import Load, cut_across
from advisor.sizing.speed_machine import (
    DeviceSpeed,
    Machine,
    attention_effort,
    few_bits,
    host_seconds,
)
from advisor.sizing.speed_similar import NORMAL_80, Case, Correction, correction
from advisor.sizing.speed_sums import ModelSums
from advisor.sizing.speed_terms import Work, decode_parts, launches


class Run(NamedTuple):
    """What a run asks of which devices."""

    known: ModelSums
    parts: list[Load]
    box: Machine


@dataclass(slots=True)
class Sum:
    """Terms of a token's time, and the seconds that may be wrong."""

    terms: list[SpeedTerm] = field(default_factory=list[SpeedTerm])
    notes: list[str] = field(default_factory=list[str])
    total: float = 0.0
    doubt: float = 0.0
    """Sum of seconds × spread: errors of one rig go together, so they are not squared."""

    def add(
        self, name: str, seconds: float, spread: float, detail: str = "", where: int | None = None
    ) -> None:
        """Another term, whose seconds may be ``spread`` off (natural logarithm)."""
        if seconds > 0:
            self.terms.append(SpeedTerm(name=name, seconds=seconds, detail=detail, where=where))
            self.total += seconds
            self.doubt += seconds * spread

    def join(self, other: "Sum") -> None:
        """All of another's terms."""
        self.terms += other.terms
        self.total += other.total
        self.doubt += other.doubt

    def range(self) -> Range:
        """Tokens per second."""
        mid = 1 / self.total
        width = NORMAL_80 * self.doubt / self.total
        return Range(low=mid * math.exp(-width), mid=mid, high=mid * math.exp(width))


def decode(model: Model, settings: RunSettings, run: Run) -> Sum:
    """Terms of a token on every device, between them and in RAM."""
    known, parts, box = run
    result = Sum()
    on_devices = [part for part in parts if part.where != HOST]
    alike = len(on_devices) if len(box.kinds) == 1 else 0
    cut = settings.split_mode == "tensor" and len(on_devices) > 1
    found: list[Sum] = []
    for part in cut_across(on_devices) if cut else on_devices:
        device = box.devices[part.where]
        change = device_correction(model, settings, device, alike, box)
        effort = part.attention_flops * attention_effort(device.backend, settings)
        terms = _device_terms(part, device, change, effort, several=len(on_devices) > 1)
        if change.rows and not result.notes:
            result.notes.append(_measured(change.rows))
        found.append(terms)
    # With every matrix cut across devices, all wait for the slowest.
    for terms in [max(found, key=lambda terms: terms.total)] if cut else found:
        result.join(terms)
    if on_devices:
        last = max(on_devices, key=lambda p: box.devices[p.where].costs.fixed_us).where
        slowest = box.devices[last]
        result.add("Per token", slowest.costs.fixed_us * 1e-6, 0.3, "outside the blocks", last)
        if cut:
            _all_reduces(result, known, [box.rig.devices[part.where] for part in on_devices])
        else:
            _hand_overs(result, model, known, on_devices, box)
    _host_terms(result, parts, box)
    return result


def device_correction(
    model: Model, settings: RunSettings, device: DeviceSpeed, alike: int, box: Machine
) -> Correction:
    """What measured rows say about one device's time per token, and how far with a probe of it.

    ``alike``: how many cards are in use where all are the same, else 0. What a probe taught comes
    on top of the rows' correction, which tells how this model differs from the one that was run;
    the build that it ran with is in what it measured.
    """
    plain = not box.calibration.of_devices
    case = Case(
        model=model.shape,
        gpu=device.gpu,
        backend=device.backend,
        speed_class=device.class_key,
        file_type=model.file_type,
        experts=bool(model.hp and model.hp.n_expert),
        depth=settings.depth,
        built=built_year(settings.built) if plain else None,
        flash=settings.flash_attn != "off",
    )
    found = correction("decode", case, alike).on(device.widen * device.fitted.widen)
    if plain:
        return found
    return Correction(found.error, box.calibration.decode_spread(found.spread))


def _device_terms(
    part: Load, device: DeviceSpeed, change: Correction, effort: float, *, several: bool
) -> Sum:
    """``effort``: operations of attention, as many as they are worth."""
    k = device.constants
    result = Sum()
    found = decode_parts(k, Work(part.columns, part.cache_bytes, effort))
    factor = math.exp(change.error)
    spread = change.spread
    where = f"{device.title}: " if several else ""
    near = speed_prefill.by_rows(factor)
    rate = f"{float(k.bandwidth) / 1e9:,.0f} GB/s × {float(k.eta):.2f}"
    attention = float(k.attention * k.rate) / 1e12
    kernels = f"{launches(k, part.columns):,.0f} kernels of {float(k.tau) * 1e6:.1f} µs"
    dense = float(part.columns[sums.DENSE].sum() + part.columns[sums.STATE])
    experts = float(part.columns[sums.EXPERTS].sum())
    rows = (
        ("Read weights", found.weights, f"{dense / 1e9:.2f} GB at {rate}"),
        ("Read experts", found.experts, f"{experts / 1e9:.2f} GB at {rate}"),
        ("Read KV cache", found.cache, f"{part.cache_bytes / 1e9:.2f} GB at {rate}"),
        ("Attention", found.attention, f"{effort / 1e9:.1f} GFLOP at {attention:,.0f} TFLOP/s"),
        (
            "Launches and waits",
            found.latency,
            f"{kernels} in {int(part.columns[sums.BLOCKS])} blocks",
        ),
    )
    for name, seconds, detail in rows:
        result.add(where + name, float(seconds) * factor, spread, detail + near, part.where)
    return result


def _all_reduces(result: Sum, known: ModelSums, devices: Sequence[Device]) -> None:
    """Two per block: what they wait for does not depend on the link, what they send does."""
    split = speed_data().tensor_split
    blocks = float(known.layers[:, sums.BLOCKS].sum())
    wait = split.moe_us if known.n_expert else split.dense_us
    # Small sums are exchanged in F32 (ggml-cuda.cu:ggml_backend_cuda_comm_allreduce_nccl).
    size = known.n_embd * 4 * 2 * (len(devices) - 1) / len(devices)
    link = slowest_link(devices)
    sent = 0.0 if link is None else size / (link[0] * 1e3 * speed_data().pcie.share)
    over = "" if link is None else f" + {size / 1024:.0f} KiB over {link[1]}"
    result.add(
        "All-reduce",
        2 * blocks * (wait + sent) * 1e-6,
        split.spread,
        f"{2 * blocks:.0f} × ({wait:.0f} µs of waiting{over}) ({split.source})",
    )


_UNKNOWN_LINK: Final = "The link between two hosts of the rig is not known; left out."


def _hand_overs(
    result: Sum, model: Model, known: ModelSums, on_devices: list[Load], box: Machine
) -> None:
    """A token passes from device to device once, over a network and back at the link's speed."""
    devices = [box.devices[at] for at in sorted(part.where for part in on_devices)]
    hosts = [device.host_index for device in devices]
    local = [
        max(a.costs.hand_over_us, b.costs.hand_over_us)
        for a, b in pairwise(devices)
        if a.host_index == b.host_index
    ]
    each = f"{len(local)} × {max(local, default=0):.0f} µs"
    result.add("Hand over", sum(local) * 1e-6, 0.3, each)
    links = crossings(box.rig, hosts)
    if None in links:
        result.notes.append(_UNKNOWN_LINK)
    seconds, size = 0.0, known.n_embd * 4
    for link in filter(None, links):
        seconds += link.latency_us * 1e-6 + size / (link.bandwidth_gbs * 1e9)
    words = f"{len(links)} × one way, {size:,} bytes each"
    if links and hosts[-1] and links[-1] is not None and model.hp is not None:
        # The output layer lies on another machine: what it says of every token comes back.
        seconds += model.hp.n_vocab * 4 / (links[-1].bandwidth_gbs * 1e9)
        words += f", and {model.hp.n_vocab * 4:,} bytes of logits"
    result.add("Network", seconds, 0.5, words)


def _host_terms(result: Sum, parts: list[Load], box: Machine) -> None:
    part = next((p for p in parts if p.where == HOST), None)
    if part is None:
        return
    spread = box.host.spread_beside if box.devices else box.host.spread
    if box.calibration.host_bandwidth_gbs is not None:
        spread = _apart(part, box, box.calibration.on_host(spread))
    weights, experts, cache, latency, state = map(
        float, host_seconds(box, part.columns, part.cache_bytes, part.attention_flops, part.beside)
    )
    rate = f"at {box.host_gbs:,.0f} GB/s effective"
    dense = float(part.columns[sums.DENSE].sum())
    used = float(part.columns[sums.EXPERTS].sum())
    hard, hard_used = _unpacked(part, sums.HARD_DENSE, box), _unpacked(part, sums.HARD_EXPERTS, box)
    result.add("RAM: read weights", weights, spread, f"{dense / 1e9:.2f} GB {rate}{hard}", HOST)
    result.add("RAM: read experts", experts, spread, f"{used / 1e9:.2f} GB {rate}{hard_used}", HOST)
    if state:
        cores = box.rig.host.cores or box.host.cores
        words = f"{part.columns[sums.STATE] / 1e9:.2f} GB on {cores} cores"
        result.add("CPU: recurrent state", state, spread, words, HOST)
    computed = part.attention_flops / box.host_attention
    if computed >= cache:
        words = f"{part.attention_flops / 1e9:.2f} GFLOP at {box.host_attention / 1e9:,.0f} GFLOP/s"
        result.add("CPU: attention", cache, spread, words, HOST)
    else:
        words = f"{part.cache_bytes / 1e9:.2f} GB {rate}"
        result.add("RAM: read KV cache", cache, spread, words, HOST)
    if part.copied_cache and box.cache_rate:
        words = f"{part.copied_cache / 1e9:.2f} GB at {box.cache_rate / 1e9:.1f} GB/s"
        seconds = part.copied_cache / box.cache_rate
        result.add(speed_prefill.CACHE_COPIED, seconds, box.host.copy_spread, words)
    starts = int(part.columns[sums.BLOCKS] + part.columns[sums.MOE])
    words = f"{starts} attention and expert layers"
    result.add("CPU: start layers", latency, spread, words, HOST)


def _unpacked(part: Load, kinds: slice, box: Machine) -> str:
    """What of it the processor's cores hold up."""
    held_up = float(part.columns[kinds][box.hard_times > 0].sum())
    return f", {held_up / 1e9:.2f} GB of it as fast as the cores unpack I-quants" if held_up else ""


def _apart(part: Load, box: Machine, spread: float) -> float:
    """Wider by how far types of few bits have another share of the time than where it was measured:
    the processor may take four times as long for a byte of them, or none where RAM is the limit."""
    apart = abs(few_bits(part.columns) - box.calibration.few_bits)
    return spread + apart * max(speed_data().calibrated.few_bits_spread - spread, 0.0)


def _measured(rows: tuple[BenchRow, ...]) -> str:
    row = rows[0]
    more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
    return (
        f"Decode follows a measured row of this card and model: {row.decode_tps:,.1f} tok/s at "
        f"depth {row.depth:,} in {row.quant} ({row.source}){more}."
    )
