"""Device cards: what they call things, smaller where there are many, honest when a card is lost."""

import dataclasses

import pytest
from PySide6.QtWidgets import QLabel, QPushButton, QWidget
from rest import come_to_rest

from advisor.hardware.compose import parse_rig
from advisor.hardware.doctor import examine
from advisor.hardware.finding import Finding
from advisor.hardware.monitor import DeviceSample
from advisor.hardware.rig import Device
from advisor.ui import design
from advisor.ui.pages.machine import MachinePage
from advisor.ui.pages.machine_cards import DeviceCard
from advisor.ui.pages.machine_doctor import FindingLine, told
from advisor.ui.texts import billions
from advisor.ui.widgets.basics import Card
from advisor.ui.widgets.reading_row import ReadingRow


def words(widget: QWidget) -> str:
    shown = [x for x in widget.findChildren(QLabel) if x.isVisibleTo(widget)]
    return "\n".join(x.words if isinstance(x, ReadingRow) else x.text() for x in shown)


def device(**update: object) -> Device:
    card = parse_rig("RTX 4090 + 64 GB").devices[0]
    return card.model_copy(
        update={"memory_used": 3 << 30, "compute_capability": (8, 9), "power_w": 300.0, **update}
    )


def sample(*, lost: bool) -> DeviceSample:
    nothing = dict.fromkeys(
        (
            "used", "process", "utilisation", "memory_utilisation",
            "power_w", "temperature_c", "clock_mhz", "pcie_rx", "pcie_tx",
        )
    )  # fmt: skip
    if not lost:
        nothing |= {"used": 5 << 30, "power_w": 310.0}
    return DeviceSample(**nothing, throttle=(), processes=(), lost=lost)


@pytest.fixture
def card(qtbot) -> DeviceCard:
    made = DeviceCard()
    qtbot.addWidget(made)
    made.resize(520, 300)
    made.show()
    return made


def test_compute_capability_is_called_so(card: DeviceCard) -> None:
    card.show_device(device(), imagined=False, live=True)
    assert "CUDA · compute capability 8.9 · Ada" in words(card)


def test_a_lost_card_shows_no_old_readings(card: DeviceCard) -> None:
    card.show_device(device(), imagined=False, live=True)
    card.show_live(sample(lost=False), device())
    assert "310" in words(card)

    card.show_live(sample(lost=True), device())

    shown = words(card)
    assert "no longer answers" in shown
    assert "310" not in shown
    assert "last minute" not in shown
    card.show_live(sample(lost=False), device())
    assert "310" in words(card)
    assert "no longer answers" not in words(card)


def test_many_cards_are_small_and_fit_the_page(qtbot, state, few_models) -> None:
    state.set_rig(parse_rig("8x H100 SXM + 512 GB DDR5-4800"))
    page = MachinePage(state)
    qtbot.addWidget(page)
    design.dress(page)
    page.resize(1132, 716)
    page.show()
    try:
        assert not page.parts.devices  # they come one at a time
        come_to_rest(qtbot, page, state)
        assert len(page.parts.devices) == 8
        assert "3 of 8" in words(page.parts.devices[2])
        at = [page.parts.itemAtPosition(n // 4, n % 4) for n in range(8)]
        assert [item.widget() for item in at if item is not None] == page.parts.devices
        inner = page.parts.devices[0].parentWidget()
        assert inner is not None
        assert inner.minimumSizeHint().width() <= 1132 - 20
    finally:
        page.closing()


def test_cards_have_the_height_they_need_whatever_was_shown_before(
    qtbot, state, few_models
) -> None:
    """Qt stops seeing that a card grows when its former place in the layout lives on."""
    page = MachinePage(state)
    page.catch_up()
    qtbot.addWidget(page)
    page.resize(1132, 716)
    page.show()

    def cramped() -> list[Card]:
        cards = [*page.parts.devices, *page.parts.hosts, page.parts.doctor]
        return [
            card
            for card in cards
            if card.isVisible() and card.layout().heightForWidth(card.width()) > card.height()
        ]

    try:
        for words_of_it in ("RTX 4090 + 64 GB DDR5-6000", "Weird 9000 48GB 700 GB/s + RTX 3090"):
            state.set_rig(parse_rig(words_of_it))
            come_to_rest(qtbot, page, state)
        found = len(page.parts.doctor.findChildren(FindingLine))
        assert found > 1
        page.parts.devices[0].show_live(
            dataclasses.replace(sample(lost=False), throttle=("power limit",)), device()
        )
        come_to_rest(qtbot, page, state)
        assert not cramped()
    finally:
        page.closing()


def test_findings_say_which_card_and_shared_ones_once() -> None:
    rig = parse_rig("2x P40 + 3x RTX 3090 + 64 GB DDR4-3200")
    found = examine(rig.model_copy(update={"imagined": False}))
    narrow = Finding(
        code="pcie-width",
        severity="warning",
        subject=rig.devices[3].name,
        device_index=3,
        title="It sits in an x4 slot",
        text="",
    )
    assert [f.code for f in found].count("cuda-13") == 2
    said = {finding.code: finding.subject for finding in told((*found, narrow), rig)}
    assert said["cuda-13"] == "2x P40"
    assert said["pcie-width"] == "RTX 3090 (4 of 5)"
    assert len(told(found, rig)) == len(found) - 1


def test_who_fell_silent_is_told_once(qtbot, state) -> None:
    page = MachinePage(state)
    qtbot.addWidget(page)
    page._tell_lost(1, "RTX 3090", lost=True)
    assert "RTX 3090 no longer answers" in page.banner.sentence
    page.banner.dismiss()
    page._tell_lost(1, "RTX 3090", lost=True)
    assert not page.banner.sentence
    page._tell_lost(0, "RTX 4090", lost=True)
    page._tell_lost(1, "RTX 3090", lost=False)
    assert "RTX 4090" in page.banner.sentence
    page._tell_lost(0, "RTX 4090", lost=False)
    assert not page.banner.sentence


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (999_885_952, "1.0B"),
        (596_049_920, "596M"),
        (671_026_419_200, "671B"),
        (999_400_000, "999M"),
        (999_400_000_000, "999B"),
        (1_026_000_000_000, "1.03T"),
    ],
)
def test_numbers_of_parameters(count: int, shown: str) -> None:
    assert billions(count) == shown


def test_tab_goes_through_the_machine_as_one_reads_it(qtbot, state) -> None:
    """Cards came after what stands below them, and two of a name were told apart by no name."""
    page = MachinePage(state)
    qtbot.addWidget(page)
    page.resize(1132, 716)
    page.show()
    qtbot.waitUntil(lambda: page.models.isVisibleTo(page) and page.what_if.isVisibleTo(page))

    def order() -> list[str]:
        names, at = [], page.nextInFocusChain()
        while at is not page and at is not None:
            if isinstance(at, QPushButton) and at.isVisibleTo(page):
                names.append(at.accessibleName() or at.text())
            at = at.nextInFocusChain()
        return names

    cards = [f"Facts of RTX 4090, device {number} of 2" for number in (1, 2)]
    wanted = [*cards, "Facts of Host", "Try this rig"]
    qtbot.waitUntil(lambda: [name for name in order() if name in wanted] == wanted)
    page.closing()
