"""From scored rows to rates with intervals: of all rows, of a slice, of each level of a field.

The one place where rows are added up: the scores of a cycle, the command line and comparisons all use `RowTable`.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import chain
from operator import attrgetter
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from flywheel.errors import FlywheelError
from flywheel.scoring.doses import NO_DOSES, DoseErrors
from flywheel.scoring.errors import ErrorCounts
from flywheel.scoring.garbage_collection import no_cycle_collection
from flywheel.scoring.intervals import Estimate, cluster_bootstrap, wilson
from flywheel.scoring.normalizers import Normalizer
from flywheel.scoring.rows import RowScore
from flywheel.scoring.scores import (
    Doses,
    ErrorRate,
    FalseInsertions,
    Level,
    NormalizerName,
    Rates,
    Rendering,
    Scores,
    SliceScores,
)
from flywheel.scoring.slices import SLICES, slices_of
from flywheel.scoring.transcripts import ScoringError

__all__ = [
    "BREAKDOWNS",
    "Counts",
    "Indices",
    "RowTable",
    "keyword_error_rate",
    "slice_rows",
    "summarise",
    "word_error_rate",
]

BREAKDOWNS = ("entity_category", "ipa_source", "noise_level", "term", "voice_id", "context_type")
"""The fields by which every slice is broken down."""

_OF_MENTIONS = frozenset(("term", "entity_category"))
"""The fields that a mention has for itself; its others are its row's."""
_SUBSTITUTIONS_SHOWN = 5
_NO_ERRORS = ErrorCounts(0, 0, 0, 0)
_NO_TERM = -1

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


def word_error_rate(row_scores: Sequence[RowScore], seed: int = 42) -> Estimate | None:
    """The WER of some rows together, with its clustered interval; None where their references hold no word."""
    table = RowTable(row_scores)
    return _micro(table.words, table.clusters, seed) if table.words[:, 3].any() else None


def summarise(
    row_scores: Sequence[RowScore], *, model: str, normalizer: Normalizer, seed: int = 42
) -> Scores:
    """The scores of rows that were scored with one normaliser, see `RowTable.scores`."""
    return RowTable(row_scores).scores(model=model, normalizer=normalizer, seed=seed)


