"""What a quantization costs in quality, from published measurements in resources/quality.json.

Nothing is claimed that was not measured: a cell without rows says so, an interpolated one says so,
and no figure is about the user's own file.
"""

import functools
import re
from collections.abc import Iterable
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from advisor import resources
from advisor.llm.filetypes import FILE_TYPES
from advisor.llm.model import Model

Word = Literal["near lossless", "small", "noticeable", "heavy", "broken"]
ModelClass = Literal["small", "mid", "large", "moe"]

WORDS: Final[tuple[Word, ...]] = ("near lossless", "small", "noticeable", "heavy", "broken")
"""Best first."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WordLimit(_Frozen):
    """Up to which rise of perplexity (per cent) and mean KL divergence a word is used."""

    word: Word
    max_delta_ppl: float | None = None
    max_kld: float | None = None


class ClassInfo(_Frozen):
    """A class of models whose measurements were put together."""

    title: str
    measured: str
    max_params_b: float | None = None


class Cell(_Frozen):
    """Typical rise of perplexity in per cent, the lowest and highest row, and the words for it."""

    words: tuple[Word, ...] = ()
    typical: float | None = None
    low: float | None = None
    high: float | None = None
    interpolated: bool = False
    rows: int = 0
    note: str = ""
    sources: tuple[str, ...] = ()


class WeightRow(_Frozen):
    """One file type's cells by class."""

    file_type: str
    cells: dict[ModelClass, Cell]


class Release(_Frozen):
    """Models released in few bits: their reference is the release, not 16 bits."""

    match: str
    """Regular expression over the architecture and the model's name."""
    file_type: str
    keeps_experts: bool = False
    patched: bool = False
    """Only a patched file of that type is exact."""
    words: tuple[Word, ...] = ()
    low: float | None = None
    high: float | None = None
    text: str
    source: str
    date: str


class Fp8Release(_Frozen):
    """Models released in FP8."""

    match: str
    text: str


class KvRow(_Frozen):
    """One type of the KV cache."""

    type: str
    words: tuple[Word, ...]
    low: float | None = None
    high: float | None = None
    rows: int
    text: str
    source: str = ""


class KvException(_Frozen):
    """Models for which the table does not hold."""

    arch: str | None = None
    """``"mla"``: every model with a latent cache."""
    max_params_b: float | None = None
    types: tuple[str, ...]
    words: tuple[Word, ...]
    low: float | None = None
    high: float | None = None
    text: str
    source: str
    date: str


class KvTable(_Frozen):
    """What quantized KV caches cost."""

    rotation: str
    types: tuple[KvRow, ...]
    no_rotation: tuple[KvRow, ...]
    exceptions: tuple[KvException, ...]


class QualityData(_Frozen):
    """resources/quality.json."""

    date: str
    source: str
    words: tuple[WordLimit, ...]
    words_note: str
    classes: dict[ModelClass, ClassInfo]
    small_moe_active_b: float
    small_moe_note: str
    weights: tuple[WeightRow, ...]
    released: tuple[Release, ...]
    fp8: Fp8Release
    kv: KvTable


class QualityNote(_Frozen):
    """What a file type or a KV type costs, ready for the screen. No words: not measured."""

    words: tuple[Word, ...] = ()
    typical: float | None = None
    """Rise of wikitext-2 perplexity in per cent."""
    low: float | None = None
    high: float | None = None
    rows: int = 0
    """Published measurements behind it."""
    interpolated: bool = False
    reference: str = "16-bit weights"
    """What the loss is counted from."""
    sentence: str
    sources: tuple[str, ...] = ()
    date: str = Field(default="")

    @property
    def word(self) -> str:
        """``"small"``, ``"small to noticeable"`` or ``"not measured"``."""
        return " to ".join(self.words) if self.words else "not measured"

    @property
    def worst(self) -> Word | None:
        """The heavier of the words, None where nothing was measured."""
        return max(self.words, key=WORDS.index) if self.words else None


@functools.cache
def data() -> QualityData:
    """The shipped table, validated once."""
    return resources.load(QualityData, "quality.json")


