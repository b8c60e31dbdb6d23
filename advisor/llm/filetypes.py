"""File types: what llama-quantize (or the converter) writes, from names and shapes to tensor types.

Two steps, as in practice: the converter's 16-bit file (conversion/base.py:prepare_tensors of
llama.cpp b11434), then llama-quantize's mix (``advisor.llm.mixes``). Hand-made mixes ("UD-…",
"…_L") cannot be predicted from their name; read their header.
"""

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from advisor.errors import ModelError
from advisor.llm.hyperparameters import Hyperparameters
from advisor.llm.mixes import Mix, Role, fallback, quantizable, role_of, sort_key
from advisor.llm.tensor import TYPES, Tensor

Family = Literal["float", "legacy", "k", "i", "ternary", "fp4", "one-bit"]


@dataclass(frozen=True, slots=True)
class FileType:
    """One file type of llama.cpp."""

    name: str
    ftype: int
    """``general.file_type`` in the header (llama.h:enum llama_ftype)."""
    bits: int
    """What people call it: 16, 8, 6, 5, 4, 3, 2 or 1. Sizes follow from the tensors."""
    family: Family
    order: int
    """Smallest first."""
    needs_imatrix: bool = False
    """llama-quantize refuses it without an importance matrix (tensor_requires_imatrix)."""
    common: bool = False
    """One of the types that publishers usually offer: worth a row before the others."""
    predictable: bool = True
    """False: only a converted checkpoint has it; its mix is known from its header alone."""


def _table() -> dict[str, FileType]:
    rows: tuple[tuple[str, int, int, Family, str], ...] = (
        ("Q1_0", 40, 1, "one-bit", ""),
        ("IQ1_S", 24, 1, "i", "m"),
        ("TQ1_0", 36, 1, "ternary", ""),
        ("IQ1_M", 31, 1, "i", "m"),
        ("TQ2_0", 37, 2, "ternary", ""),
        ("Q2_0", 41, 2, "one-bit", ""),
        ("IQ2_XXS", 19, 2, "i", "mc"),
        ("IQ2_XS", 20, 2, "i", "m"),
        ("IQ2_S", 28, 2, "i", "m"),
        ("IQ2_M", 29, 2, "i", "mc"),
        ("Q2_K_S", 21, 2, "k", "m"),
        ("Q2_K", 10, 2, "k", "c"),
        ("IQ3_XXS", 23, 3, "i", "mc"),
        ("IQ3_XS", 22, 3, "i", "m"),
        ("Q3_K_S", 11, 3, "k", ""),
        ("IQ3_S", 26, 3, "i", ""),
        ("IQ3_M", 27, 3, "i", "c"),
        ("Q3_K_M", 12, 3, "k", "c"),
        ("Q3_K_L", 13, 3, "k", ""),
        ("MXFP4_MOE", 38, 4, "fp4", "c"),
        ("IQ4_XS", 30, 4, "i", "c"),
        ("IQ4_NL", 25, 4, "i", ""),
        ("NVFP4", 39, 4, "fp4", "n"),
        ("Q4_0", 2, 4, "legacy", "c"),
        ("Q4_K_S", 14, 4, "k", ""),
        ("Q4_K_M", 15, 4, "k", "c"),
        ("Q4_1", 3, 4, "legacy", ""),
        ("Q5_0", 8, 5, "legacy", ""),
        ("Q5_K_S", 16, 5, "k", ""),
        ("Q5_K_M", 17, 5, "k", "c"),
        ("Q5_1", 9, 5, "legacy", ""),
        ("Q6_K", 18, 6, "k", "c"),
        ("Q8_0", 7, 8, "legacy", "c"),
        ("F16", 1, 16, "float", "c"),
        ("BF16", 32, 16, "float", "c"),
        ("F32", 0, 32, "float", ""),
    )
    return {
        name: FileType(
            name=name,
            ftype=ftype,
            bits=bits,
            family=family,
            order=order,
            needs_imatrix="m" in marks,
            common="c" in marks,
            predictable="n" not in marks,
        )
        for order, (name, ftype, bits, family, marks) in enumerate(rows)
    }


