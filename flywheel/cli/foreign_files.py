"""Tables of utterances in files that somebody else wrote: JSON Lines, CSV, Kaldi's `text` and sclite's `trn`.

What is harmless is taken as it is (a byte-order mark, CRLF, fields in any number and order); what could change
a score unseen is refused, with the line and what to do.
"""

import codecs
import csv
import io
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from flywheel.errors import FlywheelError, Problems

__all__ = [
    "HYPOTHESIS_FIELDS",
    "ID_FIELDS",
    "PATH_FIELDS",
    "REFERENCE_FIELDS",
    "SPEAKER_FIELDS",
    "ForeignTable",
    "ProblemList",
    "open_table",
]

PATH_FIELDS = ("audio_filepath", "file", "file_name", "filename", "path")
ID_FIELDS = ("id", "audio_filepath", "utt_id", "utterance_id", *PATH_FIELDS[1:])
"""Where a row's id is looked for, the first that is there; of a path its stem counts, where that is unique."""

REFERENCE_FIELDS = ("text", "reference", "ref", "transcript", "sentence")
HYPOTHESIS_FIELDS = ("pred_text", "hypothesis", "hyp", "prediction", "transcription")
SPEAKER_FIELDS = ("voice_id", "speaker", "speaker_id")

ID, TEXT = "id", "text"
"""The two columns of files that have no header."""

_HEADERS = frozenset((*ID_FIELDS, *REFERENCE_FIELDS, *HYPOTHESIS_FIELDS, "term"))

_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}
_CSV_SUFFIXES = frozenset((".csv", ".tsv"))
_JSON_SUFFIXES = frozenset((".jsonl", ".json", ".ndjson"))
_ROWS_LOOKED_AT = 1000
_PROBLEMS_SHOWN = 20
_TRN_LINE = re.compile(r"(?P<text>.*?)\s*\((?P<id>[^()\s]+)\)\s*")
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)


@dataclass(slots=True)
class ProblemList:
    """The problems of one file, the first of them in words; the others are counted.

    A million rows may have a million problems of one kind, and nobody reads them.
    """

    subject: str
    first: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, problem: str) -> None:
        """One more."""
        self.count += 1
        if len(self.first) < _PROBLEMS_SHOWN:
            self.first.append(problem)

    def refuse(self) -> None:
        """Raise `Problems` where there is one."""
        if self.count:
            more = self.count - len(self.first)
            raise Problems(self.subject, [*self.first, *([f"and {more} more"] if more else [])])


@dataclass(frozen=True, slots=True)
class ForeignTable:
    """The rows of a file, read once, as they are asked for.

    Args:
        path: of the file.
        columns: the names of its fields, in their order; of JSON Lines those of the first thousand rows.
        rows: (line, fields by name) of each row; lines count from 1. Values of JSON Lines may be of any type,
            those of the other formats are text.
    """

    path: Path
    columns: tuple[str, ...]
    rows: Iterator[tuple[int, Mapping[str, Any]]]


@contextmanager
def open_table(path: Path) -> Iterator[ForeignTable]:
    """The table in `path`, whose rows can be read inside the block.

    The format follows from the name (`.jsonl`, `.json`, `.ndjson`; `.csv`, `.tsv`; `.trn`) or else from the first
    line: one that begins with a brace is JSON Lines, one that holds a name of ours between commas, semicolons or
    tabs is the header of a CSV file, and everything else is Kaldi's `id words ...`.

    Raises:
        FlywheelError: inside the block, too: there is no such file, it is not UTF-8, or it is broken.
    """
    try:
        with path.open("rb") as file:
            _refuse_other_encodings(path, file)
            table = _table(path, file)
            looked_at = list(itertools.islice(table.rows, _ROWS_LOOKED_AT))
            columns = table.columns or tuple(dict.fromkeys(name for _, row in looked_at for name in row))
            yield ForeignTable(path, columns, itertools.chain(looked_at, table.rows))
    except FileNotFoundError:
        raise FlywheelError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise FlywheelError(f"{path}: a folder; a file is needed") from None
    except UnicodeDecodeError:
        raise _not_utf8(path) from None


def _refuse_other_encodings(path: Path, file: BinaryIO) -> None:
    start = _start_of(file)
    if start.startswith(_UTF16_MARKS) or b"\0" in start:
        advice = "save it as UTF-8, for example with `iconv -f UTF-16 -t UTF-8`"
        raise FlywheelError(f"{path}: found UTF-16, UTF-32 or binary data; allowed: UTF-8 text; {advice}")


def _start_of(file: BinaryIO) -> bytes:
    """The first bytes, which stay to be read: a pipe cannot be wound back."""
    assert isinstance(file, io.BufferedReader)
    return file.peek(4096)


def _not_utf8(path: Path) -> FlywheelError:
    """Where the first byte stands that is not UTF-8; a pipe cannot be read again to find out."""
    advice = "save it as UTF-8; of Latin-1 or a Windows code page, for example with `iconv -f WINDOWS-1252 -t UTF-8`"
    if not path.is_file():
        return FlywheelError(f"{path}: not UTF-8; {advice}")
    with path.open("rb") as file:
        for line, raw in enumerate(file, start=1):
            try:
                raw.decode("utf-8")
            except UnicodeDecodeError as error:
                found = raw[error.start]
                return FlywheelError(
                    f"{path}:{line}: not UTF-8: byte 0x{found:02x} at byte {error.start + 1}; {advice}"
                )
    return FlywheelError(f"{path}: not UTF-8; {advice}")


