"""How a graphics card outside the case is joined to its computer, from resources."""

import functools
import re

from pydantic import BaseModel, ConfigDict

from advisor import resources


class ExternalLink(BaseModel):
    """A cable or tunnel, as the PCIe link that it comes to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    pattern: str
    """Regular expression of how people write it, in lower case."""
    generation: int
    """Of PCIe."""
    lanes: int
    measured_gbs: tuple[float, float] | None
    """Between which published copies to and from a card lie, 10**9 bytes a second."""
    source: str


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    about: str
    date: str
    links: tuple[ExternalLink, ...]


@functools.cache
def external_links() -> tuple[ExternalLink, ...]:
    """Every way that is known; the one that says least comes last."""
    return resources.load(_File, "external_links.json").links


@functools.cache
def _found() -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple(
        (
            re.compile(rf"(?:\bover\s+)?\b(?:{link.pattern})\b"),
            f" pcie {link.generation}.0 x{link.lanes} ",
        )
        for link in external_links()
    )


def as_pcie(text: str) -> str:
    """A machine's words in lower case, with “over OCuLink” as the PCIe link that it comes to.

    Of what is said twice, “eGPU over OCuLink” or “eGPU PCIe 4.0 x4”, the more exact counts.
    """
    for pattern, link in _found():
        text = pattern.sub(" " if re.search(r"\bpcie\s*[\dx]", text) else link, text)
    return text
