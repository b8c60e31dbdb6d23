"""Qwen3.8-Flash-Next: delta nets, attention over chosen blocks, wide residuals, n-gram tables."""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any, ClassVar, Final

from advisor.llm.architectures import rules
from advisor.llm.architectures.builder import Block, NamedShape, TensorList
from advisor.llm.architectures.config import Config
from advisor.llm.architectures.deepseek2 import convert_nextn
from advisor.llm.architectures.keys import Keys
from advisor.llm.architectures.qwen35 import Qwen35Moe
from advisor.llm.caches import CacheRule, MemoryRule, StateRule
from advisor.llm.hyperparameters import Hyperparameters, Value

POOL_ROW: Final = 2
"""Head-size slots of a cached indexer row: raw key, pooled key (qwen4exp.cpp)."""
_ROWS: Final = "ple.rows"
"""Not llama.cpp's: rows of the n-gram table, which a header tells by the table itself."""
_TABLE: Final = "per_layer_token_embd.weight"


class Qwen4Exp(Qwen35Moe):
    """llama.cpp: src/models/qwen4exp.cpp, llama-memory-hybrid-idx.cpp."""

    names = ("qwen4exp",)
    huggingface: ClassVar = {
        "Qwen4ExpForConditionalGeneration": "qwen4exp",
        "Qwen4ExpForCausalLM": "qwen4exp",
    }

    def from_gguf(
        self, metadata: Mapping[str, Any], tensors: Sequence[NamedShape]
    ) -> Hyperparameters:
        table = dict(tensors).get(_TABLE, ())
        if len(table) == 2:
            metadata = {**metadata, f"qwen4exp.{_ROWS}": table[1]}
        return super().from_gguf(metadata, tensors)

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        super().read(keys, hp)
        hp["n_hyper_connections"] = keys.integer("hyper_connection.count")
        hp["hc_low_rank"] = keys.integer("hyper_connection.low_rank")
        hp["n_indexer_head"] = keys.integer("attention.indexer.head_count")
        hp["indexer_head_size"] = keys.integer("attention.indexer.key_length")
        hp["indexer_top_k"] = keys.integer("attention.indexer.top_k")
        hp["kpool"] = keys.most("attention.compress_ratios")
        tables = keys.numbers("ple.layers")
        hp["ple_layer"] = tables[0] if tables else -1
        if tables:
            hp["n_embd_per_layer"] = keys.integer("embedding_length_per_layer_input")
            hp["ple_ngram"] = keys.integer("ple.ngram_size")
            hp["ple_kernel"] = keys.integer("ple.conv_kernel")
            hp["ple_heads"] = (hp["ple_ngram"] - 1) * keys.integer("ple.heads_per_ngram")
            hp["ple_rows"] = keys.integer(_ROWS)

    def build(self, t: TensorList) -> None:
        hp = t.hp
        t.add("token_embd.weight", hp.n_embd, hp.n_vocab)
        _mixer(t.add, "output_hc_", hp)
        t.optional("output.weight", hp.n_embd, hp.n_vocab)
        if int(hp.extra["ple_layer"]) >= 0:
            t.add(_TABLE, hp.n_embd_per_layer, int(hp.extra["ple_rows"]))
        for il in range(hp.n_layer_all):
            b = t.block(il)
            for part in ("attn", "ffn"):
                _mixer(b.add, f"hc_{part}_", hp)
                b.weight(f"hc_{part}_inject", _wide(hp), hp.n_hyper_connections)
            if hp.is_recurrent(il):
                self.linear_attention(b)
            else:
                _attention(b)
            if il == hp.extra["ple_layer"]:
                _table_readers(b)
            self.ffn(b)
            if il >= hp.n_layer:
                b.weight("nextn.eh_proj", 2 * hp.n_embd, hp.n_embd)
                b.norm("nextn.enorm")
                b.weight("nextn.hnorm", _wide(hp))
                _mixer(b.add, "nextn.hc_head_", hp)

    def memory(self, hp: Hyperparameters) -> MemoryRule:
        def caches(layers: Iterable[int]) -> tuple[CacheRule, ...]:
            attending = tuple(il for il in layers if not hp.is_recurrent(il))
            width = POOL_ROW * hp.indexer_head_size
            n = len(attending)
            return (
                rules.cache(hp, "attn", attending),
                CacheRule("idx", attending, (width,) * n, (0,) * n),
            )

        trunk = range(hp.n_layer)
        recurrent = tuple(il for il in trunk if hp.is_recurrent(il))
        values = rules.state_values(hp)
        kept = tuple(
            values + (table_state(hp) if il == hp.extra["ple_layer"] else 0) for il in recurrent
        )
        return MemoryRule(
            caches=caches(trunk),
            states=(StateRule("recurrent", recurrent, kept),) if recurrent else (),
            mtp=caches(range(hp.n_layer, hp.n_layer_all)) if hp.n_layer_nextn else (),
            rollback=self.rollback,
        )

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        optional = set[str](super().convert(config, keys))
        convert_nextn(config, keys)
        ratio = config.integer("indexer_compress_ratio")
        kinds = config.texts("layer_types")
        n_nextn = Keys(keys).integer("nextn_predict_layers", 0)
        keys |= {
            "hyper_connection.count": config.integer("hc_count"),
            "hyper_connection.low_rank": config.integer("hc_lowrank"),
            "attention.indexer.head_count": config.integer("indexer_n_heads"),
            "attention.indexer.key_length": config.integer("indexer_head_dim"),
            "attention.indexer.top_k": config.integer("indexer_budget"),
            "attention.compress_ratios": tuple(
                0 if kind == "linear_attention" else ratio for kind in kinds
            )
            + (ratio,) * n_nextn,
        }
        layers = config.numbers("ple_layer_ids")
        if layers:
            _convert_tables(config, keys, layers)
        return optional - {"nextn.shared_head_norm.weight"}


