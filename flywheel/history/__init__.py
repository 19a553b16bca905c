"""The history: what the cycles so far came to, as one page with a figure.

history = write_history(folder)     # folder: the newest cycle; leaves history.md and history.png in it
"""

from flywheel.history.figures import render_figure
from flywheel.history.page import figure_description, headline, render
from flywheel.history.reading import History, read_history
from flywheel.history.writing import write_history

__all__ = [
    "History",
    "figure_description",
    "headline",
    "read_history",
    "render",
    "render_figure",
    "write_history",
]
