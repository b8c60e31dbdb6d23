"""Language models as lists of tensors: GGUF files, catalogue, architectures, file types."""

from advisor.llm.open import load, open_gguf

__all__ = ["load", "open_gguf"]
