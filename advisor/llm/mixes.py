"""Which type llama-quantize gives each tensor: its mixes, exceptions and column fallbacks.

Reproduces src/llama-quant.cpp of llama.cpp b11434 (tensor_allows_quantization,
llama_tensor_get_type_impl, tensor_type_fallback, llama_ftype_get_default_type); tests compare every
tensor of 156 headers with it.
"""

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from advisor.errors import ModelError
from advisor.llm.hyperparameters import Hyperparameters
from advisor.llm.tensor import TYPES

DEFAULTS: Final[Mapping[str, str]] = {
    "Q2_K_S": "Q2_K", "Q3_K_S": "Q3_K", "Q3_K_M": "Q3_K", "Q3_K_L": "Q3_K",
    "Q4_K_S": "Q4_K", "Q4_K_M": "Q4_K", "Q5_K_S": "Q5_K", "Q5_K_M": "Q5_K",
    "IQ2_S": "IQ2_XS", "IQ2_M": "IQ2_S", "IQ3_XS": "IQ3_S", "IQ3_M": "IQ3_S",
    "MXFP4_MOE": "MXFP4",
}  # fmt: skip
"""Default tensor type of a file type, where the names differ."""

# Two-dimensional weights that stay as they are: small, or steering.
_KEPT: Final = re.compile(
    r"_norm\.weight|ffn_gate_inp\.weight|ffn_gate_tid2eid\.weight|altup|laurel"
    r"|per_layer_model_proj|ssm_conv1d|shortconv\.conv\.weight|indexer\.[kq]_proj\.weight"
    r"|time_mix_(first|w[012]|v[012]|a[012]|g[12]|decay_w[12]|lerp_fused)\.weight"
    r"|attn_rel_b\.weight|\.position_embd|sam\.(pos_embd|neck\.|net_)|\.rel_pos"
    r"|\.patch_(embd|merger)|a\.rvq\.codebook|mm\.a\.code_embd"
    r"|^position_embd\.weight$|^token_types\.weight$"
)
_KEPT_GLM5_NEXT: Final = re.compile(
    r"hc_|indexer\.(attn_q_b|attn_k|proj)|indexer_compressor_(gate|ape)|ssm_[fg]_[ab]\.weight"
    r"|ssm_beta\.weight|attn_kv_a_mqa\.weight|attn_[kv]_b\.weight"
)
_Q8_GLM5_NEXT: Final = re.compile(r"attn_q_[ab]|nextn\.eh_proj")
_BLOCK: Final = re.compile(r"blk\.(\d+)\.")

# tensor_get_category: the first that occurs in the name.
_CATEGORIES: Final = (
    ("attn_qkv.weight", "attn_qkv"),
    ("attn_kv_b.weight", "attn_kv_b"),
    ("attn_v.weight", "attn_v"),
    ("attn_k.weight", "attn_k"),
    ("attn_q.weight", "attn_q"),
    ("attn_output.weight", "attn_output"),
    ("ffn_up", "ffn_up"),
    ("ffn_gate", "ffn_gate"),
    ("ffn_down", "ffn_down"),
)
_FALLBACKS: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_XS"), "IQ4_NL"
    ),
    **dict.fromkeys(("Q2_0", "Q2_K", "Q3_K", "TQ1_0", "TQ2_0"), "Q4_0"),
    "Q4_K": "Q5_0",
    "Q5_K": "Q5_1",
    "Q6_K": "Q8_0",
}
_SMALLEST_BLOCK: Final = 32
_LOW: Final = frozenset({"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M"})
_LOW_S: Final = frozenset({"IQ2_S", "IQ2_M"})
_EMBEDDINGS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("IQ2_XXS", "IQ2_XS", "IQ1_S", "IQ1_M"), "Q2_K"),
    **dict.fromkeys(("IQ2_S", "IQ2_M", "IQ3_XXS"), "IQ3_S"),
    **dict.fromkeys(("TQ1_0", "TQ2_0", "Q2_0"), "Q4_K"),
}
_OUTPUT_8_EXPERTS: Final = frozenset(
    {"Q2_K", "Q3_K_S", "Q3_K_M", "Q4_K_S", "Q4_K_M"}
    | {"IQ3_XS", "IQ3_XXS", "IQ3_S", "IQ3_M", "IQ4_NL", "IQ4_XS"}
)
_ATTN_OUTPUT: Final[Mapping[str, str]] = {
    "Q2_K": "Q3_K", "IQ3_XXS": "IQ3_S", "Q3_K_M": "Q4_K", "Q3_K_L": "Q5_K", "IQ3_M": "Q4_K",
}  # fmt: skip
_OLDER_QKV: Final[Mapping[str, str]] = {
    "Q3_K_M": "Q4_K", "Q3_K_L": "Q4_K", "IQ3_M": "Q4_K", "Q4_K_M": "Q5_K", "Q5_K_M": "Q6_K",
}  # fmt: skip
_Q3_DOWN: Final[Mapping[str, str]] = {"Q3_K_M": "Q4_K", "Q3_K_L": "Q5_K"}
_SEVENTY_B: Final[Mapping[str, int]] = {
    "llama": 80,
    "qwen2": 80,
    "deci": 80,
    "olmo": 80,
    "jais2": 68,
}


