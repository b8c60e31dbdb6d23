"""Small windows and enlarged desktops: what is said stays readable, the rest can be scrolled to."""

from collections.abc import Callable, Iterator

import pytest
from probe_page import with_devices
from PySide6.QtCore import QPoint, QSize
from PySide6.QtWidgets import QScrollArea, QWidget
from rest import come_to_rest

from advisor.hardware.compose import parse_rig
from advisor.ui import design
from advisor.ui.app import preferences
from advisor.ui.page import Page
from advisor.ui.pages.advice import AdvicePage
from advisor.ui.pages.fit import FitPage
from advisor.ui.pages.machine import MachinePage
from advisor.ui.pages.machine_cards import DeviceCard
from advisor.ui.pages.probe import ProbePage
from advisor.ui.pages.report import ReportPage
from advisor.ui.state import AppState
from advisor.ui.window import LEAST_PAGE, MainWindow

SMALL = QSize(882, 620)
"""A page in a window of 1024 × 700."""


@pytest.fixture
def asked(state: AppState) -> AppState:
    state.set_rig(parse_rig("RTX 4090 + 64 GB DDR5-6000"))
    state.choose_model("meta-llama/Llama-3.1-8B-Instruct", "Q4_K_M")
    return state


def reaches_out(area: QScrollArea) -> list[QWidget]:
    """Parts of a scrolled content that lie beyond its right edge."""
    content = area.widget()
    return [
        part
        for part in content.findChildren(QWidget)
        if part.isVisible()
        and part.mapTo(content, part.rect().topRight()).x() >= area.viewport().width()
    ]


def has_room(area: QScrollArea) -> bool:
    """Whether the least width that a scrolled content asks for is there; what lies beyond the edge
    now may be laid out otherwise in the next turn.
    """
    return area.widget().minimumSizeHint().width() <= area.viewport().width()


def test_a_narrow_fit_page_shows_every_context_with_its_speed(asked: AppState, qtbot) -> None:
    page = FitPage(asked)
    qtbot.addWidget(page)
    page.resize(SMALL)
    page.show()
    qtbot.waitUntil(lambda: bool(page.matrix.map.cells.rows) and asked.plan is not None)
    asked.change_settings(ctx=100_000)  # one more column
    come_to_rest(qtbot, page, asked)
    assert page.matrix.map.cells.columnCount() > 6
    assert page.plan.isVisible()
    assert page.matrix.map.horizontalScrollBar().maximum() == 0
    assert page.matrix.map.rowHeight(0) >= 34
    assert page._legend.isVisible()
    # The sentence does not share its line with what the cells' figures are.
    assert page._reason.width() > page.matrix.map.width() // 2
    assert has_room(page._side)
    assert not reaches_out(page._side)
    page.resize(1132, 700)
    assert page._legend.parentWidget() is page._card
    page.closing()


def test_a_narrow_advice_page_cuts_nothing_off(asked: AppState, qtbot) -> None:
    page = AdvicePage(asked)
    qtbot.addWidget(page)
    design.dress(page)
    page.resize(LEAST_PAGE)
    page.show()
    page.shown()
    come_to_rest(qtbot, page, asked)
    assert page.advice is not None
    area = page.verdict.parentWidget().parentWidget().parentWidget()
    assert isinstance(area, QScrollArea)
    assert area.verticalScrollBar().isVisible()
    assert has_room(area)
    assert not reaches_out(area)
    # The form's scroll bar stands within its card, off the fields.
    form = next(a for a in page._usage.findChildren(QScrollArea))
    assert form.verticalScrollBar().isVisible()
    assert not reaches_out(form)
    fields_end = page.form.mapTo(page._usage, page.form.rect().topRight()).x()
    bar_begins = form.verticalScrollBar().mapTo(page._usage, QPoint(0, 0)).x()
    assert fields_end < bar_begins < page._usage.width() - form.verticalScrollBar().width()
    page.closing()


LONG_RIG = "2x RTX PRO 6000 Blackwell Max-Q + 64 GB over 10GbE with M2 Ultra 192GB"
LONG_MODEL = "nvidia/Llama-3_3-Nemotron-Super-49B-v1_5"


def without_room(page: Page) -> list[str]:
    """What asks for more width than the page or a scrolled part of it has."""
    areas = [area for area in page.findChildren(QScrollArea) if area.isVisible()]
    narrow = [area.widget().metaObject().className() for area in areas if not has_room(area)]
    return [*narrow, "page"] if page.minimumSizeHint().width() > page.width() else narrow


