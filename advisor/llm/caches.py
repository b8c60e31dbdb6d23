"""What a model keeps per token and per sequence: the shape of its KV caches and recurrent state.

This is the rule; ``advisor.sizing`` turns it into bytes for given settings.
"""

from dataclasses import dataclass
from typing import Literal

Cells = Literal["full", "window", "compressed"]


@dataclass(frozen=True, slots=True)
class CacheRule:
    """One cache of llama.cpp. ``layers``, ``k_width`` and ``v_width`` run in parallel.

    cells: ``full`` one cell per context position; ``window`` as many as the sliding window needs
    (``span`` = n_swa); ``compressed`` one per ``span`` positions (DeepSeek V4's CSA and HCA).
    """

    kind: str
    """llama.cpp's part: attn, base, swa, raw_base, raw_swa, csa, hca, lid …"""
    layers: tuple[int, ...]
    k_width: tuple[int, ...]
    """Values of K per cell and layer (n_embd_k_gqa)."""
    v_width: tuple[int, ...]
    """Values of V per cell and layer; 0 where V is a view of K (MLA)."""
    cells: Cells = "full"
    span: int = 0
    lent: bool = False
    """It is that of the model that this one drafts for, and counts there."""
    always_per_sequence: bool = False
    """One stream per sequence even with a unified KV cache (DeepSeek V4)."""


@dataclass(frozen=True, slots=True)
class StateRule:
    """State of fixed size per sequence, F32: recurrent layers, or V4's compressor."""

    kind: str
    layers: tuple[int, ...]
    values: tuple[int, ...]
    """F32 values per layer, sequence and snapshot (n_embd_r + n_embd_s)."""


@dataclass(frozen=True, slots=True)
class MemoryRule:
    """Everything a context of this model allocates."""

    caches: tuple[CacheRule, ...]
    states: tuple[StateRule, ...] = ()
    v_width_max: int = 0
    """Where layers differ in V, every layer takes this width when flash attention is off
    (llama-kv-cache.cpp, TAG_V_CACHE_VARIABLE)."""
    mtp: tuple[CacheRule, ...] = ()
    """What a draft (MTP) context of the same model keeps: its NextN layers only."""
    rollback: bool = False
    """Whether the states can be rolled back, and so are kept once more per drafted token
    (llama-arch.cpp:llm_arch_supports_rs_rollback)."""
    every_row: bool = False
    """Every token of a batch has its row of logits, whatever is asked for, since it may encode
    before it decodes (llama-context.cpp, llama-model.cpp:llama_model_has_encoder)."""
    diffuses: bool = False
    """It refines a whole text step by step and keeps nothing from one step to the next."""

    @property
    def keeps(self) -> bool:
        """Whether it keeps anything; encoders and what diffuses do not."""
        return bool(self.caches or self.states)
