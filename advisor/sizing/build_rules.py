"""What builds of llama.cpp reserve otherwise than b11434, whose rules the engine follows.

A change holds for a run that tells a build which is proven to have it (``RunSettings.built``).
Where none is told, or only the month in which it came, b11434's rules hold.
"""

from functools import lru_cache
from typing import Final, NamedTuple

from advisor.sizing.build_dates import dated_builds, has, words

OLDEST: Final = "b11434"
"""The build whose rules hold but for the changes."""


class BuildRules(NamedTuple):
    """Which of the changes in resources/llama_cpp_builds.json hold, by their names.

    A tuple, since it is compared with every question about a graph.
    """

    rows_early: bool = False
    """Rows of the output are picked in the last block also where a draft head reads them."""
    lookups_first: bool = False
    """Embeddings are looked up before all else, so that what is done to them stays on a device."""
    masks_always: bool = False
    """GLM-5.3-Flash masks the cells that its indexer leaves out in the smallest batches too."""
    streams_kept: bool = False
    """DeepSeek V4's last hidden streams stay to the end of its graph, for a draft head."""


UNCHANGED: Final = BuildRules()
"""Those of b11434."""


@lru_cache(maxsize=256)
def rules_of(told: str) -> BuildRules:
    """The rules of a build, of a version, or of what is current at a time; "": b11434's."""
    return BuildRules(**{change.rule: has(told, change) for change in dated_builds().changes})


def version_of(told: str) -> str:
    """The build by whose rules a run is sized: the last change that it is proven to have."""
    held = [change.build for change in dated_builds().changes if has(told, change)]
    return f"b{max(held)}" if held else OLDEST


@lru_cache(maxsize=256)
def sentence(told: str) -> str:
    """By which rules compute buffers are sized, and what they do otherwise than b11434's."""
    held = [change for change in dated_builds().changes if has(told, change)]
    if not held:
        return f"By the rules of llama.cpp {OLDEST}."
    others = "; ".join(f"{change.what} (from b{change.build} on at the latest)" for change in held)
    return f"By the rules of llama.cpp {words(told)}. Otherwise than {OLDEST} it {others}."
