"""Constants of the speed model (resources/speed.json)."""

import functools
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from advisor import resources
from advisor.hardware.rig import Backend


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SpeedClass(_Frozen):
    """One kind of GPU under one backend, fitted to its measured rows."""

    eta: float
    """Share of the memory bandwidth that reading weights reaches."""
    tau_us: float
    """Time per kernel of a matrix beyond reading: its launch and what it waits for."""
    rho: float
    """Cost of a byte of KV cache against a byte of weights."""
    attention: float
    """Share of the matrix rate that attention reaches while decoding."""
    bf16_step_us: float
    """Time per ``speed_sums.STEPS`` while decoding: Vulkan has no kernel for one token's BF16
    experts and takes the one for batches, whose loop over a matrix's inputs is what counts
    (ggml-vulkan.cpp:ggml_vk_use_mul_mat_vec_id). 0 elsewhere."""
    prefill_q: float
    """Share of the matrix rate in prefill, quantized matrices."""
    prefill_16: float
    prefill_experts: float
    prefill_attention: float
    prefill_bend: float
    """How much slower attention is at 65,536 positions, over its speed at none."""
    prefill_sharing: float
    """Power of the heads per KV head by which attention gets faster in prefill."""
    prefill_camping: float
    """Power of the missing memory channels (``CacheSums.camping``) by which it gets slower."""
    watts_per_tflops: float | None
    """Of the measured cards, in the middle; None where memory and processor share the power."""
    widen: float
    """Multiple of the range while decoding: more than 1 for kinds that few pages tell of, mostly of
    other cards."""
    rows_decode: int
    rows_prefill: int


class BackendCosts(_Frozen):
    """What differs by backend."""

    gather: float
    """How well experts are read against dense matrices."""
    bf16_prefill: float
    """How much faster BF16 matrices are multiplied in prefill than F16 ones, on devices that
    ``SpeedData.without_bf16`` names."""
    kernels: dict[str, float]
    """What each of ``speed_sums.KERNEL_KINDS`` costs, in kernels of a matrix."""
    mla_attention: float
    """How much slower attention over a latent cache computes while decoding."""
    mla_prefill: float
    fixed_us: float
    """Time per token outside the blocks."""
    hand_over_us: float
    """Time to pass a token on to the next device."""
    prefill_launch_us: float
    prefill_score: float
    """Softmax of one score in prefill, in operations."""
    prefill_tile: float
    """Tokens by which an expert's last tile is empty in prefill, on average."""
    pipeline: float
    """Power of what a perfect pipeline of several cards would leave of the time of a prompt: 1 is
    perfect, 0 is no gain."""


class Borrowed(_Frozen):
    """A kind of GPU without rows of its own takes the constants of another, with wider ranges."""

    backend: Backend
    architecture: str
    """As ``speed_class.architecture_key`` names it; "-shared" of graphics that use the RAM, whether
    or not cards of the kind have constants."""
    like: str
    widen: float


Rates = TypeVar("Rates", float, NDArray[np.float64])


class Tiles(_Frozen):
    """Prompts on x86 since llama.cpp multiplies whole tiles (ggml-cpu/tiled/tiled.cpp)."""

    since: str
    """Month: ``"2026-09"``."""
    gflops: dict[str, float]
    """10**9 operations per second and core with as many rows as there may be; keys are those of
    ``HostCosts.prefill_gflops``, types that are not here are computed as before."""
    unpacking_rows: float
    """Rows whose multiplying takes as long as unpacking a matrix."""
    least_rows: int
    """Tokens from which tiles are used, of experts those that chose the same one."""
    source: str

    @property
    def year(self) -> float:
        """Beginning of the month."""
        return int(self.since[:4]) + (int(self.since[5:7]) - 1) / 12


class Vectors(_Frozen):
    """Prompts on processors of one kind of vector instructions, over ``HostCosts``' rates."""

    plain: float
    tiled: float
    """In tiles (``Tiles``)."""


