"""From a file or a name to a model."""

import re
from pathlib import Path
from typing import Final

from advisor.errors import BadModelFile, MissingFile, UnknownModel
from advisor.files import is_folder, is_missing
from advisor.llm import published
from advisor.llm.architectures import architecture, generic, required
from advisor.llm.catalogue import catalogue
from advisor.llm.filetypes import BY_FTYPE
from advisor.llm.gguf import GgufHeader, read_header
from advisor.llm.model import Model
from advisor.llm.model_names import stated_type, written

_MAGIC: Final = b"GGUF"
_ONE_EXPERT: Final = re.compile(r"blk\.\d+\.ffn_(?:gate|up|down)\.\d+\.weight$")
"""llama-arch.cpp:LLM_TENSOR_FFN_GATE_EXP of b11434, which nothing there loads any more."""
_OTHERS: Final = {
    "adapter": "an adapter (LoRA), which changes another model: size that one",
    "clip": "a projector (--mmproj), which a model takes along: choose that model",
    "controlvector": "a control vector, which steers another model: size that one",
    "imatrix": "an importance matrix, by which a model is quantized: size that one",
}
"""By ``general.type`` (gguf-py:GGUFType) or architecture: GGUF files that hold no model."""


def open_gguf(path: Path) -> Model:
    """The model in a GGUF file (any part of a split one): its own tensors, exactly.

    An architecture that we don't know keeps its weights; hyperparameters and context follow the
    generic rule where the header says enough, otherwise they are None and only llama.cpp knows.
    Of a download that is not finished the header is enough. Raises BadModelFile when the file is
    not a GGUF or its header can't be trusted.
    """
    return model_of_header(read_header(path, unfinished=True))


def model_of_header(header: GgufHeader) -> Model:
    """The model that a header describes.

    Raises BadModelFile where it contradicts itself or describes no model.
    """
    arch = str(header.metadata.get("general.architecture", ""))
    other = _OTHERS.get(str(header.metadata.get("general.type", ""))) or _OTHERS.get(arch)
    if other:
        raise BadModelFile(f"{header.path.name} holds {other}.")
    if not header.tensors:
        message = (
            f"{header.path.name} holds no weights: a vocabulary alone, or nothing. llama.cpp would "
            "not run it: choose a model's file."
        )
        raise BadModelFile(message)
    shapes = [(tensor.name, tensor.shape) for tensor in header.tensors]
    if any(_ONE_EXPERT.match(name) for name, _ in shapes):
        message = (
            f"{header.path.name} keeps every expert in a tensor of its own, as files of before "
            "April 2024 do. llama.cpp no longer loads that: download a newer file of the model."
        )
        raise BadModelFile(message)
    family = architecture(arch)
    if family is None:
        hp = generic.hyperparameters(header.metadata, shapes)
        memory = None if hp is None else generic.memory(hp, shapes)
    else:
        required.check(header.metadata, header.path.name)
        hp = family.from_gguf(header.metadata, shapes)
        memory = family.memory(hp)
    ftype = header.metadata.get("general.file_type")
    known = BY_FTYPE.get(ftype) if isinstance(ftype, int) else None
    return Model(
        id=header.path.name,
        name=written(header.metadata, header.path.stem),
        file_type=known.name if known else "mixed",
        source="gguf",
        tensors=header.model_tensors(),
        hp=hp,
        memory=memory,
        path=header.path,
        missing=header.missing,
    )


def is_gguf(path: Path) -> bool:
    """Whether a file begins as a GGUF does, whatever its name is (gguf.h:GGUF_MAGIC)."""
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def load(name_or_path: str, file_type: str | None = None, *, imatrix: bool = False) -> Model:
    """A GGUF file by its path, or a catalogue model by its name.

    The name of a publisher's repository means his files (``advisor.llm.published``). An absolute
    path needs no ``.gguf`` at its end: Ollama's blobs have none. file_type: of a
    catalogue model; None takes the one that the name states (``…-GGUF:Q4_K_M``), else the one its
    entry suggests. A file has its own.
    Raises UnknownModel, BadModelFile, or ModelError for an unknown file type.
    """
    path = Path(name_or_path).expanduser()
    if path.suffix.lower() == ".gguf" or path.is_absolute():
        if is_folder(path):
            message = f"{path} is a folder. Name the GGUF file in it."
            raise UnknownModel(message)
        if is_missing(path):
            raise MissingFile(path)
        return open_gguf(path)
    entry = catalogue().find(name_or_path)
    wanted = file_type or stated_type(name_or_path) or entry.suggested_file_type
    return published.model_of(entry, name_or_path, wanted, imatrix=imatrix)
