"""The free alternative: whether boosting the terms at decoding does what the fine-tuning is for.

Boosting is held against the very bars that a fine-tuned model has to pass, on the same rows.
"""

from flywheel.recognisers.boosting import Boosting
from flywheel.scoring.comparison import Comparison, KeywordChange
from flywheel.scoring.numbers_as_text import change_in_points, listed, missed_of, negated, p_value
from flywheel.verdict.decision import DecisionSettings, decide

__all__ = ["boosting_alone", "boosting_suffices"]


def boosting_suffices(boosting: Boosting, settings: DecisionSettings | None = None) -> bool:
    """Whether the base with boosting would be kept if it were a new model."""
    return decide(boosting.comparison, settings=settings).promote


def boosting_alone(
    boosting: Boosting, *, settings: DecisionSettings | None = None, against: Comparison | None = None
) -> str:
    """Whether boosting alone does it, a sentence or two.

    Args:
        boosting: the base with boosting beside the base.
        settings: of the decision, the defaults if None.
        against: from the base with boosting to the fine-tuned model; None where nothing was trained.
    """
    settings = settings or DecisionSettings()
    if boosting.alpha == 0:
        return (
            "Phrase boosting does not do it: no strength that was tried missed fewer terms on the trial rows with "
            "general speech kept within its cap."
        )
    said = f"Phrase boosting alone (alpha {boosting.alpha:g}, {boosting.phrases} terms, no training)"
    found = _found(boosting.comparison)
    if not boosting_suffices(boosting, settings):
        return f"{said} does not do it: {found}."
    return f"{said} does it: {found}.{_beside_the_finetune(settings, against)}"


def _found(comparison: Comparison) -> str:
    """What the decision looks at: misses of the priority categories, and the general WER."""
    ker, general = comparison.priority_ker, comparison.general_wer
    parts = ["no held-out row has a term of the priority categories"]
    if ker is not None:
        kinds = listed(comparison.priority_categories, "or")
        parts = [
            f"{missed_of(ker.after)} held-out {kinds} mentions missed, {missed_of(ker.before)} without it"
        ]
    if general is None:
        parts.append("general speech was not measured")
    else:
        change = change_in_points(general.difference)
        parts.append(f"general WER changes by {change} points, n = {general.after.n}")
    return "; ".join(parts)


def _beside_the_finetune(settings: DecisionSettings, against: Comparison | None) -> str:
    ker = None if against is None else against.priority_ker
    if ker is None:
        return ""
    doubt = ""
    if ker.p < settings.significance and not ker.holds_over_terms:
        doubt = f"; over terms {change_in_points(negated(ker.absolute_drop))} points"
    rows = f"{missed_of(ker.after)} where boosting misses {missed_of(ker.before)}"
    counts = f"misses {rows} ({p_value(ker.p)}{doubt})"
    if _is_better(ker, settings):
        return f" The fine-tuned model is better still: it {counts}."
    return f" The fine-tuned model is not measurably better: it {counts}. Boosting is the cheaper choice."


def _is_better(ker: KeywordChange, settings: DecisionSettings) -> bool:
    return ker.mended > ker.broken and ker.is_significant(settings.significance)
