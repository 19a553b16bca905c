"""The table of scored rows, one line a row: `rows.parquet`, and `results.csv` as an export of the same table.

`COLUMNS` says what each column holds and in which unit. Rows that were counted once are read back from it as
`RowScore`; nobody scores them again.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from flywheel.errors import FlywheelError
from flywheel.files.atomic import atomic_path
from flywheel.files.cycles import made_by
from flywheel.scoring.doses import DoseErrors
from flywheel.scoring.errors import ErrorCounts
from flywheel.scoring.garbage_collection import no_cycle_collection
from flywheel.scoring.rows import RowScore
from flywheel.scoring.transcripts import Transcript

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "Column", "read_row_frame", "read_rows", "row_frame", "write_csv", "write_rows"]

_CSV_JOIN = "; "
_KINDS = ("substitutions", "deletions", "insertions")


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Args:
        kind: pandas' type; `object` is a list of texts.
        meaning: what a value is, with its unit; what a row does not have is null.
        read: the value of a row.
    """

    kind: str
    meaning: str
    read: Callable[[RowScore], Any]


def _of_transcript(name: str, meaning: str) -> Column:
    return Column("string", meaning, lambda row: getattr(row.transcript, name))


def _of_counts(field: str, place: int, meaning: str) -> Column:
    def read(row: RowScore) -> int | None:
        counts = getattr(row, field)
        return None if counts is None else int(counts[place])

    return Column("Int64", meaning, read)


COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "id": _of_transcript("id", "the row's id in the manifest"),
        "subset": _of_transcript("subset", "the split's subset"),
        "synthesis_group": _of_transcript("synthesis_group", "rows that differ only in added noise share it"),
        "term": _of_transcript("term", "the clinical term the row is about; null in general speech"),
        "entity_category": _of_transcript("entity_category", "the term's category; null in general speech"),
        "ipa_source": _of_transcript("ipa_source", "where the pronunciation came from"),
        "voice_id": _of_transcript("voice_id", "who speaks"),
        "noise_level": _of_transcript("noise_level", "clean, or the signal-to-noise ratio, e.g. snr_15db"),
        "context_type": _of_transcript("context_type", "dictation, handoff, chart_note or history"),
        "text": _of_transcript("text", "what was said, as the manifest has it"),
        "pred_text": _of_transcript("pred_text", "what the model heard, as it wrote it"),
        "normalizer": Column(
            "string", "name and version of what both texts went through", lambda row: row.normalizer
        ),
        "reference": Column("string", "what was said, normalised", lambda row: row.reference),
        "hypothesis": Column("string", "what was heard, normalised", lambda row: row.hypothesis),
        "ker": Column(
            "Int64",
            "1 the term was missed, 0 found",
            lambda row: None if row.term_missed is None else int(row.term_missed),
        ),
        "wer": Column("float64", "word errors by reference words, a fraction", lambda row: row.words.rate),
        "cer": Column(
            "float64",
            "character errors by reference characters, a fraction",
            lambda row: row.characters.rate,
        ),
        "ser": Column("Int64", "1 any error, 0 none", lambda row: int(row.sentence_wrong)),
        "substitutions": _of_counts("words", 0, "words"),
        "deletions": _of_counts("words", 1, "words"),
        "insertions": _of_counts("words", 2, "words"),
        "reference_words": _of_counts("words", 3, "words"),
        "character_errors": Column("Int64", "characters", lambda row: row.characters.errors),
        "character_substitutions": _of_counts("characters", 0, "characters"),
        "character_deletions": _of_counts("characters", 1, "characters"),
        "character_insertions": _of_counts("characters", 2, "characters"),
        "reference_characters": _of_counts("characters", 3, "characters"),
        "term_word_errors": Column(
            "Int64",
            "words; null where the reference does not hold the term",
            lambda row: None if row.term_words is None else row.term_words.errors,
        ),
        "term_substitutions": _of_counts("term_words", 0, "words"),
        "term_deletions": _of_counts("term_words", 1, "words"),
        "term_insertions": _of_counts("term_words", 2, "words"),
        "term_words": _of_counts("term_words", 3, "words"),
        "heard": Column(
            "string", "what stands in a missed term's place, empty where nothing does", lambda row: row.heard
        ),
        "true_terms": Column("Int64", "seeded terms that both texts hold", lambda row: row.true_terms),
        "false_insertions": Column(
            "object", "seeded terms heard that nobody said", lambda row: list(row.false_insertions)
        ),
        **{
            f"doses_{name}": _of_counts("doses", place, "quantities; null where the normaliser hides them")
            for place, name in enumerate(DoseErrors._fields)
        },
    }
)
"""What `rows.parquet` and `results.csv` hold, in their order."""


