"""Graphs of vision projectors (tools/mtmd/models/*.cpp), by ``clip.projector_type``."""

from collections.abc import Callable, Mapping
from typing import Final

from advisor.sizing.compute import ops
from advisor.sizing.compute.nodes import F16, F32, Node, new
from advisor.sizing.compute.tower import Tower, rotated_twice


def _siglip(t: Tower) -> None:
    """siglip.cpp: Gemma 3, Idefics 3 and SmolVLM, LFM2, Janus, Phi 4."""
    table = t.weight("v.position_embd.weight")
    cur = t.patches()
    if t.kind in {"lfm2", "phi4"}:
        table = t.resized_positions()
    cur = t.transformer(cur, "NORM", table)
    if t.kind == "gemma3":
        cur = ops.cont(ops.transpose(cur), (t.side, t.side, t.n_embd, 1))
        cur = ops.pool_2d(cur, t.merge)
        cur = ops.reshape(cur, cur.ne[0] * cur.ne[0], t.n_embd)
        cur = ops.like("RMS_NORM", ops.cont(ops.transpose(cur)))
        cur = ops.mul(cur, t.weight("mm.soft_emb_norm.weight"))
        turned = ops.cont(ops.transpose(t.weight("mm.input_projection.weight")))
        cur = ops.mul_mat(turned, cur)
    elif t.kind == "idefics3":
        cur = t.linear(t.merged(cur, t.merge), "mm.model.fc")
    elif t.kind == "lfm2":
        cur = t.merged(cur, t.merge)
        if t.find("mm.input_norm.weight") is not None:
            cur = t.norm(cur, "mm.input_norm", "NORM")
        cur = t.feed_forward(cur, "mm.1", "mm.2", "gelu")
    elif t.kind == "phi4":
        cur = t.feed_forward(cur, "mm.0", "mm.2", "gelu")
    else:
        cur = t.feed_forward(cur, "mm.0", "mm.1", t.activation)
    t.expand(cur)


def _llava(t: Tower) -> None:
    """llava.cpp, with the projector of LLaVA 1.5 and 1.6; the last layer is not used."""
    cur = t.patches()
    cls = t.find("v.class_embd")
    if cls is not None:
        cur = ops.concat(cur, cls, 1)
    rows = ops.get_rows(t.weight("v.position_embd.weight"), t.numbers(cur.ne[1]))
    cur = ops.add(cur, rows)
    if t.find("v.pre_ln.weight") is not None:
        cur = t.norm(cur, "v.pre_ln", "NORM")
    for il in range(t.n_layer - 1):
        cur = t.block(cur, f"v.blk.{il}.", "NORM")
    if t.find("v.post_ln.weight") is not None:
        cur = t.norm(cur, "v.post_ln", "NORM")
    cur = ops.reshape(cur, cur.ne[0], cur.ne[1])
    cur = ops.get_rows(cur, t.numbers(t.n_patches))
    cur = ops.unary("gelu", t.linear(cur, "mm.0"))
    if t.find("mm.2.weight") is not None:
        cur = t.linear(cur, "mm.2")
    t.expand(cur)