class RowTable:
    """What was counted in each row, as arrays, so that rates of many selections of a million rows are cheap.

    Counts are of shape (rows, 4) in the order of `ErrorCounts`. A *mention* is a term that a row holds: a row's own
    one, or one of several where rows hold several. What is about terms is over mentions, the rest over rows.

    Args:
        rows: scored, of any slices, mixed.
        further: a score for each mention beside the first of its row.
        places: the place in `rows` of each of these.
    """

    def __init__(
        self, rows: Sequence[RowScore], further: Sequence[RowScore] = (), places: Sequence[int] = ()
    ) -> None:
        self.rows = rows
        self.mentions = [*rows, *further] if further else rows
        self.row_of_mention: Indices = np.array([*range(len(rows)), *places], dtype=np.intp)

    @cached_property
    def words(self) -> Counts:
        """Word errors of each row."""
        return _counts(row.words for row in self.rows)

    @cached_property
    def characters(self) -> Counts:
        """Character errors of each row."""
        return _counts(row.characters for row in self.rows)

    @cached_property
    def wrong(self) -> npt.NDArray[np.bool_]:
        """Whether a row has any error."""
        return np.fromiter((row.sentence_wrong for row in self.rows), dtype=np.bool_)

    @cached_property
    def clusters(self) -> Indices:
        """A number for each row, the same for rows of one `RowScore.cluster`."""
        return _coded(row.cluster for row in self.rows)[1]

    @cached_property
    def missed(self) -> npt.NDArray[np.int8]:
        """Of each mention: 1 missed, 0 found, -1 a row without a term."""
        return np.array(
            [_NO_TERM if row.term_missed is None else row.term_missed for row in self.mentions], dtype=np.int8
        )

    @cached_property
    def clusters_of_mentions(self) -> Indices:
        """As `clusters`, of each mention."""
        if self.mentions is self.rows:
            return self.clusters
        return _coded(row.cluster for row in self.mentions)[1]

    @cached_property
    def voices(self) -> Indices:
        """A number for each mention, the same for rows of one voice."""
        return self._levels("voice_id")[1]

    @cached_property
    def categories(self) -> Sequence[str | None]:
        """The entity category of each mention."""
        return [row.transcript.entity_category for row in self.mentions]

    @cached_property
    def slices(self) -> Mapping[str, Indices]:
        """The mentions of each slice that has some, in the order of `SLICES`.

        Raises:
            ScoringError: a subset that the split does not know.
        """
        members: dict[str, list[int]] = {name: [] for name in SLICES}
        for place, row in enumerate(self.mentions):
            for name in slices_of(row.transcript):
                members[name].append(place)
        return {name: np.array(at, dtype=np.intp) for name, at in members.items() if at}

    def rows_at(self, mentions: Indices) -> Indices:
        """The rows that hold these mentions, each once."""
        return mentions if self.mentions is self.rows else np.unique(self.row_of_mention[mentions])

    def rates(self, *, seed: int = 42) -> Rates:
        """The rates of all rows together, whatever their slice."""
        return self._rates(np.arange(len(self.mentions)), seed)

    def by(
        self,
        field: str,
        values: Sequence[str | None] | None = None,
        *,
        slice_name: str | None = None,
        seed: int = 42,
    ) -> dict[str, Rates]:
        """The rates of each level of a field, in alphabetical order; rows without a value are in none.

        Args:
            field: of the transcripts, or any field where `values` are given. `term` and `entity_category` are read
                from the mentions: a row with two drugs is one row of the level `drug`.
            values: of each row.
            slice_name: of which slice; of all rows if None.
            seed: of the bootstrap.
        """
        at = np.arange(len(self.mentions)) if slice_name is None else self.slices[slice_name]
        return {level: self._rates(part, seed) for level, part in self._parts(field, at, values)}

    @no_cycle_collection()
    def scores(self, *, model: str, normalizer: Normalizer, seed: int = 42) -> Scores:
        """All slices with all breakdowns.

        Args:
            model: name of the model that was evaluated.
            normalizer: the one that the rows were scored with.
            seed: of the bootstrap.

        Raises:
            ScoringError: no rows, rows of another normaliser, or a subset that the split does not know.
        """
        _check_normalizer(self.rows, normalizer)
        sliced = self.slices
        self._read_all()
        # Nearly all of the time goes into numpy's draws, which let threads run beside each other.
        with ThreadPoolExecutor() as pool:
            scores = pool.map(lambda at: self._slice_scores(at, seed), sliced.values())
            slices = dict(zip(sliced, scores, strict=True))
        in_slices = np.unique(self.row_of_mention[np.concatenate([*sliced.values(), np.array([], np.intp)])])
        return Scores(
            model=model,
            normalizer=NormalizerName(normalizer.name, normalizer.version),
            rows=len(self.rows),
            rows_in_no_slice=len(self.rows) - len(in_slices),
            slices=slices,
        )

    def _read_all(self) -> None:
        """Read every array before threads would each do it."""
        _ = (self.words, self.characters, self.wrong, self.clusters, self.clusters_of_mentions, self.missed)
        _ = (self._term_words, self._true_terms, self._false_terms, self._doses)
        for field in BREAKDOWNS:
            self._levels(field)

    @cached_property
    def _term_words(self) -> Counts:
        """Errors on the words of each mention; all zero where it has none."""
        return _counts(row.term_words or _NO_ERRORS for row in self.mentions)

    @cached_property
    def _true_terms(self) -> Counts:
        return np.fromiter((row.true_terms for row in self.rows), dtype=np.int64)

    @cached_property
    def _false_terms(self) -> Counts:
        return np.fromiter((len(row.false_insertions) for row in self.rows), dtype=np.int64)

    @cached_property
    def _doses(self) -> Counts:
        """Of shape (rows, 6) in the order of `DoseErrors`."""
        return _counts((row.doses or NO_DOSES for row in self.rows), fields=len(NO_DOSES))

    @cached_property
    def _known_levels(self) -> dict[str, tuple[tuple[str | None, ...], Indices]]:
        return {}

    def _levels(self, field: str) -> tuple[tuple[str | None, ...], Indices]:
        """The levels of a transcript's field, and the place among them of each mention."""
        if field not in self._known_levels:
            read = attrgetter(f"transcript.{field}")
            self._known_levels[field] = _coded(map(read, self.mentions))
        return self._known_levels[field]

    def _parts(
        self, field: str, at: Indices, values: Sequence[str | None] | None = None
    ) -> list[tuple[str, Indices]]:
        """The mentions of each level of a field among those `at` these places, in alphabetical order of the levels;
        no part for rows without one."""
        if values is None or field in _OF_MENTIONS:
            names, codes = self._levels(field)
        else:
            names, of_rows = _coded(values)
            codes = of_rows[self.row_of_mention]
        order = np.argsort(codes[at], kind="stable")
        in_order = at[order]
        present, starts = np.unique(codes[in_order], return_index=True)
        parts = zip(present, np.split(in_order, starts[1:]), strict=True)
        return sorted((name, part) for code, part in parts if (name := names[code]) is not None)

    def _rates(self, mentions: Indices, seed: int) -> Rates:
        at = self.rows_at(mentions)
        ker, missed = self._keyword_errors(mentions)
        false = self._false_terms[at]
        with_false = wilson(int((false > 0).sum()), len(at))
        return Rates(
            rows=len(at),
            wer=_error_rate(self.words[at], self.clusters[at], seed),
            cer=_error_rate(self.characters[at], self.clusters[at], seed),
            ser=wilson(int(self.wrong[at].sum()), len(at)),
            false_insertions=FalseInsertions(
                with_false.value, with_false.low, with_false.high, with_false.n, count=int(false.sum())
            ),
            ker=ker,
            missed=missed,
            doses=_dose_rates(self._doses[at]),
        )

    def _keyword_errors(self, mentions: Indices) -> tuple[Estimate | None, int | None]:
        missed = self.missed[mentions]
        with_term = missed[missed != _NO_TERM]
        if not len(with_term):
            return None, None
        count = int(with_term.sum())
        return wilson(count, len(with_term)), count

    def _slice_scores(self, mentions: Indices, seed: int) -> SliceScores:
        rates = self._rates(mentions, seed)
        at = self.rows_at(mentions)
        true, false = int(self._true_terms[at].sum()), rates.false_insertions.count
        without, of_terms, of_others = self._term_word_rates(mentions, seed)
        return SliceScores(
            **{name: getattr(rates, name) for name in Rates.__dataclass_fields__},
            keyword_precision=wilson(true, true + false) if true + false else None,
            wer_term_words=of_terms,
            wer_other_words=of_others,
            rows_without_term_in_text=without,
            by={
                field: levels
                for field in BREAKDOWNS
                if (
                    levels := {level: self._level(part, seed) for level, part in self._parts(field, mentions)}
                )
            },
            substitutions=self._substitutions(mentions) or None,
        )

    def _term_word_rates(
        self, mentions: Indices, seed: int
    ) -> tuple[int | None, Estimate | None, Estimate | None]:
        """How many references do not hold their term; the WER on the words of the others' terms, and beside them."""
        clinical = mentions[self.missed[mentions] != _NO_TERM]
        if not len(clinical):
            return None, None, None
        placed = clinical[self._term_words[clinical, 3] > 0]
        without = len(clinical) - len(placed)
        if not len(placed):
            return without, None, None
        of_term, clusters = self._term_words[placed], self.clusters_of_mentions[placed]
        of_others = self.words[self.row_of_mention[placed]] - of_term
        beside = _micro(of_others, clusters, seed) if of_others[:, 3].any() else None
        return without, _micro(of_term, clusters, seed), beside

    def _level(self, mentions: Indices, seed: int) -> Level:
        at = self.rows_at(mentions)
        return Level(
            wer=_micro(self.words[at], self.clusters[at], seed), ker=self._keyword_errors(mentions)[0]
        )

    def _substitutions(self, mentions: Indices) -> dict[str, tuple[Rendering, ...]]:
        heard: dict[str, Counter[str]] = defaultdict(Counter)
        for row in (self.mentions[place] for place in mentions[self.missed[mentions] == 1].tolist()):
            if row.heard is not None and row.transcript.term is not None:
                heard[row.transcript.term][row.heard] += 1
        return {
            term: tuple(
                Rendering(rendering, count)
                for rendering, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
            )[:_SUBSTITUTIONS_SHOWN]
            for term, counts in sorted(heard.items())
        }


