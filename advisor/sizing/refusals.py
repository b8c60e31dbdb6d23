"""Settings that llama.cpp would refuse, or end itself over, said before anything is computed."""

from typing import Final

from advisor.errors import SettingsError
from advisor.llm.hyperparameters import Hyperparameters
from advisor.llm.model import Model
from advisor.llm.tensor import TYPES, TensorType
from advisor.sizing import memory, speculative
from advisor.sizing.compute import node_budget
from advisor.sizing.compute.pooling import means
from advisor.sizing.settings import RunSettings
from advisor.sizing.weights import NEVER_RUN_NEXTN

_NO_NEXTN_GRAPH: Final = NEVER_RUN_NEXTN | {"glm5-next", "graniteswitch"}
"""Architectures whose MTP context llama.cpp refuses (models/*.cpp:build_arch_graph)."""

_SHARE_EQUALLY: Final = frozenset({"minimax-01", "kimi-linear"})
"""Architectures that llama.cpp prepares for one slot with the cache of all of them."""


def check(model: Model, settings: RunSettings, *, drafts: bool = False) -> None:
    """Refuse what llama.cpp would refuse (llama-context.cpp:llama_init_from_model).

    drafts: the model drafts for another.

    Raises SettingsError with a sentence for people.
    """
    k, v = TYPES[settings.ctk.upper()], TYPES[settings.ctv.upper()]
    hp = model.hp
    never = hp is not None and hp.arch == "grok"
    if v.block > 1 and (never or settings.flash_attn == "off"):
        way = "llama.cpp runs Grok without; use f16." if never else "turn it on or use f16."
        message = f"A {settings.ctv} V cache needs flash attention; {way}"
        raise SettingsError(message)
    if hp is None:
        return
    if hp.arch == "plm":
        # plm.cpp hands V over in two dimensions, llama-kv-cache.cpp:cpy_v wants three.
        message = (
            f"llama.cpp ends itself when it runs {model.name}: it has PLM's tensors, but a graph "
            "that its cache does not take. No setting changes that."
        )
        raise SettingsError(message)
    if not drafts and hp.arch in speculative.HEADS:
        message = (
            f"{model.name} only drafts for another model and cannot run by itself; choose that "
            "model, and this one as its draft model (--model-draft)."
        )
        raise SettingsError(message)
    _check_drafting(model, hp, settings)
    _check_caches(model, hp, settings, k, v)
    _check_batch(model, hp, settings)
    _check_slots(model, hp, settings)
    _check_nodes(model, settings)
    if settings.spec_type == "draft-mtp":
        # The context that drafts has caches with types of their own (-ctkd, -ctvd).
        check(model, speculative.draft_settings(settings))


def _check_drafting(model: Model, hp: Hyperparameters, settings: RunSettings) -> None:
    if model.pooling and (settings.model_draft or settings.spec_type != "none"):
        # llama-server loads the draft model and drops it: "speculative decoding not supported by
        # this context", and no token of an answer is drafted where none is written.
        makes = "scores texts" if model.pooling == "rank" else "turns texts into vectors"
        message = (
            f"{model.name} {makes} and writes no answer, so nothing can be drafted for it; leave "
            "out the draft model (--model-draft) and --spec-type."
        )
        raise SettingsError(message)
    if "mtp" not in {settings.ctx_type, settings.spec_type.removeprefix("draft-")}:
        return
    if hp.arch in _NO_NEXTN_GRAPH and hp.n_layer_nextn:
        message = (
            f"llama.cpp loads the NextN layers of {model.name} but has no graph that drafts with "
            "them (--spec-type draft-mtp); choose a draft model instead (--model-draft)."
        )
        raise SettingsError(message)
    if not hp.n_layer_nextn:
        message = (
            f"{model.name} has no NextN layers to draft with (--spec-type draft-mtp); choose a "
            "draft model instead."
        )
        raise SettingsError(message)
    if hp.arch == "mimo2":
        # mimo2.cpp:graph_mtp ends the program on a head of any other shape.
        fused = f"blk.{hp.n_layer}.attn_qkv.weight"
        if all(tensor.name != fused for tensor in model.tensors):
            message = (
                f"{model.name} keeps Q, K and V of its NextN layers apart, and llama.cpp drafts "
                "with them only where they are one matrix (--spec-type draft-mtp). Take a file "
                "that was converted with fused QKV, or a draft model (--model-draft)."
            )
            raise SettingsError(message)