def _qwen2vl(t: Tower) -> None:
    """qwen2vl.cpp: Qwen2-VL, and Qwen2.5-VL with attention in windows."""
    op = "RMS_NORM" if t.kind == "qwen2.5vl_merger" else "NORM"
    pattern = t.number("n_wa_pattern", 0)
    cur = t.paired_patches()
    positions = t.numbers(4 * t.n_patches)
    if t.find("v.pre_ln.weight") is not None:
        cur = t.norm(cur, "v.pre_ln", op)
    window: Node | None = None
    if pattern:
        order = t.numbers(t.n_patches // 4)
        mask = new(F32, (t.n_patches, t.n_patches, 1, 1))
        mask.is_input = True
        window = ops.cast(mask, F16) if t.flash else mask
        cur = ops.get_rows(ops.reshape(cur, t.n_embd * 4, t.n_patches // 4), order)
        cur = ops.reshape(cur, t.n_embd, t.n_patches)
    for il in range(t.n_layer):
        whole = not pattern or (il + 1) % pattern == 0
        mask_of = None if whole else window
        cur = t.block(cur, f"v.blk.{il}.", op, lambda x: ops.rope(x, positions), mask_of)
    if t.find("v.post_ln.weight") is not None:
        cur = t.norm(cur, "v.post_ln", op)
    cur = ops.reshape(cur, t.n_embd * 4, t.n_patches // 4)
    cur = t.feed_forward(cur, "mm.0", "mm.2", "gelu")
    if pattern:
        order = t.numbers(t.n_patches // 4)
        cur = ops.get_rows(ops.reshape(cur, cur.ne[0], t.n_patches // 4), order)
        cur = ops.reshape(cur, cur.ne[0], t.n_patches // 4)
    t.expand(cur)


def _qwen3vl(t: Tower) -> None:
    """qwen3vl.cpp: features of some layers go beside the last one's (deepstack)."""
    cur = ops.add(t.paired_patches(), t.weight("v.patch_embd.bias"))
    table = t.resized_positions()
    table = t.squares(ops.cont(table, (t.n_embd * 2, t.side // 2, t.side, 1)))
    cur = ops.add(cur, table)
    positions = t.numbers(4 * t.n_patches)
    if t.find("v.pre_ln.weight") is not None:
        cur = t.norm(cur, "v.pre_ln", "NORM")
    square = t.merge * t.merge
    features: Node | None = None
    for il in range(t.n_layer):
        cur = t.block(cur, f"v.blk.{il}.", "NORM", lambda x: ops.rope(x, positions))
        stacked = f"v.deepstack.{il}."
        if t.find(f"{stacked}fc1.weight") is not None:
            found = ops.reshape(cur, t.n_embd * square, t.n_patches // square)
            found = t.norm(found, f"{stacked}norm", "NORM")
            found = t.feed_forward(found, f"{stacked}fc1", f"{stacked}fc2", "gelu")
            features = found if features is None else ops.concat(features, found, 0)
    if t.find("v.post_ln.weight") is not None:
        cur = t.norm(cur, "v.post_ln", "NORM")
    cur = ops.reshape(cur, t.n_embd * 4, t.n_patches // 4)
    cur = t.feed_forward(cur, "mm.0", "mm.2", "gelu")
    t.expand(cur if features is None else ops.concat(cur, features, 0))


def _pixtral(t: Tower) -> None:
    """pixtral.cpp: Pixtral, and Mistral Small 3.1 and later with a patch merger."""
    rows, columns = t.numbers(t.n_patches), t.numbers(t.n_patches)
    cur = t.patches()
    patches = cur
    cur = t.transformer(cur, "RMS_NORM", None, rotated_twice(rows, columns))
    if t.find("mm.patch_merger.weight") is not None:
        cur = ops.mul(ops.like("RMS_NORM", cur), t.weight("mm.input_norm.weight"))
        cur = ops.permute(ops.reshape(cur, t.n_embd, t.side, t.side), 2, 0, 1, 3)
        cur = ops.cont(cur)
        kernel = ops.view(cur, (t.merge, t.merge, cur.ne[2], 1), (0, 0))
        cur = ops.im2col(kernel, cur, t.merge, patches.type)
        cur = ops.reshape(cur, cur.ne[0], cur.ne[1] * cur.ne[2])
        cur = t.linear(cur, "mm.patch_merger")
    cur = t.feed_forward(cur, "mm.1", "mm.2", "gelu")
    mark = t.find("v.token_embd.img_break")
    if mark is not None:
        side = t.side // t.merge
        grid = ops.reshape(cur, cur.ne[0], side, side)
        ends = ops.scale(new(F32, (cur.ne[0], 1, side, 1)))
        grid = ops.concat(grid, ops.add(ends, mark), 1)
        cur = ops.view(grid, (cur.ne[0], side * side + side - 1, 1, 1), grid.nb[1:2])
    t.expand(cur)


def _llama4(t: Tower) -> None:
    """llama4.cpp."""
    n_pos = t.n_patches + 1
    rows, columns = t.numbers(n_pos), t.numbers(n_pos)
    weight = t.weight("v.patch_embd.weight")
    kernel = ops.reshape(weight, t.patch, t.patch, 3, t.n_embd)
    cur = ops.im2col(kernel, t.picture(), t.patch, F32)
    cur = ops.reshape(ops.mul_mat(weight, cur), t.n_embd, t.n_patches)
    cur = ops.concat(cur, t.weight("v.class_embd"), 1)
    turn = rotated_twice(columns, rows)
    cur = t.transformer(cur, "NORM", t.weight("v.position_embd.weight"), turn)
    cur = ops.view(cur, (t.n_embd, t.n_patches, 1, 1), cur.nb[1:2])
    scale = t.merge
    cur = ops.reshape(cur, t.n_embd * scale, t.side // scale, t.side)
    ne = (t.n_embd * scale * scale, t.side // scale, t.side // scale, 1)
    cur = ops.cont(ops.permute(cur, 0, 2, 1, 3), ne)
    cur = ops.cont(cur, (ne[0], t.n_patches // scale // scale, 1, 1))
    cur = ops.unary("gelu", t.linear(cur, "mm.model.mlp.1"))
    cur = ops.unary("gelu", t.linear(cur, "mm.model.mlp.2"))
    t.expand(t.linear(cur, "mm.model.fc"))


def _internvl(t: Tower) -> None:
    """internvl.cpp."""
    cls = t.weight("v.class_embd")
    cur = ops.concat(t.patches(), ops.repeat(cls, (cls.ne[0], 1, 1, 1)), 1)
    large = (t.n_embd, t.n_layer) == (3200, 45)
    op = "RMS_NORM" if large else "NORM"
    cur = t.transformer(cur, op, t.weight("v.position_embd.weight"))
    cur = ops.cont(ops.view(cur, (t.n_embd, t.n_patches, 1, 1), cur.nb[1:3]))
    scale = t.merge
    cur = ops.reshape(cur, t.n_embd * scale, t.side // scale, t.side)
    ne = (t.n_embd * scale * scale, t.side // scale, t.side // scale, 1)
    cur = ops.permute(ops.cont(ops.permute(cur, 0, 2, 1, 3), ne), 0, 2, 1, 3)
    cur = ops.cont(cur, (ne[0], cur.ne[1] * cur.ne[2], cur.ne[3], 1))
    cur = t.norm(cur, "mm.model.mlp.0", "NORM")
    t.expand(t.feed_forward(cur, "mm.model.mlp.1", "mm.model.mlp.3", "gelu"))


def _glm4v(t: Tower) -> None:
    """glm4v.cpp."""
    image = t.picture()
    first = ops.conv_2d(t.weight("v.patch_embd.weight"), image, t.patch)
    positions = t.numbers(4 * t.n_patches)
    second = ops.conv_2d(t.weight("v.patch_embd.weight.1"), image, t.patch)
    cur = ops.permute(ops.add(first, second), 1, 2, 0, 3)
    cur = t.squares(ops.cont(cur, (t.n_embd * 2, t.side // 2, t.side, 1)))
    cur = ops.add(cur, t.weight("v.patch_embd.bias"))
    if t.find("v.norm_embd.weight") is not None:
        cur = t.norm(cur, "v.norm_embd", "RMS_NORM")
    table: Node | None = None
    if t.find("v.position_embd.weight") is not None:
        table = ops.cont(t.resized_positions(), (t.n_embd * 2, t.side // 2, t.side, 1))
        table = t.squares(table)
    cur = t.transformer(cur, "RMS_NORM", table, lambda x: ops.rope(x, positions))
    merge = t.merge
    count = t.n_patches // merge // merge
    cur = ops.reshape(cur, t.n_embd, merge, merge, count)
    cur = ops.cont(ops.permute(cur, 2, 0, 1, 3))
    cur = ops.conv_2d(t.weight("mm.patch_merger.weight"), cur, merge)
    cur = ops.add(ops.reshape(cur, cur.ne[2], count), t.weight("mm.patch_merger.bias"))
    cur = t.linear(cur, "mm.model.fc")
    cur = ops.unary("gelu_erf", t.norm(cur, "mm.post_norm", "NORM"))
    t.expand(t.feed_forward(cur, "mm.up", "mm.down", t.activation, "mm.gate"))


def _kimi(t: Tower) -> None:
    """kimivl.cpp, kimik25.cpp: Kimi-VL; Kimi K2.5 keeps its positions in two dimensions."""
    rows, columns = t.numbers(t.n_patches), t.numbers(t.n_patches)
    if t.kind == "kimik25":
        table = t.weight("v.position_embd.weight")
        if table.ne[1:3] != (t.side, t.side):
            grid = ops.permute(table, 2, 1, 0, 3)
            grid = ops.interpolate(grid, (t.side, t.side, t.n_embd, 1))
            table = ops.permute(grid, 2, 1, 0, 3)
        table = ops.cont(table, (t.n_embd, t.n_patches, 1, 1))
    else:
        table = t.resized_positions()
    cur = t.transformer(t.patches(), "NORM", table, rotated_twice(columns, rows))
    cur = t.merged(cur, t.merge)
    width, count = cur.ne[0], cur.ne[1]
    row = cur.type.size
    cur = ops.view(cur, (t.n_embd, count * t.merge * t.merge, 1, 1), (row * t.n_embd,))
    cur = t.norm(cur, "mm.input_norm", "NORM")
    cur = ops.view(cur, (width, count, 1, 1), (row * width,))
    t.expand(t.feed_forward(cur, "mm.1", "mm.2", "gelu"))


def _positions_by_axis(t: Tower, cur: Node, columns: Node, rows: Node) -> Node:
    """Add one learned position for the column and one for the row."""
    table = t.weight("v.position_embd.weight")
    count, row = table.ne[1], table.type.row_bytes(t.n_embd)
    for ids, offset in ((columns, 0), (rows, count * row)):
        half = ops.view(table, (t.n_embd, count, 1, 1), (row,), offset)
        cur = ops.add(cur, ops.get_rows(half, ids))
    return cur


def _gemma4v(t: Tower) -> None:
    """gemma4v.cpp."""
    image = ops.scale(t.picture())
    cur = t.rows(ops.conv_2d(t.weight("v.patch_embd.weight"), image, t.patch))
    columns, rows = t.numbers(t.n_patches), t.numbers(t.n_patches)
    cur = _positions_by_axis(t, cur, columns, rows)
    cur = t.transformer(cur, "RMS_NORM", None, rotated_twice(columns, rows))
    cur = ops.cont(ops.transpose(cur), (t.side, t.side, t.n_embd, 1))
    cur = ops.pool_2d(cur, t.merge)
    cur = ops.reshape(cur, cur.ne[0] * cur.ne[1], t.n_embd)
    cur = ops.scale(ops.cont(ops.transpose(cur)))
    bias, scale = t.find("v.std_bias"), t.find("v.std_scale")
    if bias is not None and scale is not None:
        cur = ops.mul(ops.sub(cur, bias), scale)
    t.expand(t.linear(ops.like("RMS_NORM", cur), "mm.input_projection"))


def _gemma4uv(t: Tower) -> None:
    """gemma4uv.cpp: no transformer, patches go to the language model as they are."""
    image = t.picture()
    cur = ops.im2col(new(F32, (t.patch, t.patch, 3, 1)), image, t.patch, F32)
    cur = ops.reshape(cur, cur.ne[0], cur.ne[1] * cur.ne[2] * cur.ne[3])
    cur = t.norm(cur, "v.patch_norm.1", "NORM")
    cur = ops.mul_mat(t.weight("v.patch_embd.weight"), cur)
    cur = ops.add(cur, t.weight("v.patch_embd.bias"))
    cur = t.norm(cur, "v.patch_norm.2", "NORM")
    cur = _positions_by_axis(t, cur, t.numbers(t.n_patches), t.numbers(t.n_patches))
    cur = t.norm(cur, "v.patch_norm.3", "NORM")
    t.expand(t.linear(ops.like("RMS_NORM", cur), "mm.input_projection"))


def _minimax(t: Tower) -> None:
    """minimax-m3.cpp."""
    cur = t.paired_patches(t.merge)
    rows, columns = t.numbers(t.n_patches), t.numbers(t.n_patches)
    cur = t.transformer(cur, "NORM", None, rotated_twice(rows, columns))
    cur = t.feed_forward(cur, "mm.1", "mm.2", "gelu_erf")
    square = t.merge * t.merge
    cur = ops.reshape(cur, cur.ne[0] * square, t.n_patches // square)
    t.expand(t.feed_forward(cur, "mm.merger.fc1", "mm.merger.fc2", "gelu_erf"))


GRAPHS: Final[Mapping[str, Callable[[Tower], None]]] = {
    "gemma3": _siglip,
    "idefics3": _siglip,
    "lfm2": _siglip,
    "janus_pro": _siglip,
    "phi4": _siglip,
    "mlp": _llava,
    "qwen2vl_merger": _qwen2vl,
    "qwen2.5vl_merger": _qwen2vl,
    "qwen3vl_merger": _qwen3vl,
    "pixtral": _pixtral,
    "lightonocr": _pixtral,
    "llama4": _llama4,
    "internvl": _internvl,
    "glm4v": _glm4v,
    "glm5v": _glm4v,
    "kimivl": _kimi,
    "kimik25": _kimi,
    "gemma4v": _gemma4v,
    "gemma4uv": _gemma4uv,
    "minimax_m3": _minimax,
}
