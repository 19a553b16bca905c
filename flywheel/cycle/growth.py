"""What has come from outside since the newest cycle, and whether it is enough for the next one.

Only what people give is counted: terms of the seed, and lines of dropped recordings. What the flywheel makes of them
is not.
"""

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from flywheel.corpus.recordings.offered_lines import (
    Digests,
    Dropped,
    find_manifests,
    is_settled,
    line_digests,
    read_offered,
    write_offered,
)
from flywheel.corpus.terms import Term, read_term_seed
from flywheel.errors import FlywheelError, Problems
from flywheel.files.cycles import CycleFolder, all_cycles
from flywheel.files.records import read_record, record_in, record_text
from flywheel.files.steps import CycleSteps
from flywheel.recognisers.registry import Registry
from flywheel.scoring.numbers_as_text import counted, listed
from flywheel.speech.audition.policy import read_state
from flywheel.verdict.decision import Decision
from flywheel.verdict.gate import GateDecision

__all__ = [
    "Growth",
    "GrowthSettings",
    "Look",
    "Remembered",
    "Sources",
    "content_hash",
    "look",
    "offered_before",
    "unfinished",
    "write_offered",
]

_NAMED = 5
_SWITCH = "FLYWHEEL_GROWTH"
_NUMBERS = {
    "rows": "FLYWHEEL_GROWTH_ROWS",
    "terms": "FLYWHEEL_GROWTH_TERMS",
    "seconds": "FLYWHEEL_GROWTH_SECONDS",
}


@dataclass(frozen=True, slots=True)
class GrowthSettings:
    """How much growth opens a cycle: so many new recordings, or so many new terms.

    Args:
        on: False opens none.
        rows: recordings, from 1; each is a row of a manifest that came from outside.
        terms: from 1.
        seconds: from one look to the next, from 1.
    """

    on: bool = True
    rows: int = 100
    terms: int = 10
    seconds: int = 30

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Those of `FLYWHEEL_GROWTH` (`on`, `off`), and of `FLYWHEEL_GROWTH_ROWS`, `_TERMS` and `_SECONDS`.

        Raises:
            Problems: each variable that has another value.
        """
        problems = []
        switch = environment.get(_SWITCH) or "on"
        if switch not in ("on", "off"):
            problems.append(f"{_SWITCH}: found {switch!r}; allowed: on, off")
        numbers = {}
        for field, name in _NUMBERS.items():
            given = environment.get(name)
            if given and given.isascii() and given.isdigit() and int(given) > 0:
                numbers[field] = int(given)
            elif given:
                problems.append(f"{name}: found {given!r}; allowed: a whole number from 1")
        if problems:
            raise Problems("growth", problems)
        return cls(on=switch == "on", **numbers)

    @property
    def said(self) -> str:
        """What opens a cycle, for people."""
        return f"a cycle opens at {counted(self.terms, 'new term')} or {counted(self.rows, 'new recording')}"


@dataclass(frozen=True, slots=True)
class Growth:
    """What a next cycle would have that the newest one has not, in numbers.

    Args:
        since: the newest cycle; empty where there is none, and everything is new.
        content: SHA-256 of everything that a next cycle would be offered, see `content_hash`.
        terms: how many there are now.
        new_terms, removed_terms: a term that is renamed is one of each.
        edited_terms: those in another category; they are not new.
        named: the first few new terms.
        rows: how many recordings there are now.
        new_rows, removed_rows: an edited line is one of each. Which are gone cannot be told while files are written,
            and is 0 then.
        unsettled: how many files were left alone, for they may still be written.
    """

    since: str
    content: str
    terms: int
    new_terms: int
    removed_terms: int
    edited_terms: int
    named: tuple[str, ...]
    rows: int
    new_rows: int
    removed_rows: int
    unsettled: int

    def reasons(self, settings: GrowthSettings) -> tuple[str, ...]:
        """Why it is enough for a cycle, for people; empty where it is not."""
        since = f" since {self.since}" if self.since else ""
        found = []
        if self.new_terms >= settings.terms:
            found.append(
                f"{counted(self.new_terms, 'new term')}{since} ({_some(self.named, self.new_terms)})"
            )
        if self.new_rows >= settings.rows:
            found.append(f"{counted(self.new_rows, 'new recording')}{since}")
        return tuple(found)

    @property
    def said(self) -> str:
        """All of it in a sentence's part, for people."""
        found = [
            *([f"{counted(self.new_terms, 'new term')}"] if self.new_terms else []),
            *([f"{counted(self.removed_terms, 'term')} gone"] if self.removed_terms else []),
            *([f"{counted(self.edited_terms, 'term')} in another category"] if self.edited_terms else []),
            *([f"{counted(self.new_rows, 'new recording')}"] if self.new_rows else []),
            *([f"{counted(self.removed_rows, 'recording')} gone"] if self.removed_rows else []),
        ]
        since = f" since {self.since}" if self.since else ""
        left = f"; {counted(self.unsettled, 'file')} still being written" if self.unsettled else ""
        return f"{listed(found) if found else 'nothing new'}{since}{left}"


@dataclass(frozen=True, slots=True)
class Sources:
    """Where a next cycle would look.

    Args:
        seed: the CSV of terms.
        recordings: the folder of dropped recordings; it need not exist.
        newest: the newest cycle, against which growth is counted; None where there is none.
    """

    seed: Path
    recordings: Path
    newest: CycleFolder | None


