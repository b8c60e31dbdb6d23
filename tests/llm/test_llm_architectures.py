"""Every architecture: llama.cpp takes its tensor list and keeps what our rules say."""

import contextlib
import os
import random
import re
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from llm_small_configs import SMALL

from advisor.errors import BadModelFile, ModelError
from advisor.llm import architectures
from advisor.llm.caches import CacheRule
from advisor.llm.filetypes import assign
from advisor.llm.gguf import read_header
from advisor.llm.ghost import write_ghost
from advisor.llm.model import Model
from tests.truth import TRUTH

CTX = 32768
UBATCH = 512

# One process that forks for each file: llama.cpp aborts at the end of a run without memory, and
# loading the library anew for each would take most of the time.
DRY_RUNS = """
import os, sys
import xllamacpp
for path in sys.argv[2:]:
    pid = os.fork()
    if pid == 0:
        log = os.open(path + ".log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        params = xllamacpp.CommonParams()
        params.model.path = path
        params.n_ctx = 32768
        params.no_alloc = True
        params.load_mode = xllamacpp.llama_load_mode[sys.argv[1]]
        params.fit_params = True
        params.verbosity = 5
        params.n_parallel = 1
        params.warmup = False
        xllamacpp.Server(params)
        os._exit(0)
    os.waitpid(pid, 0)
"""


@dataclass(frozen=True)
class Cache:
    cells: int
    layers: int
    k_mib: float
    v_mib: float


def small_model(label: str) -> Model:
    hp = architectures.from_config(SMALL[label])
    family = architectures.architecture(hp.arch)
    assert family is not None
    return Model(
        id=label,
        name=label,
        file_type="F16",
        source="catalogue",
        tensors=assign(hp, family.tensors(hp), "F16"),
        hp=hp,
        memory=family.memory(hp),
    )


DEPENDENT = frozenset({"gemma4-assistant"})
"""Small models that attend to the caches of another, without which llama.cpp starts none."""


