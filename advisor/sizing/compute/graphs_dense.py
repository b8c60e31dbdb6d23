"""Families that are the common transformer with small differences; models/<family>.cpp each."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from advisor.llm.hyperparameters import Hyperparameters
from advisor.sizing.compute.blocks import Graph, number, per_layer, routing_of
from advisor.sizing.compute.builder import Builder
from advisor.sizing.compute.feedforward import Routing
from advisor.sizing.compute.transformer import Style, transformer

_PLAIN: Final = Style()
_NORMED: Final = Style(heads="norm_rope")
_UNNORMALISED: Final = Routing(normalise=False)


def _sigmoid_routing(hp: Hyperparameters) -> Routing:
    return routing_of(hp, gating="sigmoid")


def _sliding(hp: Hyperparameters, il: int) -> bool:
    return hp.is_swa(il)


def _sliding_or_alone(hp: Hyperparameters, il: int) -> bool:
    return hp.swa_type == "none" or hp.is_swa(il)


def _sliding_or_dense(hp: Hyperparameters, il: int) -> bool:
    return hp.is_swa(il) or il < hp.n_layer_dense_lead


def _as_listed(hp: Hyperparameters, il: int) -> bool:
    return bool(per_layer(hp, "attention.rope_pattern", il, 1.0))


def _not_every_fourth(hp: Hyperparameters, il: int) -> bool:
    step = int(number(hp, "no_rope_layer_step", 4))
    return step <= 0 or (il + 1) % step != 0


def _scaled_routing(hp: Hyperparameters) -> Routing:
    return Routing(scaled=number(hp, "expert_weights_scale") not in {0.0, 1.0})


def _minimax_routing(hp: Hyperparameters) -> Routing:
    return replace(routing_of(hp), normalise=True)


def _granite(b: Builder) -> None:
    hp = b.hp
    style = Style(scale_residual=bool(number(hp, "residual_scale")), scale_logits=True)
    transformer(style)(b)


def _granite_swa(b: Builder) -> None:
    transformer(
        Style(
            rope=_as_listed,
            sinks=True,
            shared_activation="packed_swiglu",
            scale_residual=bool(number(b.hp, "residual_scale")),
            scale_logits=True,
        )
    )(b)


def _mistral3(b: Builder) -> None:
    scaled = bool(number(b.hp, "attention.temperature_scale"))
    transformer(Style(temperature="always" if scaled else "never"))(b)


def _mrope(b: Builder) -> int:
    return 4 if "rope.dimension_sections" in b.hp.metadata else 1


def _glm4_moe(b: Builder) -> None:
    transformer(
        Style(
            heads="norm_rope",
            rope_factors=False,
            positions=_mrope(b),
            ffn_norm="post_attention_norm",
            routing=_sigmoid_routing,
        )
    )(b)


def _glm4(b: Builder) -> None:
    transformer(
        Style(
            rope_factors=False,
            positions=_mrope(b),
            post_attention_norm="post_attention_norm",
            activation="packed_swiglu",
            post_ffn_norm="post_ffw_norm",
        )
    )(b)


def _llama4_routing(hp: Hyperparameters) -> Routing:
    del hp
    return Routing(gating="sigmoid", normalise=False, weight_first=True)


def _llama4(b: Builder) -> None:
    # llama4.cpp: rotated Q and K are normalised except in the 128-expert models.
    heads = "rope_rms" if b.hp.n_expert != 128 else "plain"
    transformer(
        Style(
            heads=heads,
            rope=_not_every_fourth,
            temperature="without_rope",
            routing=_llama4_routing,
        )
    )(b)


def _mimo2(b: Builder) -> None:
    scaled = bool(number(b.hp, "attention.value_scale"))
    transformer(
        Style(
            rope_factors=False,
            sinks=True,
            scale_attention=scaled,
            routing=lambda hp: replace(routing_of(hp, gating="sigmoid"), normalise=True),
            output="before_norm" if b.shape.rules.rows_early else "early",
        )
    )(b)


def _cohere2_moe(b: Builder) -> None:
    rms = number(b.hp, "attention.layer_norm_rms_epsilon") > 0
    transformer(
        Style(
            norm="RMS_NORM" if rms else "NORM",
            rope=_sliding_or_dense,
            parallel=True,
            routing=_sigmoid_routing,
            mean_of_shared=True,
            output="after_norm",
            scale_logits=bool(number(b.hp, "logit_scale")),
        )
    )(b)


_TRINITY: Final = Style(
    heads="norm_rope",
    rope_factors=False,
    gate="sigmoid",
    post_attention_norm="post_attention_norm",
    norm_every_row=True,
    post_ffn_norm="post_ffw_norm",
)

GRAPHS: Final[Mapping[str, Graph]] = {
    "llama": transformer(_PLAIN),
    "llama-embed": transformer(_PLAIN),
    "mistral3": _mistral3,
    "llama4": _llama4,
    "qwen2": transformer(replace(_PLAIN, rope_factors=False)),
    "qwen2vl": transformer(Style(rope_factors=False, positions=4)),
    "qwen2moe": transformer(
        Style(rope_factors=False, routing=lambda _: _UNNORMALISED, shared_gate="silu")
    ),
    "qwen3": transformer(_NORMED),
    "qwen3moe": transformer(_NORMED),
    "qwen3vl": transformer(replace(_NORMED, rope_factors=False, positions=4)),
    "qwen3vlmoe": transformer(replace(_NORMED, rope_factors=False, positions=4)),
    "glm4": _glm4,
    "glm4moe": _glm4_moe,
    "phi3": transformer(Style(scale_q=True, activation="packed_swiglu", residual_first=True)),
    "phimoe": transformer(Style(scale_q=True, activation="packed_swiglu", residual_first=True)),
    "minimax-m2": transformer(
        Style(
            heads="flat_norm",
            rope_factors=False,
            routing=_minimax_routing,
        )
    ),
    "ernie4_5": transformer(replace(_PLAIN, rope_factors=False)),
    "ernie4_5-moe": transformer(Style(rope_factors=False, routing=_scaled_routing)),
    "seed_oss": transformer(Style(rope_factors=False, ffn_norm="post_attention_norm")),
    "granite": _granite,
    "granitemoe": _granite,
    "hunyuan-dense": transformer(Style(heads="rope_norm")),
    "hunyuan_vl": transformer(Style(heads="rope_norm")),
    "hunyuan-moe": transformer(Style(heads="rope_norm")),
    "hy_v3": transformer(Style(heads="norm_rope", routing=_sigmoid_routing, output="after_norm")),
    "step35": transformer(
        Style(heads="norm_rope", gate="sigmoid", routing=_sigmoid_routing, output="before_norm")
    ),
    "mimo2": _mimo2,
    "smollm3": transformer(Style(rope=_not_every_fourth, rope_factors=False)),
    "olmoe": transformer(
        Style(heads="flat_norm", rope_factors=False, routing=lambda _: _UNNORMALISED)
    ),
    "olmo2": transformer(
        Style(
            heads="flat_norm",
            rope_factors=False,
            pre_norm=False,
            post_attention_norm="post_attention_norm",
            ffn_norm=None,
            post_ffn_norm="post_ffw_norm",
        )
    ),
    "exaone4": transformer(
        Style(
            heads="norm_rope",
            rope=_sliding_or_alone,
            pre_norm=False,
            post_attention_norm="post_attention_norm",
            ffn_norm=None,
            post_ffn_norm="post_ffw_norm",
        )
    ),
    "gemma": transformer(
        Style(scale_q=True, activation="geglu", rope_factors=False, embeddings="scaled")
    ),
    "exaone": transformer(_PLAIN),
    "internlm2": transformer(Style(rope_factors=False)),
    "starcoder2": transformer(Style(norm="NORM", activation="geglu", rope_factors=False)),
    "arcee": transformer(Style(activation="relu_sqr")),
    "minicpm": _granite,
    "nemotron": transformer(Style(norm="NORM", activation="relu_sqr", rope_factors=False)),
    "apertus": transformer(Style(heads="norm_rope", activation="xielu")),
    "bailingmoe2": transformer(
        Style(heads="norm_rope", rope_factors=False, routing=_sigmoid_routing)
    ),
    "dots1": transformer(Style(heads="norm_rope", rope_factors=False, routing=_sigmoid_routing)),
    "exaone-moe": transformer(Style(heads="norm_rope", rope=_sliding, routing=_sigmoid_routing)),
    "afmoe": transformer(
        replace(_TRINITY, rope=_not_every_fourth, routing=_sigmoid_routing, embeddings="scaled")
    ),
    "muse-glimmer": transformer(
        replace(_TRINITY, rope=_sliding, embeddings="normed", scale_logits=True)
    ),
    "laguna": transformer(
        Style(heads="norm_rope", rope_factors=False, gate="softplus", routing=_sigmoid_routing)
    ),
    "spark2_5": transformer(Style(rope_factors=False, gate="sigmoid", activation="geglu")),
    "mellum": transformer(Style(heads="norm_rope", rope_factors=False, routing=_scaled_routing)),
    "maple": transformer(Style(heads="norm_rope", rope=_sliding, rope_factors=False)),
    "granite_swa": _granite_swa,
    "maincoder": transformer(Style(heads="rope_norm", rope_factors=False)),
    "jais2": transformer(Style(norm="NORM", activation="relu_sqr", rope_factors=False)),
    "pangu-embedded": transformer(Style(rope_factors=False)),
    "paddleocr": transformer(Style(rope_factors=False, positions=4)),
    "plamo3": transformer(
        Style(
            heads="norm_rope",
            rope_factors=False,
            post_attention_norm="post_attention_norm",
            activation="packed_swiglu",
            post_ffn_norm="post_ffw_norm",
        )
    ),
    "cohere2moe": _cohere2_moe,
    "cohere2": transformer(Style(norm="NORM", rope=_sliding, parallel=True, scale_logits=True)),
    "command-r": transformer(
        Style(heads="norm_rope", rope_factors=False, norm="NORM", parallel=True, scale_logits=True)
    ),
}
