"""Probes of these tests wait until their ghosts are deleted, however busy the disk is."""

import pytest

from advisor.probe import run


@pytest.fixture(autouse=True)
def ghosts_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "REMOVE_S", 60.0)
