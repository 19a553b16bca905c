"""`validate`: every problem of a manifest and its audio, before a trainer drops rows without a word."""

import argparse
import math
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from flywheel.cli.manifest_lines import LocatedProblem, ManifestLine, plain_problems, read_lines
from flywheel.cli.options import add_json
from flywheel.cli.terminal import print_json
from flywheel.corpus.audio_headers import MAX_DURATION, MIN_DURATION, read_wav_header, wav_faults
from flywheel.corpus.manifest import ManifestError, read_manifest
from flywheel.scoring.numbers_as_text import counted

__all__ = ["EPILOG", "add_arguments", "run"]

# Files may lie on a network disk, where a header is a round trip.
_READERS = 8
_LINE = re.compile(r"line (\d+)")

EPILOG = f"""\
MANIFEST is JSON Lines in UTF-8, one object a row, as NeMo reads it: `audio_filepath`, `text`, `duration` in seconds,
and `offset` where the row is a part of a file. Other fields are ignored. It checks the JSON and its encoding; that
each row has these fields, each of the right kind; that the text holds no invisible characters or smart quotes; that
no two rows have the same audio; and the header of each file: it has to be there, whole, 16 kHz mono 16-bit PCM WAV,
as long as the row says to 10 ms, and {MIN_DURATION:g} to {MAX_DURATION:g} s long, because NeMo's fine-tuning drops
the rest. Relative paths start at the folder of the manifest.

--clinical also asks for what a cycle's manifest has: id, sampling_rate, ipa_source, voice_id, noise_level and
synthesis_group; term, entity_category and context_type in rows about a term; and no other field.

Examples:
  flywheel validate train.jsonl
  flywheel validate manifest.jsonl --clinical --json
  flywheel validate manifest.jsonl --no-audio

Exit codes: 0 no problems; 1 problems, all of them printed; 2 wrong use, or no such file."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("manifest", type=Path, metavar="MANIFEST", help="what to check")
    parser.add_argument(
        "--clinical", action="store_true", help="also check the fields that a cycle's manifest has"
    )
    parser.add_argument("--no-audio", action="store_true", help="check the manifest alone")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Check and print; 1 where there are problems, else 0."""
    path: Path = options.manifest
    lines, broken = read_lines(path)
    problems = _clinical_problems(path) if options.clinical else [*broken, *plain_problems(lines)]
    if not options.no_audio:
        problems += _audio_problems(lines, path.parent)
    problems.sort(key=lambda problem: problem[0])
    if options.json:
        print_json(
            {
                "manifest": str(path),
                "rows": len(lines),
                "clinical": options.clinical,
                "audio": not options.no_audio,
                "valid": not problems,
                "problems": [{"line": line or None, "problem": problem} for line, problem in problems],
            }
        )
    else:
        looked_at = counted(len(lines), "row") + ("" if options.no_audio else " and their audio")
        print(f"{path}: {looked_at}, {counted(len(problems), 'problem') if problems else 'no problems'}")
        for _, problem in problems:
            print(f"  {problem}")
    return 1 if problems else 0


def _clinical_problems(path: Path) -> list[LocatedProblem]:
    try:
        read_manifest(path)
    except ManifestError as error:
        return [(_line_of(problem), problem) for problem in error.problems]
    return []


def _line_of(problem: str) -> int:
    found = _LINE.match(problem)
    return int(found[1]) if found else 0


def _audio_problems(lines: Sequence[ManifestLine], folder: Path) -> list[LocatedProblem]:
    """What is wrong with each file; a row whose path or duration is no such thing was reported already."""
    named = [line for line in lines if _can_be_path(line.fields.get("audio_filepath"))]
    with ThreadPoolExecutor(max_workers=_READERS) as readers:
        faults = readers.map(lambda line: tuple(_faults(line, folder)), named)
        return [
            (line.number, f"line {line.number}, audio {line.fields['audio_filepath']}: {fault}")
            for line, of_line in zip(named, faults, strict=True)
            for fault in of_line
        ]


def _can_be_path(value: object) -> bool:
    """Whether a system can be asked for it: no zero character, no half of another. Those have been reported."""
    return isinstance(value, str) and not any(each == "\0" or "\ud800" <= each <= "\udfff" for each in value)


def _faults(line: ManifestLine, folder: Path) -> Iterator[str]:
    path = folder / line.fields["audio_filepath"]
    duration, offset = _seconds(line, "duration"), _seconds(line, "offset")
    if offset is None:
        yield from wav_faults(path, duration)
        return
    faults = wav_faults(path, min_duration=0.0, max_duration=math.inf)
    yield from faults
    if faults or duration is None:
        return
    length = read_wav_header(path).duration
    if offset + duration > length + 0.01:
        yield f"found {length:.3f} s; allowed: at least the {offset + duration:.3f} s at which the row's part ends"
    if not MIN_DURATION <= duration <= MAX_DURATION:
        yield f"found a part of {duration:.3f} s; allowed: {MIN_DURATION:g} to {MAX_DURATION:g} s, NeMo drops the rest"


def _seconds(line: ManifestLine, field: str) -> float | None:
    value = line.fields.get(field)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and value is not None else None
