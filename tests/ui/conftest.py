"""One application with the design applied, and a settled event loop after each test."""

import functools
import gc
from collections.abc import Iterator
from typing import Final

import pytest
from advice_page import MODEL, settled
from probe_page import with_tiny_model
from PySide6.QtCore import QThreadPool
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from advisor.hardware.compose import parse_rig
from advisor.hardware.rig import Rig
from advisor.llm.catalogue import Catalogue, catalogue
from advisor.ui import design, jobs, services
from advisor.ui.pages.advice import AdvicePage
from advisor.ui.pages.fit import FitPage
from advisor.ui.state import AppState

PATIENCE_MS: Final = 120_000
"""As long as anything is waited for: how long it takes says something of the machine's load, not of
the program."""


class Patient(QtBot):
    """Waits five times and more as long as a busy machine takes."""

    waitUntil = functools.partialmethod(QtBot.waitUntil, timeout=PATIENCE_MS)  # noqa: N815
    waitSignal = functools.partialmethod(QtBot.waitSignal, timeout=PATIENCE_MS)  # noqa: N815
    waitExposed = functools.partialmethod(QtBot.waitExposed, timeout=PATIENCE_MS)  # noqa: N815
    waitActive = functools.partialmethod(QtBot.waitActive, timeout=PATIENCE_MS)  # noqa: N815


@pytest.fixture
def qtbot(qapp: QApplication, request: pytest.FixtureRequest) -> Patient:
    """In the place of pytest-qt's, whose waits are five seconds long."""
    return Patient(request)


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
def few_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handful of real entries: sizing all of them is another test's business."""
    every = catalogue()
    names = ("Qwen/Qwen3-8B", "google/gemma-3-27b-it", "openai/gpt-oss-120b")
    few = Catalogue([every.find(name) for name in names])
    monkeypatch.setattr(services, "catalogue", lambda: few)


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


@pytest.fixture
def fit(qtbot, state: AppState) -> Iterator[FitPage]:
    page = FitPage(state)
    page.catch_up()
    qtbot.addWidget(page)
    page.resize(1132, 716)
    page.show()
    yield page
    page.closing()
