"""What each step of a cycle was made from, so that nobody reads what no longer fits together.

A step leaves its files, and last of all a stamp, `made/<step>.json`: the content of each file and of each step that it
was made from. A step is current where its files are those of its stamp and what it was made from is current and the
same. Anything else counts as absent: a list that changed, a file that was halved, an evaluation that a later split left
behind.

    steps = CycleSteps(folder)
    steps.require("split")              # a sentence that says what to materialise again
    if steps.is_current("decision"): ...
    steps.stamp("gate")                 # after gate.json is written
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType

from flywheel.errors import FlywheelError
from flywheel.files.content import content_of_file
from flywheel.files.cycles import CycleFolder, EvalFolder
from flywheel.files.records import read_record, write_record

__all__ = ["STEPS", "CycleSteps", "Stamp", "Step", "StepNotCurrent"]

_STAMPS = "made"
_ABSENT = "absent"
"""The content of a file that a step did not leave, and of a step that was not made."""


class StepNotCurrent(FlywheelError):
    """What a step needs is not there, or no longer fits what the `cycle` has now."""

    def __init__(self, cycle: str, problem: str) -> None:
        super().__init__(f"{cycle}: {problem}")
        self.cycle = cycle


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a cycle.

    Args:
        asset: what to materialise to have it made.
        reads: the steps that it is made from.
        writes: its files that others depend on.
        notes: its other files: seconds, exports. They belong to it, but nothing is made again where they differ.
        may_read: steps that it takes into account where they are there.
        later_cycles_read_it: whether cycles after this one start from it.
    """

    asset: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    notes: tuple[str, ...] = ()
    may_read: tuple[str, ...] = ()
    later_cycles_read_it: bool = False


def _evaluation(folder: str, *more: str) -> tuple[str, ...]:
    files = EvalFolder(Path(folder))
    return tuple(map(str, (files.hyps, files.scored_rows, files.scores, files.published_scores))) + more


def _evaluation_notes(folder: str) -> tuple[str, ...]:
    files = EvalFolder(Path(folder))
    return str(files.transcription), str(files.results)


