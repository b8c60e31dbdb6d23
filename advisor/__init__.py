"""Rig Advisor: what a machine can run, how fast, and what to do about it."""

from importlib import metadata

try:
    __version__ = metadata.version("rig-advisor")
except metadata.PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