@functools.cache
def _weights() -> dict[str, dict[ModelClass, Cell]]:
    return {row.file_type: row.cells for row in data().weights}


def classify(n_params: int, *, experts: bool = False, active: int | None = None) -> ModelClass:
    """The class whose measurements are nearest to a model of that size."""
    if experts:
        few = active is not None and active < data().small_moe_active_b * 1e9
        return "small" if few else "moe"
    for name in ("small", "mid"):
        limit = data().classes[name].max_params_b
        if limit is not None and n_params <= limit * 1e9:
            return name
    return "large"


def class_of(model: Model) -> ModelClass:
    """The class of a model."""
    hp = model.hp
    experts = bool(hp and hp.n_expert)
    active = active_params(model) if experts else None
    return classify(model.n_params, experts=experts, active=active)


def active_params(model: Model) -> int | None:
    """Parameters that one token uses; None when the architecture is not known."""
    hp = model.hp
    if hp is None:
        return None
    total = 0
    for tensor in model.tensors:
        if tensor.name in {"token_embd.weight", "per_layer_token_embd.weight"}:
            continue
        share = hp.n_expert_used / hp.n_expert if hp.n_expert and "_exps" in tensor.name else 1.0
        total += int(tensor.n_elements * share)
    return total


def weight_loss(
    model_class: ModelClass, file_type: str, *, model_name: str = "", arch: str = ""
) -> QualityNote:
    """What a file type costs a model of that class.

    ``model_name`` and ``arch`` find models released in few bits, whose reference is the release.
    """
    kind = FILE_TYPES.get(file_type)
    if kind is None:
        return QualityNote(sentence="A mix made by hand: its name does not tell what it costs.")
    release = _release(model_name, arch)
    if release is not None:
        note = _released(release, file_type)
        if note is not None:
            return note
    if kind.family == "float":
        fp8 = re.search(data().fp8.match, arch) if arch else None
        return QualityNote(
            words=("near lossless",),
            typical=0,
            low=0,
            high=0,
            sentence=f"The reference. {data().fp8.text}" if fp8 else "The reference: no loss.",
            date=data().date,
        )
    cell = _weights().get(file_type, {}).get(model_class)
    title = data().classes[model_class].title
    if cell is None or not cell.words:
        return QualityNote(
            rows=cell.rows if cell else 0,
            sentence=f"Not measured for {title}.",
            sources=cell.sources if cell else (),
            date=data().date,
        )
    note = QualityNote(
        words=cell.words,
        typical=cell.typical,
        low=cell.low,
        high=cell.high,
        rows=cell.rows,
        interpolated=cell.interpolated,
        sentence=_sentence(cell, title),
        sources=cell.sources,
        date=data().date,
    )
    if release is None:
        return note
    return note.model_copy(update={"sentence": f"{note.sentence} {release.text}"})


def model_loss(model: Model) -> QualityNote:
    """What a model's file type costs it."""
    return losses(model, (model.file_type,))[model.file_type]


def losses(model: Model, file_types: Iterable[str]) -> dict[str, QualityNote]:
    """What some file types would cost a model, whichever it is in."""
    kind, arch = class_of(model), model.hp.arch if model.hp else ""

    def loss(file_type: str) -> QualityNote:
        if not model.writes and getattr(FILE_TYPES.get(file_type), "family", "") != "float":
            return QualityNote(sentence=_UNMEASURED)
        return weight_loss(kind, file_type, model_name=f"{model.id} {model.name}", arch=arch)

    return {name: loss(name) for name in file_types}


_UNMEASURED: Final = (
    "Not measured: what was published is of models that write token by token, and says nothing of "
    "vectors, of scores or of texts that are refined whole."
)


def _release(model_name: str, arch: str) -> Release | None:
    text = f"{arch} {model_name}".lower().replace(" ", "-")
    return next((r for r in data().released if re.search(r.match, text)), None)


