"""Constants of the speed model that are not fitted: each with where it comes from."""

BORROWED = (
    ("cuda", "gb10", "cuda-gb10", 1.0),
    ("rocm", "rdna2", "rocm-rdna", 1.6),
    ("vulkan", "rdna2", "vulkan-rdna", 1.6),
    ("rocm", "cdna", "rocm-rdna", 2.5),
    ("vulkan", "cdna", "vulkan-rdna", 2.5),
    ("vulkan", "rdna2-shared", "vulkan-rdna-shared", 1.6),
    ("rocm", "rdna2-shared", "rocm-rdna-shared", 1.6),
    ("vulkan", "vega", "vulkan-polaris", 2.0),
    ("vulkan", "gb10", "vulkan-nvidia", 1.6),
    ("vulkan", "hbm", "vulkan-nvidia", 2.0),
)
SCARCE = frozenset(
    {
        "cuda-jetson-orin", "cuda-jetson-orin-nano", "cuda-jetson-thor", "cuda-pascal-gp100",
        "rocm-rdna-shared", "sycl-alchemist", "sycl-arc", "vulkan-alchemist", "vulkan-arc",
        "vulkan-cdna", "vulkan-polaris", "vulkan-rdna-shared", "vulkan-rdna1",
    }
)  # fmt: skip
"""Kinds that one to five pages tell of, mostly of different cards: without a page next to nothing
is left to predict its rows by, so that their errors are counted apart."""
CAMPING = frozenset({"vulkan-strix-halo"})
"""Kinds whose attention gets slower where a KV head lies on few memory channels; on an R9700 and
under ROCm the same models tell no such thing."""
UNPACKING = {
    "classes": ["cuda-hbm"],
    "gbs": {
        "f32": 40.0, "f16": 40.0, "bf16": 40.0, "q8": 23.0, "q6": 13.0, "q5": 14.0, "q4": 15.0,
        "fp4": 15.0, "q3": 8.0, "q2": 9.0,
    },
    "source": "fitted, from where an H200's rows put it (from 7000 on in resources/bench.json): it "
    "reads an 8B model in F16 at 3.3 TB/s, in Q8_0 at 2.0, in Q4_K_M at 1.2, in Q3_K_M at 0.75, "
    "and an H100 with seven tenths of its bandwidth writes as fast",
}  # fmt: skip
"""GB/s that a multiprocessor unpacks of a type, of kinds whose memory may be faster than that."""
SLOW_MEMORY = {"metal-apple-m1": 0.55}
"""Kinds whose kernels are known to reach less of the bandwidth than 0.72: Apple's M1 (0.49 where a
simpler formula was fitted to these rows)."""

KERNELS = {
    "norm": 1.2, "vector": 0.4, "attention": 5.0, "moe": 6.0, "conv": 4.0, "scan": 20.0,
    "delta": 14.0, "mla": 20.0,
}  # fmt: skip
"""Where fitting starts: what llama.cpp's graph has of each beside a matrix's one, after the fusions
that its backends do (norms with their weights, ropes with the cache, the choice of experts, biases
with matrices: ggml-cuda.cu:ggml_cuda_try_fuse, ggml-vulkan.cpp:ggml_vk_can_fuse)."""
LAUNCHES = {
    "extra": {
        "hy_v4": 70.3, "deepseek4": 58.7, "kimi-k3": 35.3, "gemma3n": 23.4, "glm5-next": 22.3,
        "minimax-m3": 21.5, "deepseek32": 19.2, "qwen4exp": 15.9, "glm-dsa": 8.2,
    },
    "source": "kernels per block in llama.cpp's own graph of one token (advisor/sizing/compute) "
    "beyond what matrices, norms, small tensors and kinds of blocks tell of all other "
    "architectures, most of them within a tenth; tests/sizing/test_sizing_speed_launches.py counts "
    "them",
}  # fmt: skip
WITHOUT_BF16 = {
    "backend": "vulkan",
    "architectures": ["rdna2", "rdna3", "strix-halo"],
    "source": "llama.cpp prints bf16: 0 for gfx1100 and gfx1151 (issue 15624, pull request 16095) "
    "and multiplies in F32 there (ggml-vulkan.cpp: BF16 fallback for coopmat devices)",
}
QUANTIZED_CACHE = {
    "backends": ["cuda", "rocm"],
    "source": "ggml-cuda/fattn.cu:ggml_cuda_get_best_fattn_kernel takes the vector kernel for "
    "quantized K and V while decoding, which reads a KV head once for every head that shares it",
}

