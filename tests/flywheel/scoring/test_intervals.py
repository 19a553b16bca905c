"""Intervals against closed forms and scipy; the bootstrap against what it must do."""

import math

import numpy as np
import pytest
from scipy import stats

from flywheel.scoring import Estimate, bootstrap_bounds, cluster_bootstrap, mcnemar_exact, wilson


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
@pytest.mark.parametrize(
    ("successes", "n"), [(0, 1), (1, 1), (0, 12), (5, 39), (20, 39), (39, 39), (7, 100_000)]
)
def test_wilson_agrees_with_scipy(successes: int, n: int, confidence: float) -> None:
    theirs = stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
    estimate = wilson(successes, n, confidence)
    assert (estimate.value, estimate.n) == (successes / n, n)
    assert (estimate.low, estimate.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert estimate.low is not None and estimate.high is not None
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1


@pytest.mark.parametrize(("rate", "n"), [(0.13, 174), (0.30, 323), (0.50, 384)])
def test_rows_for_five_points_as_the_methodology_says(rate: float, n: int) -> None:
    estimate = wilson(round(rate * n), n)
    assert estimate.low is not None and estimate.high is not None
    assert (estimate.high - estimate.low) / 2 == pytest.approx(0.05, abs=0.001)


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_a_share_of_nothing(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match=rf"{successes} of {n}"):
        wilson(successes, n)


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_a_confidence_is_a_fraction(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        wilson(1, 2, confidence)
    with pytest.raises(ValueError, match="confidence"):
        cluster_bootstrap([1, 0], [1, 1], ["a", "b"], confidence=confidence)


def test_mcnemar_agrees_with_scipy() -> None:
    for b in range(30):
        for c in range(30):
            expected = stats.binomtest(b, b + c, 0.5).pvalue if b + c else 1.0
            assert mcnemar_exact(b, c) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("b", "c"), [(15, 0), (60, 40), (5000, 5100), (300_000, 301_000), (900, 10)])
def test_mcnemar_of_many_rows(b: int, c: int) -> None:
    assert mcnemar_exact(b, c) == pytest.approx(
        min(1.0, 2 * stats.binom.cdf(min(b, c), b + c, 0.5)), rel=1e-6
    )


def test_mcnemar_closed_forms() -> None:
    assert mcnemar_exact(0, 0) == 1
    assert mcnemar_exact(7, 7) == 1
    assert mcnemar_exact(0, 10) == pytest.approx(2 * 0.5**10)
    assert mcnemar_exact(3, 9) == mcnemar_exact(9, 3)
    with pytest.raises(ValueError, match="b=-1"):
        mcnemar_exact(-1, 2)


def clustered_rows(
    clusters: int, rows_each: int, spread: float, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes 0 or 1 with a failure rate per cluster, and the cluster labels."""
    draw = np.random.default_rng(seed)
    rates = np.clip(0.4 + spread * draw.standard_normal(clusters), 0, 1)
    labels = np.repeat(np.arange(clusters), rows_each)
    return (draw.random(clusters * rows_each) < rates[labels]).astype(float), labels


def width(estimate: Estimate) -> float:
    assert estimate.low is not None and estimate.high is not None
    return estimate.high - estimate.low


def test_bootstrap_of_single_rows_comes_near_the_normal_interval() -> None:
    outcomes, labels = clustered_rows(2000, 1, spread=0)
    estimate = cluster_bootstrap(outcomes, np.ones(2000), labels)
    half = 1.96 * math.sqrt(estimate.value * (1 - estimate.value) / 2000)
    assert estimate.value == outcomes.mean()
    assert (estimate.low, estimate.high) == pytest.approx(
        (estimate.value - half, estimate.value + half), abs=0.004
    )


def test_bootstrap_of_ratios_comes_near_the_delta_method() -> None:
    draw = np.random.default_rng(3)
    lengths = draw.integers(5, 30, size=500)
    errors = draw.binomial(lengths, 0.2)
    estimate = cluster_bootstrap(errors, lengths, range(500))
    ratio = errors.sum() / lengths.sum()
    half = 1.96 * math.sqrt(((errors - ratio * lengths) ** 2).sum()) / lengths.sum()
    assert estimate.value == ratio
    assert (estimate.low, estimate.high) == pytest.approx((ratio - half, ratio + half), abs=0.002)


def test_rows_that_fail_together_widen_the_interval() -> None:
    outcomes, labels = clustered_rows(24, 32, spread=0.35)
    ones = np.ones(len(outcomes))
    by_cluster, by_row = (
        cluster_bootstrap(outcomes, ones, labels),
        cluster_bootstrap(outcomes, ones, range(768)),
    )
    assert width(by_cluster) > 2 * width(by_row)
    assert by_cluster.n == by_row.n == 768


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(200):
        outcomes, labels = clustered_rows(40, 5, spread=0, seed=seed)
        estimate = cluster_bootstrap(outcomes, np.ones(200), labels, resamples=400, seed=seed)
        assert estimate.low is not None and estimate.high is not None
        covered += estimate.low <= 0.4 <= estimate.high
    assert 0.88 <= covered / 200 <= 0.99


def test_same_seed_same_bounds_and_labels_of_any_kind() -> None:
    outcomes, labels = clustered_rows(30, 4, spread=0.2)
    ones = np.ones(120)
    first = cluster_bootstrap(outcomes, ones, labels, seed=7)
    assert first == cluster_bootstrap(outcomes, ones, labels, seed=7)
    assert first == cluster_bootstrap(outcomes, ones, [f"term {label:02}" for label in labels], seed=7)
    assert first != cluster_bootstrap(outcomes, ones, labels, seed=8)
    assert width(cluster_bootstrap(outcomes, ones, labels, confidence=0.5)) < width(first)


def test_bounds_are_none_where_rows_cannot_tell() -> None:
    assert cluster_bootstrap([1, 0], [2, 2], ["a", "a"]) == Estimate(0.25, None, None, 2)
    # Two clusters of which one has no reference words: a resample can be without a denominator.
    assert cluster_bootstrap([1, 0], [2, 0], ["a", "b"]) == Estimate(0.5, None, None, 2)
    assert bootstrap_bounds(([1.0, 0.0],), ["a", "b"], lambda total: 1 / total) == (None, None)


@pytest.mark.parametrize(
    ("numerators", "denominators", "clusters", "message"),
    [
        ([], [], [], "at least one row"),
        ([1, 2], [1], ["a", "b"], "one length"),
        ([1, 2], [1, 1], ["a"], "2 rows, but 1 cluster labels"),
        ([1, 2], [0, 0], ["a", "b"], "add up to 0"),
    ],
)
def test_columns_that_do_not_fit(
    numerators: list[int], denominators: list[int], clusters: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        cluster_bootstrap(numerators, denominators, clusters)


def test_many_clusters_are_drawn_in_steps_with_the_same_spread() -> None:
    outcomes, labels = clustered_rows(300_000, 1, spread=0)
    estimate = cluster_bootstrap(outcomes, np.ones(300_000), labels, resamples=40)
    assert width(estimate) == pytest.approx(2 * 1.96 * math.sqrt(0.24 / 300_000), rel=0.35)
