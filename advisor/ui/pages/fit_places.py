"""Where a token's time goes: every memory's part, which holds the others back, what would help."""

import re
from typing import Final

from advisor import units
from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.sizing.bottleneck import (
    by_place,
    decode_bottleneck,
    explain_place,
    layers_of,
    prefill_bottleneck,
)
from advisor.sizing.plan import Plan
from advisor.ui import services
from advisor.ui.jobs import Job, run_task
from advisor.ui.widgets.basics import Card, clear, column, text
from advisor.ui.widgets.figure_list import FigureList, Line

_CUDA0: Final = re.compile(r" \([A-Z]+\d+\)$")
"""llama.cpp's name of a device, behind the card's."""


class PlacesCard(Card):
    """Hidden where the speed is unknown."""

    def __init__(self) -> None:
        super().__init__(self.tr("What holds it back"), note=self.tr("per token"))
        self._decode = text("", wrap=True)
        self._rows = FigureList(spacing=0)
        self._lines: tuple[Line, ...] = ()
        self._prefill = text("", "muted", wrap=True)
        self._changes = column(spacing=7)
        self._job: Job | None = None
        self.body.addWidget(self._decode)
        self.body.addWidget(self._rows)
        self.body.addWidget(self._prefill)
        self.body.addLayout(self._changes)

    def show_plan(self, plan: Plan, model: Model, rig: Rig, probes: services.Probes) -> None:
        """Another plan; what changes would do follows from a worker thread."""
        if self._job is not None:
            self._job.cancel()
            self._job = None
        places = by_place(plan, plan.speed.decode_terms)
        self.setVisible(bool(places))
        if not places:
            return
        clear(self._changes)
        self._decode.setText(decode_bottleneck(plan))
        said = prefill_bottleneck(plan)
        self._prefill.setText(said)
        self._prefill.setVisible(bool(said))
        # Where no card is there twice, its name is enough.
        short = [_CUDA0.sub("", place.name) for place in places]
        if len(set(short)) < len(short):
            short = [place.name for place in places]
        self._lines = tuple(
            Line(
                name,
                units.duration(place.seconds),
                basis=plan.speed.basis,
                explanation=explain_place(plan, place),
                note=" · ".join(filter(None, (layers_of(plan, place), f"{place.share:.0%}"))),
            )
            for name, place in zip(short, places, strict=True)
        )
        self._rows.show_lines(self._lines)
        settings = plan.settings
        self._job = run_task(
            lambda _job: services.card_findings(model, rig, settings, probes, plan),
            on_result=self._show_changes,
            owner=self,
        )

    def _show_changes(self, found: services.CardFindings) -> None:
        if found.traffic is not None:
            (size, share), explanation = found.traffic
            sent = Line(self.tr("Sent per token"), size, explanation=explanation, note=share)
            self._rows.show_lines((*self._lines, sent))
        for sentence in found.sentences:
            said = text(sentence, wrap=True)
            self._changes.addWidget(said)
            said.show()
