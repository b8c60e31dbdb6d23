"""What quantization costs: words that keep to their thresholds, and no claim without a row."""

import pytest

from advisor.llm.catalogue import catalogue
from advisor.llm.filetypes import FILE_TYPES
from advisor.llm.hyperparameters import Hyperparameters
from advisor.llm.model import Model
from advisor.llm.quality import (
    WORDS,
    active_params,
    classify,
    data,
    kv_loss,
    model_loss,
    weight_loss,
)
from advisor.llm.tensor import TYPES, Tensor

CLASSES = ("small", "mid", "large", "moe")


def model(
    arch: str = "qwen3", params: int = 8_000_000_000, name: str = "Some 8B", **hp: int
) -> Model:
    values = {"n_embd_head_k": 128, "n_embd_head_v": 128, **hp}
    return Model(
        id=name,
        name=name,
        file_type="Q4_K_M",
        source="catalogue",
        tensors=(Tensor("blk.0.ffn_up.weight", (256, params // 256), TYPES["Q4_K"]),),
        hp=Hyperparameters(
            arch=arch, n_layer_all=1, n_vocab=1, n_embd=256, n_head=(8,), n_head_kv=(8,), **values
        ),
        memory=None,
    )


@pytest.mark.parametrize("model_class", CLASSES)
def test_every_type_has_an_honest_note(model_class: str) -> None:
    for name in FILE_TYPES:
        note = weight_loss(model_class, name)  # type: ignore[arg-type]
        assert note.sentence.endswith(".")
        if not note.words:
            assert "Not measured" in note.sentence
            assert note.typical is None
        if note.low is not None and note.high is not None and note.typical is not None:
            assert note.low <= note.typical <= note.high
        if note.rows == 0 and note.words and "reference" not in note.sentence.lower():
            assert note.interpolated or "neighbour" in note.sentence or note.low is not None


def test_typical_values_agree_with_their_word() -> None:
    limits = {limit.word: limit.max_delta_ppl for limit in data().words}
    order = list(WORDS)
    for row in data().weights:
        for cell in row.cells.values():
            if cell.typical is None or len(cell.words) != 1:
                continue
            fitting = next(
                w for w in order if (limit := limits[w]) is None or cell.typical <= limit
            )
            # The KL divergence may move a word by one step, never by two.
            assert abs(order.index(fitting) - order.index(cell.words[0])) <= 1, row.file_type


def test_fewer_bits_never_cost_less_within_a_class() -> None:
    ladder = ["Q8_0", "Q5_K_M", "Q4_K_M", "Q3_K_M", "Q2_K", "IQ1_S"]
    for model_class in CLASSES:
        notes = [weight_loss(model_class, name) for name in ladder]  # type: ignore[arg-type]
        worst = [WORDS.index(note.worst) for note in notes if note.worst]
        if model_class == "moe":
            worst[4] = min(worst[4:])  # plain Q2_K against dynamic IQ1_S files
        assert worst == sorted(worst)


def test_classes() -> None:
    assert classify(600_000_000) == "small"
    assert classify(8_000_000_000) == "mid"
    assert classify(32_000_000_000) == "large"
    assert classify(30_000_000_000, experts=True, active=3_000_000_000) == "moe"
    assert classify(8_000_000_000, experts=True, active=1_000_000_000) == "small"


def test_models_released_in_four_bits() -> None:
    native = weight_loss("moe", "MXFP4_MOE", model_name="openai/gpt-oss-20b", arch="gpt-oss")
    assert native.word == "near lossless"
    assert native.reference == "the release itself"
    assert weight_loss("moe", "Q8_0", arch="gpt-oss").sentence == native.sentence
    below = weight_loss("moe", "Q2_K", arch="deepseek4")
    assert below.worst == "broken"
    assert "FP4 experts" in below.sentence
    assert weight_loss("large", "Q4_0", model_name="Gemma 3 27B it QAT", arch="gemma3").word == (
        "near lossless to small"
    )
    assert weight_loss("large", "Q4_0", model_name="Gemma 3 27B it", arch="gemma3").word == (
        "noticeable"
    )


def test_fp8_models_have_their_own_reference() -> None:
    assert "FP8" in weight_loss("moe", "BF16", arch="deepseek2").sentence


def test_kv_types_and_exceptions() -> None:
    plain = model()
    assert kv_loss(plain, "f16", "f16").word == "near lossless"
    assert kv_loss(plain, "q8_0", "q8_0").word == "near lossless to small"
    assert kv_loss(plain, "q8_0", "q4_0").word == "small to noticeable"
    assert kv_loss(plain, "iq4_nl", "iq4_nl").word == "not measured"
    assert kv_loss(model("gpt-oss"), "q8_0", "q8_0").word == "heavy"
    assert kv_loss(model("qwen2"), "q4_0", "q4_0").word == "broken"
    mla = model("deepseek2", n_embd_head_k_mla=192, n_embd_head_v_mla=128)
    assert kv_loss(mla, "q5_0", "q5_0").word == "noticeable"
    assert kv_loss(mla, "q4_0", "q4_0").word == "heavy"
    assert kv_loss(model(params=600_000_000), "q4_0", "q4_0").word == "broken"
    assert kv_loss(model(n_embd_head_k=80), "q4_0", "q4_0").word == "heavy"
    assert "rotates" not in kv_loss(model(n_embd_head_k=80), "q8_0", "q8_0").sentence


def test_a_model_and_its_active_parameters() -> None:
    dense = model()
    assert model_loss(dense).word == "small"
    assert active_params(dense) == dense.n_params
    assert weight_loss("mid", "UD-Q4_K_XL").word == "not measured"


def test_one_measurement_is_no_range() -> None:
    """“8 to 69% higher perplexity in the one row there is” was said of Q2_K."""
    many = catalogue().find("deepseek-ai/DeepSeek-V4-Pro").model("Q2_K")
    sentence = model_loss(many).sentence
    assert "8 to 69% higher perplexity)" in sentence
    one = catalogue().find("meta-llama/Llama-3.3-70B-Instruct").model("Q4_K_M")
    assert "1.2% higher perplexity, the only measurement)" in model_loss(one).sentence
