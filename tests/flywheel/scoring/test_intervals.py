"""Intervals against closed forms and scipy; the bootstrap against what it must do."""

import math

import numpy as np
import pytest
from scipy import stats

from flywheel.scoring.intervals import (
    LEAST_CHANGES,
    LEAST_CLUSTERS,
    LEAST_ROWS,
    Estimate,
    PairedRates,
    bootstrap_bounds,
    carries,
    cluster_bootstrap,
    holm,
    least_clusters,
    mcnemar_exact,
    paired_bootstrap,
    rows_needed,
    student_quantile,
    wilson,
)


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
    # One of six clusters has reference words: a resample can be without a denominator.
    assert cluster_bootstrap([1, *[0] * 5], [2, *[0] * 5], range(6)) == Estimate(0.5, None, None, 6)
    columns = ([1.0, *[0.0] * 5],)
    assert bootstrap_bounds(columns, range(6), lambda total: 1 / total) == (None, None)


@pytest.mark.parametrize(("confidence", "least"), [(0.5, 2), (0.9, 5), (0.95, 6), (0.99, 8)])
def test_an_interval_needs_so_many_clusters_that_their_range_is_wide_enough(
    confidence: float, least: int
) -> None:
    assert least_clusters(confidence) == least
    for clusters in range(1, 12):
        # All clusters lie to one side of the middle of what they come from.
        misses = 2 * 0.5**clusters
        estimate = cluster_bootstrap(
            [*range(clusters)], [2] * clusters, range(clusters), confidence=confidence
        )
        assert (estimate.low is not None) == (misses <= 1 - confidence)
    assert least_clusters() == LEAST_CLUSTERS == 6


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("degrees", [5, 9, 30, 1000, 100_000])
def test_the_quantile_of_student_agrees_with_scipy(degrees: int, confidence: float) -> None:
    theirs = stats.t.ppf(confidence / 2 + 0.5, degrees)
    assert student_quantile(degrees, confidence) == pytest.approx(theirs, rel=1e-3)


def test_the_fewer_clusters_the_further_out_the_percentiles() -> None:
    # For a mean of normal values the expanded interval comes near Student's own.
    draw = np.random.default_rng(9)
    for clusters in (8, 20, 200):
        ratios = []
        for seed in range(40):
            values = draw.normal(10, 1, size=clusters)
            ours = cluster_bootstrap(values, np.ones(clusters), range(clusters), seed=seed)
            student = 2 * stats.t.ppf(0.975, clusters - 1) * values.std(ddof=1) / math.sqrt(clusters)
            ratios.append(width(ours) / student)
        assert np.mean(ratios) == pytest.approx(1, abs=0.06)


def test_a_pair_is_resampled_like_each_of_its_sides() -> None:
    before, labels = clustered_rows(30, 4, spread=0.2)
    after, _ = clustered_rows(30, 4, spread=0.2, seed=1)
    words = np.arange(120) % 9 + 4
    paired = paired_bootstrap(before, after, words, labels, seed=3)
    assert paired.before == cluster_bootstrap(before, words, labels, seed=3)
    assert paired.after == cluster_bootstrap(after, words, labels, seed=3)
    assert paired.difference == cluster_bootstrap(after - before, words, labels, seed=3)
    assert paired.improvement is not None
    back = paired_bootstrap(after, before, words, labels, seed=3)
    assert back.improvement == pytest.approx(1 - paired.improvement)
    assert back.difference.value == -paired.difference.value


def test_a_pair_without_interval_has_no_improvement() -> None:
    few = paired_bootstrap([1, 1], [0, 1], [2, 2], ["a", "b"])
    assert few == PairedRates(
        Estimate(0.5, None, None, 2), Estimate(0.25, None, None, 2), few.difference, None
    )
    assert few.difference == Estimate(-0.25, None, None, 2)
    with pytest.raises(ValueError, match="add up to 0"):
        paired_bootstrap([1], [1], [0], ["a"])


@pytest.mark.parametrize(
    ("found", "corrected"),
    [
        ([], ()),
        ([0.04], (0.04,)),
        ([0.01, 0.04, 0.03], (0.03, 0.06, 0.06)),
        ([0.5, 0.4], (0.8, 0.8)),
        ([0.9, 0.001], (0.9, 0.002)),
    ],
)
def test_holm_closed_forms(found: list[float], corrected: tuple[float, ...]) -> None:
    assert holm(found) == pytest.approx(corrected)


def test_holm_refuses_what_is_no_p() -> None:
    with pytest.raises(ValueError, match=r"found \[1.2\]"):
        holm([0.5, 1.2])


@pytest.mark.parametrize("half_width", [0.02, 0.05, 0.1, 0.25, 0.4])
def test_rows_needed_are_the_least_at_which_the_widest_interval_fits(half_width: float) -> None:
    def widest(n: int) -> float:
        # Wilson's formula with a share of 1/2, which an odd number of rows only comes near.
        z = stats.norm.ppf(0.975)
        return float(z / (2 * math.sqrt(n + z * z)))

    n = rows_needed(half_width)
    assert widest(n) <= half_width < widest(n - 1)
    for successes in range(n + 1):
        assert width(wilson(successes, n)) <= 2 * half_width + 1e-12


def test_a_rate_is_shown_from_so_many_rows_on_that_it_says_more_than_high_or_low() -> None:
    assert LEAST_ROWS == 12
    assert [carries(n) for n in (0, 1, 11, 12, 1000)] == [False, False, False, True, True]
    assert all(width(wilson(missed, 12)) <= 0.5 for missed in range(13))
    assert width(wilson(5, 11)) > 0.5
    with pytest.raises(ValueError, match=r"half width of 0\.5"):
        rows_needed(0.5)


def test_fewer_than_six_changed_rows_are_never_significant() -> None:
    assert LEAST_CHANGES == 6
    assert min(mcnemar_exact(b, LEAST_CHANGES - 1 - b) for b in range(LEAST_CHANGES)) > 0.05
    assert mcnemar_exact(LEAST_CHANGES, 0) < 0.05


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
