"""Which fused ops a context uses, and the graph that follows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from advisor.llm.tensor import TYPES
from advisor.sizing.compute.backends import OFFLOAD_MIN_BATCH, device_supports
from advisor.sizing.compute.builder import Builder, Shape
from advisor.sizing.compute.hyper_connections import COMB, POST, PRE
from advisor.sizing.compute.layout import Selection
from advisor.sizing.compute.nodes import VIEW_OPS
from advisor.sizing.compute.pooling import pool
from advisor.sizing.compute.question import Question, Recipe, shape_of
from advisor.sizing.compute.scheduler import Scheduler


@dataclass(slots=True)
class Fusing:
    """Which fused ops a context uses (llama-context.cpp:resolve_fused_ops).

    Each is tried with one token per sequence: where one block's op does not land on the block's own
    device, no block uses it.
    """

    question: Question
    recipe: Recipe
    selection: Selection
    lengths: Sequence[int]
    flash: bool = True
    unfused: frozenset[str] = frozenset()

    def build(self, shape: Shape | None = None) -> Builder:
        """The graph of the reserved micro-batch, or of another."""
        shape = shape or shape_of(self.question, self.lengths, flash=self.flash)
        shape = replace(shape, unfused=self.unfused)
        recipe, placed = self.recipe, self.question.backends
        builder = Builder(recipe.hp, recipe.layout.tensors, shape, placed, self.selection)
        recipe.graph(builder)
        pool(builder)
        return builder

    def _strays(self) -> Builder:
        """The small graph, placed."""
        question, placed = self.question, self.question.backends
        shape = shape_of(question, self.lengths, flash=self.flash)
        shape = replace(shape, n_tokens=question.n_seqs, n_outputs=question.n_seqs)
        builder = self.build(shape)
        for node, il in builder.pinned:
            node.backend = placed.layers[il]
        Scheduler(question.rules, n_copies=question.n_copies).assign(builder.nodes, builder.leafs)
        return builder

    def _stays(self, builder: Builder) -> bool:
        """Whether flash attention is sure to land on its block's device in the small graph too.

        It follows what stores V in the block's own cache, which lies there already, and is taken
        along (passes 1 and 2). On the CPU no device takes it from behind either: what comes next
        multiplies by a weight in RAM, and is not worth copying for so few tokens.
        """
        question, layers = self.question, self.question.backends.layers
        scheduler = Scheduler(question.rules, n_copies=question.n_copies)
        few = question.n_seqs < OFFLOAD_MIN_BATCH
        nodes = [node for node in builder.nodes if node.op not in VIEW_OPS]
        at = {id(node): place for place, node in enumerate(nodes)}
        for node, il in builder.fused:
            place, home = at[id(node)], layers[il]
            before, after = nodes[place - 1], nodes[place + 1 : place + 2]
            if before.op != "SET_ROWS" or scheduler.home(before) != home:
                return False
            if not scheduler.supports(home, node):
                return False
            projects = few and after and after[0].op == "MUL_MAT"
            if home == question.backends.cpu and not (
                projects
                and after[0].src[0].name.endswith("attn_output.weight")
                and after[0].src[0].buffer == home
            ):
                return False
        return True

    def resolve(self) -> Builder:
        """Decide, and build the graph. A quantized V cache means flash attention
        (llama_init_from_model).
        """
        question, layers = self.question, self.question.backends.layers
        quantized_v = TYPES[question.ctv.upper()].block > 1
        strays: Builder | None = None
        made: Builder | None = None
        if question.flash == "off" or self.recipe.hp.arch == "grok":
            self.flash = False
        elif question.flash == "auto" and question.backends.cpu > 0 and not quantized_v:
            made = self.build()
            if question.simple:
                if all(
                    device_supports(node, rules)
                    for node, _ in made.fused
                    for rules in question.rules
                ):
                    return made
                self.flash = False
            elif not self._stays(made):
                strays = self._strays()
                if any(node.backend != layers[il] for node, il in strays.fused):
                    self.flash, strays = False, None
        if not question.simple and self.recipe.hp.n_hyper_connections:
            for op in (PRE, COMB, POST):
                strays = strays or self._strays()
                if any(node.backend != layers[il] for node, il in strays.hyper if node.op == op):
                    self.unfused |= {op}
                    strays = None
        if made is not None and self.flash and not self.unfused:
            return made
        return self.build()