def _check_caches(
    model: Model, hp: Hyperparameters, settings: RunSettings, k: TensorType, v: TensorType
) -> None:
    if (memory.is_mla(hp) or hp.arch == "deepseek4") and k is not v:
        message = (
            f"{model.name} keeps one latent cache, so llama.cpp wants the same type for K and V; "
            f"asked for {settings.ctk} and {settings.ctv}."
        )
        raise SettingsError(message)
    for which, type_, width in (("K", k, hp.n_embd_head_k), ("V", v, hp.n_embd_head_v)):
        # Without flash attention llama.cpp does not look, and reads heads from within blocks.
        if type_.block > 1 and width % type_.block:
            message = (
                f"{model.name} has {which} heads of {width} values, which do not fill whole "
                f"{type_.name.lower()} blocks of {type_.block}; use f16."
            )
            raise SettingsError(message)
    rule = memory.memory_rule(model, settings)
    for cache in () if rule is None else rule.caches:
        for name, type_, widths in (
            (settings.ctk, k, cache.k_width),
            (settings.ctv, v, cache.v_width),
        ):
            if type_.block > 1 and any(width % type_.block for width in widths):
                message = (
                    f"The {cache.kind} cache of {model.name} has rows that do not fill whole "
                    f"{name} blocks of {type_.block}; use f16."
                )
                raise SettingsError(message)


def _check_batch(model: Model, hp: Hyperparameters, settings: RunSettings) -> None:
    pooled = memory.pooling(model, settings)
    batch, option = settings.batch_size, "-b"
    if model.memory is not None and model.memory.every_row:
        batch = memory.resolve(settings).n_batch
    if pooled and settings.ubatch_size < batch:  # server.cpp: a text goes through at once.
        batch, option = settings.ubatch_size, "-ub"
    serves = settings.n_outputs is None or settings.spec_type != "none"
    if serves and batch < settings.parallel:
        # llama-context.cpp:output_reserve wants a row for every slot, which a batch has not.
        message = (
            f"llama.cpp ends itself over {settings.parallel} slots with batches of {batch} tokens; "
            f"take no more slots than that (--parallel), or a larger {option}."
        )
        raise SettingsError(message)
    if not means(pooled, hp.arch):
        return
    sizes = memory.resolve(settings, causal=False)
    tokens = min(sizes.n_ctx, sizes.n_ubatch)
    if tokens % sizes.n_seq:
        # llama-graph.cpp:build_pooling weighs a row of each slot's share of the tokens, rounded up.
        message = (
            f"llama.cpp ends itself while it prepares {model.name} for {sizes.n_seq} slots, since "
            f"a micro-batch of {tokens} tokens does not divide among them; take a number of slots "
            "that divides it (--parallel), or another -ub."
        )
        raise SettingsError(message)


def _check_slots(model: Model, hp: Hyperparameters, settings: RunSettings) -> None:
    if settings.kv_unified:
        return
    sizes = memory.resolve(settings)
    if hp.arch == "t5" and sizes.n_seq > 1:
        # t5.cpp: what distance adds to scores has one stream (build_inp_pos_bucket_dec).
        message = (
            f"llama.cpp ends itself while it prepares {model.name} for {sizes.n_seq} slots with "
            "a cache each; take one slot (--parallel 1), or one cache for all (--kv-unified)."
        )
        raise SettingsError(message)
    if hp.arch in _SHARE_EQUALLY and min(sizes.n_ctx, sizes.n_ubatch) % sizes.n_seq:
        # llama-context.cpp:sched_reserve, TAG_RESERVE_DIAG_DECAY.
        message = (
            f"llama.cpp ends itself while it prepares {model.name} for {sizes.n_seq} slots, since "
            f"a micro-batch of {sizes.n_ubatch} tokens does not divide among them; take a number "
            "of slots that divides it (--parallel), or one cache for all (--kv-unified)."
        )
        raise SettingsError(message)


def _check_nodes(model: Model, settings: RunSettings) -> None:
    if not node_budget.overflows(model, settings):
        return
    shared: dict[str, object] = {"kv_unified": True}
    plain: dict[str, object] = {"ctk": "f16", "ctv": "f16"}
    ways = (("one cache for all slots (--kv-unified)", shared), ("an f16 cache", plain))
    found = [
        words
        for words, update in ways
        if not node_budget.overflows(model, settings.model_copy(update=update))
    ]
    remedy = " or ".join(found) or "both an f16 cache and one for all slots (--kv-unified)"
    message = (
        f"llama.cpp ends itself while it prepares {model.name}: with these slots and caches its "
        f"graph has more steps than llama.cpp makes room for; take {remedy}."
    )
    raise SettingsError(message)
