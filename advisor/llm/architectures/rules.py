"""Which caches and states a context has, by the rules that llama.cpp shares between families."""

from collections.abc import Iterable

from advisor.llm.caches import CacheRule, MemoryRule, StateRule
from advisor.llm.hyperparameters import Hyperparameters


def cache(
    hp: Hyperparameters, kind: str, layers: Iterable[int], *, window: bool = False
) -> CacheRule:
    """A cache of K and V over ``layers`` (llama-kv-cache.cpp); with MLA it keeps K only."""
    layers = tuple(layers)
    return CacheRule(
        kind=kind,
        layers=layers,
        k_width=tuple(hp.k_gqa(il) for il in layers),
        v_width=tuple(0 if hp.is_mla else hp.v_gqa(il) for il in layers),
        cells="window" if window else "full",
        span=hp.n_swa if window else 0,
    )


def attention(hp: Hyperparameters, layers: Iterable[int]) -> tuple[CacheRule, ...]:
    """One cache, or two where some layers slide (llama-kv-cache-iswa.cpp)."""
    layers = tuple(layers)
    if hp.swa_type == "none":
        return (cache(hp, "attn", layers),)
    return (
        cache(hp, "base", (il for il in layers if not hp.is_swa(il))),
        cache(hp, "swa", (il for il in layers if hp.is_swa(il)), window=True),
    )


def state_values(hp: Hyperparameters) -> int:
    """F32 values of a recurrent layer per sequence: n_embd_r + n_embd_s (llama-hparams.cpp)."""
    if hp.wkv_head_size:
        return hp.token_shift_count * hp.n_embd + hp.n_embd * hp.wkv_head_size
    if hp.n_shortconv_l_cache:
        return hp.n_embd * (hp.n_shortconv_l_cache - 1) + hp.ssm_d_state * hp.ssm_d_inner
    if hp.n_embd_head_kda:
        n_head = hp.n_head[0]
        conv = 3 * (hp.ssm_d_conv - 1 if hp.ssm_d_conv else 3) * n_head * hp.n_embd_head_kda
        return conv + hp.n_embd_head_kda**2 * n_head
    if hp.n_embd_head_la:
        return hp.n_embd_head_la**2 * hp.n_head[0]
    width = hp.ssm_d_inner + 2 * hp.ssm_n_group * hp.ssm_d_state
    return max(hp.ssm_d_conv - 1, 0) * width + hp.ssm_d_state * hp.ssm_d_inner


def recurrent(hp: Hyperparameters, layers: Iterable[int]) -> tuple[StateRule, ...]:
    """The recurrent state over ``layers`` (llama-memory-recurrent.cpp)."""
    layers = tuple(layers)
    if not layers:
        return ()
    return (StateRule("recurrent", layers, (state_values(hp),) * len(layers)),)


def standard(hp: Hyperparameters, *, rollback: bool = False) -> MemoryRule:
    """The rule of most families (llama-model.cpp:create_memory, default).

    Trunk layers with K and V of their own are cached, recurrent ones keep a state, NextN layers
    only count in a draft context.
    """
    trunk = range(hp.n_layer)
    attending = tuple(il for il in trunk if hp.has_kv(il) and not hp.is_recurrent(il))
    caches = attention(hp, attending) if attending or not any(hp.recurrent_layers) else ()
    return MemoryRule(
        caches=caches,
        states=recurrent(hp, (il for il in trunk if hp.is_recurrent(il))),
        v_width_max=0 if hp.is_mla else hp.v_gqa_max,
        mtp=attention(hp, range(hp.n_layer, hp.n_layer_all)) if hp.n_layer_nextn else (),
        rollback=rollback,
    )


def labels(hp: Hyperparameters) -> int:
    """Scores that a classifier gives (llama-hparams.h:n_cls_out)."""
    named = hp.metadata.get("classifier.output_labels", ())
    return max(len(named), 1) if isinstance(named, tuple | list) else 1
