"""Scores over rows: each metric with its interval, by slice and by every field that explains it.

The result is `scores.json`. A metric that a slice does not have is absent, and so is an empty slice; a
bound that the rows cannot give is null. Rates are fractions.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from flywheel.errors import FlywheelError
from flywheel.scoring.doses import NO_DOSES, DoseErrors
from flywheel.scoring.errors import ErrorCounts
from flywheel.scoring.garbage_collection import no_cycle_collection
from flywheel.scoring.intervals import Estimate, cluster_bootstrap, wilson
from flywheel.scoring.normalizers import Normalizer
from flywheel.scoring.rows import RowScore
from flywheel.scoring.slices import SLICES, slices_of
from flywheel.scoring.transcripts import ScoringError

__all__ = [
    "BREAKDOWNS",
    "cluster_codes",
    "coded",
    "keyword_error_rate",
    "slice_rows",
    "summarise",
]

BREAKDOWNS = ("entity_category", "ipa_source", "noise_level", "term", "voice_id", "context_type")
"""The fields by which every slice is broken down."""

_SUBSTITUTIONS_SHOWN = 5
_NOTHING = ErrorCounts(0, 0, 0, 0)

Indices: TypeAlias = npt.NDArray[np.intp]
Counts: TypeAlias = npt.NDArray[np.int64]


def slice_rows(row_scores: Iterable[RowScore], name: str) -> list[RowScore]:
    """The rows of one slice, in their order."""
    if name not in SLICES:
        raise FlywheelError(f"slice: found {name!r}, allowed: {', '.join(SLICES)}")
    return [row for row in row_scores if name in slices_of(row.transcript)]


def keyword_error_rate(row_scores: Iterable[RowScore]) -> Estimate | None:
    """The KER of the rows that have a term, with Wilson's interval; None where no row has one."""
    outcomes = [row.term_missed for row in row_scores if row.term_missed is not None]
    return wilson(sum(outcomes), len(outcomes)) if outcomes else None


@no_cycle_collection()
def summarise(
    row_scores: Sequence[RowScore], *, model: str, normalizer: Normalizer, seed: int = 42
) -> dict[str, Any]:
    """The content of `scores.json` for rows scored with one normaliser.

    Args:
        row_scores: of any slices, mixed.
        model: name of the model that was evaluated.
        normalizer: the one that the rows were scored with.
        seed: of the bootstrap.

    Returns:
        ``{"model", "normalizer", "rows", "rows_in_no_slice", "slices": {slice: ...}}``. A slice holds
        `rows`; `ker wer cer ser`, each with `value low high n` (n in rows); `wer` and `cer` are micro
        averages and carry `macro`, the counts and the reference length; `keyword_precision`,
        `false_insertions`, `wer_term_words`, `wer_other_words`, `rows_without_term_in_text`; `doses`, the
        counts of `DoseErrors` with `rate low high` of those not heard right and `n`, the quantities in the
        references (absent where these hold none, and where the normaliser leaves them unreadable); `by` with
        `ker` and `wer` for each level of each field of `BREAKDOWNS`; and `substitutions`, for each term
        that was missed the most frequent renderings, an empty one where it was left out.

    Raises:
        ScoringError: no rows, rows of another normaliser, or a subset that the split does not know.
    """
    _check_normalizer(row_scores, normalizer)
    places: dict[str, list[int]] = {name: [] for name in SLICES}
    unsliced = 0
    for place, row in enumerate(row_scores):
        names = slices_of(row.transcript)
        unsliced += not names
        for name in names:
            places[name].append(place)
    columns = _columns(row_scores)
    members = {name: np.array(at, dtype=np.intp) for name, at in places.items() if at}
    # Nearly all of the time goes into numpy's draws, which let threads run beside each other.
    with ThreadPoolExecutor() as pool:
        scores = pool.map(lambda at: _slice_scores(row_scores, columns, at, seed), members.values())
        slices = dict(zip(members, scores, strict=True))
    return {
        "model": model,
        "normalizer": normalizer.as_dict(),
        "rows": len(row_scores),
        "rows_in_no_slice": unsliced,
        "slices": slices,
    }


def _check_normalizer(row_scores: Sequence[RowScore], normalizer: Normalizer) -> None:
    if not row_scores:
        raise ScoringError("scores", ["found no scored rows, at least one is needed"])
    if others := {row.normalizer for row in row_scores} - {normalizer.label}:
        found = ", ".join(sorted(others))
        raise ScoringError("scores", [f"rows scored with {found}, to be summarised as {normalizer.label}"])


