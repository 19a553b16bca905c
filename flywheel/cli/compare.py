"""`compare`: two recognisers on the same rows, paired."""

import argparse
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
    command_parser,
    field_names,
    fraction,
    listed_terms,
)
from flywheel.cli.pairing import FieldNames, Heard, References, pairing, read_sides
from flywheel.cli.scored import Scored, TestSet, scored, slice_labels
from flywheel.cli.terminal import notes, print_json, table, titled, with_footnotes
from flywheel.errors import FlywheelError
from flywheel.files.records import plain
from flywheel.scoring.comparison import (
    Comparison,
    KeywordChange,
    Pairs,
    RateChange,
    RateChanges,
    SliceComparison,
)
from flywheel.scoring.intervals import Estimate, negated
from flywheel.scoring.normalizers import normalizer_named
from flywheel.scoring.numbers_as_text import (
    LEAST_CHANGES,
    carries,
    chance,
    change_in_points,
    counted,
    missed_of,
    p_value,
    percent_with_interval,
    too_few,
    too_few_changes,
)

__all__ = ["parser", "run"]

_SIGNIFICANCE = 0.05

_EPILOG = f"""\
{FILES}

What is printed: each rate before and after, and the change in percentage points with its 95 % interval, from
pairs of rows resampled by term (by sentence without a term); `better` is the probability of improvement: the share
of resamples in which the rate fell, a tie counting half. For KER also an exact McNemar test, and each category with
its p corrected by Holm. The change clustered by voice is given where the rows have `voice_id` or `speaker`: it says
what to expect of other voices. Rows without a term are the control: if their WER rises, the recogniser forgot.

Examples:
  python -m flywheel compare manifest.jsonl before.jsonl after.jsonl
  python -m flywheel compare cycle1/baseline/offline_hyps.jsonl cycle1/next/offline_hyps.jsonl
  python -m flywheel compare ref.txt a.txt b.txt --terms terms.csv --require improvement --cap 0.01 --json

Exit codes: 0 compared, and everything that was asked for holds; 1 something that was asked for does not hold
(--require, --cap); 2 wrong use, or a file that cannot be read or paired."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = command_parser(
        "compare", "Two recognisers on the same rows: what changed, and how sure that is.", _EPILOG
    )
    parser.usage = "python -m flywheel compare [options] [REFERENCES] BEFORE AFTER"
    parser.add_argument(
        "files",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="the references and two files of hypotheses; or two files that hold both, with the same references",
    )
    add_terms(parser)
    add_normalizer(parser)
    add_seed(parser)
    parser.add_argument(
        "--require",
        choices=("improvement",),
        help=(
            f"exit 1 unless the KER fell with p < {_SIGNIFICANCE} by McNemar's test and its interval over terms is "
            "below 0; without terms, unless the whole interval of the change of WER is"
        ),
    )
    parser.add_argument(
        "--cap",
        type=fraction,
        metavar="FRACTION",
        help=(
            "exit 1 where the WER of the rows without a term may have risen by more: the upper end of its interval "
            "counts; 0.01 is 1 point"
        ),
    )
    add_fields(parser)
    add_json(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    """Compare and print; 1 where a check that was asked for does not hold, else 0."""
    normalizer = normalizer_named(options.normalizer)
    references, first, second = _read(options.files, field_names(options))
    test_set = TestSet.of(references, listed_terms(options), normalizer)
    before, after = scored(test_set, first, normalizer), scored(test_set, second, normalizer)
    categories = sorted({row.transcript.entity_category or "" for row in before.mentions} - {""})
    pairs = Pairs(before.table, after.table, seed=options.seed)
    comparison, every_row = pairs.comparison(categories), pairs.rates()
    checks = _checks(options, comparison, every_row.wer)
    # Rows are the same on both sides, and so is what there is to say of the references.
    remarks = tuple(dict.fromkeys((*before.notes, *after.notes)))
    notes(remarks)
    if options.json:
        print_json(
            {
                "references": str(references.path),
                "before": str(first.path),
                "after": str(second.path),
                "pairing": {"before": pairing(references, first), "after": pairing(references, second)},
                "split": before.split,
                "missing_hypotheses": {"before": list(before.missing), "after": list(after.missing)},
                "empty_references": list(before.empty),
                "every_row": plain(every_row),
                "comparison": plain(comparison),
                "checks": plain(checks),
                "holds": all(check.holds for check in checks),
                "notes": list(remarks),
            }
        )
    else:
        sides = [(heard.path, pairing(references, heard)) for heard in (first, second)]
        print(_as_text(sides, before, every_row, comparison, checks))
    return 0 if all(check.holds for check in checks) else 1


def _read(files: Sequence[Path], names: FieldNames) -> tuple[References, Heard, Heard]:
    if len(files) not in (2, 3):
        raise FlywheelError(
            f"compare: found {counted(len(files), 'file')}; allowed: REFERENCES BEFORE AFTER, or BEFORE AFTER that "
            "hold both texts"
        )
    references, (before, after) = read_sides(files[0] if len(files) == 3 else None, files[-2:], names)
    return references, before, after


@dataclass(frozen=True, slots=True)
class _Check:
    """Something that was asked for, whether it holds, and why."""

    name: str
    holds: bool
    reason: str


def _checks(options: argparse.Namespace, comparison: Comparison, wer: RateChange) -> list[_Check]:
    checks = []
    if options.require == "improvement":
        ker = _headline(comparison)
        checks.append(_wer_improved(wer) if ker is None else _ker_improved(ker))
    if options.cap is not None:
        checks.append(_within_cap(comparison.general_wer, options.cap))
    return checks


def _headline(comparison: Comparison) -> KeywordChange | None:
    """The KER that a comparison is about: of the held-out rows; without any, of all."""
    for name in ("held_out", "all"):
        if name in comparison.slices:
            return comparison.slices[name].ker
    return None


def _ker_improved(ker: KeywordChange) -> _Check:
    holds = ker.mended > ker.broken and ker.is_significant(_SIGNIFICANCE)
    change = change_in_points(negated(ker.absolute_drop))
    return _Check(
        "improvement",
        holds,
        f"KER: {missed_of(ker.before)} missed before, {missed_of(ker.after)} after; {ker.mended} mended, "
        f"{ker.broken} broken, {p_value(ker.p)}, {change} points; asked for: fewer, p < {_SIGNIFICANCE}, the interval "
        "below 0",
    )


def _wer_improved(wer: RateChange) -> _Check:
    high = wer.difference.high
    return _Check(
        "improvement",
        high is not None and high < 0,
        f"WER: a change of {change_in_points(wer.difference)} points, n = {wer.difference.n}; asked for: an interval "
        "below 0",
    )


def _within_cap(general: RateChange | None, cap: float) -> _Check:
    asked = f"asked for: an upper end of at most {cap * 100:+.1f}"
    if general is None:
        return _Check("cap", False, f"WER without terms: not measured, for every row has a term; {asked}")
    high = general.difference.high
    return _Check(
        "cap",
        high is not None and high <= cap,
        f"WER without terms: a change of {change_in_points(general.difference)} points, "
        f"n = {general.difference.n}; {asked}",
    )


def _as_text(
    sides: Sequence[tuple[Path, str]],
    before: Scored,
    every_row: RateChanges,
    comparison: Comparison,
    checks: Sequence[_Check],
) -> str:
    labels = slice_labels(split=before.split)
    slices = {label: comparison.slices[name] for name, label in labels.items() if name in comparison.slices}
    if len(slices) == 1 and not any(part.ker for part in slices.values()):
        # Without a term anywhere the slice is what stands above it.
        slices = {}
    first_with_terms = next((label for label, part in slices.items() if part.ker), None)
    (first, of_first), (second, of_second) = sides
    parts = [
        f"before: {first}: {of_first}",
        f"after:  {second}: {of_second}",
        f"{counted(len(before.rows), 'row')}, normaliser {comparison.normalizer}; a change below 0 is better",
        titled(f"Every row, n = {len(before.rows)}", _changes_table(every_row)),
    ]
    for label, part in slices.items():
        parts += _slice_parts(label, part)
        if label == first_with_terms and len(part.by_category) > 1:
            parts.append(titled(f"{label}, KER by entity_category", _categories_table(part.by_category)))
    answers = [f"{'yes' if check.holds else 'no'}: {check.reason}" for check in checks]
    return "\n".join([with_footnotes(parts), *(["", *answers] if answers else [])])


def _slice_parts(label: str, part: SliceComparison) -> list[str]:
    parts = [titled(f"{label}, n = {part.rows}", _changes_table(part, part.ker))]
    if part.ker is not None:
        parts += _keyword_lines(part.ker, part.rows)
    elif part.wer.by_voice is not None:
        parts.append(f"WER, clustered by voice: {change_in_points(part.wer.by_voice)} points.")
    return parts


def _changes_table(rates: RateChanges, ker: KeywordChange | None = None) -> str:
    rows = [
        _change(name, rate.before, rate.after, rate.difference, rate.improvement)
        for name, rate in (("WER", rates.wer), ("CER", rates.cer), ("SER", rates.ser))
    ]
    if ker is not None:
        rows.append(_change("KER", ker.before, ker.after, negated(ker.absolute_drop), ker.improvement))
    return table(["", "before", "after", "change, points", "better"], rows)


def _change(
    name: str, before: Estimate, after: Estimate, difference: Estimate, improvement: float | None
) -> list[str]:
    if not carries(before.n):
        return [name, too_few(before.n), "-", "-", "-"]
    better = chance(improvement)
    return [
        name,
        percent_with_interval(before),
        percent_with_interval(after),
        change_in_points(difference),
        better,
    ]


def _keyword_lines(ker: KeywordChange, rows: int) -> list[str]:
    subject = "KER" if ker.before.n == rows else f"KER of {ker.before.n} mentions in {rows} rows"
    lines = [
        f"{subject}: {missed_of(ker.before)} missed before, {missed_of(ker.after)} after; {ker.mended} mended, "
        f"{ker.broken} broken; exact McNemar test: {_tested(ker, ker.p)}."
    ]
    if ker.by_voice is not None:
        lines.append(f"KER, clustered by voice: {change_in_points(negated(ker.by_voice))} points.")
    return lines


def _categories_table(categories: Mapping[str, KeywordChange]) -> str:
    rows = [
        [
            *(category, missed_of(ker.before), missed_of(ker.after)),
            change_in_points(negated(ker.absolute_drop)) if carries(ker.before.n) else too_few(ker.before.n),
            _tested(ker, ker.p if ker.p_holm is None else ker.p_holm),
        ]
        for category, ker in categories.items()
    ]
    return table(["", "missed before", "after", "change, points", "p, Holm"], rows)


def _tested(ker: KeywordChange, p: float) -> str:
    """A p, or that too few rows changed for any to be small."""
    changed = ker.mended + ker.broken
    return too_few_changes(changed) if changed < LEAST_CHANGES else p_value(p)
