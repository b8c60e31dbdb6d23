"""Every error a person can act on. The message is a sentence for the screen and says what to do.

RigAdvisorError
├── ModelError            a model could not be read, found or understood
│   ├── BadModelFile      the file is not a GGUF, is truncated or lies about its lengths
│   └── UnknownModel      no catalogue entry or file of that name
│       └── MissingFile   the file is not where it was
├── RigError              a rig could not be read or composed from text
├── SettingsError         settings contradict each other or llama.cpp would refuse them
├── EngineError           llama.cpp could not be found, started or understood
│   └── EngineCrashed     it ended by itself; ``detail`` holds the end of its log
├── ProbeError            a probe could not start or did not finish
├── PriceError            no price is known for what was asked
├── SessionError          a session file is damaged, newer than this app, or cannot be written
└── ReportError           a report could not be made or written
"""

from pathlib import Path


class RigAdvisorError(Exception):
    """An expected failure. ``str(error)`` is for people, ``detail`` for the log."""

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


class ModelError(RigAdvisorError):
    """A model could not be read, found or understood."""


class BadModelFile(ModelError):  # noqa: N818 - reads as the sentence it stands for
    """The file is not a GGUF file, is truncated, or its header cannot be trusted."""


class UnknownModel(ModelError):  # noqa: N818
    """No catalogue entry or file of that name."""


class MissingFile(UnknownModel):
    """The model's file is not where it was. ``path`` is where it was looked for."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"There is no file {path}. It was moved, renamed or deleted, or its disk is not there."
        )
        self.path = path


class RigError(RigAdvisorError):
    """A rig could not be read or composed from what was given."""


class SettingsError(RigAdvisorError):
    """Settings contradict each other, or llama.cpp would refuse them."""


class EngineError(RigAdvisorError):
    """llama.cpp could not be found, started or understood."""


class EngineCrashed(EngineError):  # noqa: N818
    """llama.cpp ended by itself; ``detail`` holds the end of its log."""


class ProbeError(RigAdvisorError):
    """A probe could not start or did not finish."""


class PriceError(RigAdvisorError):
    """No price is known for what was asked."""


class SessionError(RigAdvisorError):
    """A session file is damaged, newer than this app, or cannot be written."""


class ReportError(RigAdvisorError):
    """A report could not be made or written."""
