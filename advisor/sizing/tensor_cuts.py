"""How ``-sm tensor`` cuts one tensor, cache or state: along which axis, in which multiples.

llama-model.cpp:llama_meta_device_get_split_state; what no rule names is held by every device.
"""

import re
from collections.abc import Sequence
from itertools import accumulate
from math import lcm
from typing import Final, NamedTuple

import numpy as np

from advisor.errors import SettingsError
from advisor.llm.architectures import rules
from advisor.llm.hyperparameters import Hyperparameters
from advisor.llm.model import Model
from advisor.llm.tensor import Tensor

REFUSES: Final = (
    "llama.cpp cannot cut {name} across devices matrix by matrix (-sm tensor); use -sm layer."
)
"""Says that llama.cpp refuses a model."""

_GATED_Q: Final = frozenset({"qwen3next", "qwen35", "qwen35moe", "qwen4exp"})
"""Their Q holds the attention's gate too, and their other layers are linear attention."""
_STATE_MIRRORED: Final = frozenset({"lfm2", "lfm2moe", "deepseek4"})
"""Every device keeps all of their states."""
_CACHE_MIRRORED: Final = frozenset({"deepseek4", "hrm_text"})
"""Every device keeps all of their caches."""
_MIRRORED: Final = frozenset({"hrm_text"})
"""Every device keeps all of their weights."""

_OUT = ("attn_output.weight", "ssm_out.weight")
_DOWN = ("ffn_down.weight", "ffn_down_exps.weight")
_SSM = ("ssm_out.weight",)


class _Rule(NamedTuple):
    """Tensors that are cut along ``axis`` in blocks of the type of ``by``; empty: of their own."""

    names: re.Pattern[str]
    axis: int
    by: tuple[str, ...] = ()


def _rules(*rows: tuple[str, int, tuple[str, ...]]) -> tuple[_Rule, ...]:
    return tuple(_Rule(re.compile(rf"blk\.\d+\.(?:{names})"), axis, by) for names, axis, by in rows)


_EVERYWHERE: Final = _rules(
    (r"attn_(q|k|v|qkv)\.weight", 1, _OUT),
    (r"attn_(q|k|v|qkv)\.bias", 0, _OUT),
    (r"attn_sinks\.weight", 0, ("attn_output.weight",)),
    (r"attn_output\.weight", 0, ()),
    (r"attn_gate\.weight", 1, _OUT),
    (r"ssm_dt\.bias|ssm_a", 0, _SSM),
    (r"ssm_(alpha|beta|ba)\.weight", 1, _SSM),
    (r"ssm_conv1d\.weight", 1, _SSM),
    (r"ssm_out\.weight", 0, ()),
    (r"ffn_(up|gate)(_exps)?\.weight", 1, _DOWN),
    (r"ffn_(up|gate)(_exps)?\.bias", 0, _DOWN),
    (r"ffn_gate_up(_exps)?\.weight", 1, _DOWN),
    (r"ffn_down(_exps)?\.weight", 0, _DOWN),
)
_DEEPSEEK4: Final = (
    *_rules(
        (r"attn_sinks\.weight", 0, ("attn_output_a.weight",)),
        (r"attn_q_b\.weight", 1, ("attn_output_a.weight",)),
        (r"attn_output_a\.weight", 2, ()),
        (r"attn_output_b\.weight", 0, ()),
        (r"ffn_(up|gate)_shexp\.weight", 1, ("ffn_down_shexp.weight",)),
        (r"ffn_down_shexp\.weight", 0, ("ffn_down_shexp.weight",)),
    ),
    *_EVERYWHERE,
)
_WIDE: Final = 128
"""Values that slices are multiples of where that leaves no device idle."""
_OUTPUT: Final = {"output.weight": 1, "output.bias": 0}
_FEED_FORWARD: Final = re.compile(r"ffn_(up|gate|gate_up|down)(_exps|_shexp)?\.(weight|bias)")


class _Segment(NamedTuple):
    """``times`` equal parts of a fused tensor, each cut in multiples of ``step``."""

    length: int
    times: int
    step: int


class _Steps(NamedTuple):
    """Multiples in which an attention block is cut (get_split_granularity)."""

    q: int
    gated_q: int
    per_head: int
    """Of tensors with one value per head."""
    k: int
    v: int


