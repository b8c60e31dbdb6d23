"""Ghosts with fewer layers, for disks without sparse files: two sizes give the whole.

A file without holes takes what it claims. A model's layers repeat, so two short models that differ
by some repetitions tell what one more costs; the rest (embedding, head, program) is in both.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from advisor.errors import ModelError
from advisor.llm.architectures import architecture
from advisor.llm.hyperparameters import Hyperparameters, Value
from advisor.llm.model import Model
from advisor.llm.tensor import Tensor

_BLOCK: Final = "blk."
LEAST_REPEATS: Final = 1
MOST_SHARE: Final = 0.5
"""A short model with more than this share of the layers saves too little."""


@dataclass(frozen=True, slots=True)
class Scaled:
    """Two short versions of a model."""

    small: Model
    large: Model
    layers: tuple[int, int, int]
    """Of the small one, of the large one, and of the model itself."""

    @property
    def nbytes(self) -> int:
        """Bytes that the larger file takes on a disk without holes."""
        return self.large.nbytes

    def whole(self, small: float, large: float) -> float:
        """A time or a size of the whole model from those of the two: a straight line in layers."""
        few, more, all_of_them = self.layers
        return small + (large - small) * (all_of_them - few) / (more - few)


def scaled(model: Model) -> Scaled:
    """The shortest two versions of a model that keep its pattern of layers.

    Raises ModelError when its hyperparameters are not known, or when the pattern is so long that
    nothing would be saved.
    """
    hp = model.hp
    known = architecture(hp.arch) if hp is not None else None
    if hp is None or known is None or hp.n_layer_nextn:
        message = f"How the layers of {model.name} repeat is not known, so it cannot be shortened."
        raise ModelError(message)
    signatures = _signatures(model, hp)
    lead, period = _pattern(signatures)
    few = lead + LEAST_REPEATS * period
    more = few + period
    if more > MOST_SHARE * hp.n_layer_all:
        message = f"The layers of {model.name} do not repeat often enough to be shortened."
        raise ModelError(message)
    return Scaled(_short(model, hp, few), _short(model, hp, more), (few, more, hp.n_layer_all))


def _layer(name: str) -> int | None:
    if not name.startswith(_BLOCK):
        return None
    number = name[len(_BLOCK) :].split(".", 1)[0]
    return int(number) if number.isdigit() else None


def _signatures(model: Model, hp: Hyperparameters) -> list[tuple[object, ...]]:
    """What each layer consists of, file types left out: mixes vary them over the layers."""
    shapes: list[list[tuple[str, tuple[int, ...]]]] = [[] for _ in range(hp.n_layer_all)]
    for tensor in model.tensors:
        layer = _layer(tensor.name)
        if layer is not None and layer < len(shapes):
            shapes[layer].append((tensor.name.split(".", 2)[2], tensor.shape))
    return [
        (tuple(sorted(shapes[i])), hp.is_swa(i), hp.is_recurrent(i), *_compressed(hp, i))
        for i in range(hp.n_layer_all)
    ]


def _compressed(hp: Hyperparameters, layer: int) -> tuple[object, ...]:
    ratio = hp.compress_ratios[layer] if hp.compress_ratios else 0
    return ratio, bool(hp.indexer_layers) and hp.indexer_layers[layer], hp.has_kv(layer)


def _pattern(signatures: Sequence[tuple[object, ...]]) -> tuple[int, int]:
    """Leading layers of their own kind, and the shortest period of those that follow."""
    count = len(signatures)
    best = (0, count)
    for lead in range(count // 2):
        for period in range(1, count - lead):
            if lead + 2 * period >= sum(best) + best[1]:
                break
            if all(signatures[i] == signatures[i + period] for i in range(lead, count - period)):
                best = min(best, (lead, period), key=lambda pair: pair[0] + 2 * pair[1])
                break
    return best


def _short(model: Model, hp: Hyperparameters, layers: int) -> Model:
    tensors = tuple(t for t in model.tensors if _kept(t, layers))
    metadata = {key: _cut(key, value, hp.n_layer_all, layers) for key, value in hp.metadata.items()}
    changed = replace(
        hp,
        n_layer_all=layers,
        metadata=metadata,
        **{
            name: getattr(hp, name)[:layers]
            for name in (
                "n_head",
                "n_head_kv",
                "n_ff",
                "swa_layers",
                "indexer_layers",
                "compress_ratios",
                "recurrent_layers",
            )
        },
    )
    known = architecture(hp.arch)
    memory = known.memory(changed) if known is not None else None
    return replace(
        model, tensors=tensors, hp=changed, memory=memory, path=None, name=f"{model.name} short"
    )


def _kept(tensor: Tensor, layers: int) -> bool:
    layer = _layer(tensor.name)
    return layer is None or layer < layers


def _cut(key: str, value: Value, count: int, layers: int) -> Value:
    """Metadata for fewer layers: their number, and lists with an entry for each."""
    if key == "block_count":
        return layers
    if not isinstance(value, str | int | float) and len(value) == count:
        return tuple(value)[:layers]
    return value
