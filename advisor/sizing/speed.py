"""How fast a model runs on a rig: decode, prefill and time to first token, with every term.

Formulas in ``speed_terms``, constants in resources/speed.json, corrections and ranges from measured
rows in ``speed_similar``.
"""

import math
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, NamedTuple

from advisor.basis import Range
from advisor.hardware.rig import Device, Rig
from advisor.llm.model import Model
from advisor.sizing import speed_prefill
from advisor.sizing import speed_sums as sums
from advisor.sizing.build_dates import built_year
from advisor.sizing.calibration import IDENTITY, Calibration
from advisor.sizing.interconnect import crossings, slowest_link
from advisor.sizing.left_in_ram import LEAVES, NO_PRODUCT
from advisor.sizing.placement import HOST, Placement
from advisor.sizing.plan import Speed, SpeedTerm
from advisor.sizing.settings import RunSettings, first_device
from advisor.sizing.speed_data import BenchRow, speed_data
from advisor.sizing.speed_load import (
    DeviceSpeed,
    Load,
    Machine,
    attention_effort,
    cut_across,
    few_bits,
    host_seconds,
    loads,
    machine,
)
from advisor.sizing.speed_similar import NORMAL_80, Case, Correction, correction
from advisor.sizing.speed_sums import ModelSums
from advisor.sizing.speed_terms import Work, decode_parts
from advisor.sizing.tables import PerModel


def predict(
    model: Model,
    rig: Rig,
    settings: RunSettings,
    placement: Placement,
    calibration: Calibration | None = None,
    *,
    file_bytes: int | None = None,
) -> Speed:
    """Speed of one run at ``settings.depth``, after a prompt of ``settings.n_prompt`` tokens.

    ``file_bytes``: size of the actual file, which scales the weights read. What has no basis is
    None, with a note that says what would make it known.
    """
    calibration = calibration or IDENTITY
    key = placement, depends_on(rig, settings, calibration), file_bytes
    memory = _remembered(model, "")
    speed = memory.get(key)
    if speed is None:
        if len(memory) >= _REMEMBER:
            memory.clear()
        speed = memory[key] = _predict(model, rig, settings, placement, calibration, file_bytes)
    return speed


_REMEMBER = 512
_remembered: PerModel[str, dict[object, Speed]] = PerModel(lambda _model, _key: {})


def depends_on(rig: Rig, settings: RunSettings, calibration: Calibration) -> Hashable:
    """Everything but model and placement that a prediction depends on, cheap to compare."""
    return (
        settings.depth,
        settings.n_prompt,
        settings.ctk,
        settings.ctv,
        settings.split_mode,
        settings.flash_attn,
        built_year(settings.built),
        first_device(settings),
        min(settings.ubatch_size, settings.batch_size),
        calibration,
        rig.host.ram_bandwidth_gbs,
        rig.host.cores,
        rig.links,
        *(
            (
                d.name,
                d.table_id,
                d.backend,
                d.architecture,
                d.bandwidth_gbs,
                d.fp16_tflops,
                d.multiprocessors,
                d.unified,
                d.host_index,
                d.pcie.max_generation or d.pcie.generation,
                d.pcie.max_width or d.pcie.width,
                d.nvlink_gbs,
                d.nvlink_links,
            )
            for d in rig.devices
        ),
    )


def decode_range(
    model: Model, rig: Rig, settings: RunSettings, placement: Placement, calibration: Calibration
) -> Range | None:
    """What ``predict`` says of decoding, where nothing else is asked for; not remembered."""
    run = _run(model, rig, settings, placement, calibration, None)
    if model.pooling or isinstance(run, str):
        return None
    return _decode(model, settings, run).range()


class _Run(NamedTuple):
    """What a run asks of which devices."""

    known: ModelSums
    parts: list[Load]
    box: Machine


def _run(  # noqa: PLR0917 - predict's own arguments
    model: Model,
    rig: Rig,
    settings: RunSettings,
    placement: Placement,
    calibration: Calibration,
    file_bytes: int | None,
) -> _Run | str:
    """The loads of a run, or why nothing is known of its speed."""
    known = sums.model_sums(model)
    if not model.decodes:
        return _not_timed(model)
    if known is None:
        return _unknown("what one token of this architecture reads is not known.")
    box = machine(rig, placement, calibration, first=first_device(settings))
    if isinstance(box, str):
        return box
    if settings.split_mode == "row":
        return _unknown("nobody published figures for the row split.")
    parts = loads(
        known,
        settings,
        placement,
        scale=file_bytes / model.nbytes if file_bytes else 1.0,
        by_hand=sums.moved_sums(model, placement.overrides) if placement.overrides else {},
    )
    why = _untold_ram(model, rig, box, {part.where for part in parts})
    return _unknown(why) if why else _Run(known, parts, box)


