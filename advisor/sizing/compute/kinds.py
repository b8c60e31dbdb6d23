"""Which blocks are built for all of them, and what tells one such graph from another.

Blocks that repeat are built a few times only, and placements whose built blocks are alike share one
graph: where a border lies decides how often a block is repeated, seldom what it looks like.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Final, cast

from advisor.llm.hyperparameters import Hyperparameters
from advisor.sizing import overrides
from advisor.sizing.compute.attention import cache_owner
from advisor.sizing.compute.blocks import number, per_layer
from advisor.sizing.compute.builder import stream_of, streams
from advisor.sizing.compute.graphs_gemma3n import SPARSE_BLOCKS
from advisor.sizing.compute.layout import Layout, Selection, intern, representative
from advisor.sizing.compute.question import Question, Recipe

_STEPPED = {"llama4": 1, "smollm3": 1, "afmoe": 1, "smallthinker": 0}
"""Architectures whose every so-manieth block does not rotate (graphs_dense, graphs_experts), and
whether they count from one."""


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


def _per_block(hp: Hyperparameters) -> list[tuple[object, ...]]:
    """Every value that the model has per block, by block."""
    count = hp.n_layer
    values: list[object] = [getattr(hp, field.name) for field in fields(hp)]
    values += hp.metadata.values()
    columns: list[tuple[object, ...]] = []
    for value in values:
        if isinstance(value, tuple | list):
            column = tuple(cast("Sequence[object]", value))
            if len(column) >= count:
                columns.append(column[:count])
    return [tuple(column[il] for column in columns) for il in range(count)]


@dataclass(frozen=True, slots=True)
class _Block:
    """One block as a graph sees it, its place aside."""

    kind: int
    """Equal for blocks that repeat each other, types of weights aside."""
    facts: int
    """Equal for blocks from whose numbers a graph learns the same."""
    owner: int
    """The block whose cache it reads."""


@lru_cache(maxsize=512)
def _blocks(key: int, recipe: Recipe) -> tuple[_Block, ...]:
    """The blocks of the trunk. ``key``: of the layout."""
    del key
    hp, made = recipe.hp, recipe.layout
    # Kimi K3 mixes in one more earlier residual after every so many blocks.
    bank = int(number(hp, "attn_res.block_size"))
    before = stream_of(hp)
    n_streams = 0 if before else streams(hp)
    step = int(number(hp, "no_rope_layer_step", 4)) if hp.arch in _STEPPED else 0
    offset = _STEPPED.get(hp.arch, 0)
    values = _per_block(hp)
    found: list[_Block] = []
    for il in range(hp.n_layer):
        kind = (
            made.kinds[il],
            hp.is_swa(il),
            hp.is_recurrent(il),
            hp.has_kv(il),
            hp.n_head[il],
            hp.n_head_kv[il],
            il // bank if bank else 0,
            min(il, n_streams),
            before[il] if il < len(before) else -1,
            il < hp.n_hash_layers,
            il < hp.n_layer_dense_lead,
            hp.arch == "gemma3n" and il < SPARSE_BLOCKS,
            step > 0 and (il + offset) % step == 0,
            per_layer(hp, "attention.rope_pattern", il, 1.0),
            per_layer(hp, "swiglu_clamp_exp", il) > 0,
            per_layer(hp, "swiglu_clamp_shexp", il) > 0,
        )
        facts = (values[il], il == hp.n_layer - 1, il % bank if bank > 0 else 0)
        found.append(_Block(intern(kind), intern(facts), cache_owner(hp, il)))
    return tuple(found)


def _placed_kinds(question: Question, recipe: Recipe) -> list[tuple[object, ...]]:
    """Per block, what decides about its part of the graph: weights, where they lie, and caches.

    Types count where weights may be copied from RAM to a device.
    """
    placed, made = question.backends, recipe.layout
    moved = _moved_names(made, placed.overrides)
    found: list[tuple[object, ...]] = []
    for il, block in enumerate(_blocks(made.key, recipe)):
        layer, away = placed.layers[il], il in placed.experts_on_cpu
        names = moved.get(il)
        types = 0
        if question.copied and (made.left_in_ram or names or layer == placed.cpu):
            types = made.typed_kinds[il]
        elif question.copied and away:
            types = made.expert_kinds[il]
        found.append((block.kind, types, layer, away, names))
    return found


@dataclass(frozen=True, slots=True)
class Chosen:
    """Blocks that stand for all, and a key that is equal for graphs that are equal."""

    selection: Selection
    key: tuple[object, ...]


def _key(question: Question, recipe: Recipe, selection: Selection) -> tuple[object, ...]:
    placed, made = question.backends, recipe.layout
    layers = placed.layers
    blocks, kinds = _blocks(made.key, recipe), _placed_kinds(question, recipe)
    # Of the placement what the whole graph sees; what blocks see follows.
    ends = replace(placed, layers=(layers[0], layers[-1]), experts_on_cpu=frozenset[int]())
    at = {il: place for place, il in enumerate(selection.blocks)}
    return (
        replace(question, layout=made.key, backends=ends),
        made.rest_types if question.copied else 0,
        tuple([(kinds[il], blocks[il].facts, layers[blocks[il].owner]) for il in selection.blocks]),
        tuple([(at[p.previous], at[p.kept], at[p.end]) for p in selection.patterns]),
    )


ATTEMPTS: Final = 3
"""Ways to choose blocks, each with more of them."""
_EXPERTS: Final = ((3, False), (3, True), (4, True))
_DENSE: Final = ((4, False), (4, True), (5, True))
"""Repetitions that are built at the beginning of a pattern, and whether the last one is. Dense
blocks hand something over that is alike from the third to the fourth only."""


@lru_cache(maxsize=4096)
def chosen(question: Question, recipe: Recipe, attempt: int) -> Chosen | None:
    """Blocks that stand for all, more with every attempt; None where that leaves none out."""
    if question.ctx_type == "mtp":
        return Chosen(Selection(()), (question,))
    numbers: dict[object, int] = {}
    kinds = [numbers.setdefault(kind, len(numbers)) for kind in _placed_kinds(question, recipe)]
    lead, last = (_EXPERTS if recipe.hp.n_expert else _DENSE)[attempt]
    selection = representative(kinds, lead, last=last)
    return Chosen(selection, _key(question, recipe, selection)) if selection.patterns else None


def everything(question: Question, recipe: Recipe) -> Chosen:
    """Every block, where none stands for another."""
    selection = Selection(tuple(range(recipe.hp.n_layer)))
    return Chosen(selection, _key(question, recipe, selection))
