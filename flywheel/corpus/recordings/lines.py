"""The lines of a drop folder's manifests, and what somebody is still writing beside them.

Which manifests are written to the end is decided once, where growth is counted, see `offered_lines`: a recording
that joined a cycle without being counted, or the other way round, would open a cycle for nothing or none for something.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from flywheel.corpus.recordings.offered_lines import is_settled
from flywheel.errors import Problems

__all__ = [
    "SPEAKER",
    "WITHDRAWN_FILE",
    "DropFolder",
    "Line",
    "RecordingsError",
    "Withdrawn",
    "read_withdrawn",
]

WITHDRAWN_FILE = "withdrawn.txt"
"""In the drop folder: what may not be used any more, a speaker or the id of a recording a line."""

SPEAKER = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
"""A speaker's code. Lower case, so that nobody is two people by a capital."""

_UNFINISHED = (".part", ".partial", ".filepart", ".crdownload", ".tmp", ".temp")
_HALF_NAME = re.compile(r"\.?(?P<final>.+\.wav)(?:\..*)?", re.IGNORECASE)
_CHUNK = 1 << 20


class RecordingsError(Problems):
    """Recordings that cannot be taken in as they are asked for: every problem."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a manifest.

    Args:
        file: of the manifest, relative to the drop folder.
        number: from 1.
        content: its bytes, without the line end.
        ended: whether it has one; the last line of a file that is being written may not.
    """

    file: str
    number: int
    content: bytes
    ended: bool

    @property
    def where(self) -> str:
        """`batch1/manifest.jsonl:3`."""
        return f"{self.file}:{self.number}"


@dataclass(frozen=True, slots=True)
class DropFolder:
    """A drop folder as it was when it was looked at.

    Args:
        root: the folder.
        manifests: those that are written to the end; no others are read.
        now: when that was, in seconds since 1970.
    """

    root: Path
    manifests: tuple[Path, ...]
    now: float
    _half_written: dict[Path, frozenset[str]] = field(default_factory=dict, init=False, compare=False)

    def lines(self) -> Iterator[Line]:
        """All lines that are not blank, manifest by manifest; one is in memory at a time."""
        for manifest in self.manifests:
            name = manifest.relative_to(self.root).as_posix()
            with manifest.open("rb") as file:
                for number, content in enumerate(file, start=1):
                    if bare := content.strip():
                        yield Line(name, number, bare, content.endswith(b"\n"))

    def count(self) -> int:
        """How many lines there are, or a few more: blank ones count. For progress alone."""
        return sum(_line_ends(manifest) for manifest in self.manifests)

    def is_being_written(self, audio: Path) -> bool:
        """Whether `audio` was changed a moment ago; or is not there yet, while a copy of it is on its way.

        Programs name a copy that they have not finished `.a.wav.Xk2`, `a.wav.part` or `a.wav.tmp`. Raises `OSError`
        where there is neither.
        """
        try:
            return not is_settled(audio.stat().st_mtime, self.now)
        except FileNotFoundError:
            if audio.parent not in self._half_written:
                self._half_written[audio.parent] = _half_written_in(audio.parent)
            if audio.name not in self._half_written[audio.parent]:
                raise
            return True


def _half_written_in(folder: Path) -> frozenset[str]:
    """The final names of the files in `folder` that are not finished."""
    names = (path.name for path in folder.iterdir()) if folder.is_dir() else ()
    half = (name for name in names if name.startswith(".") or name.lower().endswith(_UNFINISHED))
    return frozenset(found["final"] for name in half if (found := _HALF_NAME.fullmatch(name)))


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """What may not be used any more: speakers' codes, and ids of recordings."""

    names: frozenset[str]

    def holds(self, speaker: str, recording_id: str) -> str | None:
        """Which of the two is withdrawn, or None."""
        return next((name for name in (speaker, recording_id) if name in self.names), None)


def read_withdrawn(root: Path) -> Withdrawn:
    """What `withdrawn.txt` in the drop folder says; without the file, nothing. A `#` begins a comment.

    Raises:
        RecordingsError: lines that can name nobody: a misspelt withdrawal must not pass for one.
    """
    path = root / WITHDRAWN_FILE
    if not path.exists():
        return Withdrawn(frozenset())
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise RecordingsError(str(path), ["found bytes that are not UTF-8; save it as UTF-8"]) from None
    named = [
        (number, name) for number, line in enumerate(lines, 1) if (name := line.partition("#")[0].strip())
    ]
    problems = [
        f"line {number}: found {name!r}; allowed: a speaker's code or the id of a recording, one a line"
        for number, name in named
        if not SPEAKER.fullmatch(name)
    ]
    if problems:
        raise RecordingsError(str(path), problems)
    return Withdrawn(frozenset(name for _, name in named))


def _line_ends(path: Path) -> int:
    with path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(_CHUNK), b""))
