"""What was bought: one JSON object a line, only ever appended to."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from flywheel.files.atomic import read_jsonl
from flywheel.files.locks import held

__all__ = ["KEPT", "LEDGER", "UNANSWERED", "LedgerEntry", "append_to_ledger", "now", "read_ledger"]

LEDGER = "purchases.jsonl"
"""Its name in the folder of the audio cache."""
KEPT = "kept"
"""The outcome of a purchase whose audio is in the cache. Any other outcome says why it is not."""
UNANSWERED = "unanswered: "
"""How the outcome of a request without an answer begins: it may have been charged for, or not."""


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One request that was, or may have been, paid for.

    Args:
        key: what was to be spoken; the stem of the audio file.
        request_id: the service's; None where it gave none.
        characters: of `sent`, the text as it was sent; `text` is the one it stands for.
        prescribed: the pronunciations, in IPA, that are written into `sent`.
        outcome: `kept`, or why not.
        at: the time in UTC, ISO 8601.
    """

    key: str
    request_id: str | None
    engine: str
    voice_id: str
    text: str
    sent: str
    characters: int
    prescribed: Sequence[str]
    outcome: str
    at: str


def now() -> str:
    """The present time as entries have it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def append_to_ledger(cache: Path, entry: LedgerEntry) -> None:
    """Add a line to the ledger of `cache`, in one write."""
    path = cache / LEDGER
    line = json.dumps(asdict(entry), ensure_ascii=False, allow_nan=False) + "\n"
    with held(path.with_suffix(".lock")), path.open("a", encoding="utf-8") as file:
        file.write(line)


def read_ledger(cache: Path) -> tuple[LedgerEntry, ...]:
    """All entries of the ledger of `cache`, oldest first; none where nothing was bought."""
    path = cache / LEDGER
    return tuple(LedgerEntry(**row) for row in read_jsonl(path)) if path.exists() else ()