def _untold_ram(model: Model, rig: Rig, box: Machine, used: Collection[int]) -> str:
    """Why the time of what lies in RAM is not known; empty where it is."""
    if HOST in used and box.host_gbs is None:
        return (
            "part of the model lies in RAM, whose bandwidth is not known "
            "(name the memory, for example “DDR5-6000”)."
        )
    leaves = any(rig.devices[device].backend in LEAVES for device in used if device != HOST)
    if leaves and any(kind.type.name in NO_PRODUCT for kind in model.kinds.kinds):
        return (
            "nobody published figures of matrices that stay in RAM in every layer, as those do "
            "that the device cannot multiply."
        )
    return ""


def _not_timed(model: Model) -> str:
    if model.memory is not None and model.memory.diffuses:
        return "It refines a whole text at once; how fast is not known."
    if model.writes:
        return "How fast it reads with its encoder and writes with its decoder is not known."
    return "An encoder writes no tokens; how fast it reads is not known."


def _predict(  # noqa: PLR0917 - predict's own arguments
    model: Model,
    rig: Rig,
    settings: RunSettings,
    placement: Placement,
    calibration: Calibration,
    file_bytes: int | None,
) -> Speed:
    run = _run(model, rig, settings, placement, calibration, file_bytes)
    if isinstance(run, str):
        return Speed(notes=(run,))
    decode = _decode(model, settings, run)
    prefill, prefill_terms, prefill_notes = speed_prefill.prefill(
        model, run.known, settings, run.parts, run.box, in_pipeline=placement.n_copies > 1
    )
    if model.pooling:
        return _reading(model, settings, prefill, prefill_terms, (*prefill_notes, _READS))
    generated = decode.range()
    ttft = None
    if prefill is not None:
        n = settings.n_prompt
        ttft = Range(
            low=n / prefill.high + 1 / generated.high,
            mid=n / prefill.mid + 1 / generated.mid,
            high=n / prefill.low + 1 / generated.low,
        )
    return Speed(
        decode_tps=generated,
        prefill_tps=prefill,
        ttft_s=ttft,
        decode_terms=tuple(decode.terms),
        prefill_terms=prefill_terms,
        calibrated_by=calibration.source if _calibrated(run) else "",
        notes=(*decode.notes, *prefill_notes),
    )


def _calibrated(run: _Run) -> bool:
    """Whether any place that is in use was measured."""
    told = run.box.calibration
    return any(
        told.host_bandwidth_gbs is not None if part.where == HOST else told.of_devices
        for part in run.parts
    )


_READS: Final = (
    "It writes no tokens; it reads texts as fast as prompts. The time is that of one text of the "
    "prompt's length."
)


def _reading(
    model: Model,
    settings: RunSettings,
    prefill: Range | None,
    terms: tuple[SpeedTerm, ...],
    notes: tuple[str, ...],
) -> Speed:
    """Speed of a model that makes vectors or scores of texts.

    For a vector llama.cpp works out every token's logits too (llama-context.cpp:decode,
    ``output_all``), for a prompt only the last one's: so many multiplications more.
    """
    if prefill is None:
        return Speed(notes=notes)
    named = {tensor.name: tensor.n_elements for tensor in model.tensors}
    table = named.get("token_embd.weight", 0)
    head = named.get("output.weight", table)
    body = sum(named.values()) - table - named.get("output.weight", 0)
    more = 1 + head / body
    reads = Range(low=prefill.low / more, mid=prefill.mid / more, high=prefill.high / more)
    n = settings.n_prompt
    return Speed(
        prefill_tps=reads,
        ttft_s=Range(low=n / reads.high, mid=n / reads.mid, high=n / reads.low),
        prefill_terms=(
            *terms,
            SpeedTerm(name="logits of every token", seconds=1 / reads.mid - 1 / prefill.mid),
        ),
        notes=notes,
    )


def _unknown(why: str) -> str:
    return f"Speed is unknown: {why} A probe measures it."


