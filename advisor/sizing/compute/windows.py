"""Caches of models whose layers alternate between full attention and a sliding window."""

from advisor.sizing.compute.attention import AttentionInput, attention_input
from advisor.sizing.compute.builder import Builder


class Windows:
    """Inputs of the two caches (build_attn_inp_kv_iswa), or of one where nothing slides."""

    def __init__(self, b: Builder, layers: list[int] | None = None) -> None:
        hp = b.hp
        chosen = layers if layers is not None else list(range(hp.n_layer))
        self._hp = hp
        self.two = hp.swa_type != "none"
        if not self.two:
            self._base = self._swa = attention_input(b, "attn", chosen)
            return
        own = [il for il in chosen if hp.has_kv(il)] or chosen
        self._base = attention_input(b, "base", [il for il in own if not hp.is_swa(il)])
        self._swa = attention_input(b, "swa", [il for il in own if hp.is_swa(il)])

    def of(self, il: int) -> AttentionInput:
        """The cache of a block."""
        return self._swa if self._hp.is_swa(il) else self._base
