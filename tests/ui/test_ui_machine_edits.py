"""The Machine page's dialogs and edits: facts and corrections, the form, rigs of several hosts."""

import os
import subprocess
import sys
from pathlib import Path

import fake_nvml
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QPushButton, QWidget
from rest import come_to_rest

from advisor.hardware import detect
from advisor.hardware.bandwidth import RamBandwidth
from advisor.hardware.compose import parse_rig
from advisor.hardware.doctor import examine
from advisor.ui.app import preferences
from advisor.ui.header import Header
from advisor.ui.pages.machine import MachinePage
from advisor.ui.pages.machine_compose import ComposeDialog
from advisor.ui.pages.machine_facts import FactsDialog, fact_name
from advisor.ui.texts import rig_in_short
from advisor.ui.widgets.reading_row import ReadingRow
from advisor.ui.window import MainWindow
from advisor.units import GIB

JOINED = "2x RTX 3090 + 64 GB DDR4-3200 over 10GbE with RTX 4090 + 32 GB DDR5-5600"


def words(widget: QWidget) -> str:
    shown = [x for x in widget.findChildren(QLabel) if x.isVisibleTo(widget)]
    return "\n".join(x.words if isinstance(x, ReadingRow) else x.text() for x in shown)


def press(qtbot, widget: QWidget, label: str) -> None:
    """Parts of a page are shown in turns of their own, so it may take some until a button is."""

    def seen() -> list[QPushButton]:
        found = [b for b in widget.findChildren(QPushButton) if b.text() == label]
        return [b for b in found if b.isVisibleTo(widget)]

    qtbot.waitUntil(lambda: bool(seen()))
    seen()[0].click()


@pytest.fixture
def page(qtbot, state, few_models):
    made = MachinePage(state)
    qtbot.addWidget(made)
    made.resize(1132, 716)
    made.show()
    # Made in turns, and each shown in a turn of its own.
    qtbot.waitUntil(lambda: made.models.isVisibleTo(made) and made.what_if.isVisibleTo(made))
    yield made
    made.closing()


@pytest.fixture
def parent(qtbot) -> QWidget:
    made = QWidget()
    qtbot.addWidget(made)
    return made


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fake_nvml.build(tmp_path_factory.mktemp("nvml"))


def facts_of(dialog: FactsDialog) -> dict[str, list[str]]:
    table = dialog.table

    def cell(line: int, place: int) -> str:
        item = table.item(line, place)
        return "" if item is None else item.text()

    return {
        cell(line, 0): [cell(line, place) for place in (1, 2)] for line in range(table.rowCount())
    }


def test_facts_with_their_sources(parent) -> None:
    rig = parse_rig("RTX 4090 + 64 GB DDR5-6000")
    cells = facts_of(FactsDialog(parent, rig.devices[0], "RTX 4090"))
    assert (cells["Backend"][0], cells["Architecture"][0]) == ("CUDA", "Ada")
    host = facts_of(FactsDialog(parent, rig.host, "Host"))
    assert host["RAM bandwidth"][0] == "96 GB/s"
    assert host["RAM bandwidth"][1].startswith("2 channels × 6000 MT/s")
    assert not any("from" in name for name in host)
    assert cells["Memory bandwidth"][0] == "1,008 GB/s"
    assert cells["Memory bandwidth"][1].startswith("GPU table (")
    assert cells["Memory in use"] == ["unknown", "an imagined device: nothing runs on it"]
    assert fact_name("some_new_field") == "Some new field"


def test_an_unknown_card_is_filled_in_and_stays_so(qtbot, page, state, library, tmp_path) -> None:
    with fake_nvml.installed(library, tmp_path / "scenario.txt") as machine:
        machine.become("nothing-but-a-name")
        rig = detect()
        state.set_rig(None)
        state.set_detected(rig)
        assert {"memory-unknown", "bandwidth-unknown"} <= {f.code for f in examine(state.rig)}
        page.edits.device_facts(0)
        dialog = page.findChild(FactsDialog)
        dialog.memory.setValue(24)
        dialog.bandwidth.setValue(1008)
        press(qtbot, dialog, "Use these")
        assert not state.rig.imagined
        (device,) = state.rig.devices
        assert device.memory_total == 24 * GIB
        assert device.bandwidth_gbs == 1008
        assert device.sources["memory_total"] == "as you wrote"
        # Detection knows it from now on, and forgets it when told so.
        assert detect().devices[0].memory_total == 24 * GIB
        page.edits.device_facts(0)
        again = next(d for d in page.findChildren(FactsDialog) if d.isVisible())
        press(qtbot, again, "Forget mine")
        qtbot.waitUntil(lambda: state.rig.devices[0].memory_total is None)


