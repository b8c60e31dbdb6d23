"""The probe page with a tiny model that runs in the embedded engine."""

from collections.abc import Iterator
from datetime import UTC, datetime

from advisor.hardware.rig import Host, Rig
from advisor.probe.result import (
    Component,
    Ending,
    EngineFacts,
    Phase,
    PlaceResult,
    ProbeResult,
    SpeedPoint,
)
from advisor.probe.trace import Series, Trace
from advisor.sizing.settings import RunSettings
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


def finished(identity: str, **changes) -> ProbeResult:
    """A small result with one place."""
    place = PlaceResult(
        name="host", title="RAM", capacity=8 * GIB, before=None, peak=3 * GIB, planned=2 * GIB,
        lowest_free=5 * GIB,
        components=(
            Component(name="weights", planned=GIB, engine=GIB),
            Component(name="context", planned=GIB, engine=GIB),
            Component(name="program", planned=70 << 20, engine=90 << 20),
        ),
    )  # fmt: skip
    fields = {
        "id": identity,
        "created": datetime(2026, 11, 23, 12, tzinfo=UTC),
        "rig": Rig(name="This machine", hosts=(Host(cpu="a CPU"),)),
        "model_id": "tiny", "model_name": "Tiny", "file_type": "Q8_0", "file_bytes": GIB,
        "ghost": True,
        "settings": RunSettings(ctx=2048),
        "engine": EngineFacts(name="embedded", version="b11549", backends=("cpu",)),
        "ending": Ending(state="done", sentence="The probe ran to its end."),
        "phases": (Phase(name="decode", start_ms=0, end_ms=1000),),
        "places": (place,),
        "speeds": (
            SpeedPoint(
                depth=0, n_prompt=1, prefill_tps=None, ttft_s=None, n_decode=9, decode_tps=20
            ),
        ),
        "trace": Trace(
            times_ms=(0, 500, 1000),
            series=(Series(place="host", quantity="used", values=(0, 3 << 20, 3 << 20)),),
        ),
    }  # fmt: skip
    return ProbeResult(**{**fields, **changes})


def with_devices(count: int) -> ProbeResult:
    places = tuple(
        finished("x")
        .places[0]
        .model_copy(update={"name": f"CUDA{i}", "title": "RTX 4090", "lowest_free": (9 - i) << 30})
        for i in range(count)
    )
    series = tuple(
        Series(place=p.name, quantity="used", values=(0, 1 << 20, 2 << 20)) for p in places
    )
    return finished(
        "20261123T120000-abc",
        places=places,
        trace=Trace(times_ms=(0, 500, 1000), series=series),
    )
