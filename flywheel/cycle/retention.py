"""Room on this machine: removes speech that only old cycles name. What was measured and decided is never touched.

Only files of the audio cache (`<data>/speech`) are removed, and of these only what a manifest of an old cycle names
and none of a kept one. A cycle holds all rows of the one before, so that little is old unless voices, engine,
pronunciations or terms have changed. Bought speech is kept unless that is asked for, because it would have to be bought
again; recordings are always kept, because nobody can make them again. Before anything is removed, it is written down in
`<data>/retention.jsonl`.
"""

import json
import os
import socket
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from flywheel.errors import FlywheelError
from flywheel.files.atomic import read_jsonl
from flywheel.files.cycles import CycleFolder, all_cycles
from flywheel.files.locks import try_lock
from flywheel.scoring.numbers_as_text import counted, listed
from flywheel.speech.engines.espeak import EspeakSynthesizer
from flywheel.speech.purchasing.ledger import now
from flywheel.speech.purchasing.purchases import BUYER_LOCK

__all__ = [
    "KEEP_VARIABLE",
    "Plan",
    "RetentionRefused",
    "Speech",
    "cycles_to_keep",
    "plan",
    "report",
    "retain",
]

KEEP_VARIABLE = "FLYWHEEL_KEEP_AUDIO_OF"
"""How many of the newest cycles keep their audio."""
RECORD = "retention.jsonl"
"""In the data folder: one JSON object for each file that was removed, only ever appended to."""
_KEEP = 3
_RECORDED = "recording:"
"""How the `voice_id` of a recording begins."""
_LOCK = "retention.lock"
_MIB = 1 << 20

_CACHE = "speech"
_NEEDED = "which kept cycles name"
_UNKNOWN = "which no manifest names, e.g. of an audition"
_BOUGHT = "which was bought; it goes only where that is asked for"
_RECORDINGS = "recordings"


class RetentionRefused(FlywheelError):
    """Nothing is removed: it is not known what is needed, or somebody else is at work on the audio."""


