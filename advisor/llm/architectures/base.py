"""What an architecture is: how to read its hyperparameters, its tensors and its caches."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, ClassVar, Final

from advisor.errors import BadModelFile, ModelError
from advisor.llm.architectures import rules
from advisor.llm.architectures.builder import NamedShape, TensorList, bare_names
from advisor.llm.architectures.config import Config, common_keys
from advisor.llm.architectures.keys import MAX_LAYERS, Keys
from advisor.llm.caches import MemoryRule
from advisor.llm.hyperparameters import Hyperparameters, Scalar, Value

_NONSENSE: Final = (ArithmeticError, LookupError, ValueError)
"""What arithmetic on a header's numbers may end in when they contradict each other."""
_MAX_EXPERTS: Final = 1024
"""llama-hparams.h:LLAMA_MAX_EXPERTS."""
_FIELDS: Final = frozenset(field.name for field in fields(Hyperparameters))


class Architecture:
    """One family. Subclasses say what differs; llama.cpp's source is the reference throughout.

    A config.json is first turned into the metadata that llama.cpp's converter would write, so both
    ways of making ``Hyperparameters`` end in the same reading of keys.
    """

    names: ClassVar[tuple[str, ...]] = ()
    """Values of ``general.architecture``."""
    huggingface: ClassVar[Mapping[str, str]] = {}
    """``architectures[0]`` of a config.json → one of ``names``."""
    model_types: ClassVar[Mapping[str, str]] = {}
    """``model_type`` of a config.json's language part → one of ``names``; goes before the above."""
    tied_by_default: ClassVar[bool] = False
    """What a config.json means that doesn't mention ``tie_word_embeddings``."""
    rollback: ClassVar[bool] = False
    """llama-arch.cpp:llm_arch_supports_rs_rollback."""

    def read(self, keys: Keys, hp: dict[str, Any]) -> None:
        """Add what the family reads beyond the common keys (load_arch_hparams)."""

    def infer(self, values: dict[str, Value], names: frozenset[str]) -> None:
        """Complete the keys from the names of a file's tensors, where only those tell."""

    def build(self, t: TensorList) -> None:
        """Add every tensor of the family (load_arch_tensors)."""
        raise NotImplementedError

    def memory(self, hp: Hyperparameters) -> MemoryRule:
        """The caches and states of a context of this model."""
        return rules.standard(hp, rollback=self.rollback)

    def convert(self, config: Config, keys: dict[str, Value]) -> Iterable[str]:
        """Complete the metadata from a config.json; returns the optional tensors it implies."""
        del keys
        tied = config.flag("tie_word_embeddings", default=self.tied_by_default)
        return () if tied else ("output.weight",)

    def from_gguf(
        self,
        metadata: Mapping[str, Any],
        tensors: Sequence[NamedShape],
    ) -> Hyperparameters:
        """Hyperparameters of a GGUF header. Raises BadModelFile where it contradicts itself."""
        arch = str(metadata.get("general.architecture", ""))
        prefix = arch + "."
        values: dict[str, Value] = {
            key.removeprefix(prefix): value
            for key, value in metadata.items()
            # llama-arch.cpp: LLM_KV_XIELU_… have no architecture in front.
            if key.startswith((prefix, "xielu.")) and isinstance(value, Scalar | tuple | list)
        }
        embedding = dict(tensors).get("token_embd.weight", ())
        if len(embedding) == 2:
            values["vocab_size"] = embedding[1]
        types = metadata.get("tokenizer.ggml.token_type_count")
        if isinstance(types, int):
            values.setdefault("token_type_count", types)
        check_layers(Keys(values).integer("block_count"))
        present = bare_names(tensors)
        try:
            self.infer(values, frozenset(name for name, _ in tensors))
            hp = replace(self._read(arch, values), optional=present)
            self.memory(hp)
            expected = TensorList(hp)
            self.build(expected)
        except _NONSENSE as error:
            message = f"The model's header does not describe a {arch} model that could exist."
            raise BadModelFile(message, detail=repr(error)) from error
        _check_sizes(expected.items, dict(tensors))
        return replace(hp, optional=present & expected.asked)

    def from_config(self, config: Mapping[str, Any]) -> Hyperparameters:
        """Hyperparameters of a Hugging Face config.json. Raises ModelError."""
        wrapped = Config(config)
        arch = self.arch_of(wrapped)
        try:
            keys = common_keys(wrapped)
            optional = frozenset(self.convert(wrapped, keys))
            if not keys["vocab_size"]:
                raise ModelError("This config.json has no vocab_size.")
            return replace(self._read(arch, keys), optional=optional)
        except BadModelFile as error:
            message = str(error).replace("The model's header", "This config.json")
            raise ModelError(message, detail=repr(error)) from error
        except _NONSENSE as error:
            message = f"This config.json does not describe a {arch} model that could exist."
            raise ModelError(message, detail=repr(error)) from error

    def arch_of(self, config: Config) -> str:
        """Which of ``names`` a config.json belongs to."""
        kind = config.text("model_type")
        if kind in self.model_types:
            return self.model_types[kind]
        for name in (*_outer(config), *config.texts("architectures")):
            if name in self.huggingface:
                return self.huggingface[name]
        return self.names[0]

    def tensors(self, hp: Hyperparameters) -> list[NamedShape]:
        """Every tensor of the model: name and shape, ggml's order (ne0 first)."""
        tensors = TensorList(hp)
        try:
            self.build(tensors)
        except _NONSENSE as error:
            message = f"These values do not make a {hp.arch} model that could exist."
            raise ModelError(message, detail=repr(error)) from error
        return tensors.items

    def _read(self, arch: str, values: Mapping[str, Value]) -> Hyperparameters:
        keys = Keys(values)
        hp = common_hyperparameters(arch, keys)
        self.read(keys, hp)
        extra = {name: hp.pop(name) for name in set(hp) - _FIELDS}
        return Hyperparameters(**hp, extra=extra, metadata=dict(values))