@dataclass(frozen=True, slots=True)
class _Columns:
    """The rows as arrays: one entry a row, `Counts` of shape (rows, 4) in the order of `ErrorCounts`."""

    missed: npt.NDArray[np.int8]  # 1 missed, 0 found, -1 without term
    sentence_wrong: npt.NDArray[np.bool_]
    words: Counts
    characters: Counts
    term_words: Counts  # all zero where the row has none
    true_terms: Counts
    false_terms: Counts
    doses: Counts  # of shape (rows, 6) in the order of `DoseErrors`, all zero where the row has none
    clusters: Indices
    levels: Mapping[str, tuple[tuple[str | None, ...], Indices]]  # for a field its levels, and each row's


def _columns(rows: Sequence[RowScore]) -> _Columns:
    def of_rows(name: str) -> Iterator[Any]:
        return map(attrgetter(name), rows)

    return _Columns(
        missed=np.array([-1 if row.term_missed is None else row.term_missed for row in rows], dtype=np.int8),
        sentence_wrong=np.fromiter(of_rows("sentence_wrong"), dtype=np.bool_),
        words=_counts_of(of_rows("words")),
        characters=_counts_of(of_rows("characters")),
        term_words=_counts_of(counts or _NOTHING for counts in of_rows("term_words")),
        true_terms=np.fromiter(of_rows("true_terms"), dtype=np.int64),
        false_terms=np.fromiter(map(len, of_rows("false_insertions")), dtype=np.int64),
        doses=_counts_of((doses or NO_DOSES for doses in of_rows("doses")), fields=len(NO_DOSES)),
        clusters=cluster_codes(rows),
        levels={field: coded(of_rows(f"transcript.{field}")) for field in BREAKDOWNS},
    )


def _counts_of(counts: Iterable[tuple[int, ...]], fields: int = len(_NOTHING)) -> Counts:
    # Several times as fast as an array of the tuples, which numpy would look through one by one.
    return np.fromiter(chain.from_iterable(counts), dtype=np.int64).reshape(-1, fields)


def coded(values: Iterable[str | None]) -> tuple[tuple[str | None, ...], Indices]:
    """The levels, sorted so that the order of the rows changes nothing (None first), and each value's place."""
    places: defaultdict[str | None, int] = defaultdict(lambda: len(places))
    met = np.fromiter(map(places.__getitem__, values), dtype=np.intp)
    levels = tuple(sorted(places, key=lambda level: (level is not None, level or "")))
    rank = np.empty(len(levels), dtype=np.intp)
    rank[[places[level] for level in levels]] = np.arange(len(levels))
    return levels, rank[met]


def cluster_codes(row_scores: Iterable[RowScore]) -> Indices:
    """A number for each row, the same for rows of one `RowScore.cluster`, whatever the order of the rows."""
    return coded(row.cluster for row in row_scores)[1]


def _slice_scores(rows: Sequence[RowScore], columns: _Columns, at: Indices, seed: int) -> dict[str, Any]:
    words, clusters = columns.words[at], columns.clusters[at]
    wrong = columns.sentence_wrong[at]
    scores: dict[str, Any] = {"rows": len(at)}
    if ker := _keyword_errors(columns.missed[at]):
        scores["ker"] = ker.as_dict()
    scores["wer"] = _error_rate(words, clusters, seed).as_dict() | _counts(words, "words")
    characters = columns.characters[at]
    scores["cer"] = _error_rate(characters, clusters, seed).as_dict() | _counts(characters, "characters")
    scores["ser"] = wilson(int(wrong.sum()), len(at)).as_dict()
    scores |= _keyword_scores(columns, at)
    scores |= _term_word_scores(columns, at, seed)
    scores |= _dose_scores(columns.doses[at])
    scores["by"] = _breakdowns(columns, at, seed)
    if substitutions := _substitutions(rows, at[columns.missed[at] == 1]):
        scores["substitutions"] = substitutions
    return scores


def _keyword_errors(missed: npt.NDArray[np.int8]) -> Estimate | None:
    with_term = missed[missed >= 0]
    return wilson(int(with_term.sum()), len(with_term)) if len(with_term) else None


