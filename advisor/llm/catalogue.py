"""The catalogue: models by name, from which the tensors of any file type follow.

Shipped entries are ``resources/models/*.json``; those that a user added lie in the data folder.
An entry holds the config.json values of its model (or the metadata of the GGUF it was made from),
never a list of tensors.
"""

import difflib
import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from advisor import paths, resources
from advisor.errors import ModelError, UnknownModel
from advisor.files import listed
from advisor.llm import architectures, unsupported
from advisor.llm.architectures import required
from advisor.llm.catalogue_entry import Ability, CatalogueEntry, GgufFacts, plain
from advisor.llm.gguf import read_header
from advisor.llm.model_names import own_names, written
from advisor.llm.vision_configs import stated

__all__ = [
    "Ability",
    "Catalogue",
    "CatalogueEntry",
    "add_from_config",
    "add_from_gguf",
    "catalogue",
    "remove",
]


class _File(BaseModel):
    """One file of entries by one maker."""

    model_config = ConfigDict(extra="forbid")

    maker: str
    models: list[dict[str, Any]]


_TELLING: Final = 3
"""Letters and digits from which on a name can be told from others."""
_MISTYPED: Final = 0.75
"""Least likeness of a mistyped name, as difflib measures it."""


class Catalogue:
    """All entries. Names are matched whatever their case and punctuation."""

    def __init__(self, entries: Iterable[CatalogueEntry]) -> None:
        self.entries: Final = tuple(entries)
        self._exact: dict[str, CatalogueEntry] = {}
        self._own: dict[str, list[CatalogueEntry]] = {}
        """By the name in its id, which goes before a short name that others have as well."""
        self._short: dict[str, list[CatalogueEntry]] = {}
        for entry in self.entries:
            own = plain(entry.id.rpartition("/")[2])
            self._own.setdefault(own, []).append(entry)
            for name in (entry.id, *entry.aliases):
                self._exact[name.lower()] = entry
                short = plain(name.rpartition("/")[2])
                self._add_short(short, entry)
            self._add_short(plain(entry.name), entry)

    def _add_short(self, short: str, entry: CatalogueEntry) -> None:
        found = self._short.setdefault(short, [])
        if entry not in found:
            found.append(entry)

    def _alike(self, name: str) -> list[CatalogueEntry]:
        """Entries that have most of a name's words in theirs, and least besides first."""
        parts = re.findall(r"([a-z]+)([\d.]*)", name.lower())

        def shared(entry: CatalogueEntry) -> int:
            known = entry.id.lower()
            whole = sum(len(word + number) for word, number in parts if word + number in known)
            return whole + sum(len(word) for word, _number in parts if word in known)

        most, letters = max(map(shared, self.entries)), sum(len(word) for word, _ in parts)
        alike = [entry for entry in self.entries if most > letters // 2 and shared(entry) == most]
        return sorted(alike, key=lambda entry: len(entry.id))

    def _named(self, name: str) -> list[CatalogueEntry]:
        """The entry of that id, or those of that short name."""
        entry = self._exact.get(name.strip().lower())
        if entry is not None:
            return [entry]
        short = plain(name)
        own = self._own.get(short, [])
        return own if len(own) == 1 else self._short.get(short, [])

    def nearest(self, name: str) -> list[CatalogueEntry]:
        """Entries that a name may have meant: with its words, most of them, or mistyped."""
        typed = plain(name)
        if len(typed) < _TELLING:
            return []
        near = self.search(name) or self._alike((own_names(name) or (name,))[-1])
        if near:
            return near
        close = difflib.get_close_matches(typed, self._short, n=5, cutoff=_MISTYPED)
        found = {entry.id: entry for short in close for entry in self._short[short]}
        return list(found.values())

    def find(self, name: str) -> CatalogueEntry:
        """The entry of that id, or of a short name that only one entry has.

        Names of repositories and files of a model find the model (``advisor.llm.model_names``).
        Raises UnknownModel, which names the nearest entries, or says that llama.cpp can't run it.
        """
        found = self._named(name)
        for own in own_names(name):
            found = found or self._named(own)
        if len(found) == 1:
            return found[0]
        if not found and (beyond := unsupported.named(name)):
            raise UnknownModel(beyond.sentence)
        near = found or self.nearest(name)
        shown = ", ".join(candidate.id for candidate in near[:5])
        if len(found) > 1:
            raise UnknownModel(f'"{name}" may be any of {shown}. Use its full name.')
        if not self.search(name) and (meant := self._meant_beyond(name, near)):
            message = f'The catalogue has no model "{name}". Did you mean {meant.name}?'
            raise UnknownModel(f"{message} {meant.sentence}")
        hint = f" Did you mean {shown}?" if shown else " Search the catalogue or open its GGUF."
        raise UnknownModel(f'The catalogue has no model "{name}".{hint}')

    def beyond(self, typed: str, *, begun: bool) -> unsupported.Unsupported | None:
        """The model that llama.cpp can't run which was typed, whole or (``begun``) in part."""
        if any(map(self._named, (typed, *own_names(typed)))):
            return None
        if not begun:
            return unsupported.named(typed)
        return unsupported.begun(typed) or self._meant_beyond(typed, self.nearest(typed))

    def _meant_beyond(
        self, name: str, near: list[CatalogueEntry]
    ) -> unsupported.Unsupported | None:
        """What a mistyped name means, where that is nearer to a model that can't be run."""
        beyond = unsupported.mistyped(name)
        if beyond is None:
            return None
        typed = plain(name.rpartition("/")[2])
        names = (plain(own) for e in near for own in (e.name, e.id.rpartition("/")[2]))
        alike = max((difflib.SequenceMatcher(None, typed, own).ratio() for own in names), default=0)
        return beyond[1] if beyond[0] > alike else None

    def search(
        self, text: str, among_alike: Callable[[CatalogueEntry], float] = lambda _entry: 0.0
    ) -> list[CatalogueEntry]:
        """Entries that have every word of ``text``, best first; alike ones as ``among_alike`` says.

        Words may be parts of a name, a maker, a licence, an ability, an architecture, or a size
        ("8b").
        """
        words = [plain(word) for word in text.split()]
        words = [word for word in words if word]
        if not words:
            return sorted(self.entries, key=among_alike)
        scored = [(_score(entry, words), entry) for entry in self.entries]
        hits = [(score, entry) for score, entry in scored if score]
        hits.sort(key=lambda hit: (-hit[0], among_alike(hit[1]), hit[1].name.lower()))
        if hits:
            return [entry for _, entry in hits]
        # Names of repositories have words that no entry has.
        for own in own_names(text):
            if named := self._named(own):
                return named
        return []


def catalogue() -> Catalogue:
    """Shipped and added models. Loaded once; ``add_…`` and ``remove`` refresh it."""
    return _load(_added_folder())


def add_from_gguf(path: Path) -> CatalogueEntry:
    """Keep the model of a GGUF header, to be sized in every file type.

    Raises BadModelFile, or ModelError for an architecture that we don't know.
    """
    header = read_header(path, unfinished=True)
    metadata = header.metadata
    arch = str(metadata.get("general.architecture", ""))
    family = architectures.architecture(arch)
    if family is None:
        raise ModelError(
            f"{path.name} has the architecture {arch or 'of no name'}, which Rig Advisor does not "
            "know. Open the file itself: its own sizes are exact."
        )
    required.check(metadata, path.name)
    shapes = [(tensor.name, tensor.shape) for tensor in header.tensors]
    hp = family.from_gguf(metadata, shapes)
    prefixed = {f"{arch}.{key}": value for key, value in hp.metadata.items()}
    title = written(metadata, path.stem)
    licence = metadata.get("general.license")
    entry = _new_entry(
        title,
        source=path.name,
        licence=licence if isinstance(licence, str) else None,
        gguf=GgufFacts(
            metadata={"general.architecture": arch, **prefixed},
            optional=tuple(sorted(hp.optional)),
        ),
    )
    return _keep(entry)


def add_from_config(config: Mapping[str, Any], name: str) -> CatalogueEntry:
    """Keep the model of a Hugging Face config.json. Raises ModelError when it can't be used."""
    entry = _new_entry(
        name, source="config.json", licence=None, config=dict(config), vision=stated(config)
    )
    return _keep(entry)


def remove(entry: CatalogueEntry) -> None:
    """Forget a model that the user added. Shipped entries stay."""
    _file_of(entry.id).unlink(missing_ok=True)
    _load.cache_clear()


def _new_entry(title: str, *, source: str, licence: str | None, **facts: Any) -> CatalogueEntry:  # noqa: ANN401 - config or gguf
    title = title.strip()[:120] or "Model"
    try:
        return CatalogueEntry(
            id=title,
            name=title.rpartition("/")[2],
            maker=title.partition("/")[0] if "/" in title else "added by you",
            licence=licence,
            source=(source,),
            date=date.today(),  # noqa: DTZ011 - the user's own calendar day
            added=True,
            **facts,
        )
    except ValidationError as error:
        raise ModelError(f"{title} can't be added.", detail=str(error)) from error


def _keep(entry: CatalogueEntry) -> CatalogueEntry:
    if not entry.shapes or not entry.hp.n_vocab:
        raise ModelError(f"{entry.name} has no tensors that could be sized.")
    path = _file_of(entry.id)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".part")
    scratch.write_text(entry.model_dump_json(exclude_defaults=True, indent=1), encoding="utf-8")
    scratch.replace(path)
    _load.cache_clear()
    return entry


