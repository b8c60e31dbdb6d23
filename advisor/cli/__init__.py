"""The services without a screen. Commands are imported when they are called, not before."""

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final, NoReturn

from advisor.cli.output import (
    DONE,
    NO,
    USAGE,
    complain,
    say,
    write_plainly_where_needed,
)
from advisor.errors import RigAdvisorError, SettingsError

__all__ = ["COMMANDS", "main"]


def _size(parser: argparse.ArgumentParser) -> None:
    from advisor.cli import options  # noqa: PLC0415 - pulls in pydantic; only for its commands

    options.add_model(parser)
    options.add_rig(parser)
    options.add_settings(parser)
    parser.add_argument("--batch", metavar="FILE|-", help="one JSON request per line")
    parser.add_argument("--terms", action="store_true", help="every part of the time, by place")


def _matrix(parser: argparse.ArgumentParser) -> None:
    from advisor.cli import options  # noqa: PLC0415 - as above

    options.add_model(parser)
    options.add_rig(parser)
    options.add_settings(parser)
    parser.add_argument(
        "--contexts",
        type=options.token_list,
        metavar="N,N…",
        help="columns (4k and on, as far as the model goes)",
    )


def _best(parser: argparse.ArgumentParser) -> None:
    from advisor.advice.wish import ABILITIES  # noqa: PLC0415 - as above
    from advisor.cli import options  # noqa: PLC0415 - as above

    options.add_rig(parser)
    parser.add_argument(
        "-c", "--ctx", type=options.tokens_of, default=32768, help="context (32768)"
    )
    parser.add_argument(
        "--min-tps", type=options.above(0), default=10.0, metavar="N", help="wanted tok/s (10)"
    )
    parser.add_argument(
        "--ability",
        action="append",
        choices=ABILITIES,
        metavar="A",
        help=f"{', '.join(ABILITIES)} (repeatable)",
    )
    parser.add_argument(
        "--licence",
        choices=("any", "commercial", "open"),
        default="any",
        help="what it must allow (any)",
    )
    parser.add_argument(
        "--max-params", type=options.above(0), metavar="B", help="billions of parameters at most"
    )
    parser.add_argument(
        "--top", type=options.count_of, default=15, metavar="N", help="as many models (15)"
    )


def _dry_run(parser: argparse.ArgumentParser) -> None:
    from advisor.cli import options  # noqa: PLC0415 - as above

    options.add_model(parser)
    options.add_settings(parser)


def _probe(parser: argparse.ArgumentParser) -> None:
    from advisor.cli import options  # noqa: PLC0415 - as above

    options.add_model(parser)
    options.add_settings(parser, ctx=4096)
    parser.add_argument("--ghost", action="store_true", help="random weights of the same shape")
    parser.add_argument(
        "--seconds",
        type=options.above(2),
        default=30.0,
        metavar="S",
        help="time for measuring (30)",
    )
    parser.add_argument("--anyway", action="store_true", help="in spite of objections")
    parser.add_argument(
        "--engine", metavar="PATH", help="a llama-server or its folder, or “embedded”"
    )
    parser.add_argument(
        "--bench", action="store_true", help="run llama-bench, as public tables are made"
    )


def _advise(parser: argparse.ArgumentParser) -> None:
    from advisor.cli import options, session  # noqa: PLC0415 - as above

    session.add_options(parser)
    options.add_rig(parser)
    options.add_settings(parser, ctx_is="the usage's")


def _report(parser: argparse.ArgumentParser) -> None:
    _advise(parser)
    parser.add_argument("--pdf", metavar="OUT", help="write a PDF that opens as the session again")
    parser.add_argument("--html", metavar="OUT", help="write one web page")
    parser.add_argument("--title", help="instead of the verdict's own words")
    parser.add_argument("--note", help="for the reader, below the title")
    parser.add_argument("--paper", type=str.upper, choices=("A4", "LETTER"), help="A4 by default")
    parser.add_argument("--archival", action="store_true", help="PDF/A, without the session")
    parser.add_argument("--region", metavar="LOCALE", help="de_DE: numbers, dates, currency")
    parser.add_argument("--gb", action="store_true", help="memory in GB (10⁹ bytes), not GiB")


def _accuracy(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--markdown", action="store_true", help="tables for the README")
    parser.add_argument("--no-engine", action="store_true", help="without the embedded engine")
    parser.add_argument(
        "--models", type=int, default=30, metavar="N", help="architectures to ask it about (30)"
    )


def _detect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--measure", action="store_true", help="measure the RAM's bandwidth for a second"
    )