class Cutter:
    """The rules for one model on ``n`` joined devices."""

    def __init__(self, model: Model, hp: Hyperparameters, n: int, given: Sequence[float]) -> None:
        self._name = model.name
        self._hp = hp
        self._n = n
        self._given = tuple(given)
        self._types = {tensor.name: tensor.type for tensor in model.tensors}
        self._rules = _DEEPSEEK4 if hp.arch == "deepseek4" else _EVERYWHERE

    def shape(self, tensor: Tensor) -> tuple[int, ...]:
        """As llama.cpp loads it: DeepSeek V4 gives its grouped output an axis for the groups."""
        if self._hp.arch == "deepseek4" and tensor.name.endswith(".attn_output_a.weight"):
            return tensor.shape[0], self._hp.n_lora_o, self._hp.n_o_groups
        return tensor.shape

    def weight(self, name: str, shape: Sequence[int]) -> tuple[int, tuple[int, ...]] | None:
        """Axis, and the length along it on every device; None: every device has all of it."""
        if self._hp.arch in _MIRRORED:
            return None
        if name in _OUTPUT:
            if self._hp.arch == "deepseek4":
                return None
            axis = _OUTPUT[name]
            turn = self._hp.n_layer % self._n
            return axis, self._cut([_Segment(shape[axis], 1, 1)], turn)
        if not name.startswith("blk."):
            return None
        rule = next((rule for rule in self._rules if rule.names.fullmatch(name)), None)
        if rule is None:
            return self._norm(name, shape)
        _, number, what = name.split(".", 2)
        il = int(number)
        block = self._block(il, rule.by) if rule.by else self._types[name].block
        if block is None:
            raise SettingsError(REFUSES.format(name=self._name))
        segments = self._segments(what, il, shape[rule.axis], block)
        return rule.axis, self._cut(segments, self._turn(il))

    def _norm(self, name: str, shape: Sequence[int]) -> tuple[int, tuple[int, ...]] | None:
        """Norms of Q and K are cut only where every head has its own."""
        if not re.fullmatch(r"blk\.\d+\.attn_(q|k)_norm\.weight", name):
            return None
        if len(shape) < 2 or shape[1] == 1:
            return None
        return 1, self._cut([_Segment(shape[1], 1, 1)], self._turn(int(name.split(".")[1])))

    def cache(self, kind: str, il: int, width: int, *, v: bool) -> tuple[int, ...]:
        """Values per cell of a layer's K or V on every device; all have an indexer's keys."""
        if self._hp.arch in _CACHE_MIRRORED or kind == "idx":
            return (width,) * self._n
        block = self._block(il, ("attn_output.weight",))
        if block is None:
            raise SettingsError(REFUSES.format(name=self._name))
        steps = self._attention_steps(il, block)
        return self._cut([_Segment(width, 1, steps.v if v else steps.k)], self._turn(il))

    def state(self, il: int, values: int) -> tuple[tuple[int, ...], ...] | None:
        """Values of a layer's convolution and of its state on every device; None: not known."""
        hp = self._hp
        if hp.arch in _STATE_MIRRORED:
            return ((values,) * self._n,)
        block = self._block(il, _SSM)
        if hp.arch not in _GATED_Q or block is None:
            return None
        keys, value_width = hp.ssm_d_state * hp.ssm_n_group, hp.ssm_d_state * hp.ssm_dt_rank
        kernel = hp.ssm_d_conv - 1
        step = self._linear_step(block)
        ratio = hp.ssm_dt_rank // hp.ssm_n_group
        if hp.arch == "qwen3next":
            conv = [
                _Segment(keys * kernel, 2, step * kernel),
                _Segment(value_width * kernel, 1, step * kernel),
            ]
            inner = [_Segment(value_width * hp.ssm_d_state, 1, step * hp.ssm_d_state)]
        else:
            conv = [_Segment(keys * kernel, 2 + ratio, step * kernel)]
            inner = [_Segment(keys * hp.ssm_d_state, ratio, step * hp.ssm_d_state)]
        turn = self._turn(il)
        cut = self._cut(conv, turn), self._cut(inner, turn)
        more = values - rules.state_values(hp)
        # Qwen 4's n-gram table is read by every device, and so is what follows it.
        return (*cut, (more,) * self._n) if more else cut

    def _block(self, il: int, by: Sequence[str]) -> int | None:
        for what in by:
            type_ = self._types.get(f"blk.{il}.{what}")
            if type_ is not None:
                return type_.block
        return None

    def _turn(self, il: int) -> int:
        """How far rounding is turned on, so that no device always gets the larger slice."""
        hp = self._hp
        kind = hp.is_recurrent(il), hp.is_swa(il)
        alike = sum((hp.is_recurrent(i), hp.is_swa(i)) == kind for i in range(il))
        return alike % self._n

    def _attention_steps(self, il: int, block: int) -> _Steps:
        hp = self._hp
        head_k, head_v = hp.head_k(il), hp.head_v(il)
        group = hp.n_head[il] // hp.n_head_kv[il]
        width = group * head_k
        wide = block
        while wide < _WIDE and wide * self._n < width:
            wide *= 2
        q = lcm(width, wide)
        kv = q // group
        return _Steps(
            q=q,
            gated_q=lcm(2 * width, wide) if hp.arch in _GATED_Q else q,
            per_head=q // head_k,
            k=kv,
            v=kv // head_k * head_v,
        )

    def _linear_step(self, block: int) -> int:
        return lcm(lcm(block, _WIDE), self._hp.ssm_d_state)

    def _segments(self, what: str, il: int, length: int, block: int) -> list[_Segment]:
        hp = self._hp
        if _FEED_FORWARD.fullmatch(what):
            return self._feed_forward(what, il, length, lcm(block, _WIDE))
        if hp.is_recurrent(il):
            return self._linear(what, length, block)
        if hp.arch == "deepseek4" and (step := self._latent_step(what, il)):
            return [_Segment(length, 1, step)]
        steps = self._attention_steps(il, block)
        if what.startswith("attn_qkv."):
            return self._fused(il, steps)
        stem = what.rpartition(".")[0]
        if stem == "attn_gate" and length == hp.n_head[il]:
            stem = "attn_sinks"
        step = {
            "attn_q": steps.gated_q,
            "attn_k": steps.k,
            "attn_v": steps.v,
            "attn_gate": steps.q,
            "attn_sinks": steps.per_head,
            "attn_output": steps.per_head * hp.head_v(il),
        }.get(stem, 1)
        return [_Segment(length, 1, step)]

    def _fused(self, il: int, steps: _Steps) -> list[_Segment]:
        hp = self._hp
        n_q = hp.n_head[il] * hp.head_k(il) * (2 if hp.arch in _GATED_Q else 1)
        k_width, v_width = hp.k_gqa(il), hp.v_gqa(il)
        if k_width == v_width:
            return [_Segment(n_q, 1, steps.gated_q), _Segment(k_width, 2, steps.k)]
        return [
            _Segment(n_q, 1, steps.q),
            _Segment(k_width, 1, steps.k),
            _Segment(v_width, 1, steps.v),
        ]

    def _latent_step(self, what: str, il: int) -> int | None:
        hp = self._hp
        group = hp.n_head[il] // hp.n_o_groups
        return {
            "attn_sinks.weight": group,
            "attn_q_b.weight": group * hp.head_k(il),
            "attn_output_a.weight": 1,
            "attn_output_b.weight": hp.n_lora_o,
        }.get(what)

    def _feed_forward(self, what: str, il: int, length: int, step: int) -> list[_Segment]:
        hp = self._hp
        if what.startswith("ffn_gate_up"):
            return [_Segment(hp.n_ff_exp, 2, step)]
        fused = what.startswith("ffn_up") and hp.arch not in _GATED_Q
        if fused and il < len(hp.n_ff) and length == 2 * hp.n_ff[il]:
            return [_Segment(hp.n_ff[il], 2, step)]
        return [_Segment(length, 1, step)]

    def _linear(self, what: str, length: int, block: int) -> list[_Segment]:
        hp = self._hp
        keys, values = hp.ssm_d_state * hp.ssm_n_group, hp.ssm_d_state * hp.ssm_dt_rank
        step = self._linear_step(block)
        heads = step // hp.ssm_d_state
        whole = hp.arch == "qwen3next"
        ratio = hp.ssm_dt_rank // hp.ssm_n_group
        if what in {"attn_qkv.weight", "ssm_conv1d.weight"} and whole:
            return [_Segment(keys, 2, step), _Segment(values, 1, step)]
        if what in {"attn_qkv.weight", "ssm_conv1d.weight"}:
            return [_Segment(keys, 2 + ratio, step)]
        if what in {"attn_gate.weight", "ssm_out.weight"}:
            return [_Segment(length, 1, step) if whole else _Segment(keys, ratio, step)]
        if what in {"ssm_dt.bias", "ssm_a", "ssm_alpha.weight", "ssm_beta.weight"}:
            return [_Segment(length, 1, heads) if whole else _Segment(hp.ssm_n_group, ratio, heads)]
        return [_Segment(length, 1, 2 * heads if what == "ssm_ba.weight" else 1)]

    def _cut(self, segments: Sequence[_Segment], turn: int) -> tuple[int, ...]:
        """Lengths on every device. Positions are single-precision, as llama.cpp's."""
        n = self._n
        shares = [self._given[(j + turn) % n] if self._given else 0.0 for j in range(n)]
        scan = [np.float32(x) for x in accumulate(np.float32(share) for share in shares)]
        found = [0] * n
        for length, times, step in segments:
            low = 0
            for j in range(n):
                high = length
                if j < n - 1:
                    if scan[-1] == 0:
                        high = length * (j + 1) // n
                    else:
                        high = int(np.float32(length) * scan[j] / scan[-1])
                    high -= high % step
                found[(j + turn) % n] += (high - low) * times
                low = high
        return tuple(found)
