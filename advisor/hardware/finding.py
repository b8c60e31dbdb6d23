"""One thing to know about a rig, as `doctor` says it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Severity = Literal["problem", "warning", "info"]


class Finding(BaseModel):
    """One thing to know. Sentences for the screen."""

    model_config = ConfigDict(frozen=True)

    code: str
    """Stable name: ``"pcie-width"``."""
    severity: Severity
    subject: str
    """The device's name, ``"Host"``, or ``"Rig"``."""
    device_index: int | None = None
    """Its place in ``Rig.devices``."""
    title: str
    text: str
    advice: str = ""
    """What to do; empty where nothing needs doing."""

    @property
    def sentence(self) -> str:
        """Subject, title and text in one line."""
        named = self.subject in {"Rig", "Host"} or self.subject in self.title
        return (
            f"{self.title}. {self.text}" if named else f"{self.subject}: {self.title}. {self.text}"
        )
