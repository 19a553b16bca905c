"""Leaderboard pages of hypotheses that were really scored and compared, and how a markdown reader sees them."""

import functools
import itertools
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from markdown_it import MarkdownIt

from flywheel.files.records import plain, record_in
from flywheel.recognisers.boosting import Boosting, BoostingTrial
from flywheel.report.leaderboard import LeaderboardInputs, render
from flywheel.scoring import CLINICAL, PUBLISHED, Estimate, Scores, compare, score_rows, summarise, wilson
from flywheel.scoring.transcripts import Transcript
from flywheel.verdict.decision import DecisionSettings, decide, not_trained
from flywheel.verdict.gate import GateSettings, evaluate_gate

TERMS = {
    "drug": ("cefazolin", "metoprolol", "apixaban", "enoxaparin", "amiodarone", "rivaroxaban"),
    "procedure": ("cholecystectomy", "thoracentesis"),
    "condition": ("pneumothorax", "diverticulitis"),
}
CATEGORY_OF = {term: category for category, terms in TERMS.items() for term in terms}
CONTEXTS = (
    "the patient was seen today and {} was noted in the chart",
    "please review {} with the team before the next round",
    "there is a long history of {} in the family",
)
VOICES = ("espeak:en-us+m3", "espeak:en-gb+f2", "espeak:en-gb-scotland+m1")
UNSEEN_VOICE = "espeak:en-gb-x-rp+f4"
UNSEEN_TERMS = ("enoxaparin", "thoracentesis")
NOISES = ("clean", "snr_15db", "snr_5db")
GENERAL = (
    "the bus to the station was late again this morning",
    "please bring the papers to the second floor",
    "we walked along the river until it got dark",
    "she left her coat at the office on friday",
    "the shop opens early on a sunday",
    "it rained all night and the cellar is wet",
    "they painted the door of the shed green",
    "a letter came for you this afternoon",
)
RENDERINGS = {"cefazolin": "cefa zolin", "metoprolol": "metro pro lol", "apixaban": ""}

Model = Callable[[Transcript, int], str]
"""What a model hears of a row, given the row's number."""


def clinical_rows() -> Iterator[Transcript]:
    """Each term in each context by each voice at each noise level; subsets as a split would mark them."""
    every = itertools.product(CONTEXTS, CATEGORY_OF, (*VOICES, UNSEEN_VOICE), NOISES)
    for number, (context, term, voice, noise) in enumerate(every):
        subset = ("train", "validation", "train", "train", "development")[number % 5]
        if term in UNSEEN_TERMS:
            subset = "unseen_term"
        elif voice == UNSEEN_VOICE:
            subset = "unseen_voice"
        yield Transcript(
            id=f"c{number:04d}",
            text=context.format(term),
            pred_text="",
            ipa_source="override" if term in ("metoprolol", "pneumothorax") else "espeak_g2p",
            voice_id=voice,
            noise_level=noise,
            synthesis_group=f"g{number:04d}",
            subset=subset,
            term=term,
            entity_category=CATEGORY_OF[term],
            context_type="dictation",
        )


def general_rows() -> Iterator[Transcript]:
    for number, (text, voice) in enumerate(itertools.product(GENERAL, VOICES)):
        yield Transcript(
            id=f"n{number:04d}",
            text=text,
            pred_text="",
            ipa_source="espeak_g2p",
            voice_id=voice,
            noise_level="clean",
            synthesis_group=f"h{number:04d}",
            subset="general",
        )


def mangled(row: Transcript) -> str:
    """The row's text with its term broken in two, as a model without the word would spell it."""
    term = row.term or ""
    return " ".join(row.text.replace(term, RENDERINGS.get(term, f"{term[:4]} {term[4:]}")).split())


def untrained(row: Transcript, number: int) -> str:
    """Misses nearly every term, and a word of general speech now and then."""
    if row.term is None:
        return row.text.replace("the", "a") if number % 5 == 0 else row.text
    return row.text if number % 11 == 0 else mangled(row)


def adapted(row: Transcript, number: int) -> str:
    """Misses few terms that it has learned, more of those it has not; general speech is hardly worse."""
    if row.term is None:
        return untrained(row, number).replace("dark", "cefazolin" if number % 2 else "dark")
    missed = number % 3 != 0 if row.subset in ("unseen_term", "unseen_voice") else number % 13 == 0
    return mangled(row) if missed else row.text


def forgetful(row: Transcript, number: int) -> str:
    """Hears the terms, and no longer much else."""
    return row.text if row.term is not None else f"{row.text.split()[0]} cefazolin"


def boosted(row: Transcript, number: int) -> str:
    """The base with its terms boosted: finds every third one, and hears one in general speech now and then."""
    if row.term is None:
        return untrained(row, number) + (" apixaban" if number % 6 == 0 else "")
    return row.text if number % 3 == 0 else untrained(row, number)


ROWS = [*clinical_rows(), *general_rows()]


def scored(model: Model, normalizer: Any, rows: Sequence[Transcript]) -> Any:
    heard = [replace(row, pred_text=model(row, number)) for number, row in enumerate(rows)]
    return score_rows(heard, normalizer)


def scores(model: Model, normalizer: Any, rows: Sequence[Transcript] = ROWS) -> Scores:
    return summarise(
        scored(model, normalizer, rows), model=f"models/{model.__name__}.nemo", normalizer=normalizer
    )


def edited(whole: Scores, edit: Callable[[dict[str, Any]], None]) -> Scores:
    """The scores as they are after somebody edited their file."""
    values = plain(whole)
    edit(values)
    return record_in(json.dumps(values), Scores, "scores.json", "score again")


def category_rows(rows: Sequence[Transcript]) -> dict[str, int]:
    categories = [row.entity_category for row in rows if row.entity_category and row.subset != "human"]
    return {category: categories.count(category) for category in categories}