def keeps_nothing(model: Model) -> bool:
    return model.memory is not None and not (model.memory.caches or model.memory.states)


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the embedded llama.cpp says of a header-only file of each small model."""
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    folder = tmp_path_factory.mktemp("ghosts")
    paths = {
        label: write_ghost(small_model(label), folder, header_only=True).path
        for label in SMALL
        if label not in DEPENDENT
    }
    said = dict.fromkeys(paths, "")
    # The abort at the end may come before the log is written out: those are run again.
    for _ in range(4):
        missing = [label for label, log in said.items() if "memory breakdown" not in log]
        if not missing:
            break
        # Mapping a file touches all of its holes. Unmapped, what keeps no context would go on.
        encoders = [label for label in missing if keeps_nothing(small_model(label))]
        for mode, labels in (
            ("LLAMA_LOAD_MODE_NONE", set(missing) - set(encoders)),
            ("LLAMA_LOAD_MODE_MMAP", encoders),
        ):
            subprocess.run(
                [sys.executable, "-c", DRY_RUNS, mode, *(str(paths[label]) for label in labels)],
                env={**os.environ, "GGML_NO_BACKTRACE": "1"},
                check=True,
                timeout=240,
                capture_output=True,
            )
        for label in missing:
            log = Path(f"{paths[label]}.log")
            said[label] = log.read_text(encoding="utf-8", errors="replace")
    return said


def said_caches(log: str) -> list[Cache]:
    found = re.findall(
        r"MiB \( *(\d+) cells, *(\d+) layers, .*?K \(\w+\): +([\d.]+) MiB, V \(\w+\): +([\d.]+)",
        log,
    )
    return [Cache(int(c), int(n), float(k), float(v)) for c, n, k, v in found]


def pad(cells: int) -> int:
    return -(-cells // 256) * 256


def ruled_cache(rule: CacheRule) -> Cache:
    cells = {
        "full": CTX,
        "window": pad(min(CTX, rule.span + UBATCH)),
        "compressed": pad(-(-CTX // rule.span)) if rule.span else 0,
    }[rule.cells]
    return Cache(
        cells,
        len(rule.layers),
        sum(rule.k_width) * cells * 2 / 2**20,
        sum(rule.v_width) * cells * 2 / 2**20,
    )


@pytest.mark.engine
@pytest.mark.parametrize("label", [label for label in SMALL if label not in DEPENDENT])
def test_llama_cpp_takes_the_tensors_and_keeps_the_caches(label: str, logs: dict[str, str]) -> None:
    # Some get further, and make their context once more.
    log, found, _ = logs[label].partition("memory breakdown")
    memory = small_model(label).memory
    assert memory is not None

    assert found, log[-3000:]

    said = said_caches(log)
    ruled = [ruled_cache(rule) for rule in memory.caches]
    order = [(c.cells, c.layers) for c in said]
    assert order == [(c.cells, c.layers) for c in ruled]
    for one, other in zip(said, ruled, strict=True):
        assert one.k_mib == pytest.approx(other.k_mib, abs=0.006)
        assert one.v_mib == pytest.approx(other.v_mib, abs=0.006)

    recurrent = re.findall(r"llama_memory_recurrent: size = +([\d.]+) MiB", log)
    values = sum(sum(s.values) for s in memory.states if s.kind == "recurrent")
    assert sum(map(float, recurrent)) == pytest.approx(values * 4 / 2**20, abs=0.006)


def test_there_are_small_models_of_every_architecture() -> None:
    covered = {architectures.from_config(config).arch for config in SMALL.values()}
    assert set(architectures.names()) - covered == {"llama-embed", "hunyuan_vl"}


@pytest.mark.parametrize("label", SMALL)
def test_a_file_reads_back_as_the_config_it_was_made_from(label: str, tmp_path: Path) -> None:
    model = small_model(label)
    header = read_header(write_ghost(model, tmp_path, header_only=True).path)
    family = architectures.architecture(str(header.metadata["general.architecture"]))
    assert family is not None
    shapes = [(t.name, t.shape) for t in header.tensors]

    hp = family.from_gguf(header.metadata, shapes)

    assert sorted(family.tensors(hp)) == sorted(shapes)
    assert family.memory(hp) == model.memory


@pytest.fixture(scope="module")
def truth_headers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (TRUTH / "headers.tar.xz").exists():
        pytest.skip("reference headers are not here")
    folder = tmp_path_factory.mktemp("truth")
    with tarfile.open(TRUTH / "headers.tar.xz") as tar:
        wanted = [m for m in tar.getmembers() if m.name.endswith(".BF16.gguf")]
        tar.extractall(folder, members=wanted, filter="data")
    return folder


def test_headers_of_real_models_hold_exactly_our_tensors(truth_headers: Path) -> None:
    paths = sorted(truth_headers.glob("**/*.gguf"))
    assert len(paths) == 12
    for path in paths:
        with path.open("r+b") as file:
            file.truncate(1 << 42)  # a hole, as large as any of them claims
        header = read_header(path)
        shapes = [(t.name, t.shape) for t in header.tensors]
        family = architectures.architecture(str(header.metadata["general.architecture"]))
        assert family is not None, path.name
        hp = family.from_gguf(header.metadata, shapes)
        assert sorted(family.tensors(hp)) == sorted(shapes), path.name


@pytest.mark.parametrize(
    "change",
    [
        {"block_count": 0},
        {"block_count": 1 << 31},
        {"block_count": "many"},
        {"embedding_length": 0},
        {"attention.head_count": "x"},
        {"attention.head_count_kv": (2,)},
        {"nextn_predict_layers": 9},
        {"feed_forward_length": -5},
    ],
)
def test_a_header_that_contradicts_itself_is_refused(change: dict[str, Any]) -> None:
    hp = architectures.from_config(SMALL["qwen3moe"])
    keys = {f"qwen3moe.{key}": value for key, value in {**hp.metadata, **change}.items()}
    family = architectures.architecture("qwen3moe")
    assert family is not None
    with pytest.raises(BadModelFile):
        family.from_gguf({"general.architecture": "qwen3moe", **keys}, [])


def test_one_expert_of_a_dense_hunyuan_is_none() -> None:
    hp = architectures.from_config(SMALL["hunyuan-dense"])
    family = architectures.architecture("hunyuan-dense")
    assert family is not None
    keys = {f"hunyuan-dense.{key}": value for key, value in hp.metadata.items()}
    header = {"general.architecture": "hunyuan-dense", **keys, "hunyuan-dense.expert_count": 1}
    assert family.from_gguf(header, family.tensors(hp)).n_expert == 0


@pytest.mark.parametrize(
    "change",
    [{"attention.head_count": 3}, {"expert_feed_forward_length": 96}, {"feed_forward_length": 1}],
)
def test_tensors_of_another_size_than_the_header_says_are_refused(change: dict[str, Any]) -> None:
    hp = architectures.from_config(SMALL["glm4moe"])
    family = architectures.architecture("glm4moe")
    assert family is not None
    keys = {f"glm4moe.{key}": value for key, value in hp.metadata.items()}
    shapes = family.tensors(hp)
    header = {"general.architecture": "glm4moe", **keys}
    assert family.from_gguf(header, shapes).n_head == hp.n_head
    with pytest.raises(BadModelFile, match="contradicts itself: blk"):
        family.from_gguf({**header, **{f"glm4moe.{k}": v for k, v in change.items()}}, shapes)


NONSENSE = [0, 1, 7, -1, 3.5, 1 << 31, "x", True, (), (1,), (0,) * 64, (1 << 30,) * 64]


@pytest.mark.parametrize("label", SMALL)
def test_nonsense_in_a_header_is_refused_or_harmless(label: str) -> None:
    hp = architectures.from_config(SMALL[label])
    family = architectures.architecture(hp.arch)
    assert family is not None
    good = {f"{hp.arch}.{key}": value for key, value in hp.metadata.items()}
    shapes = [(name, ()) for name, _ in family.tensors(hp)]
    pick = random.Random(label)
    for _ in range(40):
        bad = {**good, pick.choice(list(good)): pick.choice(NONSENSE)}
        with contextlib.suppress(BadModelFile):
            read = family.from_gguf({"general.architecture": hp.arch, **bad}, shapes)
            assert family.tensors(read)


def tensors_of(config: dict[str, Any]) -> list[Any]:
    hp = architectures.from_config(config)
    family = architectures.architecture(hp.arch)
    assert family is not None
    return family.tensors(hp)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"architectures": ["NobodyKnowsForCausalLM"]},
        {"architectures": ["Qwen3ForCausalLM"]},
        {"architectures": ["Qwen3ForCausalLM"], "hidden_size": "wide"},
        {"architectures": "Qwen3ForCausalLM"},
        {**SMALL["qwen3"], "num_hidden_layers": 10**9},
        {**SMALL["qwen3"], "num_hidden_layers": -1},
        {**SMALL["deepseek4"], "compress_ratios": [4]},
        {**SMALL["nemotron_h"], "hybrid_override_pattern": None},
        {**SMALL["deepseek4"], "o_groups": 0},
    ],
)
def test_a_config_that_makes_no_model_is_refused_in_a_sentence(config: dict[str, Any]) -> None:
    with pytest.raises(ModelError) as caught:
        tensors_of(config)
    assert str(caught.value).endswith(".")


def test_what_a_config_leaves_out_is_what_its_class_means() -> None:
    left_out = {
        "architectures": ["Gemma3ForConditionalGeneration"],
        "text_config": {
            "model_type": "gemma3_text",
            "hidden_size": 2560,
            "intermediate_size": 10240,
            "num_hidden_layers": 34,
            "sliding_window": 1024,
        },
        "vision_config": {"hidden_size": 1152, "num_hidden_layers": 27},
    }
    whole = SMALL["gemma3"] | {
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "num_hidden_layers": 34,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "vocab_size": 262208,
    }
    assert tensors_of(left_out) == tensors_of(whole)
    silent = {k: v for k, v in SMALL["smollm3"].items() if k != "tie_word_embeddings"}
    assert tensors_of(silent) == tensors_of(SMALL["smollm3"])
    named = {"architectures": ["modeling_grove_moe.GroveMoeForCausalLM"]}
    assert tensors_of(SMALL["grovemoe"] | named) == tensors_of(SMALL["grovemoe"])
