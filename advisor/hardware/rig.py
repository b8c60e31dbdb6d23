"""A rig: devices and a host, installed or imagined. Unknown facts are None, never zero."""

from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, model_validator

Backend = Literal["cuda", "rocm", "vulkan", "metal", "sycl", "cpu"]
Simd = Literal["avx512_vnni", "avx2", "arm"]
"""Vector instructions that llama.cpp's kernels for prompts tell apart (processors.py)."""
OWN_PROGRAMS = "this user's programs"
"""In the source of a list of programs that leaves out other users'."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Process(_Frozen):
    """A program that holds memory on a device."""

    pid: int
    name: str
    memory: int | None = None
    """Bytes; None where the driver does not say (WDDM)."""


class PcieLink(_Frozen):
    """A PCI Express link: generation and width, now and at best. Idle cards lower both."""

    generation: int | None = None
    width: int | None = None
    max_generation: int | None = None
    max_width: int | None = None


class Reading(_Frozen):
    """A second opinion on a fact: what another source says."""

    value: str | float | None
    source: str


class Device(_Frozen):
    """One accelerator as llama.cpp would use it. Sizes in bytes, bandwidth in GB/s (10**9)."""

    name: str
    """Marketing name without vendor prefixes: ``"RTX 4090"``."""
    vendor: str | None = None
    backend: Backend
    table_id: str | None = None
    """Name of its entry in resources/gpus.json, where one matched."""
    uuid: str | None = None
    pci_id: str | None = None
    pci_address: str | None = None
    memory_total: int | None = None
    """What llama.cpp can see: total less what the driver reserves."""
    memory_used: int | None = None
    """Held by other programs now."""
    memory_reserved: int | None = None
    bandwidth_gbs: float | None = None
    fp16_tflops: float | None = None
    """Dense matrix rate at FP16."""
    compute_capability: tuple[int, int] | None = None
    architecture: str | None = None
    """``"ada"``, ``"blackwell"``, ``"rdna3"``, ``"apple-m3"`` …: the class of the speed model."""
    multiprocessors: int | None = None
    driver: str | None = None
    driver_model: str | None = None
    """``"WDDM"`` or ``"TCC"`` on Windows; None elsewhere."""
    cuda: str | None = None
    """The highest CUDA version that the installed driver runs: ``"12.8"``."""
    ecc: bool | None = None
    power_w: float | None = None
    """Drawn when it was read."""
    temperature_c: float | None = None
    utilisation: float | None = None
    """Share of the last sampling period in which a kernel ran, 0 to 1."""
    memory_utilisation: float | None = None
    """Share of it in which memory was read or written, 0 to 1."""
    clock_mhz: float | None = None
    clock_max_mhz: float | None = None
    memory_clock_mhz: float | None = None
    throttle: tuple[str, ...] = ()
    """Why its clock is held down now, in words."""
    power_limit_w: float | None = None
    power_default_w: float | None = None
    power_idle_w: float | None = None
    pcie: PcieLink = PcieLink()
    nvlink_gbs: float | None = None
    """Both directions, per device; 0 where there is none."""
    nvlink_links: int | None = None
    """Links that are up."""
    unified: bool = False
    """Shares the host's memory: one pool, ``memory_total`` is the limit the driver allows."""
    integrated: bool = False
    laptop: bool = False
    display: bool | None = None
    """A desktop is drawn on it, which takes some of its memory."""
    display_attached: bool | None = None
    """A screen is plugged in."""
    mig: bool = False
    processes: tuple[Process, ...] = ()
    host_index: int = 0
    """Which of ``Rig.hosts`` it sits in."""
    sources: dict[str, str] = {}
    """Field name to where its value was read."""
    alternatives: dict[str, tuple[Reading, ...]] = {}
    """Field name to what other sources say of it, agreeing or not."""
    unknown: dict[str, str] = {}
    """Field name to why it could not be read."""

    @property
    def memory_free(self) -> int | None:
        """Bytes free for us now, None when unknown."""
        if self.memory_total is None:
            return None
        return max(0, self.memory_total - (self.memory_used or 0))


