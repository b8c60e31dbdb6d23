"""MiniMax' lightning attention: linear attention over a micro-batch and a state per head.

models/minimax-01.cpp.
"""

from advisor.sizing.compute import ops
from advisor.sizing.compute.builder import Builder
from advisor.sizing.compute.nodes import F32, Node
from advisor.sizing.compute.recurrent import StateInput, load_state, state


class Lightning:
    """Inputs of all lightning blocks (llm_graph_input_la), and one block."""

    def __init__(self, b: Builder, states: StateInput) -> None:
        self.b, self.states = b, states
        heads, n_seqs = b.hp.n_head[0], b.shape.n_seqs
        tokens = b.n_tokens // n_seqs
        self._slopes = b.input(F32, heads)
        self._q_decay = b.input(F32, 1, heads, tokens, n_seqs)
        self._k_decay = b.input(F32, 1, heads, tokens, n_seqs)
        self._within = b.input(F32, tokens, tokens, heads, n_seqs)

    def __call__(self, cur: Node, il: int) -> Node:
        """Attention of one block, gated and projected."""
        b, size = self.b, self.b.hp.n_embd_head_k
        heads, n_seqs = b.hp.n_head[il], b.shape.n_seqs
        tokens = b.n_tokens // n_seqs
        b.expand(load_state(b, self.states, state(b, "r", il, 0)))
        rate = ops.scale(self._slopes)
        cur = ops.reshape(cur, cur.ne[0], tokens, 1, n_seqs)
        mixed = ops.unary("silu", ops.mul_mat(b.weight("attn_qkv", il), cur))
        mixed = ops.reshape(mixed, 3 * size, heads, tokens, n_seqs)
        q, k, v = (
            ops.view(mixed, (size, heads, tokens, n_seqs), mixed.nb[1:], i * size * 4)
            for i in range(3)
        )
        memory = state(b, "s", il, size * size * heads)
        before = ops.reshape(load_state(b, self.states, memory), size, size, heads, n_seqs)
        decays = [
            ops.unary("exp", ops.scale(given))
            for given in (self._q_decay, self._k_decay, self._within)
        ]
        older = ops.mul_mat(before, ops.permute(ops.mul(q, decays[0]), 0, 2, 1, 3))
        scores = ops.mul_mat(ops.permute(k, 0, 2, 1, 3), ops.permute(q, 0, 2, 1, 3))
        values = ops.cont(ops.permute(v, 1, 2, 0, 3))
        found = ops.add(older, ops.mul_mat(values, ops.mul(scores, decays[2])))
        b.expand(found)
        decay = ops.reshape(ops.unary("exp", ops.scale(rate)), 1, 1, heads)
        kept = ops.mul(before, decay)
        keys = ops.cont(ops.permute(ops.mul(k, decays[1]), 1, 2, 0, 3))
        after = ops.add(kept, ops.mul_mat(keys, values))
        target = ops.view(memory, (size * size * heads * n_seqs, 1, 1, 1))
        b.expand(ops.copy_to(after, target))
        found = ops.cont(ops.permute(found, 0, 2, 1, 3))
        found = ops.reshape(found, size * heads, tokens, 1, n_seqs)
        found = b.norm(found, "attn_norm_2", il)
        gate = ops.unary("sigmoid", ops.mul_mat(b.weight("attn_gate", il), cur))
        out = ops.mul_mat(b.weight("attn_output", il), ops.mul(gate, found))
        return ops.reshape(out, out.ne[0], b.n_tokens)
