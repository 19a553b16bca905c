"""`score`: how many errors one recogniser makes, with intervals."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flywheel.cli.options import (
    FILES,
    add_fields,
    add_json,
    add_normalizer,
    add_seed,
    add_terms,
    command_parser,
    field_names,
    listed_terms,
)
from flywheel.cli.pairing import Heard, References, pairing, read_sides
from flywheel.cli.rates import RateTable
from flywheel.cli.scored import Scored, TestSet, scored, slice_labels
from flywheel.cli.terminal import TOO_FEW, notes, print_json, table, titled, with_footnotes
from flywheel.files.atomic import write_json
from flywheel.scoring.breakdowns import BREAKDOWNS
from flywheel.scoring.intervals import Estimate
from flywheel.scoring.normalizers import normalizer_named
from flywheel.scoring.numbers_as_text import carries, counted, missed_of, percent_with_interval, too_few
from flywheel.scoring.rows import write_results
from flywheel.scoring.slices import slices_of

__all__ = ["parser", "run"]

_LEVELS_SHOWN = 12
_EVERY_ROW = "every row"

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
        "--output", type=Path, metavar="DIR", help="write results.csv and scores.json there, as a cycle does"
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
    scores = result.summary(model=options.model or heard.path.name, normalizer=normalizer, seed=options.seed)
    if options.output is not None:
        _write(options.output, result, scores)
    report = _report(options, test_set, heard, result, scores)
    notes(result.notes)
    if options.json:
        print_json(report)
    else:
        print(_as_text(report))
    return 0


def _write(folder: Path, result: Scored, scores: Mapping[str, Any]) -> None:
    write_results(folder / "results.csv", result.rows)
    write_json(folder / "scores.json", scores)
    if result.further:
        # A row has one line in results.csv, and that has one term.
        write_results(folder / "mentions.csv", [row for row in result.mentions if row.transcript.term])


def _report(
    options: argparse.Namespace, test_set: TestSet, heard: Heard, result: Scored, scores: Mapping[str, Any]
) -> dict[str, Any]:
    """What `--json` prints; the text is made from it, too, so that both say the same."""
    mentions = [row for row in result.mentions if row.term_missed is not None]
    every_row = RateTable(result, seed=options.seed)
    held_out = _held_out(result)
    broken_down = result.restricted(held_out) if held_out else result
    table_of_fields = RateTable(broken_down, seed=options.seed) if held_out else every_row
    return {
        "references": str(options.references),
        "hypotheses": str(options.hypotheses or options.references),
        "model": scores["model"],
        "normalizer": scores["normalizer"],
        "pairing": pairing(test_set.references, heard),
        "split": result.split,
        "missing_hypotheses": list(result.missing),
        "empty_references": list(result.empty),
        "mentions": {
            "count": len(mentions),
            "rows": len(mentions) - len(result.further),
            "rows_with_several": len(set(result.further_places)),
        },
        "every_row": every_row.of_all(),
        "by_rows": "held_out" if held_out else _EVERY_ROW,
        "by": {
            name: table_of_fields.by(name, _values(test_set.references, broken_down, name))
            for name in _fields(options.by, test_set.references)
        },
        "scores": scores,
        "notes": list(result.notes),
    }


def _fields(asked: Sequence[str] | None, references: References) -> list[str]:
    if asked:
        return list(dict.fromkeys(asked))
    return [name for name in BREAKDOWNS if references.column(name) is not None]


def _values(references: References, result: Scored, name: str) -> Sequence[str | None]:
    """A field of each row of `result`."""
    column = references.column(name) or [None] * len(references.ids)
    if len(result.rows) == len(column):
        return column
    of_row = dict(zip(references.ids, column, strict=True))
    return [of_row[row.id] for row in result.rows]


def _held_out(result: Scored) -> list[int]:
    """The places of the rows that a split holds out; none without a split."""
    if not result.split:
        return []
    return [place for place, row in enumerate(result.rows) if "held_out" in slices_of(row.transcript)]


def _as_text(report: Mapping[str, Any]) -> str:
    every_row = report["every_row"]
    normalizer = f"{report['normalizer']['name']} {report['normalizer']['version']}"
    parts = [
        f"{report['hypotheses']}: {counted(every_row['rows'], 'row')}, normaliser {normalizer}",
        report["pairing"],
        "",
        _rates_table(every_row),
        *_remarks(report),
        *_slices_table(report),
        # One level says nothing that is not above.
        *(_levels_table(name, of, report["by_rows"]) for name, of in report["by"].items() if len(of) > 1),
    ]
    return with_footnotes(parts)


def _rates_table(rates: Mapping[str, Any]) -> str:
    rows = []
    for name in ("wer", "cer", "ser", "ker"):
        if name in rates:
            estimate = _estimate(rates[name])
            rows.append(
                [
                    *(name.upper(), _shown(estimate, too_few(estimate.n))),
                    *(str(estimate.n), _counts(name, rates)),
                ]
            )
    return table(["", "rate [95 % interval]", "n", "errors"], rows)


def _counts(name: str, rates: Mapping[str, Any]) -> str:
    of = rates[name]
    if name == "ker":
        return f"{missed_of(_estimate(of))} mentions missed"
    if name == "ser":
        return f"{round(of['value'] * of['n'])} of {of['n']} rows"
    unit = "words" if name == "wer" else "characters"
    return (
        f"{of['substitutions']} S {of['deletions']} D {of['insertions']} I "
        f"in {of[f'reference_{unit}']} {unit}"
    )


def _remarks(report: Mapping[str, Any]) -> list[str]:
    rates, mentions = report["every_row"], report["mentions"]
    remarks = []
    if several := mentions["rows_with_several"]:
        remarks.append(
            f"KER: {mentions['count']} mentions in {counted(mentions['rows'], 'row')}, "
            f"{several} of which hold several terms."
        )
    if without := _without_their_term(report):
        remarks.append(
            f"{counted(without, 'term')} not in the reference of the row, and so missed by a perfect transcript, too."
        )
    if "ker" in rates:
        false = rates["false_insertions"]
        remarks.append(
            f"False insertions: {counted(false['count'], 'term')} heard and not said, in "
            f"{round(false['value'] * false['n'])} of {counted(false['n'], 'row')}."
        )
    if doses := rates.get("doses"):
        remarks.append(
            f"Doses: of {doses['quantities']} quantities {doses['wrong_value']} with a wrong value "
            f"({doses['tenfold']} off by a power of ten), {doses['wrong_unit']} with a wrong unit, "
            f"{doses['missing']} missing; {doses['invented']} invented."
        )
    return ["", *remarks] if remarks else []


def _without_their_term(report: Mapping[str, Any]) -> int:
    slices = report["scores"]["slices"]
    return max((of.get("rows_without_term_in_text", 0) for of in slices.values()), default=0)


def _slices_table(report: Mapping[str, Any]) -> list[str]:
    slices: Mapping[str, Any] = report["scores"]["slices"]
    labels = slice_labels(split=report["split"])
    shown = {label: slices[name] for name, label in labels.items() if name in slices}
    if len(shown) < 2:
        return []
    rows = [[label, *_level(of)] for label, of in shown.items()]
    return [titled("Slices" if report["split"] else "With and without a term", table(_HEADER, rows))]


_HEADER = ("", "rows", "WER", "missed", "KER")


def _levels_table(name: str, levels: Mapping[str, Any], of: str) -> str:
    """Worst first; a table is read, not searched."""

    def badness(level: str) -> tuple[float, float, str]:
        rates = levels[level]
        return -rates.get("ker", {}).get("value", 0.0), -rates["wer"]["value"], level

    worst = sorted(levels, key=badness)
    lines = [table(_HEADER, [[level, *_level(levels[level])] for level in worst[:_LEVELS_SHOWN]])]
    if (more := len(worst) - _LEVELS_SHOWN) > 0:
        lines.append(f"and {more} more, none of them worse: --json has all")
    return titled(f"By {name}, {of}, worst first", *lines)


def _level(rates: Mapping[str, Any]) -> list[str]:
    ker = _estimate(rates["ker"]) if "ker" in rates else None
    return [
        str(rates["rows"]),
        _shown(_estimate(rates["wer"])),
        "-" if ker is None else missed_of(ker),
        "-" if ker is None else _shown(ker),
    ]


def _shown(estimate: Estimate, instead: str = TOO_FEW) -> str:
    return percent_with_interval(estimate) if carries(estimate.n) else instead


def _estimate(fields: Mapping[str, Any]) -> Estimate:
    return Estimate(fields["value"], fields["low"], fields["high"], fields["n"])
