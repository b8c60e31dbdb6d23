"""Metadata of one architecture, read with llama.cpp's defaults and never trusted."""

from collections.abc import Mapping, Sequence
from typing import cast

from advisor.errors import BadModelFile
from advisor.llm.hyperparameters import Value

MAX_LAYERS = 512
"""llama-hparams.h:LLAMA_MAX_LAYERS."""
MAX_INTEGER = (1 << 32) - 1


class Keys:
    """The keys of ``general.architecture`` without their prefix. Raises BadModelFile."""

    def __init__(self, values: Mapping[str, Value]) -> None:
        self.values = values

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def integer(self, name: str, default: int | None = None) -> int:
        """A whole number; without a default the key must be there."""
        value = self.values.get(name)
        if value is None:
            if default is None:
                raise BadModelFile(f"The model's header has no {name}.")
            return default
        return _whole(name, value)

    def most(self, name: str, default: int = 0) -> int:
        """A whole number, or the largest of one per layer."""
        listed = _list(self.values.get(name))
        if listed is not None:
            return max((_whole(name, item) for item in listed), default=default)
        return self.integer(name, default)

    def per_layer(self, name: str, n_layer: int, default: int = 0) -> tuple[int, ...]:
        """One number per layer, or the same one for all (llama-model-loader:get_key_or_arr)."""
        listed = _list(self.values.get(name))
        if listed is None:
            return (self.integer(name, default),) * n_layer
        if len(listed) < n_layer:
            raise BadModelFile(f"The model's header has {len(listed)} of {n_layer} {name}.")
        return tuple(_whole(name, listed[il]) for il in range(n_layer))

    def flags(self, name: str, n_layer: int) -> tuple[bool, ...] | None:
        """One flag per layer, None where the header has no list of that name."""
        if _list(self.values.get(name)) is None:
            return None
        return tuple(bool(item) for item in self.per_layer(name, n_layer))

    def numbers(self, name: str) -> tuple[int, ...]:
        """A list of whole numbers, empty where there is none."""
        return tuple(_whole(name, item) for item in _list(self.values.get(name)) or ())

    def text(self, name: str, default: str = "") -> str:
        """A text, or the default."""
        value = self.values.get(name)
        return value if isinstance(value, str) else default

    def swa_pattern(
        self, n_layer: int, n_layer_all: int, period: int, *, dense_first: bool = False
    ) -> tuple[bool, ...]:
        """Which layers are sliding-window layers (llama-model.cpp:load_swa_pattern).

        ``period``: every ``period``-th layer is dense; 0: none is.
        """
        name = "attention.sliding_window_pattern"
        listed = self.flags(name, n_layer_all)
        if listed is not None:
            return listed
        period = self.integer(name, period)
        return every(n_layer, n_layer_all, period, dense_first=dense_first)


def every(
    n_layer: int, n_layer_all: int, period: int, *, dense_first: bool = False
) -> tuple[bool, ...]:
    """True but for every ``period``-th layer of the trunk (llama-hparams.cpp:set_swa_pattern)."""
    dense = 0 if dense_first else period - 1
    trunk = tuple(period == 0 or il % period != dense for il in range(n_layer))
    return trunk + (False,) * (n_layer_all - n_layer)


def _list(value: object) -> Sequence[object] | None:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return None
    return cast("Sequence[object]", value)


def _whole(name: str, value: object) -> int:
    number = int(value) if isinstance(value, bool | int) else None
    if isinstance(value, float) and value.is_integer():
        number = int(value)
    if number is None or not 0 <= number <= MAX_INTEGER:
        raise BadModelFile(f"The model's header gives {name} as {value!r}, not a sensible number.")
    return number
