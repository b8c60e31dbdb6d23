"""What was asked before: each change of the question can be taken back, and made again."""

from typing import Final

from advisor.session import Session

ASKED: Final = ("rig", "model", "scenario", "settings", "usage")
"""Fields that a person changes; what probes measured has its own undo where it is deleted."""
MOST: Final = 100
"""Changes that can be taken back."""


class History:
    """Sessions before the present one and, after some were taken back, those after it."""

    def __init__(self) -> None:
        self._before: list[Session] = []
        self._after: list[Session] = []

    @property
    def can_undo(self) -> bool:
        """Whether there is a change to take back."""
        return bool(self._before)

    @property
    def can_redo(self) -> bool:
        """Whether a change was taken back."""
        return bool(self._after)

    def clear(self) -> None:
        """Another document: what was asked in the one before is not of it."""
        self._before.clear()
        self._after.clear()

    def changed(self, before: Session, now: Session) -> None:
        """Somebody changed the session; what was taken back before is gone."""
        if changed_fields(before, now):
            self._before = [*self._before[1 - MOST :], before]
            self._after.clear()

    def undo(self, now: Session) -> Session | None:
        """``now`` with the question before the last change; None where there is none."""
        return _exchange(self._before, self._after, now)

    def redo(self, now: Session) -> Session | None:
        """``now`` with the question that was taken back last; None where none was."""
        return _exchange(self._after, self._before, now)


def changed_fields(one: Session, other: Session) -> tuple[str, ...]:
    """What was asked differently."""
    return tuple(name for name in ASKED if getattr(one, name) != getattr(other, name))


def _exchange(taken: list[Session], kept: list[Session], now: Session) -> Session | None:
    if not taken:
        return None
    there = taken.pop()
    kept.append(now)
    # A record that was opened is complete again once what was asked of it is.
    alike = there.probes == now.probes
    outcome = there.outcome if alike else None
    fields = {name: getattr(there, name) for name in ASKED}
    return now.model_copy(update={**fields, "outcome": outcome})
