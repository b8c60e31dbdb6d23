"""What bytes and data-sheet bandwidths alone rule out, without a plan."""

import math
from collections.abc import Sequence

from advisor.hardware.rig import Device, Host
from advisor.llm.model import Model
from advisor.sizing.driver import driver_context
from advisor.sizing.settings import RunSettings
from advisor.sizing.speed_data import speed_data
from advisor.sizing.speed_machine import ram_gbs
from advisor.sizing.speed_sums import DENSE, EXPERTS, model_sums
from advisor.sizing.tables import PerModel
from advisor.sizing.weights import weight_table

_CERTAIN = 0.75
"""Of an estimate for a driver's own memory, as much is counted."""


def _looked_up(model: Model, _key: None) -> int:
    return sum(t.nbytes for t in model.tensors if t.name.endswith("token_embd.weight"))


_in_ram = PerModel(_looked_up)
"""Bytes that llama.cpp keeps in RAM whatever is asked for: rows are looked up in them."""


def least_loaded(model: Model) -> int:
    """Bytes of weights that load at least: NextN layers stay in the file (``load_mtp``)."""
    if model.hp is None or not model.hp.n_layer_nextn:
        return model.nbytes
    everything, table = (weight_table(model, "cpu", load_mtp=load) for load in (True, False))
    skipped = sum(everything.dense) + sum(everything.experts)
    return model.nbytes - skipped + sum(table.dense) + sum(table.experts)


def too_large(model: Model, devices: Sequence[Device], caches: int, buffer: int) -> bool:
    """Whether the weights but what llama.cpp keeps in RAM, and caches, exceed what devices hold.

    ``buffer``: bytes that every device in use takes beside them.
    """
    room = 0
    for device in devices:
        if device.memory_free is None:
            return False
        driver = driver_context(device)
        taken = buffer + (int(driver.mid * _CERTAIN) if driver else 0)
        room += max(device.memory_free - taken, 0)
    return least_loaded(model) - _in_ram(model, None) + caches > room


def too_slow(
    model: Model, devices: Sequence[Device], settings: RunSettings, least_tps: float
) -> bool:
    """Whether data-sheet bandwidths read a token's weights too slowly, all of them on devices.

    Split by free memory, or, with "fit", as far as they go into the fastest.
    """
    known, free_on = model_sums(model), [device.memory_free or 0 for device in devices]
    if known is None or settings.tensor_split or not any(free_on):
        return False
    read = float(known.layers[:, DENSE].sum() + known.layers[:, EXPERTS].sum())
    rates = [(device.bandwidth_gbs or math.inf) * 1e9 for device in devices]
    seconds, left = 0.0, read
    for rate, free in sorted(zip(rates, free_on, strict=True), reverse=True):
        held = read * free / sum(free_on) if settings.n_gpu_layers == "all" else min(left, free)
        seconds += held / rate
        left -= held
    return settings.split_mode == "layer" and seconds * least_tps > 1


def no_ram(model: Model, host: Host, least_tps: float | None) -> bool:
    """Whether RAM alone holds too little, or reads a token's weights too slowly."""
    ram = host.ram_available if host.ram_available is not None else host.ram_total
    if ram is not None and least_loaded(model) > ram:
        return True
    known = model_sums(model)
    ram = ram_gbs(speed_data().host, host)
    if least_tps is None or known is None or ram is None:
        return False
    read = float(known.layers[:, DENSE].sum() + known.layers[:, EXPERTS].sum())
    return read * least_tps > max(ram, host.ram_bandwidth_gbs or 0.0) * 1e9
