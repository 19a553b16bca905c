"""The leaderboard: one markdown page a cycle that says whether to keep the model, and why.

inputs = LeaderboardInputs(cycle=1, baseline_scores=..., ...)
page, png, lines = render(inputs), render_figure(inputs), headline(inputs)
"""

from flywheel.leaderboard.evidence import split_table
from flywheel.leaderboard.figures import figure_description, render_figure
from flywheel.leaderboard.inputs import LeaderboardInputs, LeaderboardInputsError, Stage
from flywheel.leaderboard.page import headline, render

__all__ = [
    "LeaderboardInputs",
    "LeaderboardInputsError",
    "Stage",
    "figure_description",
    "headline",
    "render",
    "render_figure",
    "split_table",
]
