"""How many kernels a block starts: the table in resources/speed.json against llama.cpp's graph."""

from dataclasses import replace

import pytest

from advisor.engine.accuracy import one_per_architecture
from advisor.llm.model import Model
from advisor.sizing import memory
from advisor.sizing import speed_sums as sums
from advisor.sizing.compute.fusing import Fusing
from advisor.sizing.compute.graphs import graph_of
from advisor.sizing.compute.kinds import everything
from advisor.sizing.compute.layout import layout
from advisor.sizing.compute.question import Recipe, question_of
from advisor.sizing.placement import HOST, Placement
from advisor.sizing.settings import RunSettings
from advisor.sizing.speed_data import speed_data

USUAL = {
    sums.MATRICES: 1.6,
    sums.NORMS: 2.1,
    sums.VECTORS: 0.8,
    sums.ATTENTION: 4.1,
    sums.MOE: 15.7,
    sums.CONV: 10.2,
    sums.SCAN: 16.8,
    sums.DELTA: 33.1,
    sums.MLA: 1.2,
}
"""Kernels of what blocks hold, by least squares over all architectures but those of the table."""
SILENT = {"VIEW", "RESHAPE", "PERMUTE", "TRANSPOSE", "NONE"}
"""Operations that compute nothing."""


def kernels(model: Model) -> int | None:
    """Kernels of one token's graph; None where the graph is not known."""
    hp, settings = model.hp, RunSettings(ctx=4096, flash_attn="on")
    assert hp is not None
    graph, rule = graph_of(hp.arch, settings.ctx_type), memory.memory_rule(model, settings)
    if graph is None or rule is None:
        return None
    made = layout(model)
    nowhere = Placement(layer_device=(HOST,) * (hp.n_layer_all + 1))
    question, _ = question_of(made, rule, settings, nowhere, (), ())
    recipe = Recipe(hp, graph, made)
    one = replace(question, n_tokens=1, n_outputs=1)
    lengths = (memory.PADDING,) * (len(one.caches) + 1)
    every = everything(one, recipe).selection
    nodes = Fusing(one, recipe, every, lengths, flash=True).build().nodes
    return sum(node.op not in SILENT for node in nodes)


def beyond(model: Model) -> tuple[float, float] | None:
    """Kernels per block that the usual ones do not explain; and all of them."""
    count, known = kernels(model), sums.model_sums(model)
    if count is None or known is None or model.hp is None:
        return None
    told = known.layers.sum(axis=0)
    usual = sum(float(told[column]) * each for column, each in USUAL.items())
    return (count - usual) / model.hp.n_layer, count / model.hp.n_layer


def test_the_table_names_the_blocks_that_start_many_kernels():
    wrong: list[str] = []
    seen = 0
    for entry in one_per_architecture(1000):
        found = beyond(entry.model(entry.suggested_file_type))
        if found is None:
            continue
        seen += 1
        more, every = found
        told = speed_data().launches.extra.get(entry.arch)
        right = more < 0.17 * every if told is None else told == pytest.approx(more, rel=0.1)
        if not right:
            wrong.append(f"{entry.arch}: {more:.2f} of {every:.2f}, told {told}")
    assert seen >= 90
    assert not wrong
