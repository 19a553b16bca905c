"""The rates of any rows together, whatever slice they are of: of a whole file, or of one level of a field."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from flywheel.cli.scored import Scored
from flywheel.scoring.breakdowns import cluster_codes
from flywheel.scoring.comparison import RateChange
from flywheel.scoring.doses import NO_DOSES, DoseErrors
from flywheel.scoring.errors import ErrorCounts
from flywheel.scoring.intervals import Estimate, cluster_bootstrap, paired_bootstrap, wilson
from flywheel.scoring.rows import RowScore

__all__ = ["RateTable", "change_of_rates"]

Counts: TypeAlias = npt.NDArray[np.int64]
Places: TypeAlias = npt.NDArray[np.intp]

_NO_TERM = -1
_OF_MENTIONS = frozenset(("term", "entity_category"))
"""The fields that a mention has for itself; its others are its row's."""


class RateTable:
    """What was counted in each row, as arrays, so that rates of many selections of a million rows are cheap.

    Args:
        scored: rows and mentions.
        seed: of the bootstrap.
    """

    def __init__(self, scored: Scored, *, seed: int) -> None:
        rows = scored.rows
        self._scored = scored
        self._seed = seed
        self._words = _counts(row.words for row in rows)
        self._characters = _counts(row.characters for row in rows)
        self._doses = _counts((row.doses or NO_DOSES for row in rows), width=len(NO_DOSES))
        self._wrong = np.array([row.sentence_wrong for row in rows], dtype=np.bool_)
        self._false_terms = np.array([len(row.false_insertions) for row in rows], dtype=np.int64)
        self._clusters = cluster_codes(rows)
        self._missed = np.array(
            [_NO_TERM if row.term_missed is None else row.term_missed for row in scored.mentions],
            dtype=np.int8,
        )

    def of_all(self) -> dict[str, Any]:
        """The rates of every row; see `_rates`."""
        return self._rates(np.arange(len(self._words)), np.arange(len(self._missed)))

    def by(self, name: str, values: Sequence[str | None]) -> dict[str, dict[str, Any]]:
        """The rates of each level of a field, in alphabetical order; rows without a value are in none.

        Args:
            name: of the field; `term` and `entity_category` are read from the mentions.
            values: of each row, in their order, for any other field.
        """
        levels: dict[str, tuple[dict[int, None], list[int]]] = defaultdict(lambda: ({}, []))
        for at, (place, value) in enumerate(self._labelled(name, values)):
            if value is not None:
                rows, mentions = levels[value]
                # A row that says several terms of one category is one row of that level.
                rows[place] = None
                mentions.append(at)
        return {
            level: self._rates(np.array([*rows], dtype=np.intp), np.array(mentions, dtype=np.intp))
            for level, (rows, mentions) in sorted(levels.items())
        }

    def _labelled(self, name: str, values: Sequence[str | None]) -> Iterator[tuple[int, str | None]]:
        """The row of each mention, and the level that it is of."""
        mentions = zip(self._scored.places, self._scored.mentions, strict=True)
        if name in _OF_MENTIONS:
            return ((place, getattr(mention.transcript, name)) for place, mention in mentions)
        return ((place, values[place]) for place, _ in mentions)

    def _rates(self, rows: Places, mentions: Places) -> dict[str, Any]:
        """`rows`, `wer` and `cer` (with their counts), `ser` and `false_insertions`, each with `value low high n`.

        Also `ker` where a row has a term, with `missed`; `doses` where a row has a quantity. Rates are fractions.
        """
        n = len(rows)
        false_terms = self._false_terms[rows]
        rates: dict[str, Any] = {
            "rows": n,
            "wer": self._error_rate(self._words, rows, "words"),
            "cer": self._error_rate(self._characters, rows, "characters"),
            "ser": wilson(int(self._wrong[rows].sum()), n).as_dict(),
            "false_insertions": {
                **wilson(int((false_terms > 0).sum()), n).as_dict(),
                "count": int(false_terms.sum()),
            },
        }
        missed = self._missed[mentions]
        missed = missed[missed != _NO_TERM]
        if len(missed):
            rates["ker"] = {**wilson(int(missed.sum()), len(missed)).as_dict(), "missed": int(missed.sum())}
        doses = DoseErrors(*self._doses[rows].sum(axis=0).tolist())
        if doses.quantities or doses.invented:
            rates["doses"] = doses._asdict()
        return rates

    def _error_rate(self, counts: Counts, rows: Places, unit: str) -> dict[str, Any]:
        of_rows = counts[rows]
        errors, lengths = of_rows[:, :3].sum(axis=1), of_rows[:, 3]
        if lengths.any():
            estimate = cluster_bootstrap(errors, lengths, self._clusters[rows], seed=self._seed)
        else:
            # Of references without a word the rate is the number of insertions, as in `ErrorCounts.rate`.
            estimate = Estimate(float(errors.sum()), None, None, len(rows))
        substitutions, deletions, insertions, length = of_rows.sum(axis=0).tolist()
        return {
            **estimate.as_dict(),
            "substitutions": substitutions,
            "deletions": deletions,
            "insertions": insertions,
            f"reference_{unit}": length,
        }


def change_of_rates(
    before: Sequence[RowScore], after: Sequence[RowScore], *, seed: int
) -> dict[str, RateChange]:
    """`wer`, `cer` and `ser` of all rows together; both sides have the same rows in the same order."""
    clusters = cluster_codes(before)
    words = _change(_counts(row.words for row in before), _counts(row.words for row in after), clusters, seed)
    characters = _change(
        _counts(row.characters for row in before), _counts(row.characters for row in after), clusters, seed
    )
    sentences = _change(_sentences(before), _sentences(after), clusters, seed)
    return {
        "wer": words,
        "cer": characters,
        "ser": replace(sentences, before=_sentence_rate(before), after=_sentence_rate(after)),
    }


def _sentence_rate(rows: Sequence[RowScore]) -> Estimate:
    return wilson(sum(row.sentence_wrong for row in rows), len(rows))


def _sentences(rows: Sequence[RowScore]) -> Counts:
    """Each row as one sentence that is wrong or right."""
    return _counts(ErrorCounts(int(row.sentence_wrong), 0, 0, 1) for row in rows)


def _change(before: Counts, after: Counts, clusters: Places, seed: int) -> RateChange:
    errors, errors_after = before[:, :3].sum(axis=1), after[:, :3].sum(axis=1)
    if before[:, 3].any():
        paired = paired_bootstrap(errors, errors_after, before[:, 3], clusters, seed=seed)
        return RateChange(paired.before, paired.after, paired.difference, improvement=paired.improvement)
    one, other, difference = (
        Estimate(float(counts.sum()), None, None, len(before))
        for counts in (errors, errors_after, errors_after - errors)
    )
    return RateChange(one, other, difference)


def _counts(counts: Iterator[tuple[int, ...]], width: int = 4) -> Counts:
    """Counts of each row, by default those of `ErrorCounts`: shape (rows, width)."""
    return np.fromiter(chain.from_iterable(counts), dtype=np.int64).reshape(-1, width)
