"""The line above the plots: what is run and how it goes, for how long, start and stop."""

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QComboBox, QWidget

from advisor import units
from advisor.probe.question import Question
from advisor.probe.result import Method, Phase, ProbeResult
from advisor.ui.texts import cards_in_short
from advisor.ui.widgets.basics import Chip, Elided, button, column, row, text

BUDGETS = (15, 30, 60)
BENCH = 0
"""In the list of budgets: llama-bench, which takes the time that it takes."""
BENCH_S = 30.0
"""Length of the time axis for llama-bench to begin with."""


class ProbeHead(QWidget):
    """Headline, chip, budget and buttons, and a sentence below them."""

    start_wanted = Signal()
    stop_wanted = Signal()
    method_chosen = Signal()
    """Another time for measuring, or llama-bench."""

    def __init__(self) -> None:
        super().__init__()
        self.run_button = button(self.tr("Start probe"), self.start_wanted.emit, "primary")
        self.stop_button = button(self.tr("Stop"), self._stop, "danger")
        self.stop_button.hide()
        self.budget = QComboBox()
        self.budget.setAccessibleName(self.tr("Time for measuring"))
        for seconds in BUDGETS:
            self.budget.addItem(self.tr("{n} s").format(n=seconds), seconds)
        self.budget.setCurrentIndex(1)
        self.budget.setToolTip(self.tr("Time for measuring, once the model is loaded"))
        self.budget.activated.connect(self.method_chosen)
        self.headline = text("", "title", wrap=True)
        self.ghost = Chip(self.tr("ghost: no weights downloaded"), "tight")
        self.ghost.hide()
        self.state = Elided("", "muted")
        line = row(self.headline, self.budget, self.run_button, self.stop_button)
        line.setStretch(0, 1)
        below = row(self.ghost, self.state)
        below.setStretch(1, 1)
        whole = column(spacing=10)
        whole.addLayout(line)
        whole.addLayout(below)
        self.setLayout(whole)

    @property
    def method(self) -> Method:
        """Prompts of our own, or llama-bench."""
        return "llama-bench" if self.budget.currentData() == BENCH else "server"

    @property
    def seconds(self) -> float:
        """Time for measuring; for llama-bench a guess."""
        return float(self.budget.currentData()) or BENCH_S

    def offer_bench(self, *, offered: bool) -> None:
        """llama-bench is a choice where the llama.cpp in question has one beside it."""
        at = self.budget.findData(BENCH)
        if offered and at < 0:
            self.budget.addItem(self.tr("llama-bench"), BENCH)
            tip = self.tr("512 tokens in, 128 out, five times: comparable with public tables")
            self.budget.setItemData(self.budget.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        elif not offered and at >= 0:
            self.budget.removeItem(at)

    def show_question(self, question: Question) -> None:
        """What would be run."""
        words = self.tr("{place} while llama.cpp runs {model} {file_type} at {context}")
        self.headline.setText(
            words.format(
                place=cards_in_short(question.rig) or self.tr("RAM"),
                model=question.model.name,
                file_type=question.model.file_type,
                context=units.tokens(question.settings.ctx),
            )
        )
        self.run_button.setText(self.tr("Start probe"))
        self.ghost.setVisible(question.model.whole is None)
        self.state.say(self.tr("Nothing runs yet; this is what is predicted."))

    def _stop(self) -> None:
        """Said at once: a child that does not listen is given a few seconds."""
        self.state.say(self.tr("Stopping") + " …")
        self.stop_wanted.emit()

    def begin(self) -> None:
        """A run begins."""
        self.run_button.hide()
        self.budget.hide()
        self.stop_button.show()
        self.stop_button.setFocus()

    def end(self) -> None:
        """A run is over."""
        self.budget.show()
        self.run_button.show()
        self.run_button.setEnabled(True)
        if self.stop_button.hasFocus():  # else it would go to whatever comes next
            self.run_button.setFocus()
        self.stop_button.hide()

    def show_phase(self, phase: Phase) -> None:
        """Where a run is."""
        words = {
            "starting": self.tr("Starting llama.cpp"),
            "loading": self.tr("Loading the model"),
            "warm-up": self.tr("Warming up"),
            "prefill": self.tr("Reading a prompt"),
            "decode": self.tr("Generating behind {depth} tokens")
            if phase.depth
            else self.tr("Generating, the context still empty"),
            "stopping": self.tr("Stopping"),
        }
        self.state.say(words[phase.name].format(depth=units.tokens(phase.depth)) + " …")

    def _ending(self, result: ProbeResult) -> str:
        """How it ended; where somebody stopped it, during what."""
        last = next((p.name for p in reversed(result.phases) if p.name != "stopping"), None)
        if result.ending.state != "stopped" or last is None:
            return result.ending.sentence
        return {
            "starting": self.tr("The probe was stopped before llama.cpp had started."),
            "loading": self.tr("The probe was stopped while the model was loaded."),
            "warm-up": self.tr("The probe was stopped while it warmed up."),
            "prefill": self.tr("The probe was stopped while it read a prompt."),
            "decode": self.tr("The probe was stopped while it generated."),
        }[last]

    def show_result(self, result: ProbeResult) -> None:
        """What was run, and how it ended."""
        self.run_button.setText(self.tr("Probe again"))
        words = self.tr("{model} at {context}")
        if result.method == "llama-bench":
            words = self.tr("{model} by llama-bench")
        context = units.tokens(result.settings.ctx)
        self.headline.setText(words.format(model=result.title, context=context))
        self.ghost.setVisible(result.ghost)
        self.ghost.show_tone(self._ghost_words(result), "tight")
        self.state.say(self._ending(result))

    def _ghost_words(self, result: ProbeResult) -> str:
        if result.layers is None:
            return self.tr("ghost: no weights downloaded")
        few, more, count = result.layers
        words = self.tr("extrapolated from {few} and {more} of {count} layers")
        return words.format(few=few, more=more, count=count)
