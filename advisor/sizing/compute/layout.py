"""What of a model decides its graph: names and shapes, and seldom types.

Models are compared through small numbers, so that thirteen file types of one model share one
simulation, and blocks that repeat are simulated a few times instead of sixty.
"""

import weakref
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

from advisor.llm.model import Model
from advisor.llm.tensor import Tensor
from advisor.sizing.left_in_ram import EXACT, left_in_ram

_LONGEST_PATTERN: Final = 12


@dataclass(frozen=True, slots=True)
class Layout:
    """A model's tensors and the numbers that stand for what its graph depends on."""

    tensors: dict[str, Tensor]
    key: int
    """Equal for models whose graphs are equal, types of weights aside."""
    typed_key: int
    """Equal for models whose weights have the same types too (weights copied to devices)."""
    rest_types: int
    """Equal for models whose weights outside of blocks have the same types."""
    kinds: tuple[int, ...]
    """Per block; equal for blocks with equal weights, types aside."""
    typed_kinds: tuple[int, ...]
    """Per block; equal for blocks with equal weights of equal types."""
    expert_kinds: tuple[int, ...]
    """Per block; equal for blocks with equal weights whose experts have the same types."""
    fused: tuple[tuple[object, ...], ...]
    """Per block; what types decide of its graph wherever its weights lie."""
    left_in_ram: bool
    """Some weights are such that no device computes with them, so that their types count."""


_interned: dict[object, int] = {}
_free = count()
"""Numbers are never given twice, whatever threads do."""
_layouts: dict[int, tuple["weakref.ref[Model]", Layout]] = {}


def intern(value: object) -> int:
    """A number that is equal for equal values."""
    return _interned.setdefault(value, next(_free))


def _fused_types(tensors: dict[str, Tensor]) -> tuple[object, ...]:
    """Types that decide whether routed and shared experts run together (see fusion)."""
    names = ("ffn_up_exps", "ffn_gate_exps", "ffn_up_shexp", "ffn_gate_shexp")
    types = [tensors[f"{n}.weight"].type for n in names if f"{n}.weight" in tensors]
    return (len(set(types)), [t.block > 1 for t in types] == [True] * 4)


def fused_types(model: Model) -> tuple[tuple[object, ...], ...]:
    """What types decide of a model's graph wherever its weights lie, block by block.

    Quicker than its layout; empty where no block has both routed and shared experts.
    """
    if model.hp is None or not (model.hp.n_expert and model.hp.n_ff_shexp):
        return ()
    blocks: defaultdict[str, dict[str, Tensor]] = defaultdict(dict)
    for tensor in model.tensors:
        if tensor.name.endswith(("exps.weight", "shexp.weight")):
            block, _, name = tensor.name.removeprefix("blk.").partition(".")
            blocks[block][name] = tensor
    return tuple(map(_fused_types, blocks.values()))


def layout(model: Model) -> Layout:
    """The layout of a model, made once per model."""
    known = _layouts.get(id(model))
    if known is not None and known[0]() is model:
        return known[1]
    tensors = {t.name: t for t in model.tensors}
    blocks: defaultdict[int, dict[str, Tensor]] = defaultdict(dict)
    outside: list[tuple[str, Tensor]] = []
    for tensor in model.tensors:
        stack, _, rest = tensor.name.rpartition("blk.")
        number, _, name = rest.partition(".")
        if stack in {"", "enc.", "dec."} and rest != tensor.name and name and number.isdigit():
            blocks[int(number)][stack + name] = tensor
        else:
            outside.append((tensor.name, tensor))
    n_blocks = model.hp.n_layer_all if model.hp else 0
    # Of blocks that run several times only the first run has tensors: no run stands for others.
    looped = model.hp is not None and "n_block" in model.hp.extra
    fused = tuple(_fused_types(blocks[il]) for il in range(n_blocks))
    shapes = [
        intern(
            (frozenset((name, t.shape) for name, t in blocks[il].items()), fused[il], looped and il)
        )
        for il in range(n_blocks)
    ]
    types, experts = (
        tuple(
            intern((
                shapes[il],
                frozenset((n, t.type.ggml_id) for n, t in blocks[il].items() if whose in n),
            ))
            for il in range(n_blocks)
        )
        for whose in ("", "exp")
    )  # fmt: skip
    key = intern((model.hp, tuple(sorted((name, t.shape) for name, t in outside)), tuple(shapes)))
    typed = intern((key, tuple(t.type.ggml_id for t in model.tensors)))
    made = Layout(
        tensors=tensors,
        key=key,
        typed_key=typed,
        rest_types=intern(tuple(sorted((name, t.type.ggml_id) for name, t in outside))),
        kinds=tuple(shapes),
        typed_kinds=types,
        expert_kinds=experts,
        fused=fused,
        left_in_ram=(model.hp is not None and model.hp.arch in EXACT)
        or any(left_in_ram(model.hp, t.name, t.type.name, t.shape) for t in model.tensors),
    )
    at = id(model)
    _layouts[at] = (weakref.ref(model, lambda _: _layouts.pop(at, None)), made)
    return made


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern of blocks that repeats, and two of its repetitions, by their first blocks."""

    previous: int
    kept: int
    end: int
    """The block after it."""
    extra: int
    """Repetitions that are left out, all like the kept one and that before."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Blocks that stand for all."""

    blocks: tuple[int, ...]
    patterns: tuple[Pattern, ...] = ()

    def pattern_of(self, il: int) -> int | None:
        """The pattern that a block stands for."""
        return next(
            (
                at
                for at, p in enumerate(self.patterns)
                if p.kept <= il < p.kept + p.kept - p.previous
            ),
            None,
        )


def representative(kinds: Sequence[object], lead: int = 3, *, last: bool = False) -> Selection:
    """Choose blocks that stand for all: of a pattern that repeats, ``lead`` repetitions.

    The first is built since it follows something else, the last two to be compared. The very last
    is built too where ``last`` says so and at the end of the model, where the outputs are picked.
    """
    chosen: list[int] = []
    patterns: list[Pattern] = []
    at, count = 0, len(kinds)
    while at < count:
        best, best_period = 1, 1
        for period in range(1, min(_LONGEST_PATTERN, (count - at) // 2) + 1):
            block = kinds[at : at + period]
            repeats = 1
            while kinds[at + repeats * period : at + (repeats + 1) * period] == block:
                repeats += 1
            if (repeats - 1) * period > (best - 1) * best_period:
                best, best_period = repeats, period
        end = at + best * best_period
        ends = last or end == count
        if best > lead + ends:
            after = end - best_period * ends
            chosen += range(at, at + lead * best_period)
            chosen += range(after, end)
            kept = at + (lead - 1) * best_period
            patterns.append(Pattern(kept - best_period, kept, after, best - lead - ends))
        else:
            chosen += range(at, end)
        at = end
    return Selection(tuple(chosen), tuple(patterns))
