"""Layers that keep a state of fixed size: Mamba 2 and the gated delta rule.

llama-graph.cpp:build_rs, models/mamba-base.cpp, models/delta-net-base.cpp.
"""

from collections.abc import Callable
from dataclasses import dataclass

from advisor.sizing.compute import ops
from advisor.sizing.compute.builder import Builder
from advisor.sizing.compute.nodes import F32, I32, Node


@dataclass(slots=True)
class StateInput:
    """Which state each sequence continues (llm_graph_input_rs)."""

    copy: Node
    main: Node
    tail: Node


def state_input(b: Builder) -> StateInput:
    """Inputs of the recurrent state."""
    slots = b.shape.n_seqs
    copy = b.input(I32, slots)
    return StateInput(
        copy=copy,
        main=ops.view(copy, (slots, 1, 1, 1)),
        tail=ops.view(copy, (slots - 1, 1, 1, 1), (), 4),
    )


def state(b: Builder, which: str, il: int, width: int) -> Node:
    """State tensor of a block, one row per sequence and snapshot."""
    rows = b.shape.n_seqs * (1 + b.shape.n_rs_seq)
    return b.memory(f"state.{which}", il, F32, (width, rows, 1))


def load_state(
    b: Builder,
    inp: StateInput,
    memory: Node,
    read: Callable[[Node, Node], Node] | None = None,
) -> Node:
    """Bring the sequences' states together (build_rs)."""
    width, n_seqs = memory.ne[0], b.shape.n_seqs
    ids = inp.tail if read is not None else inp.copy
    states = ops.reshape(memory, width, memory.ne[1])
    cleared = ops.view(states, (width, 1, 1, 1))
    b.expand(ops.view_as("SCALE", cleared))
    gathered = ops.get_rows(states, ids)
    if read is not None:
        found = read(states, inp.main)
    else:
        found = ops.view(gathered, (width, n_seqs, 1, 1), (gathered.nb[1],))
    b.expand(found)
    skipped = n_seqs - ids.ne[0]
    rest = ops.view(gathered, (width, 0, 1, 1), (gathered.nb[1],), (n_seqs - skipped) * width * 4)
    target = ops.view(memory, (width, 0, 1, 1), (memory.nb[1],), n_seqs * memory.nb[1])
    b.expand(ops.copy_to(rest, target))
    return found


def _snapshots(b: Builder) -> int:
    return b.shape.n_rs_seq + 1


