"""Which recordings join a cycle: those that joined before, and of the drop folder what passes every check."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

from flywheel.corpus.cached_rows import read_cached_rows
from flywheel.corpus.manifest import ManifestRow
from flywheel.corpus.recordings.checking import VOICE, Checked, check_line
from flywheel.corpus.recordings.lines import (
    WITHDRAWN_FILE,
    DropFolder,
    Line,
    RecordingsError,
    Withdrawn,
    read_withdrawn,
)
from flywheel.corpus.split.earlier_decisions import NOTHING_ASSIGNED, Assignments
from flywheel.corpus.split.leaks import TRAINING_SUBSETS
from flywheel.files.atomic import write_jsonl
from flywheel.scoring.slices import HUMAN
from flywheel.speech.cached_files import note_files, whole_files
from flywheel.speech.synthesis_workers import write_audio

__all__ = [
    "Admission",
    "Quarantined",
    "read_recordings",
    "take_in",
    "write_quarantine",
]

# Files may lie on a network disk. A batch is in memory at once, at most 640 kB a recording.
_READERS = 4
_BATCH = 32
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A line that did not join: where it stands, the audio it names, and everything that is wrong with it."""

    manifest: str
    line: int
    audio: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Admission:
    """What became of a drop folder.

    Args:
        rows: those that are in the cycle: first the ones that joined before, in their order, then the new ones.
        offered: lines that were looked at.
        joined: of these, those that joined now.
        joined_before: of these, those that had joined before.
        quarantined: of these, those that may not join.
        withdrawn_lines: of these, those that may not be used any more.
        left_alone: the lines whose audio, or which themselves, somebody is still writing, with the reason; they are
            neither offered nor quarantined.
        withdrawn_rows: those of before that are not in the cycle any more, for they were withdrawn.
        withdrawn_nobody: names in `withdrawn.txt` that are no speaker's and no recording's.
        ignored_fields: names of fields that nobody reads.
    """

    rows: tuple[ManifestRow, ...]
    offered: int
    joined: int
    joined_before: int
    quarantined: tuple[Quarantined, ...]
    withdrawn_lines: int
    left_alone: tuple[str, ...]
    withdrawn_rows: tuple[ManifestRow, ...]
    withdrawn_nobody: tuple[str, ...]
    ignored_fields: tuple[str, ...]

    @property
    def human(self) -> tuple[ManifestRow, ...]:
        """The rows of people's speech."""
        return tuple(row for row in self.rows if row.is_human)


