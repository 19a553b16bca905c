"""The leaderboard: one markdown page a cycle that says whether to keep the model, and why.

inputs = LeaderboardInputs(cycle=1, baseline_scores=..., ...)
page, png, lines = render(inputs), render_figure(inputs, "category"), headline(inputs)
"""

from flywheel.leaderboard.alternatives import how_strength_was_chosen
from flywheel.leaderboard.figures import FIGURES, figure_description, render_figure
from flywheel.leaderboard.inputs import LeaderboardInputs, LeaderboardInputsError, Stage
from flywheel.leaderboard.page import headline, render
from flywheel.leaderboard.provenance import split_table

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
