"""What commands print: results on stdout, messages on stderr; and their exit status."""

import codecs
import json
import sys
from typing import Any, Final, TextIO

DONE, NO, USAGE = 0, 1, 2
"""Exit statuses: done, said no, bad usage."""


_PLAIN: Final = str.maketrans(
    {"…": "...", "“": '"', "”": '"', "’": "'", "×": "x", "−": "-", "–": "-", "±": "+-", "≥": ">="}
    | {"≤": "<=", "→": "->", "·": "-", "²": "2", "³": "3", "⁹": "9", "⁰": "0", "\u202f": " "}
)
_ERRORS: Final = "rig-advisor-plain"


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_PLAIN)
    return text.encode("ascii", "replace").decode("ascii"), error.end


def write_plainly_where_needed() -> None:
    """Standard output and error take any text, also where a terminal or a pipe has no UTF-8:
    what its encoding lacks is written in plain letters instead of ending the command.
    """
    codecs.register_error(_ERRORS, _plain)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors=_ERRORS)


def _has_unicode(stream: TextIO) -> bool:
    return (stream.encoding or "").lower().replace("-", "") in {"utf8", "utf16", "utf32"}


_CONTROLS: Final = {n: None for n in (*range(32), *range(127, 160)) if chr(n) not in "\n\t"}
"""What would steer a terminal: names of files and what their makers wrote may hold it."""


def say(text: str = "") -> None:
    """A line of the result."""
    sys.stdout.write(text.translate(_CONTROLS) + "\n")


def complain(text: str) -> None:
    """A message for people."""
    sys.stderr.write(f"rig-advisor: {text.translate(_CONTROLS)}\n")


def say_json(value: Any) -> None:  # noqa: ANN401 - anything JSON can hold
    """One JSON object on one line; other encodings than Unicode's get its escapes."""
    plain = not _has_unicode(sys.stdout)
    sys.stdout.write(json.dumps(value, ensure_ascii=plain, separators=(",", ":")) + "\n")


def table(rows: list[list[str]], *, right: int = 1) -> None:
    """Aligned columns; the first ``right`` columns to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(max(map(len, rows)))]
    for row in rows:
        cells = [
            cell.ljust(widths[i]) if i < right else cell.rjust(widths[i])
            for i, cell in enumerate(row)
        ]
        say("  ".join(cells).rstrip())
