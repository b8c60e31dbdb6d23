"""Tensors put into a buffer by hand (-ot): bytes and patterns against llama.cpp's."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from advisor.errors import SettingsError
from advisor.hardware.compose import parse_rig
from advisor.llm.catalogue import catalogue
from advisor.sizing import size
from advisor.sizing.allocation import allocate
from advisor.sizing.explain import BYTES
from advisor.sizing.overrides import compiled, resolve, target
from advisor.sizing.plan import Plan
from advisor.sizing.settings import RunSettings
from tests.today import today

FACTS = json.loads((Path(__file__).parent / "override_facts.json").read_text())
MOE = "Qwen/Qwen3-30B-A3B"
EXPERTS = r"\.ffn_(up|down|gate|gate_up)_(ch|)exps"


def of(case: dict[str, Any]) -> str:
    return f"{case['model'].split('/')[1]} {case['settings']['override_tensor']}"


@pytest.mark.parametrize("case", FACTS["cases"], ids=of)
def test_every_byte_lies_where_llama_cpp_puts_it(case: dict[str, Any]) -> None:
    model = today(case["model"]).model("Q4_K_M")
    settings = RunSettings.model_validate(case["settings"])
    n = len(case["devices"])

    found = allocate(model, settings, ["cuda"] * n, [24 << 30] * n)

    context, compute = found.context, found.compute
    assert context is not None
    assert compute is not None
    parts = zip(found.weights.devices, context.devices, compute.devices, strict=True)
    assert [list(part) for part in parts] == case["devices"]
    assert [found.weights.host, context.host, compute.host] == case["host"]


def plan(**settings: Any) -> Plan:
    model = catalogue().find(MOE).model("Q4_K_M")
    rig = parse_rig("2x RTX 4090 + 128 GB DDR5-6000")
    return size(model, rig, RunSettings.model_validate({"ctx": 8192, **settings}))


@pytest.mark.parametrize(
    ("by_hand", "by_number"),
    [
        (f"{EXPERTS}=CPU", "all"),
        (",".join(rf"blk\.{il}{EXPERTS}=CPU" for il in range(20)), 20),
        (r"blk\.(\d|1[0-9])\.ffn_.*exps.*=CPU", 20),
    ],
)
def test_experts_named_by_hand_are_experts_counted(by_hand: str, by_number: int | str) -> None:
    named, counted = plan(override_tensor=by_hand), plan(n_cpu_moe=by_number)
    assert [d.model_dump() for d in named.devices] == [d.model_dump() for d in counted.devices]
    assert named.host == counted.host
    assert named.speed.decode_tps == counted.speed.decode_tps
    assert named.speed.prefill_tps == counted.speed.prefill_tps
    assert named.verdict == counted.verdict == "offload"


def test_the_first_pattern_that_is_found_decides() -> None:
    first = plan(override_tensor="attn=CUDA1,attn_q=CPU", n_cpu_moe=4)
    assert first.host.weights == plan(n_cpu_moe=4).host.weights
    kept = plan(override_tensor=r"blk\.0\.ffn_.*_exps=CUDA0", n_cpu_moe=1)
    assert kept.host.weights == plan().host.weights
    at = kept.command.index("-ot")
    assert kept.command[at : at + 4] == ("-ot", r"blk\.0\.ffn_.*_exps=CUDA0", "--n-cpu-moe", "1")


def test_a_pattern_that_matches_nothing_still_ends_the_pipeline() -> None:
    """llama-context.cpp asks whether there are overrides, not whether they match."""
    alone, beside = plan(override_tensor="no such tensor=CPU"), plan()
    assert sum(d.compute or 0 for d in alone.devices) < sum(d.compute or 0 for d in beside.devices)
    assert alone.verdict == beside.verdict == "fits"


@pytest.mark.parametrize("given_by", [".*=CPU", "attn=CUDA1", "token_embd=CUDA0,ffn_down=CPU"])
def test_parts_still_add_up(given_by: str) -> None:
    made = plan(override_tensor=given_by)
    for name, bytes_ in [("host", made.host.weights), *((d.name, d.weights) for d in made.devices)]:
        terms = made.explanations[f"{name}.weights"].terms
        assert sum(int(term.value or 0) for term in terms if term.unit == BYTES) == bytes_


def test_the_solver_leaves_alone_what_was_put_by_hand() -> None:
    model = catalogue().find(MOE).model("Q8_0")
    rig = parse_rig("RTX 4090 + 128 GB DDR5-6000")
    asked = RunSettings(ctx=8192, n_cpu_moe="fit", override_tensor=("ffn_up_exps=CPU",))
    found = size(model, rig, asked)
    assert found.fits
    assert found.headroom is not None
    assert found.headroom >= asked.margin
    without = size(model, rig, asked.model_copy(update={"override_tensor": ()}))
    assert int(found.settings.n_cpu_moe) < int(without.settings.n_cpu_moe)


@pytest.mark.parametrize(
    ("pattern", "name", "found"),
    [
        (r"blk\.1\.", "blk.11.attn_q.weight", False),
        (r"attn", "blk.0.attn_q.weight", True),
        (r"^attn", "blk.0.attn_q.weight", False),
        (r"weight$", "blk.0.attn_q.weight", True),
        (r"[[:digit:]]{2}\.", "blk.11.attn_q.weight", True),
        (r"^(?!.*exps).*$", "blk.1.ffn_up_exps.weight", False),
        (r"blk\.(?:[0-9]|1[0-3])\.", "blk.13.ffn_up.weight", True),
        (r"[]", "output.weight", False),
        (r"[^]", "output.weight", True),
        (r"exps|shexp", "blk.3.ffn_up_shexp.weight", True),
    ],
)
def test_patterns_are_searched_as_ecmascript_does(pattern: str, name: str, found: bool) -> None:
    assert (compiled(pattern).search(name) is not None) is found
    assert (target(name, resolve([f"{pattern}=CPU"], [])) == -1) is found


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("exps", "pattern=buffer"),
        ("=CPU", "pattern=buffer"),
        ("exps=", "pattern=buffer"),
        ("(exps=CPU", "exps"),
        ("exps)=CPU", "has no"),
        ("[a=CPU", "has no"),
        ("(?<=a)b=CPU", "may follow"),
        ("(a+)+=CPU", "repeats too much"),
        ("a**=CPU", "a repeat is repeated"),
        ("x" * 600 + "=CPU", "longer"),
    ],
)
def test_what_llama_cpp_cannot_use_is_refused_with_a_reason(bad: str, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        RunSettings.model_validate({"override_tensor": bad})


def test_a_buffer_must_exist() -> None:
    with pytest.raises(SettingsError, match=r"CUDA7.*CPU, CUDA0, CUDA1"):
        plan(override_tensor="exps=CUDA7")
    with pytest.raises(SettingsError, match="unused"):
        plan(override_tensor="exps=CUDA1", split_mode="none")


@given(st.text(alphabet="ab.*+?()[]{}|^$\\,=CPU0123", max_size=24))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        settings = RunSettings.model_validate({"override_tensor": text})
    except ValidationError:
        return
    for override in settings.override_tensor:
        compiled(override.partition("=")[0]).search("blk.10.ffn_gate_up_exps.weight")
