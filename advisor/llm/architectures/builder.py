"""Tensor lists as llama.cpp expects them: names, shapes, and the parts that families share."""

from collections.abc import Sequence

from advisor.llm.hyperparameters import Hyperparameters

Shape = tuple[int, ...]
NamedShape = tuple[str, Shape]


class TensorList:
    """Collects the tensors of a model in the order of its blocks.

    ``optional`` tensors are added where the model has them; ``asked`` remembers every optional
    name that the architecture knows.
    """

    def __init__(self, hp: Hyperparameters) -> None:
        self.hp = hp
        self.items: list[NamedShape] = []
        self.asked: set[str] = set()

    def add(self, name: str, *shape: int) -> None:
        """A tensor that llama.cpp requires; the name carries its suffix."""
        self.items.append((name, shape))

    def optional(self, name: str, *shape: int) -> bool:
        """A tensor that only some models of the architecture have."""
        self.asked.add(name)
        if name not in self.hp.optional:
            return False
        self.items.append((name, shape))
        return True

    def block(self, il: int) -> "Block":
        """The tensors of block ``il``."""
        return Block(self, il)

    def embeddings(self, *, output_required: bool = False) -> None:
        """Token embedding, final norm and, where it is not tied to the embedding, the output."""
        hp = self.hp
        self.add("token_embd.weight", hp.n_embd, hp.n_vocab)
        self.add("output_norm.weight", hp.n_embd)
        if output_required:
            self.asked.add("output.weight")
            self.add("output.weight", hp.n_embd, hp.n_vocab)
        else:
            self.optional("output.weight", hp.n_embd, hp.n_vocab)

    def rope_freqs(self, n_rot: int) -> None:
        """Frequency factors, once for all layers; long and short ones for LongRoPE."""
        for name in ("rope_freqs", "rope_factors_long", "rope_factors_short"):
            self.optional(f"{name}.weight", n_rot // 2)


class Block:
    """The tensors of one block, with the parts that many families share."""

    def __init__(self, tensors: TensorList, il: int) -> None:
        self.list = tensors
        self.hp = tensors.hp
        self.il = il
        self.prefix = f"blk.{il}."

    def add(self, name: str, *shape: int) -> None:
        """A required tensor with its full suffix, for example ``"ssm_dt.bias"``."""
        self.list.items.append((self.prefix + name, shape))

    def weight(self, name: str, *shape: int) -> None:
        """A required ``.weight``."""
        self.list.items.append((f"{self.prefix}{name}.weight", shape))

    def bias(self, name: str, *shape: int) -> None:
        """A required ``.bias``."""
        self.list.items.append((f"{self.prefix}{name}.bias", shape))

    def optional(self, name: str, *shape: int) -> bool:
        """An optional tensor, asked for without its block number."""
        self.list.asked.add(name)
        if name not in self.hp.optional:
            return False
        self.list.items.append((self.prefix + name, shape))
        return True

    def norm(self, *names: str) -> None:
        """Norms of the width of the model."""
        for name in names:
            self.weight(name, self.hp.n_embd)

    def qkv(self, n_q: int | None = None, n_k: int | None = None, n_v: int | None = None) -> None:
        """Q, K and V, fused where the file fuses them (llama-model.cpp:create_tensor_qkv)."""
        hp = self.hp
        n_q = hp.head_k(self.il) * hp.n_head[self.il] if n_q is None else n_q
        n_k = hp.k_gqa(self.il) if n_k is None else n_k
        n_v = hp.v_gqa(self.il) if n_v is None else n_v
        fused = self.optional("attn_qkv.weight", hp.n_embd, n_q + n_k + n_v)
        if fused and self.optional("attn_qkv.bias", n_q + n_k + n_v):
            return
        for part, width in (("q", n_q), ("k", n_k), ("v", n_v)):
            if not fused:
                self.weight(f"attn_{part}", hp.n_embd, width)
            self.optional(f"attn_{part}.bias", width)

    def attention_out(self, n_in: int | None = None) -> None:
        """The output projection of attention, with its optional bias."""
        hp = self.hp
        n_in = hp.head_v(self.il) * hp.n_head[self.il] if n_in is None else n_in
        self.weight("attn_output", n_in, hp.n_embd)
        self.optional("attn_output.bias", hp.n_embd)

    def qk_norm(self, n_q: int | None = None, n_k: int | None = None) -> None:
        """Norms over Q and K heads."""
        head = self.hp.head_k(self.il)
        self.weight("attn_q_norm", head if n_q is None else n_q)
        self.weight("attn_k_norm", head if n_k is None else n_k)

    def gated_ffn(self, n_ff: int | None = None, *, biases: bool = False) -> None:
        """Gate, down and up of a dense layer."""
        n_embd = self.hp.n_embd
        n_ff = self.hp.n_ff[self.il] if n_ff is None else n_ff
        self.weight("ffn_gate", n_embd, n_ff)
        self.weight("ffn_down", n_ff, n_embd)
        self.weight("ffn_up", n_embd, n_ff)
        if biases:
            self.optional("ffn_gate.bias", n_ff)
            self.optional("ffn_down.bias", n_embd)
            self.optional("ffn_up.bias", n_ff)

    def router(self, n_expert: int | None = None) -> None:
        """The router of a mixture of experts."""
        self.weight("ffn_gate_inp", self.hp.n_embd, n_expert or self.hp.n_expert)

    def experts(self, n_ff: int | None = None, *, fusable: bool = False) -> None:
        """Gate, down and up of all experts; newer files may fuse gate and up."""
        hp = self.hp
        n_ff = hp.n_ff_exp if n_ff is None else n_ff
        fused = fusable and self.optional(
            "ffn_gate_up_exps.weight", hp.n_embd, 2 * n_ff, hp.n_expert
        )
        if not fused:
            self.weight("ffn_gate_exps", hp.n_embd, n_ff, hp.n_expert)
        self.weight("ffn_down_exps", n_ff, hp.n_embd, hp.n_expert)
        if not fused:
            self.weight("ffn_up_exps", hp.n_embd, n_ff, hp.n_expert)

    def shared_expert(self, n_ff: int | None = None) -> None:
        """Gate, down and up of the shared experts, which are one matrix."""
        n_ff = self.hp.n_ff_shexp if n_ff is None else n_ff
        self.weight("ffn_gate_shexp", self.hp.n_embd, n_ff)
        self.weight("ffn_down_shexp", n_ff, self.hp.n_embd)
        self.weight("ffn_up_shexp", self.hp.n_embd, n_ff)

    def nextn(self) -> None:
        """What a NextN (multi-token prediction) block has beyond a block of the trunk."""
        hp = self.hp
        self.weight("nextn.eh_proj", 2 * hp.n_embd, hp.n_embd)
        self.weight("nextn.enorm", hp.n_embd)
        self.weight("nextn.hnorm", hp.n_embd)
        self.optional("nextn.embed_tokens.weight", hp.n_embd, hp.n_vocab)
        self.optional("nextn.shared_head_head.weight", hp.n_embd, hp.n_vocab)
        self.optional("nextn.shared_head_norm.weight", hp.n_embd)

    def mla(self, n_rope: int) -> None:
        """Multi-head latent attention, Q and KV through their low ranks (deepseek2.cpp)."""
        hp = self.hp
        n_head = hp.n_head[self.il]
        head_k = hp.n_embd_head_k_mla or hp.n_embd_head_k
        head_v = hp.n_embd_head_v_mla or hp.n_embd_head_v
        if hp.n_lora_q:
            self.weight("attn_q_a_norm", hp.n_lora_q)
        self.weight("attn_kv_a_norm", hp.n_lora_kv)
        if hp.n_lora_q:
            self.weight("attn_q_a", hp.n_embd, hp.n_lora_q)
            self.weight("attn_q_b", hp.n_lora_q, n_head * head_k)
        else:
            self.weight("attn_q", hp.n_embd, n_head * head_k)
        self.weight("attn_kv_a_mqa", hp.n_embd, hp.n_lora_kv + n_rope)
        if hp.is_mla:
            self.weight("attn_k_b", head_k - n_rope, hp.n_lora_kv, n_head)
            self.weight("attn_v_b", hp.n_lora_kv, head_v, n_head)
        else:
            self.weight("attn_kv_b", hp.n_lora_kv, n_head * (head_k - n_rope + head_v))
        self.weight("attn_output", n_head * head_v, hp.n_embd)

    def mamba2(self, *, norm_required: bool = True) -> None:
        """A Mamba 2 mixer (mamba2.cpp)."""
        hp = self.hp
        conv = hp.ssm_d_inner + 2 * hp.ssm_n_group * hp.ssm_d_state
        n_head = hp.ssm_dt_rank
        self.weight("ssm_in", hp.n_embd, hp.ssm_d_inner + conv + n_head)
        self.weight("ssm_conv1d", hp.ssm_d_conv, conv)
        self.optional("ssm_conv1d.bias", conv)
        self.bias("ssm_dt", n_head)
        self.add("ssm_a", 1, n_head)
        self.add("ssm_d", 1, n_head)
        norm = (hp.ssm_d_inner // hp.ssm_n_group, hp.ssm_n_group)
        if norm_required:
            self.weight("ssm_norm", *norm)
        else:
            self.optional("ssm_norm.weight", *norm)
        self.weight("ssm_out", hp.ssm_d_inner, hp.n_embd)


def stripped(name: str) -> str:
    """A tensor's name without its block number: ``"attn_q.bias"``."""
    if not name.startswith("blk."):
        return name
    return name.partition(".")[2].partition(".")[2]


def bare_names(tensors: Sequence[NamedShape]) -> frozenset[str]:
    """All names without their block numbers."""
    return frozenset(stripped(name) for name, _ in tensors)
