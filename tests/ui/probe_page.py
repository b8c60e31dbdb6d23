"""The probe page with a tiny model that runs in the embedded engine."""

from collections.abc import Iterator

from advisor.hardware.rig import Host, Rig
from advisor.ui.pages.probe import ProbePage
from advisor.ui.state import AppState
from tests import tiny

GIB = 1 << 30


def with_tiny_model() -> AppState:
    """This machine and a tiny model, as if detected and chosen."""
    state = AppState()
    state.detected = Rig(name="This machine", hosts=(Host(cpu="a CPU", ram_available=8 * GIB),))
    state.choose_model("tiny-qwen3")
    state._replan.stop()
    state.model = tiny.dense()
    state.session = state.session.model_copy(
        update={"settings": state.settings.model_copy(update={"ctx": 2048, "n_prompt": 64})}
    )
    return state


def probing(state: AppState, qtbot, *, budget: int) -> Iterator[ProbePage]:
    """The page, ready to start. ``budget``: which length is chosen; the first lasts a second."""
    page = ProbePage(state)
    qtbot.addWidget(page)
    page.resize(1130, 740)
    page.head.budget.setItemData(0, 1)
    page.head.budget.setCurrentIndex(budget)
    page.show()
    with qtbot.waitSignal(page.controller.prepared):
        page._soon.start()
    page.catch_up()  # what was predicted is drawn in turns
    yield page
    page.closing()
