"""How able models are: the published file, and what stands in for a model without an entry."""

from datetime import date

import pytest

from advisor.llm.catalogue import catalogue
from advisor.llm.intelligence import data, kept, standing
from advisor.llm.quality import WORDS, QualityNote


def entry(name: str):
    return catalogue().find(name)


def test_every_entry_is_about_a_model_of_the_catalogue_and_says_where_it_is_from():
    ids = {e.id for e in catalogue().entries}
    published = [e.model for e in data().entries]
    assert set(published) <= ids
    assert len(published) == len(set(published))
    assert all(e.source.startswith("https://artificialanalysis.ai/models/") for e in data().entries)
    assert set(data().same_weights) | set(data().same_weights.values()) <= ids


def test_a_published_index_is_taken_as_it_is():
    found = standing(entry("openai/gpt-oss-120b"))
    assert (found.index, found.estimated, found.words) == (24.1, False, "24")
    assert "24 of 100" in found.sentence
    copy = standing(entry("unsloth/Qwen3.6-27B-MTP-GGUF"))
    assert copy == standing(entry("Qwen/Qwen3.6-27B"))


def test_the_coding_index_is_made_as_its_publisher_makes_it():
    # Published as 46.9 for Mistral Medium 3.5.
    found = standing(entry("mistralai/Mistral-Medium-3.5-128B"), "code")
    assert found.index == pytest.approx(46.9, abs=0.05)
    assert not found.estimated
    assert standing(entry("zai-org/GLM-5.3"), "code").estimated


def test_nothing_published_is_never_ranked_by_hope():
    known = {e.model for e in data().entries} | set(data().same_weights)
    unknown = [e for e in catalogue().entries if e.id not in known]
    assert unknown
    for model in unknown:
        found = standing(model)
        assert found.estimated
        assert found.words.startswith("~")
        assert "Not on the" in found.sentence
        # No better than the best published model that is no larger and no older.
        better = [
            standing(other).index
            for other in catalogue().entries
            if other.id in known
            and other.n_params <= 1.2 * model.n_params
            and (other.released or date.max) <= (model.released or date.min)
        ]
        assert found.index <= max(better, default=found.index)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("Qwen/Qwen3-32B", "allenai/OLMo-2-0325-32B-Instruct"),
        ("Qwen/Qwen3-8B", "ibm-granite/granite-4.2-8b"),
        ("Qwen/Qwen3-8B", "ibm-granite/granite-3.3-8b-instruct"),
        ("google/gemma-4-E4B-it", "ibm-granite/granite-4.0-h-tiny"),
        ("openai/gpt-oss-20b", "CohereLabs/c4ai-command-r-08-2024"),
    ],
)
def test_what_people_would_say(better: str, worse: str):
    assert standing(entry(better)).index > standing(entry(worse)).index


def test_a_file_type_takes_its_share():
    shares = [kept(QualityNote(words=(word,), sentence="")) for word in WORDS]
    assert shares == sorted(shares, reverse=True)
    assert kept(QualityNote(sentence="")) < 0.9
    both = QualityNote(words=("small", "noticeable"), sentence="")
    assert kept(both) == kept(QualityNote(words=("noticeable",), sentence=""))
