"""Pure functions from rig, model and settings to a plan."""
