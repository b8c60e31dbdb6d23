"""InternLM 2, 2.5 and 3."""

from typing import ClassVar

from advisor.llm.architectures.transformer import Transformer


class InternLm2(Transformer):
    """llama.cpp: src/models/internlm2.cpp."""

    names = ("internlm2",)
    output = "must"
    square = True
    huggingface: ClassVar = {"InternLM2ForCausalLM": "internlm2"}
