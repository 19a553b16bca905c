"""The promoted models: kept by content, logged append-only, with a pointer and rollback.

    data/models/registry.json       a JSON list, oldest entry first; entries are added, never changed
    data/models/<sha256>.nemo       the models, named by their content
    data/models/<sha256>.trained_on.json    what each was trained on, and what was held out

The pointer is the newest entry: its model is the current one. Which model a cycle starts from follows
from reading the log from its start. A promotion puts its model on top of a stack; a rollback takes
models off until its target is on top, or puts the target on top if an earlier rollback had taken it
off. What was taken off is withdrawn: no cycle starts from it, until a rollback names it.
"""

import shutil
from collections.abc import Sequence
from dataclasses import MISSING, asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias

from flywheel.corpus.split.earlier_decisions import Assignments
from flywheel.errors import FlywheelError, Problems
from flywheel.files.atomic import atomic_path, read_json, read_text, write_json
from flywheel.files.content import content_of_file
from flywheel.files.cycles import CycleNameError, cycle_number
from flywheel.files.locks import held
from flywheel.files.records import record_in, write_record

__all__ = ["Entry", "Event", "Registry", "RegistryError", "read_entries"]

Event: TypeAlias = Literal["promoted", "rolled_back"]

_EVENTS: tuple[Event, ...] = ("promoted", "rolled_back")
_SUFFIX = ".nemo"
_TRAINED_ON = ".trained_on.json"
_SHORTEST_HASH = 8


class RegistryError(FlywheelError):
    """A registry, or a model in it, that is not what it was; or a rollback to nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One event in the life of the promoted models.

    Args:
        event: `promoted` or `rolled_back`.
        model: file name beside the registry; the model that is current from this entry on. Empty, like
            the four below, in a rollback that withdrew the first model: cycles then start from the base.
        sha256: of the content of the model, see `flywheel.files.content`, in hexadecimal.
        cycle: the cycle that made the model.
        base_model: what that model was fine-tuned from.
        decision: why it was promoted, in a sentence.
        time: when the entry was made, ISO 8601 in UTC.
        reason: why it was rolled back; empty in a promotion.
    """

    event: Event
    model: str
    sha256: str
    cycle: str
    base_model: str
    decision: str
    time: str
    reason: str = ""


_NO_MODEL = Entry(event="rolled_back", model="", sha256="", cycle="", base_model="", decision="", time="")


def read_entries(log: Path) -> tuple[Entry, ...]:
    """The entries of the file `log`, oldest first; raises `Problems` listing every entry that is broken."""
    return _parsed(log, read_json(log))


