"""What stands behind every figure of a plan: formula with the numbers put in, parts, sources."""

from collections.abc import Iterable, Sequence

from advisor.basis import Explanation, Range, Term
from advisor.hardware.rig import Device
from advisor.llm.model import Model
from advisor.llm.tensor import TYPES
from advisor.sizing import build_dates, build_rules, memory, sampling
from advisor.sizing.allocation import Allocation, backend_of, flash_attention, is_cut
from advisor.sizing.compute import ROUGH_BACKENDS
from advisor.sizing.driver import driver_context
from advisor.sizing.placement import HOST
from advisor.sizing.plan import Speed, SpeedTerm
from advisor.sizing.settings import RunSettings
from advisor.sizing.weights import moved_weights, tied_twice, weight_table
from advisor.units import MIB, duration, rate
from advisor.units import size as people

BYTES = "B"
"""Unit of terms that add up to the figure they belong to."""

_LAYERS = "llama-model.cpp:load_tensors"
_PADDING = "ggml-cuda.cu:ggml_backend_cuda_buffer_type_get_alloc_size"
_CACHES = {
    "full": "llama-kv-cache.cpp:llama_kv_cache",
    "window": "llama-kv-cache-iswa.cpp:llama_kv_cache_iswa",
    "compressed": "llama-kv-cache-dsv4.cpp:llama_kv_cache_dsv4",
}