@pytest.fixture
def narrow(qtbot, state: AppState, few_models: None) -> Iterator[Callable[[type[Page]], Page]]:
    """Makes a page in the smallest room that a window gives it, about long names."""
    state.set_rig(parse_rig(LONG_RIG))
    state.choose_model(LONG_MODEL, "Q4_K_M")
    made: list[tuple[QWidget, Page]] = []

    def make(kind: type[Page]) -> Page:
        room = QWidget()  # as in the window: a page does not widen it
        qtbot.addWidget(room)
        page = kind(state)
        page.setParent(room)
        made.append((room, page))
        design.dress(room)
        room.resize(LEAST_PAGE)
        page.setGeometry(room.rect())
        room.show()
        page.shown()
        come_to_rest(qtbot, page, state)
        return page

    yield make
    for _room, page in made:
        page.closing()


def test_long_names_have_room_on_the_smallest_fit_page(narrow, state, qtbot) -> None:
    page = narrow(FitPage)
    assert page.plan.isVisible()
    assert without_room(page) == []
    page._change.setChecked(True)
    come_to_rest(qtbot, page, state)
    assert page._form.isVisible()
    assert without_room(page) == []
    page._all.setChecked(True)
    come_to_rest(qtbot, page, state)
    assert page.best.isVisible()
    assert without_room(page) == []


@pytest.mark.parametrize("kind", [AdvicePage, ReportPage])
def test_long_names_have_room_on_the_smallest(narrow, kind) -> None:
    page = narrow(kind)
    assert not page._stale
    assert without_room(page) == []


def test_many_plots_are_scrolled_to_and_shrink_again(narrow, state, qtbot) -> None:
    page = narrow(ProbePage)
    assert without_room(page) == []
    page.show_result(with_devices(8))
    come_to_rest(qtbot, page, state)
    assert without_room(page) == []
    plots = [place.plot for place in page.plots._places]
    assert len(plots) == 8
    assert all(plot.height() >= plot.minimumHeight() for plot in plots)
    area = next(a for a in page.findChildren(QScrollArea) if a.isAncestorOf(page.plots))
    assert area.widget().height() > area.viewport().height()
    # A larger window has them side by side, and nothing to scroll.
    page.parentWidget().resize(1132, 716)
    page.setGeometry(page.parentWidget().rect())
    come_to_rest(qtbot, page, state)
    assert page.plots._columns == 3
    assert area.widget().height() == area.viewport().height()


def test_a_screen_enlarged_by_half_scrolls_no_page_sideways(qtbot) -> None:
    window = MainWindow(preferences())
    qtbot.addWidget(window)
    window.resize(853, 533)
    window.show()
    area = next(a for a in window.findChildren(QScrollArea) if a.isAncestorOf(window._stack))
    across, down = area.horizontalScrollBar(), area.verticalScrollBar()
    qtbot.waitUntil(lambda: across.maximum() == down.maximum() == 0)
    assert window._stack.width() > LEAST_PAGE.width()
    window.close()


RIGS = (
    "RTX 4090 + 64 GB DDR5-6000",
    "2x RTX PRO 6000 Blackwell Max-Q + 64 GB over 10GbE with M2 Ultra 192GB",
    "8x RTX PRO 6000 Blackwell Max-Q + 512 GB",
)


def cut_off(page: MachinePage, area: QScrollArea) -> list[QWidget]:
    return [part for part in reaches_out(area) if not page.models.isAncestorOf(part)]


def names_are_whole(cards: list[DeviceCard]) -> bool:
    return all(card.accessibleName().startswith(card._name.shown) for card in cards)


def test_the_smallest_machine_page_cuts_nothing_off(
    asked: AppState, few_models: None, qtbot
) -> None:
    page = MachinePage(asked)
    qtbot.addWidget(page)
    design.dress(page)
    page.show()
    page.catch_up()
    area = next(a for a in page.findChildren(QScrollArea) if a.isAncestorOf(page.what_if))
    for rig in RIGS:
        asked.set_rig(parse_rig(rig))
        for size in (LEAST_PAGE, QSize(1132, 716)):
            page.resize(size)
            come_to_rest(qtbot, page, asked)
            assert page.parts.complete
            assert has_room(area)
            assert not cut_off(page, area)
        cards = [card for card in page.parts.devices if card.isVisible()]
        if len(cards) < 8:
            # The chip beside it gives way before the name does.
            assert names_are_whole(cards)
    page.closing()


def test_a_window_smaller_than_its_pages_scrolls_them(qtbot) -> None:
    window = MainWindow(preferences())
    qtbot.addWidget(window)
    window.resize(640, 400)
    window.show()
    area = next(a for a in window.findChildren(QScrollArea) if a.isAncestorOf(window._stack))
    assert window._stack.size() == LEAST_PAGE
    assert area.horizontalScrollBar().maximum() > 0
    window.resize(1400, 900)
    qtbot.waitUntil(lambda: area.horizontalScrollBar().maximum() == 0)
    assert window._stack.width() > LEAST_PAGE.width()
    window.close()
