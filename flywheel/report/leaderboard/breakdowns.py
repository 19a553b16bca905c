"""The held-out KER by the levels of a field, before and after, and the orders in which levels are shown."""

import re
from collections.abc import Mapping
from typing import TypeAlias

from flywheel.report.leaderboard.inputs import LeaderboardInputs
from flywheel.scoring.intervals import Estimate

__all__ = ["Levels", "Sides", "held_out_levels", "loudness", "newest", "worst_first"]

Sides: TypeAlias = tuple[Estimate | None, Estimate | None]
"""Before and after; a level that only one evaluation has is None on the other side."""
Levels: TypeAlias = Mapping[str, Sides]

_SNR = re.compile(r"snr_(-?\d+)db")


def held_out_levels(inputs: LeaderboardInputs, field: str) -> dict[str, Sides]:
    """The KER of each level of `field` over held-out rows; empty where no clinical row is held out."""
    before, after = (
        {} if scores is None else scores.ker_by("held_out", field) for scores in (inputs.before, inputs.after)
    )
    return {level: (before.get(level), after.get(level)) for level in dict.fromkeys([*before, *after])}


def newest(sides: Sides) -> Estimate:
    """What the newest model does."""
    before, after = sides
    # One side has the level, or it would not be one.
    return after or before or Estimate(0.0, None, None, 0)


def worst_first(levels: Levels) -> list[str]:
    """The levels that the newest model misses most first; of equals those that were missed before, then the larger."""

    def badness(level: str) -> tuple[float, float, int, str]:
        before, latest = levels[level][0], newest(levels[level])
        return -latest.value, -(before.value if before else 0.0), -latest.n, level

    return sorted(levels, key=badness)


def loudness(level: str) -> tuple[float, str]:
    """The order of noise levels: clean, then the louder the later; what is no known level comes last."""
    if level == "clean":
        return -1000.0, level
    found = _SNR.fullmatch(level)
    return (-float(found[1]) if found else 1000.0), level
