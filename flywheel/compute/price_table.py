"""Tables of dated prices: a bundled CSV, or one's own in the same format that a variable names."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flywheel.errors import FlywheelError, Problems
from flywheel.files import bundled
from flywheel.files.csv_table import CsvRow, read_csv_table

__all__ = ["PriceLine", "PriceTable"]


@dataclass(frozen=True, slots=True)
class PriceLine:
    """One line: what is priced, its figures by column (US dollars or seconds, from 0 on), and when and where from."""

    of: tuple[str, ...]
    figures: Mapping[str, float]
    dated: str
    source: str


@dataclass(frozen=True, slots=True)
class PriceTable:
    """A kind of price table.

    Args:
        bundled: the name of the file that ships with the package.
        variable: the environment variable that names another one instead.
        keys: the columns that say what is priced.
        figures: the columns with numbers.
        unread: columns for people alone.
    """

    bundled: str
    variable: str
    keys: tuple[str, ...]
    figures: tuple[str, ...]
    unread: tuple[str, ...] = ()

    def line(self, *of: str, file: Path | None = None) -> PriceLine:
        """The line of `of`, one value for each of `keys`, out of `file`, the variable's file or the bundled one.

        Raises `FlywheelError` for what the table does not have: what it costs must be known before it starts.
        """
        given = os.environ.get(self.variable)
        path = file or (Path(given) if given else bundled.path(self.bundled))
        table = read_csv_table(path, (*self.keys, *self.unread, *self.figures, "dated", "source"))
        if table.problems:
            raise Problems(str(path), [str(problem) for problem in table.problems])
        known: list[str] = []
        for row in table.rows:
            found = tuple(row.values[key] for key in self.keys)
            if found == of:
                figures = {name: _figure(path, row, name) for name in self.figures}
                return PriceLine(found, figures, row.values["dated"], row.values["source"])
            if found[:-1] == of[:-1]:
                known.append(found[-1])
        raise FlywheelError(
            f"{path}: no price for {_named(of)}; known are {', '.join(known) or 'none'}. Add a line to a copy of the "
            f"table and name the copy in {self.variable}"
        )


def _named(of: Sequence[str]) -> str:
    """`brev 'L40S'`: the last value is the one that may be misspelt."""
    return " ".join([*of[:-1], repr(of[-1])])


def _figure(path: Path, row: CsvRow, name: str) -> float:
    text = row.values[name]
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not (math.isfinite(found) and found >= 0):
        raise FlywheelError(f"{path}: line {row.line}, {name}: found {text!r}; a number from 0 on is needed")
    return found