def row_frame(row_scores: Iterable[RowScore]) -> "pd.DataFrame":
    """The rows as a table with the columns `COLUMNS`."""
    import pandas as pd

    rows = list(row_scores)
    return pd.DataFrame(
        {name: pd.Series(list(map(column.read, rows)), dtype=column.kind) for name, column in COLUMNS.items()}
    )


def write_rows(parquet: Path, csv: Path, row_scores: Iterable[RowScore]) -> None:
    """Write the table of the rows, both files whole or not at all."""
    frame = row_frame(row_scores)
    with atomic_path(parquet) as path:
        frame.to_parquet(path, index=False)
    write_csv(csv, frame)


def write_csv(path: Path, frame: "pd.DataFrame") -> None:
    """Write a table of rows as CSV: what a row does not have is empty, false insertions are joined by `; `."""
    shown = frame.assign(false_insertions=frame["false_insertions"].map(_CSV_JOIN.join))
    with atomic_path(path) as temporary:
        shown.to_csv(temporary, index=False, lineterminator="\n")


def read_row_frame(parquet: Path) -> "pd.DataFrame":
    """The table that `write_rows` wrote.

    Raises:
        FlywheelError: there is no such file, it is damaged, or it is of another version.
    """
    import pandas as pd

    again = f"materialise {made_by(parquet) or 'its evaluation'} again: what was heard is kept, and only scored anew"
    if not parquet.is_file():
        raise FlywheelError(f"{parquet}: no such file; {again}")
    try:
        frame = pd.read_parquet(parquet)
    except (ValueError, OSError) as error:
        raise FlywheelError(f"{parquet}: not a table of rows ({_first_line(error)}); {again}") from None
    if missing := [name for name in COLUMNS if name not in frame.columns]:
        raise FlywheelError(f"{parquet}: found no column {', '.join(missing)}; {again}")
    return frame


@no_cycle_collection()
def read_rows(parquet: Path) -> list[RowScore]:
    """The rows that `write_rows` wrote, as they were scored; raises as `read_row_frame` does."""
    frame = read_row_frame(parquet)
    columns = {
        name: frame[name].astype(object).where(frame[name].notna(), None).tolist()
        if column.kind != "object"
        else frame[name].tolist()
        for name, column in COLUMNS.items()
    }

    def counts(*names: str) -> list[ErrorCounts | None]:
        return [
            None if each[0] is None else ErrorCounts(*each)
            for each in zip(*(columns[name] for name in names), strict=True)
        ]

    doses = zip(*(columns[f"doses_{name}"] for name in DoseErrors._fields), strict=True)
    transcripts = map(Transcript, *(columns[name] for name in Transcript.__dataclass_fields__))
    return [
        RowScore(*of_row)
        for of_row in zip(
            transcripts,
            columns["normalizer"],
            columns["reference"],
            columns["hypothesis"],
            counts("substitutions", "deletions", "insertions", "reference_words"),
            counts(*(f"character_{kind}" for kind in _KINDS), "reference_characters"),
            (None if missed is None else bool(missed) for missed in columns["ker"]),
            counts(*(f"term_{kind}" for kind in _KINDS), "term_words"),
            columns["heard"],
            columns["true_terms"],
            map(tuple, columns["false_insertions"]),
            (None if each[0] is None else DoseErrors(*each) for each in doses),
            strict=True,
        )
    ]


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