class HostCosts(_Frozen):
    """The host's memory and processor: packaging/fit_host.py."""

    date: str
    method: str
    data: str
    eta: float
    """Share of the modules' bandwidth that the RAM delivers, where that is ``USUAL_RAM``."""
    power: float
    """By which power of the bandwidth that share falls, below 1: more memory is never slower."""
    read: float
    """The same of what reading with every core reached (``Host.ram_read_gbs``), of any RAM."""
    experts: float
    """Time of a byte of experts beside a device over that of one without."""
    beside_us: float
    """Time per layer of experts in RAM while its block lies on a device, beside reading."""
    tau_us: float
    """Time per block beside reading, at one thread."""
    attention_gflops: float
    """Attention while decoding, 10**9 operations per second and core."""
    cores: int
    """Cores of a processor that is not known."""
    core_gbs: dict[str, float]
    """What one core unpacks, 10**9 bytes per second; keys are speed_sums.GROUPS and HARD."""
    state_gbs: float
    """Recurrent state that one core updates, 10**9 bytes read and written per second."""
    spread: float
    """Of what lies in RAM without a device: standard deviation of the logarithm that held 80 %."""
    spread_beside: float
    """The same of experts and layers beside a device."""
    copy_share: float
    """Share of the link's rate that copies of page-locked weights in RAM to a device reach
    (--no-mmap)."""
    pageable_gbs: float
    """What copies of weights reach at most that are mapped from their file, 10**9 bytes per second:
    the driver copies them to page-locked memory first, on one core."""
    chosen_power: float
    """Power of a micro-batch's tokens that would choose as many of the experts if they chose
    independently: texts have their favourites, and only what is chosen is copied
    (ggml-backend.cpp:ggml_backend_sched_compute_splits, ``used_ids``)."""
    mapped_share: float
    """What copies of mapped weights reach at most of what the RAM delivers: a byte is read, written
    to page-locked memory and read there again."""
    copy_source: str
    """Where ``copy_share``, ``chosen_power`` and ``mapped_share`` are from."""
    copy_spread: float
    prefill_gflops: dict[str, float]
    """Prompts on the processor, 10**9 operations per second and core; keys are
    speed_sums.GROUPS and HARD."""
    tiled: Tiles
    vectors: dict[str, Vectors]
    """By ``Host.simd``."""
    prefill_spread: float
    """Where the kind of vector instructions is known."""
    prefill_state_gbs: float
    """As ``state_gbs``, of a prompt, whose tokens are taken together."""
    source: str
    block_source: str
    """Where ``tau_us`` and ``attention_gflops`` are from."""
    errors: dict[str, dict[str, "Errors"]]
    """By kind (decode, prefill) and group, of rows predicted without their page's rows."""

    def delivered(self, nominal_gbs: Rates) -> Rates:
        """What RAM of so many GB/s by its modules delivers, GB/s."""
        # A float to the power of a float may be complex as far as types tell.
        fallen = (nominal_gbs / USUAL_RAM) ** (1 - self.power)
        return self.eta * USUAL_RAM * fallen  # pyright: ignore[reportReturnType]

    def distinct(self, ubatch: int) -> float:
        """Tokens that choose independently as many experts as a micro-batch does."""
        return float(ubatch**self.chosen_power)


USUAL_RAM: Final = 100.0
"""GB/s: about two channels of DDR5-6000."""


class CalibratedClass(_Frozen):
    """The same of one kind of GPU, where a probe of one model tells less of others."""

    spread: float
    prefill_spread: float


class Calibrated(_Frozen):
    """What one probe leaves open about other models on the same rig."""

    spread: float
    """Of decoding: standard deviation of the logarithm that held 80 %."""
    prefill_spread: float
    few_bits_spread: float
    """Of what is read from RAM where one has types of less than 4 bits and the other has not."""
    classes: dict[str, CalibratedClass]
    source: str


class Launches(_Frozen):
    """Architectures whose blocks start more kernels than their tensors tell."""

    extra: dict[str, float]
    """Kernels per block beside the usual ones."""
    source: str


class Unpacking(_Frozen):
    """Kinds of GPU whose memory may be faster than their cores unpack weights."""

    classes: tuple[str, ...]
    gbs: dict[str, float]
    """GB/s that one multiprocessor unpacks, by ``speed_sums.GROUPS``."""
    source: str


class TensorSplit(_Frozen):
    """Cost of one all-reduce."""

    dense_us: float
    """Waiting, whatever the link: bytes come on top."""
    moe_us: float
    spread: float
    prefill_share: float
    """Share of the link's rate in one direction that a micro-batch's all-reduce reaches: four
    published pairs of rows give 0.05, 0.13, 0.17 and 0.22."""
    prefill_spread: float
    source: str


class LinksOnBoard(_Frozen):
    """Cards whose links to each other are part of the board, so that nobody has to add a bridge."""

    cards: tuple[str, ...]
    """Names in resources/gpus.json."""
    source: str


class Pcie(_Frozen):
    """Bytes per second and lane by generation, and the share of it that copies reach."""

    gbs_per_lane: dict[int, float]
    share: float
    source: str


class QuantizedCache(_Frozen):
    """Attention over quantized K and V while decoding."""

    slower: float
    """Times the arithmetic of F16: every head unpacks the keys and values it shares with others."""
    backends: tuple[Backend, ...]
    source: str


