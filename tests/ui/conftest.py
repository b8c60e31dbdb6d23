"""One application with the design applied, and a settled event loop after each test."""

import gc
from collections.abc import Iterator

import pytest
from advice_page import MODEL, settled
from probe_page import with_tiny_model
from PySide6.QtCore import QThreadPool
from PySide6.QtWidgets import QApplication

from advisor.hardware.compose import parse_rig
from advisor.hardware.rig import Rig
from advisor.ui import design, jobs
from advisor.ui.pages.advice import AdvicePage
from advisor.ui.state import AppState


@pytest.fixture(scope="session")
def qapp_args() -> list[str]:
    return ["rig-advisor-tests"]


@pytest.fixture(autouse=True)
def designed(qapp: QApplication) -> Iterator[None]:
    # As in the window (ui/pauses.py): no other thread may destroy what belongs to this one.
    gc.disable()
    design.load_fonts()
    design.apply(qapp, "light")
    yield
    jobs.cancel_all()
    QThreadPool.globalInstance().waitForDone()
    qapp.processEvents()
    gc.collect(1)
    gc.enable()


@pytest.fixture
def big_rig() -> Rig:
    """A rig that does not depend on the machine under test."""
    return parse_rig("2x RTX 4090 + 128 GB DDR5-6000")


@pytest.fixture
def state(designed: None, big_rig: Rig) -> Iterator[AppState]:
    state = AppState()
    state.set_rig(big_rig)
    yield state
    state.close()


@pytest.fixture
def here(designed: None) -> Iterator[AppState]:
    """This machine and a tiny model that it can probe."""
    state = with_tiny_model()
    yield state
    state._replan.stop()
    state.close()
    state.deleteLater()  # on this thread, not wherever garbage is collected


@pytest.fixture
def page(qtbot, state: AppState) -> Iterator[AdvicePage]:
    page = AdvicePage(state)
    page.catch_up()
    qtbot.addWidget(page)
    page.resize(1132, 716)
    page.show()
    page.shown()
    yield page
    page.closing()


@pytest.fixture
def answered(qtbot, page: AdvicePage, state: AppState) -> AdvicePage:
    state.choose_model(MODEL, "Q4_K_M")
    settled(qtbot, page)
    return page