STEPS: Mapping[str, Step] = MappingProxyType(
    {
        "term_seed": Step("term_seed", (), ("term_seed.csv",), later_cycles_read_it=True),
        "sentences": Step("sentences", ("term_seed",), ("sentences.jsonl",), later_cycles_read_it=True),
        "pronunciations": Step("pronunciations", ("term_seed",), ("pronunciations.jsonl",)),
        "audition": Step("audition_page", ("pronunciations",), ("audition/state.json",)),
        "speech": Step("speech", ("sentences", "pronunciations"), ("spoken.jsonl",), ("dropped.jsonl",)),
        "recordings": Step(
            "recordings",
            (),
            ("recordings.jsonl", "quarantine.jsonl", "offered.txt"),
            later_cycles_read_it=True,
        ),
        "manifest": Step(
            "manifest", ("speech", "recordings"), ("manifest.jsonl",), later_cycles_read_it=True
        ),
        "split": Step(
            "split",
            ("manifest",),
            (
                *("split.json", "train.jsonl", "development.jsonl", "validation.jsonl"),
                *("baseline/rows.jsonl", "next/rows.jsonl"),
            ),
            later_cycles_read_it=True,
        ),
        "base_model": Step("base_model", (), ("base_model.json",), later_cycles_read_it=True),
        "baseline_eval": Step(
            "baseline_eval",
            ("split", "base_model"),
            _evaluation("baseline"),
            _evaluation_notes("baseline"),
        ),
        "boosted_eval": Step(
            "boosted_eval",
            ("baseline_eval",),
            _evaluation("boosted", "boosting.json", "boosted/choice.json"),
            (
                *_evaluation_notes("boosted"),
                "boosted/rows.jsonl",
                "boosted/trials.jsonl",
                "boosted/plan.json",
            ),
        ),
        "gate": Step("gate_decision", ("baseline_eval", "manifest"), ("gate.json",)),
        "adapted_model": Step(
            "adapted_model",
            ("split", "base_model", "gate"),
            ("adapted_model.nemo",),
            ("training_run_info.json",),
        ),
        "next_eval": Step(
            "next_eval", ("adapted_model", "split"), _evaluation("next"), _evaluation_notes("next")
        ),
        "decision": Step(
            "decision",
            ("baseline_eval", "next_eval", "gate"),
            ("decision.json", "comparison.json"),
            may_read=("boosted_eval",),
        ),
    }
)
"""The steps of a cycle whose files other steps, pages or later cycles read, in the order in which they are made."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a step was made from, and what it left.

    Args:
        made_from: the content of each step that it read, by name.
        files: the SHA-256 of each file by its path in the cycle's folder, or `absent`.
    """

    made_from: Mapping[str, str]
    files: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CycleSteps:
    """The steps of one cycle, as they are on disk now."""

    folder: CycleFolder

    def stamp(self, step: str) -> None:
        """Note what `step` left and what it was made from; call it when all its files are written."""
        known = STEPS[step]
        write_record(
            self._file(step),
            Stamp(
                made_from={each: self._content(each) for each in (*known.reads, *known.may_read)},
                files={name: self._content_of(name) for name in (*known.writes, *known.notes)},
            ),
        )

    def forget(self, step: str) -> None:
        """`step` is not made any more: what an earlier run left of it counts for nothing."""
        self._file(step).unlink(missing_ok=True)

    def is_current(self, step: str) -> bool:
        """Whether `step` is there and of what the cycle has now."""
        return self.why_not(step) is None

    def is_as_left(self, step: str, file: Path) -> bool:
        """Whether one file of `step` is what that step left, whatever became of the others."""
        try:
            stamp = read_record(self._file(step), Stamp)
        except FlywheelError:
            return False
        name = file.relative_to(self.folder.root).as_posix()
        return file.is_file() and stamp.files.get(name) == self._content_of(name)

    def was_made(self, step: str) -> bool:
        """Whether a run has come as far as `step`, whatever became of its files."""
        return self._file(step).exists() or any(
            (self.folder.root / name).exists() for name in STEPS[step].writes
        )

    def require(self, step: str) -> None:
        """Raises `StepNotCurrent` where `step` is not current: the reason, and the asset to materialise again."""
        if (problem := self.problem(step)) is not None:
            raise StepNotCurrent(self.folder.cycle, problem)

    def problem(self, step: str) -> str | None:
        """Why `step` is not current, and the asset to materialise again; None where it is."""
        fault = self._fault(step)
        return None if fault is None else f"{fault[0]}; materialise {fault[1]} again"

    def why_not(self, step: str) -> str | None:
        """Why `step` is not current, in a sentence without a full stop; None where it is."""
        fault = self._fault(step)
        return None if fault is None else fault[0]

    def left_aside(self) -> tuple[str, ...]:
        """Why each step that was made and is not current counts for nothing, in the order of `STEPS`."""
        return tuple(
            reason for step in STEPS if self.was_made(step) and (reason := self.why_not(step)) is not None
        )

    def _fault(self, step: str) -> tuple[str, str] | None:
        """Why not, and the asset to materialise first."""
        known, file = STEPS[step], self._file(step)
        if not file.exists():
            what = "is of an earlier version of the flywheel" if self.was_made(step) else "is not made yet"
            return f"{step} {what}", known.asset
        try:
            stamp = read_record(file, Stamp)
        except FlywheelError:
            return f"{file} is damaged", known.asset
        for name, noted in stamp.files.items():
            if (found := self._content_of(name)) != noted:
                what = "is missing" if found == _ABSENT else f"is not what {step} left there"
                return f"{self.folder.root / name} {what}", known.asset
        for each in known.reads:
            if (fault := self._fault(each)) is not None:
                return fault
        for each in (*known.reads, *known.may_read):
            if stamp.made_from.get(each) != self._content(each):
                return f"{step} is of another {each} than the cycle has now", known.asset
        return None

    def content(self, step: str) -> str:
        """What `step` left that others depend on, as one hash; of a step that is not there, `absent`."""
        return self._content(step)

    def _content(self, step: str) -> str:
        if not self._file(step).exists():
            return _ABSENT
        files = {name: self._content_of(name) for name in STEPS[step].writes}
        return sha256("".join(f"{name} {content}\n" for name, content in files.items()).encode()).hexdigest()

    def _content_of(self, name: str) -> str:
        path = self.folder.root / name
        return content_of_file(path) if path.is_file() else _ABSENT

    def _file(self, step: str) -> Path:
        return self.folder.root / _STAMPS / f"{step}.json"
