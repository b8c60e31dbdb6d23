"""What commands print: results on stdout, messages on stderr; and their exit status."""

import json
import sys
from typing import Any

DONE, NO, USAGE = 0, 1, 2
"""Exit statuses: done, said no, bad usage."""


def say(text: str = "") -> None:
    """A line of the result."""
    sys.stdout.write(text + "\n")


def complain(text: str) -> None:
    """A message for people."""
    sys.stderr.write(f"rig-advisor: {text}\n")


def say_json(value: Any) -> None:  # noqa: ANN401 - anything JSON can hold
    """One JSON object on one line."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")


def table(rows: list[list[str]], *, right: int = 1) -> None:
    """Aligned columns; the first ``right`` columns to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(max(map(len, rows)))]
    for row in rows:
        cells = [
            cell.ljust(widths[i]) if i < right else cell.rjust(widths[i])
            for i, cell in enumerate(row)
        ]
        say("  ".join(cells).rstrip())
