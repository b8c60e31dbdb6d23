"""Reference cases that some checkouts have beside them; tests carry a small copy of the facts."""

from pathlib import Path

TRUTH = Path(__file__).resolve().parents[2] / "shared" / "truth"
"""May not exist."""