def ranges(numbers: Iterable[int]) -> str:
    """``"0–3, 7"`` for 0, 1, 2, 3, 7."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(f"{a}" if a == b else f"{a}–{b}" for a, b in spans)


def _sum(title: str, parts: Sequence[tuple[str, int, str]], *notes: str) -> Explanation:
    """A figure that is the sum of its parts, all of them shown."""
    total = sum(size for _, size, _ in parts)
    shown = " + ".join(people(size) for _, size, _ in parts) or "nothing"
    return Explanation(
        title=title,
        formula=f"{shown} = {people(total)}",
        terms=tuple(
            Term(name=name, value=size, unit=BYTES, source=source) for name, size, source in parts
        ),
        notes=notes,
    )


def weight_parts(
    model: Model,
    settings: RunSettings,
    allocation: Allocation,
    backends: Sequence[str],
    device: int,
) -> list[tuple[str, int, str]]:
    """Name, bytes and source of everything that lies on one device, or on HOST."""
    placement = allocation.placement
    if is_cut(settings, backends) and device != HOST:
        slice_, source = allocation.weights.devices[device], "llama_meta_device_get_split_state"
        return [
            (f"slice of the matrices (-sm {settings.split_mode})", slice_, f"{_LAYERS}, {source}")
        ]
    targets, load_mtp = placement.overrides, settings.load_mtp
    backend = "cpu" if device == HOST else backends[device]
    table = weight_table(model, backend, load_mtp=load_mtp, targets=targets)
    here = [il for il, where in enumerate(placement.layer_device[:-1]) if where == device]
    parts: list[tuple[str, int, str]] = []
    if device == HOST:
        parts.append(("token embedding, always in RAM", table.input, _LAYERS))
    by_hand = moved_weights(model, backends, targets, load_mtp=load_mtp)[device]
    parts.append(("tensors that -ot puts here", by_hand, "llama-model-loader.cpp:create_tensor"))
    moved = placement.experts_on_host
    if here:
        dense = sum(table.dense[il] for il in here)
        parts.append((f"blocks {ranges(here)}", dense, _LAYERS))
    with_experts = [
        il
        for il, where in enumerate(placement.layer_device[:-1])
        if table.experts[il] and device == (HOST if il in moved else where)
    ]
    if with_experts:
        experts = sum(table.experts[il] for il in with_experts)
        parts.append(
            (f"experts of blocks {ranges(with_experts)}", experts, "common.h:LLM_FFN_EXPS_REGEX")
        )
    if table.repeated and any(table.repeats[il] for il in here):
        parts.append(("rope factors, one copy per device", table.repeated, _LAYERS))
    if placement.layer_device[-1] == device:
        parts.append(("output layer", table.output, _LAYERS))
        if table.tied and (device != HOST or tied_twice(model)):
            parts.append(
                ("second copy of the token embedding, as output matrix", table.tied, _LAYERS)
            )
    if device == HOST:
        tables = [weight_table(model, b, load_mtp=load_mtp, targets=targets) for b in backends]
        left = sum(
            tables[where].stays[il] - (tables[where].experts_stay[il] if il in moved else 0)
            for il, where in enumerate(placement.layer_device)
            if where != HOST
        )
        parts.append(("tensors that the device cannot multiply", left, "ggml-cuda.cu:supports_op"))
    return [part for part in parts if part[1]]


def context_parts(allocation: Allocation, device: int) -> list[tuple[str, int, str]]:
    """Name, bytes and source of the caches and states on one device, or on HOST."""
    if allocation.context is None:
        return []
    return [
        (f"{part.kind}, {part.layers} layers", part.size, "padded as its buffer pads tensors")
        for part in allocation.context.parts
        if part.device == device and part.size
    ]


def _caches(model: Model, settings: RunSettings, allocation: Allocation) -> dict[str, Explanation]:
    rule = memory.memory_rule(model, settings)
    if rule is None or allocation.context is None:
        return {}
    sizes = memory.resolve(settings)
    k, v = TYPES[settings.ctk.upper()], TYPES[settings.ctv.upper()]
    found: dict[str, Explanation] = {}
    for cache in rule.caches:
        kv = allocation.context.kv[cache.kind]
        rows = kv.cells * kv.streams
        k_row = sum(k.row_bytes(width) for width in cache.k_width)
        widths = cache.v_width
        if not flash_attention(model, settings) and rule.v_width_max:
            widths = (rule.v_width_max,) * len(widths)
        v_row = sum(v.row_bytes(width) for width in widths)
        padding = kv.bytes - (k_row + v_row) * rows
        notes: list[str] = []
        if cache.cells == "window" and not settings.swa_full:
            windows = sizes.n_seq if kv.streams == 1 else 1
            many = f"{windows} windows" if windows > 1 else "Window"
            notes.append(
                f"{many} of {cache.span} tokens plus one micro-batch, padded to 256 cells, and no "
                "more than the context."
            )
        elif cache.cells == "compressed":
            notes.append(f"One cell per {cache.span} tokens, padded to 256 cells.")
        if cache.layers and not any(cache.v_width):
            notes.append("V is a view of K: only K is kept.")
        found[f"kv.{cache.kind}"] = Explanation(
            title=f"KV cache “{cache.kind}”",
            formula=(
                f"{len(cache.layers)} layers: ({k_row:,} B of K + {v_row:,} B of V) × "
                f"{kv.cells:,} cells × {kv.streams} streams"
                + (f" + {padding:,} B of padding" if padding else "")
                + f" = {people(kv.bytes)}"
            ),
            terms=(
                Term(name="K", value=k_row * rows, unit=BYTES, source=_CACHES[cache.cells]),
                Term(name="V", value=v_row * rows, unit=BYTES, source=_CACHES[cache.cells]),
                Term(name="padding", value=padding, unit=BYTES, source=_PADDING),
                Term(
                    name="cells", value=kv.cells, source=f"context of {sizes.n_ctx_seq:,} per slot"
                ),
                Term(name="streams", value=kv.streams, source="one per slot unless unified"),
                Term(name="type of K", value=settings.ctk),
                Term(name="type of V", value=settings.ctv),
            ),
            notes=tuple(notes),
        )
    if rule.states:
        copies = sizes.n_seq * memory.snapshots(model, settings)
        found["recurrent_state"] = _sum(
            "Recurrent state",
            [
                (
                    f"{state.kind}: {len(state.layers)} layers, F32, × {copies}",
                    4 * copies * sum(state.values),
                    "llama-memory-recurrent.cpp:llama_memory_recurrent",
                )
                for state in rule.states
            ],
            "Its size does not depend on the context, only on the number of slots.",
        )
    return found


def _place(
    name: str,
    weights: list[tuple[str, int, str]],
    context: list[tuple[str, int, str]],
    compute: int | None,
    extra: list[tuple[str, str, int, str, str]],
    *,
    backend: str = "cpu",
    rules: str,
) -> dict[str, Explanation]:
    """Explanations of one device or of the host.

    ``extra``: key, title, bytes, formula, source. ``rules``: which a compute buffer follows.
    """
    found = {
        f"{name}.weights": _sum(f"Weights on {name}", weights),
        f"{name}.context": _sum(f"Context on {name}", context),
    }
    total = [
        ("weights", sum(part[1] for part in weights), f"{name}.weights"),
        ("context", sum(part[1] for part in context), f"{name}.context"),
    ]
    if compute is not None:
        found[f"{name}.compute"] = Explanation(
            title=f"Compute buffer on {name}",
            formula=f"peak of the graph's intermediate results {_held(backend)} {people(compute)}",
            terms=(
                Term(
                    name="compute buffer",
                    value=compute,
                    unit=BYTES,
                    source="llama-context.cpp:sched_reserve, ggml-alloc.c",
                ),
            ),
            notes=(rules,),
        )
        total.append(("compute", compute, f"{name}.compute"))
    for key, title, size, formula, source in extra:
        found[f"{name}.{key}"] = Explanation(
            title=title,
            formula=f"{formula} = {people(size)}",
            terms=(Term(name=key, value=size, unit=BYTES, source=source),),
        )
        total.append((key, size, f"{name}.{key}"))
    found[f"{name}.total"] = _sum(f"Total on {name}", total)
    return found


def _held(backend: str) -> str:
    """How a compute buffer stands to llama.cpp's: the same only where its order is followed."""
    if backend not in ROUGH_BACKENDS:
        return "="
    return f"in CUDA's order (that of {ROUGH_BACKENDS[backend]} may move it by some percent) ≈"


