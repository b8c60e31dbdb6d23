"""One spelling for what people write of a machine, before its words are read."""

import re
from typing import Final

from advisor.hardware.external_links import as_pcie
from advisor.hardware.network import NUMBERS

_SLOT: Final = re.compile(r"\bx(1|2|4|8|16)[\s-]+slots?\b")
_MACHINES: Final = re.compile(
    r"\b(?:1[3456][\s-]*inch\s+)?macbook(?:\s+(?:pro|air))?(?:\s+1[3456](?:[\s-]*inch)?\b(?!\s*g))?"
    r"|\bmac\s+(?:studio|mini|pro)\b|\bimac(?:\s+pro)?\b"
)
_FRAMEWORK: Final = re.compile(r"\bframework\s+(?:laptop\s+)?1[36]\b")
_WIDTH: Final = re.compile(r"\b(?:single|dual|triple|[1-4](?:\.\d+)?)[\s-]slots?\b")
"""How wide a card is: “Radeon PRO W7900 Dual Slot”."""
_LINE: Final = re.compile(r"\b(asus|palit|kfa2|galax|gainward|colorful)\s+dual\b")
"""Series of boards with two fans, “ASUS Dual RTX 4060”: one card."""
_MODULES: Final = re.compile(
    r"(?<!pcie)(?<!gen)(?<![\d.x])\b([1248]|12|16)\s*x\s*(4|8|16|24|32|48|64|96|128)"
    r"(?!\s*(?:g|gb|gib|t|tb|tib)\b)(?=[\s)\]]|$)"
)
_TOTAL: Final = re.compile(r"(?<![\d.x])(\d{1,4})\s*gb\b")


def plain(part: str) -> str:
    """A part of a machine's words with one spelling for each number with its unit, each count and
    each memory's speed.
    """
    text = part.lower()
    text = re.sub(r"(?<=\d)\s*(?:gigs?|gigabytes?)\b", "gb", text)
    text = re.sub(r"(?<=\d)\s*(?:terabytes?)\b", "tb", text)
    text = re.sub(r"\b\d{1,3}[\s-]cores?\s+(?:cpu|processor)\b,?", " ", text)
    text = _modules(text)
    text = re.sub(r"[()\[\]“”\"'|]|(?<=\d),(?=\d{3}\b)", _blank_or_nothing, text)
    text = _WIDTH.sub(" ", _LINE.sub(r"\1", _FRAMEWORK.sub(" laptop ", _MACHINES.sub(" ", text))))
    text = _SLOT.sub(r" pcie x\1 ", as_pcie(text))
    text = re.sub(r"\bpcie[\s-]*(?:gen\s*)?(\d)(?:\.0)?\s*x\s*(\d{1,2})\b", r"pcie \1.0 x\2", text)
    text = re.sub(r"@\s*(?=pcie|gen\s?\d|x\d)", " ", text)
    text = re.sub(r"\bw/\s*|/(?!s\b|sec\b)", " ", text).replace("×", "x").replace("*", "x")
    text = re.sub(r"(?<![\d.])(\d+(?:\.\d+)?)\s*(gib|gb|tib|tb)\b", r"\1\2", text)
    text = re.sub(r"\b(\d+)\s+g\b", r"\1g", text)
    text = re.sub(r"(?<![\w.])(\d{1,3})\s*x\s*(?=\w)", r"\1x ", text)
    text = re.sub(r"(?<=[\da-z])x(\d{1,2})$|(?<=\s)x\s*(\d{1,3})(?=\s|$)", r" x\1\2", text)
    words = "|".join(NUMBERS)
    text = re.sub(rf"\b(\d{{1,2}}|{words})[\s-]*(?:channels?|ch)\b", _channels, text)
    text = re.sub(r"\b((?:lp)?ddr[345]x?)[\s@-]*(\d{4,5})(?:\s*(?:mhz|mt/s|mts))?", r"\1-\2", text)
    return re.sub(
        r"(?:@\s*)?\b(\d{4,5})\s*(?:mhz|mt/s|mts)\b|(?:@|\bat)\s*(\d{4,5})\b", r"@\1\2", text
    )


def _blank_or_nothing(found: re.Match[str]) -> str:
    return "" if found[0] == "," else " "


def _channels(found: re.Match[str]) -> str:
    return f"{NUMBERS.get(found[1], found[1])}-channel"


def _modules(text: str) -> str:
    """“64GB DDR5-6000 (2x32)”: modules that come to the size beside them say nothing more."""
    for found in _MODULES.finditer(text):
        size = int(found[1]) * int(found[2])
        rest = text[: found.start()] + " " + text[found.end() :]
        if any(int(total[1]) == size for total in _TOTAL.finditer(rest)):
            return rest
        if "ddr" in rest and not _TOTAL.search(rest):
            return f"{text[: found.end()]}gb{text[found.end() :]}"
    return text
