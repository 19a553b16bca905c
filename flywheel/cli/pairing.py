"""References and hypotheses from anybody's files, paired by id.

A row of the references without a hypothesis counts as heard empty, and is named. A hypothesis of a row that the
references lack, an id that occurs twice and a text that is no text are refused: nothing is dropped.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import repeat
from pathlib import Path
from typing import Any, TypeAlias

from flywheel.cli.field_values import id_of, level_of, text_of
from flywheel.cli.foreign_files import (
    HYPOTHESIS_FIELDS,
    ID_FIELDS,
    PATH_FIELDS,
    REFERENCE_FIELDS,
    SPEAKER_FIELDS,
    ForeignTable,
    ProblemList,
    open_table,
)
from flywheel.errors import FlywheelError
from flywheel.scoring.numbers_as_text import counted, listed
from flywheel.scoring.transcripts import Transcript, shown

__all__ = ["UNCATEGORISED", "FieldNames", "Heard", "References", "pairing", "read_sides"]

UNCATEGORISED = "uncategorised"
"""The entity category of a term that comes without one."""

_ROW_FIELDS = (
    *("ipa_source", "voice_id", "noise_level", "synthesis_group"),
    *("subset", "term", "entity_category", "context_type"),
)
_SEVERAL = -1

Column: TypeAlias = Sequence[str | None]


@dataclass(frozen=True, slots=True)
class FieldNames:
    """The fields that somebody named, of each kind the first that a file has; of a kind without any it is found out."""

    id: Sequence[str] = ()
    reference: Sequence[str] = ()
    hypothesis: Sequence[str] = ()


@dataclass(frozen=True)
class References:
    """What was said, a row an entry in every column.

    Args:
        path: of the file.
        id_field: the field that the ids are from.
        ids: one a row, each once.
        texts: the references; an empty one is a row in which nothing was said.
        columns: the fields of `Transcript` that some row has, by name.
        others: the other fields that were asked for.
        audio: the path of each row's audio, where the rows have one.
    """

    path: Path
    id_field: str
    ids: Sequence[str]
    texts: Sequence[str]
    columns: Mapping[str, Column]
    others: Mapping[str, Column] = field(default_factory=dict)
    audio: Sequence[str] = ()

    def column(self, name: str) -> Column | None:
        """A field of the rows; None where no row has it."""
        return self.columns.get(name, self.others.get(name))

    def transcripts(self, heard: "Heard") -> list[Transcript]:
        """Each row with what a recogniser heard."""
        columns = (self.columns.get(name) or repeat(None) for name in _ROW_FIELDS)
        texts = (hypothesis or "" for hypothesis in heard.texts)
        return list(map(Transcript, self.ids, self.texts, texts, *columns))

    @cached_property
    def _place_of_id(self) -> Mapping[str, int]:
        return {row_id: place for place, row_id in enumerate(self.ids)}

    @cached_property
    def _place_of_path(self) -> Mapping[str, int]:
        return _places(self.audio)

    @cached_property
    def _place_of_stem(self) -> Mapping[str, int]:
        return _places(list(map(_stem, self.audio)))

    def place(self, name: str, *, is_path: bool) -> int | None:
        """The row that `name` names, an id or a path; None if there is none, or if several have audio of that name.

        Whole paths go before stems: the same file may lie in another folder elsewhere.
        """
        place = self._place_of_id.get(name)
        if place is not None:
            return place
        stem = _stem(name) if is_path else name
        for table, key in (
            (self._place_of_path, name),
            (self._place_of_stem, stem),
            (self._place_of_id, stem),
        ):
            place = table.get(key)
            if place is not None:
                return None if place == _SEVERAL else place
        return None


@dataclass(frozen=True, slots=True)
class Heard:
    """What one recogniser heard.

    Args:
        path: of the file.
        id_field: the field whose ids were looked for among those of the references.
        texts: the hypothesis of each row of the references, in their order; None where there is none.
    """

    path: Path
    id_field: str
    texts: Sequence[str | None]

    def missing(self, references: References) -> tuple[str, ...]:
        """The ids of the rows without a hypothesis."""
        return tuple(row_id for row_id, text in zip(references.ids, self.texts, strict=True) if text is None)


def read_sides(
    references: Path | None, hypotheses: Sequence[Path], names: FieldNames, others: Sequence[str] = ()
) -> tuple[References, tuple[Heard, ...]]:
    """What was said, and what each recogniser heard of it.

    Args:
        references: in any format of `open_table`; None where each file of `hypotheses` holds both texts, as NeMo's
            transcription scripts write it. They must then agree on what was said.
        hypotheses: a file for each recogniser, in any of these formats, at least one.
        names: the fields to read, where they were named.
        others: further fields of the references to keep.

    Raises:
        FlywheelError: a file cannot be read, has no rows, no field for ids or texts or several, an id twice, a
            value that is no text, hypotheses of rows that the references lack, or other references.
    """
    if references is not None:
        said = _read_references(references, names, others)
        return said, tuple(_read_hypotheses(path, said, names, same_references=False) for path in hypotheses)
    first, *further = hypotheses
    said, heard = _read_both(first, names, others)
    return said, (heard, *(_read_hypotheses(path, said, names, same_references=True) for path in further))


def pairing(references: References, heard: Heard) -> str:
    """How many rows have a hypothesis, and which fields said whose it is."""
    rows = len(references.ids)
    found = f"{rows - heard.texts.count(None)} of {counted(rows, 'row')} with a hypothesis"
    if heard.path == references.path:
        return f"{found}, which stands beside the reference"
    if heard.id_field == references.id_field:
        return f"{found}, paired by `{heard.id_field}`"
    return f"{found}, `{heard.id_field}` paired with `{references.id_field}` of {references.path}"


def _read_references(path: Path, names: FieldNames, others: Sequence[str]) -> References:
    with open_table(path) as table:
        reference = _reference_field(table, names)
        return _read(table, names, reference, None, others)[0]


def _read_both(path: Path, names: FieldNames, others: Sequence[str]) -> tuple[References, Heard]:
    with open_table(path) as table:
        reference = _reference_field(table, names)
        hypothesis = _one_of(table, names.hypothesis, HYPOTHESIS_FIELDS, "hypotheses", "--hypothesis-field")
        return _read(table, names, reference, hypothesis, others)


def _read_hypotheses(
    path: Path, references: References, names: FieldNames, *, same_references: bool
) -> Heard:
    """The hypotheses of a file for the rows of `references`, whatever their order.

    Without a field for hypotheses the one for references is read: a file of its own may well call them `text`.
    """
    with open_table(path) as table:
        candidates: Sequence[str] = HYPOTHESIS_FIELDS
        if not set(candidates).intersection(table.columns):
            candidates = (*HYPOTHESIS_FIELDS, *REFERENCE_FIELDS)
        hypothesis = _one_of(table, names.hypothesis, candidates, "hypotheses", "--hypothesis-field")
        reference = _reference_field(table, names) if same_references else None
        return _heard(table, references, _id_field(table, names), hypothesis, reference)


def _reference_field(table: ForeignTable, names: FieldNames) -> str:
    return _one_of(table, names.reference, REFERENCE_FIELDS, "references", "--reference-field")


def _id_field(table: ForeignTable, names: FieldNames) -> str:
    if not names.id:
        for name in ID_FIELDS:
            if name in table.columns:
                return name
    return _one_of(table, names.id, ID_FIELDS, "the rows' ids", "--id-field")


def _one_of(
    table: ForeignTable, asked: Sequence[str], candidates: Sequence[str], what: str, option: str
) -> str:
    """The first field that was asked for, or the one candidate that is there."""
    columns = table.columns
    if not columns:
        raise FlywheelError(f"{table.path}: found no rows; at least one is needed")
    found = ", ".join(columns)
    if asked:
        for name in asked:
            if name in columns:
                return name
        raise FlywheelError(
            f"{table.path}: {option}: found no field {listed(asked, 'or')}; there are: {found}; where files call it "
            f"differently, give {option} for each"
        )
    present = [name for name in candidates if name in columns]
    if len(present) == 1:
        return present[0]
    if present:
        raise FlywheelError(
            f"{table.path}: {what} may stand in {listed(present, 'or')}; say which with {option}"
        )
    raise FlywheelError(
        f"{table.path}: found no field for {what} among {found}; looked for {listed(candidates, 'or')}; "
        f"name it with {option}"
    )


def _read(
    table: ForeignTable, names: FieldNames, reference: str, hypothesis: str | None, others: Sequence[str]
) -> tuple[References, Heard]:
    id_field = _id_field(table, names)
    reader = _Reader(table, id_field, reference, hypothesis, others)
    for line, row in table.rows:
        reader.add(line, row)
    return reader.references(), Heard(table.path, id_field, reader.heard)


class _Reader:
    """Gathers rows column by column, in one pass: a million of them are read in seconds."""

    def __init__(
        self,
        table: ForeignTable,
        id_field: str,
        reference: str,
        hypothesis: str | None,
        others: Sequence[str],
    ) -> None:
        self.heard: list[str | None] = []
        self._table = table
        self._problems = ProblemList(str(table.path))
        self._id_field, self._reference, self._hypothesis = id_field, reference, hypothesis
        self._audio_field = id_field if id_field in PATH_FIELDS else "audio_filepath"
        speaker = next((name for name in SPEAKER_FIELDS if name in table.columns), "voice_id")
        self._others = [name for name in others if name not in _ROW_FIELDS]
        sources = {name: speaker if name == "voice_id" else name for name in (*_ROW_FIELDS, *self._others)}
        self._columns: dict[str, list[str | None]] = {name: [] for name in sources}
        self._appended = [(source, self._columns[name].append) for name, source in sources.items()]
        self._places: dict[str, int] = {}
        self._keys: list[str] = []
        self._texts: list[str] = []
        self._audio: list[str] = []
        self._shared: dict[str, str] = {}  # values that many rows have are kept once

    def add(self, line: int, row: Mapping[str, Any]) -> None:
        """One row; what is wrong with it is kept for later."""
        key = id_of(row.get(self._id_field), line, self._id_field, self._problems)
        first = self._places.setdefault(key, len(self._keys))
        if first != len(self._keys) and key:
            self._problems.add(
                f"line {line}, {self._id_field}: found {key!r} again, first in row {first + 1}; allowed: each row once"
            )
        self._keys.append(key)
        shared = self._shared.setdefault
        text = text_of(row.get(self._reference), line, self._reference, self._problems) or ""
        self._texts.append(shared(text, text))
        if self._hypothesis is not None:
            heard = row.get(self._hypothesis)
            self.heard.append(
                None if heard is None else text_of(heard, line, self._hypothesis, self._problems)
            )
        path = row.get(self._audio_field)
        if type(path) is str:
            self._audio.append(key if self._audio_field == self._id_field else path)
        for source, append in self._appended:
            value = row.get(source)
            if value is None or value == "":
                append(None)
            else:
                value = level_of(value, line, source, self._problems)
                append(shared(value, value))

    def references(self) -> References:
        """All rows that were added.

        Raises:
            FlywheelError: the problems of the file, or a field that was asked for and no row has.
        """
        if not self._keys:
            self._problems.add("found no rows; at least one is needed")
        self._problems.refuse()
        present = {name: column for name, column in self._columns.items() if any(column)}
        if absent := [name for name in self._others if name not in present]:
            found = ", ".join(self._table.columns)
            raise FlywheelError(f"{self._table.path}: found no field {absent[0]!r}; there are: {found}")
        return References(
            path=self._table.path,
            id_field=self._id_field,
            ids=_ids(self._keys) if self._id_field in PATH_FIELDS else self._keys,
            texts=self._texts,
            columns={name: column for name, column in present.items() if name in _ROW_FIELDS},
            others={name: present[name] for name in self._others},
            audio=self._audio if len(self._audio) == len(self._keys) else (),
        )


def _heard(
    table: ForeignTable, references: References, id_field: str, hypothesis: str, reference: str | None
) -> Heard:
    problems = ProblemList(str(table.path))
    is_path = id_field in PATH_FIELDS
    texts: list[str | None] = [None] * len(references.ids)
    lines: dict[int, int] = {}
    unknown: list[str] = []
    others: list[str] = []
    for line, row in table.rows:
        key = id_of(row.get(id_field), line, id_field, problems)
        if not key:
            continue
        place = references.place(key, is_path=is_path)
        if place is None:
            unknown.append(key)
            continue
        if first := lines.get(place):
            problems.add(
                f"line {line}, {id_field}: found {key!r} again, first in line {first}; allowed: each row once"
            )
        lines[place] = line
        if reference is not None and not _same_text(row.get(reference), references.texts[place]):
            others.append(key)
        text = row.get(hypothesis)
        texts[place] = None if text is None else text_of(text, line, hypothesis, problems)
    if unknown:
        problems.add(_unknown(unknown, len(lines), references))
    elif not lines and not problems.count:
        problems.add("found no rows; at least one is needed")
    if others:
        problems.add(
            f"the references of {counted(len(others), 'row')} are not those of {references.path}: {shown(others)}; "
            "compare what was heard of the same rows"
        )
    problems.refuse()
    return Heard(table.path, id_field, texts)


def _same_text(one: object, other: str) -> bool:
    if one == other:
        return True
    return isinstance(one, str) and _plain_spaces(one) == _plain_spaces(other)


def _plain_spaces(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


def _unknown(ids: Sequence[str], known: int, references: References) -> str:
    of = "hypotheses are" if len(ids) > 1 else "hypothesis is"
    problem = f"{len(ids)} {of} of rows that {references.path} does not have: {shown(ids)}"
    if not known:
        return f"{problem}; its rows are named like {shown(references.ids[:2])}: name the ids with --id-field"
    return f"{problem}; give the references of all that was transcribed"


def _places(names: Sequence[str]) -> dict[str, int]:
    places: dict[str, int] = {}
    for place, name in enumerate(names):
        places[name] = _SEVERAL if name in places else place
    return places


def _stem(path: str) -> str:
    """The file name without its last suffix; paths of either kind of system."""
    name = path[max(path.rfind("/"), path.rfind("\\")) + 1 :]
    dot = name.rfind(".")
    return name[:dot] if dot > 0 else name


def _ids(paths: Sequence[str]) -> Sequence[str]:
    """The stems where they tell the rows apart, else the paths."""
    stems = list(map(_stem, paths))
    return stems if len(set(stems)) == len(stems) else paths
