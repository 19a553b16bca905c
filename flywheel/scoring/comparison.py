"""One model's scores beside another's, on the same rows: what changed, and how sure that is.

Rows are paired by id, which is worth much more than two independent samples: the difference of a row
that both models get right is exactly 0. Intervals of differences resample clusters of pairs.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from flywheel.scoring.aggregation import Counts, Indices, RowTable
from flywheel.scoring.garbage_collection import no_cycle_collection
from flywheel.scoring.intervals import (
    Estimate,
    Floats,
    bootstrap_bounds,
    holm,
    mcnemar_exact,
    negated,
    paired_bootstrap,
    wilson,
)
from flywheel.scoring.rows import RowScore
from flywheel.scoring.transcripts import ScoringError, shown

__all__ = ["Comparison", "KeywordChange", "Pairs", "RateChange", "RateChanges", "SliceComparison", "compare"]


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
class RateChanges:
    """The rates of some rows before and after that are about whole rows."""

    rows: int
    wer: RateChange
    cer: RateChange
    ser: RateChange


@dataclass(frozen=True, slots=True)
class SliceComparison(RateChanges):
    """One slice before and after; `ker` and `priority_ker` are None where it has no such rows.

    `by_category` holds the KER of each entity category that has rows here, in alphabetical order, with
    `p_holm` corrected over these categories. It is empty in a slice without terms.
    """

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
    pairs = Pairs(RowTable(baseline), RowTable(_paired(baseline, after)), seed=seed)
    return pairs.comparison(priority_categories)


@dataclass(frozen=True, slots=True)
class Pairs:
    """The same rows twice, in the same order, as two models heard them.

    Args:
        before, after: the rows, with the same mentions in the same order.
        seed: of the bootstrap.
    """

    before: RowTable
    after: RowTable
    seed: int = 42

    def rates(self, rows: Indices | None = None) -> RateChanges:
        """The changes of WER, CER and SER over some rows; over all if None."""
        at = np.arange(len(self.before.rows)) if rows is None else rows
        groups = _Groups(self.before.clusters[at], self.before.voices[at])
        wrong_before, wrong_after = self.before.wrong[at], self.after.wrong[at]
        sentences = self._change(wrong_before, wrong_after, np.ones(len(at)), groups)
        return RateChanges(
            rows=len(at),
            wer=self._error_change(self.before.words[at], self.after.words[at], groups),
            cer=self._error_change(self.before.characters[at], self.after.characters[at], groups),
            ser=replace(
                sentences,
                before=wilson(int(wrong_before.sum()), len(at)),
                after=wilson(int(wrong_after.sum()), len(at)),
            ),
        )

    def comparison(self, priority_categories: Collection[str]) -> Comparison:
        """All slices; KER over mentions, the other rates over rows."""
        return Comparison(
            normalizer=self.before.rows[0].normalizer,
            priority_categories=tuple(priority_categories),
            slices={
                name: self._slice(mentions, priority_categories)
                for name, mentions in self.before.slices.items()
            },
        )

    def _slice(self, mentions: Indices, priority: Collection[str]) -> SliceComparison:
        rates = self.rates(self.before.rows_at(mentions))
        with_term = mentions[self.before.missed[mentions] >= 0]
        of_category: dict[str, list[int]] = {}
        for place in with_term.tolist():
            category = self.before.categories[place]
            if category is not None:
                of_category.setdefault(category, []).append(place)
        of_priority = [
            at for category, places in of_category.items() if category in priority for at in places
        ]
        return SliceComparison(
            rows=rates.rows,
            wer=rates.wer,
            cer=rates.cer,
            ser=rates.ser,
            ker=self._keyword_change(with_term) if len(with_term) else None,
            priority_ker=self._keyword_change(np.array(sorted(of_priority))) if of_priority else None,
            by_category=self._by_category(of_category),
        )

    def _by_category(self, of_category: Mapping[str, Sequence[int]]) -> dict[str, KeywordChange]:
        changes = {name: self._keyword_change(np.array(of_category[name])) for name in sorted(of_category)}
        corrected = holm([change.p for change in changes.values()])
        return {
            name: replace(change, p_holm=p)
            for (name, change), p in zip(changes.items(), corrected, strict=True)
        }

    def _error_change(self, before: Counts, after: Counts, groups: "_Groups") -> RateChange:
        errors, errors_after = before[:, :3].sum(axis=1), after[:, :3].sum(axis=1)
        if before[:, 3].any():
            return self._change(errors, errors_after, before[:, 3], groups)
        # Without reference words a rate is a plain count of insertions, as in `ErrorCounts.rate`.
        first, second, difference = (
            Estimate(float(counts.sum()), None, None, len(before))
            for counts in (errors, errors_after, errors_after - errors)
        )
        return RateChange(first, second, difference)

    def _change(
        self, before: npt.ArrayLike, after: npt.ArrayLike, lengths: npt.ArrayLike, groups: "_Groups"
    ) -> RateChange:
        """After by `lengths` minus before by `lengths`, and what else the same resamples tell."""
        by_voice = paired_bootstrap(before, after, lengths, groups.voices, seed=self.seed).difference
        paired = paired_bootstrap(before, after, lengths, groups.clusters, seed=self.seed)
        return RateChange(
            before=paired.before,
            after=paired.after,
            difference=paired.difference,
            by_voice=None if by_voice.low is None else by_voice,
            improvement=paired.improvement,
        )

    def _keyword_change(self, mentions: Indices) -> KeywordChange:
        before = self.before.missed[mentions].astype(np.float64)
        after = self.after.missed[mentions].astype(np.float64)
        groups = _Groups(self.before.clusters_of_mentions[mentions], self.before.voices[mentions])
        change = self._change(before, after, np.ones(len(mentions)), groups)
        mended, broken = (
            int(((before == 1) & (after == 0)).sum()),
            int(((before == 0) & (after == 1)).sum()),
        )
        return KeywordChange(
            before=wilson(int(before.sum()), len(mentions)),
            after=wilson(int(after.sum()), len(mentions)),
            absolute_drop=negated(change.difference),
            relative_drop=_relative_drop(before, after, groups.clusters, self.seed),
            mended=mended,
            broken=broken,
            p=mcnemar_exact(mended, broken),
            by_voice=None if change.by_voice is None else negated(change.by_voice),
            improvement=change.improvement,
        )


class _Groups(NamedTuple):
    """For each pair a number, the same for pairs that fail together: by `RowScore.cluster`, and by voice."""

    clusters: Indices
    voices: Indices


def _paired(baseline: Sequence[RowScore], after: Sequence[RowScore]) -> list[RowScore]:
    """The rows of `after` in the order of `baseline`."""
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
    return [after_of[row_id] for row_id in before_of]


def _changed(before_of: Mapping[str, RowScore], after_of: Mapping[str, RowScore]) -> list[str]:
    return [
        row_id
        for row_id, row in before_of.items()
        if row_id in after_of and _identity(row) != _identity(after_of[row_id])
    ]


def _identity(row: RowScore) -> tuple[str | None, ...]:
    transcript = row.transcript
    return row.reference, transcript.term, transcript.entity_category, transcript.subset


def _relative_drop(before: Floats, after: Floats, clusters: Indices, seed: int) -> Estimate | None:
    if not before.any():
        return None
    columns = (before, after)
    low, high = bootstrap_bounds(columns, clusters, lambda first, second: 1 - second / first, seed=seed)
    return Estimate(float(1 - after.sum() / before.sum()), low, high, len(before))
