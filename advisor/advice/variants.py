"""The models that are acceptable: every file type and cache type whose loss the need allows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from advisor.advice.options import quality_rank
from advisor.advice.prices import tier_of
from advisor.advice.usage import LOSS_WORDS, Usage
from advisor.errors import ModelError, SettingsError
from advisor.llm import quality
from advisor.llm.catalogue import CatalogueEntry
from advisor.llm.model import Model
from advisor.sizing import refusals
from advisor.sizing.settings import KvType, RunSettings
from advisor.sizing.tables import PerModel

_NATIVE_BONUS: Final = 0.95
KV_TYPES: Final[tuple[KvType, ...]] = ("f16", "q8_0")


@dataclass(frozen=True, eq=False)
class Variant:
    """One model in one file type with one cache type."""

    model: Model
    kv: KvType
    loss: str
    """The worse of what the file type and the cache type cost; empty: not measured."""
    tier: int

    @property
    def quality(self) -> int:
        """As ``Option.quality``; what nobody measured counts as the heaviest loss."""
        return quality_rank(self.tier, self.loss or LOSS_WORDS[-1], self.kv)

    def holds(self, context: int) -> bool:
        """Whether the model was trained for that many tokens at once, as far as is known."""
        trained = self.model.hp.n_ctx_train if self.model.hp is not None else 0
        return not trained or trained >= context

    @cached_property
    def key(self) -> tuple[object, ...]:
        """What tells it from every other variant."""
        return self.model.id, self.model.file_type, self.model.nbytes, self.kv

    @cached_property
    def bytes_read(self) -> tuple[int, int, int]:
        """Bytes of one token's dense weights, of the experts it uses, and of all experts."""
        hp = self.model.hp
        share = hp.n_expert_used / hp.n_expert if hp is not None and hp.n_expert else 1.0
        tied = not any(t.name == "output.weight" for t in self.model.tensors)
        dense = experts = 0
        for tensor in self.model.tensors:
            if "_exps" in tensor.name:
                experts += tensor.nbytes
            elif tied or tensor.name not in {"token_embd.weight", "per_layer_token_embd.weight"}:
                dense += tensor.nbytes
        return dense, int(experts * share), experts

    def settings(self, base: RunSettings, usage: Usage, *, whole: bool = False) -> RunSettings:
        """Settings that a search tries: whatever has to go to RAM is left to the solver.

        ``whole``: everything on the cards instead.
        """
        new = max(1, int(usage.new_tokens))
        return base.model_copy(
            update={
                "ctx": usage.context,
                "ctk": self.kv,
                "ctv": self.kv,
                "n_gpu_layers": "all" if whole else "fit",
                "n_cpu_moe": 0 if whole else "fit",
                "depth": usage.prompt_tokens - new,
                "n_prompt": new,
            }
        )


def loss_of(model: Model, kv: KvType) -> str:
    """The heaviest word for weights and cache together; empty where nothing was measured."""
    return _losses(model, kv)


def _loss(model: Model, kv: KvType) -> str:
    weights, cache = quality.model_loss(model).worst, quality.kv_loss(model, kv, kv).worst
    if weights is None or cache is None:
        return ""
    return max(weights, cache, key=LOSS_WORDS.index)


_losses: PerModel[KvType, str] = PerModel(_loss)


def variants(
    models: Iterable[CatalogueEntry | Model], usage: Usage, base: RunSettings
) -> tuple[Variant, ...]:
    """Every acceptable variant of the models, best quality first.

    Smaller files of equal quality come first; of file types with equal loss and nearly equal size
    one is enough.
    """
    models = tuple(models)
    native = {m.id: m.native_file_type for m in models if isinstance(m, CatalogueEntry)}
    found: list[Variant] = []
    for model in _files(models):
        for kv in KV_TYPES:
            loss = _losses(model, kv)
            if not usage.accepts_loss(loss) or not _runs(model, base, kv):
                continue
            tier = tier_of(model.weights_of, model.n_params)
            found.append(Variant(model, kv, loss, tier))
    found.sort(
        key=lambda v: (
            -v.quality,
            preference(v.model, native.get(v.model.id, "")),
            v.model.id,
            v.model.file_type,
        )
    )
    return tuple(_without_twins(found))


def preference(model: Model, native: str) -> float:
    """Sort key among files of equal loss: the smaller; the released type may be a bit larger."""
    return model.nbytes * (_NATIVE_BONUS if model.file_type == native else 1.0)


def _files(models: Iterable[CatalogueEntry | Model]) -> Iterable[Model]:
    for model in models:
        if isinstance(model, Model):
            yield model
            continue
        for file_type in model.file_types:
            try:
                yield model.model(file_type)
            except ModelError:
                # A type that llama-quantize cannot make of this model is no option.
                continue


def _runs(model: Model, base: RunSettings, kv: KvType) -> bool:
    try:
        refusals.check(model, base.model_copy(update={"ctk": kv, "ctv": kv}))
    except SettingsError:
        return False
    return True


def _without_twins(found: Sequence[Variant]) -> Iterable[Variant]:
    """Of the same model, quality and cache, the smallest file: it is also the fastest."""
    seen: set[tuple[str, int, str]] = set()
    for variant in found:
        key = (variant.model.id, variant.quality, variant.kv)
        if key not in seen:
            seen.add(key)
            yield variant
