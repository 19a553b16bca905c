"""`score`: how many errors one recogniser makes, with intervals."""

import argparse
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flywheel.cli.options import (
    FILES,
    add_fields,
    add_json,
    add_normalizer,
    add_seed,
    add_terms,
    at_least_one,
    command_parser,
    field_names,
    listed_terms,
)
from flywheel.cli.pairing import Heard, References, pairing, read_sides
from flywheel.cli.scored import Scored, TestSet, scored, slice_labels
from flywheel.cli.terminal import TOO_FEW, notes, print_json, table, titled, with_footnotes
from flywheel.files.records import plain, write_record
from flywheel.scoring.aggregation import BREAKDOWNS
from flywheel.scoring.alignment import alignment_text
from flywheel.scoring.intervals import Estimate
from flywheel.scoring.normalizers import Normalizer, normalizer_named
from flywheel.scoring.numbers_as_text import (
    carries,
    counted,
    missed_of,
    misses,
    percent_with_interval,
    too_few,
)
from flywheel.scoring.row_table import write_rows
from flywheel.scoring.rows import RowScore
from flywheel.scoring.scores import ErrorRate, NormalizerName, Rates, Scores

__all__ = ["parser", "run"]

_LEVELS_SHOWN = 12
_EVERY_ROW = "every row"
_PAGE_WIDTH = 120

