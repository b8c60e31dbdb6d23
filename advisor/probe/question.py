"""What a probe is asked, and what it tells while it runs."""

from dataclasses import dataclass

from advisor.engine.builds import Build
from advisor.hardware.rig import Rig
from advisor.llm.model import Model
from advisor.probe.result import Method, Observation, Phase, ProbeResult, SpeedPoint
from advisor.sizing.calibration import Calibration
from advisor.sizing.plan import Plan
from advisor.sizing.settings import RunSettings


@dataclass(frozen=True)
class Question:
    """What is to be probed."""

    model: Model
    rig: Rig
    settings: RunSettings
    """Resolved: no "fit"."""
    plan: Plan | None
    """For the rig as the build can use it; None: sizes unknown."""
    build: Build
    method: Method = "server"
    seconds: float = 30.0
    """Time for measuring, once the model is loaded."""
    anyway: bool = False
    """Run in spite of objections that can be overridden."""
    dense_ghost: bool = False
    """The ghost may take on the disk what it claims: its disk has no sparse files."""
    threads: int | None = None
    """CPU threads of the embedded engine; None: its own choice."""
    calibration: Calibration | None = None
    """What earlier probes of this machine changed in what is predicted."""

    @property
    def ghost(self) -> bool:
        """Whether a ghost runs: nobody has the model's file."""
        return self.model.whole is None


@dataclass(frozen=True, slots=True)
class PhaseStarted:
    """Another phase began."""

    phase: Phase


@dataclass(frozen=True, slots=True)
class Measured:
    """A speed is known."""

    point: SpeedPoint


@dataclass(frozen=True, slots=True)
class Noticed:
    """Something a person should know while it runs."""

    observation: Observation


@dataclass(frozen=True, slots=True)
class Ended:
    """It is over; always the last event."""

    result: ProbeResult


ProbeEvent = PhaseStarted | Measured | Noticed | Ended
