"""The misses of a cycle: from its files, into its `misses.json`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flywheel.corpus.manifest import read_manifest
from flywheel.files.cycles import CycleFolder
from flywheel.files.records import read_record, write_record
from flywheel.pronunciation.lexicon import read_lexicon
from flywheel.recognisers.evaluation import read_scored_rows, read_scores
from flywheel.verdict.misses.finding import find_misses
from flywheel.verdict.misses.findings import Misses

__all__ = ["read_misses", "write_misses"]

_GENERAL_AMERICAN = "espeak:en-us"
"""The accent of the project's IPA. Both what was spoken and what was heard are read in it, whoever spoke."""


def write_misses(folder: CycleFolder, *, trained: bool) -> Misses:
    """Find the misses of the cycle and write `folder.misses`.

    Args:
        folder: of a cycle with a baseline.
        trained: whether a fine-tuned model was evaluated, and its misses are asked for; else the base's are.

    Raises:
        FlywheelError: a file of the cycle is missing or not what it should be.
    """
    evaluation = folder.next if trained else folder.baseline
    with _reader() as phones:
        misses = find_misses(
            read_manifest(folder.baseline.rows),
            read_lexicon(folder.pronunciations),
            read_scored_rows(folder.baseline),
            read_scored_rows(folder.next) if trained else None,
            phones,
            model=read_scores(evaluation).model,
        )
    write_record(folder.misses, misses)
    return misses


def read_misses(folder: CycleFolder) -> Misses | None:
    """What `write_misses` wrote; None where nobody has looked yet."""
    return read_record(folder.misses, Misses) if folder.misses.exists() else None


@contextmanager
def _reader() -> Iterator[Callable[[str], str]]:
    # Here, so that what is found can be read and shown on a machine without the engine.
    from flywheel.speech.engines.espeak import reader
    from flywheel.speech.synthesizer import Voice

    with reader(Voice(_GENERAL_AMERICAN)) as read:
        yield read