@dataclass(frozen=True, slots=True)
class Registry:
    """The promoted models below `folder` (``data/models``), which need not exist yet."""

    folder: Path

    @property
    def log(self) -> Path:
        """The file that holds the entries."""
        return self.folder / "registry.json"

    def entries(self) -> tuple[Entry, ...]:
        """All entries, oldest first; raises `Problems` listing every entry that is broken."""
        return read_entries(self.log) if self.log.exists() else ()

    def newest(self, before_cycle: int | None = None) -> Entry | None:
        """The promotion that a cycle starts from.

        Args:
            before_cycle: the number of the cycle that asks: only models of earlier cycles count, so that
                running a cycle again starts it from the same model. None asks for the current model.

        Returns:
            The latest promotion that no rollback withdrew, or None: the cycle starts from the given base.

        Raises:
            RegistryError: its model is missing, or its content is not what was promoted. No older model
                takes its place unasked.
        """
        for entry in reversed(_standing(self.entries())):
            if before_cycle is None or cycle_number(entry.cycle) < before_cycle:
                self.path_of(entry)
                return entry
        return None

    def path_of(self, entry: Entry) -> Path:
        """Where the entry's model lies, its content checked; raises `RegistryError` as `newest` does."""
        path = self.folder / entry.model
        advice = f"put the model of {entry.cycle} back, or roll back to another one"
        if not entry.model or not path.is_file():
            raise RegistryError(f"{path}: {self.log} names this model and it is not there; {advice}")
        found = content_of_file(path)
        if found != entry.sha256:
            expected = f"content {entry.sha256} is registered in {self.log}"
            raise RegistryError(f"{path}: {expected}, the file has {found}: it is damaged; {advice}")
        return path

    def trained_on_file(self, entry: Entry) -> Path:
        """Where `trained_on` of the entry lies, if it is there."""
        return (self.folder / entry.model).with_suffix(_TRAINED_ON)

    def trained_on(self, entry: Entry) -> Assignments | None:
        """What the splits up to the entry's cycle decided, kept beside its model; None of a model from before that.

        Raises:
            FlywheelError: the file is damaged.
        """
        path = self.trained_on_file(entry)
        if not path.is_file():
            return None
        return record_in(
            read_text(path), Assignments, str(path), f"materialise promoted_model of {entry.cycle} again"
        )

    def promote(
        self,
        model: Path,
        *,
        cycle: str,
        base_model: str,
        decision: str,
        trained_on: Assignments | None = None,
    ) -> Entry:
        """Take a copy of `model` and make it the current one.

        A cycle that promotes the content it promoted last changes nothing and gets its entry back; so does
        one whose content a rollback withdrew, which stays withdrawn. Processes may promote at once, and
        a killed one leaves the registry as it was.

        Args:
            model: the `.nemo` file.
            cycle: the cycle that made it, e.g. ``"cycle3"``.
            base_model: what it was fine-tuned from.
            decision: why it is promoted, in a sentence.
            trained_on: what was trained on and what was held out, which travels with the model.

        Raises:
            RegistryError: `model` is missing, empty, no `.nemo` file, or changed while it was copied.
        """
        cycle_number(cycle)
        if model.suffix != _SUFFIX or not model.is_file() or model.stat().st_size == 0:
            raise RegistryError(f"{model}: a model to promote must exist, end in {_SUFFIX} and not be empty")
        sha256 = content_of_file(model)
        with held(self.folder / "lock"):
            entries = self.entries()
            known = _known(entries, cycle, sha256)
            # Also for content that is known: its copy may have been lost.
            file = self._keep(model, sha256)
            if trained_on is not None:
                write_record(file.with_suffix(_TRAINED_ON), trained_on)
            if known is not None:
                return known
            entry = Entry(
                event="promoted",
                model=file.name,
                sha256=sha256,
                cycle=cycle,
                base_model=base_model,
                decision=decision,
                time=_now(),
            )
            self._append(entries, entry)
            return entry

    def rollback(self, to: str | None = None, *, reason: str = "") -> Entry:
        """Make an earlier model the current one.

        Args:
            to: a cycle (``"cycle2"``: its latest promotion) or the first 8 or more digits of a model's
                SHA-256. None is the model before the current one; from the first one, back to the base.
            reason: why, in a sentence.

        Raises:
            RegistryError: there is no such model, it is current already, or it is missing or damaged.
        """
        with held(self.folder / "lock"):
            entries = self.entries()
            standing = _standing(entries)
            target = _target(self.log, entries, standing, to)
            if target is not None:
                self.path_of(target)
            entry = replace(target or _NO_MODEL, event="rolled_back", time=_now(), reason=reason)
            self._append(entries, entry)
            return entry

    def check_adoptable(self, theirs: Sequence[Entry]) -> None:
        """Raise `RegistryError` unless one of this registry and `theirs` goes on where the other one ends."""
        for number, (ours, other) in enumerate(zip(self.entries(), theirs, strict=False), start=1):
            if ours != other:
                raise RegistryError(
                    f"{self.log}: entry {number} is about {ours.cycle or 'no model'} of {ours.time}, in the other "
                    f"registry about {other.cycle or 'no model'} of {other.time}: models were promoted on both "
                    "sides, and which one a cycle starts from cannot be told. Use another data folder (FLYWHEEL_DATA)"
                )

    def adopt(self, theirs: Sequence[Entry]) -> int:
        """Go on with the entries of a copy of this registry that has been continued elsewhere.

        The models themselves are put into `folder` by who calls this, and before. Returns how many entries are new.

        Raises:
            RegistryError: both were continued, see `check_adoptable`; nothing is changed then.
        """
        with held(self.folder / "lock"):
            self.check_adoptable(theirs)
            known = len(self.entries())
            if len(theirs) > known:
                write_json(self.log, [asdict(entry) for entry in theirs])
            return max(0, len(theirs) - known)

    def _keep(self, model: Path, sha256: str) -> Path:
        """Copy `model` under its content's name, unless it is there already. The caller holds the lock."""
        for leftover in self.folder.glob(f".*{_SUFFIX}"):
            # Whoever writes here holds the lock: this one is of a promotion that was killed.
            leftover.unlink()
        target = self.folder / f"{sha256}{_SUFFIX}"
        if target.is_file() and content_of_file(target) == sha256:
            return target
        with atomic_path(target) as path:
            shutil.copyfile(model, path)
            if content_of_file(path) != sha256:
                raise RegistryError(f"{model}: changed while it was copied; promote it when it is finished")
        return target

    def _append(self, entries: Sequence[Entry], entry: Entry) -> None:
        write_json(self.log, [asdict(known) for known in (*entries, entry)])


