"""What can I run?: the list fills itself, and a line opens on the matrix."""

from dataclasses import replace

from PySide6.QtCore import Qt

from advisor.advice.picks import picks
from advisor.advice.wish import Wish
from advisor.hardware.compose import parse_rig
from advisor.llm.catalogue import catalogue
from advisor.sizing.settings import RunSettings
from advisor.ui import services
from advisor.ui.pages.fit_best import BestList
from advisor.ui.state import AppState


def test_the_list_opens_a_model(qtbot, state: AppState) -> None:
    best = BestList(state)
    qtbot.addWidget(best)
    best._search.setText("qwen3 8b")
    best.show()
    qtbot.waitUntil(lambda: best.picks.rowCount() > 0)

    with qtbot.waitSignal(best.taken):
        best.table.activated.emit(best.picks.index(0, 0))

    assert state.choice is not None
    assert state.choice.model == best.picks.picks[0].entry.id
    assert state.choice.file_type == best.picks.picks[0].cell.file_type


def test_a_slow_lines_speed_can_be_read(qtbot, state: AppState) -> None:
    best = BestList(state)
    qtbot.addWidget(best)
    wide = best.table.fontMetrics().horizontalAdvance("~10.0, slow")
    assert best.table.columnWidth(3) > wide + 24  # a cell's padding and margins


def test_nothing_found_says_so(qtbot, state: AppState) -> None:
    best = BestList(state)
    qtbot.addWidget(best)
    best._search.setText("no such model")
    best.show()

    qtbot.waitUntil(lambda: "Nothing" in best._said.text())


def test_a_line_with_a_part_in_ram_shows_what_its_plan_says(qtbot, state: AppState) -> None:
    state.set_rig(parse_rig("RTX 3060 + 64 GB DDR4-3200"))
    best = BestList(state)
    qtbot.addWidget(best)
    best._search.setText("gemma 3 27b")
    seen: set[str] = set()
    best.picks.modelReset.connect(lambda: seen.update(shown(best)))
    best.show()
    qtbot.waitUntil(
        lambda: bool(best.picks.picks) and not any(p.rough for p in best.picks.picks),
    )
    pick = best.picks.picks[0]
    assert pick.planned
    assert any(words.startswith("~") for words in seen)
    assert not any(words.startswith("~") for words in shown(best))

    with qtbot.waitSignal(best.taken):
        best.table.activated.emit(best.picks.index(0, 0))
    qtbot.waitUntil(
        lambda: state.plan is not None and state.plan.file_type == pick.cell.file_type,
    )
    assert state.plan is not None
    assert state.plan.speed.decode_tps == pick.cell.decode


def shown(best: BestList) -> list[str]:
    return [best.picks.words(pick, 3) for pick in best.picks.picks]


def test_a_line_that_llama_server_alone_makes_too_slow_says_why(qtbot, state: AppState) -> None:
    rig, ctx = parse_rig("RTX 5090 + 64 GB DDR5-6000"), state.settings.ctx
    entry = catalogue().find("openai/gpt-oss-20b")
    (pick,) = picks([entry], rig, Wish(ctx=ctx), services.plain(state.settings))
    assert pick.served is not None
    assert pick.cell.decode is not None
    wish = round((pick.served.mid + pick.cell.decode.mid) / 2)
    state.set_rig(rig)
    best = BestList(state)
    qtbot.addWidget(best)
    best._search.setText("gpt-oss 20b")
    best._least.setValue(wish)
    best.show()
    qtbot.waitUntil(lambda: "too slow in llama-server only" in best._said.text())
    at = [pick.entry.id for pick in best.picks.picks].index(entry.id)
    assert shown(best)[at].endswith(", slow")
    tip = best.picks.index(at, 3).data(Qt.ItemDataRole.ToolTipRole)
    assert "llama-server writes about" in tip


def test_lines_that_change_places_stay_chosen(qtbot, state: AppState) -> None:
    entries = [catalogue().find(name) for name in ("Qwen/Qwen3-8B", "Qwen/Qwen3-14B")]
    rig, settings = parse_rig("RTX 4090 + 64 GB DDR5-6000"), RunSettings(ctx=8192)
    found = list(picks(entries, rig, Wish(ctx=8192), settings))
    best = BestList(state)
    qtbot.addWidget(best)
    best.picks.show_picks(found)
    first, second = best.picks.picks
    best.table.setCurrentIndex(best.picks.index(1, 0))
    best.picks.show_picks([replace(first, fast=False), second])
    assert [pick.entry.id for pick in best.picks.picks] == [second.entry.id, first.entry.id]
    assert best.table.currentIndex().row() == 0
