"""Which GPUs llama.cpp is shown: variables of CUDA, ROCm, Vulkan and SYCL in its environment.

Whoever started this program may have set them, and llama.cpp inherits them from here. What each
means, and what ends its list: CUDA C++ programming guide, "CUDA environment variables";
ROCR-Runtime, amd_filter_device.cpp; clr, rocdevice.cpp (Device::init); ggml-vulkan.cpp
(ggml_vk_instance_init); intel/llvm, sycl/doc/EnvironmentVariables.md.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from advisor.hardware.kfd import Node
from advisor.hardware.rig import Backend, Device

CUDA: Final = "CUDA_VISIBLE_DEVICES"
_ORDER: Final = "CUDA_DEVICE_ORDER"
_BY_SLOT: Final = "PCI_BUS_ID"
_ROCR: Final = "ROCR_VISIBLE_DEVICES"
_HIP: Final = "HIP_VISIBLE_DEVICES"
_VULKAN: Final = "GGML_VK_VISIBLE_DEVICES"
_SYCL: Final = "ONEAPI_DEVICE_SELECTOR"
_LABELS: Final[Mapping[Backend, str]] = {
    "cuda": "CUDA",
    "rocm": "ROCm",
    "vulkan": "Vulkan",
    "sycl": "SYCL",
}
SEEN: Final = "seen"
"""Key of ``Device.unknown`` for why nobody can tell whether llama.cpp sees a device that counts."""
BUILDS: Final = "builds"
"""Key of it for why builds for another backend than the device's do not see it."""


@dataclass(frozen=True)
class _Filter:
    """What one backend's variables do. Devices are places in the list that was given."""

    backend: Backend
    variable: str
    """Which of them decides."""
    value: str
    cards: Sequence[int]
    """Those that the backend could use."""
    seen: Sequence[int] | None
    """What it is shown, in its order; None where nobody can tell."""


def visible(
    devices: Sequence[Device], environment: Mapping[str, str], nodes: Sequence[Node] = ()
) -> tuple[tuple[Device, ...], tuple[Device, ...]]:
    """Devices that llama.cpp sees if it is started from here, and those that it does not.

    A device is hidden by the variables of the backend that it counts for. Where those of another
    backend hide it, or numbers are of unlike cards in an order that nobody can tell, it stays, and
    its ``unknown`` says so (`BUILDS`, `SEEN`). ``nodes``: ROCm's order, see `kfd.nodes`.
    """
    order = list(range(len(devices)))
    hidden: set[int] = set()
    told: list[dict[str, str]] = [{} for _ in devices]
    for read in (_cuda, _rocm, _vulkan, _sycl):
        found = read(devices, environment, nodes)
        if found is None:
            continue
        own = [place for place in found.cards if devices[place].backend == found.backend]
        if found.seen is None:
            for place in own:
                told[place][SEEN] = _which(found)
            continue
        left = f"{found.variable} leaves it out, which whoever started this program has set"
        unseen = [place for place in found.cards if place not in found.seen]
        for place in unseen:
            if place in own:
                hidden.add(place)
                told[place]["use"] = left
            else:
                label = _LABELS[found.backend]
                told[place][BUILDS] = f"{left}: builds for {label} do not see it"
        following = iter([place for place in found.seen if place in own])
        kept = set(own) & set(found.seen)
        order = [next(following) if place in kept else place for place in order]
    named = [
        device.model_copy(update={"unknown": device.unknown | why}) if why else device
        for device, why in zip(devices, told, strict=True)
    ]
    shown = tuple(named[place] for place in order if place not in hidden)
    return shown, tuple(named[place] for place in sorted(hidden))


def _which(found: _Filter) -> str:
    return (
        f"{found.variable}={found.value} is set: which cards it numbers, nobody can tell here; "
        "llama-server --list-devices can"
    )


def _places(devices: Sequence[Device], wanted: Callable[[Device], bool]) -> list[int]:
    return [place for place, device in enumerate(devices) if wanted(device)]


def _alike(devices: Sequence[Device], cards: Sequence[int]) -> bool:
    return len({devices[place].name for place in cards}) == 1


def _numbered(
    devices: Sequence[Device], cards: Sequence[int], numbers: Sequence[int]
) -> Sequence[int] | None:
    """Cards by their numbers in an order that is not known: that counts where they are unlike."""
    if _alike(devices, cards):
        return [cards[number] for number in numbers if number < len(cards)]
    if set(numbers) >= set(range(len(cards))):
        return cards
    return None if numbers else []


def _listed(
    value: str, cards: Sequence[int | None], called: Callable[[str], Sequence[int]]
) -> list[int | None]:
    """Cards of a comma-separated list; what names no card, or not one alone, ends it.

    None in ``cards`` is a GPU that the runtime knows and we do not.
    """
    taken: list[int] = []
    for name in (part.strip() for part in value.split(",")):
        found = [int(name)] if name.isdigit() else called(name)
        if len(found) != 1 or found[0] >= len(cards) or found[0] in taken:
            break
        taken += found
    return [cards[number] for number in taken]