def take_in(
    drop: DropFolder,
    speech: Path,
    known: Sequence[ManifestRow],
    *,
    earlier: Assignments | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Admission:
    """Look at every line of the drop folder; copy the audio of what joins to `speech`.

    Args:
        drop: the folder and its manifests. Nothing in it is changed.
        speech: the folder of all audio.
        known: the rows that joined before. They stay, whatever became of their lines, until they are withdrawn.
        earlier: what the splits of earlier cycles decided: who was trained on cannot be held out any more.
        on_progress: told how many lines are done, and of about how many.

    Raises:
        RecordingsError: `withdrawn.txt` cannot be read, or the audio of rows that joined before is gone.
    """
    gate = _Admitting(speech, read_withdrawn(drop.root), known, earlier or NOTHING_ASSIGNED)
    total = drop.count()
    for done, checked in enumerate(_checked(drop, speech), start=1):
        gate.decide(checked)
        on_progress(done, max(done, total))
    return gate.result(drop)


def _checked(drop: DropFolder, speech: Path) -> Iterator[Checked]:
    """All lines in their order; the audio of a batch is read at a time."""
    check = partial(check_line, drop=drop, speech=speech)
    lines = drop.lines()
    with ThreadPoolExecutor(_READERS, thread_name_prefix="recordings") as readers:
        while batch := list(islice(lines, _BATCH)):
            yield from readers.map(check, batch)


@dataclass(slots=True)
class _Admitting:
    """What is decided about one line depends on those before it: audio joins once, and a speaker is one thing."""

    speech: Path
    withdrawn: Withdrawn
    known: Sequence[ManifestRow]
    earlier: Assignments
    before: dict[str, ManifestRow] = field(init=False)
    sources: dict[str, tuple[bool, str]] = field(init=False)
    new: list[ManifestRow] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)
    left_alone: list[str] = field(default_factory=list)
    first_lines: dict[str, Line] = field(default_factory=dict)
    ignored: set[str] = field(default_factory=set)
    names_met: set[str] = field(default_factory=set)
    offered: int = 0
    joined_before: int = 0
    withdrawn_lines: int = 0

    def __post_init__(self) -> None:
        self.names_met |= {name for row in self.known for name in (_speaker(row), row.id)}
        staying = [row for row in self.known if not self._is_withdrawn(row)]
        self.before = {row.synthesis_group: row for row in staying}
        self.sources = {
            voice.removeprefix(VOICE): (kind == HUMAN, "an earlier cycle")
            for voice, kind in self.earlier.voices.items()
            if voice.startswith(VOICE) and kind in ("seen", HUMAN)
        }
        self.sources |= {_speaker(row): (row.is_human, "a recording that joined before") for row in staying}

    def decide(self, checked: Checked) -> None:
        """Let a line join, or note why not."""
        self.ignored.update(checked.ignored)
        if checked.left_alone:
            self.left_alone.append(f"{checked.line.where}: {checked.left_alone}")
            return
        self.offered += 1
        row = checked.row
        self.names_met |= {checked.speaker, row.id if row else ""}
        if self.withdrawn.holds(checked.speaker, row.id if row else ""):
            self.withdrawn_lines += 1
        elif row is None:
            self._quarantine(checked, checked.reasons)
        elif reasons := tuple(self._objections(row, checked)):
            self._quarantine(checked, reasons)
        else:
            self._join(row, checked)

    def result(self, drop: DropFolder) -> Admission:
        """What it all came to."""
        staying = [row for row in self.known if not self._is_withdrawn(row)]
        whole = whole_files(self.speech, map(self._copy, staying))
        gone = [row for row in staying if self._copy(row) not in whole]
        if gone:
            raise RecordingsError(
                f"audio of recordings in {self.speech}",
                [
                    *(
                        f"{self._copy(row)}: found no such file, or a damaged one ({row.voice_id})"
                        for row in gone[:_SHOWN]
                    ),
                    f"{len(gone)} in all: drop them again, fetch them from the bucket, or name their speakers in "
                    f"{drop.root / WITHDRAWN_FILE}",
                ],
            )
        note_files(self.speech, [self._copy(row) for row in (*staying, *self.new)])
        return Admission(
            rows=(*staying, *self.new),
            offered=self.offered,
            joined=len(self.new),
            joined_before=self.joined_before,
            quarantined=tuple(self.quarantined),
            withdrawn_lines=self.withdrawn_lines,
            left_alone=tuple(self.left_alone),
            withdrawn_rows=tuple(row for row in self.known if self._is_withdrawn(row)),
            withdrawn_nobody=tuple(sorted(self.withdrawn.names - self.names_met)),
            ignored_fields=tuple(sorted(self.ignored)),
        )

    def _is_withdrawn(self, row: ManifestRow) -> bool:
        return self.withdrawn.holds(_speaker(row), row.id) is not None

    def _copy(self, row: ManifestRow) -> Path:
        return self.speech / f"{row.id}.wav"

    def _objections(self, row: ManifestRow, checked: Checked) -> Iterator[str]:
        """What is wrong with a row, right by itself, beside the others."""
        if first := self.first_lines.get(row.synthesis_group):
            yield f"audio: found the same as in {first.where}; allowed: each once"
            return
        before = self.before.get(row.synthesis_group)
        if before is not None and before.id != row.id:
            yield (
                f"audio: found that of the recording {before.id}, which joined with {_difference(before, row)}; "
                f"rows that joined never change: name that id in {WITHDRAWN_FILE} for this line to take its place"
            )
        side = self.earlier.groups.get(row.synthesis_group, HUMAN if row.is_human else "")
        if (side == HUMAN) != row.is_human and side in (HUMAN, *TRAINING_SUBSETS):
            yield (
                f"audio: found {_kind(row.is_human)} speech, but it stood in {side!r} in an earlier cycle; "
                "allowed: other audio"
            )
        is_human, where = self.sources.get(checked.speaker, (row.is_human, ""))
        if is_human != row.is_human:
            yield (
                f"speaker: found {checked.speaker!r} as {_kind(row.is_human)}, but as {_kind(is_human)} in {where}; "
                "allowed: one of them, or people's speech would not stay out of the training; give one another code"
            )

    def _join(self, row: ManifestRow, checked: Checked) -> None:
        self.first_lines[row.synthesis_group] = checked.line
        self.sources.setdefault(checked.speaker, (row.is_human, checked.line.where))
        if row.synthesis_group in self.before:
            self.joined_before += 1
        else:
            self.new.append(row)
        if checked.samples is not None and not whole_files(self.speech, [self._copy(row)]):
            # Written anew, without what a recorder may have put beside the samples: names, places, times.
            write_audio(self._copy(row), checked.samples)

    def _quarantine(self, checked: Checked, reasons: tuple[str, ...]) -> None:
        self.quarantined.append(Quarantined(checked.line.file, checked.line.number, checked.audio, reasons))


def _speaker(row: ManifestRow) -> str:
    return row.voice_id.removeprefix(VOICE)


def _kind(is_human: bool) -> str:
    return HUMAN if is_human else "synthetic"


def _difference(before: ManifestRow, now: ManifestRow) -> str:
    """The fields in which they differ, with what stands in the earlier one."""
    ids = {"id", "audio_filepath"}
    was, new = before.model_dump(exclude=ids), now.model_dump(exclude=ids)
    return ", ".join(f"{name} {value!r:.60}" for name, value in was.items() if value != new[name])


def read_recordings(path: Path | None, speech: Path) -> tuple[ManifestRow, ...]:
    """The rows of a cycle's `recordings.jsonl`, with absolute paths into `speech`; of no file, none."""
    return () if path is None or not path.is_file() else read_cached_rows(path, speech)


def write_quarantine(path: Path, quarantined: Iterable[Quarantined]) -> None:
    """Write one JSON object a line that did not join; an empty file says that all of them did."""
    write_jsonl(path, map(asdict, quarantined))
