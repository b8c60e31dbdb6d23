"""Encoders, and models that refine a whole text, keep no context and are said to."""

from datetime import UTC, datetime

import pytest

from advisor.advice.wish import Wish
from advisor.answers import advice_of
from advisor.errors import ModelError
from advisor.hardware.compose import parse_rig
from advisor.llm.catalogue import CatalogueEntry, catalogue
from advisor.llm.model import Model
from advisor.llm.quality import model_loss
from advisor.probe.preflight import nothing_to_time
from advisor.session import ModelChoice, Session
from advisor.sizing import size
from advisor.sizing.allocation import allocate
from advisor.sizing.matrix import matrix
from advisor.sizing.settings import RunSettings
from tests.llm.llm_small_configs import SMALL
from tests.today import today

RIG = parse_rig("RTX 4090 + 64 GB DDR5-6000")


def encoder(label: str = "bert") -> Model:
    return CatalogueEntry.model_validate(
        {
            "id": label,
            "name": label,
            "maker": "nobody",
            "source": ["here"],
            "date": "2026-11-26",
            "config": SMALL[label],
        }
    ).model("Q8_0")


def test_it_keeps_no_context_however_long_that_is() -> None:
    short, long = (size(encoder(), RIG, RunSettings(ctx=ctx)) for ctx in (2048, 8192))
    assert short.devices[0].context == long.devices[0].context == 0
    assert short.devices[0].compute == long.devices[0].compute


def test_its_masks_grow_with_the_micro_batch_alone() -> None:
    small, large = (size(encoder(), RIG, RunSettings(ctx=8192, ubatch_size=n)) for n in (512, 2048))
    more = 2 * (2048**2 - 512**2)  # F16 masks of every token against every other
    assert large.devices[0].compute > small.devices[0].compute + more


def test_a_micro_batch_may_be_larger_than_a_short_context() -> None:
    # llama.cpp b11434 over a simulated CUDA device: three slots of 256 tokens at once
    model = today("jinaai/jina-embeddings-v5-text-nano").model("Q8_0")
    settings = RunSettings(ctx=512, ubatch_size=2048, parallel=3, n_outputs=3, repack=False)
    found = allocate(model, settings, ["cuda"], [1 << 42]).compute
    assert found is not None
    assert (found.devices, found.host) == ((38937728,), 10632224)


@pytest.mark.parametrize(
    ("model", "on_device", "on_host"),
    [
        ("Qwen/Qwen3-Embedding-0.6B", 321120384, 10506272),  # the vector of a text's last token
        ("google/embeddinggemma-300m", 14436352, 7362560),  # the mean, and a matrix behind it
        ("BAAI/bge-small-en-v1.5", 17567360, 4993056),  # that of the first token
        ("BAAI/bge-reranker-v2-m3", 13113472, 11022368),  # a classifier's head
        ("Qwen/Qwen3-Reranker-0.6B", 321120384, 10506272),  # one with a softmax
    ],
)
def test_every_row_is_put_out_and_pooled(model: str, on_device: int, on_host: int) -> None:
    # llama.cpp b11549 over a simulated CUDA device, with --embeddings or --reranking
    settings = RunSettings(ctx=8192, parallel=4, repack=False)
    found = allocate(today(model).model("Q8_0"), settings, ["cuda"], [1 << 42])
    assert found.compute is not None
    assert (found.compute.devices, found.compute.host) == ((on_device,), on_host)


def test_vectors_are_kept_beside_the_logits_of_a_whole_micro_batch() -> None:
    model = today("Qwen/Qwen3-Embedding-0.6B").model("Q8_0")
    hp = model.hp
    assert hp is not None
    found = size(model, RIG, RunSettings(ctx=8192, parallel=4))
    assert found.host.output == 512 * 4 * (hp.n_vocab + hp.n_embd)
    assert not any("more in RAM" in note for note in found.notes)  # it is counted
    as_asked = size(model, RIG, RunSettings(ctx=8192, n_outputs=1))
    assert as_asked.host.output == 4 * hp.n_vocab


def test_no_speed_of_writing_is_made_up() -> None:
    found = size(encoder(), RIG, RunSettings(ctx=8192))
    assert found.speed.decode_tps is None
    assert any("writes no tokens" in note for note in found.speed.notes)
    assert any("beyond 512 tokens raise -ub" in note for note in found.notes)
    short = size(encoder(), RIG, RunSettings(ctx=8192, batch_size=100))
    assert any("beyond 100 tokens" in note for note in short.notes)
    assert found.command[-1] == "--embeddings"
    rows = matrix({"Q8_0": encoder()}, RIG, RunSettings(ctx=8192), (4096, 8192)).rows
    assert [cell.decode for row in rows for cell in row] == [None, None]


