"""What somebody wants of a model."""

from dataclasses import dataclass
from typing import Final, Literal

from advisor.basis import Range
from advisor.llm.catalogue import Ability, CatalogueEntry
from advisor.llm.intelligence import Purpose
from advisor.llm.model import Model
from advisor.sizing.sampling import reaches, sampling_seconds

Licence = Literal["any", "open", "commercial"]

ABILITIES: Final[tuple[Ability, ...]] = (
    "reasoning", "tools", "code", "vision", "audio", "multilingual",
)  # fmt: skip
"""Of the catalogue's models that chat."""
OPEN: Final = frozenset({"apache-2.0", "mit"})
_NOT_COMMERCIAL: Final = ("-nc-", "research", "exaone")


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants of a model."""

    ctx: int = 32768
    least_tps: float = 10.0
    """Of llama-server, which also chooses each token."""
    abilities: frozenset[Ability] = frozenset()
    licence: Licence = "any"
    most_params: int | None = None
    words: tuple[str, ...] = ()
    """In the model's name, id or maker, lower case."""

    def admits(self, entry: CatalogueEntry) -> bool:
        """Whether a model is one of those wanted, before it is sized."""
        if not entry.chats:
            return False
        licence = (entry.licence or "").lower()
        if self.licence == "open" and licence not in OPEN:
            return False
        if self.licence == "commercial" and any(word in licence for word in _NOT_COMMERCIAL):
            return False
        if self.most_params is not None and (entry.n_params > self.most_params):
            return False
        place = f"{entry.id} {entry.name} {entry.maker}".lower()
        if not all(word in place for word in self.words):
            return False
        # Every chat model writes code; those who ask for it want them ranked by it.
        return self.abilities - {"code"} <= set(entry.abilities)

    def fast(self, model: Model, decode: Range | None) -> bool:
        """Whether a model that decodes so is as fast in use as wished for."""
        return reaches(decode, sampling_seconds(model), self.least_tps)

    @property
    def purpose(self) -> Purpose:
        """What models are ranked by."""
        return "code" if "code" in self.abilities else "general"
