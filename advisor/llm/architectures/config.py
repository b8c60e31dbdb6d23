"""A Hugging Face ``config.json``, asked the way llama.cpp's converter asks it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from advisor.errors import ModelError
from advisor.llm.hyperparameters import POOLING, Value

# gguf-py/gguf/constants.py:ExpertGatingFuncType.
_GATING: Final = {"softmax": 1, "sigmoid": 2, "sqrtsoftplus": 4}
_SCORING: Final = (
    "score_function", "scoring_func", "score_func", "moe_router_activation",
    "moe_router_activation_func", "expert_selection_fn",
)  # fmt: skip
_PARTS: Final = (
    "text_config", "llm_config", "lm_config", "language_config", "lfm", "thinker_config",
    "transformer_layer_config",
)  # fmt: skip
"""Where the language part lies (conversion/base.py:load_hparams)."""


class Config:
    """The language part of a config.json. Raises ModelError where something needed is missing."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.top = values
        merged = dict(values)
        for part in _PARTS:
            inner = _mapping(values.get(part))
            for level in (inner, _mapping(inner.get("text_config"))):
                merged |= {key: value for key, value in level.items() if value is not None}
        self.values = merged

    def get(self, *names: str) -> Any:  # noqa: ANN401 - JSON
        """The first of these that is there and not null."""
        for name in names:
            value = self.values.get(name)
            if value is not None:
                return value
        return None

    def integer(self, *names: str, default: int | None = None) -> int:
        """A whole number; without a default one of the names must be there."""
        value = self.get(*names)
        if value is None and default is not None:
            return default
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 32:
            is_there = "does not tell" if value is None else "has no usable number for"
            raise ModelError(f"This config.json {is_there} “{names[0]}”, which sizing needs.")
        return value

    def number(self, *names: str, default: float) -> float:
        """A number, or the default."""
        value = self.get(*names)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return default
        return float(value)

    def flag(self, *names: str, default: bool = False) -> bool:
        """A yes or no."""
        value = self.get(*names)
        return value if isinstance(value, bool) else default

    def text(self, *names: str, default: str = "") -> str:
        """A text, or the default."""
        value = self.get(*names)
        return value if isinstance(value, str) else default

    def numbers(self, *names: str) -> tuple[int, ...]:
        """A list of whole numbers, empty where there is none."""
        return tuple(int(item) for item in _list(self.get(*names)) if isinstance(item, int | float))

    def limits(self, name: str, count: int) -> tuple[float, ...]:
        """One number per layer, 0 where the list ends or has none; empty where there is no list."""
        given = [
            float(item) if isinstance(item, int | float) else 0.0 for item in _list(self.get(name))
        ]
        return tuple([*given, *([0.0] * count)][:count]) if given else ()

    def texts(self, *names: str) -> tuple[str, ...]:
        """A list of texts, empty where there is none."""
        return tuple(item for item in _list(self.get(*names)) if isinstance(item, str))

    def part(self, *names: str) -> "Config":
        """A nested object, empty where there is none."""
        return Config(_mapping(self.get(*names)))

    @property
    def head(self) -> int:
        """Size of an attention head."""
        heads = self.integer("num_attention_heads", "n_head", default=0)
        return self.integer("head_dim", default=0) or (
            self.integer("hidden_size") // heads if heads else 0
        )

    def rotary(self, default: float) -> int:
        """How many values of a head rotate."""
        factor = self.number(
            "partial_rotary_factor",
            "rotary_pct",
            default=self.rope.number("partial_rotary_factor", default=default),
        )
        return int(self.head * factor)

    @property
    def sliding(self) -> tuple[bool, ...]:
        """Which layers slide, where ``layer_types`` says so."""
        return tuple(kind == "sliding_attention" for kind in self.texts("layer_types"))

    @property
    def rope(self) -> "Config":
        """RoPE parameters, by either of their two names."""
        rope = self.part("rope_parameters", "rope_scaling")
        return rope.part("full_attention") if rope.get("full_attention") else rope


def common_keys(config: Config) -> dict[str, Value]:
    """What the converter writes for every model (conversion/base.py:set_gguf_parameters)."""
    keys: dict[str, Value] = {
        "block_count": config.integer(
            "num_hidden_layers", "n_layers", "n_layer", "num_layers", "num_transformer_layers"
        ),
        "context_length": config.integer(
            "max_position_embeddings",
            "n_ctx",
            "n_positions",
            "max_length",
            "max_sequence_length",
            "model_max_length",
            default=2048,
        ),
        "embedding_length": config.integer(
            "hidden_size", "n_embd", "dim", "n_embed", "d_model", "model_dim"
        ),
        "vocab_size": config.integer("vocab_size", default=0),
        "attention.layer_norm_rms_epsilon": config.number(
            "rms_norm_eps", "norm_eps", "layer_norm_eps", "norm_epsilon", default=1e-6
        ),
    }
    whole = {
        "feed_forward_length": ("intermediate_size", "n_inner", "hidden_dim"),
        "attention.head_count": ("num_attention_heads", "n_head", "n_heads"),
        "attention.head_count_kv": ("num_key_value_heads", "n_kv_heads"),
        "attention.key_length": ("head_dim",),
        "attention.value_length": ("head_dim",),
        "expert_count": ("num_local_experts", "num_experts", "n_routed_experts"),
        "expert_used_count": ("num_experts_per_tok", "num_experts_per_token", "top_k_experts"),
        "expert_feed_forward_length": ("moe_intermediate_size",),
        "expert_group_count": ("n_group",),
        "expert_group_used_count": ("topk_group",),
    }
    for key, sources in whole.items():
        value = config.get(*sources)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            keys[key] = value
    if keys.get("expert_group_count") == 1:
        del keys["expert_group_count"]
        keys.pop("expert_group_used_count", None)
    gating = _GATING.get(config.text(*_SCORING))
    if gating:
        keys["expert_gating_func"] = gating
    theta = config.get("rope_theta") or config.rope.get("rope_theta")
    if isinstance(theta, int | float):
        keys["rope.freq_base"] = float(theta)
    # Not in config.json: catalogue entries keep what the converter reads in the files beside it.
    pooling = config.text("pooling_type")
    if pooling in POOLING:
        keys["pooling_type"] = POOLING.index(pooling)
    return keys | _rope_scaling(config.rope)


def leading(kinds: Sequence[str], kind: str) -> int:
    """How many of the first layers are of a kind."""
    return next((il for il, other in enumerate(kinds) if other != kind), len(kinds))


def _rope_scaling(rope: Config) -> dict[str, Value]:
    kind = rope.text("rope_type", "type")
    if kind not in {"linear", "yarn", "longrope"}:
        return {}
    keys: dict[str, Value] = {"rope.scaling.type": kind}
    factor = rope.number("factor", default=0.0)
    if factor:
        keys["rope.scaling.factor"] = factor
    original = rope.get("original_max_position_embeddings")
    if isinstance(original, int):
        keys["rope.scaling.original_context_length"] = original
    return keys


def _mapping(value: object) -> dict[str, Any]:
    return dict(cast("Mapping[str, Any]", value)) if isinstance(value, Mapping) else {}


def _list(value: object) -> Sequence[Any]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return ()
    return cast("Sequence[Any]", value)
