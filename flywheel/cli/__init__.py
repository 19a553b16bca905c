"""`python -m flywheel`: what the flywheel measures, on anybody's files.

Each command is a module of its own, and only the one that is asked for is imported.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from types import MappingProxyType

from flywheel.errors import FlywheelError

__all__ = ["COMMANDS", "main"]

COMMANDS = MappingProxyType(
    {
        "score": "WER, CER, SER and KER of one recogniser, with intervals",
        "compare": "two recognisers on the same rows: what changed, and how sure that is",
        "validate": "every problem of a NeMo manifest and its audio",
        "split": "training, development and held-out rows, without leaks",
        "leaderboard": "the page that says whether to keep a model",
    }
)
"""The commands, in the order in which they are listed."""

_EXAMPLES = (
    "printf 'id,text,hyp\\n1,give heparin now,give he parin now\\n' > heard.csv",
    "python -m flywheel score heard.csv --json",
    "python -m flywheel score manifest.jsonl hypotheses.csv --terms terms.csv",
    "python -m flywheel compare manifest.jsonl before.jsonl after.jsonl",
)
FINE, WRONG_USE, INTERRUPTED, CLOSED_PIPE = 0, 2, 130, 141
"""Exit codes; a command that ran returns 0, or 1 where its answer is no. The last two are those of a program that
a signal ended."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code, and never raises for what a user can cause."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage())
        return FINE if arguments else WRONG_USE
    name, *rest = arguments
    if name not in COMMANDS:
        print(f"error: found the command {name!r}; allowed: {', '.join(COMMANDS)}", file=sys.stderr)
        return WRONG_USE
    try:
        command = importlib.import_module(f"flywheel.cli.{name}")
        status: int = command.run(command.parser().parse_args(rest))
        sys.stdout.flush()
    except SystemExit as asked:
        # argparse ends so after --help, and after having said what is wrong with the options.
        return FINE if asked.code is None else int(asked.code)
    except FlywheelError as error:
        return _failed(str(error))
    except BrokenPipeError:
        # Whoever read this has read enough. What is left in the buffer must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED_PIPE
    except FileExistsError as error:
        return _failed(f"{error.filename}: found a file; allowed: a folder")
    except OSError as error:
        return _failed(f"{error.filename or 'file'}: {(error.strerror or type(error).__name__).lower()}")
    except KeyboardInterrupt:
        return INTERRUPTED
    return status


def _failed(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return WRONG_USE


def _usage() -> str:
    width = max(map(len, COMMANDS))
    return "\n".join(
        [
            "usage: python -m flywheel COMMAND ...",
            "",
            "Measures speech recognisers on clinical speech, from any toolkit's files.",
            "",
            *(f"  {name.ljust(width)}  {summary}" for name, summary in COMMANDS.items()),
            "",
            "Examples, the first from an empty folder:",
            *(f"  {line}" for line in _EXAMPLES),
            "",
            "`python -m flywheel COMMAND --help` has the options and more examples.",
            "",
            "Exit codes: 0 fine; 1 the answer is no (problems found, not improved); 2 wrong use or unreadable input.",
        ]
    )