_RIG: Final = '--rig "2x RTX 4090 + 64 GB DDR5-6000"'
_EXAMPLES: Final = {
    "detect": ("detect", "detect --measure", "detect --json > rig.json"),
    "size": (
        f'size "Qwen3 32B" --file-type Q4_K_M {_RIG} -c 32k',
        f'size "DeepSeek V4 Flash" {_RIG} -ngl fit -ncmoe fit',
        "size model.gguf --json",
    ),
    "best": ("best", f"best {_RIG} --min-tps 20 --ability vision"),
    "matrix": (f'matrix "Qwen3 32B" {_RIG} -ctk q8_0 -ctv q8_0',),
    "dry-run": ('dry-run "Qwen3 8B" -c 32k',),
    "probe": ('probe "Qwen3 0.6B" --ghost --seconds 15', "probe model.gguf -c 32k"),
    "advise": (
        f'advise --model "Qwen3 32B" {_RIG} --usage agent --need requests_per_month=300',
        f'advise --model "Qwen3 32B" {_RIG} --need free_slots=1 --price "RTX 5090=3000"',
        "advise session.rig.json",
    ),
    "report": (
        f'report --model "Qwen3 32B" {_RIG} --pdf report.pdf',
        "report session.rig.json --pdf report.pdf",
    ),
    "accuracy": ("accuracy", "accuracy --markdown --no-engine"),
}

COMMANDS: dict[str, tuple[str, str, Callable[[argparse.ArgumentParser], None]]] = {
    "detect": ("advisor.cli.detect", "what this machine is", _detect),
    "size": ("advisor.cli.size", "memory and speed of a model on a rig", _size),
    "best": ("advisor.cli.best", "the models that a rig runs best", _best),
    "matrix": ("advisor.cli.matrix", "every file type × context of a model on a rig", _matrix),
    "dry-run": ("advisor.cli.dry_run", "what llama.cpp itself says a run needs", _dry_run),
    "probe": ("advisor.cli.probe", "run a model or its ghost here, and measure", _probe),
    "advise": ("advisor.cli.advise", "what to do about a need", _advise),
    "report": ("advisor.cli.report", "a session as a PDF", _report),
    "accuracy": ("advisor.cli.accuracy", "how far our figures are off", _accuracy),
}
"""Name → module with ``run(arguments)``, help, and what adds its options."""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line: the usage of some commands fills a screen."""

    def error(self, message: str) -> NoReturn:
        """End with bad usage."""
        complain(f"{message}. See “{self.prog} --help”.")
        self.exit(USAGE)


def _parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="rig-advisor",
        description="What a machine can run, how fast, and what to do about it. Without a command, "
        "or with a file, the window opens.",
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    parser.add_argument("--self-check", action="store_true", help="run the whole chain once")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, (_, help_text, add_options) in COMMANDS.items():
        examples = "\n".join(f"  rig-advisor {words}" for words in _EXAMPLES[name])
        command = commands.add_parser(
            name,
            help=help_text,
            description=help_text[0].upper() + help_text[1:] + ".",
            epilog=f"examples:\n{examples}\n\nexit status: 0 done, 1 the answer is no, 2 bad usage",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_argument("--json", action="store_true", help="one JSON object on stdout")
        if name in argv:
            add_options(command)
    return parser


def main(argv: Sequence[str]) -> int:
    """Run one command. Returns 0 done, 1 said no, 2 bad usage; messages go to stderr."""
    write_plainly_where_needed()
    parser = _parser(argv)
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as stop:  # argparse has printed help, or what is wrong
        return stop.code if isinstance(stop.code, int) else USAGE
    if arguments.version:
        from advisor import __version__  # noqa: PLC0415 - reads the package's metadata

        say(f"Rig Advisor {__version__}")
        return DONE
    if arguments.self_check:
        from advisor.cli import selfcheck  # noqa: PLC0415 - the whole app

        return selfcheck.run()
    if arguments.command is None:
        parser.print_usage(sys.stderr)
        return USAGE
    return _run(arguments)


def _keeping() -> AbstractContextManager[None]:
    from advisor import kept_buffers  # noqa: PLC0415 - only for commands that size many models

    return kept_buffers.keeping()


_SIZES_MANY: Final = frozenset({"best", "matrix", "advise", "report"})


def _run(arguments: argparse.Namespace) -> int:
    module = importlib.import_module(COMMANDS[arguments.command][0])
    status = DONE
    try:
        with _keeping() if arguments.command in _SIZES_MANY else nullcontext():
            status = module.run(arguments)
    except SettingsError as error:
        complain(str(error))
        status = USAGE
    except RigAdvisorError as error:
        complain(str(error))
        status = NO
    except BrokenPipeError:  # whoever reads our output has had enough
        sys.stderr.close()
    return status