@dataclass(frozen=True, slots=True)
class Speech:
    """A file of the audio cache that may go: its name and size, who speaks, and the old cycles that name it."""

    file: str
    bytes: int
    voice_id: str
    cycles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Amount:
    """So many files, and their bytes together."""

    files: int = 0
    bytes: int = 0

    def and_one_of(self, size: int) -> "Amount":
        """With one file more."""
        return Amount(self.files + 1, self.bytes + size)

    def __str__(self) -> str:
        return f"{counted(self.files, 'file')}, {self.bytes / _MIB:.1f} MiB"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a retention comes to.

    Args:
        kept, old: the cycles whose audio stays, and the others.
        removable: what goes, by name.
        staying: how much of the cache stays, by the reason.
    """

    kept: tuple[str, ...]
    old: tuple[str, ...]
    removable: tuple[Speech, ...]
    staying: Mapping[str, Amount]

    @property
    def removed(self) -> Amount:
        """How much goes."""
        return Amount(len(self.removable), sum(each.bytes for each in self.removable))


def cycles_to_keep() -> int:
    """`FLYWHEEL_KEEP_AUDIO_OF`, by default 3; raises `FlywheelError` for what is no whole number from 1."""
    given = os.environ.get(KEEP_VARIABLE, "").strip()
    if given and not (given.isdecimal() and int(given) > 0):
        raise FlywheelError(f"{KEEP_VARIABLE}: found {given!r}; allowed: a whole number of cycles from 1")
    return int(given or _KEEP)


def plan(data: Path, *, keep: int, paid: bool = False) -> Plan:
    """What would be removed; nothing is.

    Args:
        data: the data folder.
        keep: how many of the newest cycles keep their audio.
        paid: whether bought speech may go as well.

    Raises:
        RetentionRefused: a cycle to be kept has no manifest, so that what it needs is not known.
        FlywheelError: a manifest is broken, or `keep` is below 1.
    """
    if keep < 1:
        raise FlywheelError(f"cycles to keep: found {keep}; allowed: a whole number from 1")
    cycles = all_cycles(data)
    kept, old = cycles[-keep:], cycles[:-keep]
    if not old:
        return Plan(_names(kept), (), (), {})
    needed, lines = _needed(kept), _named_by(old)
    staying: dict[str, Amount] = defaultdict(Amount)
    removable = []
    present = _cached(data / _CACHE)
    for name, size in present.items():
        if name in needed:
            staying[_NEEDED] = staying[_NEEDED].and_one_of(size)
        elif (line := lines.get(name)) is None:
            staying[_UNKNOWN] = staying[_UNKNOWN].and_one_of(size)
        elif reason := _irreplaceable(
            line.voice_id, remixable=line.clean != name and line.clean in present, paid=paid
        ):
            staying[reason] = staying[reason].and_one_of(size)
        else:
            removable.append(Speech(name, size, line.voice_id, tuple(line.cycles)))
    return Plan(_names(kept), _names(old), tuple(removable), dict(staying))


def retain(data: Path, *, keep: int, paid: bool = False) -> Plan:
    """Remove what `plan` says, and return it.

    Nobody can buy speech meanwhile. A cycle that is just between its speech and its manifest may miss what it found a
    moment ago: it stops and says so, and speaks it when it is run again.

    Raises:
        RetentionRefused: as `plan` does; or another retention, or a purchase of speech, is under way.
        FlywheelError: as `plan` does, or a file cannot be removed.
    """
    if not (data / _CACHE).is_dir():
        return plan(data, keep=keep, paid=paid)
    with _alone(data):
        planned = plan(data, keep=keep, paid=paid)
        if planned.removable:
            at = now()
            with (data / RECORD).open("a", encoding="utf-8") as record:
                record.writelines(json.dumps({"at": at, **asdict(each)}) + "\n" for each in planned.removable)
        for each in planned.removable:
            path = data / _CACHE / each.file
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise FlywheelError(f"{path}: cannot be removed: {error.strerror}; see its folder") from None
    return planned


def report(planned: Plan, *, only_planned: bool) -> str:
    """What was removed, or would be, and what stays for which reason; a line each."""
    verb = "would be removed" if only_planned else "removed"
    if not planned.old:
        return f"nothing {verb}: {counted(len(planned.kept), 'cycle')}, and all keep their audio"
    staying = [f"stays: {amount}, {reason}" for reason, amount in sorted(planned.staying.items())]
    return "\n".join(
        [
            f"{verb}: {planned.removed} that only {listed(planned.old, 'or')} named",
            *staying,
            f"kept cycles: {listed(planned.kept)}",
        ]
    )


@dataclass(frozen=True, slots=True)
class _Line:
    """What old cycles say of a file: who speaks, the file without noise that it was mixed from, or itself; and which
    cycles these are."""

    voice_id: str
    clean: str
    cycles: list[str]


def _needed(kept: Sequence[CycleFolder]) -> set[str]:
    """All files that kept cycles name, and those that their noisy ones are mixed from."""
    for folder in kept:
        if not folder.manifest.is_file():
            raise RetentionRefused(
                f"{folder.manifest}: no such file, so that nobody knows which audio {folder.cycle} needs; nothing is "
                "removed. Finish the cycle, or remove its folder"
            )
    return {name for folder in kept for _voice, file, clean in _rows(folder) for name in (file, clean)}


def _named_by(old: Sequence[CycleFolder]) -> dict[str, _Line]:
    """What old cycles name, and what it was mixed from; a cycle that never had a manifest names nothing."""
    lines: dict[str, _Line] = {}
    for folder in old:
        for voice_id, file, clean in _rows(folder) if folder.manifest.is_file() else ():
            for name in (file, clean):
                line = lines.setdefault(name, _Line(voice_id, clean, []))
                if folder.cycle not in line.cycles:
                    line.cycles.append(folder.cycle)
    return lines


def _rows(folder: CycleFolder) -> Iterator[tuple[str, str, str]]:
    """Voice, file and file without noise of each row. By name alone: the data folder may have moved."""
    for number, row in enumerate(read_jsonl(folder.manifest), start=1):
        try:
            yield row["voice_id"], Path(row["audio_filepath"]).name, f"{row['synthesis_group']}.wav"
        except (KeyError, TypeError) as error:
            raise FlywheelError(
                f"{folder.manifest}: row {number} has no {error}; materialise the manifest again"
            ) from None


def _cached(speech: Path) -> dict[str, int]:
    """The sizes in bytes of the whole files of the cache."""
    if not speech.is_dir():
        return {}
    with os.scandir(speech) as entries:
        files = [each for each in entries if each.name.endswith(".wav") and not each.name.startswith(".")]
        return {each.name: each.stat().st_size for each in files if each.is_file(follow_symlinks=False)}


def _irreplaceable(voice_id: str, *, remixable: bool, paid: bool) -> str:
    """Why speech of an old cycle stays, or empty. What is not known to be free counts as bought."""
    if voice_id.startswith(_RECORDED):
        return _RECORDINGS
    free = voice_id.startswith(f"{EspeakSynthesizer.name}:")
    return "" if free or remixable or paid else _BOUGHT


def _names(folders: Sequence[CycleFolder]) -> tuple[str, ...]:
    return tuple(folder.cycle for folder in folders)


@contextmanager
def _alone(data: Path) -> Iterator[None]:
    """Hold the locks of a retention and of who buys speech, or raise `RetentionRefused`."""
    locks = (
        (data / _LOCK, "another retention is at work"),
        (data / _CACHE / BUYER_LOCK, "speech is being bought"),
    )
    with ExitStack() as stack:
        for path, doing in locks:
            descriptor = try_lock(path)
            if descriptor is None:
                raise RetentionRefused(f"{path}: {doing}; nothing is removed. Try again when it has ended")
            stack.callback(os.close, descriptor)
            # For a buyer, who says whom it waits for.
            os.ftruncate(descriptor, 0)
            os.write(
                descriptor,
                json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": now()}).encode(),
            )
        yield
