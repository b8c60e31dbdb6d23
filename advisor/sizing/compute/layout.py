"""What of a model decides its graph: names and shapes, and seldom types.

Models are compared through small numbers, so that thirteen file types of one model share one
simulation, and blocks that repeat are simulated a few times instead of sixty.
"""

import weakref
from collections import defaultdict
from dataclasses import dataclass
from itertools import count
from typing import Final

from advisor.llm.model import Model
from advisor.llm.tensor import Tensor
from advisor.sizing.compute.backends import NO_PRODUCT

_KEPT_REPEATS: Final = 4
"""Repetitions of a pattern that are built; the others are replayed from the third."""
_LONGEST_PATTERN: Final = 12


@dataclass(frozen=True, slots=True)
class Layout:
    """A model's tensors and the numbers that stand for what its graph depends on."""

    tensors: dict[str, Tensor]
    key: int
    """Equal for models whose graphs are equal, types of weights aside."""
    typed_key: int
    """Equal for models whose weights have the same types too (weights copied to devices)."""
    kinds: tuple[int, ...]
    """Per block; equal for blocks with equal weights, types aside."""
    typed_kinds: tuple[int, ...]
    """Per block; equal for blocks with equal weights of equal types."""
    left_in_ram: bool
    """Some weights are of types that no device multiplies with."""


_interned: dict[object, int] = {}
_free = count()
"""Numbers are never given twice, whatever threads do."""
_layouts: dict[int, tuple["weakref.ref[Model]", Layout]] = {}


def _intern(value: object) -> int:
    return _interned.setdefault(value, next(_free))


def _fused_types(tensors: dict[str, Tensor]) -> tuple[object, ...]:
    """Types that decide whether routed and shared experts run together (see fusion)."""
    names = ("ffn_up_exps", "ffn_gate_exps", "ffn_up_shexp", "ffn_gate_shexp")
    types = [tensors[f"{n}.weight"].type for n in names if f"{n}.weight" in tensors]
    return (len(set(types)), [t.block > 1 for t in types] == [True] * 4)


def layout(model: Model) -> Layout:
    """The layout of a model, made once per model."""
    known = _layouts.get(id(model))
    if known is not None and known[0]() is model:
        return known[1]
    tensors = {t.name: t for t in model.tensors}
    blocks: defaultdict[int, dict[str, Tensor]] = defaultdict(dict)
    rest: list[tuple[str, tuple[int, ...]]] = []
    for tensor in model.tensors:
        parts = tensor.name.split(".", 2)
        if len(parts) == 3 and parts[0] == "blk" and parts[1].isdigit():
            blocks[int(parts[1])][parts[2]] = tensor
        else:
            rest.append((tensor.name, tensor.shape))
    n_blocks = model.hp.n_layer_all if model.hp else 0
    shapes = [
        _intern((
            frozenset((name, t.shape) for name, t in blocks[il].items()),
            _fused_types(blocks[il]),
        ))
        for il in range(n_blocks)
    ]  # fmt: skip
    types = [
        _intern((shapes[il], frozenset((name, t.type.ggml_id) for name, t in blocks[il].items())))
        for il in range(n_blocks)
    ]
    key = _intern((model.hp, tuple(sorted(rest)), tuple(shapes)))
    typed = _intern((key, tuple(t.type.ggml_id for t in model.tensors)))
    made = Layout(
        tensors=tensors,
        key=key,
        typed_key=typed,
        kinds=tuple(shapes),
        typed_kinds=tuple(types),
        left_in_ram=any(t.type.name in NO_PRODUCT for t in model.tensors),
    )
    at = id(model)
    _layouts[at] = (weakref.ref(model, lambda _: _layouts.pop(at, None)), made)
    return made


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern of blocks that repeats; four repetitions are kept, from these blocks on."""

    second: int
    third: int
    last: int
    extra: int
    """Repetitions that are left out, all like the third."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Blocks that stand for all."""

    blocks: tuple[int, ...]
    patterns: tuple[Pattern, ...] = ()

    def stands_for(self, il: int) -> int:
        """How many left-out blocks a kept one stands for."""
        return sum(p.extra for p in self.patterns if p.third <= il < p.third + p.third - p.second)


def representative(kinds: list[object]) -> Selection:
    """Choose blocks that stand for all: of a pattern that repeats, four repetitions.

    The first three and the last one are kept, so the last block is always among them.
    """
    kept: list[int] = []
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
        length = best * best_period
        if best > _KEPT_REPEATS:
            second, third = at + best_period, at + 2 * best_period
            last = at + length - best_period
            kept += range(at, third + best_period)
            kept += range(last, at + length)
            patterns.append(Pattern(second, third, last, best - _KEPT_REPEATS))
        else:
            kept += range(at, at + length)
        at += length
    return Selection(tuple(kept), tuple(patterns))
