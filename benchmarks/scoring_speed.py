"""Counting word errors: this package beside jiwer, on the same pairs, in the same run.

    python -m benchmarks.scoring_speed              # 100 000 pairs
    python -m benchmarks.scoring_speed --pairs 5000

jiwer gets its fastest form, one call over all pairs. Ours counts each pair by itself, as `score_rows` does, and
that ten times in a row, so that both last about as long and other work on the machine disturbs them alike. The two
take turns and the best round of each counts, in processor time; neither pays for what the other left in memory.
Ends with status 1 where the counts differ or the ratio is too low.

jiwer returns the alignment of each pair beside the counts, and more than half of its time is Python's search for
cycles among these objects. The required ratio is that of both as they are called; the ratio without that search is
printed beside it.
"""

import argparse
import gc
import random
import sys
import time
from collections.abc import Callable
from typing import TypeVar

import jiwer

from flywheel.scoring import CLINICAL, Transcript, score_rows, sum_counts, summarise, word_errors
from flywheel.scoring.garbage_collection import no_cycle_collection

_VOCABULARY = 5_000
_WORDS = (8, 30)
_TERMS = 60
_VOICES = 12
_TIMES = 10  # how often ours counts all pairs in a round

Result = TypeVar("Result")


def main() -> int:
    """Measure, print, and give the exit status."""
    parser = argparse.ArgumentParser(description="Word-error counts: flywheel.scoring beside jiwer.")
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--at-least", type=float, default=10.0, help="the ratio below which the run fails")
    options = parser.parse_args()

    references, hypotheses = random_pairs(options.pairs, seed=42)
    print(f"{options.pairs} pairs of {_WORDS[0]} to {_WORDS[1]} words")
    total = sum_counts(map(word_errors, references, hypotheses))
    output = jiwer.process_words(references, hypotheses)
    their_counts = (output.substitutions, output.deletions, output.insertions)
    if total[:3] != their_counts:
        print(f"the counts differ: ours are {total[:3]}, jiwer's {their_counts}")
        return 1
    del output

    ours, theirs = race(references, hypotheses, options.rounds)
    for name, seconds in (("flywheel", ours), ("jiwer", theirs)):
        print(f"{name:10} {seconds:8.2f} s  {options.pairs / seconds:10.0f} pairs/s  WER {total.rate:.4f}")
    ratio = theirs / ours
    print(f"ratio      {ratio:8.1f}  (at least {options.at_least:g} is required)")
    with no_cycle_collection():
        ours, theirs = race(references, hypotheses, options.rounds)
    print(f"           {theirs / ours:8.1f}  without Python's search for cycles")
    report_whole_rows(references, hypotheses)
    return 0 if ratio >= options.at_least else 1


def race(references: list[str], hypotheses: list[str], rounds: int) -> tuple[float, float]:
    """Processor seconds to count all pairs once, ours and jiwer's: of each the best round."""
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(
            sum(timed(lambda: list(map(word_errors, references, hypotheses)))[0] for _ in range(_TIMES))
        )
        theirs.append(timed(lambda: jiwer.process_words(references, hypotheses))[0])
    return min(ours) / _TIMES, min(theirs)


def random_pairs(count: int, seed: int) -> tuple[list[str], list[str]]:
    """References that begin with one of a few terms, and hypotheses with zero to four edits each."""
    draw = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = ["".join(draw.choices(letters, k=draw.randint(2, 11))) for _ in range(_VOCABULARY)]
    references, hypotheses = [], []
    for _ in range(count):
        words = draw.choices(vocabulary, k=draw.randint(*_WORDS) - 1)
        reference = [draw.choice(vocabulary[:_TERMS]), *words]
        hypothesis = list(reference)
        for _ in range(draw.randint(0, 4)):
            place, kind = draw.randrange(len(hypothesis)), draw.randrange(3)
            hypothesis[place : place + (kind > 0)] = draw.choices(vocabulary, k=int(kind < 2))
        references.append(" ".join(reference))
        hypotheses.append(" ".join(hypothesis))
    return references, hypotheses


def timed(work: Callable[[], Result]) -> tuple[float, Result]:
    """Processor seconds that `work` takes, and its result. It does not pay for what was left in memory before."""
    gc.collect()
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


def report_whole_rows(references: list[str], hypotheses: list[str]) -> None:
    """Print what the rest costs: normalising, all counts of a row, and `scores.json` with its intervals."""
    rows = [
        Transcript(
            id=str(number),
            text=reference,
            pred_text=hypothesis,
            ipa_source="espeak_g2p",
            voice_id=f"voice{number % _VOICES}",
            noise_level=("clean", "snr_15db", "snr_5db")[number % 3],
            synthesis_group=str(number),
            subset=("train", "validation", "unseen_voice")[number % 3],
            term=reference.split()[0],
            entity_category="drug",
            context_type="dictation",
        )
        for number, (reference, hypothesis) in enumerate(zip(references, hypotheses, strict=True))
    ]
    seconds, scores = timed(lambda: score_rows(rows, CLINICAL))
    print(f"score_rows {seconds:8.2f} s  {len(rows) / seconds:10.0f} rows/s")
    seconds, _ = timed(lambda: summarise(scores, model="none", normalizer=CLINICAL))
    print(f"summarise  {seconds:8.2f} s  {len(rows) / seconds:10.0f} rows/s")


if __name__ == "__main__":
    sys.exit(main())