def _known(cards: Sequence[int | None]) -> list[int]:
    return [place for place in cards if place is not None]


def _cuda(
    devices: Sequence[Device], environment: Mapping[str, str], _nodes: Sequence[Node]
) -> _Filter | None:
    """Numbers count the fastest card first unless they count by slot."""
    value = environment.get(CUDA)
    cards = _places(devices, lambda device: device.backend == "cuda")
    if value is None or any(devices[place].mig for place in cards):
        return None
    known = _alike(devices, cards) or environment.get(_ORDER) == _BY_SLOT
    if not known and value.partition(",")[0].strip().isdigit():
        return _Filter("cuda", CUDA, value, cards, None)

    def called(name: str) -> list[int]:
        uuids = [devices[place].uuid or "" for place in cards]
        return [number for number, uuid in enumerate(uuids) if name and uuid.startswith(name)]

    return _Filter("cuda", CUDA, value, cards, _known(_listed(value, cards, called)))


def _rocm(
    devices: Sequence[Device], environment: Mapping[str, str], nodes: Sequence[Node]
) -> _Filter | None:
    """HIP takes CUDA's variable where its own is empty, and counts what ROCR has left."""
    outer = environment.get(_ROCR)
    variable = _HIP if environment.get(_HIP) else CUDA
    inner = environment.get(variable) or None
    if outer is None and inner is None:
        return None
    decides = variable if outer is None else _ROCR if inner is None else f"{_ROCR} or {variable}"
    value = inner if inner is not None else outer or ""
    cards = _places(devices, lambda d: d.vendor == "AMD" or d.backend == "rocm")
    places = {devices[place].pci_address: place for place in cards}
    order: Sequence[int | None] = [places.get(node.pci_address) for node in nodes]
    uuids = [node.uuid for node in nodes]
    if not nodes:
        if not _alike(devices, cards):
            return _Filter("rocm", decides, value, cards, None)
        order, uuids = cards, [""] * len(cards)

    def called(name: str) -> list[int]:
        if len(name) <= len("GPU-"):
            return []
        return [number for number, uuid in enumerate(uuids) if uuid.startswith(name.upper())]

    if outer is not None:
        numbers = _known(_listed(outer, range(len(order)), called))
        order, uuids = [order[n] for n in numbers], [uuids[n] for n in numbers]
    if inner is not None:
        order = _listed(inner, order, called)
    return _Filter("rocm", decides, value, cards, _known(order))


def _vulkan(
    devices: Sequence[Device], environment: Mapping[str, str], _nodes: Sequence[Node]
) -> _Filter | None:
    """Numbers of what the loader lists: every vendor's GPUs, and renderers on the processor.

    Which comes first depends on drivers and layers (Mesa puts the screen's card first).
    """
    value = environment.get(_VULKAN)
    cards = _places(devices, lambda device: device.backend != "metal")
    if value is None:
        return None
    numbers: list[int] = []
    for part in value.replace(",", " ").split():
        if not part.isdigit():
            break
        numbers.append(int(part))
    beyond = any(number >= len(cards) for number in numbers)
    seen = None if beyond else _numbered(devices, cards, list(dict.fromkeys(numbers)))
    return _Filter("vulkan", _VULKAN, value, cards, seen)


def _sycl(
    devices: Sequence[Device], environment: Mapping[str, str], _nodes: Sequence[Node]
) -> _Filter | None:
    """``"level_zero:0,1"``, ``"*:gpu"``, ``"opencl:*;!opencl:cpu"``."""
    value = environment.get(_SYCL)
    cards = _places(devices, lambda d: d.vendor == "Intel" or d.backend == "sycl")
    if value is None:
        return None
    every = set(range(len(cards)))
    taken: set[int] = set()
    left_out: set[int] = set()
    positive = False
    for term in value.lower().split(";"):
        chosen = _selected(term.strip().lstrip("!"), every)
        if chosen is None:
            return _Filter("sycl", _SYCL, value, cards, None)
        if term.strip().startswith("!"):
            left_out |= chosen
        else:
            positive, taken = True, taken | chosen
    numbers = sorted((taken if positive else every) - left_out)
    return _Filter("sycl", _SYCL, value, cards, _numbered(devices, cards, numbers))


def _selected(term: str, every: set[int]) -> set[int] | None:
    """Numbers that one term of SYCL's selector names; None for parts of a card (``0.1``)."""
    backend, _, named = term.partition(":")
    chosen: set[int] = set()
    for name in (part.strip() for part in named.split(",")):
        if name in {"*", "gpu"}:
            chosen |= every
        elif name.isdigit():
            chosen.add(int(name))
        elif name not in {"", "cpu", "fpga"}:
            return None
    return chosen if backend in {"level_zero", "opencl", "*"} else set()
