"""The probe page with the real embedded engine."""

import sys
from pathlib import Path

import psutil
import pytest
from probe_page import finished, probing, with_devices
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QWidget

from advisor.engine import folders
from advisor.engine.builds import Build
from advisor.hardware.compose import parse_rig
from advisor.hardware.rig import Host, Rig
from advisor.llm.catalogue import catalogue
from advisor.probe import memory, program, store
from advisor.probe.buffers import Buffers
from advisor.probe.preflight import Objection
from advisor.probe.result import (
    Ending,
    Observation,
    Phase,
    ProbeResult,
    SpeedPoint,
)
from advisor.probe.trace import Fresh, Trace
from advisor.sizing import size
from advisor.sizing.settings import RunSettings
from advisor.ui.earlier_probes import EarlierProbes
from advisor.ui.pages.probe_cards import SpeedsCard
from advisor.ui.widgets.figures import FigureRow
from advisor.ui.widgets.row_button import RowButton


@pytest.fixture
def page(here, qtbot):
    yield from probing(here, qtbot, budget=0)


def test_the_prediction_stands_before_anything_runs(page):
    assert page.plots._places
    assert page.head.run_button.isEnabled()
    assert "Tiny qwen3" in page.head.headline.text()
    assert page.head.ghost.isVisible()
    assert not store.entries()


@pytest.mark.engine
def test_a_probe_from_the_button_to_the_result(page, here, qtbot):
    with qtbot.waitSignal(page.controller.finished) as ended:
        qtbot.mouseClick(page.head.run_button, Qt.MouseButton.LeftButton)
    (result,) = ended.args
    assert result.ending.state == "done"
    assert here.session.probes == (result,)
    assert page.head.run_button.isVisible()
    assert not page.head.stop_button.isVisible()
    assert page.plots._places[0].plot.peak > 10 << 20
    assert "at most" in page.plots._places[0].plot.accessibleDescription()
    qtbot.waitUntil(lambda: len(store.entries()) == 1)
    # The result stays although the session changed and was planned anew.
    page._prepare()
    assert page.head.state.accessibleName() == "The probe ran to its end."
    assert page.head.run_button.text() == "Probe again"
    page.head.show_question(page._ready.question)
    assert page.head.run_button.text() == "Start probe"


@pytest.mark.engine
def test_stopping_from_the_button(page, qtbot):
    page.head.budget.setCurrentIndex(2)
    with qtbot.waitSignal(page.controller.started):
        page.start()
    with qtbot.waitSignal(page.controller.finished) as ended:
        qtbot.mouseClick(page.head.stop_button, Qt.MouseButton.LeftButton)
    assert ended.args[0].ending.state == "stopped"
    assert not psutil.Process().children(recursive=True)
    assert page.head.run_button.isVisible()


@pytest.mark.engine
def test_closing_the_window_ends_the_child(page, qtbot):
    with qtbot.waitSignal(page.controller.started):
        page.start()
    page.closing()
    assert not psutil.Process().children(recursive=True)


@pytest.mark.engine
def test_an_engine_killed_from_outside_is_a_sentence_on_screen(page, qtbot):
    page.head.budget.setCurrentIndex(2)
    with qtbot.waitSignal(page.controller.started):
        page.start()
    qtbot.waitUntil(lambda: "Generating" in page.head.state.accessibleName())
    with qtbot.waitSignal(page.controller.finished):
        for child in psutil.Process().children(recursive=True):
            child.kill()
    assert "killed from outside" in page.banner.sentence
    assert page.head.run_button.isEnabled()


def test_what_writes_nothing_cannot_be_run_anyway(page, here, qtbot):
    page._object((Objection("It writes no answers.", overridable=False),))
    back = page.banner._action
    assert (page.banner.sentence, back.text()) == ("It writes no answers.", "Back to Fit")
    with qtbot.waitSignal(here.page_wanted) as wanted:
        back.click()
    assert wanted.args == ["fit"]


def test_too_large_is_refused_and_may_be_run_anyway(page, here, qtbot):
    big = here.settings.model_copy(update={"ctx": 1 << 26})
    here.session = here.session.model_copy(update={"settings": big})
    with qtbot.waitSignal(page.controller.refused) as refused:
        page.start()
    ((objection,),) = refused.args
    sentence, overridable = objection.sentence, objection.overridable
    assert "GiB of RAM" in sentence
    assert overridable
    assert page.banner.sentence == sentence
    assert page.head.run_button.isEnabled()