def _released(release: Release, file_type: str) -> QualityNote | None:
    """The note for the released type and those that hold all of it; None for the others.

    Where a range was measured it covers every wider type. Otherwise only 8 bits and more hold
    another 4-bit format's values: Q4_K to Q6_K of such a release round once more, unmeasured.
    """
    kind = FILE_TYPES[file_type]
    least = FILE_TYPES[release.file_type if release.words else "Q8_0"].order
    holds = file_type == release.file_type or kind.order >= least
    if not (holds or release.keeps_experts) or release.patched:
        return None
    return QualityNote(
        words=release.words or ("near lossless",),
        low=release.low if release.words else 0,
        high=release.high if release.words else 0,
        typical=None if release.words else 0,
        reference="the release itself",
        sentence=release.text,
        sources=(release.source,),
        date=release.date,
    )


def _percent(value: float) -> str:
    digits = 0 if abs(value) >= 10 else 1 if abs(value) >= 0.1 else 2
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _sentence(cell: Cell, title: str) -> str:
    word = " to ".join(cell.words)
    if cell.interpolated and cell.typical is not None:
        text = (
            f"Expected loss at this size: {word} (about {_percent(cell.typical)}% higher "
            f"perplexity, interpolated from neighbouring types; no such row for {title})."
        )
    elif cell.low is not None and cell.high is not None:
        span = (
            f"{_percent(cell.low)}%"
            if cell.low == cell.high
            else f"{_percent(cell.low)} to {_percent(cell.high)}%"
        )
        # Beside one row of the type itself a note may tell of others, which a range holds.
        few = ", the only measurement" if cell.rows == 1 and cell.low == cell.high else ""
        text = (
            f"Typical loss at this size: {word} ({span} higher perplexity{few}). "
            "Measured on other models, not on this file."
        )
    else:
        text = f"Typical loss at this size: {word}."
        if not cell.rows:
            text = f"Expected loss at this size: {word}, judged from neighbours; no row measured."
    return f"{text} {cell.note}".strip()


def kv_loss(model: Model, ctk: str, ctv: str) -> QualityNote:
    """What the KV types cost a model: the worse of the two, exceptions first."""
    notes = [_kv(model, ctk), _kv(model, ctv)]
    ranked = sorted(notes, key=lambda n: WORDS.index(n.worst) if n.worst else len(WORDS))
    return ranked[-1]


def _kv(model: Model, type_name: str) -> QualityNote:
    table = data().kv
    if not model.writes and type_name not in {"f16", "bf16", "f32"}:
        return QualityNote(sentence=_UNMEASURED)
    for exception in table.exceptions:
        if type_name in exception.types and _applies(exception, model):
            return QualityNote(
                words=exception.words,
                low=exception.low,
                high=exception.high,
                rows=1,
                reference="an f16 cache",
                sentence=exception.text,
                sources=(exception.source,),
                date=exception.date,
            )
    rotated = _rotates(model)
    rows = [*(() if rotated else table.no_rotation), *table.types]
    row = next((r for r in rows if r.type == type_name), None)
    if row is None:
        return QualityNote(sentence=f"{type_name} is not a KV type of llama.cpp.")
    quantized = type_name not in {"f32", "f16", "bf16"}
    rotation = f" {table.rotation}" if quantized and rotated else ""
    return QualityNote(
        words=row.words,
        low=row.low,
        high=row.high,
        rows=row.rows,
        reference="an f16 cache",
        sentence=row.text + rotation,
        sources=(row.source,) if row.source else (),
        date=data().date,
    )


def _rotates(model: Model) -> bool:
    """Whether llama.cpp rotates K and V (llama-kv-cache.cpp: heads of one size, in 64s)."""
    hp = model.hp
    if hp is None:
        return False
    same = not hp.n_embd_head_k_swa or hp.n_embd_head_k_swa == hp.n_embd_head_k
    return same and hp.n_embd_head_k > 0 and hp.n_embd_head_k % 64 == 0


def _applies(exception: KvException, model: Model) -> bool:
    hp = model.hp
    if exception.arch == "mla":
        return bool(hp and hp.is_mla)
    if exception.arch is not None:
        return bool(hp and hp.arch == exception.arch)
    limit = exception.max_params_b
    return limit is not None and model.n_params < limit * 1e9