def mamba2(b: Builder, inp: StateInput, cur: Node, il: int) -> Node:
    """State-space duality layer (build_mamba2_layer)."""
    hp = b.hp
    conv_size, inner, d_state = hp.ssm_d_conv, hp.ssm_d_inner, hp.ssm_d_state
    heads, groups = hp.ssm_dt_rank, hp.ssm_n_group
    size = inner // heads
    n_seqs = b.shape.n_seqs
    tokens = b.n_tokens // n_seqs
    channels = inner + 2 * groups * d_state
    conv_all = state(b, "r", il, (conv_size - 1) * channels)
    ssm_all = state(b, "s", il, d_state * inner)
    conv = ops.reshape(load_state(b, inp, conv_all), conv_size - 1, channels, n_seqs)
    mixed = ops.mul_mat(b.weight("ssm_in", il), cur)
    mixed = ops.reshape(mixed, mixed.ne[0], tokens, n_seqs)
    row, seq = mixed.nb[1], mixed.nb[2]
    z = ops.view(mixed, (size, heads, tokens, n_seqs), (size * 4, row, seq))
    x_bc = ops.view(mixed, (channels, tokens, n_seqs, 1), (row, seq), inner * 4)
    dt = ops.view(
        mixed, (heads, tokens, n_seqs, 1), (row, seq), (2 * inner + 2 * groups * d_state) * 4
    )
    joined = ops.concat(conv, ops.transpose(x_bc), 0)
    for slot in range(min(tokens, _snapshots(b))):
        last = ops.view(
            joined, (conv_size - 1, channels, n_seqs, 1), joined.nb[1:3], (tokens - slot) * 4
        )
        target = ops.view(
            conv_all, (conv_all.ne[0], n_seqs, 1, 1), (conv_all.nb[1],),
            slot * n_seqs * conv_all.nb[1],
        )  # fmt: skip
        b.expand(ops.copy_to(last, target))
    x_bc = ops.ssm_conv(joined, b.weight("ssm_conv1d", il))
    x_bc = ops.unary("silu", ops.add(x_bc, b.weight("ssm_conv1d", il, "bias")))
    row, seq = x_bc.nb[1], x_bc.nb[2]
    x = ops.view(x_bc, (size, heads, tokens, n_seqs), (size * 4, row, seq))
    shape = (d_state, groups, tokens, n_seqs)
    b_in = ops.view(x_bc, shape, (d_state * 4, row, seq), inner * 4)
    c_out = ops.view(x_bc, shape, (d_state * 4, row, seq), (inner + groups * d_state) * 4)
    dt = ops.add(ops.cont(dt), b.weight("ssm_dt", il, "bias"))
    a = b.weight("ssm_a", il, "")

    def scan(states: Node, ids: Node) -> Node:
        ssm = ops.reshape(states, d_state, size, heads, ssm_all.ne[1])
        return ops.ssm_scan(ssm, x, dt, a, b_in, c_out, ids, snapshots=_snapshots(b))

    y = load_state(b, inp, ssm_all, scan)
    width = d_state * inner
    written = min(tokens, _snapshots(b))
    new_states = ops.view(
        y, (width, n_seqs, written, 1), (width * 4, width * 4 * n_seqs), inner * tokens * n_seqs * 4
    )
    target = ops.view(ssm_all, (width, n_seqs, written, 1), (ssm_all.nb[1], n_seqs * width * 4))
    b.expand(ops.copy_to(new_states, target))
    token = heads * x.nb[1]
    y = ops.view(y, (size, heads, tokens, n_seqs), (x.nb[1], token, tokens * token))
    y = ops.add(y, ops.mul(x, b.weight("ssm_d", il, "")))
    y = ops.glu("swiglu", ops.cont(z), y)
    if b.has("ssm_norm", il):
        y = b.norm(ops.reshape(y, inner // groups, groups, tokens, n_seqs), "ssm_norm", il)
    y = ops.reshape(y, inner, tokens * n_seqs)
    return ops.mul_mat(b.weight("ssm_out", il), y)


def mamba1(b: Builder, inp: StateInput, cur: Node, il: int) -> Node:
    """Selective state-space layer (build_mamba_layer)."""
    hp = b.hp
    taps, inner, d_state = hp.ssm_d_conv - 1, hp.ssm_d_inner, hp.ssm_d_state
    rank, n_seqs = hp.ssm_dt_rank, b.shape.n_seqs
    tokens = b.n_tokens // n_seqs
    conv_all = state(b, "r", il, taps * inner)
    ssm_all = state(b, "s", il, d_state * inner)
    conv = ops.reshape(load_state(b, inp, conv_all), taps, inner, n_seqs)
    cur = ops.reshape(cur, cur.ne[0], tokens, n_seqs)
    mixed = ops.mul_mat(b.weight("ssm_in", il), cur)
    shape = (inner, tokens, n_seqs, 1)
    x = ops.view(mixed, shape, mixed.nb[1:3])
    z = ops.view(mixed, shape, mixed.nb[1:3], inner * 4)
    joined = ops.concat(conv, ops.transpose(x), 0)
    last = ops.view(joined, (taps, inner, n_seqs, 1), joined.nb[1:3], tokens * 4)
    target = ops.view(conv_all, (taps * inner * n_seqs, 1, 1, 1))
    b.expand(ops.copy_to(last, target))
    x = ops.ssm_conv(joined, b.weight("ssm_conv1d", il))
    x = ops.unary("silu", ops.add(x, b.weight("ssm_conv1d", il, "bias")))
    params = ops.mul_mat(b.weight("ssm_x", il), x)
    row, seq = params.nb[1], params.nb[2]
    dt = ops.view(params, (rank, tokens, n_seqs, 1), (row, seq))
    shape = (d_state, 1, tokens, n_seqs)
    b_in = ops.view(params, shape, (d_state * 4, row, seq), rank * 4)
    c_out = ops.view(params, shape, (d_state * 4, row, seq), (rank + d_state) * 4)
    if b.has("ssm_dt_norm", il):
        dt = b.norm(dt, "ssm_dt_norm", il)
        b_in, c_out = b.norm(b_in, "ssm_b_norm", il), b.norm(c_out, "ssm_c_norm", il)
    else:
        dt = ops.cont(dt)
    dt = ops.add(ops.mul_mat(b.weight("ssm_dt", il), dt), b.weight("ssm_dt", il, "bias"))
    heads = ops.reshape(x, 1, inner, tokens, n_seqs)
    a = b.weight("ssm_a", il, "")

    def scan(states: Node, ids: Node) -> Node:
        ssm = ops.reshape(states, d_state, 1, inner, n_seqs)
        return ops.ssm_scan(ssm, heads, dt, a, b_in, c_out, ids)

    y = load_state(b, inp, ssm_all, scan)
    width = d_state * inner * n_seqs
    new_states = ops.view(y, (width, 1, 1, 1), (), heads.nb[3] * n_seqs)
    b.expand(ops.copy_to(new_states, ops.view(ssm_all, (width, 1, 1, 1))))
    y = ops.view(y, (inner, tokens, n_seqs, 1), (heads.nb[2], heads.nb[3]))
    y = ops.add(y, ops.mul(x, b.weight("ssm_d", il, "")))
    y = ops.glu("swiglu", ops.cont(z), y)
    out = ops.mul_mat(b.weight("ssm_out", il), y)
    return ops.reshape(out, out.ne[0], tokens * n_seqs)


def mamba_heads(b: Builder, inp: StateInput, cur: Node, il: int) -> Node:
    """Mamba's first form with heads (plamo2.cpp:build_plamo2_mamba_layer)."""
    hp = b.hp
    taps, inner, d_state, heads = hp.ssm_d_conv - 1, hp.ssm_d_inner, hp.ssm_d_state, hp.ssm_dt_rank
    size, rank, n_seqs = inner // heads, max(64, hp.n_embd // 16), b.shape.n_seqs
    tokens = b.n_tokens // n_seqs
    conv_all = state(b, "r", il, taps * inner)
    ssm_all = state(b, "s", il, d_state * inner)
    conv = ops.reshape(load_state(b, inp, conv_all), taps, inner, n_seqs)
    cur = ops.reshape(cur, cur.ne[0], tokens, n_seqs)
    mixed = ops.permute(ops.mul_mat(b.weight("ssm_in", il), cur), 0, 2, 1, 3)
    mixed = ops.cont(mixed, (2 * size, heads, tokens, n_seqs))
    half = (size, heads, tokens, n_seqs)
    x = ops.cont(ops.view(mixed, half, mixed.nb[1:], size * 4), (inner, tokens, n_seqs, 1))
    z = ops.view(mixed, half, mixed.nb[1:])
    joined = ops.concat(conv, ops.transpose(x), 0)
    last = ops.view(joined, (taps, inner, n_seqs, 1), joined.nb[1:3], tokens * 4)
    target = ops.view(conv_all, (taps * inner * n_seqs, 1, 1, 1))
    b.expand(ops.copy_to(last, target))
    x = ops.unary("silu", ops.ssm_conv(joined, b.weight("ssm_conv1d", il)))
    params = ops.mul_mat(b.weight("ssm_x", il), x)
    strides = params.nb[1:3]
    b_in = ops.view(params, (d_state, tokens, n_seqs, 1), strides)
    c_out = ops.view(params, (d_state, tokens, n_seqs, 1), strides, d_state * 4)
    dt = ops.view(params, (rank, tokens, n_seqs, 1), strides, 2 * d_state * 4)
    b_in, c_out = b.norm(b_in, "ssm_b_norm", il), b.norm(c_out, "ssm_c_norm", il)
    dt = b.linear(b.norm(dt, "ssm_dt_norm", il), "ssm_dt", il)
    a = ops.reshape(b.weight("ssm_a", il, ""), 1, heads)
    row, every = inner * 4, inner * tokens * 4
    x = ops.view(x, half, (size * 4, row, every))
    shape = (d_state, 1, tokens, n_seqs)
    b_in = ops.view(b_in, shape, (d_state * 4, *b_in.nb[1:3]))
    c_out = ops.view(c_out, shape, (d_state * 4, *c_out.nb[1:3]))

    def scan(states: Node, ids: Node) -> Node:
        ssm = ops.reshape(states, d_state, size, heads, ssm_all.ne[1])
        return ops.ssm_scan(ssm, x, dt, a, b_in, c_out, ids)

    y = load_state(b, inp, ssm_all, scan)
    width = d_state * inner * n_seqs
    new_states = ops.view(y, (width, 1, 1, 1), (), inner * tokens * n_seqs * 4)
    b.expand(ops.copy_to(new_states, ops.view(ssm_all, (width, 1, 1, 1))))
    y = ops.view(y, half, (size * 4, row, every))
    y = ops.add(y, ops.mul(x, ops.reshape(b.weight("ssm_d", il, ""), 1, heads)))
    y = ops.glu("swiglu", ops.cont(z), y)
    y = ops.view(y, (inner, tokens, n_seqs, 1), y.nb[2:])
    out = ops.mul_mat(b.weight("ssm_out", il), y)
    return ops.reshape(out, out.ne[0], tokens * n_seqs)


def conv_state(
    b: Builder, inp: StateInput, memory: Node, mixed: Node, kernel: int, channels: int
) -> Node:
    """Prepend the last tokens of each sequence (build_conv_state)."""
    n_seqs = b.shape.n_seqs
    states = ops.reshape(load_state(b, inp, memory), kernel - 1, channels, n_seqs)
    joined = ops.concat(states, ops.transpose(mixed), 0)
    end = joined.ne[0] - states.ne[0]
    count = _snapshots(b)
    for i in range(1, count + 1):
        last = ops.view(
            joined, (kernel - 1, channels, n_seqs, 1), joined.nb[1:3], max(0, end - count + i) * 4
        )
        target = ops.view(
            memory, (memory.ne[0], n_seqs, 1, 1), (memory.nb[1],),
            (count - i) * n_seqs * memory.nb[1],
        )  # fmt: skip
        b.expand(ops.copy_to(last, target))
    return joined


def history(b: Builder, inp: StateInput, memory: Node, cur: Node, taps: int, channels: int) -> Node:
    """The same where a block has several such states (qwen4exp.cpp:build_conv_state_at)."""
    n_seqs = b.shape.n_seqs
    states = ops.reshape(load_state(b, inp, memory), taps, channels, n_seqs)
    joined = ops.concat(states, ops.transpose(cur), 0)
    for slot in range(_snapshots(b)):
        at = max(0, joined.ne[0] - taps - slot) * 4
        last = ops.view(joined, (taps, channels, n_seqs, 1), joined.nb[1:3], at)
        target = ops.view(
            memory, (memory.ne[0], n_seqs, 1, 1), (memory.nb[1],), slot * n_seqs * memory.nb[1]
        )
        b.expand(ops.copy_to(ops.cont(last), target))
    return joined


def delta_rule(
    b: Builder, memory: Node, q: Node, k: Node, v: Node, gate: Node, beta: Node, s: Node
) -> Node:
    """Run the gated delta rule and store the new states (build_recurrent_attn, fused)."""
    size, heads, tokens, n_seqs = v.ne
    count = _snapshots(b)
    out = ops.gated_delta_net(q, k, v, gate, beta, s, snapshots=count)
    result = ops.view(
        out, (size, heads, tokens, n_seqs), (size * 4, size * heads * 4, size * heads * tokens * 4)
    )
    at = size * heads * tokens * n_seqs * 4
    if count == 1:
        new = ops.view(
            out,
            (size, size, heads, n_seqs),
            (size * 4, size * size * 4, size * size * heads * 4),
            at,
        )
        target = ops.view(memory, (memory.ne[0], n_seqs, 1, 1), (memory.nb[1],))
    else:
        width = size * size * heads
        written = min(tokens, count)
        new = ops.view(out, (width, n_seqs, written, 1), (width * 4, width * n_seqs * 4), at)
        target = ops.view(
            memory, (width, n_seqs, written, 1), (memory.nb[1], n_seqs * memory.nb[1])
        )
    b.expand(ops.copy_to(new, target))
    return result


def unit_length(cur: Node) -> Node:
    """Normalise heads of the delta rule (models.h:build_gdn_l2_norm)."""
    return ops.scale(ops.like("RMS_NORM", cur))
