"""Numbers as people read them: percent with one decimal, intervals, counts, p values.

One way to write each, so that the gate, the decision and the page say the same thing alike.
"""

import math
from collections.abc import Iterable, Sequence

from flywheel.scoring.intervals import LEAST_CHANGES, LEAST_ROWS, Estimate, carries, negated

__all__ = [
    "LEAST_CHANGES",
    "LEAST_ROWS",
    "carries",
    "chance",
    "change_in_points",
    "counted",
    "interval",
    "interval_in_points",
    "listed",
    "missed_of",
    "misses",
    "negated",
    "p_value",
    "percent",
    "percent_with_interval",
    "points",
    "rate",
    "rate_or_count",
    "row_counts",
    "rows_for_margin",
    "too_few",
    "too_few_changes",
]

_NO_INTERVAL = "no interval"


def percent(fraction: float) -> str:
    """`95.8 %` for 0.9583."""
    return f"{_hundredfold(fraction):.1f} %"


def percent_with_interval(estimate: Estimate) -> str:
    """`95.8 % [86.0, 98.8]`; `[no interval]` where the rows cannot give one."""
    return f"{percent(estimate.value)} {interval(estimate)}"


def interval(estimate: Estimate) -> str:
    """`[86.0, 98.8]`: the bounds of a rate's interval in percent."""
    return _bounds(estimate, ".1f")


def rate(estimate: Estimate) -> str:
    """`95.8 % [86.0, 98.8], n = 48`: a rate with its 95 % interval and the number of rows behind it."""
    return f"{percent_with_interval(estimate)}, n = {estimate.n}"


def change_in_points(difference: Estimate) -> str:
    """`-89.6 [-97.0, -80.1]`: after minus before, in percentage points."""
    return f"{points(difference)} {interval_in_points(difference)}"


def points(difference: Estimate) -> str:
    """`-89.6`: after minus before, in percentage points."""
    return f"{_hundredfold(difference.value):+.1f}"


def interval_in_points(difference: Estimate) -> str:
    """`[-97.0, -80.1]`: the bounds of a change's interval in percentage points."""
    return _bounds(difference, "+.1f")


def misses(ker: Estimate) -> int:
    """How many of the `ker.n` mentions were missed: a KER is a whole number of misses by n."""
    return round(ker.value * ker.n)


def missed_of(ker: Estimate) -> str:
    """`46 of 48`."""
    return f"{misses(ker)} of {ker.n}"


def rate_or_count(ker: Estimate) -> str:
    """`12.5 %`, or `2 of 5` where the rows are too few for a rate."""
    return percent(ker.value) if carries(ker.n) else missed_of(ker)


def p_value(p: float) -> str:
    """`p = 0.012`, or `p < 0.001` below what three decimals show."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def chance(improvement: float | None) -> str:
    """The probability of improvement: `97.3 %`. A finite number of resamples shows neither 0 nor 100 %."""
    if improvement is None:
        return "-"
    if improvement > 0.999:
        return "> 99.9 %"
    return "< 0.1 %" if improvement < 0.001 else percent(improvement)


def counted(count: int, noun: str) -> str:
    """`1 row`, `3 rows`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def row_counts(estimates: Iterable[Estimate | None]) -> str:
    """`48`: how many rows stand behind the estimates; `48 / 50` where these differ, `0` where there are none."""
    return " / ".join(dict.fromkeys(str(each.n) for each in estimates if each is not None)) or "0"


def listed(items: Sequence[str], conjunction: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    *others, last = items
    return f"{', '.join(others)} {conjunction} {last}" if others else last


def too_few(n: int, needed: int = LEAST_ROWS, what: str = "rows") -> str:
    """`too few rows (n = 3; 12 needed)`: what stands in place of a rate that `carries(n)` does not allow.

    Of clusters with `what`: `too few voices (n = 2; 6 needed)`.
    """
    return f"too few {what} (n = {n}; {needed} needed)"


def too_few_changes(changed: int, needed: int = LEAST_CHANGES) -> str:
    """`too few changed rows to tell (n = 3; 6 needed)`: in place of a McNemar p that could not be significant.

    `changed` is mended and broken together.
    """
    return f"too few changed rows to tell (n = {changed}; {needed} needed)"


def rows_for_margin(share: float, margin: float = 0.05) -> int:
    """Rows for a 95 % interval of about +-`margin` around a rate of `share`, both fractions.

    The normal approximation, `1.96**2 * share * (1 - share) / margin**2`: 174 at 0.13, 323 at 0.30.
    """
    return math.ceil(1.96**2 * share * (1 - share) / margin**2)


def _hundredfold(fraction: float) -> float:
    # Adding 0.0 turns the -0.0 that rounding a tiny negative change gives into 0.0.
    return round(fraction * 100, 1) + 0.0


def _bounds(estimate: Estimate, form: str) -> str:
    if estimate.low is None or estimate.high is None:
        return f"[{_NO_INTERVAL}]"
    return f"[{_hundredfold(estimate.low):{form}}, {_hundredfold(estimate.high):{form}}]"