def _added_folder() -> Path:
    return paths.data() / "models"


def _file_of(name: str) -> Path:
    return _added_folder() / (re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._")[:100] + ".json")


@functools.lru_cache(maxsize=4)
def _load(added: Path) -> Catalogue:
    entries = [*_shipped(), *_added(added)]
    return Catalogue({entry.id.lower(): entry for entry in entries}.values())


@functools.cache
def _shipped() -> tuple[CatalogueEntry, ...]:
    """Entries of the app. A bad one raises pydantic's ValidationError: it never ships."""
    entries: list[CatalogueEntry] = []
    for path in sorted(resources.path("models").glob("*.json")):
        file = resources.load(_File, "models", path.name)
        entries += [
            CatalogueEntry.model_validate({"maker": file.maker, **model}) for model in file.models
        ]
    return tuple(entries)


def _added(folder: Path) -> Iterable[CatalogueEntry]:
    for path in listed(folder, "*.json"):
        try:
            entry = CatalogueEntry.model_validate(json.loads(path.read_text(encoding="utf-8")))
            _ = entry.shapes
        except (OSError, ValueError, ModelError):
            # Damaged, or written by a later version: the file stays, the app goes on without it.
            continue
        yield entry


def _score(entry: CatalogueEntry, words: list[str]) -> int:
    parts, others, name, elsewhere = entry.searched
    score = 0
    for word in words:
        if word in parts:
            score += 4
        elif word in others:
            score += 3
        elif word in name:
            score += 2
        elif word in elsewhere:
            score += 1
        else:
            return 0
    return score
