"""MIG: parts of one NVIDIA GPU, each a device of its own, never shown as the whole card."""

import re
from typing import Any

from advisor.hardware.nvml_fields import SOURCE, Fields, read_memory
from advisor.hardware.nvml_library import LOST, NOT_FOUND, NvmlError, NvmlLibrary
from advisor.hardware.rig import Device
from advisor.units import MIB


def read_slices(
    nvml: NvmlLibrary, parent: object, whole: Device, problems: list[str]
) -> list[Device]:
    """The MIG devices of one GPU, ``whole`` being the GPU as it would be undivided."""
    parent_total = (whole.memory_total or 0) + (whole.memory_reserved or 0)
    slices: list[Device] = []
    denied = ""
    for index in range(int(nvml.optional("nvmlDeviceGetMaxMigDeviceCount", parent) or 7)):
        try:
            handle = nvml.call("nvmlDeviceGetMigDeviceHandleByIndex", parent, index)
            slices.append(_slice(nvml, handle, whole, parent_total))
        except NvmlError as error:
            if error.code in LOST:
                raise
            denied = error.reason if error.code != NOT_FOUND else denied
    if not slices:
        why = f" ({denied})" if denied else ""
        problems.append(
            f"{whole.name} is divided by MIG, and no slice of it can be used{why}. "
            "Create one with nvidia-smi mig -cgi, or turn MIG off."
        )
    return slices


def _slice(nvml: NvmlLibrary, handle: object, whole: Device, parent_total: int) -> Device:
    found = Fields()
    reported = str(found.read("name", lambda: nvml.call("nvmlDeviceGetName", handle)) or "")
    found.read("uuid", lambda: nvml.call("nvmlDeviceGetUUID", handle))
    total = read_memory(nvml, handle, found)
    attributes = nvml.optional("nvmlDeviceGetAttributes", handle)
    if total is None and attributes:
        total = int(attributes.memorySizeMB) * MIB
        found.put("memory_total", total, f"{SOURCE}: MIG attributes")
    for name in ("power_w", "clock_mhz", "utilisation"):
        found.unknown[name] = f"{SOURCE} reports it for the whole GPU only"
    profile = re.search(r"\bMIG\s+(\S+)", reported)
    values: dict[str, Any] = dict(found.values)
    values["name"] = f"{whole.name} MIG {profile[1]}" if profile else f"{whole.name} MIG slice"
    unknown, sources = dict(found.unknown), dict(found.sources)
    if total and parent_total and whole.bandwidth_gbs:
        # A memory slice is an eighth of capacity and of bandwidth (NVIDIA MIG user guide).
        eighths = min(8, max(1, round(8 * total / parent_total)))
        values["bandwidth_gbs"] = whole.bandwidth_gbs * eighths / 8
        sources["bandwidth_gbs"] = f"{eighths}/8 of the whole GPU's (MIG user guide)"
    else:
        unknown["bandwidth_gbs"] = "the size of the slice is not known"
    if attributes and attributes.multiprocessorCount and whole.multiprocessors:
        sms = int(attributes.multiprocessorCount)
        values["multiprocessors"] = sms
        sources["multiprocessors"] = f"{SOURCE}: MIG attributes"
        if whole.fp16_tflops:
            values["fp16_tflops"] = whole.fp16_tflops * sms / whole.multiprocessors
            sources["fp16_tflops"] = f"{sms} of {whole.multiprocessors} multiprocessors"
    inherited = ("vendor", "backend", "table_id", "pci_id", "pci_address", "compute_capability")
    inherited += ("architecture", "driver", "cuda", "pcie", "power_limit_w", "power_default_w")
    kept = {name: getattr(whole, name) for name in (*inherited, "laptop", "ecc", "temperature_c")}
    origin = {name: f"{whole.sources.get(name, SOURCE)} (whole GPU)" for name in inherited}
    return Device(
        **kept | values, mig=True, nvlink_gbs=0.0, sources=origin | sources, unknown=unknown
    )
