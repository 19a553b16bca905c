"""Numbers as people read them."""

import pytest

from flywheel.scoring.intervals import Estimate, wilson
from flywheel.scoring.numbers_as_text import (
    change_in_points,
    counted,
    listed,
    missed_of,
    misses,
    negated,
    p_value,
    percent,
    rate,
    rows_for_margin,
    too_few,
    too_few_changes,
)


@pytest.mark.parametrize(
    ("estimate", "written"),
    [
        (wilson(46, 48), "95.8 % [86.0, 98.8], n = 48"),
        (wilson(0, 3), "0.0 % [0.0, 56.1], n = 3"),
        (Estimate(0.5, None, None, 1), "50.0 % [no interval], n = 1"),
        (Estimate(1.25, 1.1, 1.4, 9), "125.0 % [110.0, 140.0], n = 9"),
    ],
)
def test_a_rate_has_its_interval_and_n(estimate: Estimate, written: str) -> None:
    assert rate(estimate) == written


@pytest.mark.parametrize(
    ("difference", "written"),
    [
        (Estimate(-0.896, -0.97, -0.8011, 48), "-89.6 [-97.0, -80.1]"),
        (Estimate(0.011, -0.002, 0.024, 48), "+1.1 [-0.2, +2.4]"),
        (Estimate(-0.00001, -0.0, 0.0, 48), "+0.0 [+0.0, +0.0]"),
        (Estimate(0.1, None, None, 1), "+10.0 [no interval]"),
    ],
)
def test_a_change_has_its_sign_and_no_negative_zero(difference: Estimate, written: str) -> None:
    assert change_in_points(difference) == written


@pytest.mark.parametrize("n", [1, 3, 7, 48, 9999])
def test_misses_are_recovered_exactly_from_a_rate(n: int) -> None:
    for missed in {0, 1, n // 3, n - 1, n}:
        assert misses(wilson(missed, n)) == missed
        assert missed_of(wilson(missed, n)) == f"{missed} of {n}"


def test_a_drop_turned_into_a_change_keeps_its_bounds_in_order() -> None:
    assert negated(Estimate(0.9, 0.8, 0.95, 48)) == Estimate(-0.9, -0.95, -0.8, 48)
    assert negated(negated(Estimate(0.9, 0.8, 0.95, 48))) == Estimate(0.9, 0.8, 0.95, 48)
    assert str(negated(Estimate(0.0, 0.0, 0.0, 9))) == "Estimate(value=0.0, low=0.0, high=0.0, n=9)"
    assert negated(Estimate(0.9, None, None, 1)) == Estimate(-0.9, None, None, 1)


@pytest.mark.parametrize(
    ("p", "written"),
    [(1.0, "p = 1.000"), (0.03125, "p = 0.031"), (0.001, "p = 0.001"), (0.0009, "p < 0.001")],
)
def test_p_value(p: float, written: str) -> None:
    assert p_value(p) == written


@pytest.mark.parametrize(("share", "rows"), [(0.13, 174), (0.30, 323), (0.50, 385), (0.0, 0), (1.0, 0)])
def test_rows_for_five_points(share: float, rows: int) -> None:
    # methodology.md: about 174, 323 and 384.
    assert rows_for_margin(share) == rows


def test_too_few_rows_say_how_many_would_do() -> None:
    assert too_few(3) == "too few rows (n = 3; 12 needed)"
    assert too_few(3, 100) == "too few rows (n = 3; 100 needed)"
    assert too_few(2, 6, "voices") == "too few voices (n = 2; 6 needed)"
    assert too_few_changes(4) == "too few changed rows to tell (n = 4; 6 needed)"


def test_words() -> None:
    assert (counted(1, "row"), counted(0, "row"), counted(3, "row")) == ("1 row", "0 rows", "3 rows")
    assert listed(["a"]) == "a"
    assert listed(["a", "b"], "or") == "a or b"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert percent(1 / 3) == "33.3 %"
