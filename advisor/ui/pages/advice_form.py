"""The usage as a form: presets, what is asked of a model, rules, prices, the machine's limits."""

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from itertools import chain
from typing import Any, Final

from pydantic import ValidationError
from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QComboBox, QGridLayout, QLabel, QLineEdit, QWidget

from advisor.advice.usage import LOSS_WORDS, Usage, places, presets
from advisor.errors import ModelError
from advisor.llm.catalogue import catalogue
from advisor.ui.pages.advice_numbers import Bounds, Kind, parse, shown
from advisor.ui.pages.advice_prices import PricesDialog
from advisor.ui.pieces import Pieces
from advisor.ui.state import AppState
from advisor.ui.widgets.basics import button, column, row, text

FIELD_WIDTH: Final = 124
_NAMES_WIDTH: Final = 172
"""Of a box whose entries are names, longer than a number."""
_POPUP_WIDTH: Final = 250
_LIMITS: Final = "limits."


class UsageForm(QWidget):
    """Shows the session's usage; a finished entry replaces it, a wrong one is told and kept.

    Its fields are ``pieces``.
    """

    refused = Signal(str)
    """A sentence about what cannot be, with the field's name as the form calls it."""
    accepted = Signal()

    def __init__(self, state: AppState) -> None:
        super().__init__()
        self._state = state
        self.fields: dict[str, QLineEdit | QComboBox] = {}
        self._names: dict[str, str] = {}
        self._bounds: dict[str, Bounds] = {}
        self._money_labels: list[tuple[QLabel, str]] = []
        self.preset = self._preset_box()
        self.place = self._place_box()
        self.also = QLineEdit()
        main, further = _grid(), _grid()
        self._layout = column(main, spacing=6)
        self.setLayout(self._layout)
        self.more = QWidget()
        """Further inputs and limits, folded away."""
        self.more.hide()
        self.more.setLayout(further)
        toggle = button(self.tr("More"), role="segment", tip=self.tr("Further inputs and limits"))
        toggle.setCheckable(True)
        toggle.toggled.connect(self._unfold)
        self.prices = button(
            self.tr("Prices…"),
            lambda: self.ask_prices(""),
            "segment",
            tip=self.tr("What cards, machines and parts cost; enter your own prices"),
        )
        self._layout.addLayout(row(toggle, self.prices, None))
        self._layout.addWidget(self.more)
        self._layout.addStretch(1)
        self.pieces = Pieces(self._made(main, further))
        state.usage_changed.connect(self.refresh)
        self.refresh()

    def _made(self, main: QGridLayout, further: QGridLayout) -> Iterator[None]:
        """Field by field, each with what the session says."""
        for _field in chain(self._fill_main(main), self._fill_more(further)):
            self._show(self._state.usage, list(self.fields)[-1:])
            yield

    def _unfold(self, shown: bool) -> None:
        self.pieces.all()
        self.more.setVisible(shown)

    # fields

    def _preset_box(self) -> QComboBox:
        box = QComboBox()
        box.addItem(self.tr("your own"), None)
        for preset in presets():
            box.addItem(preset.title, preset.id)
            box.setItemData(box.count() - 1, preset.source, Qt.ItemDataRole.ToolTipRole)
        box.view().setMinimumWidth(_POPUP_WIDTH)
        box.activated.connect(self._take_preset)
        return box

    def _place_box(self) -> QComboBox:
        box = QComboBox()
        box.addItem(self.tr("your own"), None)
        for place in places():
            box.addItem(place.title.removesuffix(", home"), place.id)
            source = f"{place.title}, {place.date}, {place.source}"
            box.setItemData(box.count() - 1, source, Qt.ItemDataRole.ToolTipRole)
        box.view().setMinimumWidth(_POPUP_WIDTH)
        box.activated.connect(self._take_place)
        return box

    def _fill_main(self, grid: QGridLayout) -> Iterator[None]:
        tr = self.tr
        self._add(grid, tr("Start from"), self.preset, names=True)
        yield
        self._number(grid, tr("Requests a month"), "requests_per_month", "count", 1, 1_000_000)
        yield
        self._number(grid, tr("Prompt, tokens"), "prompt_tokens", "tokens", 1, 10_000_000)
        yield
        self._number(grid, tr("of it repeated, %"), "cached_share", "percent", 0, 100)
        yield
        self._number(grid, tr("Answer, tokens"), "output_tokens", "tokens", 1, 1_000_000)
        yield
        self._number(grid, tr("Context wanted, tokens"), "context", "tokens", 256, 1 << 27)
        yield
        self._number(grid, tr("At least, tok/s"), "min_decode_tps", "amount", 0, 100_000)
        yield
        self._number(
            grid, tr("First token within, s"), "max_ttft_s", "amount", "0.01", 1e6, none=tr("any")
        )
        yield
        self._choice(
            grid, tr("Quality loss at most"), "max_loss", [(word, word) for word in LOSS_WORDS]
        )
        yield
        self._yes_no(grid, tr("Data may leave"), "data_may_leave")
        yield
        self._number(grid, tr("Hours a day"), "hours_per_day", "amount", "0.1", 24)
        yield
        self._add(grid, tr("Electricity in"), self.place, names=True)
        yield
        self._money(grid, tr("Electricity, {currency}/kWh"), "electricity_price")
        yield
        self._number(grid, tr("Horizon, months"), "horizon_months", "count", 1, 120)
        yield
        self._money(grid, tr("Budget, {currency}"), "budget", none=tr("no limit"))
        yield

    def _fill_more(self, grid: QGridLayout) -> Iterator[None]:
        tr = self.tr
        self._fill_also(grid)
        yield
        box = QLineEdit()
        box.setMaxLength(3)
        box.editingFinished.connect(self._entered)
        self.fields["currency"] = box
        self._names["currency"] = tr("Currency")
        self._add(grid, tr("Currency"), box)
        yield
        self._money(grid, tr("{currency} for one US dollar"), "usd_rate", low="0.000001")
        yield
        self._money(grid, tr("A change must save, {currency}/month"), "worth_changing")
        yield
        self._number(grid, tr("Resale value, %"), "resale_share", "percent", 0, 100)
        yield
        self._choice(
            grid,
            tr("Between requests"),
            "idle",
            [("counts", tr("idles")), ("off", tr("off")), ("on anyway", tr("on anyway"))],
        )
        yield
        self._yes_no(grid, tr("Must work offline"), "must_work_offline")
        yield
        self._yes_no(grid, tr("Only APIs with same weights"), "same_model_api_only")
        yield
        self._yes_no(grid, tr("Answers may take a day"), "batch_ok")
        yield
        even = tr("even")
        self._number(grid, tr("In API peak hours, %"), "peak_share", "percent", 0, 100, none=even)
        yield
        self._number(grid, tr("Long requests, %"), "long_share", "percent", 0, 100)
        yield
        self._number(grid, tr("Long prompt, tokens"), "long_prompt_tokens", "tokens", 0, 10_000_000)
        yield
        self._yes_no(grid, tr("Used parts acceptable"), "limits.used_parts")
        yield
        self._yes_no(grid, tr("Server cards without fans"), "limits.server_cards")
        yield
        self._yes_no(grid, tr("Must be quiet"), "limits.quiet")
        yield
        self._yes_no(grid, tr("New machine needs Windows"), "limits.needs_windows")
        yield
        for name, key, low, high in (
            (tr("Free slots for cards"), "limits.free_slots", 0, 16),
            (tr("Widest card, slots"), "limits.card_width", 1, 5),
            (tr("PCIe lanes for cards"), "limits.lanes", 0, 256),
            (tr("Power supply, W"), "limits.supply_w", 0, 10_000),
            (tr("RAM the board takes, GiB"), "limits.max_ram_gib", 0, 65_536),
        ):
            self._number(grid, name, key, "count", low, high, none=tr("not known"))
            yield

    def _fill_also(self, grid: QGridLayout) -> None:
        """Other models that would do as well, by name."""
        self.also.setPlaceholderText(self.tr("names, with commas"))
        self.also.setToolTip(
            self.tr("Models of the catalogue that would do as well: Qwen3 30B-A3B, gpt-oss 120B")
        )
        self.also.editingFinished.connect(self._take_also)
        self._add(grid, self.tr("Other models"), self.also, names=True)

    def _take_also(self) -> None:
        """Models by their names; one that is not known is told, with what comes near."""
        names = [name.strip() for name in self.also.text().split(",") if name.strip()]
        try:
            found = dict.fromkeys(catalogue().find(name).id for name in names)
        except ModelError as error:
            self.refused.emit(str(error))
            return
        self._take({"also": tuple(found)})

    def _add(self, grid: QGridLayout, name: str, widget: QWidget, *, names: bool = False) -> QLabel:
        label = text(name, "muted", wrap=not names)
        label.setBuddy(widget)
        widget.setAccessibleName(name)
        widget.setFixedWidth(_NAMES_WIDTH if names else FIELD_WIDTH)
        line = grid.rowCount()
        if names:
            grid.addLayout(row(label, None, widget), line, 0, 1, 2)
        else:
            grid.addWidget(label, line, 0)
            grid.addWidget(widget, line, 1)
        return label

    def _number(  # noqa: PLR0917 - one line of the form per line of code
        self,
        grid: QGridLayout,
        name: str,
        key: str,
        kind: Kind,
        low: float | str,
        high: float | str,
        *,
        none: str = "",
    ) -> QLabel:
        box = QLineEdit()
        box.setAlignment(Qt.AlignmentFlag.AlignRight)
        box.editingFinished.connect(self._entered)
        self.fields[key], self._names[key] = box, name
        self._bounds[key] = Bounds(kind, Decimal(str(low)), Decimal(str(high)), none)
        return self._add(grid, name, box)

    def _money(
        self, grid: QGridLayout, name: str, key: str, *, low: str = "0", none: str = ""
    ) -> None:
        label = self._number(grid, name, key, "amount", low, "1000000000", none=none)
        self._money_labels.append((label, key))

    def _choice(
        self, grid: QGridLayout, name: str, key: str, choices: list[tuple[Any, str]]
    ) -> None:
        box = QComboBox()
        for value, words in choices:
            box.addItem(words, value)
        box.activated.connect(self._entered)
        self.fields[key], self._names[key] = box, name
        self._add(grid, name, box)

    def _yes_no(self, grid: QGridLayout, name: str, key: str) -> None:
        self._choice(grid, name, key, [(True, self.tr("yes")), (False, self.tr("no"))])

    def ask_prices(self, about: str) -> None:
        """Open the list of prices, at the pieces whose name holds ``about``."""
        dialog = PricesDialog(self._state, self, about=about)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()

    # the session's usage

    def refresh(self) -> None:
        """Show the session's usage."""
        usage = self._state.usage
        self._show(usage, self.fields)
        count = len(usage.own_prices)
        words = self.tr("Prices, {count} yours…") if count else self.tr("Prices…")
        self.prices.setText(words.format(count=count))
        self._mark_preset(usage)
        self._mark_place(usage)
        self.accepted.emit()

    def _show(self, usage: Usage, keys: Iterable[str]) -> None:
        """In these fields, and in the names of those that hold money."""
        values = _flat(usage)
        for key in keys:
            box = self.fields[key]
            if isinstance(box, QComboBox):
                box.setCurrentIndex(box.findData(values[key]))
            elif key in self._bounds:
                box.setText(shown(values[key], self._bounds[key]))
            else:
                box.setText(str(values[key]))
        for label, key in self._money_labels:
            words = self._names[key].format(currency=usage.currency)
            label.setText(words)
            self.fields[key].setAccessibleName(words)
        self.also.setText(", ".join(_called(name) for name in usage.also))
        self.also.setCursorPosition(0)

    def _mark_preset(self, usage: Usage) -> None:
        same = (p.id for p in presets() if _applied(p.apply, usage) == usage)
        self.preset.setCurrentIndex(max(0, self.preset.findData(next(same, None))))
        self.preset.setToolTip(self.preset.currentText())

    def _mark_place(self, usage: Usage) -> None:
        now = (usage.electricity_price, usage.currency)
        same = (p.id for p in places() if (p.price, p.currency) == now)
        self.place.setCurrentIndex(max(0, self.place.findData(next(same, None))))
        self.place.setToolTip(self.place.currentText())

    def _entered(self) -> None:
        """Everything in the form, read together: fields that only fit each other may follow."""
        values: dict[str, Any] = {}
        for key, box in self.fields.items():
            if isinstance(box, QComboBox):
                values[key] = box.currentData()
                continue
            typed = box.text()
            if key not in self._bounds:
                values[key] = typed.strip().upper()
                continue
            try:
                values[key] = parse(typed, self._bounds[key])
            except ValueError:
                self._refuse(key, typed)
                return
        self._take(values)

    def _take(self, values: dict[str, Any]) -> None:
        document = self._state.usage.model_dump()
        for key, value in values.items():
            if key.startswith(_LIMITS):
                document["limits"][key.removeprefix(_LIMITS)] = value
            else:
                document[key] = value
        try:
            usage = Usage.model_validate(document)
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            key = ".".join(str(part) for part in problem["loc"])
            if key in self.fields:
                self._refuse(key, str(values.get(key, "")))
                return
            words = problem["msg"].removeprefix("Value error, ")
            self.refused.emit(f"{words[:1].upper()}{words[1:]}.")
            return
        if usage == self._state.usage:
            self.refresh()
        else:
            self._state.set_usage(usage)

    def _refuse(self, key: str, typed: str) -> None:
        name = self.fields[key].accessibleName()
        if key in self._bounds:
            sentence = self.tr("{name}: enter {range}, not “{typed}”.").format(
                name=name, range=self._bounds[key].in_words(), typed=typed
            )
        else:
            sentence = self.tr("{name}: enter three letters such as EUR, not “{typed}”.").format(
                name=name, typed=typed
            )
        self.refused.emit(sentence)

    def set_requests(self, requests: int) -> None:
        """Another volume, from the plot."""
        self._take({"requests_per_month": requests})

    def _take_preset(self) -> None:
        chosen = next((p for p in presets() if p.id == self.preset.currentData()), None)
        if chosen is not None:
            self._state.set_usage(chosen.apply(self._state.usage))
        self._mark_preset(self._state.usage)

    def _take_place(self) -> None:
        usage = self._state.usage
        chosen = next((p for p in places() if p.id == self.place.currentData()), None)
        if chosen is None:
            self._mark_place(usage)
            return
        self._take({"electricity_price": chosen.price, "currency": chosen.currency})
        if chosen.currency != usage.currency:
            sentence = self.tr(
                "Prices are shown in {currency} now. Enter what a US dollar costs in {currency} "
                "(under More): the rate is still {rate}."
            ).format(currency=chosen.currency, rate=f"{usage.usd_rate.normalize():f}")
            # After the answer to the new usage, which takes earlier sentences away.
            QTimer.singleShot(0, self, lambda: self.refused.emit(sentence))


def _grid() -> QGridLayout:
    """Names at the left, fields at the right."""
    grid = QGridLayout()
    grid.setContentsMargins(0, 0, 0, 0)
    grid.setHorizontalSpacing(8)
    grid.setVerticalSpacing(5)
    grid.setColumnStretch(0, 1)
    return grid


def _called(model_id: str) -> str:
    """A model's name where that finds it again, else its id."""
    try:
        entry = catalogue().find(model_id)
        return entry.name if catalogue().find(entry.name) is entry else entry.id
    except ModelError:
        return model_id


def _flat(usage: Usage) -> dict[str, Any]:
    values = usage.model_dump()
    limits: dict[str, Any] = values.pop("limits")
    return values | {f"{_LIMITS}{key}": value for key, value in limits.items()}


def _applied(apply: Callable[[Usage], Usage], usage: Usage) -> Usage | None:
    try:
        return apply(usage)
    except ValidationError:
        return None
