"""How many memory channels a processor has, by its name."""

import functools
import re

from pydantic import BaseModel, ConfigDict, Field

from advisor import resources


class _Known(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    pattern: str
    channels: int = Field(gt=0)
    source: str


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    about: str
    date: str
    processors: tuple[_Known, ...]


@functools.cache
def _known() -> tuple[_Known, ...]:
    return resources.load(_File, "memory_channels.json").processors


def channels_of(cpu: str) -> int | None:
    """Channels of one processor; None where its name does not tell."""
    name = re.sub(r"\([a-z]+\)|[®™]", " ", cpu.lower())
    name = " ".join(word for word in name.split() if word not in {"amd", "intel", "ryzen"})
    return next((k.channels for k in _known() if re.search(k.pattern, name)), None)
