"""Pure functions from rig, model and settings to a plan."""

from advisor.sizing.planner import size, size_anywhere

__all__ = ["size", "size_anywhere"]
