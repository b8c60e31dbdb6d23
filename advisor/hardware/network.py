"""Machines joined by a network into one rig, as llama.cpp's RPC backend joins them."""

import functools
import re

from pydantic import BaseModel, ConfigDict, Field

from advisor import resources
from advisor.errors import RigError
from advisor.hardware.rig import Device, NetworkLink, Rig

_BY = (
    r"\s+(?:over|via|(?:joined|connected|linked)\s+(?:by|with|over|through|via))\s+"
    r"(?!(?:a\s+)?(?:pcie|oculink|e-?gpu|m\.2|riser)\b)"
)
"""What stands before a network; a card's own cable or slot is none."""
_JOINT = re.compile(rf"{_BY}([^+;\n]+?)\s+(?:with|to|and)\s+", re.IGNORECASE)
_OVER = re.compile(rf"^(.+?){_BY}([^+;\n]+?)(?:\s+(?:with|to|and))?$", re.IGNORECASE)
NUMBERS = {"single": 1, "one": 1, "dual": 2, "two": 2, "triple": 3, "three": 3, "quad": 4}
NUMBERS.update({"four": 4, "six": 6, "eight": 8, "octa": 8, "twelve": 12})
"""Counts as words."""
_MACHINES = re.compile(
    rf"^(\d{{1,2}}|{'|'.join(NUMBERS)})\s*(?:x\s*|×\s*)?(?:identical\s+|same\s+)?"
    r"(?:machines|computers|pcs|nodes|servers|boxes|workstations|rigs)\b[\s:,]*"
    r"(?:each\s+)?(?:(?:with|of|having)\s+)?(.+)$",
    re.IGNORECASE,
)
_RATE = re.compile(
    r"^(?P<number>\d+(?:\.\d+)?)\s*"
    r"(?P<unit>[GM]B(?:/s|ps)|(?i:gbe|gb[ei]?|gbit(?:/s)?|gbps|gb/s|g|mbe|mbit(?:/s)?|mbps|mb/s))"
    r"(?:\s+(?i:ethernet|network|link))?$"
)
"""A capital B before “/s” or “ps” is a byte; Ethernet's “GBE” is not."""
STATED = "as you wrote"
"""Source of what a rig's words say of a network."""
_LATENCY = re.compile(r"[\s(]*(?:at\s+)?(\d+(?:\.\d+)?)\s*(µs|μs|us|ms)\)?\s*$", re.IGNORECASE)


