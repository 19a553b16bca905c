"""`split`: the rows of any manifest on the sides of a split, with the leaks that were looked for."""

import argparse
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from flywheel.cli.foreign_files import SPEAKER_FIELDS
from flywheel.cli.manifest_lines import (
    LocatedProblem,
    ManifestLine,
    plain_problems,
    read_lines,
    row_of,
)
from flywheel.cli.options import add_json, add_seed, add_terms, command_parser, fraction, listed_terms
from flywheel.cli.terminal import notes, print_json, table, titled
from flywheel.corpus.manifest import MEASURED_ONLY, SUBSETS, ManifestRow, described
from flywheel.corpus.split.leaks import LeakCheck, check_leaks
from flywheel.corpus.split.subsets import Split, SplitRecord, SplitSettings, split_rows
from flywheel.corpus.terms import ENTITY_CATEGORIES
from flywheel.errors import FlywheelError, Problems
from flywheel.files.atomic import write_jsonl
from flywheel.files.records import plain, read_record, write_record
from flywheel.scoring.numbers_as_text import counted, listed
from flywheel.scoring.term_matching import TermFinder, bare_words

__all__ = ["parser", "run"]

_DEFAULTS = SplitSettings()
_ALWAYS_WRITTEN = ("train", "development", "validation")
_TAKEN_OVER = ("text", "duration", "entity_category")
_LEAKS_SHOWN = 5

