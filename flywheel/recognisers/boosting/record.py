"""What came of boosting, as a cycle keeps it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from flywheel.errors import FlywheelError
from flywheel.recognisers.boosting.strengths import BoostingTrial
from flywheel.scoring import Comparison

__all__ = ["Boosting"]

_WITH_PARTS = ("unwritable", "trials", "comparison")


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

    def to_dict(self) -> dict[str, Any]:
        """As `boosting.json` holds it; `from_dict` is its inverse."""
        others = {
            each.name: getattr(self, each.name) for each in fields(self) if each.name not in _WITH_PARTS
        }
        return {
            **others,
            "unwritable": list(self.unwritable),
            "trials": [asdict(trial) for trial in self.trials],
            "comparison": self.comparison.to_dict(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The boosting that `to_dict` was called on.

        Raises:
            FlywheelError: a field is missing or unknown: the file is of another version or was edited.
        """
        try:
            parts = {
                "unwritable": tuple(values["unwritable"]),
                "trials": tuple(BoostingTrial.from_dict(trial) for trial in values["trials"]),
                "comparison": Comparison.from_dict(values["comparison"]),
            }
            return cls(**{**values, **parts})
        except (KeyError, TypeError) as error:
            problem = f"boosting: cannot be read ({error}); materialise boosted_eval again"
            raise FlywheelError(problem) from error