def test_correcting_an_imagined_rig_leaves_this_machine_alone(qtbot, page, state) -> None:
    page.edits.device_facts(0)
    dialog = page.findChild(FactsDialog)
    dialog.bandwidth.setValue(500)
    press(qtbot, dialog, "Use these")
    first, second = state.rig.devices
    assert (first.bandwidth_gbs, second.bandwidth_gbs) == (500, 1008)
    (read,) = first.alternatives["bandwidth_gbs"]
    assert read.value == 1008
    # Whoever states a figure knows that another source says something else.
    assert "conflict" not in {f.code for f in examine(state.rig)}


def test_the_form_says_what_the_line_would_say(qtbot, parent) -> None:
    rig = parse_rig(JOINED)
    made = []
    dialog = ComposeDialog(parent, rig, made.append)
    dialog.show()
    assert dialog.words == JOINED
    form = dialog.add_machine()
    form.add_gpu(1, "M2 Ultra 192GB")
    form.network.setCurrentText("Thunderbolt 5")
    press(qtbot, dialog, "Try this rig")
    assert made[0].name == f"{JOINED} over Thunderbolt 5 with M2 Ultra 192GB"
    assert len(made[0].hosts) == 3


def test_the_form_says_what_is_wrong_and_stays(qtbot, parent) -> None:
    made = []
    dialog = ComposeDialog(parent, parse_rig("RTX 4090 + 64 GB DDR5-5600"), made.append)
    dialog.show()
    dialog.machines[0].add_gpu(1, "RTX 4091")
    press(qtbot, dialog, "Try this rig")
    assert not made
    assert dialog.isVisible()
    assert "RTX 4091" in words(dialog)
    dialog.machines[0]._lines[-1].name.setCurrentText("RTX 3090")
    assert "not in the GPU table" not in words(dialog)
    dialog.machines[0].ram.setValue(0)
    press(qtbot, dialog, "Try this rig")
    assert made[0].name == "RTX 4090 + RTX 3090"


def test_machines_and_their_network_are_shown(qtbot, page, state) -> None:
    state.set_rig(parse_rig(JOINED))
    come_to_rest(qtbot, page, state)
    shown = words(page)
    for wanted in (
        "Machine 1, runs llama.cpp",
        "Machine 2",
        "10GbE",
        "1.25",
        "about 50 µs (20 to 90)",
    ):
        assert wanted in shown
    # People read the first machine first, whatever order llama.cpp lists devices in.
    at = [page.parts.itemAtPosition(0, place).widget() for place in range(3)]
    assert [card.accessibleName() for card in at] == [
        "Machine 1, runs llama.cpp",
        "RTX 3090, device 2 of 3",
        "RTX 3090, device 3 of 3",
    ]
    press(qtbot, page, "Without this machine")
    assert state.rig.name == "2x RTX 3090 + 64 GB DDR4-3200"
    qtbot.waitUntil(lambda: "Machine 2" not in words(page))


def test_a_machine_is_added_by_words(qtbot, page, state) -> None:
    page.what_if.words.setText("over 25GbE with RTX 5090 + 64 GB DDR5-6000")
    press(qtbot, page, "Add to the rig")
    assert len(state.rig.hosts) == 2
    assert state.rig.links[0].bandwidth_gbs == pytest.approx(3.125)


def test_the_header_shows_that_a_rig_is_imagined(qtbot, state) -> None:
    header = Header()
    qtbot.addWidget(header)
    header.resize(1132, 56)
    header.show()
    header.bind(state)
    assert "imagined" in words(header.rig)
    assert "imagined" in header.rig.accessibleName()
    state.set_detected(state.rig.model_copy(update={"imagined": False, "name": "This machine"}))
    state.set_rig(None)
    assert "imagined" not in words(header.rig)
    assert "imagined" not in header.rig.accessibleName()