def test_a_tied_output_is_not_copied_to_the_device_where_there_is_none() -> None:
    with_output, without = encoder("gemma-embedding"), encoder("bert")
    for model, copied in ((with_output, True), (without, False)):
        found = size(model, RIG, RunSettings(ctx=8192))
        (embedding,) = (t for t in model.tensors if t.name == "token_embd.weight")
        weights = found.devices[0].weights + found.host.weights
        assert (weights > model.nbytes + embedding.nbytes / 2) == copied


def test_a_text_that_is_refined_whole_has_logits_for_every_token() -> None:
    found = size(encoder("dream"), RIG, RunSettings(ctx=2048))
    row = 4 * SMALL["dream"]["vocab_size"]
    assert found.host.output == 512 * row
    one_row = size(encoder("dream"), RIG, RunSettings(ctx=2048, n_outputs=1))
    assert found.devices[0].context == 0
    assert found.devices[0].compute > one_row.devices[0].compute
    assert found.command[0] == "llama-diffusion-cli"
    assert found.command[-2:] == ("--diffusion-eps", "0.001")
    assert found.speed.decode_tps is None
    assert any("refines a whole text" in note for note in found.speed.notes)


def test_a_decoder_that_makes_vectors_reads_but_does_not_write() -> None:
    entry = catalogue().find("Qwen3-Embedding-0.6B")
    found = size(entry.model("Q8_0"), RIG, RunSettings(ctx=4096))
    writing = size(catalogue().find("Qwen3-0.6B").model("Q8_0"), RIG, RunSettings(ctx=4096))
    assert found.devices[0].context == writing.devices[0].context > 0
    assert found.speed.decode_tps is None
    assert found.speed.prefill_tps
    assert writing.speed.prefill_tps
    assert 0.6 < found.speed.prefill_tps.mid / writing.speed.prefill_tps.mid < 0.9
    assert found.speed.prefill_terms
    seconds = sum(term.seconds for term in found.speed.prefill_terms)
    assert seconds == pytest.approx(1 / found.speed.prefill_tps.mid)
    assert found.command[-1] == "--embeddings"
    assert model_loss(entry.model("Q4_K_M")).word == "not measured"
    ((cell,),) = matrix({"Q8_0": entry.model("Q8_0")}, RIG, RunSettings(), (4096,)).rows
    assert cell.decode is None


def test_a_reranker_keeps_two_rows_of_its_output() -> None:
    model = catalogue().find("Qwen3-Reranker-0.6B").model("Q8_0")
    assert [t.shape for t in model.tensors if t.name == "cls.output.weight"] == [(1024, 2)]
    assert size(model, RIG, RunSettings(ctx=4096)).command[-1] == "--reranking"


def test_what_reads_with_an_encoder_first_is_not_for_llama_server() -> None:
    model = catalogue().find("flan-t5-large").model("Q8_0")
    assert nothing_to_time(model) is not None
    found = size(model, RIG, RunSettings(ctx=512))
    assert found.command[0] == "llama-completion"
    assert found.speed.decode_tps is found.speed.prefill_tps is None
    assert any("llama-server does not do that" in note for note in found.notes)
    assert found.devices[0].context
    assert found.host.output == 512 * 4 * (32128 + 1024)  # a micro-batch: logits and vectors
    formula = found.explanations["host.output"].formula
    assert formula.startswith("(32,128 tokens + 1,024 values of a vector) × 512 rows × 4 B")
    alone = catalogue().find("umt5-xxl").model("Q8_0")
    assert alone.pooling == "none"
    assert size(alone, RIG, RunSettings(ctx=512)).command[-1] == "--embeddings"


@pytest.mark.parametrize(
    "name", ["bge-m3", "Qwen3-Embedding-8B", "Dream-v0-Instruct-7B", "flan-t5-large"]
)
def test_what_writes_no_answers_is_not_advised(name: str) -> None:
    entry = catalogue().find(name)
    assert not Wish().admits(entry)
    assert not Wish(words=(entry.name.split()[0].lower(),)).admits(entry)
    session = Session(model=ModelChoice(model=entry.id, file_type="Q8_0"))
    with pytest.raises(ModelError, match="does not write answers"):
        advice_of(session, RIG, at=datetime(2026, 11, 26, tzinfo=UTC))