def sort_key(name: str) -> tuple[int, str]:
    """The order in which llama-quantize visits tensors (llama-model-loader.h)."""
    found = _BLOCK.match(name)
    return (int(found[1]) if found else -1, name)


def quantizable(arch: str, name: str, shape: Sequence[int]) -> bool:
    """Whether llama-quantize touches this tensor (llama-quant.cpp:tensor_allows_quantization)."""
    if not name.endswith("weight") or not any(n > 1 for n in shape[1:]):
        return False
    if arch == "glm5-next" and _KEPT_GLM5_NEXT.search(name):
        return False
    return not _KEPT.search(name)


@functools.lru_cache(maxsize=4096)
def fallback(type_name: str, ne0: int) -> str:
    """The type for rows that are not whole blocks (llama-quant.cpp:tensor_type_fallback).

    Raises ModelError where llama-quantize has none and stops.
    """
    block = TYPES[type_name].block
    if ne0 % block == 0:
        return type_name
    if block > _SMALLEST_BLOCK and type_name not in _FALLBACKS:
        raise ModelError(
            f"llama-quantize cannot make {type_name} of this model: it has rows of {ne0} values, "
            f"which are not whole blocks of {block}, and no type to fall back to."
        )
    type_name = _FALLBACKS.get(type_name, type_name)
    return type_name if ne0 % TYPES[type_name].block == 0 else "F16"


def _more_bits(layer: int, n: int) -> bool:
    return layer < n // 8 or layer >= 7 * n // 8 or (layer - n // 8) % 3 == 2


class Role(NamedTuple):
    """What llama-quantize sees in a tensor's name."""

    category: str
    """llama-quant.cpp:tensor_get_category: empty for what has none."""
    layer: int | None
    is_output: bool
    is_embedding: bool
    is_per_layer: bool
    """The embedding of gemma3n's and gemma4's layers."""
    kept_in_8: bool
    """What the glm5-next converter keeps in Q8_0."""
    is_expert: bool


def role_of(name: str) -> Role:
    """The role of a tensor."""
    embedding = name in {"token_embd.weight", "per_layer_token_embd.weight"}
    block = _BLOCK.match(name)
    return Role(
        category=""
        if embedding
        else next((category for text, category in _CATEGORIES if text in name), ""),
        layer=int(block[1]) if block else None,
        is_output=name == "output.weight",
        is_embedding=embedding,
        is_per_layer=name == "per_layer_token_embd.weight",
        kept_in_8=_Q8_GLM5_NEXT.search(name) is not None,
        is_expert="_exps.weight" in name,
    )


