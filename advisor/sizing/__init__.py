"""Pure functions from rig, model and settings to a plan."""

from advisor.sizing.planner import size

__all__ = ["size"]
