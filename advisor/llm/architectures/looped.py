"""Models whose blocks run several times over: each time with K and V of its own."""

from collections.abc import Iterable
from typing import Any, ClassVar

from advisor.llm.architectures.base import check_layers
from advisor.llm.architectures.builder import Block, TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.keys import Keys
from advisor.llm.architectures.transformer import Transformer
from advisor.llm.hyperparameters import Value


class Nanbeige(Transformer):
    """llama.cpp: src/models/nanbeige.cpp; Llama's blocks, all of them in every loop."""

    names = ("nanbeige",)
    rope_freqs = True
    huggingface: ClassVar = {"NanbeigeForCausalLM": "nanbeige"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        loops = max(keys.integer("num_loops", 1), 1)
        hp["n_block"] = hp["n_layer_all"]
        hp["n_layer_all"] *= loops
        check_layers(hp["n_layer_all"])
        for name in ("n_head", "n_head_kv", "n_ff"):
            hp[name] *= loops

    def build(self, t: TensorList) -> None:
        self.ends(t)
        for il in range(int(t.hp.extra["n_block"])):
            b = t.block(il)
            self.norms(b, self.attention_norms)
            self.attention(b)
            self.norms(b, self.ffn_norms)
            self.feed_forward(b)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        keys["num_loops"] = config.integer("num_loops", default=1) or 1
        keys["skip_loop_final_norm"] = config.flag("skip_loop_final_norm")
        return super().convert(config, keys)


class HrmText(Transformer):
    """llama.cpp: src/models/hrm-text.cpp; a low stack runs a few times, then a high one, again.

    ``block_count`` counts how often a block runs; the file has those of both stacks.
    """

    names = ("hrm_text",)
    attention_norms = ()
    ffn_norms = ()
    huggingface: ClassVar = {"HrmTextForCausalLM": "hrm_text"}

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        hp["n_stack"] = stack = keys.integer("hrm.layers_per_stack")
        hp["high_cycles"] = high = keys.integer("hrm.h_cycles")
        hp["low_cycles"] = low = keys.integer("hrm.l_cycles")
        hp["n_block"] = 2 * stack
        if stack * high * (low + 1) != hp["n_layer_all"] or 2 * stack > hp["n_layer_all"]:
            raise ValueError("stacks and cycles do not make the number of blocks")

    def ends(self, t: TensorList) -> None:
        t.add("token_embd.weight", t.hp.n_embd, t.hp.n_vocab)
        t.optional("output.weight", t.hp.n_embd, t.hp.n_vocab)
        t.add("hrm.z_l_init", t.hp.n_embd)

    def build(self, t: TensorList) -> None:
        self.ends(t)
        for il in range(int(t.hp.extra["n_block"])):
            b = t.block(il)
            self.attention(b)
            self.feed_forward(b)

    def attention(self, b: Block) -> None:
        super().attention(b)
        b.weight("attn_gate", b.hp.n_embd, b.hp.n_embd_head_k * b.hp.n_head[b.il])

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        # Configs as trained give the blocks of one stack as all of them (conversion/hrm_text.py).
        stack = config.integer("num_layers_per_stack", "num_hidden_layers")
        high, low = config.integer("H_cycles"), config.integer("L_cycles")
        keys |= {
            "block_count": stack * high * (low + 1),
            "hrm.layers_per_stack": stack,
            "hrm.h_cycles": high,
            "hrm.l_cycles": low,
            "hrm.prefix_lm": config.flag("prefix_lm"),
            "embedding_scale": config.number("embedding_scale", default=1.0),
            "rope.dimension_count": config.head,
        }
        return super().convert(config, keys)
