"""Run settings as a form: the names are llama.cpp's, the words are for people."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, Final, cast

from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGridLayout,
    QLineEdit,
    QSizePolicy,
    QSpinBox,
    QWidget,
)

from advisor.sizing.settings import RunSettings
from advisor.ui import services
from advisor.ui.pieces import Pieces
from advisor.ui.state import AppState
from advisor.ui.widgets.basics import text

KV_TYPES: Final = ("f16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl", "bf16", "f32")
UBATCHES: Final = (64, 128, 256, 512, 1024, 2048, 4096)
COLUMNS: Final = 3
LEAST_FIELD: Final = 84


class SettingsForm(QWidget):
    """Shows the session's run settings and changes them one by one. Its fields are ``pieces``."""

    def __init__(self, state: AppState) -> None:
        super().__init__()
        self._state = state
        self._show: list[Callable[[RunSettings], None]] = []
        self._grid = QGridLayout()
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(7)
        self._grid.setVerticalSpacing(7)
        self.setLayout(self._grid)
        self._lines: list[tuple[QWidget | None, QWidget]] = []
        """Label and field, in order; a box that can be ticked is its own label."""
        self._widest: QWidget | None = None
        """Has the rest of its line."""
        self._columns = 0
        self.lay_out(COLUMNS)
        self.pieces = Pieces(self._made())
        for signal in (state.model_changed, state.settings_changed, state.rig_changed):
            signal.connect(self.refresh)

    def _made(self) -> Iterator[None]:
        """Field by field, each in its place and with what the session says."""
        for _field in self._fields():
            self._put(len(self._lines) - 1)
            for (_label, first), (_name, second) in pairwise(self._lines[-2:]):
                QWidget.setTabOrder(first, second)
            self._show[-1](self._state.settings)
            yield

    def _fields(self) -> Iterator[None]:
        types = [(name, name) for name in KV_TYPES]
        self._choice(self.tr("K cache"), "-ctk", "ctk", types)
        yield
        self._choice(self.tr("V cache"), "-ctv", "ctv", types)
        yield
        self._choice(
            self.tr("Flash attention"),
            "-fa",
            "flash_attn",
            [("auto", self.tr("auto")), ("on", self.tr("on")), ("off", self.tr("off"))],
        )
        yield
        self._number(self.tr("Slots"), "-np", "parallel", 1, 256)
        yield
        self._choice(
            self.tr("Micro-batch"), "-ub", "ubatch_size", [(n, f"{n:,}") for n in UBATCHES]
        )
        yield
        self._choice(
            self.tr("Split"),
            "-sm",
            "split_mode",
            [
                ("layer", self.tr("by layers")),
                ("row", self.tr("by rows")),
                ("tensor", self.tr("by tensors")),
                ("none", self.tr("one device")),
            ],
        )
        yield
        self._amount(
            self.tr("Layers on devices"),
            "-ngl",
            "n_gpu_layers",
            [("all", self.tr("all")), ("fit", self.tr("to fit")), (0, self.tr("none"))],
        )
        yield
        self._amount(
            self.tr("Experts in RAM"),
            "-ncmoe",
            "n_cpu_moe",
            [(0, self.tr("none")), ("fit", self.tr("to fit")), ("all", self.tr("all"))],
        )
        yield
        self._choice(
            self.tr("Fit for fast"),
            "--goal",
            "goal",
            [
                ("decode", self.tr("answers")),
                ("prefill", self.tr("prompts")),
                ("balanced", self.tr("both")),
            ],
        )
        yield
        self._flag(self.tr("Fit may shrink KV"), "--fit-kv", "fit_kv")
        yield
        self._flag(self.tr("Context in VRAM"), "-kvo", "kv_offload")
        yield
        self._flag(self.tr("File mapped to RAM"), "--load-mode mmap or none", "mmap")
        yield
        self._flag(self.tr("One context for all slots"), "-kvu", "kv_unified")
        yield
        self._flag(self.tr("Full-size window caches"), "--swa-full", "swa_full")
        yield
        self._choice(
            self.tr("Drafting"),
            "--spec-type",
            "spec_type",
            [
                ("none", self.tr("none")),
                ("draft-simple", self.tr("by a draft model")),
                ("draft-mtp", self.tr("by MTP layers")),
            ],
        )
        yield
        self._text(
            self.tr("Draft model"),
            "-md",
            "model_draft",
            self.tr("file or name"),
            self.tr("a file, or a name in the catalogue"),
        )
        yield
        self._text(
            self.tr("Projector"),
            "--mmproj",
            "mmproj",
            self.tr("file or name"),
            self.tr("an mmproj file, or a name in the catalogue"),
        )
        yield
        self._own_projector()
        yield
        self._text(
            self.tr("Tensors by hand"),
            "-ot",
            "override_tensor",
            self.tr("exps=CPU"),
            self.tr("pattern=CPU, pattern=CUDA0, …"),
        )
        yield
        self._number(self.tr("Prompt cache, MiB"), "--cache-ram", "cache_ram", -1, 1 << 30)
        yield
        self._number(self.tr("Checkpoints"), "--ctx-checkpoints", "ctx_checkpoints", 0, 1 << 20)
        yield
        self._build()
        yield

    def lay_out(self, columns: int) -> None:
        """So many fields side by side, at most three."""
        if columns == self._columns:
            return
        self._columns = columns
        while self._grid.takeAt(0) is not None:
            pass
        for col in range(COLUMNS):
            self._grid.setColumnStretch(col * 2 + 1, int(col < columns))
        for place in range(len(self._lines)):
            self._put(place)

    def _put(self, place: int) -> None:
        label, field = self._lines[place]
        line, col = divmod(place, self._columns)
        if label is None:
            self._grid.addWidget(field, line, col * 2, 1, 2)
        else:
            self._grid.addWidget(label, line, col * 2)
            span = -1 if field is self._widest else 1
            self._grid.addWidget(field, line, col * 2 + 1, 1, span)

    def refresh(self) -> None:
        """Show the session's settings."""
        for show in self._show:
            show(self._state.settings)

    def _add(self, name: str, option: str, widget: QWidget) -> None:
        label = text(name, "muted")
        label.setBuddy(widget)
        # As wide as its column: three of them stand side by side in the narrowest card.
        widget.setMinimumWidth(LEAST_FIELD)
        widget.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        tip = self.tr("{name} ({option})").format(name=name, option=option)
        label.setToolTip(tip)
        widget.setToolTip(tip)
        widget.setAccessibleName(name)
        self._lines.append((label, widget))

    def _choice(
        self, name: str, option: str, field: str, choices: list[tuple[Any, str]]
    ) -> QComboBox:
        box = _Choice()
        for value, words in choices:
            box.addItem(words, value)
        box.activated.connect(
            lambda _index: self._state.change_settings(**{field: box.currentData()})
        )

        def show(settings: RunSettings) -> None:
            value = getattr(settings, field)
            index = box.findData(value)
            if index < 0:
                box.addItem(str(value), value)
                index = box.count() - 1
            box.setCurrentIndex(index)

        self._show.append(show)
        self._add(name, option, box)
        return box

    def _amount(self, name: str, option: str, field: str, choices: list[tuple[Any, str]]) -> None:
        """Words or any number."""
        box = self._choice(name, option, field, choices)
        box.setEditable(True)
        box.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        editor = box.lineEdit()
        if editor is None:
            return
        editor.setAccessibleName(name)

        def entered() -> None:
            typed = editor.text().strip()
            known = {words: value for value, words in choices}
            if typed in known:
                self._state.change_settings(**{field: known[typed]})
            elif typed.isdigit():
                self._state.change_settings(**{field: int(typed)})
            elif typed != str(getattr(self._state.settings, field)):
                self._state.failed.emit(
                    self.tr(
                        "{name}: enter a number or choose from the list, not “{typed}”."
                    ).format(name=name, typed=typed)
                )
                self.refresh()

        editor.editingFinished.connect(entered)

    def _text(self, name: str, option: str, field: str, hint: str, whole: str) -> None:
        """A name, a path or patterns; commas separate several.

        ``hint``: as much as the narrowest field has room for; the tooltip tells the ``whole``.
        """
        line = QLineEdit()
        line.setPlaceholderText(hint)
        line.setClearButtonEnabled(True)

        def show(settings: RunSettings) -> None:
            value: str | tuple[str, ...] = getattr(settings, field)
            line.setText(value if isinstance(value, str) else ",".join(value))
            line.setCursorPosition(0)

        def entered() -> None:
            if line.isModified():
                line.setModified(False)
                self._state.change_settings(**{field: line.text().strip()})
                self.refresh()

        line.editingFinished.connect(entered)
        self._show.append(show)
        self._add(name, option, line)
        line.setToolTip(f"{line.toolTip()}: {whole}")

    def _build(self) -> None:
        """Which llama.cpp: the one that the rig would run, any, or another that is typed."""
        name = self.tr("llama.cpp build")
        box = _Choice()
        box.setEditable(True)
        box.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        for value, words in (("", ""), (services.ANY_BUILD, self.tr("any"))):
            box.addItem(words, value)
        editor = cast("QLineEdit", box.lineEdit())
        editor.setAccessibleName(name)

        def entered() -> None:
            typed = editor.text().strip()
            known = {box.itemText(index): str(box.itemData(index)) for index in range(2)}
            self._state.change_settings(built=known.get(typed, typed))
            self.refresh()

        def show(_settings: RunSettings) -> None:
            # What the session says itself, not what its rig fills in.
            own, rig = self._state.session.settings, self._state.rig
            found = services.build_words(
                services.in_full(own.model_copy(update={"built": ""}), rig)
            )
            looked = rig is not None and rig.llama_cpp is not None
            words = self.tr("{build}, as found") if looked else self.tr("{build}, current")
            box.setItemText(0, words.format(build=found) if found else self.tr("not known"))
            names = {"": box.itemText(0), services.ANY_BUILD: box.itemText(1)}
            box.setCurrentIndex(0)
            box.setEditText(names.get(own.built, own.built))
            editor.setCursorPosition(0)

        box.activated.connect(entered)
        editor.editingFinished.connect(entered)
        self._show.append(show)
        self._add(name, "--built", box)
        self._widest = box  # a build's words are long
        tip = self.tr(
            "Which llama.cpp runs it: a month (2026-08), a build (b10549) or any (--built). "
            "Builds differ in how fast they read prompts, the newest in some buffers, too."
        )
        box.setToolTip(tip)

    def _own_projector(self) -> None:
        """The projector that was published with the model, where the catalogue knows it."""
        name = self.tr("With its own projector")
        box = QCheckBox(name)
        box.setAccessibleName(name)

        def own() -> str:
            choice = self._state.choice
            return "" if choice is None else services.own_projector(choice)

        def show(settings: RunSettings) -> None:
            known = own()
            blocked = box.blockSignals(True)
            box.setChecked(bool(known) and settings.mmproj == known)
            box.blockSignals(blocked)
            box.setEnabled(bool(known))
            box.setToolTip(
                self.tr(
                    "Add the projector that is published with this model, in F16 (--mmproj), "
                    "so that it can see pictures"
                )
                if known
                else self.tr(
                    "The catalogue knows no projector for this model: name its mmproj file"
                )
            )

        box.toggled.connect(lambda on: self._state.change_settings(mmproj=own() if on else ""))
        self._show.append(show)
        self._lines.append((None, box))

    def _number(self, name: str, option: str, field: str, low: int, high: int) -> None:
        box = QSpinBox()
        box.setRange(low, high)
        box.setKeyboardTracking(False)
        box.lineEdit().setTextMargins(6, 0, 0, 0)
        box.valueChanged.connect(lambda value: self._state.change_settings(**{field: value}))

        def show(settings: RunSettings) -> None:
            blocked = box.blockSignals(True)
            box.setValue(getattr(settings, field))
            box.blockSignals(blocked)

        self._show.append(show)
        self._add(name, option, box)

    def _flag(self, name: str, option: str, field: str) -> None:
        box = QCheckBox(name)
        box.setToolTip(f"{name} ({option})")
        box.setAccessibleName(name)
        box.toggled.connect(lambda on: self._state.change_settings(**{field: on}))

        def show(settings: RunSettings) -> None:
            blocked = box.blockSignals(True)
            box.setChecked(bool(getattr(settings, field)))
            box.blockSignals(blocked)

        self._show.append(show)
        self._lines.append((None, box))


