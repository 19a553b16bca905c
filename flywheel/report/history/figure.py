"""The figure of the history: KER, WER and WER on general speech, cycle by cycle, with intervals."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from flywheel.report.figures import AFTER, BEFORE, DOTS_PER_INCH, Mark, as_png, figure
from flywheel.report.history.reading import History
from flywheel.report.history.turns import Measured, Turn
from flywheel.report.theme import LIGHT
from flywheel.scoring.intervals import Estimate
from flywheel.scoring.numbers_as_text import listed, percent, row_counts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["render_figure"]

_WIDTH, _WIDTH_OF_CYCLE, _WIDEST = 7.2, 0.68, 16.0
_HEIGHT = 6.9
_OFFSET = 0.14
_VALUES_UP_TO = 6
"""Cycles up to which each point carries its value; with more the values would cover the points."""


def render_figure(history: History, *, dots_per_inch: int = DOTS_PER_INCH) -> bytes:
    """Three panels over the cycles: the rates before and after training, filled where the new model was kept.

    Returns:
        A PNG file, at the default resolution about 1000 pixels wide or, with many cycles, up to 2300; without a
        finished cycle it says so.
    """
    turns = history.turns
    width = min(_WIDEST, max(_WIDTH, 1.2 + _WIDTH_OF_CYCLE * len(turns)))
    with figure(width, _HEIGHT if turns else 1.6) as drawn:
        if turns:
            panels = drawn.subplots(3, 1, sharex=True)
            kinds = dict.fromkeys(chain.from_iterable(turn.priority_categories for turn in turns))
            ker_title = f"KER of {listed(list(kinds))} terms, held-out rows"
            _draw(panels[0], turns, ker_title, lambda each: each.priority_ker)
            _draw(panels[1], turns, "WER, held-out rows", lambda each: each.wer)
            _draw(panels[2], turns, "WER, general speech", lambda each: each.general_wer)
            _name_cycles(panels[2], history)
            _explain(panels[0], turns)
        else:
            axes = drawn.add_subplot()
            axes.set_axis_off()
            axes.text(0.5, 0.5, "No cycle is finished yet.", ha="center", va="center", fontsize=11)
        return as_png(drawn, dots_per_inch)


def _draw(
    axes: "Axes", turns: Sequence[Turn], title: str, read: Callable[[Measured], Estimate | None]
) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    highest = 0.0
    for place, turn in enumerate(turns):
        before, after = read(turn.before), None if turn.after is None else read(turn.after)
        _draw_pair(axes, place, before, after, kept=turn.decision.promote, value=len(turns) <= _VALUES_UP_TO)
        known = [each for each in (before, after) if each is not None]
        highest = max([highest, *(each.value if each.high is None else each.high for each in known)])
        rows = row_counts((before, after))
        axes.annotate(
            f"n = {rows}" if len(turns) <= 2 * _VALUES_UP_TO else rows,
            (place, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            fontsize=7.5,
            color=LIGHT["quiet"],
        )
    axes.set_title(title, loc="left", fontsize=10.5, pad=17)
    margin = 0.6 if len(turns) > 1 else 1.2
    axes.set_xlim(-margin, len(turns) - 1 + margin)
    axes.set_ylim(0, max(0.05, 1.08 * highest))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
    axes.grid(axis="y", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9, length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _draw_pair(
    axes: "Axes", place: int, before: Estimate | None, after: Estimate | None, *, kept: bool, value: bool
) -> None:
    if before is not None and after is not None:
        ends = [place - _OFFSET, place + _OFFSET]
        axes.plot(ends, [before.value, after.value], color=LIGHT["edge"], linewidth=1, zorder=1)
    if before is not None:
        _draw_rate(axes, place - (0 if after is None else _OFFSET), before, BEFORE, filled=True, value=value)
    if after is not None:
        _draw_rate(axes, place + _OFFSET, after, AFTER, filled=kept, value=value)


def _draw_rate(axes: "Axes", x: float, found: Estimate, mark: Mark, *, filled: bool, value: bool) -> None:
    if found.low is not None and found.high is not None:
        axes.plot([x, x], [found.low, found.high], color=mark.colour, linewidth=2, solid_capstyle="butt")
    face = mark.colour if filled else LIGHT["surface"]
    axes.plot(
        [x], [found.value], color=mark.colour, marker=mark.shape, markerfacecolor=face, markersize=6, zorder=3,
        clip_on=False,  # a rate of 0 is a whole marker, too
    )  # fmt: skip
    if value:
        left = mark is BEFORE
        axes.annotate(
            percent(found.value),
            (x, found.value),
            xytext=(-8 if left else 8, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
            fontsize=8,
        )


def _name_cycles(axes: "Axes", history: History) -> None:
    def name(turn: Turn) -> str:
        if turn.after is None:
            return f"cycle {turn.number}\ngate closed"
        return f"cycle {turn.number}\n{'kept' if turn.decision.promote else 'not kept'}"

    axes.set_xticks(range(len(history.turns)), [name(turn) for turn in history.turns])
    axes.set_xlabel("95 % intervals; lower is better", fontsize=9, loc="left", color=LIGHT["quiet"])


def _explain(axes: "Axes", turns: Sequence[Turn]) -> None:
    outcomes = {turn.decision.promote for turn in turns if turn.after is not None}
    marks = [BEFORE.in_legend("before")]
    marks += [AFTER.in_legend("after, kept")] if True in outcomes else []
    marks += [AFTER.in_legend("after, not kept", filled=False)] if False in outcomes else []
    axes.figure.legend(handles=marks, loc="outside lower right", ncols=len(marks), frameon=False, fontsize=9)