FILE_TYPES: Final[Mapping[str, FileType]] = _table()
"""By name, smallest first: every type of llama-quantize, and NVFP4 (converter only)."""

BY_FTYPE: Final[Mapping[int, FileType]] = {t.ftype: t for t in FILE_TYPES.values()}

# llama-quantize's own aliases, and what publishers write.
_ALIASES: Final[Mapping[str, str]] = {
    "Q2_K_M": "Q2_K",
    "Q3_K": "Q3_K_M",
    "Q4_K": "Q4_K_M",
    "Q5_K": "Q5_K_M",
    "MXFP4": "MXFP4_MOE",
    "FP16": "F16",
    "FP32": "F32",
}

# conversion/base.py:prepare_tensors: F32 whatever the file type. The rest of the names are those
# that the deepseek4 and glm converters force (tensor_force_quant).
_F32_ALWAYS: Final = re.compile(
    r"ffn_gate_inp(_shexp)?\.weight|^position_embd\.weight|^token_types\.weight|ssm_conv1d"
    r"|shortconv\.conv\.weight|time_mix_(first|w1|w2|decay_w1|decay_w2|lerp_fused)\.weight"
    r"|altup_(correct|predict)_coef\.weight|indexer\.proj\.weight|_norm\.weight"
)
_F32_BY_ARCH: Final[Mapping[str, re.Pattern[str]]] = {
    "deepseek4": re.compile(r"hc_(attn|ffn)_|output_hc_|_compressor_ape"),
    "glm5-next": re.compile(r"hc_(attn|ffn)_|output_hc|indexer_compressor_"),
    "minimax-m3": re.compile(r"\.indexer\."),
    # Every known model says enable_lm_head_fp32.
    "hy_v4": re.compile(r"hc_(attn|ffn)_fn|output_hc_fn|^output\.weight"),
}


def file_type(name: str) -> FileType:
    """A file type by name or alias, any case. Raises ModelError for an unknown one."""
    upper = name.strip().upper()
    found = FILE_TYPES.get(_ALIASES.get(upper, upper))
    if found is None:
        message = f'"{name}" is not a file type of llama.cpp. Known are {", ".join(FILE_TYPES)}.'
        raise ModelError(message)
    return found


_OWN_MIX: Final = re.compile(r"^(?:UD-)?((?:I?Q|TQ)\d.*?|MXFP4)(?:[-_]XL)?$")


def nearest(name: str) -> FileType:
    """The file type of that name, or the one nearest to a publisher's own mix ("UD-Q4_K_XL").

    Unsloth's dynamic files mix around the type that they are named after. Raises ModelError where
    the name says none.
    """
    own = _OWN_MIX.match(name.strip().upper()) if is_own_mix(name) else None
    base = own[1] if own else name
    return file_type({"Q8_K": "Q8_0"}.get(base, base))


def is_own_mix(name: str) -> bool:
    """Whether llama-quantize has no type of that name."""
    upper = name.strip().upper()
    return upper not in FILE_TYPES and upper not in _ALIASES


def source_type(arch: str, name: str, shape: Sequence[int], base: str) -> str:
    """Type in the converter's file of type ``base`` (F32, F16 or BF16)."""
    if name.endswith("ffn_gate_tid2eid.weight"):
        return "I32"
    if name == "d2t":
        return "I64"
    whole = name.endswith((".weight", ".lora_a", ".lora_b"))
    if sum(n > 1 for n in shape) <= 1 or not whole or _F32_ALWAYS.search(name):
        return "F32"
    by_arch = _F32_BY_ARCH.get(arch)
    return "F32" if by_arch and by_arch.search(name) else base


