"""Recordings that a team drops: its own synthetic ones, and people's with their consent.

    manifests = write_offered(folder.offered, drop, now=now)
    taken = take_in(DropFolder(drop, manifests, now), speech, known)
    write_cached_rows(folder.recordings, taken.rows, speech)

A dropped file is read and never touched. What joins is copied beside the other audio, and stays in all later cycles
until it is withdrawn; what does not is named with its reasons, and is looked at again in the next cycle.
"""

from flywheel.corpus.recordings.admission import (
    Admission,
    Quarantined,
    read_recordings,
    take_in,
    write_quarantine,
)
from flywheel.corpus.recordings.checking import FIELDS, SOURCES
from flywheel.corpus.recordings.lines import WITHDRAWN_FILE, DropFolder, RecordingsError

__all__ = [
    "FIELDS",
    "SOURCES",
    "WITHDRAWN_FILE",
    "Admission",
    "DropFolder",
    "Quarantined",
    "RecordingsError",
    "read_recordings",
    "take_in",
    "write_quarantine",
]
