"""Lines of the page's tables: a rate before, beside it the same after, and what changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flywheel.leaderboard.markdown import table
from flywheel.scoring.intervals import Estimate
from flywheel.wording import change_in_points, misses, percent_with_interval

__all__ = ["Line", "ker_table", "not_measured", "rate_table", "section"]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table.

    Args:
        label: markdown.
        before, after: the rates; None where one was not measured.
        change: after minus before, with its interval; None where only the two rates are known.
        absent: why a rate is None.
    """

    label: str
    before: Estimate | None
    after: Estimate | None = None
    change: Estimate | None = None
    absent: str = "no such rows"

    @property
    def rows(self) -> str:
        """How many rows stand behind the rates; two numbers where the sides differ."""
        numbers = dict.fromkeys(side.n for side in (self.before, self.after) if side is not None)
        return " / ".join(str(number) for number in numbers) or "0"


def section(title: str, *parts: str) -> str:
    """A section of the page: its title and what stands under it; empty parts are left out."""
    return "\n\n".join([f"## {title}", *(part for part in parts if part)])


def not_measured(why: str) -> str:
    """What stands where a number is missing; never 0."""
    return f"not measured ({why})"


def rate_table(first: str, lines: Sequence[Line], *, trained: bool) -> str:
    """Rates of any kind, with the interval of the change; `first` heads the column of labels."""
    if not trained:
        return table(
            [first, "n", "baseline"], [[line.label, line.rows, _side(line, line.before)] for line in lines]
        )
    return table(
        [first, "n", "before", "after", "change, points"],
        [
            [line.label, line.rows, _side(line, line.before), _side(line, line.after), _change(line)]
            for line in lines
        ],
    )


def ker_table(first: str, lines: Sequence[Line], *, trained: bool) -> str:
    """KERs, with the misses they come from."""
    if not trained:
        return table(
            [first, "n", "missed", "KER"],
            [[line.label, line.rows, _missed(line.before), _side(line, line.before)] for line in lines],
        )
    return table(
        [first, "n", "missed before", "missed after", "KER before", "KER after", "change, points"],
        [
            [
                *(line.label, line.rows, _missed(line.before), _missed(line.after)),
                *(_side(line, line.before), _side(line, line.after), _change(line)),
            ]
            for line in lines
        ],
    )


def paired(
    before: Mapping[str, Estimate], after: Mapping[str, Estimate] | None
) -> dict[str, tuple[Estimate | None, Estimate | None]]:
    """The levels of a breakdown before and after; one that only one side has is None on the other."""
    levels = dict.fromkeys([*before, *(after or {})])
    return {level: (before.get(level), (after or {}).get(level)) for level in levels}


def _missed(ker: Estimate | None) -> str:
    return "-" if ker is None else str(misses(ker))


def _side(line: Line, estimate: Estimate | None) -> str:
    return not_measured(line.absent) if estimate is None else percent_with_interval(estimate)


def _change(line: Line) -> str:
    if line.change is not None:
        return change_in_points(line.change)
    if line.before is None or line.after is None:
        return "-"
    return f"{round((line.after.value - line.before.value) * 100, 1) + 0.0:+.1f}"