def _check_normalizer(row_scores: Sequence[RowScore], normalizer: Normalizer) -> None:
    if not row_scores:
        raise ScoringError("scores", ["found no scored rows, at least one is needed"])
    if others := {row.normalizer for row in row_scores} - {normalizer.label}:
        found = ", ".join(sorted(others))
        raise ScoringError("scores", [f"rows scored with {found}, to be summarised as {normalizer.label}"])


def _counts(counts: Iterable[tuple[int, ...]], fields: int = len(_NO_ERRORS)) -> Counts:
    # Several times as fast as an array of the tuples, which numpy would look through one by one.
    return np.fromiter(chain.from_iterable(counts), dtype=np.int64).reshape(-1, fields)


def _coded(values: Iterable[str | None]) -> tuple[tuple[str | None, ...], Indices]:
    """The levels, sorted so that the order of the rows changes nothing (None first), and each value's place."""
    places: defaultdict[str | None, int] = defaultdict(lambda: len(places))
    met = np.fromiter(map(places.__getitem__, values), dtype=np.intp)
    levels = tuple(sorted(places, key=lambda level: (level is not None, level or "")))
    rank = np.empty(len(levels), dtype=np.intp)
    rank[[places[level] for level in levels]] = np.arange(len(levels))
    return levels, rank[met]


