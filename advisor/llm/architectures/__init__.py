"""Architectures of llama.cpp: hyperparameters → tensors, caches and states. One file per family.

Source of every shape and rule: llama.cpp b11434, the file that each class names.
"""

from advisor.llm.architectures.base import Architecture
from advisor.llm.architectures.registry import architecture, from_config, names

__all__ = ["Architecture", "architecture", "from_config", "names"]
