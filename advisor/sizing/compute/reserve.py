"""What llama.cpp reserves for one context: the graph, where it runs, and the bytes it takes.

This is the accounting of llama.cpp's memory fit (no_alloc). It forgets which nodes a context pins
to a device (ggml_backend_sched_reserve_size resets the scheduler), so on several GPUs a real run
hands over one activation less per device: 4 × 4·n_embd·n_ubatch bytes with pipeline copies.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from advisor.llm.caches import MemoryRule
from advisor.llm.hyperparameters import Hyperparameters
from advisor.llm.model import Model
from advisor.llm.tensor import TYPES
from advisor.sizing import memory, overrides
from advisor.sizing.compute.allocator import Event
from advisor.sizing.compute.backends import Rules, device_supports, rules_of
from advisor.sizing.compute.blocks import Graph, number
from advisor.sizing.compute.buffers import ComputeBuffers
from advisor.sizing.compute.builder import Backends, Builder, Shape, stream_of, streams
from advisor.sizing.compute.extents import Extent, Form, Region, value_at
from advisor.sizing.compute.graphs import graph_of
from advisor.sizing.compute.hyper_connections import POST, PRE
from advisor.sizing.compute.layout import Layout, Selection, layout, representative
from advisor.sizing.compute.replay import Repetition, peaks
from advisor.sizing.compute.scheduler import Scheduler
from advisor.sizing.placement import HOST, Placement
from advisor.sizing.settings import RunSettings

_CONTRADICTIONS = (ArithmeticError, LookupError, ValueError)


@dataclass(frozen=True, slots=True)
class _Question:
    """Everything that the graph depends on but lengths, small enough to look up often."""

    layout: int
    n_tokens: int
    n_seqs: int
    n_outputs: int
    n_stream: int
    caches: tuple[tuple[str, int], ...]
    """Kind and streams; how many cells they have is asked apart."""
    flash: str
    ctk: str
    ctv: str
    n_ubatch: int
    n_rs_seq: int
    ctx_type: str
    backends: Backends
    rules: tuple[Rules, ...]
    """Per device in use, whose rules size its nodes."""
    n_copies: int
    simple: bool
    """Every block lies on a device together with its cache."""
    copied: bool
    """Weights are copied to a device, so that their types count."""


class _Recipe:
    """The model of a question; not part of what is compared."""

    __slots__ = ("graph", "hp", "layout")

    def __init__(self, hp: Hyperparameters, graph: Graph, made: Layout) -> None:
        self.hp = hp
        self.graph = graph
        self.layout = made

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Recipe)

    def __hash__(self) -> int:
        return 0


def _backends(placement: Placement, used: Sequence[int]) -> Backends:
    cpu = len(used)
    index = {device: i for i, device in enumerate(used)} | {HOST: cpu}
    return Backends(
        cpu=cpu,
        layers=tuple(index[device] for device in placement.layer_device),
        experts_on_cpu=placement.experts_on_host,
        kv_offload=placement.kv_offload,
        overrides=tuple((pattern, index[device]) for pattern, device in placement.overrides),
    )


def _question(
    made: Layout,
    rule: MemoryRule,
    settings: RunSettings,
    placement: Placement,
    used: Sequence[int],
    rules: tuple[Rules, ...],
) -> tuple[_Question, tuple[int, ...]]:
    """The reserved micro-batch (llama-context.cpp:sched_reserve, graph_reserve).

    The second half are lengths in units of ``memory.PADDING``: the cells per stream of every kind
    of cache, and the context.
    """
    sizes = memory.resolve(settings)
    cells = [memory.cells(cache, settings, sizes) for cache in rule.caches]
    n_tokens = min(sizes.n_ctx, sizes.n_ubatch)
    n_outputs = min(n_tokens, settings.n_outputs or settings.parallel)
    placed = _backends(placement, used)
    # Weights that are copied to a device count with their bytes.
    moved = placement.offloads or bool(placement.overrides) or made.left_in_ram
    copied = bool(used) and moved
    lengths = [*(count for count, _ in cells), sizes.n_ctx]
    question = _Question(
        layout=made.typed_key if copied else made.key,
        n_tokens=-(-n_tokens // sizes.n_seq) * sizes.n_seq,
        n_seqs=sizes.n_seq,
        n_outputs=n_outputs,
        n_stream=1 if settings.kv_unified else sizes.n_seq,
        caches=tuple(
            (cache.kind, streams) for cache, (_, streams) in zip(rule.caches, cells, strict=True)
        ),
        flash=settings.flash_attn,
        ctk=settings.ctk,
        ctv=settings.ctv,
        n_ubatch=sizes.n_ubatch,
        n_rs_seq=settings.n_rs_seq,
        ctx_type=settings.ctx_type,
        backends=placed,
        rules=rules,
        n_copies=placement.n_copies,
        simple=not moved,
        copied=copied,
    )
    return question, tuple(length // memory.PADDING for length in lengths)


def _shape(question: _Question, lengths: Sequence[int], *, flash: bool) -> Shape:
    return Shape(
        n_tokens=question.n_tokens,
        n_seqs=question.n_seqs,
        n_outputs=question.n_outputs,
        n_stream=question.n_stream,
        n_kv={kind: cells for (kind, _), cells in zip(question.caches, lengths[:-1], strict=True)},
        streams=dict(question.caches),
        flash=flash,
        v_transposed=question.flash == "off",
        type_k=TYPES[question.ctk.upper()],
        type_v=TYPES[question.ctv.upper()],
        n_ubatch=question.n_ubatch,
        n_ctx=lengths[-1],
        n_rs_seq=question.n_rs_seq,
    )


def _moved_names(made: Layout, targets: overrides.Targets) -> dict[int, frozenset[object]]:
    """Per block, its tensors that lie on a backend of their own."""
    found: dict[int, set[object]] = {}
    if targets:
        for name in made.tensors:
            parts = name.split(".", 2)
            where = overrides.target(name, targets)
            if where is not None and parts[0] == "blk" and parts[1].isdigit():
                found.setdefault(int(parts[1]), set()).add((parts[2], where))
    return {il: frozenset(names) for il, names in found.items()}


def _selection(recipe: _Recipe, placed: Backends, *, copied: bool) -> Selection:
    hp = recipe.hp
    # Kimi K3 mixes in one more earlier residual after every so many blocks.
    bank = int(number(hp, "attn_res.block_size"))
    made = recipe.layout
    before = stream_of(hp)
    n_streams = 0 if before else streams(hp)
    kinds_of_blocks = made.typed_kinds if copied else made.kinds
    moved = _moved_names(made, placed.overrides)
    kinds: list[object] = [
        (
            kinds_of_blocks[il],
            placed.layers[il],
            il in placed.experts_on_cpu,
            hp.is_swa(il),
            hp.is_recurrent(il),
            hp.has_kv(il),
            hp.n_head[il],
            hp.n_head_kv[il],
            il // bank if bank else 0,
            moved.get(il),
            min(il, n_streams),
            before[il] if il < len(before) else -1,
        )
        for il in range(hp.n_layer)
    ]
    return representative(kinds)


@dataclass(slots=True)
class _Fusing:
    """Which fused ops a context uses (llama-context.cpp:resolve_fused_ops).

    Each is tried with one token per sequence: where one block's op does not land on the block's own
    device, no block uses it.
    """

    question: _Question
    recipe: _Recipe
    selection: Selection
    lengths: Sequence[int]
    flash: bool = True
    unfused: frozenset[str] = frozenset()

    def build(self, shape: Shape | None = None) -> Builder:
        """The graph of the reserved micro-batch, or of another."""
        shape = shape or _shape(self.question, self.lengths, flash=self.flash)
        shape = replace(shape, unfused=self.unfused)
        recipe, placed = self.recipe, self.question.backends
        builder = Builder(recipe.hp, recipe.layout.tensors, shape, placed, self.selection)
        recipe.graph(builder)
        return builder

    def _strays(self) -> Builder:
        """The small graph, placed."""
        question, placed = self.question, self.question.backends
        shape = _shape(question, self.lengths, flash=self.flash)
        shape = replace(shape, n_tokens=question.n_seqs, n_outputs=question.n_seqs)
        builder = self.build(shape)
        for node, il in builder.pinned:
            node.backend = placed.layers[il]
        Scheduler(question.rules, n_copies=question.n_copies).assign(builder.nodes, builder.leafs)
        return builder

    def resolve(self) -> Builder:
        """Decide, and build the graph. A quantized V cache means flash attention
        (llama_init_from_model).
        """
        question, layers = self.question, self.question.backends.layers
        quantized_v = TYPES[question.ctv.upper()].block > 1
        strays: Builder | None = None
        if question.flash == "off" or self.recipe.hp.arch == "grok":
            self.flash = False
        elif question.flash == "auto" and question.backends.cpu > 0 and not quantized_v:
            if question.simple:
                made = self.build()
                if all(
                    device_supports(node, rules)
                    for node, _ in made.fused
                    for rules in question.rules
                ):
                    return made
                self.flash = False
            else:
                strays = self._strays()
                if any(node.backend != layers[il] for node, il in strays.fused):
                    self.flash, strays = False, None
        if not question.simple and self.recipe.hp.n_hyper_connections:
            for op in (PRE, POST):
                strays = strays or self._strays()
                if any(node.backend != layers[il] for node, il in strays.hyper if node.op == op):
                    self.unfused |= {op}
                    strays = None
        return self.build()


@dataclass(frozen=True, slots=True)
class _Trace:
    """Memory events of one graph, for every context of its region."""

    region: Region
    events: tuple[Event, ...]
    varying: tuple[tuple[int, Form], ...]
    """Events whose size depends on the context."""
    repetitions: tuple[Repetition, ...]

    def at(self, units: Sequence[int]) -> list[Event]:
        """The events of one context."""
        events = list(self.events)
        for place, form in self.varying:
            arena, block, _ = events[place]
            events[place] = (arena, block, int(value_at(form, units)))
        return events


def _simulate(
    question: _Question, recipe: _Recipe, selection: Selection, region: Region
) -> _Trace | None:
    """The memory events of a selection of blocks; None where they do not stand for all."""
    lengths = region.extents(memory.PADDING)
    builder = _Fusing(question, recipe, selection, lengths).resolve()
    marked = {id(node) for node in builder.marks.values()}
    for leaf, others in builder.waiting.values():
        marked |= {id(leaf), *map(id, others)}
    scheduler = Scheduler(question.rules, n_copies=question.n_copies)
    made = scheduler.trace(
        builder.nodes, builder.leafs, frozenset(marked), tuple(builder.waiting.values())
    )
    if selection.patterns and question.n_copies > 1 and scheduler.copies_grow:
        # Copies between splits are never given back, so every block counts by itself.
        return None
    repetitions: list[Repetition] = []
    for pattern in selection.patterns:
        previous, start, end = (
            made.marks[id(builder.marks[il])]
            for il in (pattern.second, pattern.third, pattern.last)
        )
        waiting = {
            made.blocks[id(leaf)]: tuple(made.blocks[id(other)] for other in others)
            for leaf, others in builder.waiting.values()
        }
        repetition = Repetition(previous, start, end, pattern.extra, waiting)
        if not repetition.holds(made.events):
            return None
        repetitions.append(repetition)
    return _Trace(
        region=region,
        events=tuple((arena, block, int.__int__(size)) for arena, block, size in made.events),
        varying=tuple(
            (place, size.form)
            for place, (_, _, size) in enumerate(made.events)
            if isinstance(size, Extent)
        ),
        repetitions=tuple(repetitions),
    )


@lru_cache(maxsize=512)
def _traces(question: _Question, recipe: _Recipe) -> list[_Trace]:
    """What was traced of a question so far, by region; filled by ``_measure``."""
    del question, recipe
    return []


def _traced(question: _Question, recipe: _Recipe, units: tuple[int, ...]) -> _Trace:
    region = Region(units)
    if question.ctx_type == "mtp":
        chosen = Selection(())
    else:
        chosen = _selection(recipe, question.backends, copied=question.copied)
    made = _simulate(question, recipe, chosen, region)
    if made is None:
        everything = Selection(tuple(range(recipe.hp.n_layer)))
        made = _simulate(question, recipe, everything, region)
    if made is None:
        raise AssertionError("a graph without repetitions always has a size")
    return made


@lru_cache(maxsize=16384)
def _measure(question: _Question, recipe: _Recipe, units: tuple[int, ...]) -> tuple[int, ...]:
    known = _traces(question, recipe)
    made = next((trace for trace in known if trace.region.holds(units)), None)
    if made is None:
        made = _traced(question, recipe, units)
        known.append(made)
    return peaks(made.at(units), made.repetitions, question.backends.cpu + 1)


def reserve(
    model: Model, settings: RunSettings, placement: Placement, backends: Sequence[str]
) -> ComputeBuffers | None:
    """Bytes per device and on the host; None when the graph is not known."""
    n_devices = len(backends)
    hp = model.hp
    rule = memory.memory_rule(model, settings)
    graph = None if hp is None else graph_of(hp.arch, settings.ctx_type)
    if hp is None or graph is None or rule is None:
        return None
    used = [settings.main_gpu] if settings.split_mode == "none" and n_devices else range(n_devices)
    made = layout(model)
    rules: tuple[Rules, ...] = tuple(rules_of(backends[device]) for device in used)
    question, units = _question(made, rule, settings, placement, used, rules)
    try:
        sizes = _measure(question, _Recipe(hp, graph, made), units)
    except _CONTRADICTIONS:
        # A header whose keys and tensors do not belong together, which llama.cpp would not load.
        return None
    devices = [0] * n_devices
    for device, size in zip(used, sizes[:-1], strict=True):
        devices[device] = size
    return ComputeBuffers(devices=tuple(devices), host=sizes[-1])