def _error_rate(counts: Counts, clusters: Indices, seed: int) -> Estimate:
    """The micro average with its interval; without reference words the counts' own rate, without bounds."""
    errors, lengths = counts[:, :3].sum(axis=1), counts[:, 3]
    if lengths.any():
        return cluster_bootstrap(errors, lengths, clusters, seed=seed)
    return Estimate(float(errors.sum()), None, None, len(counts))


def _counts(counts: Counts, unit: str) -> dict[str, float | int]:
    errors, lengths = counts[:, :3].sum(axis=1), counts[:, 3]
    # An empty reference has only insertions, and their number is its rate: see `ErrorCounts.rate`.
    rates = errors / np.where(lengths > 0, lengths, 1)
    substitutions, deletions, insertions, length = (int(total) for total in counts.sum(axis=0))
    return {
        # Summed exactly, and so the same in any order of the rows.
        "macro": math.fsum(rates) / len(rates),
        "substitutions": substitutions,
        "deletions": deletions,
        "insertions": insertions,
        f"reference_{unit}": length,
    }


def _keyword_scores(columns: _Columns, at: Indices) -> dict[str, Any]:
    true, false = int(columns.true_terms[at].sum()), columns.false_terms[at]
    with_false = wilson(int((false > 0).sum()), len(at)).as_dict()
    scores: dict[str, Any] = {
        "false_insertions": {
            "count": int(false.sum()),
            "rate": with_false.pop("value"),
            **with_false,
        }
    }
    if said := true + int(false.sum()):
        scores["keyword_precision"] = wilson(true, said).as_dict()
    return scores


def _term_word_scores(columns: _Columns, at: Indices, seed: int) -> dict[str, Any]:
    clinical = at[columns.missed[at] >= 0]
    if not len(clinical):
        return {}
    placed = clinical[columns.term_words[clinical, 3] > 0]
    scores: dict[str, Any] = {"rows_without_term_in_text": len(clinical) - len(placed)}
    if len(placed):
        of_term, clusters = columns.term_words[placed], columns.clusters[placed]
        of_others = columns.words[placed] - of_term
        scores["wer_term_words"] = _error_rate(of_term, clusters, seed).as_dict()
        if of_others[:, 3].any():
            scores["wer_other_words"] = _error_rate(of_others, clusters, seed).as_dict()
    return scores


def _dose_scores(doses: Counts) -> dict[str, Any]:
    """What became of the references' quantities, and the share that was not heard right; nothing of none.

    A quantity is heard right where it is neither wrong nor missing. Invented ones stand beside the rate: they
    are not of the references.
    """
    total = DoseErrors(*(int(count) for count in doses.sum(axis=0)))
    if not total.quantities:
        return {}
    not_right = total.wrong_value + total.wrong_unit + total.missing
    rate = wilson(not_right, total.quantities).as_dict()
    return {"doses": total._asdict() | {"rate": rate.pop("value"), **rate}}


def _breakdowns(columns: _Columns, at: Indices, seed: int) -> dict[str, dict[str, Any]]:
    return {
        field: levels
        for field in BREAKDOWNS
        if (levels := {name: _level_scores(columns, part, seed) for name, part in _parts(columns, field, at)})
    }


def _parts(columns: _Columns, field: str, at: Indices) -> list[tuple[str, Indices]]:
    """The rows of each level of a field, levels in alphabetical order; no part for rows without one."""
    names, codes = columns.levels[field]
    order = np.argsort(codes[at], kind="stable")
    in_order = at[order]
    present, starts = np.unique(codes[in_order], return_index=True)
    parts = zip(present, np.split(in_order, starts[1:]), strict=True)
    return sorted((name, part) for code, part in parts if (name := names[code]) is not None)


def _level_scores(columns: _Columns, at: Indices, seed: int) -> dict[str, Any]:
    scores: dict[str, Any] = {}
    if ker := _keyword_errors(columns.missed[at]):
        scores["ker"] = ker.as_dict()
    scores["wer"] = _error_rate(columns.words[at], columns.clusters[at], seed).as_dict()
    return scores


def _substitutions(rows: Sequence[RowScore], missed: Indices) -> dict[str, list[dict[str, Any]]]:
    heard: dict[str, Counter[str]] = defaultdict(Counter)
    for row in (rows[place] for place in missed.tolist()):
        if row.heard is not None and row.transcript.term is not None:
            heard[row.transcript.term][row.heard] += 1
    return {
        term: [
            {"heard": rendering, "count": count}
            for rendering, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        ][:_SUBSTITUTIONS_SHOWN]
        for term, counts in sorted(heard.items())
    }
