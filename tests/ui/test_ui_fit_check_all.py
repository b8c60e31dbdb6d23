"""Checking a whole matrix with the real embedded engine: progress, marks, stop, differences."""

import threading

import psutil
import pytest

from advisor.hardware.rig import Host, Rig
from advisor.session import ModelChoice
from advisor.sizing import size
from advisor.sizing.settings import RunSettings
from advisor.ui import matrix_check
from advisor.ui.checks import Checked, Pair
from advisor.ui.matrix_check import CheckedMatrix, judged
from advisor.ui.pages.fit_check_all import CheckAllLine
from tests import tiny

HERE = Rig(name="This machine", hosts=(Host(ram_total=8 << 30, ram_available=6 << 30),))
SETTINGS = RunSettings(ctx=512)
CHOICE = ModelChoice(model="tiny-qwen3", file_type="Q8_0")
GIB = 1 << 30


@pytest.fixture
def two_types(monkeypatch):
    models = {name: tiny.dense(name) for name in ("F16", "Q8_0")}
    monkeypatch.setattr("advisor.answers.file_types_of", lambda _choice: models)
    return models


@pytest.mark.engine
def test_every_cell_is_asked_the_chosen_file_type_first(two_types):
    heard = []
    found = matrix_check.check_matrix(
        CHOICE,
        HERE,
        SETTINGS,
        (512, 1024),
        cancel=threading.Event(),
        on_cell=lambda done, total, key, cell: heard.append((done, total, key, cell is not None)),
    )
    assert [row[:3] for row in heard] == [
        (1, 4, ("Q8_0", 512)),
        (2, 4, ("Q8_0", 1024)),
        (3, 4, ("F16", 512)),
        (4, 4, ("F16", 1024)),
    ]
    assert len(found.cells) == 4
    assert not found.differing
    assert not found.failures
    cell = found.cells["Q8_0", 512]
    plan = size(two_types["Q8_0"], HERE, SETTINGS)
    assert cell.headroom == plan.headroom


@pytest.mark.engine
def test_the_button_marks_cells_and_says_that_all_agree(two_types, qtbot):
    line = CheckAllLine()
    qtbot.addWidget(line)
    marked = []
    line.cell_checked.connect(lambda key, _cell: marked.append(key))
    line.show_matrix(CHOICE, HERE, SETTINGS, (512,))
    line.start()
    assert line.busy
    qtbot.waitUntil(lambda: not line.busy)
    assert "agrees on all 2 cells" in line.sentence
    assert marked == [("Q8_0", 512), ("F16", 512)]
    assert not psutil.Process().children(recursive=True)


@pytest.mark.engine
def test_stopping_keeps_what_is_known(two_types, qtbot):
    line = CheckAllLine()
    qtbot.addWidget(line)
    line.show_matrix(CHOICE, HERE, SETTINGS, tuple(512 * n for n in range(1, 30)))
    with qtbot.waitSignal(line.cell_checked):
        line.start()
    line._pressed()
    assert not line.busy
    assert "Stopped after" in line.sentence
    qtbot.waitUntil(lambda: not psutil.Process().children(recursive=True))


def test_llama_cpps_figures_win_where_they_differ(qtbot):
    plan = size(tiny.dense(), HERE, SETTINGS)
    agreed = {"host": {"weights": Pair(plan.host.weights, plan.host.weights)}}
    assert judged(plan, Checked("llama.cpp b1", agreed)).headroom == plan.headroom
    more = plan.host.weights + 7 * GIB
    cell = judged(
        plan, Checked("llama.cpp b1", {"host": {"weights": Pair(more, plan.host.weights)}})
    )
    assert cell.headroom == plan.headroom - 7 * GIB
    assert cell.verdict == "no"
    line = CheckAllLine()
    qtbot.addWidget(line)
    line.show_matrix(CHOICE, HERE, SETTINGS, (512,))
    cells, failures = {("Q8_0", 512): cell}, {("F16", 512): "It broke."}
    line._done(CheckedMatrix("llama.cpp b1", cells, failures))
    assert "differs on 1 of 1 cells" in line.sentence
    assert "1 could not be asked" in line.sentence
    assert "Q8_0, 512: weights on host: 7.0 GiB, computed 13 MiB" in line.differences
    assert "It broke." in line.differences


def test_a_rig_out_of_reach_is_not_asked(qtbot, big_rig):
    line = CheckAllLine()
    qtbot.addWidget(line)
    line.show_matrix(CHOICE, big_rig, SETTINGS, (512,))
    assert line._ask.isHidden()
