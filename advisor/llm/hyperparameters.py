"""A model's hyperparameters under llama.cpp's names, whatever they were read from."""

from dataclasses import dataclass, field


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

    # Mixture of experts
    n_expert: int = 0
    n_expert_used: int = 0
    n_expert_shared: int = 0
    n_ff_exp: int = 0
    n_ff_shexp: int = 0
    n_layer_dense_lead: int = 0

    # Sliding-window attention
    n_swa: int = 0
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

    extra: dict[str, int | float | str | bool] = field(default_factory=dict)
    """Family-specific values that only that family's module reads."""

    @property
    def n_layer(self) -> int:
        """Layers of the trunk (llama-hparams.h:n_layer): all but the NextN layers."""
        return self.n_layer_all - self.n_layer_nextn
