"""Entry point: no arguments or a file opens the window, a command runs without a screen."""

import sys


def main() -> int:
    """Start the window, or the command line when a command is given. Returns the exit status."""
    from advisor import cli  # noqa: PLC0415 - the window must not wait for it

    return cli.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
