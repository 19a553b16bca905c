"""Section 11: the figure that the published result is to be compared with."""

from flywheel.files.markdown import inline
from flywheel.report.leaderboard.inputs import LeaderboardInputs
from flywheel.report.rate_tables import Line, ker_table, rate_table, section
from flywheel.scoring.intervals import Estimate
from flywheel.scoring.numbers_as_text import missed_of, percent

__all__ = ["all_rows"]

_PUBLISHED = (
    "The published result of this recipe, a KER that fell by 75 % (39 rows: 20 missed before, 5 after), was "
    "measured over all rows, training rows included."
)


def all_rows(inputs: LeaderboardInputs) -> str:
    """Section 11: all rows, scored as the published recipe scores."""

    def line(label: str, slice_name: str, metric: str) -> Line:
        rates = inputs.published_both(lambda scores: scores.metric(slice_name, metric))
        return Line(label, *rates, absent="no clinical rows")

    def mean_of_rows(label: str, metric: str) -> Line:
        rates = inputs.published_both(lambda scores: scores.macro("all", metric))
        return Line(label, *rates, absent="not among the scores")

    kers = [line("all rows", "all", "ker"), line("held-out rows alone", "held_out", "ker")]
    rates = [
        line("WER", "all", "wer"),
        mean_of_rows("WER, mean of the rows", "wer"),
        line("CER", "all", "cer"),
        mean_of_rows("CER, mean of the rows", "cer"),
        line("SER", "all", "ser"),
    ]
    trained = inputs.stage == "trained"
    return section(
        "11. All rows, training rows included",
        f"How to read: for comparison only; the decision does not use this section. {_PUBLISHED} This is the same "
        f"figure, scored in the same way ({inline(str(inputs.published_before.normalizer))}). A model that has only "
        "learned its training rows by heart looks good here, too.",
        _relative_change(*inputs.published_both(lambda scores: scores.metric("all", "ker"))),
        ker_table("KER of", kers, trained=trained),
        rate_table("all rows", rates, trained=trained),
    )


def _relative_change(before: Estimate | None, after: Estimate | None) -> str:
    if before is None:
        return ""
    if after is None:
        return f"All rows: {missed_of(before)} terms missed."
    counts = f"All rows: {missed_of(before)} terms missed before, {missed_of(after)} after"
    return (
        f"{counts}, a relative change of {percent(after.value / before.value - 1)}."
        if before.value
        else f"{counts}."
    )
