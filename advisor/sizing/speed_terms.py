"""The formulas of the speed model. Scalars in a prediction, arrays in the fit: the same code.

Decode is bound by memory: bytes read over effective bandwidth, plus what a layer costs in launches
and waits. Prefill is bound by arithmetic, with the weights read once per micro-batch.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from advisor.sizing import speed_sums as sums
from advisor.sizing.speed_sums import Floats

Number = float | Floats


@dataclass(slots=True)
class Constants:
    """Constants of one device (or, in the fit, of every row's device)."""

    bandwidth: Number
    """Bytes per second by the data sheet."""
    rate: Number
    """Matrix rate at FP16, operations per second."""
    eta: Number
    tau: Number
    """Seconds per kernel of a matrix."""
    rho: Number
    attention: Number
    groups: Floats
    """Factors by type group; last axis."""
    expert_groups: Floats
    step: Number
    """Seconds per ``speed_sums.STEPS``; 0 where BF16 experts are read like others."""
    kernels: Floats
    """Other kernels' weights, ``speed_sums.KERNELS`` in the last axis."""
    mla_attention: Number
    """How much slower attention over a latent cache computes."""


@dataclass(slots=True)
class Work:
    """What one token asks of a device: ``speed_sums`` columns (last axis), and its caches."""

    columns: Floats
    cache_bytes: Number
    attention_flops: Number


@dataclass(slots=True)
class DecodeParts:
    """Seconds per token."""

    weights: Number
    experts: Number
    cache: Number
    attention: Number
    latency: Number

    @property
    def total(self) -> Number:
        """Their sum."""
        return self.weights + self.experts + self.cache + self.attention + self.latency


_SHARPNESS: Final = 4.0
"""How abruptly the slower of memory and cores takes over."""


def unpacked(groups: Floats, effective: Number, rate: Number) -> Floats:
    """``groups`` where cores unpack ``rate`` bytes per second of a type at most.

    ``effective``: bytes per second of the memory. Reading and unpacking overlap, so the slower one
    counts, both a little where they are alike (llama.cpp: ggml-cuda/mmvq.cu unpacks in registers).
    """
    ratio = groups * effective / rate
    return groups / (1 + ratio**_SHARPNESS) ** (1 / _SHARPNESS)


def launches(k: Constants, columns: Floats) -> Number:
    """Kernels of one token, each counted as what it costs beside a matrix's."""
    return (columns[..., sums.KERNELS] * k.kernels).sum(axis=-1)


def latent(columns: Floats, flops: Number, factor: Number) -> Number:
    """Arithmetic of attention, weighted where the cache is latent (MLA)."""
    return flops * np.where(columns[..., sums.MLA] > 0, factor, 1.0)


def decode_parts(k: Constants, work: Work) -> DecodeParts:
    """Time of one token on one device."""
    effective = k.eta * k.bandwidth
    columns = work.columns
    dense = (columns[..., sums.DENSE] / k.groups).sum(axis=-1) + columns[..., sums.STATE]
    experts = (columns[..., sums.EXPERTS] / k.expert_groups).sum(axis=-1)
    looped = columns[..., sums.STEPS] * k.step
    return DecodeParts(
        weights=dense / effective,
        experts=np.maximum(experts / effective, looped),
        cache=work.cache_bytes * k.rho / effective,
        attention=latent(columns, work.attention_flops, k.mla_attention) / (k.attention * k.rate),
        latency=launches(k, columns) * k.tau,
    )


@dataclass(slots=True)
class PrefillConstants:
    """Constants of one device in prefill."""

    bandwidth: Number
    rate: Number
    quantized: Number
    """Shares of the matrix rate."""
    sixteen: Number
    experts: Number
    attention: Number
    bf16: Number
    """Factor on 16-bit matrices when they are BF16."""
    type_factor: Number
    """Factor of the file type's kernels."""
    memory: Number
    launch: Number
    """Seconds per launch and micro-batch."""
    mla_attention: Number
    bend: Number
    """How much slower attention gets per 65,536 positions, over its speed at none."""
    sharing: Number
    """Power of the heads per KV head by which attention gets faster."""
    camping: Number
    """Power of the missing memory channels by which attention gets slower."""
    unfused: Number
    """Bytes that a score moves where attention is not fused (no Flash Attention); else 0."""
    score: Number
    """Softmax of one score, in operations."""
    tile: Number
    """Tokens by which an expert's last tile is empty, on average."""


@dataclass(slots=True)
class PrefillParts:
    """Seconds per prompt token."""

    matrices: Number
    experts: Number
    attention: Number
    memory: Number
    latency: Number

    @property
    def total(self) -> Number:
        """Their sum."""
        return self.matrices + self.experts + self.attention + self.memory + self.latency


def touched(columns: Floats, used: Number, ubatch: Number) -> Number:
    """Bytes read per micro-batch: everything dense, and the experts that any token chose.

    ``used``: share of the experts that one token uses.
    """
    chosen = 1.0 - np.power(1.0 - np.asarray(used), ubatch)
    return columns[..., sums.DENSE].sum(axis=-1) + columns[..., sums.ALL_EXPERTS] * chosen


BEND_POSITIONS = 65536
FLOPS, FAR, SHARED, SCORES, CAMPED = range(5)
"""Entries of the arithmetic of attention along a prompt: itself, times positions in units of
``BEND_POSITIONS``, times ``CacheSums.sharing``, how many scores it has, and times
``CacheSums.camping``."""
ENTRIES = 5


def attention_effort(k: PrefillConstants, work: Floats) -> Number:
    """Arithmetic of attention, weighted by how well a backend's kernels do it.

    AMD's kernels lose speed along the cache, CUDA's and Metal's hardly; and they gain where many
    heads share what is read (``packaging/fit_speed.py``, rows measured at several depths). A
    score's softmax costs the same however wide its head is, so narrow heads (gpt-oss) take longer
    for the same arithmetic and wide ones (latent caches, Gemma) less. Strix Halo under Vulkan gets
    slower where a KV head lies on few memory channels: at 66,000 positions 1.5 to 1.8 TFLOPS on
    two (MiniMax M2.7, Ministral 3), 2.1 to 3.6 on four (Qwen3.6 27B, gpt-oss), 8 to 9 on eight
    (Qwen3.5 122B, Gemma 4 26B), 11 on all (GLM 4.7 Flash).
    """
    flops = work[..., FLOPS]
    one = np.maximum(flops, 1.0)
    slower = (1 + k.bend * work[..., FAR] / one) * np.exp(
        (k.camping * work[..., CAMPED] - k.sharing * work[..., SHARED]) / one
    )
    return (flops + k.score * work[..., SCORES]) * slower


def prefill_parts(
    k: PrefillConstants,
    columns: Floats,
    attention: Floats,
    read: Number,
    ubatch: Number,
    *,
    used: Number,
) -> PrefillParts:
    """Time per prompt token on one device, in micro-batches of ``ubatch`` tokens.

    ``attention``: arithmetic along the prompt, last axis as ``FLOPS`` to ``SCORES``; ``used``: see
    ``touched``. Matrices are multiplied in tiles of whole numbers of tokens, and every expert has
    its own (ggml-cuda/mmq.cuh, ``expert_bounds`` and ``J``): with few tokens for each, tiles are
    mostly empty.
    """
    matrices = 2 * columns[..., sums.DENSE_Q] / (k.quantized * k.type_factor) + 2 * columns[
        ..., sums.DENSE_16
    ] / (k.sixteen * k.bf16)
    experts = 2 * columns[..., sums.EXPERTS_Q] / (k.experts * k.type_factor) + 2 * columns[
        ..., sums.EXPERTS_16
    ] / (k.experts * k.bf16)
    experts = experts * (1 + k.tile / (used * ubatch))
    kernels = 3 * columns[..., sums.BLOCKS] + 4 * columns[..., sums.MOE]
    return PrefillParts(
        matrices=matrices / k.rate,
        experts=experts / k.rate,
        attention=latent(columns, attention_effort(k, attention), k.mla_attention)
        / (k.attention * k.rate),
        memory=(read * k.memory / ubatch + attention[..., SCORES] * k.unfused) / k.bandwidth,
        latency=kernels * k.launch / ubatch,
    )


def pipelined(n_devices: Number, n_prompt: Number, ubatch: Number, exponent: Number) -> Number:
    """Share of the time that is left when micro-batches pass through devices like a pipeline.

    ``n_devices``: alike ones; of unlike ones the time of all over that of the slowest.
    """
    chunks = np.ceil(np.asarray(n_prompt) / ubatch)
    return ((chunks + n_devices - 1) / (n_devices * chunks)) ** exponent