def _standing(entries: Sequence[Entry]) -> list[Entry]:
    """The promotions that no rollback withdrew, the current one last."""
    stack: list[Entry] = []
    promotions: dict[tuple[str, str], Entry] = {}
    for entry in entries:
        if entry.event == "promoted":
            promotions[_identity(entry)] = entry
            stack.append(entry)
        elif _identity(entry) in map(_identity, stack):
            while _identity(stack[-1]) != _identity(entry):
                stack.pop()
        elif entry.model:
            stack.append(promotions[_identity(entry)])
        else:
            stack.clear()
    return stack


def _identity(entry: Entry) -> tuple[str, str]:
    return entry.cycle, entry.sha256


def _known(entries: Sequence[Entry], cycle: str, sha256: str) -> Entry | None:
    """The entry by which promoting this content for `cycle` is settled already."""
    standing = [entry for entry in _standing(entries) if entry.cycle == cycle]
    if standing and standing[-1].sha256 == sha256:
        return standing[-1]
    withdrawn = [entry for entry in entries if entry.event == "promoted" and entry not in standing]
    return next((entry for entry in reversed(withdrawn) if _identity(entry) == (cycle, sha256)), None)


def _target(log: Path, entries: Sequence[Entry], standing: Sequence[Entry], to: str | None) -> Entry | None:
    promoted = [entry for entry in entries if entry.event == "promoted"]
    if to is None:
        if not standing:
            raise RegistryError(f"{log}: no promoted model is current, so there is nothing to roll back")
        return standing[-2] if len(standing) > 1 else None
    by_hash = len(to) >= _SHORTEST_HASH
    found = [entry for entry in promoted if entry.cycle == to or (by_hash and entry.sha256.startswith(to))]
    if not found:
        choices = [f"{entry.cycle} ({entry.sha256[:_SHORTEST_HASH]})" for entry in promoted]
        allowed = ", ".join(choices) or "none yet"
        raise RegistryError(f"{log}: no promoted model is called {to!r}; promoted: {allowed}")
    if standing and standing[-1] == found[-1]:
        raise RegistryError(f"{log}: the model of {found[-1].cycle} is the current one already")
    return found[-1]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _parsed(path: Path, value: object) -> tuple[Entry, ...]:
    if not isinstance(value, list):
        raise RegistryError(f"{path}: a JSON list of entries is expected, found {type(value).__name__}")
    problems: list[str] = []
    entries: list[Entry] = []
    for number, item in enumerate(value, start=1):
        found = _shape_problems(item)
        if not found:
            entry = Entry(**item)
            found = _content_problems(entry, {_identity(earlier) for earlier in entries})
            entries.append(entry)
        problems.extend(f"entry {number}, {problem}" for problem in found)
    if problems:
        raise Problems(str(path), problems)
    return tuple(entries)


def _shape_problems(item: object) -> list[str]:
    if not isinstance(item, dict):
        return [f"a JSON object is expected, found {type(item).__name__}"]
    known = {field.name: field.default is MISSING for field in fields(Entry)}
    problems = [f"{name}: missing" for name, required in known.items() if required and name not in item]
    for name, value in item.items():
        if name not in known:
            problems.append(f"{name}: unknown; allowed: {', '.join(known)}")
        elif not isinstance(value, str):
            problems.append(f"{name}: text is needed, found {value!r}")
    return problems


def _content_problems(entry: Entry, promoted: set[tuple[str, str]]) -> list[str]:
    if entry.event not in _EVENTS:
        return [f"event: {entry.event!r}; allowed: {', '.join(_EVENTS)}"]
    if entry.event == "rolled_back" and not entry.model:
        return []
    problems: list[str] = []
    if entry.model != f"{entry.sha256}{_SUFFIX}":
        problems.append(f"model: {entry.model!r} is not the SHA-256 of its entry and {_SUFFIX}")
    try:
        cycle_number(entry.cycle)
    except CycleNameError as error:
        problems.append(f"cycle: {error}")
    if entry.event == "rolled_back" and _identity(entry) not in promoted:
        problems.append(f"model: {entry.model!r} of {entry.cycle!r} was not promoted before this rollback")
    return problems
