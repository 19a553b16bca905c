"""What a leaderboard is rendered from: values that were read from a cycle's folder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from flywheel.errors import FlywheelError
from flywheel.files.records import Json
from flywheel.recognisers.boosting import Boosting
from flywheel.scoring.comparison import Comparison
from flywheel.scoring.intervals import Estimate
from flywheel.scoring.scores import Scores
from flywheel.verdict.decision import Decision
from flywheel.verdict.gate import GateDecision
from flywheel.verdict.misses import Misses

__all__ = ["LeaderboardInputs", "LeaderboardInputsError", "Stage"]

Stage: TypeAlias = Literal["baseline", "gate_closed", "trained"]


class LeaderboardInputsError(FlywheelError):
    """Parts of a page that do not belong together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderboardInputs:
    """Everything that is on the page. Nothing else is looked up, so that the same inputs give the same page.

    Args:
        cycle: the number of the cycle whose model is the baseline.
        baseline_scores: the baseline's.
        baseline_published_scores: the same hypotheses scored with the published normaliser.
        next_scores, next_published_scores: of the fine-tuned model; None before there is one.
        comparison: of the two models, with the normaliser of the scores.
        gate: None before it was evaluated.
        decision: None before there is one; of a closed gate it may stay None.
        split_counts: rows of each subset: a table of each entity category, `general` and `total`.
        known_sentences: of the held-out rows, how many say a sentence that a training row says, too; None where
            nobody looked.
        provenance: what made the page, by name: base, manifest's hash, seeds, versions, seconds, ... A value
            may be a text, a number, None, a list or a table of such. It is shown as it is: no secrets.
        boosting: what phrase boosting alone does for the baseline's model; None where it was not tried.
        boosted_scores: the boosted evaluation's.
        misses: which terms are still missed, and why; None where nobody looked.
        page: file name of the HTML page beside the markdown one; None where there is none.
        figures: where each figure is, a path relative to the page or a data URL, by the figure's name
            (`flywheel.report.leaderboard.figures.FIGURES`); one that is not among them is left out.

    Raises:
        LeaderboardInputsError: some but not all that a fine-tuned model's page needs, or a fine-tuned model
            behind a closed gate.
    """

    cycle: int
    baseline_scores: Scores
    baseline_published_scores: Scores
    next_scores: Scores | None = None
    next_published_scores: Scores | None = None
    comparison: Comparison | None = None
    gate: GateDecision | None = None
    decision: Decision | None = None
    split_counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    known_sentences: int | None = None
    provenance: Mapping[str, Json] = field(default_factory=dict)
    boosting: Boosting | None = None
    boosted_scores: Scores | None = None
    misses: Misses | None = None
    page: str | None = None
    figures: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        after = ("next_scores", "next_published_scores", "comparison")
        present = [name for name in after if getattr(self, name) is not None]
        absent = [name for name in after if name not in present]
        if present and absent:
            raise LeaderboardInputsError(
                f"leaderboard: {', '.join(present)} without {', '.join(absent)}; give all of them or none"
            )
        if present and self.decision is None:
            raise LeaderboardInputsError("leaderboard: a comparison without its decision; decide first")
        if present and self.gate is not None and not self.gate.open:
            raise LeaderboardInputsError(
                "leaderboard: a fine-tuned model behind a closed gate; leave one out"
            )

    @property
    def stage(self) -> Stage:
        """How far the cycle has come."""
        if self.next_scores is not None:
            return "trained"
        return "gate_closed" if self.gate is not None and not self.gate.open else "baseline"

    @property
    def before(self) -> Scores:
        """The baseline's scores."""
        return self.baseline_scores

    @property
    def after(self) -> Scores | None:
        """The fine-tuned model's scores."""
        return self.next_scores

    @property
    def boosted(self) -> Scores | None:
        """The scores of the baseline's model with its terms boosted at decoding."""
        return self.boosted_scores

    @property
    def published_before(self) -> Scores:
        """The baseline's scores with the published normaliser."""
        return self.baseline_published_scores

    @property
    def published_after(self) -> Scores | None:
        """The fine-tuned model's scores with the published normaliser."""
        return self.next_published_scores

    def both(self, read: Callable[[Scores], Estimate | None]) -> tuple[Estimate | None, Estimate | None]:
        """One estimate of the baseline and the same of the fine-tuned model; None where there is none."""
        return read(self.before), None if self.after is None else read(self.after)

    def metrics(self, slice_name: str, metric: str) -> tuple[Estimate | None, Estimate | None]:
        """`ker`, `wer`, `cer`, `ser`, ... of a slice, as `both`."""
        return self.both(lambda scores: scores.metric(slice_name, metric))

    def published_both(
        self, read: Callable[[Scores], Estimate | None]
    ) -> tuple[Estimate | None, Estimate | None]:
        """As `both`, with the published normaliser."""
        after = self.published_after
        return read(self.published_before), None if after is None else read(after)

    @property
    def priority_categories(self) -> tuple[str, ...]:
        """Those that the gate and the decision look at; empty before either is known."""
        if self.comparison is not None:
            return self.comparison.priority_categories
        return () if self.gate is None else self.gate.priority_categories

    def priority_ker(self, scores: Scores) -> Estimate | None:
        """The held-out KER over the priority categories; over all terms where those are not known yet."""
        if not self.priority_categories:
            return scores.metric("held_out", "ker")
        return scores.pooled_ker("held_out", self.priority_categories)