class Watts(_Frozen):
    """Prompts keep all cores of a card busy, whose clock then depends on the watts it may draw."""

    exponent: float
    """Of the watts for a unit of matrix rate, fitted."""
    source: str


class UnfusedScore(_Frozen):
    """Attention of a prompt without Flash Attention writes its scores to memory."""

    nbytes: float
    """Bytes moved per score, fitted."""
    source: str


class WithoutBf16(_Frozen):
    """Devices that compute BF16 matrices in F32."""

    backend: Backend
    architectures: tuple[str, ...]
    source: str


class Spill(_Frozen):
    """Backends whose driver moves buffers to RAM when a card is nearly full."""

    backends: tuple[Backend, ...]
    least_mib: int
    """MiB of a card's memory that have to be left for speed to be known."""
    seen: str
    source: str


class PowerModes(_Frozen):
    """Computers whose owner chooses how much power they draw; their rows are of the highest."""

    architectures: tuple[str, ...]
    seen: str
    source: str


class MatrixRate(_Frozen):
    """Rate that stands in for a card's FP16 matrix rate where its data sheet has none."""

    card: str
    """Name in resources/gpus.json."""
    tflops: float
    source: str


class MatrixShare(_Frozen):
    """Part of an architecture's FP16 matrix rate that the instructions llama.cpp uses can reach."""

    architecture: str
    backend: Backend | None = None
    """Under which alone; None: under any."""
    share: float
    source: str


class Similar(_Frozen):
    """How far measured rows speak for others (standard deviations of the logarithm)."""

    model: float
    model_backend: float
    model_class: float
    gpu_backend: float
    gpu_model: float
    gpu_model_backend: float
    gpu_model_depth: float
    gpu_model_slope: float
    """Of an error that grows with depth."""
    class_type: float
    backend_built: float
    """Of builds of llama.cpp of the same time, with the same backend."""
    class_built: float
    """The same on the same kind of card."""
    class_flash: float
    """The same where both run with or both without Flash Attention."""
    depth: float
    built: float
    """Years between builds over which their likeness falls to 1/e."""
    noise: float
    z: float
    """Multiple of the spread that held 80 % of rows kept back in cross-validation, dense models."""
    z_deep: float
    """The same far along a context (``speed_similar.deepness`` of 1)."""
    z_experts: float
    z_experts_deep: float
    centre: float
    """Spreads by which the middle is set below what is likeliest: a figure that is too high is
    further off, relative to what is measured, than one too low, so the less is known, the lower is
    the middle that errs least (absolute percentage error in Gneiting 2011, "Making and evaluating
    point forecasts")."""
    untold: float
    """What not knowing the build adds to the spread, times this, lowers the middle too: kernels got
    faster, so of builds that one may have those that differ most are slow."""
    several: float
    """Multiple of the range where several cards share the work."""
    unmeasured: float
    """Multiple of the range for a card that nobody measured with the backend in question."""

    def multiple(self, experts: bool, far: float) -> float:
        """Multiple of the spread for a model with or without experts, ``far`` into a context."""
        near, deep = (self.z_experts, self.z_experts_deep) if experts else (self.z, self.z_deep)
        return near + (deep - near) * far


class Errors(_Frozen):
    """Cross-validated errors over one group of rows, in per cent."""

    rows: int
    median: float
    p90: float
    coverage: float
    """Share of rows inside the range, per cent."""


class SpeedData(_Frozen):
    """resources/speed.json."""

    date: str
    method: str
    data: str
    classes: dict[str, SpeedClass]
    backends: dict[Backend, BackendCosts]
    groups: dict[str, float]
    """How fast types are read against 4 bits; keys are speed_sums.GROUPS."""
    prefill_groups: dict[str, float]
    memory_prefill: float
    borrowed: tuple[Borrowed, ...]
    host: HostCosts
    calibrated: Calibrated
    tensor_split: TensorSplit
    pcie: Pcie
    links_on_board: LinksOnBoard
    launches: Launches
    unpacking: Unpacking
    quantized_cache: QuantizedCache
    watts: Watts
    unfused_score: UnfusedScore
    without_bf16: WithoutBf16
    spill: Spill
    power_modes: PowerModes
    matrix_rates: tuple[MatrixRate, ...]
    matrix_shares: tuple[MatrixShare, ...]
    similar_decode: Similar
    similar_prefill: Similar
    errors_decode: dict[str, Errors]
    errors_prefill: dict[str, Errors]


@functools.cache
def speed_data() -> SpeedData:
    """The shipped constants, validated once per process."""
    return resources.load(SpeedData, "speed.json")
