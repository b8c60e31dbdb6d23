"""The transformer that most families are, described by what they have beside Llama's parts.

A new family of this kind is a file with the declarations below, and one of the methods where a
part of the block is the family's own. Its graph is a ``Style`` of advisor.sizing.compute.
"""

from collections.abc import Iterable
from typing import ClassVar, Literal

from advisor.llm.architectures.base import Architecture
from advisor.llm.architectures.builder import Block, TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.caches import MemoryRule
from advisor.llm.hyperparameters import Hyperparameters, Value

QKV_BIASES = frozenset({"attn_q.bias", "attn_k.bias", "attn_v.bias"})


class Transformer(Architecture):
    """Blocks of attention and a feed-forward network; as it stands, Llama's without experts."""

    output: ClassVar[Literal["may", "must", "never"]] = "may"
    """Whether the output matrix is a tensor of its own, or the embeddings."""
    positions: ClassVar[Literal["never", "may", "must"]] = "never"
    """Whether positions are learned vectors."""
    layer_norm: ClassVar[bool] = False
    """Norms subtract the mean."""
    rope_freqs: ClassVar[bool] = False
    biases: ClassVar[frozenset[str]] = frozenset()
    """Norms and matrices that have a bias, the choice of experts (``exp_probs_b``) included; those
    of Q, K and V apart are asked for anyway."""
    possible_biases: ClassVar[frozenset[str]] = frozenset()
    written: ClassVar[frozenset[str]] = frozenset()
    """Optional tensors that llama.cpp's converter writes for every model of the family."""

    attention_norms: ClassVar[tuple[str, ...]] = ("attn_norm",)
    square: ClassVar[bool] = False
    """Q and the result of attention are as wide as the model, whatever the size of a head."""
    fused: ClassVar[bool] = False
    """Q, K and V are always one matrix."""
    head_norms: ClassVar[bool] = False
    """Q and K are normalised head by head."""
    ffn_norms: ClassVar[tuple[str, ...]] = ("ffn_norm",)
    """Norms between attention and the feed-forward network."""
    gate: ClassVar[Literal["apart", "packed", "none"]] = "apart"
    """The feed-forward network's gate: a matrix, one with up, or none."""
    last_norms: ClassVar[tuple[str, ...]] = ()
    """Norms behind the feed-forward network."""
    has_nextn: ClassVar[bool] = False
    """Blocks of multi-token prediction follow the trunk."""

    def build(self, t: TensorList) -> None:
        self.ends(t)
        for il in range(t.hp.n_layer_all if self.has_nextn else t.hp.n_layer):
            b = t.block(il)
            self.norms(b, self.attention_norms)
            self.attention(b)
            self.norms(b, self.ffn_norms)
            self.feed_forward(b)
            self.norms(b, self.last_norms)
            if il >= t.hp.n_layer:
                self.nextn(b)

    def ends(self, t: TensorList) -> None:
        """Embeddings, final norm, output, and what all blocks share."""
        hp = t.hp
        if self.output == "never":
            t.add("token_embd.weight", hp.n_embd, hp.n_vocab)
            t.add("output_norm.weight", hp.n_embd)
        else:
            t.embeddings(output_required=self.output == "must")
        for name, width in (("output_norm", hp.n_embd), ("output", hp.n_vocab)):
            if name in self.biases:
                t.add(f"{name}.bias", width)
            elif name in self.possible_biases:
                t.optional(f"{name}.bias", width)
        if self.positions == "must":
            t.add("position_embd.weight", hp.n_embd, hp.n_ctx_train)
        elif self.positions == "may":
            t.optional("position_embd.weight", hp.n_embd, hp.n_ctx_train)
        if self.rope_freqs:
            t.rope_freqs(hp.n_rot)

    def norms(self, b: Block, names: Iterable[str]) -> None:
        """Norms of the width of the model."""
        for name in names:
            b.norm(name)
            self.bias(b, name, b.hp.n_embd)

    def matrix(self, b: Block, name: str, n_in: int, n_out: int) -> None:
        """A matrix and its bias."""
        b.weight(name, n_in, n_out)
        self.bias(b, name, n_out)

    def bias(self, b: Block, name: str, width: int) -> None:
        """The bias of a norm or matrix, where the family has it."""
        if name in self.biases:
            b.bias(name, width)
        elif name in self.possible_biases:
            b.optional(f"{name}.bias", width)

    def attention(self, b: Block) -> None:
        """Projections of attention."""
        hp, il = b.hp, b.il
        n_q = hp.n_embd if self.square else hp.n_embd_head_k * hp.n_head[il]
        if self.fused:
            self.matrix(b, "attn_qkv", hp.n_embd, n_q + hp.k_gqa(il) + hp.v_gqa(il))
        else:
            b.qkv(n_q if self.square else None)
        self.matrix(b, "attn_output", n_q, hp.n_embd)
        if self.head_norms:
            b.qk_norm()

    def feed_forward(self, b: Block) -> None:
        """The dense network, or experts behind the leading dense blocks of a model with some."""
        if not b.hp.n_expert or b.il < b.hp.n_layer_dense_lead:
            self.dense(b, b.hp.n_ff[b.il])
        else:
            self.routed(b)

    def routed(self, b: Block) -> None:
        """Router, experts and, where the model has them, shared experts."""
        b.router()
        self.bias(b, "exp_probs_b", b.hp.n_expert)
        b.experts()
        if b.hp.n_ff_shexp:
            b.shared_expert()

    def dense(self, b: Block, n_ff: int) -> None:
        """Gate where there is one, down and up."""
        n_embd = b.hp.n_embd
        if self.gate == "apart":
            self.matrix(b, "ffn_gate", n_embd, n_ff)
        self.matrix(b, "ffn_down", n_ff, n_embd)
        self.matrix(b, "ffn_up", n_embd, 2 * n_ff if self.gate == "packed" else n_ff)

    def nextn(self, b: Block) -> None:
        """What a block of multi-token prediction has beyond a block of the trunk."""
        b.nextn()

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        if self.layer_norm:
            keys["attention.layer_norm_epsilon"] = config.number(
                "layer_norm_eps", "layer_norm_epsilon", "norm_epsilon", "norm_eps", default=1e-5
            )
        optional = set(self.written)
        if self.output == "must":
            optional.add("output.weight")
        elif self.output == "may":
            optional.update(super().convert(config, keys))
        if self.rope_freqs and config.rope.text("rope_type", "type") == "llama3":
            optional.add("rope_freqs.weight")
        return optional


class Encoder(Transformer):
    """A transformer that reads a whole text at once: it keeps no K and V, and writes none."""

    output = "never"

    def memory(self, hp: Hyperparameters) -> MemoryRule:
        del hp
        return MemoryRule(caches=())

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["attention.causal"] = False
        return super().convert(config, keys)
