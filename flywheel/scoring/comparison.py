"""One model's scores beside another's, on the same rows: what changed, and how sure that is.

Rows are paired by id, which is worth much more than two independent samples: the difference of a row
that both models get right is exactly 0. Intervals of differences resample clusters of pairs.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from flywheel.errors import FlywheelError
from flywheel.scoring.breakdowns import Indices, cluster_codes, coded
from flywheel.scoring.errors import ErrorCounts
from flywheel.scoring.garbage_collection import no_cycle_collection
from flywheel.scoring.intervals import (
    Estimate,
    Floats,
    PairedRates,
    bootstrap_bounds,
    holm,
    mcnemar_exact,
    negated,
    paired_bootstrap,
    wilson,
)
from flywheel.scoring.rows import RowScore
from flywheel.scoring.slices import SLICES, slices_of
from flywheel.scoring.transcripts import ScoringError, shown

__all__ = ["Comparison", "KeywordChange", "RateChange", "SliceComparison", "compare"]

_Pair: TypeAlias = tuple[RowScore, RowScore]


@dataclass(frozen=True, slots=True)
class RateChange:
    """A rate before and after.

    Args:
        before, after: each with its interval.
        difference: after minus before, below 0 where it got better; clustered as `RowScore.cluster` has it.
        by_voice: the same difference with rows clustered by their voice; None where the voices are too few
            for an interval.
        improvement: in what share of the resamples behind `difference` the rate fell, a tie counting half;
            None where `difference` has no interval.
    """

    before: Estimate
    after: Estimate
    difference: Estimate
    by_voice: Estimate | None = None
    improvement: float | None = None


@dataclass(frozen=True, slots=True)
class KeywordChange:
    """The KER before and after.

    Args:
        before, after: with Wilson's interval.
        absolute_drop: before minus after, above 0 where it got better.
        relative_drop: the same as a share of before; None where no term was missed before.
        mended: rows whose term was missed before and is found after (McNemar's b).
        broken: rows whose term was found before and is missed after (McNemar's c).
        p: of the exact two-sided McNemar test. It takes each row for itself: where the rows of a term change
            together it is too small, and the interval of `absolute_drop`, which is clustered, is the safer one.
        by_voice: `absolute_drop` with rows clustered by their voice; None where the voices are too few for an
            interval.
        improvement: in what share of the resamples behind `absolute_drop` the KER fell, a tie counting half;
            None where `absolute_drop` has no interval.
        p_holm: `p` corrected by Holm for being one of several looked at together; only in `by_category`.
    """

    before: Estimate
    after: Estimate
    absolute_drop: Estimate
    relative_drop: Estimate | None
    mended: int
    broken: int
    p: float
    by_voice: Estimate | None = None
    improvement: float | None = None
    p_holm: float | None = None

    @property
    def holds_over_terms(self) -> bool:
        """Whether the interval of the change, terms drawn anew, leaves 0 out; where they are too few for an interval,
        there is nothing to hold against it."""
        drop = self.absolute_drop
        return drop.low is None or drop.high is None or drop.low > 0 or drop.high < 0

    def is_significant(self, level: float) -> bool:
        """By McNemar's test, which takes each row for itself, and over whole terms, which change together."""
        return self.p < level and self.holds_over_terms


@dataclass(frozen=True, slots=True)
class SliceComparison:
    """One slice before and after; `ker` and `priority_ker` are None where it has no such rows.

    `by_category` holds the KER of each entity category that has rows here, in alphabetical order, with
    `p_holm` corrected over these categories. It is empty in a slice without terms.
    """

    rows: int
    wer: RateChange
    cer: RateChange
    ser: RateChange
    ker: KeywordChange | None = None
    priority_ker: KeywordChange | None = None
    by_category: Mapping[str, KeywordChange] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Comparison:
    """All slices before and after, under their names; a slice without rows is absent.

    `priority_categories` are those that each slice's `priority_ker` is over.
    """

    normalizer: str
    priority_categories: tuple[str, ...]
    slices: Mapping[str, SliceComparison]

    @property
    def priority_ker(self) -> KeywordChange | None:
        """The change that a decision is about: held-out rows, priority categories."""
        held_out = self.slices.get("held_out")
        return None if held_out is None else held_out.priority_ker

    @property
    def general_wer(self) -> RateChange | None:
        """The change that shows forgetting: WER on general speech; None without such rows."""
        general = self.slices.get("general")
        return None if general is None else general.wer

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it; `from_dict` is its inverse. What is None stays, as null."""
        return {
            "normalizer": self.normalizer,
            "priority_categories": list(self.priority_categories),
            "slices": {name: asdict(comparison) for name, comparison in self.slices.items()},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The comparison that `to_dict` was called on.

        Earlier versions wrote neither `by_voice`, `improvement` and `p_holm`, which are then None, nor
        `by_category`, which is then empty: a history reads the comparisons of all its cycles.

        Raises:
            FlywheelError: any other field is missing, or an estimate has an unknown one.
        """
        try:
            return cls(
                normalizer=values["normalizer"],
                priority_categories=tuple(values["priority_categories"]),
                slices={name: _slice_from(fields) for name, fields in values["slices"].items()},
            )
        except (KeyError, TypeError, AttributeError) as error:
            problem = f"comparison: cannot be read ({error!r}); compare the two evals again"
            raise FlywheelError(problem) from error


@no_cycle_collection()
def compare(
    baseline: Sequence[RowScore],
    after: Sequence[RowScore],
    *,
    priority_categories: Collection[str],
    seed: int = 42,
) -> Comparison:
    """What changed from `baseline` to `after`, rows paired by id.

    Args:
        baseline, after: the same rows, scored with the same normaliser, in any order.
        priority_categories: the entity categories that the decision looks at.
        seed: of the bootstrap.

    Raises:
        ScoringError: names the ids that only one side has or that differ in their reference, term or
            subset; normalisers that differ; no rows.
    """
    pairs = _paired(baseline, after)
    members: dict[str, list[_Pair]] = {name: [] for name in SLICES}
    for pair in pairs:
        for name in slices_of(pair[0].transcript):
            members[name].append(pair)
    return Comparison(
        normalizer=pairs[0][0].normalizer,
        priority_categories=tuple(priority_categories),
        slices={
            name: _compare_slice(slice_pairs, priority_categories, seed)
            for name, slice_pairs in members.items()
            if slice_pairs
        },
    )


def _paired(baseline: Sequence[RowScore], after: Sequence[RowScore]) -> list[_Pair]:
    before_of, after_of = {row.id: row for row in baseline}, {row.id: row for row in after}
    normalizers = {row.normalizer for row in (*baseline, *after)}
    only_before = [row_id for row_id in before_of if row_id not in after_of]
    only_after = [row_id for row_id in after_of if row_id not in before_of]
    problems = [
        f"{len(ids)} ids {what}: {shown(ids)}; {advice}"
        for ids, what, advice in (
            (only_before, "are only in the baseline", "transcribe the same rows"),
            (only_after, "are only in the later eval", "transcribe the same rows"),
            (
                _changed(before_of, after_of),
                "differ in reference, term or subset",
                "use one manifest for both",
            ),
        )
        if ids
    ]
    if len(before_of) < len(baseline) or len(after_of) < len(after):
        problems.append("an id occurs more than once; each row has an id of its own")
    if len(normalizers) > 1:
        problems.append(f"scored with {' and '.join(sorted(normalizers))}; use one normalizer for both")
    if not baseline or not after:
        problems.append("one side has no rows; at least one row on both sides is needed")
    if problems:
        raise ScoringError("comparison", problems)
    return [(row, after_of[row_id]) for row_id, row in before_of.items()]


def _changed(before_of: Mapping[str, RowScore], after_of: Mapping[str, RowScore]) -> list[str]:
    return [
        row_id
        for row_id, row in before_of.items()
        if row_id in after_of and _identity(row) != _identity(after_of[row_id])
    ]


def _identity(row: RowScore) -> tuple[str | None, ...]:
    transcript = row.transcript
    return row.reference, transcript.term, transcript.entity_category, transcript.subset


def _compare_slice(pairs: Sequence[_Pair], priority: Collection[str], seed: int) -> SliceComparison:
    groups = _groups(pairs)
    with_term = [pair for pair in pairs if pair[0].term_missed is not None]
    of_priority = [pair for pair in with_term if pair[0].transcript.entity_category in priority]
    return SliceComparison(
        rows=len(pairs),
        wer=_rate_change([(before.words, after.words) for before, after in pairs], groups, seed),
        cer=_rate_change([(before.characters, after.characters) for before, after in pairs], groups, seed),
        ser=_sentence_change(pairs, groups, seed),
        ker=_keyword_change(with_term, seed) if with_term else None,
        priority_ker=_keyword_change(of_priority, seed) if of_priority else None,
        by_category=_by_category(with_term, seed),
    )


class _Groups(NamedTuple):
    """For each pair a number, the same for pairs that fail together: by `RowScore.cluster`, and by voice."""

    clusters: Indices
    voices: Indices


def _groups(pairs: Sequence[_Pair]) -> _Groups:
    rows = [before for before, _ in pairs]
    return _Groups(cluster_codes(rows), coded(row.transcript.voice_id for row in rows)[1])


class _Difference(NamedTuple):
    """After minus before of 0-or-more errors a row, and what else the same resamples tell."""

    paired: PairedRates
    by_voice: Estimate | None


def _difference(
    before: npt.ArrayLike, after: npt.ArrayLike, lengths: npt.ArrayLike, groups: _Groups, seed: int
) -> _Difference:
    by_voice = paired_bootstrap(before, after, lengths, groups.voices, seed=seed).difference
    return _Difference(
        paired=paired_bootstrap(before, after, lengths, groups.clusters, seed=seed),
        by_voice=None if by_voice.low is None else by_voice,
    )


def _rate_change(counts: Sequence[tuple[ErrorCounts, ErrorCounts]], groups: _Groups, seed: int) -> RateChange:
    before, after, lengths = np.array(
        [(first.errors, second.errors, first.reference_length) for first, second in counts], dtype=np.float64
    ).T
    if not lengths.any():
        # Without reference words a rate is a plain count of insertions, as in `ErrorCounts.rate`.
        first, second, difference = (
            Estimate(float(errors.sum()), None, None, len(counts))
            for errors in (before, after, after - before)
        )
        return RateChange(first, second, difference)
    paired, by_voice = _difference(before, after, lengths, groups, seed)
    return RateChange(paired.before, paired.after, paired.difference, by_voice, paired.improvement)


def _sentence_change(pairs: Sequence[_Pair], groups: _Groups, seed: int) -> RateChange:
    before = np.array([row.sentence_wrong for row, _ in pairs], dtype=np.float64)
    after = np.array([row.sentence_wrong for _, row in pairs], dtype=np.float64)
    paired, by_voice = _difference(before, after, np.ones(len(pairs)), groups, seed)
    return RateChange(
        before=wilson(int(before.sum()), len(pairs)),
        after=wilson(int(after.sum()), len(pairs)),
        difference=paired.difference,
        by_voice=by_voice,
        improvement=paired.improvement,
    )


def _keyword_change(pairs: Sequence[_Pair], seed: int) -> KeywordChange:
    before = np.array([row.term_missed for row, _ in pairs], dtype=np.float64)
    after = np.array([row.term_missed for _, row in pairs], dtype=np.float64)
    groups = _groups(pairs)
    paired, by_voice = _difference(before, after, np.ones(len(pairs)), groups, seed)
    mended, broken = int(((before == 1) & (after == 0)).sum()), int(((before == 0) & (after == 1)).sum())
    return KeywordChange(
        before=wilson(int(before.sum()), len(pairs)),
        after=wilson(int(after.sum()), len(pairs)),
        absolute_drop=negated(paired.difference),
        relative_drop=_relative_drop(before, after, groups.clusters, seed),
        mended=mended,
        broken=broken,
        p=mcnemar_exact(mended, broken),
        by_voice=None if by_voice is None else negated(by_voice),
        improvement=paired.improvement,
    )


def _by_category(pairs: Sequence[_Pair], seed: int) -> dict[str, KeywordChange]:
    members: dict[str, list[_Pair]] = {}
    for pair in pairs:
        category = pair[0].transcript.entity_category
        if category is not None:
            members.setdefault(category, []).append(pair)
    changes = {category: _keyword_change(members[category], seed) for category in sorted(members)}
    corrected = holm([change.p for change in changes.values()])
    return {
        category: replace(change, p_holm=p)
        for (category, change), p in zip(changes.items(), corrected, strict=True)
    }


def _relative_drop(before: Floats, after: Floats, clusters: Indices, seed: int) -> Estimate | None:
    if not before.any():
        return None
    columns = (before, after)
    low, high = bootstrap_bounds(columns, clusters, lambda first, second: 1 - second / first, seed=seed)
    return Estimate(float(1 - after.sum() / before.sum()), low, high, len(before))


def _slice_from(fields: Mapping[str, Any]) -> SliceComparison:
    return SliceComparison(
        rows=fields["rows"],
        wer=_rate_from(fields["wer"]),
        cer=_rate_from(fields["cer"]),
        ser=_rate_from(fields["ser"]),
        ker=_keyword_from(fields["ker"]),
        priority_ker=_keyword_from(fields["priority_ker"]),
        by_category={
            category: change
            for category, values in fields.get("by_category", {}).items()
            if (change := _keyword_from(values)) is not None
        },
    )


def _rate_from(fields: Mapping[str, Any]) -> RateChange:
    return RateChange(
        before=Estimate(**fields["before"]),
        after=Estimate(**fields["after"]),
        difference=Estimate(**fields["difference"]),
        by_voice=_estimate_from(fields.get("by_voice")),
        improvement=fields.get("improvement"),
    )


def _keyword_from(fields: Mapping[str, Any] | None) -> KeywordChange | None:
    if fields is None:
        return None
    return KeywordChange(
        before=Estimate(**fields["before"]),
        after=Estimate(**fields["after"]),
        absolute_drop=Estimate(**fields["absolute_drop"]),
        relative_drop=_estimate_from(fields["relative_drop"]),
        mended=fields["mended"],
        broken=fields["broken"],
        p=fields["p"],
        by_voice=_estimate_from(fields.get("by_voice")),
        improvement=fields.get("improvement"),
        p_holm=fields.get("p_holm"),
    )


def _estimate_from(fields: Mapping[str, Any] | None) -> Estimate | None:
    return None if fields is None else Estimate(**fields)