def test_an_imagined_rig_is_not_run(page, here, qtbot, big_rig):
    here.set_rig(big_rig)
    here._replan.stop()
    with qtbot.waitSignal(page.controller.refused) as refused:
        page.start()
    ((objection,),) = refused.args
    assert "not the machine at hand" in objection.sentence
    assert objection.remedy == "this-machine"
    here.set_rig(parse_rig("M3 Ultra 256GB"))
    # What was prepared for the rig before may come first.
    said = "M3 Ultra 256GB is not the machine at hand"
    qtbot.waitUntil(lambda: page.banner.sentence.startswith(said))
    with qtbot.waitSignal(page.controller.prepared):
        here.set_rig(None)
    qtbot.waitUntil(lambda: page.banner.sentence == "")


def test_without_any_llama_cpp_it_says_what_to_do_and_still_predicts(page, qtbot):
    problem = "The embedded llama.cpp does not start on this computer."
    page.controller._builds = (Build(kind="embedded", path="", version="", problem=problem),)
    with qtbot.waitSignal(page.controller.prepared):
        page._ask_again()
    qtbot.waitUntil(lambda: "Download llama-b…-bin-" in page.banner.sentence)
    assert page.plots._places
    with qtbot.waitSignal(page.controller.refused) as refused:
        page.start(anyway=True)
    assert refused.args[0][0].remedy == "look-again"


def test_every_control_has_a_name(page):
    for widget in page.findChildren(QWidget):
        if widget.focusPolicy() != Qt.FocusPolicy.NoFocus and widget.isVisible():
            assert widget.accessibleName(), widget


def test_the_prediction_stays_where_it_was_drawn(page, qtbot):
    """Bands after a run are the ones before it: the measured program moves none of them."""
    plan = page.controller.last.question.plan
    own = program.expected(page.controller.last.question.build, page.state.model)
    before = page.plots._places[0].plot.bands
    assert own is not None
    assert before[-1].size == own
    (host,) = memory.places(
        plan, Trace(), (), buffers=Buffers(), program=own * 2, program_planned=own
    )
    page.show_result(finished("20261123T120000-abc", places=(host,)))
    after = page.plots._places[0].plot.bands
    assert after == before


def test_two_probes_side_by_side(page, qtbot, tmp_path):
    for identity, tps in (("20261123T120000-aaa", 20), ("20261123T130000-bbb", 25)):
        point = SpeedPoint(
            depth=0, n_prompt=1, prefill_tps=None, ttft_s=None, n_decode=9, decode_tps=tps
        )
        store.save(finished(identity, speeds=(point,)))
    page.history.refresh()
    page.history.open("20261123T130000-bbb")
    qtbot.waitUntil(lambda: page.history._shown is not None)
    page.history.compare("20261123T120000-aaa")
    qtbot.waitUntil(page.history.compared.isVisible)
    assert page.plots._places[0].plot._compared[0]
    words = [label.text() for label in page.history.compared.findChildren(QLabel)]
    assert "20 +25.0%" in words
    with qtbot.waitSignal(page.history.noticed):
        page.history.write(page.history._shown, "csv", tmp_path / "trace.csv")
    assert (tmp_path / "trace.csv").read_text().startswith("ms,phase")
    with qtbot.waitSignal(page.history.failed) as told:
        page.history.write(page.history._shown, "json", tmp_path / "none" / "all.json")
    assert "could not be written" in told.args[0]
    page.history.stop_comparing()
    assert not page.history.compared.isVisible()
    assert not page.plots._places[0].plot._compared[0]


def test_phases_say_how_much_of_the_context_is_filled(page):
    said = [
        page.plots._phase_word(Phase(name="decode", start_ms=0, end_ms=1000, depth=depth))
        for depth in (0, 4096)
    ]
    assert said == ["decode, empty context", "decode at 4k"]


def test_a_deleted_probe_calibrates_nothing_and_can_be_brought_back(page, here, qtbot):
    result = finished("20261123T120000-aaa")
    store.save(result)
    here.add_result(result)
    page.history.delete(result.id)
    qtbot.waitUntil(lambda: "Deleted the probe" in page.banner.sentence)
    assert not store.entries()
    assert not here.session.probes
    page.banner._action.click()
    qtbot.waitUntil(lambda: len(store.entries()) == 1)
    assert here.session.probes == (result,)
    here._replan.stop()


def test_a_new_session_goes_on_with_kept_probes_and_can_do_without(here, qtbot):
    rig = here.detected
    mine = finished("20261123T120000-aaa", rig=rig)
    store.save(mine)
    elsewhere = Rig(name="This machine", hosts=(Host(cpu="another CPU"),))
    store.save(finished("20261124T120000-bbb", rig=elsewhere))
    earlier = EarlierProbes(here)
    here.session_begun.emit()
    qtbot.waitUntil(lambda: here.session.probes == (mine,))
    assert not earlier._wanted
    here.forget_results(mine.id)
    here.machine_read.emit()
    assert not here.session.probes


