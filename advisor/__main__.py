"""Entry point: no arguments or a file opens the window, a command runs without a screen."""

import os
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Start the window, or the command line when a command is given. Returns the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["--engine-worker"]:
        from advisor.engine import worker  # noqa: PLC0415 - a child process that only runs llama.cpp

        return worker.main()
    if _opens_window(words):
        if _lacks_screen():
            sys.stderr.write(
                "rig-advisor: there is no screen here (DISPLAY and WAYLAND_DISPLAY are not set). "
                "“rig-advisor --help” lists what works without one.\n"
            )
            return 2
        from advisor.ui import app  # noqa: PLC0415 - commands need no Qt

        return app.run(words)
    from advisor import cli  # noqa: PLC0415 - the window must not wait for it

    return cli.main(words)


def _lacks_screen() -> bool:
    """Whether Qt would abort for want of one; elsewhere than on Linux there always is one."""
    told = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    return sys.platform == "linux" and not any(os.environ.get(name) for name in told)


def _opens_window(words: list[str]) -> bool:
    if not words:
        return True
    if len(words) != 1 or words[0].startswith("-"):
        return False
    # A file manager passes one path: a session, a report or a model.
    return "." in words[0] or "/" in words[0] or "\\" in words[0]


if __name__ == "__main__":
    sys.exit(main())