def assign(
    hp: Hyperparameters,
    shapes: Sequence[tuple[str, tuple[int, ...]]],
    file_type: str,
    imatrix: bool = False,
    *,
    keep_mxfp4: bool = False,
    older_mix: bool = False,
    bartowski: bool = False,
    chosen: Mapping[str, str] | None = None,
) -> tuple[Tensor, ...]:
    """Every tensor with the type that it has in a file of ``file_type``, in the given order.

    imatrix: quantized with an importance matrix, which changes some mixes.
    keep_mxfp4: the model was released with MXFP4 experts and its published files keep them
    (gpt-oss), because llama-quantize refuses to requantize them.
    older_mix: as llama-quantize chose until March 2026 (``advisor.llm.mixes.Mix.older``).
    bartowski: as his files mix experts (``advisor.llm.mixes.Mix.bartowski``).
    chosen: patterns of names and the type that their tensors get, as with llama-quantize's
    ``--tensor-type``; the first that is found in a name counts.
    Raises ModelError for an unknown type, or one whose mix cannot be predicted.
    """
    kind = _resolve(file_type)
    ready = _prepare(hp.arch, tuple(shapes))
    base = kind.name if kind.family == "float" else "BF16"
    types = [source or base for source in ready.sources]
    if kind.family != "float":
        mix = Mix(
            hp=hp,
            file_type=kind.name,
            imatrix=imatrix,
            tied=ready.tied,
            n_attn_v=ready.n_attn_v,
            bartowski=bartowski or (keep_mxfp4 and imatrix),
            older=older_mix,
        )
        by_hand = [(re.compile(pattern), name) for pattern, name in (chosen or {}).items()]
        for i, role in ready.order:
            name, shape = ready.shapes[i]
            types[i] = mix.choose(role, shape)
            for pattern, wanted in by_hand:
                if pattern.search(name):
                    types[i] = fallback(wanted, shape[0])
                    break
    if keep_mxfp4:
        for i in ready.experts:
            types[i] = "MXFP4"
    return ready.typed(types)


@dataclass(frozen=True)
class _Prepared:
    """What the file types of one model share: a matrix of them costs little more than one."""

    shapes: tuple[tuple[str, tuple[int, ...]], ...]
    sources: tuple[str, ...]
    """Type in the converter's file, empty where it is the file's own."""
    order: tuple[tuple[int, Role], ...]
    """What llama-quantize touches, in its order."""
    experts: tuple[int, ...]
    n_attn_v: int
    tied: bool
    made: tuple[dict[str, Tensor], ...]
    """Of every tensor, what was made of it in some type: the same object in every file type."""

    def typed(self, types: Sequence[str]) -> tuple[Tensor, ...]:
        """The tensors in these types."""
        return tuple(
            [
                made.get(type_name) or self._make(i, type_name)
                for i, (made, type_name) in enumerate(zip(self.made, types, strict=True))
            ]
        )

    def _make(self, i: int, type_name: str) -> Tensor:
        found = self.made[i][type_name] = Tensor(*self.shapes[i], TYPES[type_name])
        return found


@functools.lru_cache(maxsize=1024)  # more than the catalogue has models
def _prepare(arch: str, shapes: tuple[tuple[str, tuple[int, ...]], ...]) -> _Prepared:
    touched = [i for i, (n, s) in enumerate(shapes) if quantizable(arch, n, s)]
    touched.sort(key=lambda i: sort_key(shapes[i][0]))
    return _Prepared(
        shapes=shapes,
        sources=tuple(source_type(arch, name, shape, "") for name, shape in shapes),
        order=tuple(
            (i, role_of(shapes[i][0]))
            for i in sorted(touched, key=lambda i: sort_key(shapes[i][0]))
        ),
        experts=tuple(i for i, (n, s) in enumerate(shapes) if is_expert(n) and len(s) > 2),
        n_attn_v=sum(is_attn_v(name) for name, _ in shapes),
        tied=all(name != "output.weight" for name, _ in shapes),
        made=tuple({} for _ in shapes),
    )


def is_expert(name: str) -> bool:
    """A stacked expert matrix: what ``--n-cpu-moe`` leaves in RAM."""
    return "_exps.weight" in name or "_chexps.weight" in name


def is_attn_v(name: str) -> bool:
    """Counted by llama-quantize as attention values (llama-quant.cpp:category_is_attn_v)."""
    return any(text in name for text in ("attn_qkv.weight", "attn_kv_b.weight", "attn_v.weight"))


def _resolve(name: str) -> FileType:
    kind = file_type(name)
    if not kind.predictable:
        message = (
            f"{kind.name} files are converted from checkpoints that chose their own mix; "
            "it can only be read from the file. Open the GGUF itself."
        )
        raise ModelError(message)
    return kind
