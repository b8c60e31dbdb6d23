"""Bytes of the weights on every device and on the host, padded as each buffer pads them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from advisor.llm.hyperparameters import Hyperparameters
from advisor.llm.model import Model, Projector
from advisor.llm.tensor import Tensor, TensorType
from advisor.sizing import overrides
from advisor.sizing.left_in_ram import LEAVES, NO_PRODUCT, left_in_ram, may_be_left, read_lazily
from advisor.sizing.placement import HOST, Placement
from advisor.sizing.settings import RunSettings
from advisor.sizing.tables import PerModel

ROW_PADDING = 512
"""ggml-cuda/common.cuh:MATRIX_ROW_PADDING: quantized rows are padded to it."""

_PADS_ROWS = frozenset({"cuda", "rocm", "sycl", "rpc"})
_ALIGNMENT = {"cuda": 128, "rocm": 128, "sycl": 128, "rpc": 128}
"""A device of another machine is asked for its own (ggml-rpc.cpp); CUDA's is the largest."""
_HOST_ALIGNMENT = 32
"""ggml-impl.h:TENSOR_ALIGNMENT, also of pinned host buffers; other backends are close to it."""

NEVER_RUN_NEXTN = frozenset({"bailingmoe2", "exaone4", "exaone-moe", "glm4", "dots3note"})
"""Architectures that skip their NextN layers whatever ``load_mtp`` says (models/*.cpp)."""

_NEXTN_STILL_LOADED = {
    "glm-dsa": re.compile(r"exp_probs_b"),
    "deepseek32": re.compile(r"exp_probs_b"),
    "hy_v3": re.compile(r"ffn_(gate|up|down)|exp_probs_b|nextn\.(embed|shared)"),
    "cohere2moe": re.compile(r"nextn\.(embed|shared)"),
    "step35": re.compile(
        r"attn_(q_norm|k_norm|gate)|ffn_(gate|up|down)|exp_probs_b|nextn\.(embed|shared)"
    ),
}
"""What these architectures load of a NextN layer although it is skipped: tensors that
models/*.cpp:load_arch_tensors creates with TENSOR_NOT_REQUIRED alone."""

_TIED_TWICE = frozenset({"gemma3n", "gemma4"})
"""Architectures that create the output matrix before the embedding it copies, and so keep two
copies on the host as well (models/gemma3n.cpp, gemma4.cpp:load_arch_tensors)."""

_FULL_ATTENTION_ROTATES = frozenset({"gemma4", "gemma4-assistant"})
"""Architectures of which only blocks with full attention load rope factors."""

_NO_OUTPUT = frozenset({
    "bert", "nomic-bert", "nomic-bert-moe", "jina-bert-v2", "jina-bert-v3", "modern-bert",
    "eurobert", "neo-bert", "bitnet",
})  # fmt: skip
"""Architectures without an output matrix of their own, not even a copy: encoders, whose result are
vectors, and BitNet, which multiplies by the embeddings where they are (models/bitnet.cpp)."""

_STACKS = ("enc.", "dec.")
_STACKED_BLOCKS = ("enc.blk.", "dec.blk.")
"""What names begin with where a model has two stacks of blocks (T5)."""
_INPUT = frozenset({"token_embd", "position_embd", "token_types", "per_layer_token_embd"})
"""llama-arch.cpp:LLM_TENSOR_INFOS: tensors of the input layer, always on the host."""
_FIRST_BLOCK = frozenset({"token_embd_norm", "per_layer_model_proj", "per_layer_proj_norm", "hrm"})
"""Tensors without a block number that llama.cpp loads with block 0."""
_EVERY_DEVICE = frozenset({"rope_freqs", "rope_factors_long", "rope_factors_short"})
"""One copy on every device that holds a block (TENSOR_DUPLICATED)."""


