"""The history as files in the newest cycle's folder."""

from flywheel.files.atomic import write_bytes, write_text
from flywheel.files.cycles import CycleFolder
from flywheel.report.history.figures import render_figure
from flywheel.report.history.page import render
from flywheel.report.history.reading import History, read_history

__all__ = ["write_history"]


def write_history(folder: CycleFolder) -> History:
    """Read the cycles up to that of `folder`, write the page and its figure there, and return what is on them."""
    history = read_history(folder)
    figure = folder.history.with_suffix(".png")
    write_bytes(figure, render_figure(history))
    write_text(folder.history, render(history, figure.name))
    return history