def test_reading_again_finds_what_came_back(qtbot, page, state, library, tmp_path) -> None:
    with fake_nvml.installed(library, tmp_path / "scenario.txt") as machine:
        machine.become("off-the-bus")
        state.set_rig(None)
        state.set_detected(detect())
        assert [d.name for d in state.rig.devices] == ["RTX 4090"]
        machine.change({"1.lost": None})
        press(qtbot, page, "Read again")
        qtbot.waitUntil(lambda: len(state.rig.devices) == 2)
    assert [d.name for d in state.rig.devices] == ["RTX 4090", "RTX 3090"]


def test_dialogs_are_closed_by_the_keyboard(qtbot, page) -> None:
    page.edits.device_facts(0)
    dialog = page.findChild(FactsDialog)
    qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    assert not dialog.isVisible()


def test_the_window_answers_while_a_driver_call_hangs(qtbot, library, tmp_path) -> None:
    """Slow calls are waited for in another thread: pages change, and then the rig is there."""
    slow = {"delay.nvmlDeviceGetMemoryInfo_v2": 6000}
    with fake_nvml.installed(library, tmp_path / "scenario.txt") as machine:
        machine.become(fake_nvml.SCENARIOS["rtx-4090"] | slow)
        window = MainWindow(preferences())
        qtbot.addWidget(window)
        window.show()
        window.load_after_first_paint()
        qtbot.waitUntil(lambda: window.state is not None)
        state = window.state
        assert state is not None
        window.show_page("fit")
        assert window.page("fit") is not None
        assert state.detected is None
        qtbot.waitUntil(lambda: state.detected is not None)
        assert state.rig is not None
        assert [d.name for d in state.rig.devices] == ["RTX 4090"]
        window.close()


def test_the_program_ends_though_a_driver_call_hangs(library, tmp_path) -> None:
    """Its window is closed while a call takes ten minutes: the process does not wait for it."""
    scenario = tmp_path / "scenario.txt"
    slow = {"delay.nvmlDeviceGetMemoryInfo_v2": 600_000}
    fake_nvml.Machine(scenario).become(fake_nvml.SCENARIOS["rtx-4090"] | slow)
    program = (
        "import sys; from PySide6.QtCore import QTimer; from PySide6.QtWidgets import QApplication;"
        "from advisor.ui import app, jobs;"
        "close = lambda: [w.close() for w in QApplication.topLevelWidgets()];"
        "look = lambda: close() if jobs.any_running() else QTimer.singleShot(100, look);"
        "create = app.create;"
        "app.create = lambda words: (create(words), QTimer.singleShot(2500, look))[0];"
        "sys.exit(app.run([]))"
    )
    environment = os.environ | {
        "LD_LIBRARY_PATH": str(library.parent),
        "FAKE_NVML": str(scenario),
        "RIG_ADVISOR_HOME": str(tmp_path / "home"),
    }
    done = subprocess.run([sys.executable, "-c", program], env=environment, check=False)
    assert done.returncode == 0


def test_a_speed_that_waits_for_the_ram_is_a_second_away(qtbot, page, state, monkeypatch) -> None:
    found = RamBandwidth(gbs=41.0, threads=2, date="2026-11-26", cpu="a CPU", ram_total=24 * GIB)
    monkeypatch.setattr("advisor.ui.services.measure_ram", lambda _rig: found)
    unread = parse_rig("CPU only 24 GB").model_copy(update={"imagined": False})
    assert unread.host.ram_bandwidth_gbs is None
    state.set_detected(unread)
    state.set_rig(None)
    qtbot.waitUntil(page.answer.measure_ram.isVisible)
    assert not page.parts.host._measure.isVisible()  # once on the page is enough
    page.answer.measure_ram.button.click()
    qtbot.waitUntil(lambda: state.rig.host.ram_bandwidth_gbs == found.gbs)
    qtbot.waitUntil(page.answer.measure_ram.isHidden)


def test_an_imagined_rig_is_not_said_to_be_read(page, state) -> None:
    page.answer.headline.setText("Reading this machine…")
    page.answer.show_rig(parse_rig("M3 Ultra 256GB"))
    assert page.answer.headline.text() == "Sizing the catalogue…"


def test_one_core_is_one_core() -> None:
    rig = parse_rig("64 GB DDR5-5600")
    host = rig.host.model_copy(update={"cores": 1})
    assert rig_in_short(rig.model_copy(update={"hosts": (host,)})).startswith("1 core ·")
