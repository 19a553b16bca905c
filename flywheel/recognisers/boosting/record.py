"""What came of boosting, as a cycle keeps it."""

from dataclasses import dataclass

from flywheel.recognisers.boosting.strengths import BoostingTrial
from flywheel.scoring import Comparison

__all__ = ["Boosting"]


@dataclass(frozen=True, slots=True)
class Boosting:
    """How strongly the terms were boosted, how that was chosen, and what came of it.

    Args:
        alpha: the chosen strength; 0.0 where none helped within the cap: then nothing is boosted.
        phrases: how many terms were boosted, unseen ones included.
        chosen_on: the rows of the trials, in words.
        trials: one for each strength that was tried, from 0 upwards; the last may be the first beyond the cap.
        comparison: from the base to the base with boosting, over the evaluation's rows.
        search: how it was decoded, e.g. `beam of 4`.
        unwritable: terms that the model's tokens cannot write, and which therefore were not boosted.
    """

    alpha: float
    phrases: int
    chosen_on: str
    trials: tuple[BoostingTrial, ...]
    comparison: Comparison
    search: str = "greedy"
    unwritable: tuple[str, ...] = ()
