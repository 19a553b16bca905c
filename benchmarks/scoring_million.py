"""A million rows from a file of hypotheses to `scores.json`: seconds and memory, beside jiwer in the same run.

    python -m benchmarks.scoring_million                  # 1 000 000 rows, fails above 60 s or 2 GB
    python -m benchmarks.scoring_million --rows 100000

The rows are made first, and their making is not counted: sentences with doses, 3 000 terms, 120 voices, three noise
levels, a tenth of them general speech. Half of the hypotheses are written as large recognisers write, with capitals
and punctuation, the other half in lower case. Then one fresh process reads the file, scores each row with the
clinical normaliser, and summarises all slices and breakdowns with 1 000 clustered resamples an interval.

The limit is on wall time, for a machine with two cores and nothing else to do. Processor time stands beside it: on a
busy machine that is the figure to compare. jiwer counts the word errors of a tenth of the rows, normalised already,
and nothing else.
"""

import argparse
import json
import multiprocessing
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jiwer

from flywheel.scoring import CLINICAL, read_transcripts, score_rows, summarise

_CATEGORIES = ("drug", "procedure", "anatomy", "condition", "lab", "role")
_SUBSETS = ("train", "train", "train", "validation", "unseen_term", "unseen_voice", "unseen_engine", "human")
_TERMS, _VOICES, _WORDS, _RENDERINGS = 3_000, 120, 6_000, 12
_SECONDS, _GIGABYTES = 60.0, 2.0

Result = TypeVar("Result")


def main() -> int:
    """Make the rows, score them in a process of their own, print, and give the exit status."""
    parser = argparse.ArgumentParser(description="From a file of hypotheses to scores.json.")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument(
        "--seconds", type=float, default=_SECONDS, help="the wall time above which the run fails"
    )
    parser.add_argument("--gigabytes", type=float, default=_GIGABYTES, help="the peak above which it fails")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "offline_hyps.jsonl"
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in clinical_rows(options.rows, seed=42))
        print(f"{options.rows} rows, {path.stat().st_size / 1e6:.0f} MB")
        context = multiprocessing.get_context("spawn")
        receive, send = context.Pipe(duplex=False)
        child = context.Process(target=score_file, args=(path, send))
        child.start()
        send.close()
        try:
            cost: _Cost = receive.recv()
        except EOFError:
            print("the scoring process ended early")
            return 1
        finally:
            child.join()
        report_peer(path, options.rows // 10)
    print(
        f"in all     {cost.seconds:8.1f} s of {options.seconds:g}, {cost.processor:.1f} s of processor time, "
        f"{cost.gigabytes:.2f} GB of {options.gigabytes:g}"
    )
    return 0 if cost.seconds <= options.seconds and cost.gigabytes <= options.gigabytes else 1


class _Cost(NamedTuple):
    """Wall and processor seconds, and the peak of a process's memory in GB."""

    seconds: float
    processor: float
    gigabytes: float


def clinical_rows(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Lines of `offline_hyps.jsonl`: each sentence in twelve renderings (voices and noise levels)."""
    draw = random.Random(seed)
    vocabulary = _vocabulary(draw, _WORDS)
    names = _vocabulary(draw, _TERMS)
    terms = [name if number % 5 else f"{name} {draw.choice(names)}" for number, name in enumerate(names)]
    for number in range(count):
        if number % _RENDERINGS == 0:
            sentence = number // _RENDERINGS
            place = None if sentence % 10 == 0 else draw.randrange(_TERMS)
            words = draw.choices(vocabulary, k=draw.randint(6, 16))
            if place is not None:
                words.insert(draw.randrange(len(words)), terms[place])
                if sentence % 6 == 1:
                    words += [
                        "at",
                        str(draw.choice((2.5, 5, 10, 40, 250))),
                        draw.choice(("mg", "mL", "units")),
                    ]
            subset = "general" if place is None else _SUBSETS[sentence % len(_SUBSETS)]
        row = {
            "id": f"{number:064x}",
            "text": _written(words),
            "pred_text": _heard(words, vocabulary, draw),
            "ipa_source": ("espeak_g2p", "merriam-webster", "override")[number % 3],
            "voice_id": f"espeak:en-us+v{number * 7 % _VOICES}",
            "noise_level": ("clean", "snr_15db", "snr_5db")[number % 3],
            "synthesis_group": f"{number // 3:064x}",
            "subset": subset,
        }
        if place is not None:
            row |= {"term": terms[place], "entity_category": _CATEGORIES[place % len(_CATEGORIES)]}
            row |= {"context_type": ("dictation", "handoff", "chart_note", "history")[sentence % 4]}
        yield row


def _vocabulary(draw: random.Random, count: int) -> list[str]:
    consonants, vowels = "bcdfghjklmnprstvwxz", "aeiouy"
    return [
        "".join(draw.choice(consonants) + draw.choice(vowels) for _ in range(draw.randint(2, 4)))
        for _ in range(count)
    ]


def _written(words: list[str]) -> str:
    return f"{' '.join(words).capitalize()}."


def _heard(words: list[str], vocabulary: list[str], draw: random.Random) -> str:
    """The sentence with no error in four of ten, else with one to three words wrong, missing or added."""
    heard = list(words)
    for _ in range(draw.choice((0, 0, 0, 0, 1, 1, 1, 2, 2, 3))):
        place, kind = draw.randrange(len(heard)), draw.randrange(3)
        heard[place : place + (kind > 0)] = draw.choices(vocabulary, k=int(kind < 2))
    return _written(heard) if draw.random() < 0.5 else " ".join(heard).lower()


def score_file(path: Path, send: Connection) -> None:
    """Read, score and summarise; sends what it cost."""
    wall, processor = time.perf_counter(), time.process_time()
    transcripts = _step("read", lambda: read_transcripts(path))
    rows = _step("score_rows", lambda: score_rows(transcripts, CLINICAL))
    scores = _step("summarise", lambda: summarise(rows, model="none", normalizer=CLINICAL))
    cost = _Cost(time.perf_counter() - wall, time.process_time() - processor, _peak())
    if scores.rows != len(transcripts):
        raise RuntimeError(f"{scores.rows} rows were scored of {len(transcripts)}")
    send.send(cost)


def _step(name: str, work: Callable[[], Result]) -> Result:
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(
        f"{name:10} {wall:8.1f} s, {processor:.1f} s of processor time; peak so far {_peak():.2f} GB",
        flush=True,
    )
    return result


def _peak() -> float:
    # Linux gives kilobytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def report_peer(path: Path, count: int) -> None:
    """Print what jiwer takes for the word errors alone of the first `count` rows."""
    with path.open(encoding="utf-8") as file:
        rows = [json.loads(next(file)) for _ in range(count)]
    references, hypotheses = ([CLINICAL(row[field]) for row in rows] for field in ("text", "pred_text"))
    started = time.process_time()
    jiwer.process_words(references, hypotheses)
    seconds = time.process_time() - started
    print(
        f"jiwer      {seconds:8.1f} s of processor time for the word errors of {count} rows: for all of them "
        f"{seconds * 10:.0f} s"
    )


if __name__ == "__main__":
    sys.exit(main())
