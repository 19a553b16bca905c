"""The history: the results of the cycles so far, as one page with a figure.

history = write_history(folder)     # folder: the newest cycle; leaves history.md and history.png in it
"""

from flywheel.report.history.figure import render_figure
from flywheel.report.history.page import figure_description, headline, render, write_history
from flywheel.report.history.reading import History, read_history

__all__ = [
    "History",
    "figure_description",
    "headline",
    "read_history",
    "render",
    "render_figure",
    "write_history",
]