def check_layers(n_layer: int) -> None:
    """Raise BadModelFile for a number of blocks that llama.cpp would refuse."""
    if not 0 < n_layer <= MAX_LAYERS:
        raise BadModelFile(
            f"The model's header gives {n_layer:,} blocks, and llama.cpp takes 1 to {MAX_LAYERS}: "
            "the file is damaged. Download it again."
        )


def _check_sizes(expected: Iterable[NamedShape], found: Mapping[str, Sequence[int]]) -> None:
    """Raise BadModelFile for a matrix of another size than the header's numbers make it.

    llama-model-loader.cpp:check_tensor_dims; shapes of one size may differ (some are reshaped).
    Stand-ins, of which only the name is known, have no shape.
    """
    for name, shape in expected:
        if len(shape) > 1 and found.get(name) and math.prod(shape) != math.prod(found[name]):
            have, want = (" × ".join(map(str, dims)) for dims in (found[name], shape))
            message = (
                f"The model's header contradicts itself: {name} is {have}, and by its other "
                f"numbers it should be {want}. llama.cpp would not load it: download the file "
                "again, or convert the model again."
            )
            raise BadModelFile(message)


def common_hyperparameters(arch: str, keys: Keys) -> dict[str, Any]:
    """What llama.cpp reads for every architecture (llama-model.cpp:load_hparams)."""
    n_layer_all = keys.integer("block_count")
    n_layer_nextn = keys.integer("nextn_predict_layers", 0)
    n_embd = keys.integer("embedding_length")
    check_layers(n_layer_all)
    if n_layer_nextn > n_layer_all or n_embd <= 0:
        raise BadModelFile(
            f"The model's header gives {n_layer_all} blocks of width {n_embd}, "
            f"{n_layer_nextn} of them for prediction."
        )
    n_expert, n_used = keys.integer("expert_count", 0), keys.most("expert_used_count")
    # Their converter writes the one that a dense model's config counts.
    if n_expert == 1 and arch in {"hunyuan-dense", "hunyuan_vl"}:
        n_expert = n_used = 0
    if not bool(n_expert) <= n_used <= n_expert <= _MAX_EXPERTS:
        raise BadModelFile(
            f"The model's header gives {n_expert} experts of which {n_used} are used."
        )
    n_head = keys.per_layer("attention.head_count", n_layer_all)
    head = n_embd // n_head[0] if n_head[0] > 0 else 0
    head_k = keys.integer("attention.key_length", head) if head else 0
    head_v = keys.integer("attention.value_length", head) if head else 0
    n_head_kv = n_head
    if "attention.head_count_kv" in keys:
        n_head_kv = keys.per_layer("attention.head_count_kv", n_layer_all)
    return {
        "arch": arch,
        "n_layer_all": n_layer_all,
        "n_layer_nextn": n_layer_nextn,
        "n_vocab": keys.integer("vocab_size", 0),
        "n_embd": n_embd,
        "n_ctx_train": keys.integer("context_length", 0),
        "n_head": n_head,
        "n_head_kv": n_head_kv,
        "n_embd_head_k": head_k,
        "n_embd_head_v": head_v,
        "n_embd_head_k_swa": keys.integer("attention.key_length_swa", 0),
        "n_embd_head_v_swa": keys.integer("attention.value_length_swa", 0),
        "n_rot": keys.integer("rope.dimension_count", head_k),
        "n_ff": keys.per_layer("feed_forward_length", n_layer_all),
        "n_expert": n_expert,
        "n_expert_used": n_used,
        "n_expert_groups": keys.integer("expert_group_count", 0),
        "n_group_used": keys.integer("expert_group_used_count", 0),
        "n_ff_exp": keys.most("expert_feed_forward_length"),
    }


def sliding_window(
    keys: Keys,
    hp: dict[str, Any],
    period: int,
    *,
    kind: str = "standard",
    dense_first: bool = False,
    default: int = 0,
) -> None:
    """Read the window and which layers use it, where the header gives a window."""
    n_swa = keys.integer("attention.sliding_window", default)
    if n_swa <= 0:
        return
    n_layer_all = hp["n_layer_all"]
    hp["n_swa"] = n_swa
    hp["swa_type"] = kind
    hp["swa_layers"] = keys.swa_pattern(
        n_layer_all - hp["n_layer_nextn"], n_layer_all, period, dense_first=dense_first
    )


def infer_dense_lead(values: dict[str, Value], names: frozenset[str]) -> None:
    """Count the leading blocks without a router, where the header doesn't say."""
    if "leading_dense_block_count" in values or "expert_count" not in values:
        return
    n_layer = Keys(values).integer("block_count")
    lead = 0
    while lead < min(n_layer, MAX_LAYERS) and f"blk.{lead}.ffn_gate_inp.weight" not in names:
        lead += 1
    values["leading_dense_block_count"] = lead


def mamba_keys(keys: Keys, hp: dict[str, Any]) -> None:
    """Read the sizes of state-space and linear-attention layers."""
    hp["ssm_d_conv"] = keys.integer("ssm.conv_kernel")
    hp["ssm_d_inner"] = keys.integer("ssm.inner_size")
    hp["ssm_d_state"] = keys.integer("ssm.state_size")
    hp["ssm_dt_rank"] = keys.integer("ssm.time_step_rank")
    hp["ssm_n_group"] = keys.integer("ssm.group_count", 0)


def _outer(config: Config) -> tuple[str, ...]:
    listed = config.top.get("architectures")
    return Config({"architectures": listed}).texts("architectures")
