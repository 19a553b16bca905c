"""What went wrong: the terms that a model misses, what it hears instead, why, and which rows to listen to."""

from flywheel.verdict.misses.finding import find_misses
from flywheel.verdict.misses.findings import Cause, HeardInstead, MissedTerm, Misses, RowToHear
from flywheel.verdict.misses.of_cycle import read_misses, write_misses
from flywheel.verdict.misses.phones import phone_distance

__all__ = [
    "Cause",
    "HeardInstead",
    "MissedTerm",
    "Misses",
    "RowToHear",
    "find_misses",
    "phone_distance",
    "read_misses",
    "write_misses",
]
