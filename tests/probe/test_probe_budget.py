"""A run takes about the time that was asked for, on slow and fast machines, by its own clock."""

import pytest

from advisor.engine.client import Progress
from advisor.probe import measure
from advisor.probe.measure import Measurement
from advisor.sizing.settings import RunSettings


class Machine:
    """Stands in for the client, the clock and whoever is told."""

    def __init__(
        self, prefill: float, decode: float, *, fall: float = 1.0, first_s: float = 0.0
    ) -> None:
        """Tokens per second; ``fall``: by how much they are slower behind 16k tokens.

        first_s: what the first prompt of a size takes beside that.
        """
        self._first_s = first_s
        self._sizes: set[int] = set()
        self.now = 0.0
        self.asked = 0
        self._rates, self._fall = (prefill, decode), fall
        self.points: list[tuple[int, int]] = []
        self.prefills: list[float | None] = []
        self.notices: list[str] = []

    def monotonic(self) -> float:
        return self.now

    def complete(self, prompt, n_decode, *, choices, seed):
        del choices, seed
        self.asked += 1
        slow = 1 + (self._fall - 1) * len(prompt) / 16384
        prefill, decode = (rate / slow for rate in self._rates)
        began = self.now
        self.now += len(prompt) / prefill
        self.now += 0.0 if len(prompt) in self._sizes else self._first_s
        self._sizes.add(len(prompt))
        prompt_ms = (self.now - began) * 1000
        for made in range(1, n_decode + 1):
            yield Progress(
                prompt_tokens=len(prompt),
                prompt_ms=prompt_ms,
                made=made,
                made_ms=(made - 1) / decode * 1000,
                token=600,
                finished=made == n_decode,
            )
            self.now += 1 / decode

    def enter(self, name, *, depth=0):
        pass

    def check(self):
        pass

    touch = check

    def notice(self, _kind, sentence):
        self.notices.append(sentence)

    def measured(self, point):
        self.points.append((point.depth, point.n_decode))
        self.prefills.append(point.prefill_tps)


def run(monkeypatch, machine: Machine, seconds: float) -> float:
    monkeypatch.setattr(measure, "time", machine)
    settings = RunSettings(ctx=131072)
    Measurement(settings, seconds, range(1000, 4000), machine).run(machine)
    return machine.now


@pytest.mark.parametrize("seconds", [15.0, 30.0, 60.0])
@pytest.mark.parametrize(
    ("prefill", "decode", "fall"),
    [(6000, 120, 2.5), (1800, 45, 2.0), (300, 20, 1.5), (60, 8, 1.2), (20, 3, 1.0)],
)
def test_the_time_is_used_and_kept(monkeypatch, seconds, prefill, decode, fall):
    machine = Machine(prefill, decode, fall=fall)
    took = run(monkeypatch, machine, seconds)
    assert 0.45 * seconds < took < 1.2 * seconds
    assert machine.points[0][0] == 0
    assert len(machine.points) >= 2
    assert not machine.notices


@pytest.mark.parametrize("seconds", [30.0, 60.0])
def test_more_of_the_context_is_filled_where_time_allows(monkeypatch, seconds):
    machine = Machine(1800, 45, fall=1.5)
    run(monkeypatch, machine, seconds)
    depths = [depth for depth, _made in machine.points]
    assert depths[:2] == [0, 512]
    assert depths[2] > 8000


def test_a_machine_that_is_far_too_slow_says_what_it_left_out(monkeypatch):
    machine = Machine(0.6, 0.5)
    run(monkeypatch, machine, 15.0)
    assert [depth for depth, _made in machine.points] == [0]
    assert "15 s for measuring were over" in machine.notices[0]


@pytest.mark.parametrize("seconds", [15.0, 60.0])
def test_a_short_prompt_is_measured_behind_the_first_of_its_size(monkeypatch, seconds):
    """gpt-oss 20B on an H200: 3,739 tok/s at the first prompt of 512, 10,919 behind it."""
    machine = Machine(10_919, 300, first_s=0.09)
    took = run(monkeypatch, machine, seconds)
    assert machine.prefills[1] == pytest.approx(10_919)
    assert took < 1.2 * seconds


def test_where_a_prompt_takes_long_the_first_counts(monkeypatch):
    machine = Machine(60, 8)
    run(monkeypatch, machine, 15.0)
    asked = len(machine.points) + 1
    assert machine.asked == asked