@dataclass(slots=True)
class _Sum:
    """Terms of a token's time, and the seconds that may be wrong."""

    terms: list[SpeedTerm] = field(default_factory=list[SpeedTerm])
    notes: list[str] = field(default_factory=list[str])
    total: float = 0.0
    doubt: float = 0.0
    """Sum of seconds × spread: errors of one rig go together, so they are not squared."""

    def add(
        self, name: str, seconds: float, spread: float, detail: str = "", where: int | None = None
    ) -> None:
        if seconds > 0:
            self.terms.append(SpeedTerm(name=name, seconds=seconds, detail=detail, where=where))
            self.total += seconds
            self.doubt += seconds * spread

    def join(self, other: "_Sum") -> None:
        self.terms += other.terms
        self.total += other.total
        self.doubt += other.doubt

    def range(self) -> Range:
        mid = 1 / self.total
        width = NORMAL_80 * self.doubt / self.total
        return Range(low=mid * math.exp(-width), mid=mid, high=mid * math.exp(width))


def _decode(model: Model, settings: RunSettings, run: _Run) -> _Sum:
    known, parts, box = run
    result = _Sum()
    on_devices = [part for part in parts if part.where != HOST]
    alike = len(on_devices) if len(box.kinds) == 1 else 0
    cut = settings.split_mode == "tensor" and len(on_devices) > 1
    found: list[_Sum] = []
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
    found = correction("decode", case, alike).on(device.widen)
    if plain:
        return found
    return Correction(found.error, box.calibration.decode_spread(found.spread))


def _device_terms(
    part: Load, device: DeviceSpeed, change: Correction, effort: float, *, several: bool
) -> _Sum:
    """``effort``: operations of attention, as many as they are worth."""
    k = device.constants
    result = _Sum()
    found = decode_parts(k, Work(part.columns, part.cache_bytes, effort))
    factor = math.exp(change.error)
    spread = change.spread
    where = f"{device.title}: " if several else ""
    near = speed_prefill.by_rows(factor)
    rate = f"{float(k.bandwidth) / 1e9:,.0f} GB/s × {float(k.eta):.2f}"
    attention = float(k.attention * k.rate) / 1e12
    dense = float(part.columns[sums.DENSE].sum() + part.columns[sums.STATE])
    experts = float(part.columns[sums.EXPERTS].sum())
    rows = (
        ("Read weights", found.weights, f"{dense / 1e9:.2f} GB at {rate}"),
        ("Read experts", found.experts, f"{experts / 1e9:.2f} GB at {rate}"),
        ("Read KV cache", found.cache, f"{part.cache_bytes / 1e9:.2f} GB at {rate}"),
        ("Attention", found.attention, f"{effort / 1e9:.1f} GFLOP at {attention:,.0f} TFLOP/s"),
        ("Launches and waits", found.latency, f"{int(part.columns[sums.BLOCKS])} blocks"),
    )
    for name, seconds, detail in rows:
        result.add(where + name, float(seconds) * factor, spread, detail + near, part.where)
    return result


def _all_reduces(result: _Sum, known: ModelSums, devices: Sequence[Device]) -> None:
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
    result: _Sum, model: Model, known: ModelSums, on_devices: list[Load], box: Machine
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


def _host_terms(result: _Sum, parts: list[Load], box: Machine) -> None:
    part = next((p for p in parts if p.where == HOST), None)
    if part is None:
        return
    spread = box.host.spread_beside if box.devices else box.host.spread
    if box.calibration.host_bandwidth_gbs is not None:
        spread = _apart(part, box, box.calibration.on_host(spread))
    weights, experts, cache, latency = map(
        float, host_seconds(box, part.columns, part.cache_bytes, part.attention_flops, part.beside)
    )
    rate = f"at {box.host_gbs:,.0f} GB/s effective"
    dense = float(part.columns[sums.DENSE].sum() + part.columns[sums.STATE])
    used = float(part.columns[sums.EXPERTS].sum())
    hard, hard_used = _unpacked(part, sums.HARD_DENSE, box), _unpacked(part, sums.HARD_EXPERTS, box)
    result.add("RAM: read weights", weights, spread, f"{dense / 1e9:.2f} GB {rate}{hard}", HOST)
    result.add("RAM: read experts", experts, spread, f"{used / 1e9:.2f} GB {rate}{hard_used}", HOST)
    computed = part.attention_flops / box.host_attention
    if computed >= cache:
        words = f"{part.attention_flops / 1e9:.2f} GFLOP at {box.host_attention / 1e9:,.0f} GFLOP/s"
        result.add("CPU: attention", cache, spread, words, HOST)
    else:
        words = f"{part.cache_bytes / 1e9:.2f} GB {rate}"
        result.add("RAM: read KV cache", cache, spread, words, HOST)
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
        f"depth {row.depth:,} in {row.quant} ({row.by}, {row.date}, {row.url}){more}."
    )
