"""The leaderboard as one self-contained HTML file: figures, audio and text, without a server or a network.

page = render_html(inputs, players_of(misses))
"""

from flywheel.report.leaderboard.html.page import render_html
from flywheel.report.leaderboard.html.players import ROWS_TO_HEAR, Player, players_of

__all__ = ["ROWS_TO_HEAR", "Player", "players_of", "render_html"]
