"""`leaderboard`: the page that says whether to keep a model, from hypotheses alone."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from flywheel.cli.options import (
    FILES,
    add_fields,
    add_json,
    add_seed,
    add_terms,
    command_parser,
    field_names,
    listed_terms,
)
from flywheel.cli.pairing import Heard, References, pairing, read_sides
from flywheel.cli.scored import Scored, TestSet, scored
from flywheel.cli.terminal import notes, print_json
from flywheel.errors import FlywheelError
from flywheel.files.atomic import write_bytes, write_text
from flywheel.files.records import Json, plain
from flywheel.report.leaderboard import FIGURES, LeaderboardInputs, headline, render, render_figure
from flywheel.scoring.comparison import Pairs
from flywheel.scoring.normalizers import CLINICAL, PUBLISHED, Normalizer
from flywheel.scoring.numbers_as_text import listed
from flywheel.scoring.scores import Scores
from flywheel.scoring.slices import slices_of
from flywheel.verdict.decision import decide

__all__ = ["parser", "run"]

_PAGE = "leaderboard"
# A page is of a cycle; hypotheses from elsewhere are of the first.
_CYCLE = 1

_EPILOG = f"""\
{FILES}

Written is leaderboard.md with its figures, and leaderboard.html, one file that needs nothing beside it. With
--after it holds the comparison and the decision: keep the new recogniser if it misses significantly fewer terms, by
20 % or more, and the WER of the rows without a term rises by no more than 1 point at the upper end of its interval.
The page is about terms: a field `term`, or --terms. There is no gate, and nothing is trained.

Examples:
  python -m flywheel leaderboard --before transcribed.jsonl --terms terms.csv --output page/
  python -m flywheel leaderboard --references manifest.jsonl --before a.csv --after b.csv --terms terms.csv \\
    --output page/

Exit codes: 0 written, whatever it says; 2 wrong use, or a file that cannot be read or paired."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = command_parser("leaderboard", "The page that says whether to keep a model.", _EPILOG)
    parser.add_argument(
        "--references", type=Path, metavar="FILE", help="what was said; else BEFORE holds both texts"
    )
    parser.add_argument(
        "--before", type=Path, required=True, metavar="FILE", help="what the recogniser heard"
    )
    parser.add_argument("--after", type=Path, metavar="FILE", help="what the new one heard of the same rows")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="where the page goes")
    parser.add_argument(
        "--priority",
        action="append",
        metavar="CATEGORY",
        help="the entity category that the decision looks at; repeatable; else all of the held-out rows'",
    )
    add_terms(parser)
    parser.add_argument("--model-before", metavar="NAME", help="what the page calls it; else the file's name")
    parser.add_argument("--model-after", metavar="NAME", help="likewise")
    add_seed(parser)
    add_fields(parser)
    add_json(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    """Score, decide and write the page; 0."""
    hypotheses = [options.before, *([] if options.after is None else [options.after])]
    references, (first, *others) = read_sides(options.references, hypotheses, field_names(options))
    second = others[0] if others else None
    terms = listed_terms(options)
    # Which terms a reference holds depends on the normaliser, too.
    test_sets = {each: TestSet.of(references, terms, each) for each in (CLINICAL, PUBLISHED)}

    def scores(heard: Heard, model: str | None, normalizer: Normalizer = PUBLISHED) -> tuple[Scored, Scores]:
        side = scored(test_sets[normalizer], heard, normalizer)
        label = model or heard.path.name
        return side, side.table.scores(model=label, normalizer=normalizer, seed=options.seed)

    before, baseline_scores = scores(first, options.model_before, CLINICAL)
    priority = _priority(before, options.priority, references)
    remarks = list(before.notes)
    inputs = LeaderboardInputs(
        cycle=_CYCLE,
        baseline_scores=baseline_scores,
        baseline_published_scores=scores(first, options.model_before)[1],
        provenance=_provenance(options, references, first, second),
        page=f"{_PAGE}.html",
        figures={name: f"{_PAGE}.{name}.png" for name in FIGURES},
    )
    if second is not None:
        after, next_scores = scores(second, options.model_after, CLINICAL)
        remarks += after.notes
        comparison = Pairs(before.table, after.table, seed=options.seed).comparison(priority)
        inputs = replace(
            inputs,
            next_scores=next_scores,
            next_published_scores=scores(second, options.model_after)[1],
            comparison=comparison,
            decision=decide(comparison),
        )
    pages = _written(options.output, inputs)
    notes(remarks)
    if options.json:
        print_json(
            {
                "pages": [str(page) for page in pages],
                "pairing": [pairing(references, heard) for heard in (first, *others)],
                "headline": headline(inputs).split("\n"),
                "priority_categories": list(priority),
                "decision": plain(inputs.decision),
                "comparison": plain(inputs.comparison),
                "notes": list(dict.fromkeys(remarks)),
            }
        )
    else:
        print("\n".join([headline(inputs), "", *map(str, pages)]))
    return 0


def _priority(before: Scored, asked: Sequence[str] | None, references: References) -> tuple[str, ...]:
    """The categories that the decision looks at, each with held-out rows."""
    held_out = {
        row.transcript.entity_category
        for row in before.mentions
        if row.transcript.entity_category is not None and "held_out" in slices_of(row.transcript)
    }
    if not held_out:
        raise FlywheelError(
            f"{references.path}: no held-out row has a term, so that there is nothing to put on the page; give a field "
            "`term`, or a list with --terms; `score` needs none"
        )
    if unknown := sorted(set(asked or ()) - held_out):
        raise FlywheelError(
            f"--priority: found {listed(unknown)}, of which no row is held out; there are: "
            f"{', '.join(sorted(held_out))}"
        )
    return tuple(dict.fromkeys(asked)) if asked else tuple(sorted(held_out))


def _provenance(
    options: argparse.Namespace, references: References, before: Heard, after: Heard | None
) -> dict[str, Json]:
    provenance: dict[str, Json] = {
        "references": references.path.name,
        "rows": len(references.ids),
        "hypotheses before": before.path.name,
        "rows without a hypothesis before": len(before.missing(references)),
    }
    if after is not None:
        provenance |= {
            "hypotheses after": after.path.name,
            "rows without a hypothesis after": len(after.missing(references)),
        }
    if options.terms is not None:
        provenance["terms"] = options.terms.name
    return provenance | {"bootstrap seed": options.seed}


def _written(folder: Path, inputs: LeaderboardInputs) -> tuple[Path, Path]:
    from flywheel.report.leaderboard.html import render_html

    for name, figure in inputs.figures.items():
        write_bytes(folder / figure, render_figure(inputs, name))
    page, html = folder / f"{_PAGE}.md", folder / f"{_PAGE}.html"
    write_text(html, render_html(inputs, ()))
    write_text(page, render(inputs))
    return page, html
