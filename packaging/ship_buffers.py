"""Work out the compute buffers that a first start asks for, so that an installed app has them.

Called by build.py once the app is frozen: the figures follow from the very sources that were
packed, and are found by everything else that they follow from (``advisor.sizing.compute.recall``).
They are those of catalogue models with default settings that lie wholly on one card or in RAM, run
by the app's own llama.cpp, as the window asks; what else a rig asks for is worked out there.
"""

import contextlib
import sys
from pathlib import Path

from advisor import answers
from advisor.engine.told import embedded_version
from advisor.errors import RigAdvisorError
from advisor.kept_buffers import write_shipped
from advisor.llm.catalogue import catalogue
from advisor.sizing.allocation import allocate
from advisor.sizing.compute import recall, traces
from advisor.sizing.compute.recall import Sizes
from advisor.sizing.settings import RunSettings

BACKENDS = ("metal",) if sys.platform == "darwin" else ("cuda", "vulkan")
"""Those whose rules size buffers in their own way on this system's cards; ROCm's are CUDA's."""
ROOM = 1 << 50


class _Collected:
    """A place to keep figures (``recall.Figures``)."""

    def __init__(self) -> None:
        self.figures: dict[bytes, Sizes] = {}

    def get(self, identity: bytes) -> Sizes | None:
        """The figures kept under this identity."""
        return self.figures.get(identity)

    def put(self, identity: bytes, sizes: Sizes) -> None:
        """Keep figures."""
        self.figures[identity] = sizes


def collect(which: slice = slice(None)) -> dict[bytes, Sizes]:
    """The figures of these models of the catalogue."""
    place = _Collected()
    recall.keep_in(place)
    try:
        engine = embedded_version()
        for entry in catalogue().entries[which]:
            model = entry.model(entry.suggested_file_type)
            # Models that compute alike have names of their own.
            traces.measure.cache_clear()
            for ctx in answers.contexts_of(model, RunSettings()):
                for backends in ((), *((backend,) for backend in BACKENDS)):
                    # What llama.cpp refuses by default takes no buffers.
                    with contextlib.suppress(RigAdvisorError):
                        space = (ROOM,) * len(backends)
                        allocate(model, RunSettings(ctx=ctx, built=engine), backends, space)
    finally:
        recall.keep_in(None)
    return place.figures


def ship(resources: Path) -> int:
    """Write them beside the app's other data; how many."""
    found = collect()
    write_shipped(resources, found)
    return len(found)
