"""What can I run?: the list fills itself, and a line opens on the matrix."""

from advisor.ui.pages.fit_best import BestList
from advisor.ui.state import AppState


def test_the_list_opens_a_model(qtbot, state: AppState) -> None:
    best = BestList(state)
    qtbot.addWidget(best)
    best._search.setText("qwen3 8b")
    best.show()
    qtbot.waitUntil(lambda: best.picks.rowCount() > 0, timeout=60_000)

    with qtbot.waitSignal(best.taken):
        best.table.activated.emit(best.picks.index(0, 0))

    assert state.choice is not None
    assert state.choice.model == best.picks.picks[0].entry.id
    assert state.choice.file_type == best.picks.picks[0].cell.file_type


def test_nothing_found_says_so(qtbot, state: AppState) -> None:
    best = BestList(state)
    qtbot.addWidget(best)
    best._search.setText("no such model")
    best.show()

    qtbot.waitUntil(lambda: "Nothing" in best._said.text(), timeout=60_000)