def _companions(
    model: Model, allocation: Allocation, device: int, name: str
) -> list[tuple[str, str, int, str, str]]:
    """What drafts, and the projector, as extra figures of a place."""
    found: list[tuple[str, str, int, str, str]] = []
    draft = allocation.draft
    total = allocation.draft_on(device)
    if draft is not None and total and draft.context is not None and draft.compute is not None:
        if device == HOST:
            sizes = [draft.weights.host, draft.context.host, draft.compute.host, draft.output or 0]
        else:
            of = (draft.weights, draft.context, draft.compute)
            sizes = [part.devices[device] for part in of]
        named = zip(sizes, ("weights", "context", "compute", "output"), strict=False)
        formula = " + ".join(f"{people(size)} {what}" for size, what in named if size)
        source = "speculative.cpp:common_base_params_to_speculative"
        found.append(("draft", f"What drafts tokens on {name}", total, formula, source))
    projector = allocation.projector_on(device)
    if projector:
        source = "clip.cpp:clip_model_loader::load_tensors, warmup"
        if model.projector is not None and model.projector.path is None:
            source = f"tensors: conversion/base.py:MmprojModel; {source}"
        title = f"Projector on {name}"
        parts = (("weights", allocation.projector), ("buffer", allocation.projector_buffer))
        formula = " + ".join(
            f"{people(sizes[device])} {what}" for what, sizes in parts if sizes and sizes[device]
        )
        found.append(("projector", title, projector, formula, source))
    return found


def _server_caches(model: Model, settings: RunSettings) -> dict[str, Explanation]:
    """What llama-server keeps in RAM as it is used; not part of any total."""
    found: dict[str, Explanation] = {}
    if settings.cache_ram > 0:
        found["host.prompt_cache"] = Explanation(
            title="Prompt cache",
            formula=f"up to {settings.cache_ram:,} MiB = {people(settings.cache_ram * MIB)}",
            terms=(
                Term(
                    name="limit",
                    value=settings.cache_ram * MIB,
                    unit=BYTES,
                    source="--cache-ram, server-task.cpp:server_prompt_cache",
                ),
            ),
            notes=("It fills with the prompts that are asked, and is not in the total.",),
        )
    checkpoints = memory.checkpoint_bytes(model, settings)
    if checkpoints:
        each = checkpoints // (settings.ctx_checkpoints * settings.parallel)
        found["host.checkpoints"] = Explanation(
            title="Context checkpoints",
            formula=(
                f"up to {settings.ctx_checkpoints} per slot × {settings.parallel} slots × "
                f"{people(each)} = {people(checkpoints)}"
            ),
            terms=(
                Term(
                    name="limit",
                    value=checkpoints,
                    unit=BYTES,
                    source="--ctx-checkpoints, server-context.cpp:create_checkpoint",
                ),
            ),
            notes=("Copies of window caches and recurrent states; not in the total.",),
        )
    return found


def explain_speed(speed: Speed, settings: RunSettings) -> dict[str, Explanation]:
    """Time per token, decoded or of a prompt, as the sum of its terms."""
    found: dict[str, Explanation] = {}
    kinds = (
        ("speed.decode", "Decode", speed.decode_tps, speed.decode_terms),
        ("speed.prefill", "Prefill", speed.prefill_tps, speed.prefill_terms),
    )
    served = sampling.sentence(speed)
    for key, title, known, terms in kinds:
        if known is None:
            continue
        shown = " + ".join(f"{duration(term.seconds)} {term.name}" for term in terms)
        found[key] = Explanation(
            title=f"{title} speed",
            formula=f"1 / ({shown}) ≈ {rate(known.mid)}",
            terms=(
                *(
                    Term(name=term.name, value=term.seconds, unit="s", source=term.detail)
                    for term in terms
                ),
                *_build(speed, terms, settings),
            ),
            basis=speed.basis,
            notes=(
                f"Four times out of five between {rate(known.low)} and {rate(known.high)}.",
                *([f"Calibrated by the {speed.calibrated_by}."] if speed.calibrated_by else []),
                *([served] if key == "speed.decode" and served else []),
                *speed.notes,
            ),
        )
    if speed.ttft_s is not None:
        found["speed.ttft"] = _first_token(speed, speed.ttft_s, settings.n_prompt)
    return found