def _micro(counts: Counts, clusters: Indices, seed: int) -> Estimate:
    """The micro average with its interval; without reference words the counts' own rate, without bounds."""
    errors, lengths = counts[:, :3].sum(axis=1), counts[:, 3]
    if lengths.any():
        return cluster_bootstrap(errors, lengths, clusters, seed=seed)
    return Estimate(float(errors.sum()), None, None, len(counts))


def _error_rate(counts: Counts, clusters: Indices, seed: int) -> ErrorRate:
    micro = _micro(counts, clusters, seed)
    # An empty reference has only insertions, and their number is its rate: see `ErrorCounts.rate`.
    rates = counts[:, :3].sum(axis=1) / np.where(counts[:, 3] > 0, counts[:, 3], 1)
    substitutions, deletions, insertions, length = (int(total) for total in counts.sum(axis=0))
    return ErrorRate(
        value=micro.value,
        low=micro.low,
        high=micro.high,
        n=micro.n,
        # Summed exactly, and so the same in any order of the rows.
        macro=math.fsum(rates) / len(rates),
        substitutions=substitutions,
        deletions=deletions,
        insertions=insertions,
        reference_length=length,
    )


def _dose_rates(doses: Counts) -> Doses | None:
    """What became of the references' quantities, and the share that was not heard right: wrong or missing. Invented
    ones stand beside the rate: they are not of the references."""
    total = DoseErrors(*(int(count) for count in doses.sum(axis=0)))
    if not (total.quantities or total.invented):
        return None
    not_right = total.wrong_value + total.wrong_unit + total.missing
    rate = wilson(not_right, total.quantities) if total.quantities else None
    return Doses(**total._asdict(), rate=rate)
