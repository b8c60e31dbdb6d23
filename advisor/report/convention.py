"""How figures are written for the reader: separators, dates, currency, and units of memory.

The parts of the report write as English does (1,234.5). This puts a finished text into the
reader's convention, in one place, so that no part can forget it. A figure is known by its
separators and its unit; names (Qwen2.5, PCIe 4.0, versions) stay as they are.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from PySide6.QtCore import QDate, QLocale

from advisor.report.document import Block, Command
from advisor.units import GB, GIB, MIB

REGIONS: Final = (
    "en_US",
    "en_GB",
    "en_IN",
    "de_DE",
    "de_CH",
    "es_ES",
    "fr_FR",
    "it_IT",
    "ja_JP",
    "nl_NL",
    "pl_PL",
    "pt_BR",
    "sv_SE",
    "zh_CN",
)
"""Offered by name; every other that Qt (CLDR) knows works as well. Empty: international."""

_WHOLE: Final = r"(?:\d{1,3}(?:,\d{3}){1,4}|\d{1,15})"
_FIGURE: Final = rf"(?<![\w.,/:=-])(?P<whole>{_WHOLE})(?P<part>\.\d+)?(?![\w/]|[.,]\w)"
_UNITS: Final = (
    r"GiB|MiB|KiB|GB|MB|kB|tok/s|tokens?|requests?|times|hours?|months?|minutes|min|ms|s|h|W|kWh"
    r"|kW|GHz|MHz|bpw|bits?|×|[A-Z]{3}"
)
_MEASURED: Final = re.compile(rf"(?:–{_WHOLE}(?:\.\d+)?)?(?:%| ?(?:{_UNITS})(?![\w]))")
_BARE: Final = re.compile(rf"(?:[+−-]|tight |RAM )?{_WHOLE}(?:\.\d+)?(?: … {_WHOLE}(?:\.\d+)?.*)?")
"""A cell that is a figure and nothing else."""
_NUMBER: Final = re.compile(_FIGURE)
_BYTES: Final = re.compile(rf"(?<![\w.,/:=-])({_WHOLE}(?:\.\d+)?) (GiB|MiB|KiB)(?!\w)")
_DECIMAL: Final = {"GiB": (GIB, GB, "GB"), "MiB": (MIB, 10**6, "MB"), "KiB": (1024, 1000, "kB")}
_MONEY: Final = re.compile(
    r"(?<![\w.,/:=-])(\d[\d.,'’\u202f\xa0]*)(–\d[\d.,'’\u202f\xa0]*)? ([A-Z]{3})(?!\w)"
)
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_DATE: Final = re.compile(rf"\b(\d{{1,2}}) ({'|'.join(_MONTHS)}) (\d{{4}})\b")


def is_region(name: str) -> bool:
    """Whether Qt (CLDR) knows a locale of that name; empty is the international one."""
    return not name or QLocale(name).language() != QLocale.Language.C


@dataclass(frozen=True)
class Convention:
    """A region's way of writing figures. ``region`` is a locale's name; empty: international."""

    region: str = ""
    decimal_bytes: bool = False
    """Memory in GB (10⁹ bytes) instead of GiB (2³⁰)."""

    def block(self, block: Block) -> Block:
        """A block in this convention; commands are copied to a shell and stay as they are."""
        return block if isinstance(block, Command) else block.with_texts(self.text)

    def text(self, text: str) -> str:
        """A text in this convention."""
        if self.decimal_bytes:
            text = _BYTES.sub(_to_decimal, text)
        if not self.region:
            return text
        bare = _BARE.fullmatch(text) is not None

        def written(match: re.Match[str]) -> str:
            grouped = "," in match["whole"]
            figure = match["part"] and (bare or _MEASURED.match(text, match.end()))
            return self.number(match.group()) if grouped or figure else match.group()

        text = _NUMBER.sub(written, text)
        return _DATE.sub(self._date, _MONEY.sub(self._money, text))

    def number(self, figure: str) -> str:
        """``"1,234.5"`` as the region writes it, with the digits that it has."""
        locale = self._locale
        if not self.region or locale.zeroDigit() != "0":  # other digits than the text around it
            return figure
        whole, point, part = figure.replace(",", "").partition(".")
        return locale.toString(int(whole)) + (locale.decimalPoint() + part if point else "")

    @property
    def _locale(self) -> QLocale:
        return QLocale(self.region)

    def _money(self, match: re.Match[str]) -> str:
        amount, to, code = match[1], match[2] or "", match[3]
        locale = self._locale
        if code != locale.currencySymbol(QLocale.CurrencySymbolFormat.CurrencyIsoCode):
            return match.group()
        symbol = locale.currencySymbol() or code
        pattern = locale.toCurrencyString(1, symbol).replace("\u200f", "")
        before, one, after = pattern.partition("1")
        if not one:
            return match.group()
        space = "\u00a0" if "\u00a0" in after else ""
        return f"{before}{amount}{to}" if before else f"{amount}{to}{space}{symbol}"

    def _date(self, match: re.Match[str]) -> str:
        day, month, year = int(match[1]), match[2], int(match[3])
        if self.region == "en_US":
            return f"{month} {day}, {year}"
        if self.region.startswith("en"):
            return f"{day} {month} {year}"
        form = self._locale.dateFormat(QLocale.FormatType.ShortFormat)
        if "yyyy" not in form:
            form = form.replace("yy", "yyyy")
        date = QDate(year, _MONTHS.index(month) + 1, day)
        return QLocale.c().toString(date, form).replace("\u200f", "")


def day(date: datetime, region: str) -> str:
    """``"23 November 2026"``, or as the region writes it."""
    return Convention(region).text(f"{date.day} {date:%B %Y}")


def _to_decimal(match: re.Match[str]) -> str:
    """A rounded figure in the other unit; at most one unit in its last place off."""
    figure, unit = match[1], match[2]
    digits = len(figure.partition(".")[2])
    binary, decimal, name = _DECIMAL[unit]
    size = float(figure.replace(",", "")) * binary
    return f"{size / decimal:,.{digits}f} {name}"