def _build(speed: Speed, terms: Sequence[SpeedTerm], settings: RunSettings) -> tuple[Term, ...]:
    """Which llama.cpp a figure is about, where measured rows have a say in it."""
    if speed.calibrated_by or all(term.where in {None, HOST} for term in terms):
        return ()
    told = build_dates.words(settings.built)
    if not told:
        why = "when it was built is not told (--built): the range is that of all builds measured"
        return (Term(name="llama.cpp", value="any build", source=why),)
    newest = build_dates.newest_month()
    taken = f"; taken as one of {newest}, the newest measured" if told[:7] > newest else ""
    return (
        Term(
            name="llama.cpp", value=f"of {told}", source=f"rows of builds near it count more{taken}"
        ),
    )


def _first_token(speed: Speed, seconds: Range, n_prompt: int) -> Explanation:
    """The prompt is read, then the first token made (a reader of texts makes none)."""
    parts = [(f"reading {n_prompt:,} tokens", n_prompt, speed.prefill_tps, "Prefill")]
    if speed.decode_tps is not None:
        parts.append(("the first token", 1, speed.decode_tps, "Decode"))
    known = [(name, n, tps.mid, source) for name, n, tps, source in parts if tps is not None]
    shown = " + ".join(f"{n:,} / {rate(tps)}" for _name, n, tps, _source in known)
    low, high = duration(seconds.low), duration(seconds.high)
    return Explanation(
        title="First token",
        formula=f"{shown} ≈ {duration(seconds.mid)}",
        terms=tuple(
            Term(name=name, value=n / tps, unit="s", source=source)
            for name, n, tps, source in known
        ),
        basis=speed.basis,
        notes=(f"Four times out of five between {low} and {high}.",),
    )


def explain(
    model: Model,
    settings: RunSettings,
    allocation: Allocation,
    devices: Sequence[Device],
    *,
    names: Sequence[str],
    drivers: Sequence[int | None],
) -> dict[str, Explanation]:
    """Explanations of a plan, keyed as in ``Plan.explanations``.

    ``drivers``: driver context per device as the plan has it, estimated or measured.

    Terms whose unit is ``B`` add up to the figure that they explain.
    """
    backends = [backend_of(device) for device in devices]
    found = _caches(model, settings, allocation)
    compute, rules = allocation.compute, build_rules.sentence(settings.built)
    for index, (device, name) in enumerate(zip(devices, names, strict=True)):
        estimate, driver = driver_context(device), drivers[index]
        parts = context_parts(allocation, index)
        extra: list[tuple[str, str, int, str, str]] = []
        if driver is not None and allocation.in_use(index):
            title = f"Driver context on {name}"
            if estimate is not None and estimate.mid == driver:
                extra.append(("driver", title, driver, estimate.formula, estimate.source))
            else:
                extra.append(("driver", title, driver, "as a probe measured it", "probe"))
        extra += _companions(model, allocation, index, name)
        found |= _place(
            name,
            weight_parts(model, settings, allocation, backends, index),
            parts,
            None if compute is None else compute.devices[index],
            extra,
            backend=device.backend,
            rules=rules,
        )
    output: list[tuple[str, str, int, str, str]] = []
    if allocation.output is not None and model.hp is not None:
        rows = memory.output_rows(model.memory, settings, memory.pooling(model, settings))
        row = f"{model.hp.n_vocab:,} tokens"
        if vector := allocation.output // (4 * rows) - model.hp.n_vocab:
            row = f"({row} + {vector:,} values of a vector)"
        formula = f"{row} × {rows} rows × 4 B"
        source = "llama-context.cpp:output_reserve"
        output.append(("output", "Output buffer", allocation.output, formula, source))
    output += _companions(model, allocation, HOST, "host")
    found |= _server_caches(model, settings)
    return found | _place(
        "host",
        weight_parts(model, settings, allocation, backends, HOST),
        context_parts(allocation, HOST),
        None if compute is None else compute.host,
        output,
        rules=rules,
    )
