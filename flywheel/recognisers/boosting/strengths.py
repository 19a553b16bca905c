"""What each strength of boosting does to the trial rows, and which is chosen."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flywheel.recognisers.boosting.settings import BoostingPlan
from flywheel.scoring import (
    CLINICAL,
    ErrorCounts,
    Estimate,
    RowScore,
    Transcript,
    cluster_bootstrap,
    keyword_error_rate,
    score_rows,
    wilson,
    word_error_rate,
)

__all__ = ["BoostingChoice", "BoostingTrial", "chosen_alpha", "try_strengths"]

_ROUNDING = 1e-9
"""A difference of rates is a floating point number: one that is meant to equal the cap may be off by less than this."""


@dataclass(frozen=True, slots=True)
class BoostingTrial:
    """What one strength of boosting does to the trial rows, which no held-out score sees.

    Args:
        alpha: the strength; 0 is the base as it is.
        ker: over the trial rows with a term; None without such rows.
        general_wer: over the trial rows of general speech; None without such rows.
        false_insertions: the share of trial rows in which a term is heard that nobody said.
        change: of the general WER against alpha 0, on the same rows; where no trial row is general speech, of the WER
            on words that are no term's. None at alpha 0.
    """

    alpha: float
    ker: Estimate | None = None
    general_wer: Estimate | None = None
    false_insertions: Estimate | None = None
    change: Estimate | None = None

    def is_within(self, cap: float) -> bool:
        """Whether `change` is no more than `cap`, absolute."""
        return self.change is not None and self.change.value <= cap + _ROUNDING


@dataclass(frozen=True, slots=True)
class BoostingChoice:
    """What a boosting job leaves beside its hypotheses: the strength, how it was found, and what could not be boosted.

    Args:
        alpha: the chosen strength; 0.0 where none helped within the cap.
        unwritable: terms that the model's tokens cannot write.
        trials: one for each strength that was tried.
    """

    alpha: float
    unwritable: tuple[str, ...]
    trials: tuple[BoostingTrial, ...]


def try_strengths(
    plan: BoostingPlan, hear: Callable[[float], Sequence[Transcript]]
) -> tuple[BoostingTrial, ...]:
    """A trial at 0 and at each strength of the plan, up to the first that takes general speech beyond the cap: what is
    stronger still can only do worse there.

    Args:
        plan: what to try.
        hear: the trial rows as the model hears them at a strength, always the same rows in the same order.
    """
    plain = score_rows(hear(0.0), CLINICAL, plan.terms)
    trials = [_trial(0.0, plain, None)]
    for alpha in plan.alphas:
        trials.append(_trial(alpha, score_rows(hear(alpha), CLINICAL, plan.terms), plain))
        if not trials[-1].is_within(plan.general_wer_cap):
            break
    return tuple(trials)


def chosen_alpha(trials: Sequence[BoostingTrial], general_wer_cap: float) -> float:
    """The strength with the lowest KER among those within the cap; the weakest of several; 0.0 where none misses fewer
    terms than the base as it is."""
    best = trials[0]
    for trial in trials[1:]:
        if best.ker is None or trial.ker is None or not trial.is_within(general_wer_cap):
            continue
        if trial.ker.value < best.ker.value:
            best = trial
    return best.alpha


def _trial(alpha: float, rows: Sequence[RowScore], plain: Sequence[RowScore] | None) -> BoostingTrial:
    inserted = sum(bool(row.false_insertions) for row in rows)
    return BoostingTrial(
        alpha=alpha,
        ker=keyword_error_rate(rows),
        general_wer=word_error_rate([row for row in rows if row.term_missed is None]),
        false_insertions=wilson(inserted, len(rows)) if rows else None,
        change=None if plain is None else _change(plain, rows),
    )


def _change(before: Sequence[RowScore], after: Sequence[RowScore]) -> Estimate | None:
    """After minus before, on general speech or, without any, on the words that are no term's."""
    without_term = [place for place, row in enumerate(before) if row.term_missed is None]
    places = without_term or range(len(before))
    pairs = [(_control(before[place]), _control(after[place])) for place in places]
    lengths = [first.reference_length for first, _ in pairs]
    if not any(lengths):
        return None
    differences = [second.errors - first.errors for first, second in pairs]
    return cluster_bootstrap(differences, lengths, [before[place].cluster for place in places])


def _control(row: RowScore) -> ErrorCounts:
    """The errors that boosting must not add to: those on all words, or on the words beside the term."""
    return row.other_words or row.words
