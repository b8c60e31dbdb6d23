"""The card that holds a probe's memory against its plan, part by part."""

from collections.abc import Mapping, Sequence

from advisor import units
from advisor.basis import Basis, Explanation
from advisor.probe.consequences import consequences
from advisor.probe.result import PlaceResult, ProbeResult
from advisor.sizing.plan import DevicePlan, HostPlan, Plan
from advisor.ui.design import Series
from advisor.ui.widgets.basics import Card, text
from advisor.ui.widgets.figure_list import FigureList, Line

FEW = 2
"""So many devices are shown in all their parts."""


class MemoryCard(Card):
    """Per part: what llama.cpp allocated, what was planned, and the difference."""

    def __init__(self) -> None:
        super().__init__("")
        self._title = text(self.tr("Measured against predicted"), "title")
        self.body.addWidget(self._title)
        self.figures = FigureList()
        self.body.addWidget(self.figures)
        self._explanations: Mapping[str, Explanation] = {}
        self._ended = True
        """The run that is shown came to its end."""
        self._later = text("", "small", wrap=True)
        self.body.addWidget(self._later)
        self._follows = text("", wrap=True)
        self.body.addWidget(self._follows)
        self._words: dict[str, tuple[str, Series]] = {
            "weights": (self.tr("Weights"), "weights"),
            "context": (self.tr("Context"), "context"),
            "compute": (self.tr("Compute"), "compute"),
            "output": (self.tr("Output"), "output"),
            "draft": (self.tr("Drafting"), "output"),
            "projector": (self.tr("Projector"), "weights"),
            "driver": (self.tr("Driver"), "driver"),
            "program": (self.tr("llama.cpp"), "driver"),
        }

    # before

    def show_plan(self, plan: Plan, program: int | None) -> None:
        """What is predicted, before anything ran; ``program``: bytes of llama.cpp itself."""
        self._title.setText(self.tr("Predicted"))
        self._explanations = plan.explanations
        devices, lines = plan.devices, list[Line]()
        if len(devices) > FEW:
            tightest = min(devices, key=lambda d: 1 << 62 if d.headroom is None else d.headroom)
            lines += self._device(tightest)
            lines.append(Line(self.tr("The others")))
            lines += [
                self._line(device.name, device.total, opens=f"{device.name}.total")
                for device in devices
                if device is not tightest
            ]
        else:
            for device in devices:
                lines += self._device(device)
        lines += self._host(plan.host, program)
        self.figures.show_lines(lines)
        self._say_later(plan.host)

    def _device(self, plan: DevicePlan) -> list[Line]:
        parts = (
            ("weights", plan.weights),
            ("context", plan.context),
            ("compute", plan.compute),
            ("draft", plan.draft),
            ("projector", plan.projector),
            ("driver", plan.driver),
        )
        return [Line(f"{plan.title} ({plan.name})"), *self._planned(plan.name, parts)]

    def _host(self, plan: HostPlan, program: int | None) -> list[Line]:
        parts = (
            ("weights", plan.weights),
            ("context", plan.context),
            ("compute", plan.compute),
            ("output", plan.output),
            ("draft", plan.draft),
            ("projector", plan.projector),
            ("program", program or 0),
        )
        return [Line(self.tr("RAM")), *self._planned("host", parts)]

    def _planned(self, place: str, parts: Sequence[tuple[str, int | None]]) -> list[Line]:
        return [
            self._line(self._words[key][0], size, key, opens=f"{place}.{key}")
            for key, size in parts
            if size != 0
        ]

    def _line(self, name: str, size: int | None, key: str = "", *, opens: str) -> Line:
        basis = None if size is None else Basis.COMPUTED
        swatch = self._words[key][1] if key else None
        found = self._explanations.get(opens)
        return Line(name, units.size(size), basis=basis, swatch=swatch, explanation=found)

    def _say_later(self, host: HostPlan) -> None:
        """What a server that runs for long takes beside: a probe keeps no prompts."""
        parts = (
            (self.tr("prompt cache"), host.prompt_cache),
            (self.tr("context checkpoints"), host.checkpoints),
        )
        no_limit = self.tr("without limit")
        words = [
            f"{name} {no_limit if size is None else units.size(size)}"
            for name, size in parts
            if size != 0
        ]
        sentence = self.tr("Not part of a probe: in use, RAM may also hold at most: {parts}.")
        self._later.setText(sentence.format(parts=", ".join(words)) if words else "")
        self._later.setVisible(bool(words))
        self._follows.hide()

    # after

    def show_result(self, result: ProbeResult) -> None:
        """What was measured, against what was predicted; of many devices the tightest in parts."""
        self._ended = result.ending.state == "done"
        whole, part = self.tr("Measured against predicted"), self.tr("Measured until it ended")
        self._title.setText(whole if self._ended else part)
        self._later.hide()
        lines: list[Line] = []
        places = [place for place in result.places if place.planned or place.peak]
        devices = [place for place in places if place.name != "host"]
        if len(devices) > FEW:
            tightest = min(devices, key=_left)
            lines += self._place(tightest)
            lines.append(Line(self.tr("Peak of the others")))
            lines += [self._peak(p, p.name) for p in devices if p is not tightest]
            places = [place for place in places if place.name == "host"]
        for place in places:
            lines += self._place(place)
        self.figures.show_lines(lines)
        follows = consequences(result)
        self._follows.setText("\n".join(follows))
        self._follows.setVisible(bool(follows))

    def _place(self, place: PlaceResult) -> list[Line]:
        title = place.title if place.name == "host" else f"{place.title} ({place.name})"
        lines = [Line(title)]
        for part in place.components:
            if not part.planned and not part.engine:
                continue
            name, series = self._words[part.name]
            known = part.engine is not None
            # The driver's share is what the log does not account for: only a whole run tells it.
            if not self._ended and (not known or part.name == "driver"):
                continue
            value = units.size(part.engine if known else part.planned)
            note = "" if part.planned is None else self._difference(part.engine, part.planned)
            # The log of a run is still llama.cpp's accounting; these two are from readings.
            read = part.name in {"program", "driver"}
            logged = Basis.MEASURED if read else Basis.DRY_RUN
            basis = logged if known else Basis.COMPUTED
            lines.append(Line(name, value, basis=basis, swatch=series, note=note))
        return [*lines, self._peak(place, self.tr("Peak"))]

    def _peak(self, place: PlaceResult, name: str) -> Line:
        return Line(
            name,
            units.size(place.peak),
            basis=Basis.MEASURED if place.peak is not None else None,
            note="" if place.planned is None else self._difference(place.peak, place.planned),
        )

    def _difference(self, measured: int | None, planned: int) -> str:
        # What was not yet reached says nothing about the prediction.
        if measured is None or not planned or not self._ended:
            return ""
        difference = measured - planned
        if abs(difference) < units.MIB // 2:
            return self.tr("as predicted")
        sign = "+" if difference > 0 else "−"
        share = f" ({sign}{abs(difference) / planned:.1%})" if abs(difference) < planned else ""
        return f"{sign}{units.size(abs(difference))}{share}"


def _left(place: PlaceResult) -> int:
    return 1 << 62 if place.lowest_free is None else place.lowest_free