_EPILOG = f"""\
{FILES}

What is printed: WER and CER (micro: errors of all rows by words or characters of all references), SER, and KER,
the share of clinical terms that were missed: each with its 95 % interval and n. A row's term is its field `term`;
with --terms and without that field, each listed term that a reference holds is a mention of its own, and the KER
is over these mentions, so that its n can be larger than the number of rows. Where the rows have `subset`, as a
cycle's have, breakdowns are of the held-out rows alone.

Examples:
  python -m flywheel score transcribed.jsonl
  python -m flywheel score manifest.jsonl hypotheses.csv --by speaker
  python -m flywheel score ref.txt hyp.txt --terms terms.csv --json
  python -m flywheel score manifest.jsonl hypotheses.jsonl --output scores/
  python -m flywheel score transcribed.jsonl --show 5

Exit codes: 0 scored; 2 wrong use, or a file that cannot be read or paired."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = command_parser("score", "WER, CER, SER and KER of one recogniser, with intervals.", _EPILOG)
    parser.add_argument("references", type=Path, metavar="REFERENCES", help="what was said")
    parser.add_argument(
        "hypotheses",
        type=Path,
        nargs="?",
        metavar="HYPOTHESES",
        help="what was heard; without it REFERENCES holds both, as NeMo's `text` and `pred_text`",
    )
    add_terms(parser)
    add_normalizer(parser)
    add_seed(parser)
    parser.add_argument(
        "--by",
        action="append",
        metavar="FIELD",
        help=f"break down by this field of REFERENCES, any field; repeatable; else {', '.join(BREAKDOWNS)}",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="write rows.parquet, results.csv and scores.json there, as a cycle does",
    )
    parser.add_argument(
        "--show",
        type=at_least_one,
        default=0,
        metavar="N",
        help="show the N rows with most word errors, what was heard below what was said",
    )
    parser.add_argument(
        "--model", metavar="NAME", help="what scores.json calls the model; else the file's name"
    )
    add_fields(parser)
    add_json(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    """Score, write and print; 0, or a `FlywheelError` where the files do not allow it."""
    names, normalizer = field_names(options), normalizer_named(options.normalizer)
    others = [name for name in options.by or () if name not in BREAKDOWNS]
    if options.hypotheses is None:
        references, (heard,) = read_sides(None, [options.references], names, others)
    else:
        references, (heard,) = read_sides(options.references, [options.hypotheses], names, others)
    test_set = TestSet.of(references, listed_terms(options), normalizer)
    result = scored(test_set, heard, normalizer)
    report = _report(options, test_set, heard, result, normalizer)
    if options.output is not None:
        _write(options.output, result, report.scores)
    notes(result.notes)
    if options.json:
        print_json(plain(report))
    else:
        print(_as_text(report))
    return 0


def _write(folder: Path, result: Scored, scores: Scores) -> None:
    write_rows(folder / "rows.parquet", folder / "results.csv", result.rows)
    write_record(folder / "scores.json", scores)
    if result.further:
        # A row has one line in results.csv, and that has one term.
        of_terms = [row for row in result.mentions if row.transcript.term]
        write_rows(folder / "mentions.parquet", folder / "mentions.csv", of_terms)


@dataclass(frozen=True, slots=True)
class _Mentions:
    """How many mentions of terms there are, in how many rows, and how many of these hold several."""

    count: int
    rows: int
    rows_with_several: int


@dataclass(frozen=True, slots=True)
class _Alignment:
    """A row word above word."""

    id: str
    word_errors: int
    text: str


@dataclass(frozen=True, slots=True)
class _Report:
    """What `--json` prints; the text is made from it, too, so that both say the same."""

    references: str
    hypotheses: str
    model: str
    normalizer: NormalizerName
    pairing: str
    split: bool
    missing_hypotheses: tuple[str, ...]
    empty_references: tuple[str, ...]
    mentions: _Mentions
    every_row: Rates
    by_rows: str
    by: Mapping[str, Mapping[str, Rates]]
    scores: Scores
    worst: tuple[_Alignment, ...]
    notes: tuple[str, ...]


def _report(
    options: argparse.Namespace, test_set: TestSet, heard: Heard, result: Scored, normalizer: Normalizer
) -> _Report:
    mentions = [row for row in result.mentions if row.term_missed is not None]
    table, seed = result.table, options.seed
    scores = table.scores(model=options.model or heard.path.name, normalizer=normalizer, seed=seed)
    held_out = "held_out" if result.split and "held_out" in table.slices else None
    return _Report(
        references=str(options.references),
        hypotheses=str(options.hypotheses or options.references),
        model=scores.model,
        normalizer=scores.normalizer,
        pairing=pairing(test_set.references, heard),
        split=result.split,
        missing_hypotheses=result.missing,
        empty_references=result.empty,
        mentions=_Mentions(
            count=len(mentions),
            rows=len(mentions) - len(result.further),
            rows_with_several=len(set(result.further_places)),
        ),
        every_row=table.rates(seed=seed),
        by_rows=held_out or _EVERY_ROW,
        by={
            name: table.by(name, test_set.references.column(name), slice_name=held_out, seed=seed)
            for name in _fields(options.by, test_set.references)
        },
        scores=scores,
        worst=_worst(result.rows, options.show, None if options.json else _terminal_width()),
        notes=result.notes,
    )


def _worst(rows: Sequence[RowScore], shown: int, width: int | None) -> tuple[_Alignment, ...]:
    """The rows with most word errors, at most so many, in lines of `width`; none without an error."""
    wrong = sorted((row for row in rows if row.words.errors), key=lambda row: -row.words.errors)[:shown]
    return tuple(_Alignment(row.id, row.words.errors, alignment_text(row, width)) for row in wrong)


def _terminal_width() -> int:
    return shutil.get_terminal_size(fallback=(_PAGE_WIDTH, 24)).columns


def _fields(asked: Sequence[str] | None, references: References) -> list[str]:
    if asked:
        return list(dict.fromkeys(asked))
    return [name for name in BREAKDOWNS if references.column(name) is not None]


def _as_text(report: _Report) -> str:
    parts = [
        f"{report.hypotheses}: {counted(report.every_row.rows, 'row')}, normaliser {report.normalizer}",
        report.pairing,
        "",
        _rates_table(report.every_row),
        *_remarks(report),
        *_slices_table(report),
        # One level says nothing that is not above.
        *(_levels_table(name, of, report.by_rows) for name, of in report.by.items() if len(of) > 1),
    ]
    if report.worst:
        parts.append(titled("Rows with most word errors, normalised", *map(_shown_alignment, report.worst)))
    return with_footnotes(parts)


def _shown_alignment(row: _Alignment) -> str:
    return f"\n{row.id}: {counted(row.word_errors, 'word error')}\n{row.text}"


def _rates_table(rates: Rates) -> str:
    rows = [
        ["WER", _shown(rates.wer, too_few(rates.wer.n)), str(rates.wer.n), _counts(rates.wer, "words")],
        ["CER", _shown(rates.cer, too_few(rates.cer.n)), str(rates.cer.n), _counts(rates.cer, "characters")],
        [
            *("SER", _shown(rates.ser, too_few(rates.ser.n)), str(rates.ser.n)),
            f"{misses(rates.ser)} of {rates.ser.n} rows",
        ],
    ]
    if rates.ker is not None:
        ker = rates.ker
        rows.append(
            ["KER", _shown(ker, too_few(ker.n)), str(ker.n), f"{rates.missed} of {ker.n} mentions missed"]
        )
    return table(["", "rate [95 % interval]", "n", "errors"], rows)


def _counts(rate: ErrorRate, unit: str) -> str:
    return f"{rate.substitutions} S {rate.deletions} D {rate.insertions} I in {rate.reference_length} {unit}"


def _remarks(report: _Report) -> list[str]:
    rates, mentions = report.every_row, report.mentions
    remarks = []
    if mentions.rows_with_several:
        remarks.append(
            f"KER: {mentions.count} mentions in {counted(mentions.rows, 'row')}, "
            f"{mentions.rows_with_several} of which hold several terms."
        )
    if without := _without_their_term(report):
        remarks.append(
            f"{counted(without, 'term')} not in the reference of the row, and so missed by a perfect transcript, too."
        )
    if rates.ker is not None:
        false = rates.false_insertions
        remarks.append(
            f"False insertions: {counted(false.count, 'term')} heard and not said, in "
            f"{misses(false)} of {counted(false.n, 'row')}."
        )
    if doses := rates.doses:
        remarks.append(
            f"Doses: of {doses.quantities} quantities {doses.wrong_value} with a wrong value "
            f"({doses.tenfold} off by a power of ten), {doses.wrong_unit} with a wrong unit, "
            f"{doses.missing} missing; {doses.invented} invented."
        )
    return ["", *remarks] if remarks else []


def _without_their_term(report: _Report) -> int:
    return max((of.rows_without_term_in_text or 0 for of in report.scores.slices.values()), default=0)


def _slices_table(report: _Report) -> list[str]:
    slices = report.scores.slices
    labels = slice_labels(split=report.split)
    shown = {label: slices[name] for name, label in labels.items() if name in slices}
    if len(shown) < 2:
        return []
    rows = [[label, *_level(of)] for label, of in shown.items()]
    return [titled("Slices" if report.split else "With and without a term", table(_HEADER, rows))]


_HEADER = ("", "rows", "WER", "missed", "KER")


def _levels_table(name: str, levels: Mapping[str, Rates], of: str) -> str:
    """Worst first; a table is read, not searched."""

    def badness(level: str) -> tuple[float, float, str]:
        rates = levels[level]
        return -(rates.ker.value if rates.ker else 0.0), -rates.wer.value, level

    worst = sorted(levels, key=badness)
    lines = [table(_HEADER, [[level, *_level(levels[level])] for level in worst[:_LEVELS_SHOWN]])]
    if (more := len(worst) - _LEVELS_SHOWN) > 0:
        lines.append(f"and {more} more, none of them worse: --json has all")
    return titled(f"By {name}, {of}, worst first", *lines)


def _level(rates: Rates) -> list[str]:
    return [
        str(rates.rows),
        _shown(rates.wer),
        "-" if rates.ker is None else missed_of(rates.ker),
        "-" if rates.ker is None else _shown(rates.ker),
    ]


def _shown(estimate: Estimate, instead: str = TOO_FEW) -> str:
    return percent_with_interval(estimate) if carries(estimate.n) else instead