_EPILOG = """\
MANIFEST is a NeMo manifest: `audio_filepath`, `text`, `duration`. What makes the split better, where it is there:
`term` and `entity_category` (both or neither: without them a row is general speech), `voice_id` or `speaker`, and
`synthesis_group`, the same for all rows that differ in added noise alone. Where no row has a term, --terms gives each
row the first term of the list that its text holds, and its category; they are written with the row.

Written is a manifest for each subset, whose rows keep all their fields and get `subset`:
  train         what a trainer gets: training rows, and the general speech that is replayed
  development   training terms in other sentences: picks the checkpoint
  validation    the held-out rows: seen terms, new sentences, known voices
  unseen_term, unseen_voice, general, human, ...   only ever measured on
and split.json: settings, counts, warnings, leak checks, and the assignments that --earlier takes, so that a larger
manifest leaves its old rows where they are. A relative `audio_filepath` is rewritten to lead from DIR to the file.
Rows without a term are divided by sentence: --replay of them is trained on, the others are the control. Of a manifest
without any term that is all, and train.jsonl and general.jsonl are its two sides.

Examples:
  python -m flywheel split manifest.jsonl --output splits/ --terms terms.csv
  python -m flywheel split manifest.jsonl --output splits/ --unseen-voice nurse-07 --unseen-terms 0.2
  python -m flywheel split larger.jsonl --output splits2/ --earlier splits/split.json

Exit codes: 0 split, and no leaks; 1 split, but something leaks; 2 wrong use, or a manifest that cannot be split."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = command_parser("split", "Training, development and held-out rows, without leaks.", _EPILOG)
    parser.add_argument("manifest", type=Path, metavar="MANIFEST")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="where the manifests go")
    for option, default, what in (
        (
            "--validation",
            _DEFAULTS.validation_fraction,
            "of each category's rows, as near as whole sentences allow",
        ),
        ("--development", _DEFAULTS.development_fraction, "of the training rows, likewise"),
        (
            "--unseen-terms",
            _DEFAULTS.unseen_term_fraction,
            "of each category's terms that no training row says",
        ),
        ("--replay", _DEFAULTS.replay_fraction, "of the sentences without a term that are trained on"),
    ):
        parser.add_argument(
            option, type=fraction, default=default, metavar="FRACTION", help=f"{what}; %(default)s"
        )
    parser.add_argument(
        "--unseen-voice",
        action="append",
        default=[],
        metavar="VOICE",
        help="no training row has it; repeatable",
    )
    parser.add_argument("--earlier", type=Path, metavar="FILE", help="the split.json of a smaller manifest")
    add_terms(parser)
    add_seed(parser, default=_DEFAULTS.seed, of="another one gives another split")
    add_json(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    """Split, write and print; 1 where something leaks, else 0."""
    settings = SplitSettings(
        validation_fraction=options.validation,
        development_fraction=options.development,
        unseen_term_fraction=options.unseen_terms,
        unseen_voices=tuple(options.unseen_voice),
        replay_fraction=options.replay,
        seed=options.seed,
    )
    earlier = None if options.earlier is None else read_record(options.earlier, SplitRecord).assignments
    lines, rows = _read(options.manifest, listed_terms(options))
    split = split_rows(rows, settings, earlier=earlier)
    leaks = check_leaks(split.rows, unseen_voices=settings.unseen_voices, earlier=earlier)
    files = _written(options.manifest.parent, options.output, lines, split)
    record = split.record(settings, leaks)
    write_record(options.output / "split.json", record)
    notes((*_without_terms(rows), *_shared_audio(lines), *split.warnings))
    if options.json:
        print_json(
            {
                "manifest": str(options.manifest),
                "files": files,
                "settings": plain(settings),
                "counts": record.counts,
                "warnings": record.warnings,
                "leaks": [{**plain(leak), "passed": leak.passed} for leak in leaks],
                "leak_free": _passed(leaks),
            }
        )
    else:
        print(_as_text(options, split, leaks, files))
    return 0 if _passed(leaks) else 1


def _read(path: Path, terms: Mapping[str, str] | None) -> tuple[Sequence[ManifestLine], list[ManifestRow]]:
    """The lines of a manifest, and what the split reads of each."""
    lines, problems = read_lines(path)
    problems += plain_problems(lines)
    rows: list[ManifestRow] = []
    if not problems:
        if terms and all(line.fields.get("term") is None for line in lines):
            lines = _with_listed_terms(lines, terms)
        names = _names(lines)
        for line, name in zip(lines, names, strict=True):
            if line.fields.get("term") is not None and line.fields.get("entity_category") is None:
                found = f"nothing beside the term {line.fields['term']!r}"
                allowed = ", ".join(ENTITY_CATEGORIES)
                problems.append(
                    (line.number, f"line {line.number}, entity_category: found {found}; allowed: {allowed}")
                )
                continue
            try:
                rows.append(_row(line, name))
            except ValidationError as error:
                problems += [(line.number, f"line {line.number}, {problem}") for problem in described(error)]
    if problems:
        raise Problems(str(path), [problem for _, problem in sorted(problems, key=_by_line)])
    return lines, rows


def _with_listed_terms(lines: Sequence[ManifestLine], terms: Mapping[str, str]) -> list[ManifestLine]:
    """The lines, each with the first term of the list that its text holds, as a manifest writes terms."""
    if unknown := sorted(set(terms.values()) - set(ENTITY_CATEGORIES)):
        raise FlywheelError(
            f"--terms: found entity_category {listed(unknown)}; allowed: {', '.join(ENTITY_CATEGORIES)}"
        )
    categories = {term.lower(): category for term, category in terms.items()}
    # `heparin-induced` mentions heparin, but says another word: the manifest's own rule.
    finder = TermFinder(categories, bare_words)
    with_terms = []
    for line in lines:
        first = next(iter(finder.found_in(line.fields["text"])), None)
        term = {} if first is None else {"term": first, "entity_category": categories[first]}
        with_terms.append(replace(line, fields={**line.fields, **term}))
    return with_terms


def _without_terms(rows: Sequence[ManifestRow]) -> list[str]:
    if any(row.is_clinical for row in rows):
        return []
    return [
        "no row has a term, so that all are general speech: train.jsonl has those to learn from (--replay), "
        "general.jsonl the others, and nothing is held out of a term; --terms gives rows their terms"
    ]


def _by_line(problem: LocatedProblem) -> int:
    return problem[0]


def _names(lines: Sequence[ManifestLine]) -> list[str]:
    """What each row is called: by its audio, and by its line where several rows are parts of one file."""
    paths = [str(line.fields["audio_filepath"]) for line in lines]
    shared = Counter(paths)
    return [
        path if shared[path] == 1 else f"{path}:{line.number}"
        for path, line in zip(paths, lines, strict=True)
    ]


def _shared_audio(lines: Sequence[ManifestLine]) -> list[str]:
    rows_of = Counter(line.fields["audio_filepath"] for line in lines)
    shared = [path for path, rows in rows_of.items() if rows > 1]
    if not shared:
        return []
    return [
        f"{counted(len(shared), 'file')} with several rows (`offset`), which may stand on both sides: parts of one "
        "recording share speaker and room"
    ]


def _row(line: ManifestLine, name: str) -> ManifestRow:
    """The row as the split reads it. Its path leads to a name of its own: ids of one manifest need not be stems."""
    fields = line.fields
    kept: dict[str, Any] = {field: fields.get(field) for field in _TAKEN_OVER}
    # A path whose last part is the line, so that the id, its stem, is unique.
    kept |= {
        "audio_filepath": f"{name}/{line.number}",
        "synthesis_group": fields.get("synthesis_group") or name,
    }
    voice = next((fields[field] for field in SPEAKER_FIELDS if fields.get(field) is not None), None)
    kept["voice_id"] = None if voice is None else str(voice)
    if isinstance(term := fields.get("term"), str):
        kept |= {"term": " ".join(term.lower().split()), "context_type": "dictation"}
    if fields.get("subset") in MEASURED_ONLY:
        kept["subset"] = fields["subset"]
    return row_of(kept, key=name, keep=kept)


def _written(source: Path, target: Path, lines: Sequence[ManifestLine], split: Split) -> dict[str, int]:
    """Write a manifest for each subset; the rows of each file."""
    of_file: dict[str, list[dict[str, Any]]] = {name: [] for name in SUBSETS if name != "replay"}
    for line, row in zip(lines, split.rows, strict=True):
        assert row.subset is not None
        # A trainer gets one manifest: what it learns, and what it is not to forget.
        name = "train" if row.subset == "replay" else row.subset
        of_file[name].append(_moved(line.fields, source, target) | {"subset": row.subset})
    counts = {}
    for name, rows in of_file.items():
        if rows or name in _ALWAYS_WRITTEN:
            write_jsonl(target / f"{name}.jsonl", rows)
            counts[f"{name}.jsonl"] = len(rows)
        else:
            # What an earlier run left there would be read as a part of this split.
            (target / f"{name}.jsonl").unlink(missing_ok=True)
    return counts


def _moved(fields: Mapping[str, Any], source: Path, target: Path) -> dict[str, Any]:
    path = fields["audio_filepath"]
    if not Path(path).is_absolute():
        path = os.path.relpath(source / path, target)
    return {**fields, "audio_filepath": path}


def _passed(leaks: Sequence[LeakCheck]) -> bool:
    return all(leak.passed for leak in leaks)


def _as_text(
    options: argparse.Namespace, split: Split, leaks: Sequence[LeakCheck], files: Mapping[str, int]
) -> str:
    counts = split.counts
    columns = [name for name in next(iter(counts.values())) if any(row[name] for row in counts.values())]
    rows = [[subset, *(str(row[name]) for name in columns)] for subset, row in counts.items() if row["total"]]
    failed = [leak for leak in leaks if not leak.passed]
    checked = f"{len(leaks)} checks, {len(failed)} with leaks" if failed else f"{len(leaks)} checks, no leaks"
    lines = [
        f"{leak.name}: {leak.description} Found {counted(len(leak.leaks), 'leak')}: "
        f"{'; '.join(leak.leaks[:_LEAKS_SHOWN])}"
        for leak in failed
    ]
    return "\n".join(
        [
            f"{options.manifest}: {counted(len(split.rows), 'row')}, seed {options.seed}",
            titled("Rows", table(["", *columns], rows)),
            titled("Leaks", checked, *lines),
            titled(
                f"Written to {options.output}",
                table(["", "rows"], [[name, str(count)] for name, count in files.items()]),
            ),
        ]
    )
