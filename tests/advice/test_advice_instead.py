"""What could be had instead is the same whoever published the files."""

from datetime import UTC, date, datetime

from advisor.advice.instead import api_sentence, instead
from advisor.advice.usage import Usage
from advisor.hardware.compose import parse_rig
from advisor.llm import load
from advisor.sizing.settings import RunSettings
from advisor.sizing.ways_out import AtMost


def test_files_of_a_publisher_leave_the_model_what_it_is() -> None:
    rig, noon = parse_rig("RTX 3090 + 32 GB DDR4-3200"), datetime(2026, 11, 26, 12, tzinfo=UTC)
    his, own = load("unsloth/Qwen3.5-35B-A3B-GGUF:Q4_K_M"), load("Qwen/Qwen3.5-35B-A3B")
    told = [instead(rig, m, RunSettings(), Usage(), date(2026, 11, 26)) for m in (his, own)]

    first, same = (next(iter(found.siblings(AtMost()))) for found in told)

    assert his.id != own.id
    assert (first.model.id, first.cost, first.away) == (same.model.id, same.cost, same.away)
    assert api_sentence(his, noon) == api_sentence(own, noon) != ""
