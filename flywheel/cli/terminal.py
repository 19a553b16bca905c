"""What a command prints: text in aligned columns for people, or one JSON document for programs."""

import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from flywheel.scoring.intervals import LEAST_CLUSTERS
from flywheel.scoring.numbers_as_text import LEAST_ROWS

__all__ = ["TOO_FEW", "note", "notes", "print_json", "table", "titled", "with_footnotes"]

TOO_FEW = "too few"
"""What stands in a table in place of a rate; the number of rows stands beside it."""

_FOOTNOTES = {
    TOO_FEW: f"Too few: fewer than {LEAST_ROWS} rows carry no rate; --json has it all the same.",
    "[no interval]": f"No interval: the rows are of fewer than {LEAST_CLUSTERS} terms or sentences (or voices, where "
    "clustered by voice).",
}
_GAP = 2
# Into a pipe or a file lines are as long as they are.
_UNLIMITED = 10_000


def print_json(document: Any) -> None:
    """One document, all there is on standard output."""
    # What a terminal's encoding lacks would be written in a way that is no JSON.
    is_ascii = not (sys.stdout.encoding or "").lower().startswith("utf")
    print(json.dumps(document, ensure_ascii=is_ascii, indent=2, allow_nan=False))


def note(text: str) -> None:
    """A remark beside the result, on standard error."""
    print(f"note: {text}", file=sys.stderr)


def notes(texts: Iterable[str]) -> None:
    """Each remark once."""
    for text in dict.fromkeys(texts):
        note(text)


def titled(title: str, *parts: str) -> str:
    """A title with what stands under it, and an empty line before."""
    return "\n".join(["", title, *parts])


def with_footnotes(parts: Sequence[str]) -> str:
    """The parts of a report, and an explanation of what stands in place of a number in one of them."""
    footnotes = [text for mark, text in _FOOTNOTES.items() if any(mark in part for part in parts)]
    return "\n".join([*parts, *(["", *footnotes] if footnotes else [])])


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, width: int | None = None) -> str:
    """Columns as wide as their longest value, the first to the left and the others to the right.

    Where that is wider than the terminal, each row is a block of its own, a line a value: nothing is cut off.

    Args:
        header: names of the columns; the first may be empty.
        rows: as long as the header each.
        width: in characters; None is that of the terminal.
    """
    if width is None:
        width = shutil.get_terminal_size(fallback=(_UNLIMITED, 24)).columns
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    if sum(widths) + _GAP * (len(widths) - 1) > width:
        return _blocks(header, rows)
    return "\n".join(_line(line, widths) for line in (header, *rows))


def _line(values: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        value.rjust(width) if place else value.ljust(width)
        for place, (value, width) in enumerate(zip(values, widths, strict=True))
    )
    return (" " * _GAP).join([first, *others]).rstrip()


def _blocks(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    label = max(map(len, header[1:]), default=0)
    return "\n".join(
        "\n".join(
            [
                row[0],
                *(f"  {name.ljust(label)}  {value}" for name, value in zip(header[1:], row[1:], strict=True)),
            ]
        )
        for row in rows
    )