WATTS = {
    "source": "a core's clock grows with a power of the watts it may draw, below one half since "
    "voltage has to rise with it (dynamic power: capacitance × voltage² × frequency), so that of "
    "two cards of one kind the one with more cores for its watts runs them slower: RTX 6000 Ada "
    "(364 TFLOP/s at 300 W) reads prompts a third slower than RTX 4090 (330 at 450 W)",
}

UNFUSED_SCORE = {
    "source": "llama-graph.cpp:build_attn_mha without Flash Attention: a matrix of F32 scores is "
    "written, read and written by the softmax and read again. An H200 says 26 bytes (llama-bench "
    "b11549, Llama 3.1 8B Q4_K_M at a depth of 16,384: 7,097 tok/s with it, 3,898 without)",
}

HOST = {
    "tau_us": 20.0,
    "attention_gflops": 8.0,
    "cores": 8,
    "prefill_state_gbs": 2.0,
    "core_gbs": {
        "f32": 14.1, "f16": 12.4, "bf16": 12.7, "q8": 10.8, "q6": 10.4, "q5": 8.5, "q4": 9.9,
        "fp4": 8.0, "q3": 8.1, "q2": 8.0, "iq4": 8.6, "iq3": 4.1, "iq2": 3.5, "iq1": 2.8,
    },
    "prefill_gflops": {
        "f32": 34.0, "f16": 68.6, "bf16": 68.6, "q8": 129.0, "q6": 72.0, "q5": 80.0, "q4": 112.0,
        "fp4": 60.0, "q3": 74.0, "q2": 107.0, "iq4": 84.0, "iq3": 28.0, "iq2": 40.0, "iq1": 40.0,
    },
    "source": "rows with their pages in packaging/bench_host.jsonl. Rates of prompts by type: "
    "llama.cpp of December 2024 on 16 cores of a Ryzen 9 7950X (AVX-512), Llama 3.1 8B "
    "(github.com/ikawrakow/ik_llama.cpp/discussions/164), scaled to all pages; F16 is taken for "
    "BF16, F32 for half of it, IQ1 for IQ2. "
    "State in prompts: Qwen3.6 35B-A3B beside other models of three pages, 1.3 to 4.1 GB/s a core",
    "block_source": "ghosts on one thread of an EPYC of 2021 (AVX2), tests/bench: 28 and 56 blocks "
    "of 256 wide differ by 72 µs per block, 49 of which their weights take; 176 more positions "
    "take 0.12 ms per 10**6 operations of attention, over six models. Cores: a usual desktop. "
    "Types: kernels alone on that thread take for a byte of F32 0.70 times as long as for one of "
    "Q4_K, of BF16 0.78, of Q5_K 1.17 and of Q5_0 1.22; ghosts in F16 0.8, with Q5_0 1.3. "
    "Rates of a core: between kernels of b11434 alone on that thread (Q4_K 6.3, IQ4_XS 5.3, IQ3_S "
    "2.2, IQ2_XXS 2.1, IQ1_S 1.5), two cores of the 7950X there (22, 18, 7 and 6.5), which stand "
    "to each other alike, and eight cores of a Xeon of the fifth generation, 16 threads of a "
    "virtual machine (b11549, ghosts of Llama 3.1 8B: Q4_K_M 7.0 on one; a core's part of IQ4_XS "
    "6.8, IQ3_XXS 4.5, IQ2_XXS 3.2, IQ1_S 3.1 on all): geometric means; of other types by the "
    "times above and by what is left of that Xeon's times when its RAM's is taken off (Q8_0 10.8, "
    "Q6_K 10.4, Q3_K 8.1, Q2_K 8.0)",
    "tiled": {
        "since": "2026-09",
        "gflops": {
            "q2": 165.0, "q3": 165.0, "q4": 165.0, "q5": 165.0, "q6": 165.0,
            "iq4": 165.0, "iq3": 165.0, "iq2": 165.0, "iq1": 165.0,
        },
        "unpacking_rows": 27.0,
        "least_rows": 8,
        "source": "K-quants: all alike, 1.16 to 2.1 times as fast as before, Q4_K 1.38 times (pull "
        "request 27851 of llama.cpp, 8 threads, Aug 2026). I-quants: all alike too, of 8, 32, 128 "
        "and 512 rows at 0.22, 0.53, 0.84 and 1 times the rate, up to eight times as fast as "
        "before (pull request 27402, Qwen3.6 27B, Aug 2026). Between 83 at least on a thread of "
        "the EPYC above (AVX2) and 220 to 270 a core of the Xeon above (AVX-512)",
    },
}  # fmt: skip
"""What is fitted besides (fit_host.py) stands with it in the section “host”."""
CALIBRATED = {
    "spread": 0.125,
    "prefill_spread": 0.265,
    "few_bits_spread": 0.6,
    "classes": {"cuda-hbm": {"spread": 0.254, "prefill_spread": 0.313}},
    "source": "rows of one page, card and month taken as probes of one model each, without that "
    "page's rows of the card: of 540 figures of other models' decoding 80 % were within 17 %, of "
    "421 of their prompts within 40 %. Few bits: llama.cpp b11434's kernels for AVX2 alone, on one "
    "thread of an EPYC of 2021, take for a byte of Q2_K 1.3 times as long as for one of Q4_K, of "
    "Q3_K 1.6, of IQ2_XXS 4.0 and of IQ3_S 4.4 times. cuda-hbm: our rows of an H200, fitted "
    "without them, each other model predicted by one factor: 80 % of 786 figures of decoding "
    "within 38 %, of 870 of prompts within 49 %, since memory, cores and launches are three limits "
    "there and one model tells of one of them",
}
TENSOR_SPLIT = {
    "dense_us": 30.0,
    "moe_us": 55.0,
    "spread": 0.35,
    "prefill_share": 0.15,
    "prefill_spread": 0.6,
    "source": "between what llama.cpp took at first (45 and 78 us back-solved from two RTX 4090s "
    "without NVLink, pull request 19378) and what newer builds leave (0 to 10 us: four RTX 4090s "
    "there in April 2026; two RTX 5060 Ti, A5000 and 3060 in August 2026, "
    "github.com/sudoingX/qwen38-mtp, sweeps/multi-gpu.md)",
}
SPILL = {
    "backends": ["vulkan"],
    "least_mib": 1024,
    "seen": "of five published runs on R9700s that left 0.4 to 1.2 GiB, three fell "
    "to a half, a quarter and a seventh of the speed expected",
    "source": "rows 288, 318, 357, 358 and 359 of resources/bench.json; amdgpu moves buffers to "
    "RAM (GTT) when a card is full, where CUDA on Linux refuses. 1 GiB is what llama.cpp leaves "
    "(--fit-target)",
}
POWER_MODES = {
    "architectures": ["jetson-orin", "jetson-orin-nano", "jetson-thor"],
    "seen": "an AGX Orin at 30 W is three to four times slower",
    "source": "github.com/jbecirovski/jetson-llm-maxperf, in both modes",
}
MATRIX_RATES = (
    ("Tesla P40", 47.0, "int8 rate of NVIDIA's data sheet: llama.cpp multiplies with dp4a there"),
    *(
        (card, 4 * fp32, "four times its FP32 rate by dp4a, as on the P40")
        for card, fp32 in (
            ("GeForce GTX 1080 Ti", 11.34), ("TITAN Xp", 12.15), ("TITAN X Pascal", 10.97),
            ("GeForce GTX 1080", 8.873), ("GeForce GTX 1070 Ti", 8.186),
            ("GeForce GTX 1070", 6.463), ("GeForce GTX 1060 6GB", 4.375),
            ("GeForce GTX 1060 3GB", 3.935), ("GeForce GTX 1050 Ti", 2.138),
            ("Quadro P6000", 12.63), ("Quadro P5000", 8.873), ("Quadro P4000", 5.304),
            ("Quadro P2200", 3.81), ("Quadro P2000", 3.031), ("Quadro P1000", 1.894),
            ("Tesla P4", 5.704),
        )
    ),
    *(
        (f"Apple {name}", cores * 1.3, "back-solved from one row of an M5 Max, per GPU core")
        for name, cores in (
            ("M5", 10), ("M5 Pro", 20), ("M5 Max (32-core)", 32), ("M5 Max (40-core)", 40),
        )
    ),
)  # fmt: skip
"""Cards whose table entry has no FP16 matrix rate: TFLOPS to take instead."""
MATRIX_SHARES = (
    (
        "hopper",
        None,
        0.63,
        (
            "llama.cpp multiplies with mma.sync (ggml-cuda/mma.cuh), which reaches 63 to 65 % of "
            "Hopper's peak (arXiv:2501.12084, as quoted by results/mma_ablation.md of "
            "github.com/waynehacking8/blackwell-tensorcore-kernels; the paper itself was not "
            "read); rows of an H100 over those of an A100 say 0.55 to 0.57"
        ),
    ),
    *(
        (
            architecture,
            None,
            0.25,
            (
                "the data sheet's rate takes tcgen05 instructions, llama.cpp multiplies with "
                "mma.sync: a Thor reads prompts at 0.65 of a DGX Spark's pace "
                "(multimodalflow.net/en/blog/gemma4-12b-benchmark-thor-vs-3090), or at 0.45 "
                "(github.com/antirez/ds4/pull/716 and 788, another engine), which per "
                "multiprocessor and clock is about an A100's rate, a quarter of tcgen05's; of "
                "B200 and B300 nobody published prompts of llama.cpp"
            ),
        )
        for architecture in ("jetson-thor", "blackwell-datacenter")
    ),
    (
        "alchemist",
        "vulkan",
        0.286,
        (
            "llama.cpp uses cooperative matrices on Intel from Xe2 on alone (pull request 14001; "
            "“matrix cores: none” on an A770), so FP16 runs at twice the FP32 rate (39.3 TFLOPS "
            "of an A770) and not at that of XMX (137.6): 562 tok/s of an 8B Q4_K_M there "
            "(github.com/brand-o/normiebench/issues/12) are 9 TFLOPS"
        ),
    ),
)
"""Architectures whose data sheet counts instructions that llama.cpp does not use, under one backend
or any: share of it."""
PCIE = {
    "gbs_per_lane": {"1": 0.25, "2": 0.5, "3": 0.985, "4": 1.969, "5": 3.938, "6": 7.563},
    "share": 0.8,
    "source": "PCI-SIG per-lane rates after encoding; pinned copies reach about 0.8 of them",
}
LINKS_ON_BOARD = {
    "cards": [
        "Tesla P100 16GB SXM2",
        "Tesla V100 16GB SXM2",
        "Tesla V100 32GB SXM2",
        "A100 40GB SXM",
        "A100 80GB SXM",
        "A800 80GB SXM",
        "H100 SXM",
        "H800 SXM",
        "H200 SXM",
        "H20 SXM",
        "B200",
        "B300",
        "Instinct MI250 64GB",
        "Instinct MI250X 64GB",
        "Instinct MI300X",
        "Instinct MI325X",
        "Instinct MI355X",
    ],
    "source": "vendors' datasheets: SXM and OAM modules sit on a board with NVSwitch, "
    "NVLink or Infinity Fabric; PCIe and NVL cards of the same names need a bridge",
}
