"""What the tests of advice ask about: a desktop, its prices on one day, and the search over it."""

import datetime as dt

from advisor.advice import screen
from advisor.advice.engine import Engine
from advisor.advice.hardware_prices import PriceBook
from advisor.advice.shelf import shelf_for, shelve
from advisor.advice.upgrades import search
from advisor.advice.usage import Usage, preset
from advisor.advice.variants import variants
from advisor.hardware.compose import parse_rig
from advisor.llm.catalogue import catalogue
from advisor.sizing.settings import RunSettings

TODAY = dt.date(2026, 11, 23)
NOW = dt.datetime(2026, 11, 23, 14, tzinfo=dt.UTC)
BOOK = PriceBook()
CHAT = preset("chat").apply(Usage())
DESKTOP = parse_rig("RTX 3060 12GB + 32 GB DDR4-3200")


def model(name="Qwen/Qwen3-30B-A3B"):
    return catalogue().find(name)


def found(rig=DESKTOP, usage=CHAT, name="Qwen/Qwen3-30B-A3B", **options):
    wanted = variants([model(name)], usage, RunSettings())
    shelf = shelf_for(rig, usage, BOOK, TODAY)
    return search(shelf, wanted, usage, engine=Engine(RunSettings()), **options)


def bounds(shelf, wanted, usage):
    known = [screen.reference(v, usage, RunSettings()) for v in wanted]
    return screen.space(shelve(shelf), wanted, known, usage, Engine(RunSettings()))