def table_state(hp: Hyperparameters) -> int:
    """Values of the convolution over the n-gram table's rows (llama_hparams::ple_conv_state)."""
    taps = int(hp.extra["ple_kernel"]) - 1
    return taps * int(hp.extra["ple_ngram"]) * _wide(hp)


def _wide(hp: Hyperparameters) -> int:
    return hp.n_hyper_connections * hp.n_embd


def _mixer(add: Any, prefix: str, hp: Hyperparameters) -> None:  # noqa: ANN401 - of list or block
    rank = int(hp.extra["hc_low_rank"])
    add(f"{prefix}norm.weight", _wide(hp))
    add(f"{prefix}down.weight", _wide(hp), rank)
    add(f"{prefix}up.weight", rank, _wide(hp))


def _attention(b: Block) -> None:
    hp = b.hp
    size = hp.indexer_head_size
    # Q carries the output gate beside it, hence twice the width.
    b.weight("attn_q", hp.n_embd, 2 * hp.n_embd_head_k * hp.n_head[b.il])
    b.weight("attn_k", hp.n_embd, hp.k_gqa(b.il))
    b.weight("attn_v", hp.n_embd, hp.v_gqa(b.il))
    b.weight("attn_output", hp.n_embd_head_k * hp.n_head[b.il], hp.n_embd)
    b.qk_norm()
    b.weight("indexer.q_proj", hp.n_embd, hp.n_indexer_head * size)
    b.weight("indexer.k_proj", hp.n_embd, size)
    b.weight("indexer.q_norm", size)
    b.weight("indexer.k_norm", size)


def _table_readers(b: Block) -> None:
    """What reads the rows of the n-gram table."""
    hp = b.hp
    b.weight("ple_key", hp.n_embd, _wide(hp))
    b.weight("ple_value", hp.n_embd, hp.n_embd)
    for what in ("key", "query", "conv"):
        b.weight(f"ple_norm_{what}", _wide(hp))
    b.weight("ple_conv1d", int(hp.extra["ple_kernel"]), _wide(hp))


def _primes(least: int, count: int) -> tuple[int, ...]:
    """The first prime numbers from ``least`` on: every head hashes into as many rows (Hugging Face
    transformers, Qwen4ExpTextNgramEmbedding)."""
    found: list[int] = []
    number = max(least, 2)
    while len(found) < count:
        if all(number % by for by in range(2, math.isqrt(number) + 1)):
            found.append(number)
        number += 1
    return tuple(found)


def _convert_tables(config: Config, keys: dict[str, Value], layers: tuple[int, ...]) -> None:
    ngram, per_ngram = config.integer("ngram_size"), config.integer("heads_per_ngram")
    heads = (ngram - 1) * per_ngram
    sizes = _primes(config.integer("ngram_vocab_size_base"), heads)
    whole = config.integer("make_ngram_vocab_size_divisible_by", default=128)
    offsets = tuple(accumulate(sizes, initial=0))
    keys |= {
        "ple.layers": tuple(il - 1 for il in layers),
        "ple.ngram_size": ngram,
        "ple.heads_per_ngram": per_ngram,
        "ple.conv_kernel": config.integer("ple_conv_kernel_size"),
        "ple.eos_token_id": config.integer("eos_token_id", default=0),
        "ple.layer_multipliers": tuple(range(1, ngram + 1)),
        "ple.head_offsets": offsets[:-1],
        "ple.head_vocab_sizes": sizes,
        "embedding_length_per_layer_input": config.integer("ple_embed_dim") // heads,
        _ROWS: -(-offsets[-1] // whole) * whole,
    }
