"""Software of others that the app carries: names, versions, licences and their texts."""

import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from advisor import resources

OURS: Final = "rig-advisor"
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")
_LICENCE: Final = re.compile(r"licen[cs]e|copying|notice", re.IGNORECASE)
_KIND: Final = "License :: OSI Approved :: "
_LGPL: Final = ("LGPL-3.0.txt", "GPL-3.0.txt")
"""Qt's wheels carry no text of their licence; the LGPL builds on the GPL."""


@dataclass(frozen=True, slots=True)
class Component:
    """One package, library or typeface."""

    name: str
    version: str
    licence: str
    texts: tuple[Path, ...]
    """Files with its licence; empty where its package holds none."""

    def text(self) -> str:
        """The licence's words, and whose they are."""
        found = [path.read_text(encoding="utf-8", errors="replace") for path in self.texts]
        return "\n\n".join(found) or f"{self.name} states {self.licence} and carries no text."


def components() -> tuple[Component, ...]:
    """Everything that is installed because this app needs it, by name; and the typeface."""
    found: dict[str, Component] = {}
    waiting = [OURS]
    while waiting:
        name = waiting.pop()
        try:
            package = metadata.distribution(name)
        except metadata.PackageNotFoundError:  # of another system, or an extra
            continue
        known = package.metadata["Name"]
        if known in found:
            continue
        found[known] = _component(package, known)
        needed = [line for line in package.requires or () if "extra ==" not in line]
        waiting += [match.group() for line in needed if (match := _NAME.match(line)) is not None]
    found.pop(OURS, None)
    inter = Component("Inter", "4.0", "OFL-1.1", (resources.path("fonts", "OFL.txt"),))
    return tuple(sorted((*found.values(), inter), key=lambda part: part.name.lower()))


def _component(package: metadata.Distribution, name: str) -> Component:
    about = package.metadata
    files = [Path(str(package.locate_file(f))) for f in package.files or () if _is_licence(f)]
    texts = tuple(file for file in files if file.is_file())
    told: list[str] = [
        *about.get_all("License-Expression", []),
        *about.get_all("License", []),
        *(kind.rpartition(":: ")[2] for kind in about.get_all("Classifier", []) if _KIND in kind),
    ]
    licence = next((words for words in told if words and "\n" not in words), "see its text")
    if "LGPL" in licence and not texts:
        licence = "LGPL-3.0-only"
        texts = tuple(resources.path("licences", text) for text in _LGPL)
    return Component(name, package.version, licence, texts)


def _is_licence(file: metadata.PackagePath) -> bool:
    return ".dist-info" in str(file) and bool(_LICENCE.search(str(file)))


def notices() -> str:
    """All of it as one text."""
    head = "Rig Advisor carries this software of others, each under its own licence.\n"
    parts = components()
    rows = [f"{part.name} {part.version}: {part.licence}" for part in parts]
    texts = [f"{'=' * 78}\n{part.name} {part.version}\n\n{part.text()}" for part in parts]
    return "\n".join((head, *rows, "", *texts))