def baseline_inputs(rows: Sequence[Transcript] = ROWS) -> LeaderboardInputs:
    subsets = dict.fromkeys(row.subset for row in rows)
    return LeaderboardInputs(
        cycle=1,
        baseline_scores=scores(untrained, CLINICAL, rows),
        baseline_published_scores=scores(untrained, PUBLISHED, rows),
        split_counts={
            str(subset): {
                **category_rows([row for row in rows if row.subset == subset]),
                "total": sum(row.subset == subset for row in rows),
            }
            for subset in subsets
        },
        provenance={
            "base": "flywheel/files/bundled/base.nemo",
            "manifest_sha256": "9f2c7b1e" * 8,
            "seeds": {"split": 42, "noise": 7, "bootstrap": 42},
            "versions": {"nemo_toolkit": "3.0.0", "torch": "2.13.0"},
            "seconds": {"baseline": 21.4, "training": 178.2},
            "cost": None,
        },
    )


def gate_of(inputs: LeaderboardInputs, rows: Sequence[Transcript] = ROWS, **settings: Any) -> Any:
    limits = GateSettings(**{"minimum_rows": 100, **settings})
    return evaluate_gate(inputs.baseline_scores, category_rows(rows), cycle=1, settings=limits)


def trained_inputs(model: Model = adapted, rows: Sequence[Transcript] = ROWS) -> LeaderboardInputs:
    inputs = baseline_inputs(rows)
    comparison = compare(
        scored(untrained, CLINICAL, rows), scored(model, CLINICAL, rows), priority_categories=("drug",)
    )
    return replace(
        inputs,
        gate=gate_of(inputs, rows),
        next_scores=scores(model, CLINICAL, rows),
        next_published_scores=scores(model, PUBLISHED, rows),
        comparison=comparison,
        # So few general rows cannot show that a point of WER was kept.
        decision=decide(comparison, settings=DecisionSettings(general_wer_cap=0.05)),
    )


def with_boosting(inputs: LeaderboardInputs, *, alpha: float = 2.0) -> LeaderboardInputs:
    """The same cycle with its terms boosted as well."""
    change = Estimate(0.004, -0.002, 0.009, 90)
    trial = BoostingTrial(alpha, wilson(30, 45), wilson(4, 90), wilson(0, 135), change)
    comparison = compare(
        scored(untrained, CLINICAL, ROWS), scored(boosted, CLINICAL, ROWS), priority_categories=("drug",)
    )
    boosting = Boosting(
        alpha=alpha,
        phrases=10,
        chosen_on="the development rows and replayed general speech",
        trials=(BoostingTrial(0.0, wilson(44, 45), wilson(3, 90), None), trial),
        comparison=comparison,
        search="beam of 4",
        unwritable=("thoracentesis",),
    )
    return replace(inputs, boosting=boosting, boosted_scores=scores(boosted, CLINICAL))


@functools.cache
def page_of(stage: str) -> tuple[LeaderboardInputs, str]:
    inputs = INPUTS[stage]()
    return inputs, render(inputs)


def gate_closed() -> LeaderboardInputs:
    inputs = page_of("baseline")[0]
    gate = gate_of(inputs, minimum_rows=500)
    return replace(inputs, gate=gate, decision=not_trained(gate))


def gate_open() -> LeaderboardInputs:
    inputs = page_of("baseline")[0]
    return replace(inputs, gate=gate_of(inputs))


INPUTS: dict[str, Callable[[], LeaderboardInputs]] = {
    "baseline": baseline_inputs,
    "gate_open": gate_open,
    "gate_closed": gate_closed,
    "trained": trained_inputs,
    "forgetting": lambda: trained_inputs(forgetful),
}
STAGES = tuple(INPUTS)
SECTIONS = [
    "1. Headline",
    "2. KER by entity_category",
    "3. KER by ipa_source",
    "4. KER by noise_level",
    "5. KER by term, worst first",
    "6. Slices: how well it generalises",
    "7. The free alternative: phrase boosting",
    "8. Decision",
    "9. What went wrong",
    "10. Numbers and doses",
    "11. All rows, training rows included",
    "12. Provenance",
]
CATEGORY, SOURCE, NOISE, TERM, SLICES, FREE, DECISION, WRONG, DOSES, ALL_ROWS, PROVENANCE = SECTIONS[1:]

Table = list[dict[str, str]]
"""The lines of a table, each a cell by its column's heading."""


@dataclass
class Page:
    """A page as a markdown reader sees it: headings, and the tables and texts under each."""

    titles: list[str] = field(default_factory=list)
    headings: list[str] = field(default_factory=list)
    tables: dict[str, list[Table]] = field(default_factory=lambda: defaultdict(list))
    texts: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def lines(self, heading: str, table: int = 0) -> dict[str, dict[str, str]]:
        """A table's lines by the text of their first cell."""
        return {next(iter(line.values())): line for line in self.tables[heading][table]}


def read_page(markdown: str) -> Page:
    page, heading, table = Page(), "", []
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    for place, token in enumerate(tokens):
        if token.type == "table_open":
            table = []
        elif token.type == "tr_open":
            table.append([])
        elif token.type == "table_close":
            header, *rows = table
            page.tables[heading].append([dict(zip(header, row, strict=True)) for row in rows])
        elif token.type == "inline":
            text = "".join(
                child.content for child in token.children or [] if child.type in ("text", "code_inline")
            )
            opened = tokens[place - 1]
            if opened.tag in ("th", "td"):
                table[-1].append(text)
            elif opened.tag == "h1":
                page.titles.append(text)
            elif opened.tag == "h2":
                heading = text
                page.headings.append(text)
            else:
                page.texts[heading].append(text)
    return page
