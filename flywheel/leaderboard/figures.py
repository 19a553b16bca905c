"""The figure of the page: KER by category, before and after, with intervals."""

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

from flywheel.leaderboard.inputs import LeaderboardInputs
from flywheel.scoring.intervals import Estimate
from flywheel.wording import listed, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["figure_description", "render_figure"]

_DOTS_PER_INCH = 144
_HEIGHT_OF_LEVEL = 0.55
_OFFSET = 0.17
# Two colours of Okabe and Ito's set, which stay apart for colour-blind eyes; the markers differ as well.
_STYLES = (("#D55E00", "o"), ("#0072B2", "D"))
_ALL = "all terms"


def figure_description(inputs: LeaderboardInputs) -> str:
    """What the figure shows, in a sentence: its text alternative."""
    sides = _sides(inputs)
    if not _levels(sides):
        return "KER by entity category: not measured, no clinical row is held out."

    def level(name: str) -> str:
        rates = [f"{percent(kers[name].value)} {side}" for side, kers in sides.items() if name in kers]
        return f"{name} {listed(rates)}"

    levels = "; ".join(map(level, _levels(sides)))
    return f"KER by entity category on held-out rows, with 95 % intervals: {levels}."


def render_figure(inputs: LeaderboardInputs, *, dots_per_inch: int = _DOTS_PER_INCH) -> bytes:
    """KER of each entity category on held-out rows, before and after, with Wilson's intervals.

    Returns:
        A PNG file, 7.2 inches wide; without measured levels it says so.
    """
    # Matplotlib takes half a second to import, and the page itself does not need it. Its figures are used
    # without pyplot, which would keep a global list of them and choose a window system.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    sides = _sides(inputs)
    height = 1.5 + _HEIGHT_OF_LEVEL * max(1, len(_levels(sides)))
    figure = Figure(figsize=(7.2, height), dpi=dots_per_inch, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title("Clinical terms missed (KER) on held-out rows, by category", loc="left", fontsize=11)
    _draw(axes, sides)
    png = io.BytesIO()
    # Matplotlib's version in the file would make the same figure differ between installations.
    figure.savefig(png, format="png", metadata={"Software": None})
    return png.getvalue()


def _draw(axes: "Axes", sides: Mapping[str, Mapping[str, Estimate]]) -> None:
    from matplotlib.ticker import PercentFormatter

    levels = _levels(sides)
    offsets = (-_OFFSET, _OFFSET) if len(sides) == 2 else (0.0,)
    for (side, kers), (colour, marker), offset in zip(sides.items(), _STYLES, offsets, strict=False):
        label = side
        for place, level in enumerate(levels):
            if level in kers:
                _draw_rate(axes, kers[level], place + offset, colour, marker, label)
                label = "_nolegend_"
    axes.set_yticks(range(len(levels)), [f"{level}\nn = {_rows(sides, level)}" for level in levels])
    axes.set_ylim(max(1, len(levels)) - 0.5, -0.5)
    axes.set_xlim(-0.02, 1.12)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1.0])
    axes.xaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
    axes.set_xlabel("KER with its 95 % interval; lower is better", fontsize=9)
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9, length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    if levels:
        axes.figure.legend(loc="outside lower right", ncols=len(sides), frameon=False, fontsize=9)
    else:
        axes.text(0.5, 0, "not measured: no clinical row is held out", ha="center", transform=axes.transAxes)


def _draw_rate(axes: "Axes", ker: Estimate, y: float, colour: str, marker: str, label: str) -> None:
    if ker.low is not None and ker.high is not None:
        axes.plot([ker.low, ker.high], [y, y], color=colour, linewidth=2, solid_capstyle="butt")
    axes.plot([ker.value], [y], color=colour, marker=marker, markersize=6, linestyle="none", label=label)
    axes.annotate(
        percent(ker.value),
        (ker.value if ker.high is None else ker.high, y),
        xytext=(8, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
    )


def _sides(inputs: LeaderboardInputs) -> dict[str, dict[str, Estimate]]:
    after = inputs.after
    readers = {"baseline": inputs.before} if after is None else {"before": inputs.before, "after": after}
    sides = {}
    for side, reader in readers.items():
        kers = reader.ker_by("held_out", "entity_category")
        of_all = reader.metric("held_out", "ker")
        sides[side] = kers if of_all is None else {**kers, _ALL: of_all}
    return sides


def _levels(sides: Mapping[str, Mapping[str, Estimate]]) -> list[str]:
    """Categories in alphabetical order, all of them together last."""
    return sorted(
        {level for kers in sides.values() for level in kers}, key=lambda level: (level == _ALL, level)
    )


def _rows(sides: Mapping[str, Mapping[str, Estimate]], level: str) -> int:
    return max(kers[level].n for kers in sides.values() if level in kers)
