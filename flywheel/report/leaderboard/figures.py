"""The figures of the page: the KER before and after with its intervals, and each term's way from one to the other.

Each is drawn once, and written as a picture for markdown and for the UI, or as a part of the HTML page.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flywheel.errors import FlywheelError
from flywheel.report.figures import AFTER, BEFORE, DOTS_PER_INCH, Mark, as_png, as_svg, figure
from flywheel.report.leaderboard.breakdowns import Levels, held_out_levels, loudness, worst_first
from flywheel.report.leaderboard.inputs import LeaderboardInputs
from flywheel.report.theme import LIGHT
from flywheel.scoring.intervals import Estimate
from flywheel.scoring.numbers_as_text import (
    carries,
    counted,
    listed,
    missed_of,
    rate_or_count,
    row_counts,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["FIGURES", "figure_description", "figure_levels", "figure_title", "render_figure", "render_svg"]

FIGURES = ("category", "noise", "source", "terms")
"""The names of the figures, in the order in which a page shows them."""

# Narrow enough that the labels can be read on a phone, where the drawing is as wide as the screen.
_WIDTH = 4.8
_FONT_SIZE = 10.5
_HEIGHT_OF_LEVEL, _HEIGHT_OF_SINGLE_LEVEL = 0.52, 0.40
_OFFSET = 0.17
_INK, _QUIET, _LINE, _EDGE, _SURFACE, _BAD = (
    LIGHT[name] for name in ("ink", "quiet", "line", "edge", "surface", "bad")
)
_ALL = "all terms"
_MOST_TERMS = 24
_MOST_WORST = 6
_LONGEST_LABEL = 20


@dataclass(frozen=True, slots=True)
class _Subject:
    """What a figure breaks the KER down by: the field of the rows, and how people call it."""

    field: str
    title: str
    words: str


_SUBJECTS = {
    "category": _Subject("entity_category", "Terms missed, by category", "KER by entity category"),
    "noise": _Subject("noise_level", "Terms missed, by noise", "KER by noise level"),
    "source": _Subject(
        "ipa_source", "Terms missed, by source of the pronunciation", "KER by source of the pronunciation"
    ),
    "terms": _Subject("term", "Each term, before and after", "KER by term"),
}


def figure_title(name: str) -> str:
    """The heading of a figure.

    Raises:
        FlywheelError: there is no such figure.
    """
    return _subject(name).title


def figure_levels(inputs: LeaderboardInputs, name: str) -> Levels:
    """The numbers of a figure: held-out rows, in the figure's order; empty where no clinical row is held out.

    Terms stand worst first; categories and sources by name, and noise from clean to loud, all terms together last.
    """
    field = _subject(name).field
    levels = held_out_levels(inputs, field)
    if name == "terms":
        return {term: levels[term] for term in worst_first(levels)}
    order: Callable[[str], tuple[float, str]] = loudness if name == "noise" else lambda level: (0.0, level)
    ordered = {level: levels[level] for level in sorted(levels, key=order)}
    if len(ordered) > 1:
        ordered[_ALL] = inputs.both(lambda scores: scores.metric("held_out", "ker"))
    return ordered


def figure_description(inputs: LeaderboardInputs, name: str) -> str:
    """What the figure shows, in a sentence: its text alternative."""
    words, levels = _subject(name).words, figure_levels(inputs, name)
    if not levels:
        return f"{words}: not measured, no clinical row is held out."
    sides = ("before", "after") if inputs.after is not None else ("baseline",)

    def level(name: str) -> str:
        known = [(side, ker) for side, ker in zip(sides, levels[name], strict=False) if ker is not None]
        rates = [f"{rate_or_count(ker)} {side}" for side, ker in known]
        n = " / ".join(dict.fromkeys(str(ker.n) for _, ker in known))
        counts = all(not carries(ker.n) for _, ker in known)
        return f"{name} {listed(rates)}" + ("" if counts else f" (n = {n})")

    if name == "terms":
        shown = "; ".join(level(term) for term in [*levels][:_MOST_TERMS])
        more = f"; {counted(len(levels) - _MOST_TERMS, 'more term')}" if len(levels) > _MOST_TERMS else ""
        return f"{words} on held-out rows, mentions missed, worst first: {shown}{more}."
    return f"{words} on held-out rows, with 95 % intervals: {'; '.join(map(level, levels))}."


def render_figure(inputs: LeaderboardInputs, name: str, *, dots_per_inch: int = DOTS_PER_INCH) -> bytes:
    """A figure as a PNG file, 4.8 inches wide; where nothing was measured it says so.

    Raises:
        FlywheelError: there is no such figure.
    """
    with _drawn(inputs, name) as drawn:
        drawn.axes[0].set_title(figure_title(name), loc="left", fontsize=_FONT_SIZE + 1, color=_INK, pad=10)
        return as_png(drawn, dots_per_inch)


def render_svg(inputs: LeaderboardInputs, name: str) -> str:
    """A figure as an `<svg>` element, without a heading; its colours are those of the page it stands on.

    Raises:
        FlywheelError: there is no such figure.
    """
    with _drawn(inputs, name) as drawn:
        return as_svg(drawn, figure_description(inputs, name))


@contextmanager
def _drawn(inputs: LeaderboardInputs, name: str) -> Iterator["Figure"]:
    levels, trained = figure_levels(inputs, name), inputs.after is not None
    slopes = name == "terms" and trained
    if name == "terms" and not slopes:
        levels = dict([*levels.items()][:_MOST_TERMS])
    height = 4.4 if slopes and levels else _height(len(levels), trained=trained)
    with figure(_WIDTH, height, seed_of_ids=name) as drawn:
        axes = drawn.add_subplot()
        if not levels:
            axes.set_axis_off()
            axes.text(0, 0.5, "Not measured:\nno clinical row is held out.", va="center", color=_QUIET)
        elif slopes:
            _draw_slopes(axes, levels)
        else:
            _draw_intervals(axes, levels, trained=trained)
        yield drawn


def _height(levels: int, *, trained: bool) -> float:
    return 1.25 + (_HEIGHT_OF_LEVEL if trained else _HEIGHT_OF_SINGLE_LEVEL) * levels


def _draw_intervals(axes: "Axes", levels: Levels, *, trained: bool) -> None:
    from matplotlib.ticker import PercentFormatter

    offsets = (-_OFFSET, _OFFSET) if trained else (0.0, 0.0)
    for place, kers in enumerate(levels.values()):
        for ker, offset, mark in zip(kers, offsets, (BEFORE, AFTER), strict=True):
            if ker is not None:
                _draw_rate(axes, ker, place + offset, mark)
    axes.set_yticks(
        range(len(levels)), [f"{_short(level)}\nn = {row_counts(kers)}" for level, kers in levels.items()]
    )
    axes.set_ylim(len(levels) - 0.45, -0.55)
    # Room for the number beside an interval that ends at 100 %.
    axes.set_xlim(-0.02, 1.27)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1.0])
    axes.xaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0, symbol=" %"))
    axes.set_xlabel("KER with its 95 % interval; lower is better", x=0, ha="left")
    axes.vlines(
        [0, 0.25, 0.5, 0.75, 1.0],
        0,
        1,
        transform=axes.get_xaxis_transform(),
        color=_LINE,
        linewidth=0.8,
        zorder=0,
    )
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if trained:
        _explain(axes)


def _draw_rate(axes: "Axes", ker: Estimate, y: float, mark: Mark) -> None:
    """A rate with its interval; hollow, and with its counts, where the rows do not carry a rate."""
    carried = carries(ker.n)
    if ker.low is not None and ker.high is not None:
        axes.plot(
            [ker.low, ker.high],
            [y, y],
            color=mark.colour,
            linewidth=2.2 if carried else 1.1,
            solid_capstyle="butt",
        )
    axes.plot(
        [ker.value], [y], color=mark.colour, marker=mark.shape, markersize=6.5, markeredgewidth=1.4, linestyle="none",
        markerfacecolor=mark.colour if carried else _SURFACE,
    )  # fmt: skip
    axes.annotate(
        rate_or_count(ker),
        (ker.value if ker.high is None else max(ker.high, ker.value), y),
        xytext=(7, 0),
        textcoords="offset points",
        va="center_baseline",
        fontsize=_FONT_SIZE - 1,
    )


def _explain(axes: "Axes") -> None:
    handles = [BEFORE.in_legend("before"), AFTER.in_legend("after")]
    axes.figure.legend(
        handles=handles, loc="outside lower right", ncols=2, frameon=False, fontsize=_FONT_SIZE
    )


def _draw_slopes(axes: "Axes", levels: Levels) -> None:
    """A line a term from the KER before to that after. What is still missed most stands out, and has its name."""
    ways = {term: (before, after) for term, (before, after) in levels.items() if before and after}
    worst = [term for term, (_, after) in ways.items() if after.value > 0][:_MOST_WORST]
    for term, (before, after) in reversed(ways.items()):
        stands_out = term in worst
        axes.plot(
            [0, 1], [before.value, after.value], color=_BAD if stands_out else _EDGE,
            linewidth=2.0 if stands_out else 1.0, alpha=1.0 if stands_out else 0.55, zorder=3 if stands_out else 2,
            clip_on=False,
        )  # fmt: skip
        for x, ker, mark in ((0, before, BEFORE), (1, after, AFTER)):
            axes.plot(
                [x],
                [ker.value],
                color=mark.colour,
                marker=mark.shape,
                markersize=5.5,
                zorder=4,
                clip_on=False,
            )
    _name_ends(axes, ways, worst)
    axes.set_xlim(-0.06, 2.05)
    axes.set_ylim(-0.03, 1.03)
    axes.set_xticks([0, 1], ["before", "after"])
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1.0], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.vlines([0, 1], 0, 1, color=_LINE, linewidth=0.8, zorder=0)
    numbers = [ker.n for pair in ways.values() for ker in pair]
    rows = (
        counted(numbers[0], "row")
        if min(numbers) == max(numbers)
        else f"{min(numbers)} to {max(numbers)} rows"
    )
    axes.set_xlabel(f"share of its mentions missed; {rows} per term", x=0, ha="left")


def _name_ends(axes: "Axes", ways: Mapping[str, tuple[Estimate, Estimate]], worst: Sequence[str]) -> None:
    """Names at the right ends of the lines, one text for all that end at the same height, where they fit."""
    ends: dict[float, list[str]] = {}
    for term, (_, after) in ways.items():
        ends.setdefault(round(after.value, 6), []).append(term)
    lowest = 2.0
    for height, terms in ends.items():  # worst first, that is from the top
        lines = _names(terms, ways)
        needed = 0.062 * len(lines)
        top = min(height + needed / 2, lowest)
        if top - needed / 2 < height - 0.09:
            continue
        axes.text(
            1.06, top - needed / 2, "\n".join(lines), va="center", fontsize=_FONT_SIZE - 1,
            color=_BAD if terms[0] in worst else _QUIET, linespacing=1.25,
        )  # fmt: skip
        lowest = top - needed - 0.012


def _names(terms: Sequence[str], ways: Mapping[str, tuple[Estimate, Estimate]]) -> list[str]:
    """`cefazolin, 4 of 8`; of more than three terms the first two and how many there are besides."""
    if not ways[terms[0]][1].value:
        return [f"{counted(len(terms), 'term')}, none missed"]
    shown = terms if len(terms) <= 3 else terms[:2]
    lines = [f"{_short(term)}, {missed_of(ways[term][1])}" for term in shown]
    return lines if len(terms) <= 3 else [*lines, f"and {len(terms) - 2} more"]


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_LABEL else f"{name[: _LONGEST_LABEL - 1].rstrip()}…"


def _subject(name: str) -> _Subject:
    if name not in _SUBJECTS:
        raise FlywheelError(f"figure: found {name!r}, allowed: {', '.join(FIGURES)}")
    return _SUBJECTS[name]
