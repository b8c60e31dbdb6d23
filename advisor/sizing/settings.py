"""Run settings under llama.cpp's own names and defaults."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from advisor.errors import SettingsError
from advisor.sizing import build_dates, overrides

KvType = Literal["f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1"]
FlashAttention = Literal["auto", "on", "off"]
SpecType = Literal["none", "draft-simple", "draft-mtp"]
SplitMode = Literal["layer", "row", "tensor", "none"]
Goal = Literal["decode", "prefill", "balanced"]


def _overrides(given: object) -> object:
    """``-ot``'s text or a list of such texts as single overrides, each of them checked."""
    if not isinstance(given, str | list | tuple):
        return given
    parts = cast("str | list[str] | tuple[str, ...]", given)
    try:
        return tuple(overrides.check(part) for part in overrides.split(parts))
    except SettingsError as error:
        raise ValueError(str(error)) from None


Overrides = Annotated[tuple[str, ...], BeforeValidator(_overrides)]


class RunSettings(BaseModel):
    """How llama.cpp is asked to run a model. Defaults are llama-server's, with one slot."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ctx: int = Field(default=32768, gt=0, le=1 << 27)
    """Context of all slots together (``-c``), in tokens."""
    ctk: KvType = "f16"
    ctv: KvType = "f16"
    batch_size: int = Field(default=2048, gt=0, le=1 << 20)
    ubatch_size: int = Field(default=512, gt=0, le=1 << 20)
    parallel: int = Field(default=1, gt=0, le=256)
    kv_unified: bool = False
    flash_attn: FlashAttention = "auto"
    split_mode: SplitMode = "layer"
    tensor_split: tuple[float, ...] = ()
    """Shares per device (``-ts``); empty: by free memory, as llama.cpp does."""
    main_gpu: int = Field(default=0, ge=0)
    n_gpu_layers: int | Literal["all", "fit"] = "all"
    n_cpu_moe: int | Literal["all", "fit"] = 0
    """Leading layers whose experts stay in RAM (``--n-cpu-moe``); "all" is ``--cpu-moe``."""
    override_tensor: Overrides = ()
    """``-ot``: “pattern=buffer”, searched before ``n_cpu_moe``; the first that matches decides."""
    goal: Goal = "decode"
    """What "fit" makes fast: the answer, reading the prompt, or a prompt with a short answer."""
    fit_kv: bool = False
    """Whether "fit" may also keep caches in RAM, or in q8_0 where that pays."""
    kv_offload: bool = True
    swa_full: bool = False
    load_mtp: bool = False
    n_outputs: int | None = None
    """Rows of logits reserved; None: what llama-server reserves (``parallel``)."""
    ctx_type: Literal["default", "mtp"] = "default"
    """"mtp": the draft context that predicts several tokens with the NextN layers."""
    n_rs_seq: int = Field(default=0, ge=0)
    """Rollback snapshots of the recurrent state (speculative decoding)."""
    spec_type: SpecType = "none"
    """Speculative decoding (``--spec-type``): by a draft model, or by the model's NextN layers."""
    spec_draft_n_max: int = Field(default=3, ge=0, le=1024)
    """Tokens drafted at once."""
    model_draft: str = ""
    """The draft model (``--model-draft``): a GGUF file or a catalogue model."""
    ctkd: KvType = "f16"
    """K cache of the context that drafts (``-ctkd``)."""
    ctvd: KvType = "f16"
    n_gpu_layers_draft: int | Literal["all"] = "all"
    """Layers of the draft model on devices (``-ngld``)."""
    mmproj: str = ""
    """The multimodal projector (``--mmproj``): a GGUF file, or a catalogue model for its own."""
    mmproj_offload: bool = True
    cache_ram: int = Field(default=8192, ge=-1, le=1 << 30)
    """Most MiB of prompts that llama-server keeps in RAM (``--cache-ram``); -1: no limit, 0: none.
    """
    ctx_checkpoints: int = Field(default=32, ge=0, le=1 << 20)
    """Most copies of a slot's window caches and recurrent state kept in RAM."""
    repack: bool = True
    mmap: bool = True
    depth: int = Field(default=0, ge=0)
    """Tokens already in the context when speed is asked for."""
    n_prompt: int = Field(default=512, gt=0)
    """Prompt length for prefill speed and time to first token."""
    built: Annotated[str, AfterValidator(build_dates.check)] = ""
    """When llama.cpp was built, “2026-08”, or which it is, “b10549”: older ones read prompts more
    slowly. "": not told, which a session fills in with what its rig would run; "any": whichever."""
    margin: int = Field(default=1 << 30, ge=0)
    """Bytes to leave free on each device for a plan to count as comfortable (llama.cpp's -fitt)."""


FIT: Final[Mapping[str, object]] = {"n_gpu_layers": "fit", "n_cpu_moe": "fit"}
"""The settings that leave a placement to the solver."""


def first_device(settings: RunSettings) -> int:
    """The device that llama.cpp counts first: with ``-sm none`` it knows no other."""
    return settings.main_gpu if settings.split_mode == "none" else 0
