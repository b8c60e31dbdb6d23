"""A model's hyperparameters under llama.cpp's names, whatever they were read from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

Scalar = int | float | str | bool
Value = Scalar | Sequence[Scalar]
"""One metadata value of a GGUF header."""

POOLING: Final = ("none", "mean", "cls", "last", "rank")
"""How the vectors of a text's tokens become one, by llama.h:llama_pooling_type."""


@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """What decides memory and speed. Per-layer tuples have ``n_layer_all`` entries.

    Names and meanings are those of llama.cpp's ``llama_hparams`` (llama-hparams.h). 0 or an empty
    tuple means that the architecture has no such part.
    """

    arch: str
    """``general.architecture``, for example ``"qwen3moe"``."""
    n_layer_all: int
    """Blocks in the file: the trunk and the NextN (MTP) layers."""
    n_layer_nextn: int = 0
    n_vocab: int
    n_embd: int
    n_ctx_train: int = 0
    n_head: tuple[int, ...]
    n_head_kv: tuple[int, ...]
    n_embd_head_k: int
    n_embd_head_v: int
    n_embd_head_k_swa: int = 0
    """Head sizes of sliding-window layers where they differ; 0: as above."""
    n_embd_head_v_swa: int = 0
    n_rot: int = 0
    n_ff: tuple[int, ...] = ()
    n_layer_kv_from_start: int | None = None
    """Only so many leading layers keep K and V, the others read theirs (Gemma 3n and 4)."""
    n_embd_per_layer: int = 0
    """Width of the per-layer embeddings (Gemma 3n and 4)."""

    # Mixture of experts
    n_expert: int = 0
    n_expert_used: int = 0
    n_expert_shared: int = 0
    n_expert_groups: int = 0
    n_group_used: int = 0
    n_ff_exp: int = 0
    """Width of one expert; the largest where layers differ."""
    n_ff_shexp: int = 0
    """Width of all shared experts together."""
    n_layer_dense_lead: int = 0
    moe_latent_size: int = 0
    """Experts work on a projection of this width (Nemotron 3 Super); 0: on ``n_embd``."""

    # Sliding-window attention
    n_swa: int = 0
    swa_type: Literal["none", "standard", "chunked", "symmetric"] = "none"
    swa_layers: tuple[bool, ...] = ()
    """Which layers attend to the window only."""

    # Multi-head latent attention
    n_lora_q: int = 0
    n_lora_kv: int = 0
    n_embd_head_k_mla: int = 0
    n_embd_head_v_mla: int = 0

    # DeepSeek sparse attention and V4's compressed caches
    n_indexer_head: int = 0
    indexer_head_size: int = 0
    indexer_top_k: int = 0
    indexer_layers: tuple[bool, ...] = ()
    """Which layers own an indexer; the others reuse the choice of the one before."""
    compress_ratios: tuple[int, ...] = ()
    """Per layer, 0 where the layer has no compressed cache."""
    n_hash_layers: int = 0
    n_lora_o: int = 0
    n_o_groups: int = 0
    n_hyper_connections: int = 0

    # State-space, linear-attention and convolution layers
    recurrent_layers: tuple[bool, ...] = ()
    ssm_d_conv: int = 0
    ssm_d_inner: int = 0
    ssm_d_state: int = 0
    ssm_dt_rank: int = 0
    ssm_n_group: int = 0
    n_shortconv_l_cache: int = 0
    n_embd_head_kda: int = 0
    """Head size of Kimi's delta attention."""
    n_embd_head_la: int = 0
    """Head size of MiniMax' lightning attention."""
    wkv_head_size: int = 0
    token_shift_count: int = 0

    optional: frozenset[str] = frozenset()
    """Tensors that llama.cpp takes when the file has them and that this model does have, without
    block number: ``"output.weight"`` (untied embeddings), ``"attn_q.bias"``."""
    metadata: Mapping[str, Value] = field(default_factory=dict[str, Value], hash=False)
    """Metadata of the architecture without its prefix, as in a GGUF header:
    ``{"block_count": 36}``. What is needed to write a header that llama.cpp takes."""
    extra: Mapping[str, Scalar] = field(default_factory=dict[str, Scalar], hash=False)
    """Family-specific values that only that family's module reads."""

    @property
    def n_layer(self) -> int:
        """Layers of the trunk (llama-hparams.h:n_layer): all but the NextN layers."""
        return self.n_layer_all - self.n_layer_nextn

    def is_swa(self, il: int) -> bool:
        """Whether layer ``il`` attends to the sliding window only."""
        return bool(self.swa_layers) and self.swa_layers[il]

    def is_recurrent(self, il: int) -> bool:
        """Whether layer ``il`` keeps a state of fixed size."""
        return bool(self.recurrent_layers) and self.recurrent_layers[il]

    def has_kv(self, il: int) -> bool:
        """Whether layer ``il`` has K and V of its own (llama-hparams.cpp:has_kv)."""
        return self.n_layer_kv_from_start is None or il < self.n_layer_kv_from_start

    @property
    def is_mla(self) -> bool:
        """Multi-head latent attention: only K is kept, V is a view of it."""
        return self.n_embd_head_k_mla > 0 and self.n_embd_head_v_mla > 0

    def head_k(self, il: int) -> int:
        """Size of a K head of layer ``il``."""
        return (self.is_swa(il) and self.n_embd_head_k_swa) or self.n_embd_head_k

    def head_v(self, il: int) -> int:
        """Size of a V head of layer ``il``."""
        return (self.is_swa(il) and self.n_embd_head_v_swa) or self.n_embd_head_v

    def k_gqa(self, il: int) -> int:
        """Values of K per token in layer ``il`` (n_embd_k_gqa)."""
        return self.head_k(il) * self.n_head_kv[il]

    def v_gqa(self, il: int) -> int:
        """Values of V per token in layer ``il`` (n_embd_v_gqa)."""
        return self.head_v(il) * self.n_head_kv[il]

    @property
    def v_gqa_max(self) -> int:
        """The widest V of any layer (n_embd_v_gqa_max)."""
        return max((self.v_gqa(il) for il in range(self.n_layer_all)), default=0)

    @property
    def tied(self) -> bool:
        """Whether the output layer is the token embedding."""
        return "output.weight" not in self.optional
