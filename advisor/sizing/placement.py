"""Which device each block, its experts and its caches lie on, as llama.cpp would place them."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from advisor.errors import SettingsError
from advisor.sizing.overrides import Targets, resolve
from advisor.sizing.settings import RunSettings

HOST = -1
"""Device index of the host's memory."""

PIPELINE_COPIES = 4
"""ggml-backend.cpp:GGML_SCHED_MAX_COPIES."""

_PIPELINING = frozenset({"cuda", "rocm", "vulkan", "rpc"})
"""Backends whose devices report both async compute and events (ggml-*.cpp:get_props)."""


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
    overrides: Targets = ()
    """Tensors that lie elsewhere, whatever block they belong to (``-ot``)."""

    @property
    def places(self) -> set[int]:
        """Devices that hold a layer or a tensor put there by hand, and the host if it does."""
        return {*self.layer_device, *(d for _, d in self.overrides if d != HOST)}

    @property
    def on_device(self) -> bool:
        """Whether any layer lies on a device: the output layer is the first to go there."""
        return self.layer_device[-1] != HOST

    @property
    def offloads(self) -> bool:
        """Whether any block, expert or the output layer stays in the host's memory."""
        return (
            HOST in self.layer_device
            or bool(self.experts_on_host)
            or not self.kv_offload
            or any(device == HOST for _, device in self.overrides)
        )


_F32 = struct.Struct("<f")


def _f32(value: float) -> float:
    """The nearest 32-bit float: llama.cpp splits in single precision."""
    result: float = _F32.unpack(_F32.pack(value))[0]
    return result


@lru_cache(maxsize=256)
def _limits(shares: tuple[float, ...]) -> tuple[float, ...]:
    """Where every device's part of the layers ends, from 0 to 1."""
    sums = list(accumulate((_f32(share) for share in shares), lambda a, b: _f32(a + b)))
    return tuple(_f32(value / sums[-1]) for value in sums)


@lru_cache(maxsize=4096)
def _ends(active: int, limits: tuple[float, ...]) -> tuple[int, ...]:
    ends: list[int] = []
    for limit in limits:
        end = active if limit >= 1 else max(int(limit * active) - 1, 0)
        # Layer i goes to the first device whose limit exceeds i / active.
        while end < active and _f32(end / active) < limit:
            end += 1
        ends.append(end)
    return tuple(ends)


@lru_cache(maxsize=4096)
def layer_ends(active: int, shares: tuple[float, ...]) -> tuple[int, ...]:
    """Per device of ``layer_devices``, how many of the ``active`` layers lie on it or before it."""
    return _ends(
        active, _limits(shares if any(share > 0 for share in shares) else (1.0,) * len(shares))
    )


@lru_cache(maxsize=4096)
def layer_devices(
    n_layer_all: int, n_gpu_layers: int, devices: tuple[int, ...], shares: tuple[float, ...]
) -> tuple[int, ...]:
    """Device of every block and of the output layer (llama-model.cpp:load_tensors).

    ``devices`` are the indices that take part, ``shares`` their weights in the split. The last
    ``n_gpu_layers`` of the ``n_layer_all + 1`` layers go to devices, in order, each to the first
    device whose cumulative share exceeds the layer's position.
    """
    n_layers = n_layer_all + 1
    if not devices or n_gpu_layers <= 0:
        return (HOST,) * n_layers
    start = max(n_layers - n_gpu_layers, 0)
    placed = [HOST] * start
    ends = layer_ends(n_layers - start, shares)
    for device, end in zip(devices, ends, strict=True):
        placed += [device] * (start + end - len(placed))
    return tuple(placed)


def split_shares(settings: RunSettings, free: Sequence[int | None]) -> tuple[float, ...]:
    """What part every device that is used has in a split: ``-ts``, else by free bytes.

    A device without free memory gets nothing (llama-model.cpp:load_tensors); where free memory is
    not known, or there is none at all, all get as much.
    """
    if settings.split_mode == "none":
        return (1.0,) * min(len(free), 1)
    if settings.tensor_split:
        return tuple([*settings.tensor_split, *([0.0] * len(free))][: len(free)])
    known = [float(value) for value in free if value is not None]
    return tuple(known) if len(known) == len(free) and any(known) else (1.0,) * len(free)


def place(
    *,
    n_layer_all: int,
    settings: RunSettings,
    free: Sequence[int | None],
    backends: Sequence[str],
    has_experts: bool = True,
) -> Placement:
    """Place a model of ``n_layer_all`` blocks on devices with ``free`` bytes each.

    "fit" must be replaced by numbers before; it raises SettingsError otherwise.
    """
    if settings.n_gpu_layers == "fit" or settings.n_cpu_moe == "fit":
        raise SettingsError("“fit” has to be solved before a model can be placed.")
    n_devices = len(free)
    devices: list[int] = list(range(n_devices))
    if settings.split_mode == "none" and devices:
        if settings.main_gpu >= n_devices:
            message = f"Main GPU {settings.main_gpu} was chosen, but the rig has {n_devices}."
            raise SettingsError(message)
        devices = [settings.main_gpu]
    shares = split_shares(settings, free)
    n_layers = n_layer_all + 1
    n_gpu = n_layers if settings.n_gpu_layers == "all" else settings.n_gpu_layers
    if n_gpu < 0:  # llama-model.cpp:n_gpu_layers
        n_gpu = n_layers
    on_cpu = n_layer_all if settings.n_cpu_moe == "all" else min(settings.n_cpu_moe, n_layer_all)
    # llama-context.cpp:llama_context: copies only when every layer and cache is on devices and
    # no tensor was moved by hand.
    pipelined = (
        len(devices) > 1
        and n_gpu > n_layer_all
        and settings.split_mode == "layer"
        and settings.kv_offload
        and not on_cpu
        and not settings.override_tensor
        and all(backends[d] in _PIPELINING for d in devices)
    )
    targets = resolve(settings.override_tensor, backends)
    for pattern, device in targets:
        if device not in (HOST, *devices):
            message = f"-ot puts “{pattern}” on a device that -sm none leaves unused."
            raise SettingsError(message)
        if device != HOST and settings.split_mode == "tensor" and n_devices > 1:
            message = (
                f"-ot puts “{pattern}” on one device, and -sm tensor joins all of them into one, "
                "over which llama.cpp ends itself; name CPU, or use -sm layer."
            )
            raise SettingsError(message)
    return Placement(
        layer_device=layer_devices(n_layer_all, n_gpu, tuple(devices), shares),
        experts_on_host=frozenset(range(on_cpu)) if devices and has_experts else frozenset(),
        kv_offload=settings.kv_offload or not devices,
        n_copies=PIPELINE_COPIES if pipelined else 1,
        overrides=targets,
    )