class Host(_Frozen):
    """The computer around the devices."""

    name: str = ""
    os: str = ""
    wsl: bool = False
    """Linux inside Windows: it sees a part of the RAM."""
    cpu: str = ""
    cores: int | None = None
    """Physical cores."""
    threads: int | None = None
    simd: Simd | None = None
    limited_to: int | None = None
    """Cores that this program may use, where that is fewer than the system shows; llama.cpp starts
    a thread for each of those (common.cpp: common_cpu_get_num_physical_cores)."""
    ram_total: int | None = None
    ram_available: int | None = None
    swap_total: int | None = None
    swap_used: int | None = None
    ram_type: str | None = None
    """``"DDR5-6000"``."""
    ram_bandwidth_gbs: float | None = None
    """That its modules may reach; where nobody tells them, what was measured (``ram_read_gbs``)."""
    ram_bandwidth_source: str | None = None
    ram_read_gbs: float | None = None
    """What reading with every core reached (bandwidth.py): two thirds of the modules' on many
    desktops, nine tenths on others."""
    ram_read_source: str | None = None
    laptop: bool | None = None
    on_battery: bool | None = None
    disk_free: int | None = None
    disk_path: str | None = None
    sources: dict[str, str] = {}
    unknown: dict[str, str] = {}

    @model_validator(mode="before")
    @classmethod
    def _measured_once(cls, values: object) -> object:
        """Rigs that were saved when what was measured took the modules' place."""
        if not isinstance(values, dict):
            return values
        said = cast("dict[str, Any]", values)
        source = said.get("ram_bandwidth_source") or ""
        if said.get("ram_read_gbs") is None and str(source).startswith("measured"):
            return said | {
                "ram_read_gbs": said.get("ram_bandwidth_gbs"),
                "ram_read_source": source,
            }
        return said

    @property
    def ram_shown(self) -> tuple[float | None, str]:
        """Bandwidth of the RAM for people, GB/s, and where it is from: measured where it was."""
        if self.ram_read_gbs is not None:
            return self.ram_read_gbs, self.ram_read_source or ""
        return self.ram_bandwidth_gbs, self.ram_bandwidth_source or ""

    def with_read(self, gbs: float, source: str) -> "Host":
        """The same with what reading its RAM reached, GB/s."""
        update: dict[str, Any] = {"ram_read_gbs": gbs, "ram_read_source": source}
        if self.ram_bandwidth_gbs is None or self.ram_bandwidth_gbs == self.ram_read_gbs:
            update |= {"ram_bandwidth_gbs": gbs, "ram_bandwidth_source": source}
            unknown = {k: v for k, v in self.unknown.items() if k != "ram_bandwidth_gbs"}
            update |= {"unknown": unknown}
        return self.model_copy(update=update)


class NetworkLink(_Frozen):
    """What joins two hosts of one rig (llama.cpp RPC)."""

    from_host: int
    to_host: int
    name: str = ""
    """``"10GbE"``."""
    bandwidth_gbs: float
    """GB/s (10**9): 10 Gbit Ethernet is 1.25."""
    latency_us: float
    """Of a small message, one way."""
    latency_range_us: tuple[float, float] | None = None
    """Between which it is to be expected, where it was neither measured nor stated."""
    source: str = ""


class Peer(_Frozen):
    """What lies between two devices of one host, by their places in ``Rig.devices``."""

    first: int
    second: int
    path: str
    """``"NVLink"``, ``"one PCIe switch"``, ``"the CPU's root complex"`` …"""
    peer_to_peer: bool | None = None
    """Whether one can read the other's memory without the host."""


class Rig(_Frozen):
    """Devices in llama.cpp's order, and the host or hosts they sit in."""

    name: str
    """``"This machine"`` or the text it was composed from."""
    devices: tuple[Device, ...] = ()
    """Accelerators only; an empty tuple is a machine that computes on its CPU."""
    hosts: tuple[Host, ...] = (Host(),)
    links: tuple[NetworkLink, ...] = ()
    peers: tuple[Peer, ...] = ()
    problems: tuple[str, ...] = ()
    """What detection could not use at all: a GPU off the bus, a driver that is not loaded."""
    ignored: tuple[Device, ...] = ()
    """Seen but not counted: integrated graphics beside a GPU, further MIG slices. Why is in
    each one's ``unknown["use"]``."""
    imagined: bool = False
    detected_at: str | None = None
    """ISO time, UTC."""
    llama_cpp: str | None = None
    """The llama.cpp that it would run, ``"b10549"``; None: imagined, or nobody has looked."""

    @property
    def host(self) -> Host:
        """The host that runs llama.cpp."""
        return self.hosts[0]

    def link_to(self, host: int) -> NetworkLink | None:
        """What joins a further host to the first."""
        return next((x for x in self.links if {x.from_host, x.to_host} == {0, host}), None)
