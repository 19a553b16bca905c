"""Which recordings a cycle was offered: the settled lines of the JSON Lines files that a team drops.

A line counts by its content, without the white space around it: in another order, or in another file, it is the same
recording; twice it counts once. What is not finished is left alone: see `find_manifests`.
"""

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from flywheel.errors import FlywheelError
from flywheel.files.atomic import write_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "SETTLE_SECONDS",
    "Dropped",
    "DroppedManifest",
    "find_manifests",
    "is_settled",
    "line_digests",
    "read_offered",
    "write_offered",
]

SETTLE_SECONDS = 5.0
"""What was changed less than so many seconds ago may still be written."""

_SUFFIX = ".jsonl"
_DIGEST_BYTES = 8
"""64 bits: among a million lines and a million others, one pair in 20 million comes out the same."""
_BATCH_BYTES = 1 << 20

Digests: TypeAlias = "NDArray[np.uint64]"


@dataclass(frozen=True, slots=True)
class DroppedManifest:
    """A settled JSON Lines file as it was found: bytes, and nanoseconds since 1970 of its last change."""

    path: Path
    size: int
    changed_ns: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """The JSON Lines files below a folder, by path; those that may still be written apart."""

    settled: tuple[DroppedManifest, ...] = ()
    unsettled: tuple[Path, ...] = ()


def is_settled(changed: float, now: float) -> bool:
    """Whether what was changed at `changed` is finished, both in seconds since 1970. A clock may run ahead a little."""
    return abs(now - changed) >= SETTLE_SECONDS


def find_manifests(recordings: Path, now: float | None = None) -> Dropped:
    """The JSON Lines files at any depth below `recordings`, which need not exist.

    A file is unsettled while it, its folder or a folder below that was changed within the last `SETTLE_SECONDS`: then
    it, or the audio beside it, is still coming. Names that begin with a dot are passed over, and so are names that do
    not end in `.jsonl`, e.g. `.jsonl.part` and `.jsonl.tmp`. Linked folders are not entered.

    Args:
        now: seconds since 1970; by default the present.

    Raises:
        FlywheelError: a folder or file cannot be looked at.
    """
    settled: list[DroppedManifest] = []
    unsettled: list[Path] = []
    try:
        if recordings.exists():
            _enter(recordings, time.time() if now is None else now, settled, unsettled)
    except OSError as error:
        raise FlywheelError(_unreadable(error)) from None
    return Dropped(tuple(sorted(settled, key=lambda each: each.path)), tuple(sorted(unsettled)))


def _enter(folder: Path, now: float, settled: list[DroppedManifest], unsettled: list[Path]) -> float:
    """Add what is in the folder and below; return when anything there changed last, in seconds since 1970."""
    files: list[os.DirEntry[str]] = []
    latest = folder.stat().st_mtime
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                latest = max(latest, _enter(Path(entry.path), now, settled, unsettled))
            elif entry.name.endswith(_SUFFIX):
                files.append(entry)
    for file in files:
        state = file.stat()
        if is_settled(max(state.st_mtime, latest), now):
            settled.append(DroppedManifest(Path(file.path), state.st_size, state.st_mtime_ns))
        else:
            unsettled.append(Path(file.path))
    return latest


def line_digests(manifests: Iterable[Path]) -> Digests:
    """The digests of the finished lines of all files together, sorted, each once.

    Blank lines are none, and neither is a last line without its line end: it is still being written.

    Raises:
        FlywheelError: a file cannot be read, or is gone.
    """
    import numpy as np

    found = bytearray()
    try:
        for path in manifests:
            for lines in _batches(path):
                found += b"".join(
                    [
                        blake2b(line, digest_size=_DIGEST_BYTES).digest()
                        for each in lines
                        if (line := each.strip())
                    ]
                )
    except OSError as error:
        raise FlywheelError(_unreadable(error)) from None
    digests = np.frombuffer(found, dtype=">u8").astype(np.uint64)
    digests.sort()
    # What np.unique does, in a tenth of its time.
    return digests[np.concatenate(([True], digests[1:] != digests[:-1]))] if len(digests) else digests


def _batches(path: Path) -> Iterator[list[bytes]]:
    """The lines of a file, about a megabyte at a time, without an unfinished one."""
    with path.open("rb") as file:
        while lines := file.readlines(_BATCH_BYTES):
            if not lines[-1].endswith(b"\n"):
                lines.pop()
            yield lines


def write_offered(target: Path, recordings: Path, *, now: float | None = None) -> tuple[Path, ...]:
    """Write down which lines lie below `recordings` now, so that growth is counted against them.

    One digest a line of `target`, sorted: 17 bytes for each recording.

    Args:
        now: seconds since 1970; by default the present.

    Returns:
        The settled files whose lines were written down. Reading these, and no others, keeps a file that settles
        meanwhile for the next cycle.

    Raises:
        FlywheelError: a folder or file cannot be read.
    """
    manifests = tuple(each.path for each in find_manifests(recordings, now).settled)
    digests = line_digests(manifests).astype(">u8").tobytes()
    write_text(target, digests.hex("\n", _DIGEST_BYTES) + "\n" if digests else "")
    return manifests


def read_offered(path: Path) -> Digests:
    """The digests that `write_offered` wrote, sorted; none where the file is not there: nothing was offered.

    Raises:
        FlywheelError: the file holds something else.
    """
    import numpy as np

    try:
        written = bytes.fromhex(path.read_text(encoding="ascii")) if path.exists() else b""
        return np.frombuffer(written, dtype=">u8").astype(np.uint64)
    except OSError as error:
        raise FlywheelError(_unreadable(error)) from None
    except ValueError:
        raise FlywheelError(
            f"{path}: found something else than a list of digests, 16 hexadecimal digits each; materialise "
            "recordings of that cycle again"
        ) from None


def _unreadable(error: OSError) -> str:
    reason = (error.strerror or type(error).__name__).lower()
    return f"{error.filename}: {reason}; the recordings are looked at again once it can be read"
