"""Which of llama.cpp's published builds an NVIDIA driver can start on a card."""

from collections.abc import Iterator
from typing import Final

from advisor.hardware.finding import Finding
from advisor.hardware.rig import Device

Version = tuple[int, ...]

# The CUDA of the published builds (.github/workflows/release.yml of b11549).
_WINDOWS: Final[tuple[Version, Version]] = ((12, 4), (13, 4))
_ELSEWHERE: Final[tuple[Version, Version]] = ((12, 8), (13, 4))
# A driver runs what any toolkit of its major version built, from 525 on for CUDA 12 and 580 for
# CUDA 13, but translates no PTX of a newer one (docs.nvidia.com/deploy/cuda-compatibility, "Minor
# Version Compatibility"; cudaErrorUnsupportedPtxVersion).
_FINISHED: Final[dict[tuple[int, int], Version]] = {
    (8, 6): (11, 1),
    (8, 9): (11, 8),
    (12, 0): (12, 8),
    (12, 1): (12, 9),
}
"""Compute capabilities that published builds hold finished code for, by the CUDA they are made with
from which on they do; PTX for all others (ggml-cuda's CMakeLists.txt, "XX-real")."""
_CUDA_13_CAPABILITY: Final = (7, 5)
"""CUDA 13 dropped GPUs below it (CUDA 13.0 release notes)."""


def _version(text: str) -> Version:
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def _written(version: Version) -> str:
    return ".".join(map(str, version))


def _finished(device: Device, build: Version) -> bool:
    """Whether a build needs no translation for a card; of one that is not known it is assumed."""
    if device.compute_capability is None:
        return True
    since = _FINISHED.get(device.compute_capability)
    return since is not None and build >= since


def driver_findings(device: Device) -> Iterator[Finding]:
    """What a driver keeps from running, and what Windows' does when memory is full."""
    twelve, thirteen = _WINDOWS if device.driver_model else _ELSEWHERE
    runs = _version(device.cuda) if device.cuda else None
    too_old = runs is not None and (
        runs < twelve[:1] or (runs < twelve and not _finished(device, twelve))
    )
    if too_old:
        yield _too_old(device, twelve, starts=runs is not None and runs >= twelve[:1])
    capability = device.compute_capability
    if capability and capability < _CUDA_13_CAPABILITY:
        yield Finding(
            code="cuda-13",
            severity="info",
            subject=device.name,
            title="CUDA 13 builds do not run on this card",
            text=f"Its compute capability is {capability[0]}.{capability[1]}; CUDA 13 needs 7.5.",
            advice="Choose a CUDA 12 or a Vulkan build of llama.cpp.",
        )
    elif runs is not None and not too_old and runs < thirteen[:1]:
        yield Finding(
            code="cuda-13",
            severity="info",
            subject=device.name,
            title=f"CUDA 13 builds do not start with its driver ({device.driver})",
            text=f"It runs CUDA {device.cuda}; llama.cpp is published for CUDA 12 and CUDA 13.",
            advice="Choose a CUDA 12 build, or update the NVIDIA driver to 580 or newer.",
        )
    elif runs is not None and thirteen[:1] <= runs < thirteen and not _finished(device, thirteen):
        yield Finding(
            code="cuda-13",
            severity="info",
            subject=device.name,
            title=f"CUDA 13 builds may not run with its driver ({device.driver})",
            text=f"It runs CUDA {device.cuda}. {_untranslated(device, thirteen)}",
            advice="Choose a CUDA 12 build, or update the NVIDIA driver.",
        )
    if device.driver_model == "WDDM":
        yield Finding(
            code="spill",
            severity="info",
            subject=device.name,
            title="Windows may spill its memory into RAM without a word",
            text="When it is full the driver moves data to RAM, and tokens come ten times slower.",
            advice="NVIDIA Control Panel, Manage 3D settings, CUDA – Sysmem Fallback Policy: "
            "Prefer No Sysmem Fallback.",
        )


def _too_old(device: Device, build: Version, *, starts: bool) -> Finding:
    why = (
        _untranslated(device, build)
        if starts
        else f"llama.cpp's builds are made with CUDA {_written(build)} or newer, which wants a "
        "driver of CUDA 12."
    )
    return Finding(
        code="driver-old",
        severity="warning",
        subject=device.name,
        title=f"Its driver ({device.driver}) is too old for current llama.cpp builds",
        text=f"It runs CUDA {device.cuda}. {why}",
        advice=f"Update the NVIDIA driver to one that runs CUDA {_written(build)}, use a Vulkan "
        "build, or build llama.cpp on this machine.",
    )


def _untranslated(device: Device, build: Version) -> str:
    major, minor = device.compute_capability or (0, 0)
    return (
        f"A build of CUDA {_written(build)} starts, but llama.cpp's holds no finished code for "
        f"compute capability {major}.{minor}, and a driver translates only what its own CUDA or "
        "an older one wrote."
    )