def test_an_opened_session_stays_as_it_is(here):
    store.save(finished("20261123T120000-aaa", rig=here.detected))
    earlier = EarlierProbes(here)
    detected, here.detected = here.detected, None
    here.session_begun.emit()
    here.replace_session(here.session, None)
    here.detected = detected
    here.machine_read.emit()
    assert not earlier._wanted
    assert not here.session.probes


def test_a_past_probe_is_counted_with_or_left_out(page, here, qtbot):
    store.save(finished("20261123T120000-aaa"))
    page.history.refresh()

    def listed() -> list[str]:
        return [w.accessibleName() for w in page.history.card.findChildren(RowButton)]

    qtbot.waitUntil(lambda: len(listed()) == 1)
    page.history.card._on_use("20261123T120000-aaa")
    qtbot.waitUntil(lambda: any("in this session" in name for name in listed()))
    page.history.card._on_leave("20261123T120000-aaa")
    qtbot.waitUntil(lambda: not any("in this session" in name for name in listed()))
    assert not here.session.probes


def test_a_result_that_cannot_be_kept_is_told(page, qtbot, tmp_path, monkeypatch):
    (tmp_path / "full").touch()
    monkeypatch.setenv("RIG_ADVISOR_HOME", str(tmp_path / "full"))
    page.controller._keep(finished("20261123T120000-aaa"))
    qtbot.waitUntil(lambda: "could not be kept" in page.banner.sentence)
    assert "until the window is closed" in page.banner.sentence


def test_a_probe_that_came_with_a_session_can_be_looked_at(page, here, qtbot):
    """A colleague's report brought its probe, and the page said “None yet”."""
    path = Path(__file__).parents[1] / "data" / "probes" / "h100-qwen3-8b-server.json"
    result = ProbeResult.model_validate_json(path.read_bytes())
    page.history.refresh()
    here.add_result(result)

    def lines() -> list[str]:
        return [w.accessibleName() for w in page.history.card.findChildren(RowButton)]

    qtbot.waitUntil(lambda: any("Qwen3 8B" in line for line in lines()))
    page.history.open(result.id)
    assert page.history._shown == result
    page.history.delete(result.id)
    qtbot.waitUntil(lambda: not any("Qwen3 8B" in line for line in lines()))
    assert not here.session.probes


def test_a_past_probe_says_that_llama_bench_made_it(page, qtbot):
    store.save(finished("20261123T120000-aaa", method="llama-bench"))
    store.save(finished("20261123T130000-bbb"))
    page.history.refresh()

    def listed() -> list[str]:
        return [w.accessibleName() for w in page.history.card.findChildren(RowButton)]

    qtbot.waitUntil(lambda: len(listed()) == 2)
    ours, bench = listed()
    assert "llama-bench" in bench
    assert "llama-bench" not in ours


def test_what_happened_is_marked_on_the_plot(page):
    page.show_result(
        finished(
            "20261123T120000-abc",
            observations=(
                Observation(kind="swap", at_ms=500, sentence="1 GiB was swapped.", place="host"),
                Observation(kind="noise", at_ms=600, sentence="Cut off."),
            ),
        )
    )
    plot = page.plots._places[0].plot
    assert [event.name for event in plot._events] == ["swapped"]
    area = plot.axes().area
    assert "1 GiB was swapped." in plot._words_at(area.left() + area.width() * 0.5)
    assert not plot.grab().isNull()


def test_a_failed_probe_says_why_and_compares_nothing(page, qtbot):
    log = "\n".join(f"line {i}" for i in range(20)) + "\ncudaMalloc failed: out of memory"
    page.show_result(
        finished(
            "20261123T120000-abc",
            ending=Ending(state="failed", cause="out-of-memory", sentence="No.", detail=log),
        )
    )
    qtbot.waitUntil(lambda: page.memory.figures.complete)
    assert page.headroom.accessibleName().endswith("lowest until it ended")
    words = [label.text() for label in page.memory.findChildren(QLabel)]
    assert "Measured until it ended" in words
    assert not any("%" in word for word in words)
    (shown,) = (w.text() for w in page.watch.findChildren(QLabel) if "cudaMalloc" in w.text())
    assert shown.startswith("line 15")


