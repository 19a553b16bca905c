"""The misses of a cycle: from its files, into its `misses.json`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flywheel.corpus.manifest import read_manifest
from flywheel.files.atomic import read_json, write_json
from flywheel.files.cycles import CycleFolder
from flywheel.pronunciation.lexicon import read_lexicon
from flywheel.recognisers.evaluation import row_scores
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
            row_scores(folder.baseline),
            row_scores(folder.next) if trained else None,
            phones,
            model=read_json(evaluation.scores)["model"],
        )
    write_json(folder.misses, misses.to_dict())
    return misses


def read_misses(folder: CycleFolder) -> Misses | None:
    """What `write_misses` wrote; None where nobody has looked yet."""
    return Misses.from_dict(read_json(folder.misses)) if folder.misses.exists() else None


@contextmanager
def _reader() -> Iterator[Callable[[str], str]]:
    # Here, so that what is found can be read and shown on a machine without the engine.
    from flywheel.speech.engines.espeak import reader
    from flywheel.speech.synthesizer import Voice

    with reader(Voice(_GENERAL_AMERICAN)) as read:
        yield read
