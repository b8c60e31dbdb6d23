"""What is asked of a graph: all that its sizes depend on, in a form that is quick to compare."""

from collections.abc import Sequence
from dataclasses import dataclass

from advisor.llm.caches import MemoryRule
from advisor.llm.hyperparameters import Hyperparameters
from advisor.llm.tensor import TYPES
from advisor.sizing import memory
from advisor.sizing.build_rules import BuildRules, rules_of
from advisor.sizing.compute.backends import Rules
from advisor.sizing.compute.blocks import Graph
from advisor.sizing.compute.builder import Backends, Shape
from advisor.sizing.compute.layout import Layout
from advisor.sizing.placement import HOST, Placement
from advisor.sizing.settings import RunSettings


@dataclass(frozen=True, slots=True)
class Question:
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
    pooling: str
    built: BuildRules


class Recipe:
    """The model of a question; not part of what is compared."""

    __slots__ = ("graph", "hp", "layout")

    def __init__(self, hp: Hyperparameters, graph: Graph, made: Layout) -> None:
        self.hp = hp
        self.graph = graph
        self.layout = made

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recipe)

    def __hash__(self) -> int:
        return 0


def _backends(placement: Placement, used: Sequence[int]) -> Backends:
    cpu = len(used)
    index = {device: i for i, device in enumerate(used)} | {HOST: cpu}
    return Backends(
        cpu=cpu,
        layers=tuple([index[device] for device in placement.layer_device]),
        experts_on_cpu=placement.experts_on_host,
        kv_offload=placement.kv_offload,
        overrides=tuple((pattern, index[device]) for pattern, device in placement.overrides),
    )


def question_of(
    made: Layout,
    rule: MemoryRule,
    settings: RunSettings,
    placement: Placement,
    used: Sequence[int],
    rules: tuple[Rules, ...],
    *,
    pooling: str = "",
) -> tuple[Question, tuple[int, ...]]:
    """The reserved micro-batch (llama-context.cpp:sched_reserve, graph_reserve).

    ``pooling``: as in ``memory.pooling``. The second half are lengths in units of
    ``memory.PADDING``: the cells per stream of every kind of cache, and the context.
    """
    sizes = memory.resolve(settings, causal=rule.keeps)
    cells = [memory.cells(cache, settings, sizes) for cache in rule.caches]
    n_tokens = min(sizes.n_ctx, sizes.n_ubatch)
    wanted = None if rule.every_row else settings.n_outputs
    rows = memory.output_rows(rule, settings, pooling)
    n_outputs = min(n_tokens, wanted or rows)
    placed = _backends(placement, used)
    # Weights that are copied to a device count with their bytes.
    moved = placement.offloads or bool(placement.overrides) or made.left_in_ram
    copied = bool(used) and moved
    lengths = [*(count for count, _ in cells), sizes.n_ctx]
    question = Question(
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
        n_rs_seq=settings.n_rs_seq if rule.rollback else 0,
        ctx_type=settings.ctx_type,
        backends=placed,
        rules=rules,
        n_copies=placement.n_copies,
        simple=not moved,
        copied=copied,
        pooling=pooling,
        built=rules_of(settings.built),
    )
    return question, tuple(length // memory.PADDING for length in lengths)


def shape_of(question: Question, lengths: Sequence[int], *, flash: bool) -> Shape:
    """The micro-batch and the caches; ``lengths`` as in ``question_of``, but in cells."""
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
        pooling=question.pooling,
        rules=question.built,
    )
