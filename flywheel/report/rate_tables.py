"""Lines of the page's tables: a rate before, beside it the same after, and what changed."""

from collections.abc import Sequence
from dataclasses import dataclass

from flywheel.files.markdown import inline, table
from flywheel.scoring.comparison import KeywordChange, RateChange
from flywheel.scoring.intervals import LEAST_CHANGES, Estimate
from flywheel.scoring.numbers_as_text import (
    carries,
    change_in_points,
    missed_of,
    misses,
    negated,
    p_value,
    percent_with_interval,
    row_counts,
    too_few,
    too_few_changes,
)

__all__ = [
    "Line",
    "bullets",
    "change_cell",
    "count_table",
    "difference_of",
    "ker_table",
    "mcnemar_cell",
    "missed_cell",
    "not_measured",
    "rate_cell",
    "rate_table",
    "section",
    "share_cell",
]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table.

    Args:
        label: markdown.
        before, after: the rates; None where one was not measured.
        change: after minus before, with its interval; None where only the two rates are known.
        absent: why a rate is None.
        more: cells of further columns.
    """

    label: str
    before: Estimate | None
    after: Estimate | None = None
    change: Estimate | None = None
    absent: str = "no such rows"
    more: tuple[str, ...] = ()

    @property
    def rows(self) -> str:
        """How many rows stand behind the rates; two numbers where the sides differ."""
        return row_counts((self.before, self.after))


def section(title: str, *parts: str) -> str:
    """A section of the page: its title and what stands under it; empty parts are left out."""
    return "\n\n".join([f"## {title}", *(part for part in parts if part)])


def bullets(sentences: Sequence[str]) -> str:
    """A list of sentences that are text, not yet markdown."""
    return "\n".join(f"- {inline(sentence)}" for sentence in sentences)


def not_measured(why: str) -> str:
    """What stands where a number is missing; never 0."""
    return f"not measured ({why})"


def rate_table(first: str, lines: Sequence[Line], *, trained: bool, more: Sequence[str] = ()) -> str:
    """Rates of any kind, with the interval of the change; `first` heads the column of labels, `more` the lines' own."""
    if not trained:
        header = [first, "n", "baseline"]
        return table(header, [[line.label, line.rows, _side(line, line.before)] for line in lines])
    return table(
        [first, "n", "before", "after", "change, points", *more],
        [[line.label, line.rows, *_sides(line), change_cell(line), *line.more] for line in lines],
    )


def ker_table(first: str, lines: Sequence[Line], *, trained: bool, more: Sequence[str] = ()) -> str:
    """KERs, with the misses they come from; `more` heads the lines' own columns."""
    if not trained:
        return table(
            [first, "n", "missed", "KER"],
            [[line.label, line.rows, missed_cell(line.before), _side(line, line.before)] for line in lines],
        )
    return table(
        [first, "n", "missed before", "missed after", "KER before", "KER after", "change, points", *more],
        [
            [
                *(line.label, line.rows, missed_cell(line.before), missed_cell(line.after)),
                *(*_sides(line), change_cell(line), *line.more),
            ]
            for line in lines
        ],
    )


def count_table(first: str, lines: Sequence[Line], *, trained: bool) -> str:
    """Misses of n; a rate beside them only where n carries it, and no column of rates where none does."""
    carried = any(
        side is not None and carries(side.n) for line in lines for side in (line.before, line.after)
    )
    sides = ("before", "after") if trained else ("",)
    header = [first, "n", *(f"missed {side}".strip() for side in sides)]
    header += [f"KER {side}".strip() for side in sides if carried]
    rows = []
    for line in lines:
        kers = (line.before, line.after)[: len(sides)]
        rates = ["-" if ker is None or not carries(ker.n) else percent_with_interval(ker) for ker in kers]
        rows.append([line.label, line.rows, *map(missed_cell, kers), *(rates if carried else [])])
    return table(header, rows)


def missed_cell(ker: Estimate | None) -> str:
    """How many terms were missed; `-` where nothing was measured."""
    return "-" if ker is None else str(misses(ker))


def rate_cell(estimate: Estimate) -> str:
    """A rate with its interval, or that its rows are too few to carry one."""
    return percent_with_interval(estimate) if carries(estimate.n) else too_few(estimate.n)


def share_cell(share: Estimate) -> str:
    """A share of rows as a count, and as a rate with its interval where the rows carry one."""
    counts = missed_of(share)
    return f"{counts}, {percent_with_interval(share)}" if carries(share.n) else counts


def change_cell(line: Line) -> str:
    """The change with its interval where that is known; `-` where there is none, or its rows carry no number."""
    if line.change is not None:
        return change_in_points(line.change) if carries(line.change.n) else "-"
    if line.before is None or line.after is None or not carries(min(line.before.n, line.after.n)):
        return "-"
    return f"{round((line.after.value - line.before.value) * 100, 1) + 0.0:+.1f}"


def mcnemar_cell(change: KeywordChange) -> str:
    """The p of the exact McNemar test, or that too few rows changed for it to tell anything."""
    changed = change.mended + change.broken
    return p_value(change.p) if changed >= LEAST_CHANGES else too_few_changes(changed)


def difference_of(change: RateChange | KeywordChange) -> Estimate:
    """After minus before, below 0 where it got better."""
    return negated(change.absolute_drop) if isinstance(change, KeywordChange) else change.difference


def _sides(line: Line) -> tuple[str, str]:
    """Before and after; where the rows of both are too few, the first cell says how many would do."""
    before, after = _side(line, line.before), _side(line, line.after)
    return before, "too few rows" if after == before and not _carried(line.after) else after


def _carried(estimate: Estimate | None) -> bool:
    return estimate is None or carries(estimate.n)


def _side(line: Line, estimate: Estimate | None) -> str:
    return not_measured(line.absent) if estimate is None else rate_cell(estimate)