@dataclass
class Mix:
    """One run of llama-quantize: call ``choose`` for each quantizable tensor in its order."""

    hp: Hyperparameters
    file_type: str
    imatrix: bool
    tied: bool
    """No ``output.weight``: the token embedding is also the output matrix."""
    n_attn_v: int
    """How many tensors of the attn_v category the model has."""
    bartowski: bool = False
    """As bartowski has made files of mixtures since April 2025 (llama.cpp pull request 12727, not
    merged). His published sizes, and LM Studio's, show attn_k and attn_output treated as in a model
    of eight experts, and the experts' ffn_down of Q3_K_M and Q3_K_L in Q3_K but for every layer
    that Q4_K_M gives more bits."""
    older: bool = False
    """As llama-quantize chose until March 2026 (llama.cpp pull request 19770): a fused QKV matrix
    had a rule of its own, the matrix that expands latent K and V had none, and an embedding per
    layer was not taken for the output matrix."""
    seen_attn_v: int = 0
    seen_down: int = 0
    seen_gate: int = 0
    seen_up: int = 0

    def __post_init__(self) -> None:
        hp = self.hp
        kv = hp.n_head_kv[0] if hp.n_head_kv else 0
        self.gqa = hp.n_head[0] // kv if kv else 0
        self.falcon = hp.arch == "falcon"
        self.eight = hp.n_expert == 8 or self.bartowski
        self.default = DEFAULTS.get(self.file_type, self.file_type)
        self.big = hp.n_layer == _SEVENTY_B.get(hp.arch, 0) and (
            hp.arch != "llama" or (hp.n_expert != 8 and hp.n_head[0] != kv)
        )

    def choose(self, role: Role, shape: Sequence[int]) -> str:
        """Type of one tensor, fallback included."""
        return fallback(self._by_role(role, shape), shape[0])

    def _by_role(self, role: Role, shape: Sequence[int]) -> str:  # noqa: PLR0911 - one case per role
        if chosen := self._whatever_the_category(role, shape):
            return chosen
        category = role.category
        if category in {"attn_qkv", "attn_kv_b"}:
            if self.older:
                own = _OLDER_QKV if category == "attn_qkv" else {}
                return own.get(self.file_type, self.default)
            category = "attn_v"
        if self.file_type in _LOW:
            return self._low(category)
        match category:
            case "attn_v":
                return self._attn_v()
            case "attn_k" | "attn_q":
                return self._attn_kq(category)
            case "attn_output":
                return self._attn_output()
            case "ffn_down" if role.is_expert and self.bartowski and self.file_type in _Q3_DOWN:
                more = _more_bits(self._layer(role.layer, 0), self.hp.n_layer_all)
                return _Q3_DOWN[self.file_type] if more else "Q3_K"
            case "ffn_down":
                return self._ffn_down(role.layer)
            case "ffn_gate" | "ffn_up":
                return self._ffn_gate_up(role.layer, category)
            case _:
                return self.default

    def _whatever_the_category(self, role: Role, shape: Sequence[int]) -> str:
        """Type of what is no part of a layer, or of a file that has one rule; else empty."""
        if role.kept_in_8 and self.hp.arch == "glm5-next":
            return "Q8_0"
        as_output = self.tied and role.is_embedding and not (self.older and role.is_per_layer)
        if role.is_output or as_output:
            return self._output(shape[0])
        if self.file_type == "MXFP4_MOE":
            expert = self.hp.arch != "bailingmoe3" or role.category.startswith("ffn_")
            return "MXFP4" if len(shape) > 2 and shape[2] > 1 and expert else "Q8_0"
        if role.is_embedding:
            return _EMBEDDINGS.get(self.file_type, self.default)
        return "" if role.category else self.default

    def _output(self, ne0: int) -> str:
        if self.file_type == "MXFP4_MOE" or self.falcon or ne0 % TYPES[self.default].block:
            return "Q8_0"
        if self.file_type in _LOW or self.file_type == "IQ3_XXS":
            return "Q5_K"
        return "Q8_0" if self.default == "Q8_0" else "Q6_K"

    def _low(self, category: str) -> str:  # noqa: PLR0911 - one case per role
        """The 1- and 2-bit files."""
        small = "IQ3_S" if self.file_type in _LOW_S else "Q2_K"
        if category == "attn_v":
            self.seen_attn_v += 1
            return "Q4_K" if self.gqa >= 4 or self.hp.n_expert >= 4 else small
        if category == "attn_k" and self.eight:
            return "Q4_K"
        if category == "ffn_down":
            self.seen_down += 1
            return small if self.seen_down - 1 < self.hp.n_layer_all // 8 else self.default
        if category == "attn_output":
            if self.bartowski and self.file_type in {"IQ2_XXS", "IQ2_XS"}:
                return "Q4_K"
            if self.eight:
                return "Q5_K"
            if self.file_type in {"IQ1_S", "IQ1_M"}:
                return "IQ2_XXS"
            return "IQ3_S" if self.file_type in _LOW_S else self.default
        return self.default

    def _attn_v(self) -> str:
        index = self.seen_attn_v
        self.seen_attn_v += 1
        chosen = self._attn_v_mix(index)
        if self.big and chosen in {"Q3_K", "Q4_K"}:
            chosen = "Q5_K"
        return "Q8_0" if self.hp.n_expert == 8 else chosen

    def _attn_v_mix(self, index: int) -> str:  # noqa: PLR0911 - one case per file type
        shared = self.gqa >= 4
        match self.file_type:
            case "Q2_K":
                return "Q4_K" if shared else "Q3_K"
            case "IQ3_XXS" if not shared:
                return "IQ3_XXS" if self.imatrix else "IQ3_S"
            case "Q2_K_S" | "IQ3_XXS" | "IQ3_XS" | "IQ3_S" if shared:
                return "Q4_K"
            case "IQ3_M":
                return "Q4_K"
            case "Q3_K_M":
                return "Q5_K" if index < 2 else "Q4_K"
            case "Q3_K_L":
                return "Q5_K"
            case "IQ4_NL" | "IQ4_XS" if shared:
                return "Q5_K"
            case "Q4_K_M" | "Q5_K_M" if _more_bits(index, self.n_attn_v):
                return "Q6_K"
            case "Q4_K_S" if index < 4:
                return "Q5_K"
            case _:
                return self.default

    def _attn_kq(self, category: str) -> str:
        if category == "attn_k" and self.eight:
            return "Q8_0"
        return {"IQ3_XS": "IQ3_XXS", "IQ3_XXS": "IQ2_S"}.get(self.file_type, self.default)

    def _attn_output(self) -> str:
        if self.falcon:
            return "Q4_K" if self.file_type == "Q3_K_L" else self.default
        if self.eight:
            return "Q5_K" if self.file_type in _OUTPUT_8_EXPERTS else self.default
        return _ATTN_OUTPUT.get(self.file_type, self.default)

    def _layer(self, block: int | None, seen: int) -> int:
        """Layer of a feed-forward tensor; without experts llama.cpp counts the tensors instead."""
        return block if self.hp.n_expert > 1 and block is not None else seen

    def _ffn_down(self, block: int | None) -> str:  # noqa: PLR0911 - one case per file type
        layer, n = self._layer(block, self.seen_down), self.hp.n_layer_all
        self.seen_down += 1
        if self.falcon and self.file_type in {"Q3_K_M", "Q3_K_L", "Q4_K_M", "Q4_K_S"}:
            return self._ffn_down_falcon(layer, n)
        first, more = layer < n // 8, _more_bits(layer, n)
        match self.file_type:
            case "Q2_K":
                return "Q3_K"
            case "Q2_K_S" if first:
                return "Q4_K"
            case "IQ3_XXS" if not self.imatrix:
                return "Q4_K" if first else "Q3_K"
            case "Q3_K_M":
                return "Q5_K" if layer < n // 16 else "Q4_K"
            case "IQ3_M" if first or (self.hp.n_expert == 8 and more):
                return "Q4_K"
            case "Q3_K_L":
                return "Q5_K"
            case "Q4_K_M" | "Q5_K_M" if more:
                return "Q6_K"
            case "Q4_K_S" if first:
                return "Q5_K"
            case "IQ4_NL" | "IQ4_XS" if first and not self.imatrix:
                return "Q5_K"
            case "Q4_0" | "Q5_0" if first and self.imatrix:
                return "Q4_1" if self.file_type == "Q4_0" else "Q5_1"
            case _:
                return self.default

    def _ffn_down_falcon(self, layer: int, n: int) -> str:
        more = _more_bits(layer, n)
        match self.file_type:
            case "Q3_K_M":
                return "Q5_K" if layer < n // 16 else "Q4_K" if more else "Q3_K"
            case "Q3_K_L":
                return "Q4_K"
            case "Q4_K_M":
                return "Q6_K" if layer < n // 16 else "Q5_K" if more else "Q4_K"
            case _:
                return self.default

    def _ffn_gate_up(self, block: int | None, category: str) -> str:
        n = self.hp.n_layer_all
        if category == "ffn_gate":
            layer = self._layer(block, self.seen_gate)
            self.seen_gate += 1
        else:
            layer = self._layer(block, self.seen_up)
            self.seen_up += 1
        if self.file_type == "IQ3_XS" and n // 8 <= layer < 7 * n // 8:
            return "IQ3_XXS"
        return self.default
