"""Speculative decoding: what it asks of the main context, and the context that drafts."""

from collections.abc import Mapping
from typing import Final

from advisor.errors import SettingsError
from advisor.llm.model import Model
from advisor.sizing import memory
from advisor.sizing.settings import RunSettings

HEADS: Final[Mapping[str, str]] = {
    "eagle3": "draft-eagle3", "dflash": "draft-dflash", "gemma4-assistant": "draft-mtp",
}  # fmt: skip
"""Architectures that draft for another model only, and their ``--spec-type``."""


def kind(model: Model, settings: RunSettings) -> str:
    """What ``--spec-type`` has to say, by the draft model where there is one."""
    draft = model.draft
    if settings.spec_type != "draft-simple" or draft is None or draft.hp is None:
        return settings.spec_type
    if any(tensor.name == "markov_w1.weight" for tensor in draft.tensors):
        return "draft-dspark"
    return HEADS.get(draft.hp.arch, settings.spec_type)


def by_its_file(model: Model, settings: RunSettings) -> RunSettings:
    """The settings where ``--spec-type draft-mtp`` goes with a draft model.

    llama-server then drafts with that file and not with NextN layers of the main model
    (speculative.cpp:common_speculative_init_result); that its graph is a head's, the file tells.
    Raises SettingsError where the draft model is no such head.
    """
    draft = model.draft
    if settings.spec_type != "draft-mtp" or draft is None or draft.hp is None:
        return settings
    if HEADS.get(draft.hp.arch) != "draft-mtp":
        message = (
            f"{draft.name} is no head that drafts with --spec-type draft-mtp; leave it out to "
            "draft with NextN layers of the model itself, or take --spec-type draft-simple."
        )
        raise SettingsError(message)
    return settings.model_copy(update={"spec_type": "draft-simple"})


def resolved(settings: RunSettings) -> RunSettings:
    """The settings as llama-server starts the main context.

    A draft is verified at once, so each slot has rows of logits for all of it (server-context.cpp:
    server_output_limits). NextN layers draft from the main model's weights, which then load, and a
    recurrent state can go back as many steps (common.h:need_n_rs_seq).
    """
    update: dict[str, object] = {}
    if settings.spec_type == "none":
        if not settings.model_draft:
            return settings
        update["spec_type"] = "draft-simple"
    drafted = settings.spec_draft_n_max
    if settings.n_outputs is None:
        rows = settings.parallel * (1 + drafted)
        update["n_outputs"] = min(memory.resolve(settings).n_batch, rows)
    if settings.spec_type == "draft-mtp":
        update["load_mtp"] = True
        update["n_rs_seq"] = settings.n_rs_seq or drafted
    return settings.model_copy(update=update)


def draft_settings(settings: RunSettings, draft: Model | None = None) -> RunSettings:
    """The settings of the context that drafts (speculative.cpp:common_base_params_to_speculative).

    It holds as many tokens as the main one, its caches have types of their own, and it computes
    one row of logits per slot. ``draft``: the draft model; caches that it is lent have their own
    model's types.
    """
    rule = None if draft is None else draft.memory
    lent = rule is not None and any(cache.lent for cache in rule.caches)
    update: dict[str, object] = {
        "ctx": memory.resolve(settings).n_ctx,
        "ctk": settings.ctk if lent else settings.ctkd,
        "ctv": settings.ctv if lent else settings.ctvd,
        "n_outputs": settings.parallel,
        "n_rs_seq": 0,
        "spec_type": "none",
    }
    if settings.spec_type == "draft-mtp":
        update["ctx_type"] = "mtp"
    else:
        update |= {"n_gpu_layers": settings.n_gpu_layers_draft, "n_cpu_moe": 0}
        update |= {"override_tensor": (), "load_mtp": False}
    return settings.model_copy(update=update)
