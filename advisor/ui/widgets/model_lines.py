"""What the model picker lists: files on this machine first, then what a search finds."""

from collections.abc import Sequence
from dataclasses import dataclass

from advisor import units
from advisor.llm.catalogue import CatalogueEntry
from advisor.llm.local_files import LocalFile
from advisor.ui import services
from advisor.ui.texts import billions, tr


@dataclass(frozen=True, slots=True)
class Choice:
    """One line of the list."""

    model: str
    """Catalogue id or path."""
    title: str
    detail: str
    place: str
    """Whose folder a file lies in; empty for the catalogue."""
    words: str
    """What a search looks at, in lower case."""
    added: bool = False
    """In the catalogue because the user put it there."""


def entry_choice(entry: CatalogueEntry) -> Choice:
    """A catalogue model: maker, size, age, what it can do, licence."""
    size = billions(entry.n_params)
    if entry.active < entry.n_params * 0.9:
        size += f", {billions(entry.active)} active"
    year = f"{entry.released:%b %Y}" if entry.released else ""
    # Nearly every model chats.
    able = ", ".join(ability for ability in entry.abilities if ability != "chat")
    parts = [entry.maker, size, year, able, entry.licence or ""]
    detail = " · ".join(part for part in parts if part)
    return Choice(entry.id, entry.name, detail, "", entry.id.lower(), entry.added)


def catalogue_lines() -> dict[str, Choice]:
    """Every model of the catalogue, by id; reading it takes a second."""
    known = {entry.id: entry_choice(entry) for entry in services.read_catalogue()}
    search("a", (), known)  # what a search looks at is read with it, not at the first letter
    return known


def file_choice(file: LocalFile) -> Choice:
    """A file: its size and whose folder it lies in."""
    words = f"{file.name} {file.place} {file.path}".lower()
    size = units.size(file.size) if file.size else tr("empty")
    return Choice(str(file.path), file.name, size, file.place, words)


@dataclass(frozen=True, slots=True)
class Found:
    """What a search shows."""

    lines: list[Choice]
    count: str
    """How many there are, in words."""
    said: str = ""
    """Why these, where they are not what was looked for; why there are none."""
    beyond: bool = False
    """Whether llama.cpp cannot run what was looked for: nobody asked for what is listed."""


def search(wanted: str, files: Sequence[LocalFile], known: dict[str, Choice]) -> Found:
    """The lines for ``wanted``; ``known`` keeps those of the catalogue, which are made once."""
    words = wanted.lower().split()
    own_files = [file_choice(file) for file in files]
    own_files = [file for file in own_files if all(word in file.words for word in words)]
    found = services.search_models(wanted)
    alike = not found and not own_files
    beyond = services.unsupported_model(wanted, begun=alike)
    if beyond is not None:
        found = list({entry.id: entry for entry in (*beyond[1], *found)}.values())
    elif alike:
        found = services.nearest_models(wanted)
    for entry in found:
        if entry.id not in known:
            known[entry.id] = entry_choice(entry)
    entries = [known[entry.id] for entry in found]
    if own := services.files_of_publisher(wanted):
        entry, place = own
        detail = tr("as the files of {place} are").format(place=place)
        entries.insert(0, Choice(place, entry.name, detail, "", ""))
    count = tr("{files} on this machine, {entries} in the catalogue")
    count = count.format(files=len(own_files), entries=len(entries))
    if beyond is not None:
        return Found(own_files + entries, count, beyond[0], beyond=True)
    if not alike:
        return Found(own_files + entries, count)
    if entries:
        return Found(entries, "", tr("No model is called that; these come nearest."))
    nothing = tr("No model is called that. A part of its name is enough; or open its file.")
    return Found([], "", nothing)
