"""Every way out is one: the run after the change fits."""

import pytest

from advisor.hardware.compose import parse_rig
from advisor.hardware.rig import Process, Rig
from advisor.llm.catalogue import catalogue
from advisor.llm.model import Model
from advisor.sizing.settings import RunSettings
from advisor.sizing.why_not import WhyNot, why_not


def models(name: str) -> dict[str, Model]:
    entry = catalogue().find(name)
    return {kind: entry.model(kind) for kind in entry.file_types}


def ask(name: str, file_type: str, rig: Rig | str, **settings: object) -> WhyNot:
    machine = parse_rig(rig) if isinstance(rig, str) else rig
    return why_not(models(name), file_type, machine, RunSettings.model_validate(settings))


@pytest.mark.parametrize(
    ("name", "file_type", "rig", "ctx"),
    [
        ("Qwen/Qwen3-32B", "Q6_K", "RTX 4090 + 64 GB DDR5-6000", 32768),
        ("Qwen/Qwen3-30B-A3B", "Q6_K", "RTX 4090 + 64 GB DDR5-6000", 40960),
        ("openai/gpt-oss-120b", "MXFP4_MOE", "2x RTX 3090 + 128 GB DDR4-3200", 32768),
        ("google/gemma-3-27b-it", "Q4_K_M", "RTX 3090 + 32 GB DDR4-3200", 131072),
    ],
)
def test_ways_out_work_and_are_ordered(name: str, file_type: str, rig: str, ctx: int) -> None:
    found = ask(name, file_type, rig, ctx=ctx)

    assert "lacks" in found.missing
    assert 1 <= len(found.changes) <= 3
    assert [c.size for c in found.changes] == sorted(c.size for c in found.changes)
    assert len({c.kind for c in found.changes}) == len(found.changes)
    for change in found.changes:
        assert change.plan.fits
        assert change.plan.verdict in ({"offload"} if change.kind == "ram" else {"fits", "tight"})
        assert change.cost


def test_what_fits_needs_no_way_out() -> None:
    assert ask("Qwen/Qwen3-8B", "Q4_K_M", "RTX 4090 + 64 GB", ctx=8192) == WhyNot("", ())


def test_closing_programs_comes_first() -> None:
    rig = parse_rig("RTX 4090 + 64 GB DDR5-6000")
    busy = rig.devices[0].model_copy(
        update={"memory_used": 9 << 30, "processes": (Process(pid=1, name="game"),)}
    )

    found = ask(
        "Qwen/Qwen3-30B-A3B", "Q4_K_M", rig.model_copy(update={"devices": (busy,)}), ctx=16384
    )

    assert found.changes[0].kind == "programs"
    assert "game" in found.changes[0].title


def test_without_a_way_out_nothing_is_promised() -> None:
    found = ask("deepseek-ai/DeepSeek-R1", "Q8_0", "RTX 3060 12GB + 16 GB", ctx=32768)

    assert found.missing
    assert not found.changes
