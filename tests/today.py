"""Catalogue models as today's converter and llama-quantize make them.

What was recorded from llama.cpp b11434 holds for these; the entries themselves are sized as their
published files, some of which are older.
"""

import functools

from advisor.llm.catalogue import CatalogueEntry, catalogue

_CONVERTED_NOW = {
    "google/gemma-3n-E2B-it": {"vocab_size": 262400},
    "google/gemma-3n-E4B-it": {"vocab_size": 262400},
}


@functools.cache
def today(name: str) -> CatalogueEntry:
    """The entry of that name, made anew."""
    entry = catalogue().find(name)
    if not entry.older_mix:
        return entry
    config = {**(entry.config or {}), **_CONVERTED_NOW.get(entry.id, {})}
    return CatalogueEntry.model_validate(
        entry.model_dump() | {"older_mix": False, "config": config}
    )
