"""CSV files that people write by hand, read strictly: every problem is found, located and reported."""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CsvProblem", "CsvRow", "CsvTable", "in_file_order", "read_csv_table"]

_BYTE_ORDER_MARK = "\ufeff"
_SAVE_PLAIN = (
    "save the file again as plain UTF-8 (in Excel 'CSV (Comma delimited)', "
    "in an editor 'UTF-8', not 'UTF-8 with BOM')"
)


@dataclass(frozen=True, slots=True)
class CsvProblem:
    """One thing wrong in a file; `line` counts from 1, and is 0 for the file as a whole."""

    line: int
    field: str
    found: str
    allowed: str
    advice: str = ""

    def __str__(self) -> str:
        place = f"line {self.line}, {self.field}" if self.line else self.field
        advice = f"; {self.advice}" if self.advice else ""
        return f"{place}: found {self.found}; allowed: {self.allowed}{advice}"


@dataclass(frozen=True, slots=True)
class CsvRow:
    """One record: its line in the file (from 1) and its values by column name, exactly as written."""

    line: int
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CsvTable:
    """The rows of a file that could be read, and what is wrong with the others."""

    rows: tuple[CsvRow, ...]
    problems: tuple[CsvProblem, ...]


def read_csv_table(path: Path, columns: Sequence[str]) -> CsvTable:
    """Read a comma-separated UTF-8 file whose header is exactly `columns`; one record a line.

    Blank lines are allowed and skipped. A file that is not there, a folder, another encoding, byte-order
    marks, a wrong header, broken quoting and a wrong number of values come back as problems, all of them;
    what the values mean is for the caller to check. With a wrong header no rows are returned, since which
    column a value belongs to is then unknown.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        return CsvTable((), (CsvProblem(0, "file", reason, "a readable CSV file", "check the path"),))
    if b"\0" in data or data.startswith((b"\xff\xfe", b"\xfe\xff")):
        found = "UTF-16, UTF-32 or binary data"
        return CsvTable((), (CsvProblem(0, "file", found, "UTF-8 text", _SAVE_PLAIN),))
    problems: list[CsvProblem] = []
    records = list(_records(data, problems))
    if not records:
        allowed = f"the header {','.join(columns)}, then a record a line"
        return CsvTable((), (CsvProblem(0, "file", "an empty file", allowed),))
    header_line, header = records[0]
    if header != list(columns):
        if header is not None:
            problems.append(_wrong_header(header_line, header, columns))
        return CsvTable((), in_file_order(problems))
    rows = []
    for line, values in records[1:]:
        if values is not None and len(values) == len(columns):
            rows.append(CsvRow(line, dict(zip(columns, values, strict=True))))
        elif values is not None:
            problems.append(_wrong_count(line, values, columns))
    return CsvTable(tuple(rows), in_file_order(problems))


def in_file_order(problems: Iterable[CsvProblem]) -> tuple[CsvProblem, ...]:
    """`problems` by line; those of one line stay in the order in which they were found."""
    return tuple(sorted(problems, key=lambda problem: problem.line))


def _records(data: bytes, problems: list[CsvProblem]) -> Iterator[tuple[int, list[str] | None]]:
    """(line, values) of every line that is not blank; None for one that cannot be read, with a problem."""
    for line, raw in enumerate(re.split(rb"\r\n|\n|\r", data), start=1):
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            found = f"the byte 0x{raw[error.start]:02x} after {raw[: error.start].decode('utf-8')!r}"
            problems.append(CsvProblem(line, "encoding", found, "UTF-8", _SAVE_PLAIN))
            yield line, None
            continue
        if _BYTE_ORDER_MARK in text:
            found = f"a byte-order mark (U+FEFF) at character {text.index(_BYTE_ORDER_MARK) + 1}"
            allowed = "UTF-8 without byte-order marks"
            problems.append(CsvProblem(line, "encoding", found, allowed, _SAVE_PLAIN))
            text = text.replace(_BYTE_ORDER_MARK, "")
        if text.strip():
            yield line, _values(line, text, problems)


def _values(line: int, text: str, problems: list[CsvProblem]) -> list[str] | None:
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error as error:
        allowed = "quotes that open and close around one value, on one line"
        problems.append(CsvProblem(line, "quoting", f"{text!r} ({error})", allowed))
        return None


def _wrong_header(line: int, values: list[str], columns: Sequence[str]) -> CsvProblem:
    advice = "put that header in the first line, in this order; the rows were not checked yet"
    return CsvProblem(line, "header", repr(",".join(values)), repr(",".join(columns)), advice)


def _wrong_count(line: int, values: list[str], columns: Sequence[str]) -> CsvProblem:
    found = f"{len(values)} values ({','.join(values)!r})"
    advice = "a comma separates values and may not stand inside one" if len(values) > len(columns) else ""
    return CsvProblem(line, "row", found, f"{len(columns)} values ({','.join(columns)})", advice)
