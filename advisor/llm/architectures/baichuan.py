"""Baichuan 1 and 2."""

from typing import ClassVar

from advisor.llm.architectures.transformer import Transformer


class Baichuan(Transformer):
    """llama.cpp: src/models/baichuan.cpp; the 13B has ALiBi in place of a rotation."""

    names = ("baichuan",)
    output = "must"
    square = True
    huggingface: ClassVar = {"BaichuanForCausalLM": "baichuan", "BaiChuanForCausalLM": "baichuan"}
