"""Which device each block, its experts and its caches lie on, as llama.cpp would place them."""

from dataclasses import dataclass

HOST = -1
"""Device index of the host's memory."""


@dataclass(frozen=True, slots=True)
class Placement:
    """The outcome of placing one model on one rig. Device indices count ``Rig.devices``."""

    layer_device: tuple[int, ...]
    """Per block, ``n_layer_all + 1`` entries: the last is the output layer."""
    experts_on_host: frozenset[int] = frozenset()
    """Blocks whose expert tensors stay in RAM (``--n-cpu-moe``)."""
    kv_offload: bool = True
    """Caches follow their block; False: all of them on the host."""
    n_copies: int = 1
    """Pipeline copies of the split inputs: 4 with pipeline parallelism, else 1."""

    @property
    def on_device(self) -> bool:
        """Whether any block lies on a device."""
        return any(device != HOST for device in self.layer_device)
