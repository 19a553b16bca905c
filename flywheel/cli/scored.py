"""Anybody's files, scored: rows and mentions with their errors, and what was unusual about the files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Self

from flywheel.cli.pairing import Heard, References
from flywheel.cli.spoken_terms import Mention, categories_filled, distinct, with_listed_terms
from flywheel.scoring.aggregation import RowTable
from flywheel.scoring.normalizers import Normalizer
from flywheel.scoring.numbers_as_text import counted
from flywheel.scoring.rows import RowScore, score_rows
from flywheel.scoring.slices import SLICES, slices_of
from flywheel.scoring.transcripts import ScoringError, Transcript, shown

__all__ = ["Scored", "TestSet", "scored", "slice_labels"]

_WITHOUT_SPLIT = MappingProxyType({"held_out": "Rows with a term", "general": "Rows without a term"})


@dataclass(frozen=True, slots=True)
class TestSet:
    """References that are ready to be scored against.

    Args:
        references: with `term` and `entity_category` where the file or the list of terms has them.
        further: mentions of rows that hold several terms of the list.
        terms: the list, to be looked for in hypotheses; beside it the rows' own terms are.
        split: whether the file says to which subset its rows belong. Otherwise they are taken as held out
            (`validation`), and as `general` speech where they have no term: of a test set no more is known.
    """

    __test__ = False  # no test of pytest's

    references: References
    further: tuple[Mention, ...] = ()
    terms: tuple[str, ...] = ()
    split: bool = False

    @classmethod
    def of(cls, references: References, terms: Mapping[str, str] | None, normalizer: Normalizer) -> Self:
        """The rows with their own terms, or else with those of the list."""
        terms = distinct(terms or {}, normalizer)
        further: tuple[Mention, ...] = ()
        if terms and "term" not in references.columns:
            references, further = with_listed_terms(references, terms, normalizer)
        references = categories_filled(references)
        split = "subset" in references.columns
        if not split:
            of_row = references.columns.get("term") or [None] * len(references.ids)
            subset = ["general" if term is None else "validation" for term in of_row]
            references = replace(references, columns={**references.columns, "subset": subset})
        return cls(references, further, tuple(terms), split)


@dataclass(frozen=True)
class Scored:
    """What one recogniser made of a test set.

    Args:
        rows: a score for each row of the references, in their order.
        further: a score for each mention beside the first of its row; its id names row and term.
        further_places: the place in `rows` of each of these.
        missing: the ids of rows without a hypothesis, counted as heard empty.
        empty: the ids of rows in whose reference nothing is said.
        split: whether the rows came with a split that could be used.
        notes: what a reader of the figures should know of the files, a sentence each.
    """

    rows: Sequence[RowScore]
    further: Sequence[RowScore]
    further_places: Sequence[int]
    missing: tuple[str, ...]
    empty: tuple[str, ...]
    split: bool
    notes: tuple[str, ...]

    @property
    def mentions(self) -> Sequence[RowScore]:
        """What the KER is over: each term that a row holds."""
        return self.table.mentions

    @cached_property
    def table(self) -> RowTable:
        """Rows and mentions, ready to be added up."""
        return RowTable(self.rows, self.further, self.further_places)


def scored(test_set: TestSet, heard: Heard, normalizer: Normalizer) -> Scored:
    """The errors of one recogniser.

    Raises:
        ScoringError: a term of which the normaliser leaves nothing.
    """
    references = test_set.references
    transcripts = references.transcripts(heard)
    rows = score_rows(transcripts, normalizer, test_set.terms)
    further = score_rows(
        [_of_mention(transcripts[each.place], each) for each in test_set.further], normalizer
    )
    missing = heard.missing(references)
    empty = tuple(row.id for row in rows if not row.reference)
    notes = _notes_on_texts(heard.path, missing, empty, len(rows))
    misfit = _misfit([*rows, *further]) if test_set.split else None
    if misfit:
        notes.append(f"{references.path}: {misfit}; the subsets of the rows are not used")
        rows, further = _held_out(rows), _held_out(further)
    return Scored(
        rows=rows,
        further=further,
        further_places=[each.place for each in test_set.further],
        missing=missing,
        empty=empty,
        split=test_set.split and misfit is None,
        notes=tuple(notes),
    )


def slice_labels(*, split: bool) -> Mapping[str, str]:
    """The slices that a report shows, by name: of a file without a split only two say something."""
    return {name: name for name in SLICES} if split else _WITHOUT_SPLIT


def _of_mention(row: Transcript, mention: Mention) -> Transcript:
    return replace(row, id=f"{row.id} ({mention.term})", term=mention.term, entity_category=mention.category)


def _notes_on_texts(path: Path, missing: Sequence[str], empty: Sequence[str], rows: int) -> list[str]:
    notes = []
    if missing:
        notes.append(
            f"{path}: {len(missing)} of {counted(rows, 'row')} without a hypothesis, counted as heard empty: "
            f"{shown(missing)}"
        )
    if empty:
        notes.append(
            f"{counted(len(empty), 'row')} without a word in the reference, whose inserted words count as errors: "
            f"{shown(empty)}"
        )
    return notes


def _misfit(rows: Sequence[RowScore]) -> str | None:
    """Why the rows' subsets are not those of a split that scoring knows; None where they are."""
    # Rows of one subset that all have a term, or all have none, stand in the same slices.
    kinds = {(row.transcript.subset, row.transcript.term is None): row for row in rows}
    try:
        for row in kinds.values():
            slices_of(row.transcript)
    except ScoringError as error:
        return error.problems[0]
    return None


def _held_out(rows: Sequence[RowScore]) -> list[RowScore]:
    return [
        replace(
            row,
            transcript=replace(
                row.transcript, subset="general" if row.transcript.term is None else "validation"
            ),
        )
        for row in rows
    ]
