"""`flywheel COMMAND`: every command of the project, and the one parser of their options.

A command is a line in a table and a module with

- `EPILOG`, what its `--help` ends with: examples and exit codes,
- `add_arguments(parser)`,
- `run(options)`, which returns 0, or 1 where the answer is no.

Only the module of the command that is asked for is imported. This package has the commands that need nothing but
`flywheel`. Other packages name their tables as entry points of the group `flywheel.commands`, so that nothing here
imports what is built on top of it.
"""

import argparse
import importlib
import io
import os
import sys
import textwrap
import tomllib
from collections.abc import Iterator, Sequence
from importlib.metadata import EntryPoint, entry_points
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from flywheel.errors import FlywheelError

__all__ = ["COMMANDS", "ENTRY_POINTS", "Command", "all_commands", "main"]

ENTRY_POINTS = "flywheel.commands"
"""The group of entry points that tables of commands are found by."""


class Command(NamedTuple):
    """A line of `flywheel --help`, and the module that does the work."""

    name: str
    summary: str
    group: str
    module: str


_SUMMARIES = {
    "On any manifest and any recogniser's output": {
        "score": "WER, CER, SER and KER of one recogniser, with intervals",
        "compare": "two recognisers on the same rows: what changed, and how sure that is",
        "validate": "every problem of a NeMo manifest and its audio",
        "split": "training, development and held-out rows, without leaks",
        "leaderboard": "the page that says whether to keep a model",
    },
    "On cycles": {
        "page": "the answer of a cycle, and where its pages are",
        "rollback": "goes back to an earlier promoted model",
        "retention": "removes audio that only old cycles use",
    },
}
COMMANDS = tuple(
    Command(name, summary, group, f"{__name__}.{name}")
    for group, summaries in _SUMMARIES.items()
    for name, summary in summaries.items()
)
"""The commands of this package, in the order in which they are listed."""

_EXAMPLES = (
    "printf 'id,text,hyp\\n1,give heparin now,give he parin now\\n' > heard.csv",
    "flywheel score heard.csv --json",
    "flywheel score manifest.jsonl hypotheses.csv --terms terms.csv",
    "flywheel compare manifest.jsonl before.jsonl after.jsonl",
    "flywheel page cycle1",
)
FINE, WRONG_USE, INTERRUPTED, CLOSED_PIPE = 0, 2, 130, 141
"""Exit codes; a command that ran returns 0, or 1 where its answer is no. The last two are those of a program that
a signal ended."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code, and never raises for what a user can cause."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character of somebody's file is no reason to fail.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = _run(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
    except FlywheelError as error:
        return _failed(str(error))
    except BrokenPipeError:
        # Whoever read this has read enough. What is left in the buffer must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED_PIPE
    except FileExistsError as error:
        return _failed(f"{error.filename}: found a file; allowed: a folder")
    except OSError as error:
        reason = (error.strerror or str(error) or type(error).__name__).lower()
        return _failed(f"{error.filename}: {reason}" if error.filename else reason)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    return status


def all_commands() -> Iterator[Command]:
    """The commands of this package, then those of the packages that are built on top of it."""
    yield from COMMANDS
    found = {each.name: each for each in (*entry_points(group=ENTRY_POINTS), *_of_the_source_tree())}
    for each in found.values():
        yield from each.load()


def _of_the_source_tree() -> Iterator[EntryPoint]:
    """The entry points of the source tree that this file lies in, if it does: no installation needs to know it, and one
    that does may be older."""
    project = Path(__file__).parents[2] / "pyproject.toml"
    if project.is_file():
        declared = (
            tomllib.loads(project.read_text(encoding="utf-8")).get("project", {}).get("entry-points", {})
        )
        for name, value in declared.get(ENTRY_POINTS, {}).items():
            yield EntryPoint(name, value, ENTRY_POINTS)


def _run(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage())
        return FINE if arguments else WRONG_USE
    name, *rest = arguments
    command = next((each for each in all_commands() if each.name == name), None)
    if command is None:
        known = ", ".join(each.name for each in all_commands())
        return _failed(f"found the command {name!r}; allowed: {known}")
    module = importlib.import_module(command.module)
    parser = argparse.ArgumentParser(
        prog=f"flywheel {name}",
        description=f"{command.summary[0].upper()}{command.summary[1:]}.",
        epilog=module.EPILOG,
        formatter_class=_HelpFormatter,
    )
    parser.set_defaults(command=name)
    module.add_arguments(parser)
    try:
        options = parser.parse_args(rest)
    except SystemExit as asked:
        # argparse ends so after --help, and after it has said what is wrong with the options.
        return FINE if asked.code is None else int(asked.code)
    status: int = module.run(options)
    return status


def _failed(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return WRONG_USE


def _usage() -> str:
    commands = list(all_commands())
    width = max(len(each.name) for each in commands)
    lines = [
        "usage: flywheel COMMAND ...",
        "",
        "Measures speech recognisers on clinical speech, and looks after cycles.",
    ]
    for group, members in groupby(commands, key=lambda each: each.group):
        lines += ["", f"{group}:", *(f"  {each.name.ljust(width)}  {each.summary}" for each in members)]
    return "\n".join(
        [
            *lines,
            "",
            "Examples, the first two from an empty folder:",
            *(f"  {line}" for line in _EXAMPLES),
            "",
            "`flywheel COMMAND --help` has the options and more examples. `make run` and `make ui` run cycles.",
            "",
            "Exit codes: 0 fine; 1 the answer is no (problems found, not improved, something missing); 2 wrong use,",
            "unreadable input, or a service that does not answer.",
        ]
    )


class _HelpFormatter(argparse.HelpFormatter):
    """Fills paragraphs to the width of the terminal, and leaves indented lines as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        blocks = groupby(text.split("\n"), key=lambda line: not line or line.startswith("  "))
        return "\n".join(
            line
            for is_kept, lines in blocks
            for line in (lines if is_kept else textwrap.wrap(" ".join(lines), width))
        )
