"""ChatGLM 3, GLM-4 9B and CodeGeeX 4."""

from collections.abc import Iterable
from typing import ClassVar

from advisor.llm.architectures.config import Config
from advisor.llm.architectures.transformer import QKV_BIASES, Transformer
from advisor.llm.hyperparameters import Value


class ChatGlm(Transformer):
    """llama.cpp: src/models/chatglm.cpp; gate and up are one matrix."""

    names = ("chatglm",)
    square = True
    gate = "packed"
    huggingface: ClassVar = {
        "ChatGLMModel": "chatglm",
        "ChatGLMForConditionalGeneration": "chatglm",
        "GlmForCausalLM": "chatglm",
    }

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        for name in ("attention.key_length", "attention.value_length"):
            keys.pop(name, None)
        n_head = config.integer("num_attention_heads")
        keys |= {
            "context_length": config.integer("seq_length", "max_position_embeddings"),
            "feed_forward_length": config.integer("ffn_hidden_size", "intermediate_size"),
            "vocab_size": config.integer("padded_vocab_size", "vocab_size"),
            "attention.head_count_kv": config.integer(
                "multi_query_group_num", "num_key_value_heads", default=n_head
            ),
            "rope.dimension_count": config.integer("hidden_size") // n_head // 2,
        }
        optional = set[str](super().convert(config, keys))
        if config.get("padded_vocab_size") is None:
            return optional | QKV_BIASES
        return optional | {"attn_qkv.weight", "attn_qkv.bias"}
