"""An independent second count: jiwer's WER and CER of the very texts that were scored, which have to be ours."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flywheel.scoring.aggregation import slice_rows
from flywheel.scoring.rows import RowScore
from flywheel.scoring.scores import ErrorRate, Scores

if TYPE_CHECKING:
    import jiwer

__all__ = ["Audit", "audited"]


@dataclass(frozen=True, slots=True)
class Audit:
    """What the second count said.

    Args:
        slices: how many were counted again.
        rows: how many each holds, all of them together.
        differences: where the two counts differ, a sentence each; empty where nowhere.
    """

    slices: int
    rows: int
    differences: tuple[str, ...]


def audited(scores: Scores, rows: Sequence[RowScore]) -> Audit:
    """Count the errors of every slice again with jiwer and compare: equal to the last digit, or a difference.

    Args:
        scores: of the rows.
        rows: with their normalised texts.
    """
    import jiwer

    differences: list[str] = []
    counted = 0
    for name, of_slice in scores.slices.items():
        members = slice_rows(rows, name)
        counted += len(members)
        if len(members) != of_slice.rows:
            differences.append(
                f"{name}: the scores are of {of_slice.rows} rows, the table holds {len(members)}"
            )
            continue
        texts = [row.reference for row in members], [row.hypothesis for row in members]
        differences += _differences(f"{name}, WER", of_slice.wer, jiwer.process_words(*texts))
        differences += _differences(f"{name}, CER", of_slice.cer, jiwer.process_characters(*texts))
    return Audit(len(scores.slices), counted, tuple(differences))


def _differences(
    what: str, ours: ErrorRate, theirs: "jiwer.WordOutput | jiwer.CharacterOutput"
) -> Iterator[str]:
    length = theirs.hits + theirs.substitutions + theirs.deletions
    errors = theirs.substitutions + theirs.deletions + theirs.insertions
    # Without a reference a rate is the plain count of insertions, see `ErrorCounts.rate`.
    rate = errors / length if length else float(errors)
    found = (ours.value, ours.substitutions, ours.deletions, ours.insertions, ours.reference_length)
    expected = (rate, theirs.substitutions, theirs.deletions, theirs.insertions, length)
    if found != expected:
        yield f"{what}: {_said(*found)} here, {_said(*expected)} by jiwer"


def _said(rate: float, substitutions: int, deletions: int, insertions: int, length: int) -> str:
    return f"{rate} ({substitutions} S {deletions} D {insertions} I in {length})"
