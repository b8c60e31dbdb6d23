"""Rigs worth a look: what may be bought, put in or taken out, and what is never suggested."""

from decimal import Decimal

from advice_cases import BOOK, CHAT, DESKTOP, NOW, TODAY, model

from advisor.advice.advise import advise
from advisor.advice.builds import builds
from advisor.advice.cards import cards
from advisor.advice.hardware_prices import PriceBook
from advisor.advice.usage import Limits
from advisor.hardware.compose import parse_rig


class TestBuilds:
    def test_this_rig_comes_first_and_nothing_else_is_free(self):
        shelf = list(builds(DESKTOP, CHAT, BOOK, TODAY))
        assert shelf[0].kind == "keep"
        assert all(b.usd > 0 for b in shelf if b.kind not in {"keep", "close programs"})

    def test_programs_on_the_card_can_be_closed(self):
        busy = DESKTOP.devices[0].model_copy(update={"memory_used": 3 << 30})
        shelf = list(builds(DESKTOP.model_copy(update={"devices": (busy,)}), CHAT, BOOK, TODAY))
        closed = next(b for b in shelf if b.kind == "close programs")
        assert closed.rig.devices[0].memory_used == 0
        assert not any(b.kind == "close programs" for b in builds(DESKTOP, CHAT, BOOK, TODAY))

    def test_cards_that_are_not_needed_can_be_taken_out(self):
        rig = parse_rig("2x RTX 3090 + RTX 3060 12GB + 64 GB DDR4-3200")
        out = [b for b in builds(rig, CHAT, BOOK, TODAY) if b.kind == "take out cards"]
        assert [[d.name for d in b.rig.devices] for b in out] == [
            ["RTX 3090"],
            ["RTX 3090", "RTX 3090"],
            ["RTX 3060 12GB"],
        ]
        assert not any(b.usd or b.here for b in out)
        for other in (
            "RTX 3090 + 64 GB DDR4-3200",
            "8x H100 SXM + 2 TB DDR5-4800",
            "M3 Ultra 96GB",
        ):
            kinds = {b.kind for b in builds(parse_rig(other), CHAT, BOOK, TODAY)}
            assert "take out cards" not in kinds

    def test_idle_cards_are_taken_out_where_that_saves_enough(self):
        rig = parse_rig("2x RTX 3090 + RTX 3060 12GB + 4x P40 + RTX 2060 + 128 GB DDR4-3200")
        private = CHAT.model_copy(update={"data_may_leave": False})
        advice = advise(private, rig, [model("Qwen/Qwen3-8B")], at=NOW)
        keep = next(a for a in advice.assessments if a.option.kind in {"keep", "tune"})
        assert advice.best.option.kind == "take out cards"
        assert keep.monthly.mid - advice.best.monthly.mid > private.worth_changing
        on = private.model_copy(update={"idle": "on anyway"})
        advice = advise(on, rig, [model("Qwen/Qwen3-8B")], at=NOW)
        assert advice.best.option.kind in {"keep", "tune"}

    def test_unknown_limits_are_asked_for(self):
        shelf = list(builds(DESKTOP, CHAT, BOOK, TODAY))
        added = next(b for b in shelf if b.title == "Add RTX 5090")
        assert "a free slot" in added.conditions
        assert any(c.startswith("a power supply of") for c in added.conditions)
        assert not added.impossible

    def test_known_limits_are_kept(self):
        limits = Limits(free_slots=1, card_width=2, supply_w=750, max_ram_gib=64)
        usage = CHAT.model_copy(update={"limits": limits})
        shelf = list(builds(DESKTOP, usage, BOOK, TODAY))
        two = next(b for b in shelf if b.title == "Add 2x RTX 3090")
        assert "needs 2 free slots; there are 1" in two.impossible
        one = next(b for b in shelf if b.title == "Add RTX 4090")
        assert any("slots wide" in reason for reason in one.impossible)
        assert any(p.name.startswith("power supply") for p in one.purchases)
        ram = next(b for b in shelf if b.title == "Replace the RAM by 128 GB")
        assert ram.impossible == ("the board takes 64 GB at most",)

    def test_a_laptop_gets_no_cards(self):
        host = DESKTOP.host.model_copy(update={"laptop": True})
        laptop = DESKTOP.model_copy(update={"hosts": (host,)})
        kinds = {b.kind for b in builds(laptop, CHAT, BOOK, TODAY)}
        assert not kinds & {"add GPU", "replace GPUs"}

    def test_used_cards_can_be_refused(self):
        shelf, _ = cards(BOOK, TODAY, used=False)
        assert all(c.price.condition != "used" for c in shelf)

    def test_every_machine_on_sale_is_there(self):
        machines = [b for b in builds(DESKTOP, CHAT, BOOK, TODAY) if b.kind == "unified machine"]
        assert len(machines) == len(BOOK.machines()) == 9
        assert all(m.rig.devices[0].unified for m in machines)

    def test_a_card_without_a_price_is_left_out_and_named(self):
        shelf, unpriced = cards(BOOK, TODAY, used=True)
        assert "H100 NVL" in unpriced
        own = PriceBook({"H100 NVL": Decimal(20000)})
        assert "H100 NVL" in {c.entry.short_name for c in cards(own, TODAY, used=True)[0]}
        assert shelf

    def test_cards_without_fans_are_for_those_who_ask_for_them(self):
        def titles(**limits):
            usage = CHAT.model_copy(update={"limits": Limits(**limits)})
            return {b.title for b in builds(DESKTOP, usage, BOOK, TODAY)}

        assert "Add P40" not in titles()
        assert "Add P40" in titles(server_cards=True)
        assert "Add P40" not in titles(server_cards=True, quiet=True)

    def test_makers_are_not_mixed(self):
        added = [b for b in builds(DESKTOP, CHAT, BOOK, TODAY) if b.kind == "add GPU"]
        assert added
        assert all({d.backend for d in b.rig.devices} == {"cuda"} for b in added)

    def test_no_card_is_put_into_a_server_of_modules(self):
        server = parse_rig("8x H100 SXM + 2 TB DDR5-4800")
        kinds = {b.kind for b in builds(server, CHAT, BOOK, TODAY)}
        assert not kinds & {"add GPU", "replace GPUs"}

    def test_lanes_are_shared_and_run_out(self):
        usage = CHAT.model_copy(update={"limits": Limits(free_slots=7, lanes=16)})
        shelf = {b.title: b for b in builds(DESKTOP, usage, BOOK, TODAY)}
        two = shelf["Replace the card by 2x RTX 3090"]
        assert [d.pcie.max_width for d in two.rig.devices] == [8, 8]
        assert not two.impossible
        five = shelf["Replace the card by 5x RTX 3090"]
        assert "5 cards need 20 lanes; there are 16" in five.impossible
