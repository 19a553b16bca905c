"""The leaderboard: one markdown page a cycle that says whether to keep the model, and why.

inputs = LeaderboardInputs(cycle=1, baseline_scores=..., ...)
page, png, lines = render(inputs), render_figure(inputs, "category"), headline(inputs)
"""

from flywheel.report.leaderboard.answer import headline
from flywheel.report.leaderboard.figures import FIGURES, figure_description, render_figure
from flywheel.report.leaderboard.inputs import LeaderboardInputs, LeaderboardInputsError, Stage
from flywheel.report.leaderboard.markdown import render
from flywheel.report.leaderboard.sections.boosting import how_strength_was_chosen
from flywheel.report.leaderboard.sections.provenance import split_table

__all__ = [
    "FIGURES",
    "LeaderboardInputs",
    "LeaderboardInputsError",
    "Stage",
    "figure_description",
    "headline",
    "how_strength_was_chosen",
    "render",
    "render_figure",
    "split_table",
]
