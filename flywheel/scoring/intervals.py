"""How sure a rate is: intervals for proportions and for ratios of sums, and a test for paired outcomes.

Sources: E. B. Wilson, "Probable inference, the law of succession, and statistical inference" (1927);
Q. McNemar, "Note on the sampling error of the difference between correlated proportions" (1947), in its
exact form; C. Field and A. Welsh, "Bootstrapping clustered data" (2007).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Estimate", "bootstrap_bounds", "cluster_bootstrap", "mcnemar_exact", "wilson"]

Floats: TypeAlias = npt.NDArray[np.float64]
Labels: TypeAlias = npt.NDArray[np.generic] | Sequence[int] | Sequence[str]
Bounds: TypeAlias = tuple[float, float] | tuple[None, None]

CONFIDENCE = 0.95
RESAMPLES = 1000
# The draws of one step of the bootstrap; bounds its memory to some tens of megabytes.
_DRAWS_AT_ONCE = 2_000_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A rate or a difference of rates as a fraction, with its interval and the number of rows behind it.

    `low` and `high` are None together, where the rows cannot tell.
    """

    value: float
    low: float | None
    high: float | None
    n: int

    def as_dict(self) -> dict[str, float | int | None]:
        """The four fields under their names, as `scores.json` holds them."""
        return asdict(self)


def wilson(successes: int, n: int, confidence: float = CONFIDENCE) -> Estimate:
    """The share `successes / n` with Wilson's score interval, which holds for small n and at 0 and 1.

    Raises:
        ValueError: n is 0 (a share of nothing has no value: leave it out), or successes are not in 0..n.
    """
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"wilson: found {successes} of {n}; needed: 0 <= successes <= n, n of at least 1")
    share = successes / n
    z = NormalDist().inv_cdf(_checked(confidence) / 2 + 0.5)
    scale = 1 + z * z / n
    centre = (share + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At the ends the formula gives exactly 0 and 1; floating point does not quite.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return Estimate(share, low, high, n)


def cluster_bootstrap(
    numerators: npt.ArrayLike,
    denominators: npt.ArrayLike,
    clusters: Labels,
    *,
    resamples: int = RESAMPLES,
    seed: int = 42,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """The ratio `sum(numerators) / sum(denominators)` with a percentile interval over resampled clusters.

    Rows of a cluster (the same term, the same sentence) fail together, so that resampling rows would give
    too narrow an interval.

    Args:
        numerators, denominators: one number a row, for WER the errors and the reference words.
        clusters: one label a row.
        resamples: how often as many clusters as there are get drawn with replacement.
        seed: the same seed and rows give the same interval.
        confidence: of the two-sided interval, between 0 and 1.

    Returns:
        The estimate; n is the number of rows. Its bounds are None where there are fewer than two clusters,
        or where a resample has no denominator.

    Raises:
        ValueError: no rows, lengths that differ, or denominators that add up to 0.
    """
    tops, bottoms = _columns(numerators, denominators)
    if not bottoms.sum():
        raise ValueError("cluster_bootstrap: the denominators add up to 0, so that there is no ratio")
    low, high = bootstrap_bounds(
        (tops, bottoms),
        clusters,
        lambda top, bottom: top / bottom,
        resamples=resamples,
        seed=seed,
        confidence=confidence,
    )
    return Estimate(float(tops.sum() / bottoms.sum()), low, high, len(tops))


def bootstrap_bounds(
    columns: Sequence[npt.ArrayLike],
    clusters: Labels,
    statistic: Callable[..., Floats],
    *,
    resamples: int = RESAMPLES,
    seed: int = 42,
    confidence: float = CONFIDENCE,
) -> Bounds:
    """Percentile bounds of a statistic of sums, over resampled clusters.

    Args:
        columns: numbers a row, one array for each argument of `statistic`.
        clusters, resamples, seed, confidence: as in `cluster_bootstrap`.
        statistic: takes one array a column, with that column's sum in each resample, and returns an array
            of the same length; NaN or infinity where a resample has no value.

    Returns:
        The bounds; (None, None) with fewer than two clusters, or where a resample has no value.
    """
    rows = _columns(*columns)
    if len(clusters) != len(rows[0]):
        raise ValueError(f"bootstrap: {len(rows[0])} rows, but {len(clusters)} cluster labels")
    sums = _cluster_sums(rows, clusters)
    if sums.shape[1] < 2:
        return None, None
    with np.errstate(divide="ignore", invalid="ignore"):
        values = statistic(*_resampled(sums, resamples, seed))
    if not np.isfinite(values).all():
        return None, None
    tail = (1 - _checked(confidence)) / 2
    low, high = np.quantile(values, (tail, 1 - tail))
    return float(low), float(high)


def _columns(*columns: npt.ArrayLike) -> tuple[Floats, ...]:
    arrays = tuple(np.asarray(column, dtype=np.float64) for column in columns)
    lengths = {array.shape for array in arrays}
    if len(lengths) != 1 or not arrays[0].size or arrays[0].ndim != 1:
        raise ValueError(f"bootstrap: columns of one length and at least one row are needed, found {lengths}")
    return arrays


def _cluster_sums(rows: Sequence[Floats], clusters: Labels) -> Floats:
    """Each column summed by cluster: shape (columns, clusters). It makes a million rows as cheap as a few."""
    _, codes = np.unique(np.asarray(clusters), return_inverse=True)
    return np.stack([np.bincount(codes, weights=row) for row in rows])


def _resampled(sums: Floats, resamples: int, seed: int) -> Floats:
    """Sums over clusters drawn with replacement: shape (columns, resamples)."""
    generator = np.random.default_rng(seed)
    count = sums.shape[1]
    totals = np.empty((len(sums), resamples))
    step = max(1, _DRAWS_AT_ONCE // count)
    for start in range(0, resamples, step):
        stop = min(start + step, resamples)
        drawn = generator.integers(0, count, size=(stop - start, count))
        for column, total in zip(sums, totals, strict=True):
            total[start:stop] = column[drawn].sum(axis=1)
    return totals


def mcnemar_exact(b: int, c: int) -> float:
    """Two-sided exact McNemar p: could b rows have changed one way and c the other by a fair coin?

    The binomial tail `2 * P(X <= min(b, c))` with n = b + c and p = 1/2, at most 1; 1 where nothing changed.

    Raises:
        ValueError: a count below 0.
    """
    if b < 0 or c < 0:
        raise ValueError(f"mcnemar_exact: found b={b}, c={c}; counts of changed rows cannot be negative")
    n, k = b + c, min(b, c)
    log_term = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2)
    term = tail = math.exp(log_term)
    # From k down each term is the one above times k / (n - k + 1); later ones are lost in the sum.
    while k and term > tail * 1e-17:
        term *= k / (n - k + 1)
        tail += term
        k -= 1
    return min(1.0, 2 * tail)


def _checked(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: found {confidence}; a fraction such as 0.95 is needed")
    return confidence