class Network(BaseModel):
    """A kind of network as it is usually built."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    aliases: tuple[str, ...]
    gbit: float = Field(gt=0)
    """Gbit/s."""
    latency_us: float = Field(ge=0)
    """One way, microseconds."""
    latency_range_us: tuple[float, float] | None = None
    """Between which it is to be expected; None for what was stated."""
    source: str = ""
    """Where the latency was published, or that it is assumed."""


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    about: str
    date: str
    networks: tuple[Network, ...]


@functools.cache
def networks() -> tuple[Network, ...]:
    """Every kind of network that has a name here, slowest first within its family."""
    return resources.load(_File, "networks.json").networks


def split_addition(text: str) -> tuple[str, str] | None:
    """``"over 10GbE with RTX 3090 + 64 GB"`` → its link and its machine; None for other words."""
    pieces = _JOINT.split(f" {text.strip()}", maxsplit=1)
    return (pieces[1], pieces[2]) if len(pieces) == 3 and not pieces[0].strip() else None


def split_machines(text: str) -> list[tuple[str, str]]:
    """``"A over 10GbE with B"`` → ``[("", "A"), ("10GbE", "B")]``: link words and machine."""
    pieces = _JOINT.split(text)
    return [("", pieces[0]), *zip(pieces[1::2], pieces[2::2], strict=True)]


def same_machines(text: str) -> tuple[int, str, str | None] | None:
    """``"2 machines with RTX 3090 over 10GbE"`` → ``(2, "RTX 3090", "10GbE")``, without a network
    None in its place; ``"2x DGX Spark over 200GbE"`` → ``(1, "2x DGX Spark", "200GbE")``. None
    for words that name no other machine.
    """
    counted = _MACHINES.match(text)
    rest = counted[2] if counted else text
    linked = _OVER.match(rest)
    if counted is None and linked is None:
        return None
    count = (NUMBERS.get(counted[1].lower()) or int(counted[1])) if counted else 1
    return (count, linked[1], linked[2]) if linked else (count, rest, None)


def read_link(words: str) -> Network:
    """A network from ``"10GbE"``, ``"25 Gbit/s at 30 µs"``, ``"Thunderbolt 4"``.

    Raises RigError.
    """
    bare, latency = words.strip(), None
    stated = _LATENCY.search(bare)
    if stated:
        latency = float(stated[1]) * (1000 if stated[2].lower() == "ms" else 1)
        bare = bare[: stated.start()].strip()
    found = next((n for n in networks() if _same(bare, (n.name, *n.aliases))), None)
    if found is None:
        found = _by_rate(bare)
    if latency is not None:
        stated_now = {"latency_us": latency, "latency_range_us": None, "source": STATED}
        found = found.model_copy(update=stated_now)
    return found


def _same(words: str, names: tuple[str, ...]) -> bool:
    def plain(text: str) -> str:
        return re.sub(r"[\s-]+", "", text).lower()

    return plain(words) in {plain(name) for name in names}


def _by_rate(words: str) -> Network:
    rate = _RATE.match(words)
    if rate is None or not float(rate["number"]):
        known = ", ".join(network.name for network in networks())
        raise RigError(f"The network “{words}” is not known. Write a rate, or one of: {known}.")
    unit = rate["unit"]
    scale = 0.001 if unit.lower().startswith("m") else 1.0
    in_bytes = re.fullmatch(r"[GM]B(?:/s|ps)", unit) is not None
    gbit = float(rate["number"]) * scale * (8 if in_bytes else 1)
    wired = [n for n in networks() if n.name.endswith(("GbE", "Ethernet"))]
    slower = [n for n in wired if n.gbit <= gbit] or wired[:1]
    nearest = max(slower, key=lambda network: network.gbit)
    return nearest.model_copy(
        update={"name": words, "gbit": gbit, "source": f"as {nearest.name}: {nearest.source}"}
    )


def as_served(rig: Rig) -> tuple[Device, ...]:
    """What an rpc-server on this machine offers: its GPUs, or its CPU where it has none.

    tools/rpc/README.md of llama.cpp.
    """
    if rig.devices:
        return rig.devices
    host = rig.host
    unknown = {
        name: host.unknown.get(name, "not stated")
        for name, value in (("memory_total", host.ram_total),)
        if value is None
    }
    if host.ram_bandwidth_gbs is None:
        unknown["bandwidth_gbs"] = host.unknown.get("ram_bandwidth_gbs", "not stated")
    reason = "a CPU that llama.cpp reaches through RPC"
    unknown |= dict.fromkeys(("fp16_tflops", "architecture", "table_id"), reason)
    served = Device(
        name=host.cpu or "CPU",
        backend="cpu",
        memory_total=host.ram_available if host.ram_available is not None else host.ram_total,
        bandwidth_gbs=host.ram_bandwidth_gbs,
        sources={
            "name": "imagined",
            "memory_total": "RAM of its machine, served by rpc-server",
            "bandwidth_gbs": host.ram_bandwidth_source or "",
        },
        unknown=unknown,
    )
    return (served,)


def join(rig: Rig, other: Rig, link: str) -> Rig:
    """Two rigs as one, the first running llama.cpp. ``link``: see `read_link`. Raises RigError.

    The far devices stand before the near ones, as llama.cpp lists them (llama.cpp,
    llama_prepare_model_devices: RPC servers at the front), each machine's in its own order.
    """
    network = read_link(link)
    first = len(rig.hosts)
    served = as_served(other)
    moved = tuple(d.model_copy(update={"host_index": d.host_index + first}) for d in served)
    far = tuple(device for device in rig.devices if device.host_index)
    near = tuple(device for device in rig.devices if not device.host_index)
    links = tuple(
        inner.model_copy(
            update={"from_host": inner.from_host + first, "to_host": inner.to_host + first}
        )
        for inner in other.links
    )
    between = NetworkLink(
        from_host=0,
        to_host=first,
        name=network.name,
        bandwidth_gbs=network.gbit / 8,
        latency_us=network.latency_us,
        latency_range_us=network.latency_range_us,
        source=network.source,
    )
    return rig.model_copy(
        update={
            "name": f"{rig.name} over {link.strip()} with {other.name}",
            "devices": (*far, *moved, *near),
            "hosts": rig.hosts + other.hosts,
            "links": (*rig.links, *links, between),
            "peers": (),
            "imagined": True,
        }
    )


def without_host(rig: Rig, host: int) -> Rig:
    """The rig without one of its further machines. Raises RigError for the first or no machine."""
    if not 0 < host < len(rig.hosts):
        raise RigError(f"The rig has no further machine number {host + 1}.")

    def place(index: int) -> int:
        return index - (index > host)

    return rig.model_copy(
        update={
            "devices": tuple(
                d.model_copy(update={"host_index": place(d.host_index)})
                for d in rig.devices
                if d.host_index != host
            ),
            "hosts": rig.hosts[:host] + rig.hosts[host + 1 :],
            "links": tuple(
                link.model_copy(
                    update={"from_host": place(link.from_host), "to_host": place(link.to_host)}
                )
                for link in rig.links
                if host not in {link.from_host, link.to_host}
            ),
            "imagined": True,
        }
    )
