"""Stamps for cycles that a test wrote by hand, as the steps of a run leave them."""

from collections.abc import Collection

from flywheel.files.cycles import CycleFolder
from flywheel.files.steps import STEPS, CycleSteps

CORPUS = ("term_seed", "sentences", "pronunciations", "speech", "recordings", "manifest")
"""Steps that a test may leave out, and are stamped all the same: what comes after them asks for nothing else."""


def stamped(folder: CycleFolder, *, also: Collection[str] = ()) -> CycleFolder:
    """`folder`, in which every step that left a file, and those of `also`, count as made from what is there now."""
    steps = CycleSteps(folder)
    for step in STEPS:
        left = any((folder.root / name).exists() for name in STEPS[step].writes)
        if left or step in CORPUS or step in also:
            steps.stamp(step)
    return folder