def align(size: int, to: int) -> int:
    """``size`` rounded up to a multiple of ``to``."""
    return -(-size // to) * to


def alignment(backend: str) -> int:
    """Bytes that a tensor's start is aligned to in a buffer of this backend."""
    return _ALIGNMENT.get(backend, _HOST_ALIGNMENT)


def row_padding(backend: str, type_: TensorType, ne0: int) -> int:
    """Extra bytes behind a quantized tensor (ggml-cuda.cu:…buffer_type_get_alloc_size)."""
    if backend not in _PADS_ROWS or type_.block == 1 or ne0 % ROW_PADDING == 0:
        return 0
    return type_.row_bytes(ROW_PADDING - ne0 % ROW_PADDING)


def allocated(tensor: Tensor, backend: str) -> int:
    """Bytes of one tensor in a buffer of ``backend``."""
    size = tensor.nbytes + row_padding(backend, tensor.type, tensor.shape[0])
    return align(size, alignment(backend))


@dataclass(frozen=True, slots=True)
class WeightTable:
    """A model's weights by place, as one backend's buffers would hold them, in bytes."""

    n_layer_all: int
    dense: tuple[int, ...]
    """Per block, everything but the routed experts."""
    experts: tuple[int, ...]
    """Per block, the routed experts."""
    input: int
    output: int
    """Tensors of the output layer that are in the file."""
    tied: int
    """The token embedding where it serves as the output matrix too."""
    repeated: int
    """Tensors that every device with a block that reads them holds a copy of."""
    repeats: tuple[bool, ...]
    """Per block, whether it reads them."""
    stays: tuple[int, ...]
    """Per block and for the output layer, bytes that this backend leaves on the host."""
    experts_stay: tuple[int, ...]
    """Per block, the routed experts among them."""
    largest: int
    """The largest block, experts included."""


def n_blocks(model: Model) -> int:
    """Blocks in the file, NextN layers included (llama-hparams.h:n_layer_all)."""
    if model.hp is not None:
        return model.hp.n_layer_all
    return 1 + max((_block(t.name) or 0 for t in model.tensors), default=-1)


def _block(name: str) -> int | None:
    if name.startswith(_STACKS):
        name = name[4:]
    if not name.startswith("blk."):
        return None
    number = name[4 : name.find(".", 4)]
    return int(number) if number.isdecimal() else None


_Place = int | Literal["input", "repeated", "output"]


def _place_of(name: str, hp: Hyperparameters | None, total: int) -> _Place:
    """Block, or the input or output layer (llama-arch.cpp:LLM_TENSOR_INFOS)."""
    stem = name.split(".", 1)[0]
    if stem == "blk" or name.startswith(_STACKED_BLOCKS):
        block = _block(name)
        return "output" if block is None or block >= total else block
    if stem in _INPUT:
        return "input"
    if stem in _EVERY_DEVICE:
        return "repeated"
    if name == "nextn.pre_projection.weight":
        return 0
    if stem in _FIRST_BLOCK and not (hp is not None and hp.arch in {"lfm2", "lfm2moe"}):
        return 0
    return "output"


def _is_loaded(hp: Hyperparameters | None, name: str, place: _Place, *, load_mtp: bool) -> bool:
    """Whether a tensor is loaded: of NextN layers, only where they are asked for and run."""
    if hp is None or not isinstance(place, int) or place < hp.n_layer:
        return True
    if load_mtp and hp.arch not in NEVER_RUN_NEXTN:
        return True
    still_loaded = _NEXTN_STILL_LOADED.get(hp.arch)
    return still_loaded is not None and still_loaded.search(name) is not None


@dataclass(frozen=True, eq=False)
class _Layout:
    """Where the tensors go that are loaded; the file types of one model share it."""

    at: NDArray[np.intp]
    """Their positions in the model."""
    slot: NDArray[np.intp]
    """A block for what is read by every token, a block after all blocks for routed experts, then
    input, repeated and output."""
    names: tuple[str, ...]
    embedding: int | None
    """Place of the token embedding among them."""
    tied: bool


@lru_cache(maxsize=512)
def _layout(
    names: tuple[str, ...], hp: Hyperparameters | None, total: int, load_mtp: bool
) -> _Layout:
    outside = {"input": 2 * total, "repeated": 2 * total + 1, "output": 2 * total + 2}
    at: list[int] = []
    slots: list[int] = []
    for position, name in enumerate(names):
        place = _place_of(name, hp, total)
        if _is_loaded(hp, name, place, load_mtp=load_mtp):
            at.append(position)
            routed = total if overrides.EXPERTS.search(name) else 0
            slots.append(place + routed if isinstance(place, int) else outside[place])
    loaded = tuple(names[position] for position in at)
    return _Layout(
        at=np.array(at, dtype=np.intp),
        slot=np.array(slots, dtype=np.intp),
        names=loaded,
        embedding=loaded.index("token_embd.weight") if "token_embd.weight" in loaded else None,
        tied="output.weight" not in loaded and not _no_output(hp),
    )


def _make_table(model: Model, key: tuple[str, bool, overrides.Targets]) -> WeightTable:
    backend, load_mtp, targets = key
    hp = model.hp
    total = n_blocks(model)
    kinds = model.kinds.kinds
    layout = _layout(tuple([t.name for t in model.tensors]), hp, total, load_mtp)
    kind, slot = model.kinds.of[layout.at], layout.slot
    sizes = np.array([allocated(tensor, backend) for tensor in kinds], dtype=np.int64)[kind]
    here = np.ones(len(slot), dtype=np.bool_)
    if targets:
        here[:] = [overrides.target(name, targets) is None for name in layout.names]
    embedding = layout.embedding
    tied = 0
    if layout.tied and embedding is not None and here[embedding]:
        tied = int(sizes[embedding])
    stay = here & _refused(model, backend)[layout.at] & (slot != 2 * total)
    here &= ~stay
    bytes_of = _sums(slot[here], sizes[here], 2 * total + 3)
    on_host = np.array([allocated(tensor, "cpu") for tensor in kinds], dtype=np.int64)[kind]
    staying = _sums(slot[stay], on_host[stay], 2 * total + 3)
    dense, experts = bytes_of[:total], bytes_of[total : 2 * total]
    experts_stay = staying[total : 2 * total]
    return WeightTable(
        n_layer_all=total,
        dense=tuple(dense),
        experts=tuple(experts),
        input=bytes_of[2 * total],
        output=bytes_of[2 * total + 2],
        tied=tied,
        repeated=bytes_of[2 * total + 1],
        repeats=tuple(reads_repeated(hp, il) for il in range(total)),
        stays=(
            *(a + b for a, b in zip(staying[:total], experts_stay, strict=True)),
            sum(staying[2 * total :]),
        ),
        experts_stay=tuple(experts_stay),
        largest=max((a + b for a, b in zip(dense, experts, strict=True)), default=0),
    )


def _refused(model: Model, backend: str) -> NDArray[np.bool_]:
    """Which tensors a backend leaves on the host."""
    kinds = model.kinds
    if backend not in LEAVES:
        return np.zeros(len(kinds.of), dtype=np.bool_)
    refused = np.array([kind.type.name in NO_PRODUCT for kind in kinds.kinds], dtype=np.bool_)
    found: NDArray[np.bool_] = refused[kinds.of]
    for at, tensor in enumerate(model.tensors):
        if may_be_left(tensor.name):
            found[at] = left_in_ram(model.hp, tensor.name, tensor.type.name, tensor.shape)
    return found


def _sums(slot: NDArray[np.intp], sizes: NDArray[np.int64], slots: int) -> list[int]:
    """Sizes summed by slot. Doubles hold the sums exactly: no model has 2⁵³ bytes."""
    return np.bincount(slot, weights=sizes, minlength=slots).astype(np.int64).tolist()


def reads_repeated(hp: Hyperparameters | None, il: int) -> bool:
    """Whether a block loads the rope factors: Gemma 4's only with full attention (gemma4.cpp)."""
    return hp is None or hp.arch not in _FULL_ATTENTION_ROTATES or not hp.is_swa(il)


_tables = PerModel(_make_table)


def weight_table(
    model: Model, backend: str, *, load_mtp: bool, targets: overrides.Targets = ()
) -> WeightTable:
    """The model's weights as buffers of ``backend`` hold them; "cpu" for the host.

    Tensors that ``targets`` (``-ot``) put elsewhere are left out; ``moved_weights`` has them.
    """
    return _tables(model, (backend, load_mtp, targets))


def _matching(model: Model, targets: overrides.Targets) -> overrides.Targets:
    names = [tensor.name for tensor in model.tensors]
    stays = [
        (f"^{re.escape(tensor.name)}$", HOST)
        for tensor in model.tensors
        if read_lazily(model.hp, tensor.name, tensor.nbytes)
        and overrides.target(tensor.name, targets) is not None
    ]
    targets = (*stays, *targets)
    return tuple(
        found
        for at, found in enumerate(targets)
        if any(
            overrides.target(name, targets[at : at + 1]) is not None
            and overrides.target(name, targets[:at]) is None
            for name in names
        )
    )


matching = PerModel(_matching)
"""The overrides that decide about at least one tensor of a model."""


def _moved(model: Model, key: tuple[tuple[str, ...], bool, overrides.Targets]) -> tuple[int, ...]:
    backends, load_mtp, targets = key
    names = (*backends, "cpu")
    total = n_blocks(model)
    moved = [0] * len(names)
    for tensor in model.tensors:
        device = overrides.target(tensor.name, targets)
        place = _place_of(tensor.name, model.hp, total)
        if device is None or not _is_loaded(model.hp, tensor.name, place, load_mtp=load_mtp):
            continue
        # An embedding that is the output matrix too goes to the same buffer both times, where one
        # copy serves both (llama-model-loader.cpp:create_tensor).
        twice = tensor.name == "token_embd.weight" and tied_twice(model)
        moved[device] += allocated(tensor, names[device]) * (1 + twice)
    return tuple(moved)


_moved_tables = PerModel(_moved)


def moved_weights(
    model: Model, backends: Sequence[str], targets: overrides.Targets, *, load_mtp: bool
) -> tuple[int, ...]:
    """Bytes that ``-ot`` puts on every device and, last, on the host."""
    if not targets:
        return (0,) * (len(backends) + 1)
    return _moved_tables(model, (tuple(backends), load_mtp, targets))


def _no_output(hp: Hyperparameters | None) -> bool:
    return hp is not None and hp.arch in _NO_OUTPUT


def tied_twice(model: Model) -> bool:
    """Whether a tied embedding is kept twice even when the output layer is on the host."""
    return model.hp is not None and model.hp.arch in _TIED_TWICE


@dataclass(frozen=True, slots=True)
class WeightBytes:
    """Bytes of weights on every device and on the host."""

    devices: tuple[int, ...]
    host: int


_Where = tuple[Placement, tuple[str, ...], bool]


def _place_weights(model: Model, key: _Where) -> WeightBytes:
    placement, backends, load_mtp = key
    targets = placement.overrides
    tables = [
        weight_table(model, b, load_mtp=load_mtp, targets=targets) for b in (*backends, "cpu")
    ]
    on_host = tables[HOST]
    devices = list(moved_weights(model, backends, targets, load_mtp=load_mtp))
    devices[HOST] += on_host.input
    moved = placement.experts_on_host
    start = 0
    seen: set[int] = set()
    for device, run in groupby(placement.layer_device[:-1]):
        end = start + sum(1 for _ in run)
        table = tables[device]
        devices[device] += sum(table.dense[start:end])
        if device == HOST or not moved:
            devices[device] += sum(table.experts[start:end])
        else:
            for block in range(start, end):
                home = HOST if block in moved else device
                devices[home] += tables[home].experts[block]
                if home == HOST:
                    devices[HOST] -= table.experts_stay[block]
        devices[HOST] += sum(table.stays[start:end])
        if device not in seen and any(table.repeats[start:end]):
            devices[device] += table.repeated
            seen.add(device)
        start = end
    device = placement.layer_device[-1]
    table = tables[device]
    twice = device != HOST or tied_twice(model)
    devices[device] += table.output + (table.tied if twice else 0)
    devices[HOST] += table.stays[-1]
    return WeightBytes(devices=tuple(devices[:-1]), host=devices[HOST])


_placed = PerModel(_place_weights)


def weights(
    model: Model, settings: RunSettings, placement: Placement, backends: Sequence[str]
) -> WeightBytes:
    """What llama.cpp loads where (llama-model.cpp:load_tensors, llama-model-loader.cpp).

    Token embeddings stay on the host. An output matrix that is the embedding is a second copy when
    the output layer is on a device; on the host most architectures share it.
    """
    return _placed(model, (placement, tuple(backends), settings.load_mtp))


def device_tensors(
    model: Model, placement: Placement, backend: str, *, load_mtp: bool
) -> list[Tensor]:
    """The tensors that lie on devices, of any; a tied embedding serves as the output there."""
    total = n_blocks(model)
    refused = _refused(model, backend)
    on_device = [device != HOST for device in placement.layer_device]
    tied = all(tensor.name != "output.weight" for tensor in model.tensors)
    tied = tied and not _no_output(model.hp)
    found: list[Tensor] = []
    for at, tensor in enumerate(model.tensors):
        place = _place_of(tensor.name, model.hp, total)
        if not _is_loaded(model.hp, tensor.name, place, load_mtp=load_mtp):
            continue
        by_hand = overrides.target(tensor.name, placement.overrides)
        if by_hand is not None or refused[at]:
            here = by_hand not in {None, HOST}
        elif place == "input":
            here = tied and on_device[-1] and tensor.name == "token_embd.weight"
        elif place == "repeated":
            here = any(on_device[il] and reads_repeated(model.hp, il) for il in range(total))
        elif place == "output":
            here = on_device[-1]
        else:
            kept = place in placement.experts_on_host and overrides.EXPERTS.search(tensor.name)
            here = on_device[place] and not kept
        if here:
            found.append(tensor)
    return found


def projector_weights(
    projector: Projector, backends: Sequence[str], *, on_host: bool
) -> tuple[int, ...]:
    """Bytes of a multimodal projector per device and, last, on the host.

    clip.cpp:clip_ctx takes the first GPU, whatever the main model uses, or the CPU.
    """
    sizes = [0] * (len(backends) + 1)
    home, backend = (HOST, "cpu") if on_host else (0, backends[0])
    sizes[home] = sum(allocated(tensor, backend) for tensor in projector.tensors)
    return tuple(sizes)
