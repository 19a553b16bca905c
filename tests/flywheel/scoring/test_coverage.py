"""How often an interval of a difference holds the truth, on simulated pairs of systems whose true difference is known.

In each simulation the rows of a term fail together: a term that a system does not know is missed in nearly all of
its rows, one that it knows in nearly none. An interval that takes each row for itself is then too narrow.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest

from flywheel.scoring import bootstrap_bounds, paired_bootstrap

SIMULATIONS = 200
WORDS = 12  # of a row, the term's included
OTHERS_BEFORE, OTHERS_AFTER = 0.08, 0.05  # error rates of the words that are not the term's
# A term is missed at a rate of its own, from a Beta distribution: most are near 0 or near 1.
MISSED_BEFORE, MISSED_AFTER = (0.7, 0.6), (0.2, 0.8)
TRUE_WER_BEFORE = (7 / 13 + 11 * OTHERS_BEFORE) / WORDS  # 11.8 %
TRUE_WER_AFTER = (2 / 10 + 11 * OTHERS_AFTER) / WORDS  # 6.2 %
TRUE_DIFFERENCE = TRUE_WER_AFTER - TRUE_WER_BEFORE


@dataclass(frozen=True)
class PairOfSystems:
    """Word errors of two systems on the same rows, and the number of each row's term."""

    before: npt.NDArray[np.int64]
    after: npt.NDArray[np.int64]
    terms: npt.NDArray[np.int64]

    @property
    def words(self) -> npt.NDArray[np.int64]:
        return np.full(len(self.terms), WORDS)


def pairs_of_systems(fewest_terms: int, most_terms: int, seed: int) -> Iterator[PairOfSystems]:
    """Pairs with 4 to 16 rows a term, the terms drawn anew for each."""
    draw = np.random.default_rng(seed)
    for _ in range(SIMULATIONS):
        count = int(draw.integers(fewest_terms, most_terms + 1))
        terms = np.repeat(np.arange(count), draw.integers(4, 17, size=count))
        before, after = (
            (draw.random(len(terms)) < draw.beta(*missed, size=count)[terms])
            + draw.binomial(WORDS - 1, others, size=len(terms))
            for missed, others in ((MISSED_BEFORE, OTHERS_BEFORE), (MISSED_AFTER, OTHERS_AFTER))
        )
        yield PairOfSystems(before, after, terms)


def holds_truth(low: float | None, high: float | None) -> bool:
    assert low is not None and high is not None
    return low <= TRUE_DIFFERENCE <= high


def test_clustered_intervals_hold_the_truth_as_often_as_they_say_and_unclustered_ones_do_not() -> None:
    by_term = by_row = 0
    before = after = 0.0
    for seed, pair in enumerate(pairs_of_systems(60, 100, seed=1)):
        columns = (pair.before, pair.after, pair.words)
        clustered = paired_bootstrap(*columns, pair.terms, seed=seed)
        unclustered = paired_bootstrap(*columns, range(len(pair.terms)), seed=seed)
        assert clustered.difference.value == unclustered.difference.value
        by_term += holds_truth(clustered.difference.low, clustered.difference.high)
        by_row += holds_truth(unclustered.difference.low, unclustered.difference.high)
        before += clustered.before.value / SIMULATIONS
        after += clustered.after.value / SIMULATIONS
    assert (before, after) == pytest.approx((TRUE_WER_BEFORE, TRUE_WER_AFTER), abs=0.003)
    assert 0.93 <= by_term / SIMULATIONS <= 0.97
    assert by_row / SIMULATIONS < 0.88


@pytest.mark.parametrize("terms", [6, 10])
def test_the_interval_allows_for_few_terms_where_plain_percentiles_do_not(terms: int) -> None:
    expanded = plain = 0
    for seed, pair in enumerate(pairs_of_systems(terms, terms, seed=2)):
        resampled: list[npt.NDArray[np.float64]] = []

        def difference(
            change: npt.NDArray[np.float64],
            words: npt.NDArray[np.float64],
            into: list[npt.NDArray[np.float64]] = resampled,
        ) -> npt.NDArray[np.float64]:
            into.append(change / words)
            return into[-1]

        expanded += holds_truth(
            *bootstrap_bounds((pair.after - pair.before, pair.words), pair.terms, difference, seed=seed)
        )
        plain += holds_truth(*np.quantile(resampled[0], (0.025, 0.975)))
    assert 0.92 <= expanded / SIMULATIONS <= 0.98
    assert plain / SIMULATIONS < 0.92
