"""How fast a model runs on a rig: decode, prefill and time to first token, with every term.

Terms in ``speed_decode`` and ``speed_prefill``, formulas in ``speed_terms``, constants in
resources/speed.json, corrections and ranges from measured rows in ``speed_similar``.
"""

from collections.abc import Collection, Hashable
from dataclasses import replace
from typing import Final

from advisor.basis import Range
from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.sizing import speed_decode, speed_prefill
from advisor.sizing import speed_sums as sums
from advisor.sizing.build_dates import built_year
from advisor.sizing.calibration import IDENTITY, Calibration
from advisor.sizing.left_in_ram import LEAVES, NO_PRODUCT, computed_in_ram
from advisor.sizing.placement import HOST, Placement
from advisor.sizing.plan import Speed, SpeedTerm
from advisor.sizing.sampling import sampling_seconds
from advisor.sizing.settings import RunSettings, first_device
from advisor.sizing.speed_class import watts
from advisor.sizing.speed_decode import Run
from advisor.sizing.speed_load import experts_in_ram, loads
from advisor.sizing.speed_machine import Machine, machine
from advisor.sizing.tables import PerModel


def predict(
    model: Model,
    rig: Rig,
    settings: RunSettings,
    placement: Placement,
    calibration: Calibration | None = None,
    *,
    file_bytes: int | None = None,
    ghost: bool = False,
) -> Speed:
    """Speed of one run at ``settings.depth``, after a prompt of ``settings.n_prompt`` tokens.

    ``file_bytes``: size of the actual file, which scales the weights read. ``ghost``: of one, whose
    experts a prompt chooses by chance. What has no basis is None, with a note that says what would
    make it known.
    """
    calibration = calibration or IDENTITY
    key = placement, depends_on(rig, settings, calibration), file_bytes, ghost
    memory = _remembered(model, "")
    speed = memory.get(key)
    if speed is None:
        if len(memory) >= _REMEMBER:
            memory.clear()
        run = _run(model, rig, settings, placement, calibration, file_bytes)
        if ghost and not isinstance(run, str):
            run = run._replace(box=_by_chance(run.box))
        speed = memory[key] = _speed(model, settings, placement, calibration, run)
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
        settings.mmap,
        calibration,
        rig.host.ram_bandwidth_gbs,
        rig.host.ram_read_gbs,
        rig.host.cores,
        rig.host.simd,
        rig.links,
        *(
            (
                d.name,
                d.table_id,
                d.backend,
                d.architecture,
                d.bandwidth_gbs,
                d.fp16_tflops,
                watts(d),
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
    return speed_decode.decode(model, settings, run).range()


def _run(  # noqa: PLR0917 - predict's own arguments
    model: Model,
    rig: Rig,
    settings: RunSettings,
    placement: Placement,
    calibration: Calibration,
    file_bytes: int | None,
) -> Run | str:
    """The loads of a run, or why nothing is known of its speed."""
    known = sums.model_sums(model)
    if not model.decodes:
        return _not_timed(model)
    if known is None:
        return _unknown("what one token of this architecture reads is not known.")
    box = machine(rig, placement, calibration, first=first_device(settings), mmap=settings.mmap)
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
    if computed_in_ram(model.hp, box.backends):
        parts = experts_in_ram(parts)
    why = "" if parts else _EXACT_EXPERTS
    why = why or _untold_ram(model, rig, box, {part.where for part in parts})
    if not why and box.cache_rate is None and any(part.copied_cache for part in parts):
        why = "how fast caches in RAM reach the cards of another machine is not known."
    return _unknown(why) if why else Run(known, parts, box)


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


_EXACT_EXPERTS: Final = (
    "llama.cpp asks for this architecture's experts in full precision, which the device does not "
    "multiply: it copies them to RAM for the processor, and nobody published how fast that is. "
    "Keep all of them in RAM (--cpu-moe)."
)


def _not_timed(model: Model) -> str:
    if model.memory is not None and model.memory.diffuses:
        return "It refines a whole text at once; how fast is not known."
    if model.writes:
        return "How fast it reads with its encoder and writes with its decoder is not known."
    return "An encoder writes no tokens; how fast it reads is not known."


def _by_chance(box: Machine) -> Machine:
    """Tokens choose their experts independently, as routers of random numbers let them: of 128 a
    ghost chose 113 in 44 tokens, where chance has 120 (tests/bench/bench_ghost.py)."""
    return replace(box, host=box.host.model_copy(update={"chosen_power": 1.0}))


def _speed(
    model: Model,
    settings: RunSettings,
    placement: Placement,
    calibration: Calibration,
    run: Run | str,
) -> Speed:
    if isinstance(run, str):
        return Speed(notes=(run,))
    decode = speed_decode.decode(model, settings, run)
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
        sampling_s=sampling_seconds(model),
        calibrated_by=calibration.source if _calibrated(run) else "",
        notes=(*decode.notes, *prefill_notes),
    )


def _calibrated(run: Run) -> bool:
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