@dataclass(frozen=True, slots=True)
class Look:
    """What was found, and a fingerprint of names, sizes and times of change by which it need not be read again."""

    fingerprint: str
    growth: Growth


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is kept from one look to the next; its size does not grow with what is there.

    Args:
        first: the content of the very first look: it is recorded and opens no cycle.
        last: the look before.
    """

    first: str
    last: Look

    def to_json(self) -> str:
        """Read back by `from_json`."""
        return record_text(self)

    @classmethod
    def from_json(cls, text: str | None) -> Self | None:
        """What `to_json` wrote; None for anything else, after which the next look is a first one."""
        try:
            return record_in(text or "", cls, "the last look", "this one is a first one")
        except FlywheelError:
            return None


def look(sources: Sources, before: Look | None = None, *, now: float | None = None) -> Look:
    """What has grown. Where nothing was changed since `before`, files are looked at and none is read.

    Args:
        now: seconds since 1970; by default the present.

    Raises:
        FlywheelError: the seed cannot be used, or was changed within the last seconds; or something cannot be read.
            Later it may be.
    """
    moment = time.time() if now is None else now
    dropped = find_manifests(sources.recordings, moment)
    fingerprint = _fingerprint(sources, dropped, moment)
    if before is not None and before.fingerprint == fingerprint:
        return before
    terms = read_term_seed(sources.seed)
    rows = line_digests(each.path for each in dropped.settled)
    return Look(fingerprint, _growth(sources.newest, terms, rows, len(dropped.unsettled)))


def content_hash(terms: Iterable[Term], rows: Digests) -> str:
    """SHA-256 of terms with their categories, and of recordings; the order of neither matters.

    Args:
        rows: digests of lines, sorted, as `line_digests` and `read_offered` give them.
    """
    hashed = hashlib.sha256()
    for line in sorted(f"{term.text},{term.entity_category}\n" for term in terms):
        hashed.update(line.encode())
    hashed.update(b"\n")
    hashed.update(rows.astype(">u8").tobytes())
    return hashed.hexdigest()


def offered_before(data: Path, content: str) -> str:
    """The newest cycle below `data` that was offered exactly this content; empty where none was."""
    for folder in reversed(all_cycles(data)):
        if folder.term_seed.is_file():
            offered = content_hash(read_term_seed(folder.term_seed), read_offered(folder.offered))
            if offered == content:
                return folder.cycle
    return ""


def unfinished(folder: CycleFolder, registry: Registry) -> str:
    """What a cycle that has begun still lacks, for people; empty where it is finished.

    A closed gate finishes a cycle, and so does a decision; a model that is to be kept has to be promoted, too.

    Raises:
        FlywheelError: one of its files is broken.
    """
    if not folder.term_seed.is_file():
        return f"there is no {folder.term_seed} yet"
    audition = read_state(folder)
    if audition is not None and not audition.open:
        return audition.advice
    steps = CycleSteps(folder)
    if not steps.is_current("gate"):
        return "its gate has not decided yet"
    if not read_record(folder.gate, GateDecision).open:
        return ""
    if not steps.is_current("decision"):
        return "its gate is open, and nothing is decided about its model yet"
    kept = read_record(folder.decision, Decision).promote
    promoted = any(entry.cycle == folder.cycle for entry in registry.entries())
    return "its model is to be kept, and is not promoted yet" if kept and not promoted else ""


def _growth(newest: CycleFolder | None, terms: tuple[Term, ...], rows: Digests, unsettled: int) -> Growth:
    import numpy as np

    had = {}
    offered = rows[:0]
    if newest is not None:
        offered = read_offered(newest.offered)
        if newest.term_seed.is_file():
            had = {term.text: term.entity_category for term in read_term_seed(newest.term_seed)}
    has = {term.text: term.entity_category for term in terms}
    new = sorted(has.keys() - had.keys())
    known = int(np.isin(rows, offered, assume_unique=True).sum())
    return Growth(
        since=newest.cycle if newest else "",
        content=content_hash(terms, rows),
        terms=len(has),
        new_terms=len(new),
        removed_terms=len(had.keys() - has.keys()),
        edited_terms=sum(had[text] != has[text] for text in had.keys() & has.keys()),
        named=tuple(new[:_NAMED]),
        rows=len(rows),
        new_rows=len(rows) - known,
        removed_rows=0 if unsettled else len(offered) - known,
        unsettled=unsettled,
    )


def _fingerprint(sources: Sources, dropped: Dropped, now: float) -> str:
    seed = _state(sources.seed)
    if seed is not None and not is_settled(seed[1] / 1e9, now):
        raise FlywheelError(
            f"{sources.seed}: was changed just now and may still be being written; it is looked at again soon"
        )
    newest = sources.newest
    known = [newest.cycle, _state(newest.term_seed), _state(newest.offered)] if newest else []
    hashed = hashlib.sha256(json.dumps([str(sources.seed), seed, str(sources.recordings), known]).encode())
    for each in dropped.settled:
        hashed.update(f"{each.path}\0{each.size}\0{each.changed_ns}\n".encode())
    for path in dropped.unsettled:
        hashed.update(f"{path}\n".encode())
    return hashed.hexdigest()


def _state(file: Path) -> tuple[int, int] | None:
    """Bytes, and nanoseconds since 1970 of the last change; None where the file is not there."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _some(names: tuple[str, ...], total: int) -> str:
    left_out = total - len(names)
    return ", ".join(names) + (f" and {left_out} more" if left_out else "")
