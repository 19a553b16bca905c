"""What earlier cycles left for later ones: it is there and whole, or the later cycle stops; and it does not change
under them unasked."""

from collections.abc import Iterator
from contextlib import contextmanager

from flywheel.corpus.split.earlier_decisions import Assignments
from flywheel.corpus.split.subsets import SplitRecord
from flywheel.errors import FlywheelError
from flywheel.files.atomic import write_bytes
from flywheel.files.cycles import CycleFolder, all_cycles, earlier_cycles
from flywheel.files.records import read_record
from flywheel.files.steps import STEPS, CycleSteps, StepNotCurrent
from flywheel.recognisers.registry import Registry, RegistryError
from flywheel.verdict.decision import Decision

__all__ = [
    "CHANGE_EARLIER_CYCLES",
    "EarlierCycleChanged",
    "check_promotions",
    "newest_with",
    "unchanged_under_later_cycles",
    "what_was_decided",
]

CHANGE_EARLIER_CYCLES = "FLYWHEEL_CHANGE_EARLIER_CYCLES"
"""The variable that lets a run change a cycle that later ones were started from."""


class EarlierCycleChanged(FlywheelError):
    """A run would change what a later cycle was started from."""


@contextmanager
def unchanged_under_later_cycles(folder: CycleFolder, step: str, *, may_change: bool) -> Iterator[None]:
    """Keep what `step` left of `folder` as it is, unless the run may change it or no later cycle has begun.

    Raises:
        EarlierCycleChanged: the block changed it; its files are those of before.
    """
    steps, known = CycleSteps(folder), STEPS[step]
    later = [each.cycle for each in all_cycles(folder.data) if each.number > folder.number]
    if may_change or not later or not known.later_cycles_read_it or not steps.is_current(step):
        yield
        return
    files = [folder.root / name for name in (*known.writes, *known.notes)]
    before = {file: file.read_bytes() if file.is_file() else None for file in files}
    content = steps.content(step)
    yield
    if steps.content(step) == content:
        return
    for file, then in before.items():
        if then is None:
            file.unlink(missing_ok=True)
        else:
            write_bytes(file, then)
    raise EarlierCycleChanged(
        f"{step} of {folder.cycle} would change, and {', '.join(later)} started from it; nothing was changed. Make the "
        f"change in a new cycle, or set {CHANGE_EARLIER_CYCLES}=yes (change_earlier_cycles of the resource data) to "
        f"change {folder.cycle} all the same, and then materialise {', '.join(later)} again"
    )


def newest_with(folder: CycleFolder, step: str) -> CycleFolder | None:
    """The newest cycle before `folder` that has come as far as `step`; None where none has.

    Raises:
        StepNotCurrent: what it left is missing, damaged or of an earlier version: no older cycle takes its place.
    """
    for earlier in reversed(earlier_cycles(folder.data, folder.cycle)):
        steps = CycleSteps(earlier)
        if steps.was_made(step):
            steps.require(step)
            return earlier
    return None


def what_was_decided(folder: CycleFolder, registry: Registry) -> Assignments | None:
    """What the cycles before `folder` decided about terms, voices, syntheses and sentences; None before there are any.

    What a promoted model was trained on travels with the model, and counts whatever became of the cycle's folder.

    Raises:
        FlywheelError: an earlier cycle was split, and what it decided is missing or damaged.
    """
    promoted = registry.newest(before_cycle=folder.number)
    trained_on = None if promoted is None else registry.trained_on(promoted)
    try:
        earlier = newest_with(folder, "split")
    except StepNotCurrent as missing:
        # The model of that very cycle says all that its split decided.
        if promoted is None or trained_on is None or promoted.cycle != missing.cycle:
            raise
        return trained_on
    decided = None if earlier is None else read_record(earlier.split, SplitRecord).assignments
    if promoted is None or (decided is not None and trained_on is None):
        return decided
    if trained_on is None:
        raise RegistryError(
            f"{registry.folder / promoted.model}: nothing says what this model was trained on, and {promoted.cycle} is "
            f"gone, so rows it learned from could be held out; put the folder of {promoted.cycle} back, or roll back"
        )
    return trained_on if decided is None else trained_on.updated(decided)


def check_promotions(folder: CycleFolder, registry: Registry) -> None:
    """Raises `RegistryError` where an earlier cycle kept its model and the registry knows nothing of it.

    The cycle would start from an older model, and nobody would notice.
    """
    known = {entry.cycle for entry in registry.entries()}
    for earlier in earlier_cycles(folder.data, folder.cycle):
        steps = CycleSteps(earlier)
        if earlier.cycle in known or not steps.is_current("decision"):
            continue
        if read_record(earlier.decision, Decision).promote:
            raise RegistryError(
                f"{registry.log}: {earlier.cycle} decided to keep its model, and it is not registered; materialise "
                f"promoted_model of {earlier.cycle} again"
            )