def test_a_prediction_that_is_not_fits_says_whose_it_is(page, here, qtbot):
    rig = parse_rig("RTX 4090 + 64 GB DDR5-6000")
    plan = size(catalogue().find("Qwen/Qwen3-8B").model("Q4_K_M"), rig, RunSettings(ctx=8192))
    for served in (True, False):
        card = SpeedsCard()
        qtbot.addWidget(card)
        card.show_plan(plan, served=served, ghost=False)
        words = " ".join(label.toolTip() or label.text() for label in card.findChildren(QLabel))
        assert ("in llama-server" in words) == served


def test_every_predicted_figure_opens_and_is_a_stop_of_tab(page, here, qtbot):
    rig = parse_rig("RTX 4090 + 64 GB DDR5-6000")
    plan = size(catalogue().find("Qwen/Qwen3-8B").model("Q4_K_M"), rig, RunSettings(ctx=8192))
    page.memory.show_plan(plan, None)
    page.speeds.show_plan(plan, served=True, ghost=True)
    qtbot.waitUntil(lambda: page.memory.figures.complete)

    def rows() -> list[RowButton]:
        return [*page.memory.findChildren(RowButton), *page.speeds.findChildren(RowButton)]

    # Rows of the prediction before are still there until the event loop has turned.
    qtbot.waitUntil(lambda: all(r.focusPolicy() & Qt.FocusPolicy.TabFocus for r in rows()))
    assert len(rows()) >= 8


@pytest.mark.parametrize("ghost", [True, False])
def test_a_ghosts_prompts_with_experts_in_ram_are_called_so(page, here, qtbot, ghost):
    rig = parse_rig("RTX 3060 + 64 GB DDR4-3200")
    of = catalogue().find("Qwen/Qwen3-30B-A3B").model("Q4_K_M")
    plan = size(of, rig, RunSettings(ctx=4096, n_cpu_moe=48), ghost=ghost)
    page.speeds.show_plan(plan, served=True, ghost=ghost)
    # Rows of the prediction before are still there until the event loop has turned.
    *_, row = (r for r in page.speeds.findChildren(FigureRow) if r._name.text() == "Prefill")
    assert (row._note.text() == "of a ghost") is ghost
    assert any("choose their experts by chance" in n for n in row._explanation.notes) is ghost


def test_eight_devices_are_small_plots_with_one_legend(page, qtbot):
    page.show_result(with_devices(8))
    assert len(page.plots._places) == 8
    assert page.plots._columns == 3
    assert page.plots._legend.isVisible()
    qtbot.waitUntil(lambda: page.memory.figures.complete)
    heads = [label.text() for label in page.memory.findChildren(QLabel)]
    assert "RTX 4090 (CUDA7)" in heads  # the tightest, in all its parts
    assert "Peak of the others" in heads
    page.show_result(with_devices(4))
    assert page.plots._columns == 2
    tops = [place.plot.axes().top for place in page.plots._places]
    page.plots.extend(Fresh(3, [1500], {("CUDA2", "used"): [9 << 20]}))
    grown = [place.plot.axes().top for place in page.plots._places]
    assert len(set(tops)) == len(set(grown)) == 1  # beside each other, on one scale
    assert grown[0] > tops[0]
    kept = [place.plot for place in page.plots._places]
    page.show_result(with_devices(4))
    assert [place.plot for place in page.plots._places] == kept
    assert [place.plot.axes().top for place in page.plots._places] == tops
    assert page.plots._legend_row.count() == len({b.name for plot in kept for b in plot.bands})
    page.resize(1900, 1000)
    assert page.plots._columns == 3


def test_another_llama_cpp_is_chosen_and_kept(page, qtbot, tmp_path):
    if sys.platform == "win32":
        pytest.skip("the stand-in is a shell script")
    folder = tmp_path / "llama" / "build" / "bin"
    folder.mkdir(parents=True)
    for name in ("llama-server", "llama-bench"):
        (folder / name).write_text("#!/bin/sh\necho 'version: 9000 (abc)'\n")
        (folder / name).chmod(0o755)
    with qtbot.waitSignal(page.controller.prepared):
        page.engine.use_folder(tmp_path / "llama")
    assert page.controller.last.choice.build.version == "b9000"
    # It has a llama-bench; what was prepared is shown in a turn of its own.
    qtbot.waitUntil(lambda: page.head.budget.findData(0) >= 0)
    assert folders.named() == (folder,)
    with qtbot.waitSignal(page.controller.prepared):
        page.engine.chosen.emit("")
    assert page.controller.last.choice.build.kind == "embedded"
    qtbot.waitUntil(lambda: page.head.budget.findData(0) < 0)
    page.engine.use_folder(tmp_path)
    assert "no llama-server" in page.banner.sentence