class _Choice(QComboBox):
    """Its list, a third of what it costs, is made when it is first opened."""

    def showPopup(self) -> None:  # noqa: N802 - Qt's name
        """Wide enough for the words, however narrow the field."""
        self.view().setMinimumWidth(max(130, self.view().sizeHintForColumn(0) + 16))
        super().showPopup()


def settings_in_short(settings: RunSettings, tr: Callable[[str], str]) -> str:
    """The settings that differ between people, in one line."""
    kv = settings.ctk if settings.ctk == settings.ctv else f"{settings.ctk}/{settings.ctv}"
    parts = [
        tr("KV {types}").format(types=kv),
        tr("flash attention {state}").format(state=settings.flash_attn),
        tr("{count} slots").format(count=settings.parallel)
        if settings.parallel > 1
        else tr("1 slot"),
        tr("micro-batch {size}").format(size=settings.ubatch_size),
    ]
    if settings.n_gpu_layers != "all":
        parts.append(f"-ngl {settings.n_gpu_layers}")
    if settings.n_cpu_moe:
        parts.append(f"-ncmoe {settings.n_cpu_moe}")
    if settings.override_tensor:
        parts.append(f"-ot {','.join(settings.override_tensor)}")
    if settings.spec_type != "none" or settings.model_draft:
        parts.append(tr("drafting"))
    if settings.mmproj:
        parts.append(tr("with projector"))
    if settings.built:
        parts.append(tr("llama.cpp {build}").format(build=settings.built))
    if settings.split_mode != "layer":
        parts.append(f"-sm {settings.split_mode}")
    if not settings.kv_offload:
        parts.append(tr("context in RAM"))
    if not settings.mmap:
        parts.append("--load-mode none")
    return " · ".join(parts)
