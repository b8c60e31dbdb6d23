"""Why not? What the chosen cell lacks, and what would help."""

import datetime as dt

from fit_page import ONE_CARD, ask, shows_why, ways, words
from PySide6.QtWidgets import QCheckBox

from advisor import answers
from advisor.advice.hardware_prices import shipped_names
from advisor.advice.instead import priced
from advisor.advice.usage import Usage
from advisor.hardware.compose import parse_rig
from advisor.session import ModelChoice
from advisor.sizing import size
from advisor.sizing.settings import RunSettings
from advisor.sizing.ways_out import Change
from advisor.ui import checks
from tests import tiny


def test_a_way_out_is_applied(fit, state, qtbot) -> None:
    ask(qtbot, state, "Qwen/Qwen3-30B-A3B", "Q6_K", 32768)
    qtbot.waitUntil(lambda: shows_why(fit))
    assert "RTX 4090) lacks 2.8 GiB" in words(fit)
    assert "perplexity" in words(fit)

    ways(fit)["Take Q5_K_M instead of Q6_K"].click()

    qtbot.waitUntil(lambda: state.plan is not None and state.plan.file_type == "Q5_K_M")
    assert state.plan.verdict in {"fits", "tight"}


def test_another_card_is_a_what_if(fit, state, qtbot) -> None:
    ask(qtbot, state, "meta-llama/Llama-3.3-70B-Instruct", "Q4_K_M", 32768)
    qtbot.waitUntil(lambda: shows_why(fit))
    assert "USD" in words(fit)

    ways(fit)["Add 2 more RTX 4090"].click()

    assert state.rig.name == "3x RTX 4090 + 64 GB"
    qtbot.waitUntil(lambda: state.plan is not None and len(state.plan.devices) == 3)
    assert state.plan.verdict == "fits"
    qtbot.waitUntil(lambda: not fit.why.isVisible())


def test_a_part_in_ram_that_was_asked_for_is_not_called_too_slow(fit, state, qtbot) -> None:
    state.change_settings(n_cpu_moe="fit")
    ask(qtbot, state, "Qwen/Qwen3-30B-A3B", "Q8_0", 32768)
    qtbot.waitUntil(lambda: shows_why(fit))
    assert state.plan.verdict == "offload"
    assert state.plan.speed.decode_tps.mid > state.usage.min_decode_tps
    assert "A part lies in RAM" in words(fit)
    assert "you want" not in words(fit)


def test_settings_are_changed_by_a_way_out(fit, state, qtbot) -> None:
    ask(qtbot, state, "Qwen/Qwen3-14B", "Q8_0", 40960, rig="RTX 3090 + 64 GB DDR4-3200")
    state.change_settings(parallel=4, ctx=65536)
    qtbot.waitUntil(lambda: shows_why(fit) and any("KV cache" in name for name in ways(fit)))
    ways(fit)["Keep the KV cache in q8_0"].click()
    assert (state.settings.ctk, state.settings.ctv) == ("q8_0", "q8_0")


def test_prompts_that_wait_for_copies_are_read_faster_by_what_is_offered(fit, state, qtbot) -> None:
    rig = "RTX 3090 + 128 GB DDR4-3200"
    ask(qtbot, state, "openai/gpt-oss-120b", "MXFP4_MOE", 16384, rig=rig)
    qtbot.waitUntil(lambda: shows_why(fit))
    slow = state.plan.speed.prefill_tps
    assert "Prompts wait for weights" in words(fit)
    assert "38.5 GiB of RAM stay taken" in words(fit)
    names = ("Load it with --load-mode none", "Raise the micro-batch (-ub 2048)")
    for name in names:
        qtbot.waitUntil(lambda: shows_why(fit))
        (way,) = (apply for title, apply in ways(fit).items() if title.startswith(name))
        plan = state.plan
        way.click()
        qtbot.waitUntil(lambda plan=plan: state.plan is not plan)
    assert state.plan.speed.prefill_tps.mid > 1.2 * slow.mid
    qtbot.waitUntil(lambda: "-ub 2048" in fit.run.content)
    assert "--load-mode none" in fit.run.content
    # Until the new plan's objections are worked out, those of the one before stand there.
    qtbot.waitUntil(lambda: "Prompts wait" not in words(fit))
    # And back again, on the form.
    mapped = fit._settings.findChildren(QCheckBox)
    (box,) = (box for box in mapped if box.text() == "File mapped to RAM")
    assert not box.isChecked()
    box.click()
    assert state.settings.mmap


def test_why_not_bigger_goes_to_the_nearest_cell_that_does_not_fit(fit, state, qtbot) -> None:
    ask(qtbot, state, "Qwen/Qwen3-32B", "Q4_K_M", 16384)
    qtbot.waitUntil(fit._bigger.isEnabled)
    assert not fit.why.isVisible()

    fit._bigger.click()

    assert (state.choice.file_type, state.settings.ctx) == ("Q5_K_M", 16384)
    qtbot.waitUntil(lambda: shows_why(fit))
    assert not fit._bigger.isEnabled()


def test_where_nothing_helps_it_says_what_would_be_needed(fit, state, qtbot) -> None:
    ask(qtbot, state, "deepseek-ai/DeepSeek-R1", "Q8_0", 32768, rig="RTX 3060 12GB + 16 GB")
    qtbot.waitUntil(lambda: shows_why(fit))
    assert "in all; this machine has" in words(fit)
    assert "Over an API" in words(fit)
    assert any(name.startswith("Build a new machine") for name in ways(fit))


def test_a_files_own_type_is_asked_about(tmp_path) -> None:
    rig = parse_rig(ONE_CARD)
    choice = ModelChoice(model="Qwen/Qwen3-32B", file_type=None)
    at = dt.datetime(2026, 11, 26, tzinfo=dt.UTC)
    asked = RunSettings(ctx=40960)
    plan = answers.plan_of(answers.load_model(choice), rig, asked)
    found = checks.why_not(choice, rig, asked, (), Usage(), plan=plan, at=at)
    assert found.changes
    assert answers.load_model(choice).file_type not in {
        c.file_type for c in found.changes if c.kind == "file_type"
    }


def test_every_card_with_a_price_is_told_with_it() -> None:
    rig = parse_rig("CPU only 64 GB")
    plan = size(tiny.dense(), rig, RunSettings(ctx=512))

    def with_(name: str) -> Change:
        more = rig.model_copy(update={"devices": parse_rig(name).devices})
        return Change("gpu", "", "", 6.0, "Q4_K_M", more, plan, {})

    names = [name for name, kind in shipped_names() if kind == "gpu"]
    told = [priced(with_(name), rig, Usage()).cost for name in names]
    assert len(told) > 30
    assert all("USD" in cost for cost in told), told
