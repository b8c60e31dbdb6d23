"""Whether a graph has more tensors than llama.cpp makes room for, over which it ends itself.

The scheduler keeps every node and leaf of a graph in a table that does not grow, made for a number
of tensors per weight of the model (llama-context.cpp:graph_max_nodes, ggml-backend.cpp:
ggml_backend_sched_new). Rotated caches and slots with a cache each add nodes, but no weights.
"""

from dataclasses import replace
from functools import lru_cache
from typing import Final

from advisor.llm.model import Model
from advisor.sizing import memory
from advisor.sizing.compute.fusing import Fusing
from advisor.sizing.compute.graphs import graph_of
from advisor.sizing.compute.kinds import everything
from advisor.sizing.compute.layout import layout
from advisor.sizing.compute.question import Question, Recipe, question_of
from advisor.sizing.compute.traces import CONTRADICTIONS
from advisor.sizing.placement import HOST, Placement
from advisor.sizing.settings import RunSettings

_GENEROUS: Final = frozenset({
    "bailingmoe3", "clef", "deepseek4", "dflash", "glm5-next", "hrm_text", "hy_v4", "kimi-k3",
    "kimi-linear", "minimax-01", "minimax-m3", "nanbeige", "qwen35", "qwen35moe", "qwen3next",
    "qwen4exp",
})  # fmt: skip
"""Architectures with four times the room or more, which no graph fills."""
_LEAST: Final = 1024
_PER_WEIGHT: Final = 8
_MOST_USED: Final = 10
"""Nodes and leafs per weight that no other graph reaches (DBRX: 9.3)."""


_SIZES: Final = (1031, 2053, 4099, 8209, 16411, 32771, 65537, 131101, 262147, 524309)
"""Sizes of tables: primes after powers of two (ggml.c:ggml_hash_size)."""


def overflows(model: Model, settings: RunSettings) -> bool:
    """Whether llama.cpp would end itself over the first graph that it tries for these settings.

    That is the one of a token per slot, with flash attention unless it is off
    (llama-context.cpp:resolve_fused_ops); devices hardly change its size. False where the graph is
    not known.
    """
    hp = model.hp
    if hp is None or hp.arch in _GENEROUS or settings.ctx_type == "mtp":
        return False
    tied = all(tensor.name != "output.weight" for tensor in model.tensors)
    wanted = max(_LEAST, _PER_WEIGHT * (len(model.tensors) + tied))
    places = next((size for size in _SIZES if size >= wanted), wanted)
    if places >= _MOST_USED * len(model.tensors):
        return False
    graph, rule = graph_of(hp.arch, settings.ctx_type), memory.memory_rule(model, settings)
    if graph is None or rule is None:
        return False
    made = layout(model)
    placement = Placement(layer_device=(HOST,) * (hp.n_layer_all + 1))
    try:
        pooling = memory.pooling(model, settings)
        question, _ = question_of(made, rule, settings, placement, (), (), pooling=pooling)
        slots = question.n_seqs
        first = replace(question, n_tokens=slots, n_outputs=slots)
        return _count(first, Recipe(hp, graph, made)) > places
    except CONTRADICTIONS:
        return False


@lru_cache(maxsize=512)
def _count(question: Question, recipe: Recipe) -> int:
    """Nodes and leafs, of which there are as many however long the context is."""
    lengths = (memory.PADDING,) * (len(question.caches) + 1)
    every = everything(question, recipe).selection
    flash = question.flash != "off"
    builder = Fusing(question, recipe, every, lengths, flash=flash).build()
    return len(builder.nodes) + len(builder.leafs)
