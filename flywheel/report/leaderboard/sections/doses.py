"""Section 10: numbers with their units, as a dose is said: a wrong one is worse than a word that is wrong."""

from flywheel.files.markdown import table
from flywheel.report.leaderboard.inputs import LeaderboardInputs
from flywheel.report.rate_tables import not_measured, section, share_cell
from flywheel.scoring.scores import Doses
from flywheel.scoring.slices import HUMAN

__all__ = ["numbers_and_doses"]

_SLICES = (("held_out", "held-out rows"), ("general", "general speech"), (HUMAN, "your own recordings"))
_COUNTS = ("wrong value", "of these tenfold", "wrong unit", "missing", "invented")


def numbers_and_doses(inputs: LeaderboardInputs) -> str:
    """Section 10: how many of the quantities that were said were heard wrong; before and after, by slice."""
    readers = (
        {"baseline": inputs.before}
        if inputs.after is None
        else {"before": inputs.before, "after": inputs.after}
    )
    rows, absent = [], []
    for name, label in _SLICES:
        found = [
            (side, scores) for side, reader in readers.items() if (scores := reader.doses(name)) is not None
        ]
        rows += [[label, *([side] if len(readers) > 1 else []), *_cells(scores)] for side, scores in found]
        if not found and (name != HUMAN or inputs.before.speakers(HUMAN)):
            absent.append(f"{label.capitalize()}: {not_measured('no row holds a quantity')}.")
    header = ["rows", *(["model"] if len(readers) > 1 else []), "quantities said", "heard wrong", *_COUNTS]
    return section(
        "10. Numbers and doses",
        "How to read: a quantity is a number with or without a unit. Wrong value, wrong unit and missing count "
        "quantities that were said. Tenfold is a wrong value that is off by a power of ten, the dangerous kind. "
        "Invented is a quantity that nobody said."
        if rows
        else "",
        table(header, rows) if rows else "",
        " ".join(absent),
    )


def _cells(scores: Doses) -> list[str]:
    counts = (scores.wrong_value, scores.tenfold, scores.wrong_unit, scores.missing, scores.invented)
    return [
        str(scores.quantities),
        "-" if scores.rate is None else share_cell(scores.rate),
        *map(str, counts),
    ]