def _table(path: Path, file: BinaryIO) -> ForeignTable:
    start = _start_of(file).removeprefix(codecs.BOM_UTF8).lstrip(b"\r\n")
    # What stands behind the first line may be cut in the middle of a character.
    first_line = start.split(b"\n", 1)[0].decode("utf-8", errors="ignore")
    suffix = path.suffix.lower()
    if suffix in _JSON_SUFFIXES or (suffix not in _CSV_SUFFIXES and start.lstrip()[:1] == b"{"):
        return ForeignTable(path, (), _json_rows(path, file))
    if suffix == ".trn":
        return ForeignTable(path, (ID, TEXT), _trn_rows(path, file))
    if suffix in _CSV_SUFFIXES or _is_header(first_line):
        return _csv_table(path, file, first_line)
    return ForeignTable(path, (ID, TEXT), _kaldi_rows(file))


def _is_header(line: str) -> bool:
    """Whether a line names columns: a sentence may have commas, too."""
    return any(
        delimiter in line and not _HEADERS.isdisjoint(name.strip(' "\r') for name in line.split(delimiter))
        for delimiter in _DELIMITERS
    )


def _json_rows(path: Path, file: BinaryIO) -> Iterator[tuple[int, Mapping[str, Any]]]:
    decode = json.JSONDecoder().decode
    for number, raw in enumerate(file, start=1):
        text = raw.decode("utf-8")
        if number == 1:
            text = text.removeprefix("\ufeff")
        try:
            row = decode(text)
        except (ValueError, RecursionError) as error:
            if not text.strip():
                continue
            raise FlywheelError(
                f"{path}:{number}: not JSON: {error}; allowed: JSON Lines, one object a line"
            ) from None
        if type(row) is not dict:
            found = type(row).__name__
            raise FlywheelError(
                f"{path}:{number}: found a JSON {found}; allowed: JSON Lines, one object a line"
            )
        yield number, row


def _csv_table(path: Path, file: BinaryIO, first_line: str) -> ForeignTable:
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    reader = csv.reader(text, delimiter=_delimiter(path, first_line), strict=True)
    lines = _csv_lines(path, reader)
    header = next(((number, values) for number, values in lines if values), None)
    if header is None:
        raise FlywheelError(
            f"{path}: found no header; allowed: a CSV file whose first line names its columns"
        )
    number, values = header
    columns = tuple(value.strip() for value in values)
    # Spreadsheets leave delimiters behind the last column; what has no name cannot be asked for.
    if twice := sorted({name for name in columns if name and columns.count(name) > 1}):
        raise FlywheelError(f"{path}:{number}: found the column {twice[0]!r} twice; allowed: each name once")
    return ForeignTable(path, columns, _csv_rows(path, columns, lines))


def _delimiter(path: Path, first_line: str) -> str:
    """The one that the header has most of; a header of one column has none, and any will do."""
    counts = {delimiter: first_line.count(delimiter) for delimiter in _DELIMITERS}
    most = max(counts.values())
    best = [delimiter for delimiter, count in counts.items() if count == most]
    if most and len(best) > 1:
        found = " and ".join(_DELIMITERS[delimiter] for delimiter in best)
        raise FlywheelError(
            f"{path}:1: found as many of {found} in the header {first_line.strip()!r}; allowed: columns separated "
            "by one of comma, semicolon and tab"
        )
    return best[0]


def _csv_lines(path: Path, reader: Any) -> Iterator[tuple[int, list[str]]]:
    """(line on which the record begins, its values); a quoted value may go over several lines."""
    while True:
        begins = reader.line_num + 1
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            advice = "quotes open and close around one value; one inside a value is doubled"
            raise FlywheelError(f"{path}:{begins}: not CSV: {error}; {advice}") from None
        yield begins, values


def _csv_rows(
    path: Path, columns: tuple[str, ...], lines: Iterable[tuple[int, list[str]]]
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    wrong = ProblemList(str(path))
    width = len(columns)
    for number, values in lines:
        if not any(values):
            continue  # nothing, or delimiters alone
        if len(values) == width:
            yield number, dict(zip(columns, values, strict=True))
        else:
            wrong.add(
                f"line {number}: found {len(values)} values; allowed: {width}, as in the header; a delimiter inside "
                "a value needs quotes around the value"
            )
    wrong.refuse()


def _kaldi_rows(file: BinaryIO) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, raw in enumerate(file, start=1):
        text = raw.decode("utf-8")
        words = (text.removeprefix("\ufeff") if number == 1 else text).split(maxsplit=1)
        if words:
            yield number, {ID: words[0], TEXT: words[1].strip() if len(words) > 1 else ""}


def _trn_rows(path: Path, file: BinaryIO) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, raw in enumerate(file, start=1):
        text = raw.decode("utf-8").strip()
        text = text.removeprefix("\ufeff") if number == 1 else text
        if not text:
            continue
        found = _TRN_LINE.fullmatch(text)
        if found is None:
            raise FlywheelError(f"{path}:{number}: found {text[:80]!r}; allowed: the words, then (id)")
        yield number, {ID: found["id"], TEXT: found["text"]}
