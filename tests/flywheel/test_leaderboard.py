"""The leaderboard: pages rendered from hypotheses that were really scored and compared, then read back."""

import functools
import itertools
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from markdown_it import MarkdownIt

from flywheel.decision import decide, not_trained
from flywheel.gate import GateSettings, evaluate_gate
from flywheel.leaderboard import (
    LeaderboardInputs,
    LeaderboardInputsError,
    figure_description,
    headline,
    render,
    render_figure,
)
from flywheel.scoring import CLINICAL, PUBLISHED, compare, score_rows, summarise
from flywheel.scoring.transcripts import Transcript
from flywheel.wording import change_in_points, misses, percent_with_interval

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


ROWS = [*clinical_rows(), *general_rows()]


def scored(model: Model, normalizer: Any, rows: Sequence[Transcript]) -> Any:
    heard = [replace(row, pred_text=model(row, number)) for number, row in enumerate(rows)]
    return score_rows(heard, normalizer)


def scores(model: Model, normalizer: Any, rows: Sequence[Transcript] = ROWS) -> dict[str, Any]:
    return summarise(
        scored(model, normalizer, rows), model=f"models/{model.__name__}.nemo", normalizer=normalizer
    )


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
            "base": "flywheel/bundled/base.nemo",
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
        decision=decide(comparison),
    )


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
    "6. Unseen terms, unseen voices, general speech",
    "7. Decision",
    "8. All rows, training rows included",
    "9. False insertions and substitutions",
    "10. Provenance",
]

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


@pytest.mark.parametrize("stage", STAGES)
def test_every_page_has_all_sections_in_the_same_order(stage: str) -> None:
    page = read_page(page_of(stage)[1])
    assert page.headings == SECTIONS
    assert len(page.titles) == 1


@pytest.mark.parametrize("stage", STAGES)
def test_every_section_but_the_decision_and_provenance_says_how_to_read_it(stage: str) -> None:
    page = read_page(page_of(stage)[1])
    for heading in SECTIONS[:6] + SECTIONS[7:9]:
        assert page.texts[heading][0].startswith("How to read: "), heading


@pytest.mark.parametrize(
    ("stage", "title", "verdict"),
    [
        (
            "baseline",
            "Leaderboard: cycle 1, baseline only",
            "Baseline only: nothing has been trained yet. "
            "The recogniser misses 37 of 42 mentions of clinical terms.",
        ),
        (
            "gate_open",
            "Leaderboard: cycle 1, baseline only",
            "Baseline only: nothing has been trained yet. The recogniser misses 24 of 27 drug mentions "
            "(88.9 % [71.9, 96.1], n = 27), and there are enough rows to learn from: fine-tune.",
        ),
        (
            "gate_closed",
            "Leaderboard: cycle 1, not trained",
            "Nothing was trained: the gate is closed. The recogniser misses 24 of 27 drug mentions "
            "(88.9 % [71.9, 96.1], n = 27): worth training for, but there is too little to learn from. "
            "Add about 4 drug terms (140 more rows), then run the cycle again.",
        ),
        (
            "trained",
            "Leaderboard: cycle 2 beside cycle 1",
            "Keep the new model. It misses 1 of 27 drug mentions in speech that it was not trained on; "
            "the model before it missed 24.",
        ),
        (
            "forgetting",
            "Leaderboard: cycle 2 beside cycle 1",
            "Do not keep the new model. It misses 0 of 27 drug mentions in speech that it was not trained "
            "on; the model before it missed 24. The new model got worse at everyday speech. It did learn "
            "terms, but that does not make up for it. Mix more general speech into the training rows, or "
            "train for fewer epochs.",
        ),
    ],
)
def test_the_page_begins_with_the_answer(stage: str, title: str, verdict: str) -> None:
    inputs, markdown = page_of(stage)
    page = read_page(markdown)
    assert page.titles == [title]
    assert page.texts[""][0] == verdict
    assert headline(inputs).splitlines()[0] == verdict


def test_the_headline_of_a_trained_cycle_has_the_numbers() -> None:
    inputs, markdown = page_of("trained")
    _, terms, others = headline(inputs).splitlines()
    assert terms == (
        "Missed drug mentions: 24 of 27 -> 1 of 27; KER 88.9 % [71.9, 96.1] -> 3.7 % [0.7, 18.3], n = 27; "
        "exact McNemar test p < 0.001."
    )
    assert re.fullmatch(
        r"General speech: WER 4\.6 % \[.+\] -> 5\.6 % \[.+\], n = 12, a change of \+0\.9 \[.+\] points; "
        r"terms never trained on: 66 of 72 -> 48 of 72 missed; "
        r"voices never trained on: 65 of 72 -> 48 of 72 missed\.",
        others,
    )
    assert read_page(markdown).texts[""][1:3] == [terms, others]


def test_the_headline_table_shows_the_scores_and_the_compared_change() -> None:
    inputs, markdown = page_of("trained")
    lines = read_page(markdown).lines("1. Headline")
    assert list(lines) == ["WER", "CER", "KER", "SER", "KER, drug only"]
    assert inputs.comparison is not None and inputs.after is not None
    held_out = inputs.comparison.slices["held_out"]
    for metric in ("wer", "cer", "ser"):
        before, after = inputs.before.metric("held_out", metric), inputs.after.metric("held_out", metric)
        assert before is not None and after is not None
        assert lines[metric.upper()] == {
            "metric": metric.upper(),
            "n": "42",
            "before": percent_with_interval(before),
            "after": percent_with_interval(after),
            "change, points": change_in_points(getattr(held_out, metric).difference),
        }
    assert lines["KER"]["before"] == "88.1 % [75.0, 94.8]"
    assert lines["KER"]["after"] == "7.1 % [2.5, 19.0]"
    assert lines["KER"]["change, points"].startswith("-81.0 [-")
    assert lines["KER, drug only"]["n"] == "27"


@pytest.mark.parametrize(
    ("heading", "field", "order"),
    [
        ("2. KER by entity_category", "entity_category", ["condition", "drug", "procedure"]),
        ("3. KER by ipa_source", "ipa_source", ["espeak_g2p", "override"]),
        ("4. KER by noise_level", "noise_level", ["clean", "snr_15db", "snr_5db"]),
        (
            "5. KER by term, worst first",
            "term",
            [
                *("apixaban", "diverticulitis", "pneumothorax", "cholecystectomy", "metoprolol"),
                *("amiodarone", "cefazolin", "rivaroxaban"),
            ],
        ),
    ],
)
def test_breakdowns_count_the_misses_of_both_models(heading: str, field: str, order: list[str]) -> None:
    inputs, markdown = page_of("trained")
    lines = read_page(markdown).lines(heading)
    assert list(lines) == order
    assert inputs.after is not None
    before, after = inputs.before.ker_by("held_out", field), inputs.after.ker_by("held_out", field)
    for level, line in lines.items():
        assert line["n"] == str(before[level].n)
        assert (line["missed before"], line["missed after"]) == (
            str(misses(before[level])),
            str(misses(after[level])),
        )
        assert line["KER before"] == percent_with_interval(before[level])
        assert line["KER after"] == percent_with_interval(after[level])
        assert float(line["change, points"]) == pytest.approx(
            100 * (after[level].value - before[level].value), abs=0.05
        )
    assert sum(int(line["missed before"]) for line in lines.values()) == 37
    assert sum(int(line["missed after"]) for line in lines.values()) == 3


def test_noise_is_in_the_order_of_its_loudness() -> None:
    rows = [
        replace(row, noise_level=("snr_-5db", "snr_20db", "clean", "snr_5db")[number % 4])
        for number, row in enumerate(ROWS)
    ]
    lines = read_page(render(baseline_inputs(rows))).lines("4. KER by noise_level")
    assert list(lines) == ["clean", "snr_20db", "snr_5db", "snr_-5db"]


def test_a_single_source_of_pronunciations_is_said_to_tell_nothing() -> None:
    rows = [replace(row, ipa_source="espeak_g2p") for row in ROWS]
    text = read_page(render(baseline_inputs(rows))).texts["3. KER by ipa_source"][0]
    assert "every pronunciation comes from espeak_g2p, so that this table cannot tell" in text
    assert "cannot tell" not in page_of("baseline")[1]


def test_unseen_terms_voices_and_general_speech_stand_apart() -> None:
    page = read_page(page_of("trained")[1])
    unseen = page.lines(SECTIONS[5], 0)
    assert (unseen["unseen terms"]["missed before"], unseen["unseen terms"]["missed after"]) == ("66", "48")
    assert unseen["unseen voices"]["change, points"].startswith("-23.6 [-")
    general = page.lines(SECTIONS[5], 1)["WER, general speech"]
    assert general["n"] == "12"
    assert general["change, points"].startswith("+0.9 [")


def test_slices_that_the_cycle_does_not_have_are_not_measured_and_never_zero() -> None:
    rows = [row for row in ROWS if row.subset in ("train", "validation", "development")]
    page = read_page(render(trained_inputs(rows=rows)))
    cells = page.lines(SECTIONS[5], 0)["unseen terms"]
    assert cells == {
        "KER of": "unseen terms",
        "n": "0",
        "missed before": "-",
        "missed after": "-",
        "KER before": "not measured (no term is set aside)",
        "KER after": "not measured (no term is set aside)",
        "change, points": "-",
    }
    general = page.lines(SECTIONS[5], 1)["WER, general speech"]
    assert general["after"] == "not measured (no general speech is set aside)"
    assert page.texts[""][0].startswith("Do not keep the new model.")
    assert "General speech: not measured; terms never trained on: not measured" in page.texts[""][2]


def people(*, general: bool = True) -> list[Transcript]:
    """Recordings of two persons: the general ones say what a control sentence says."""
    rows = [row for row in ROWS if row.subset == "validation"][:9] + [*general_rows()][: 3 if general else 0]
    return [
        replace(
            row,
            id=f"p{number}",
            synthesis_group=f"p{number}",
            subset="human",
            ipa_source="recording",
            voice_id=f"recording:nurse-{number % 2}",
        )
        for number, row in enumerate(rows)
    ]


def test_people_are_a_slice_of_their_own_that_changes_nothing_else() -> None:
    inputs = trained_inputs(rows=[*ROWS, *people()])
    page, without = read_page(render(inputs)), read_page(page_of("trained")[1])
    human = page.lines(SECTIONS[5], 2)["human speech"]
    assert (human["n"], human["missed before"], human["missed after"]) == ("9", *people_missed())
    assert page.lines(SECTIONS[5], 3)["WER, human speech"]["n"] == "12"
    (text,) = [text for text in page.texts[SECTIONS[5]] if text.startswith("Human speech: ")]
    assert text.startswith("Human speech: recordings of people (2 speakers), whom no training hears;")
    for heading in (*SECTIONS[:5], *SECTIONS[6:9]):
        assert page.texts[heading] == without.texts[heading], heading
        assert page.tables[heading] == without.tables[heading], heading
    assert headline(inputs) == headline(page_of("trained")[0])
    assert without.texts[SECTIONS[5]] == page.texts[SECTIONS[5]][:-1], "absent, and not 0, where nobody spoke"


def people_missed() -> tuple[str, str]:
    rows = [*ROWS, *people()]
    return tuple(  # type: ignore[return-value]
        str(sum(bool(row.term_missed) for row in scored(model, CLINICAL, rows) if row.id.startswith("p")))
        for model in (untrained, adapted)
    )


def test_recordings_without_a_term_have_a_word_error_rate_alone() -> None:
    rows = [replace(row, id=f"g{row.id}") for row in people() if row.term is None]
    page = read_page(render(trained_inputs(rows=[*ROWS, *rows])))
    assert (
        page.lines(SECTIONS[5], 2)["human speech"]["KER after"] == "not measured (no recording holds a term)"
    )
    assert page.lines(SECTIONS[5], 3)["WER, human speech"]["n"] == "3"


def test_synthetic_recordings_are_said_to_tell_nothing_of_pronunciations() -> None:
    rows = [replace(row, ipa_source="recording") if row.voice_id == VOICES[0] else row for row in ROWS]
    text = read_page(render(baseline_inputs(rows))).texts["3. KER by ipa_source"][0]
    assert "recording: synthetic speech that a team made elsewhere." in text
    assert "made elsewhere" not in page_of("baseline")[1]


def test_without_held_out_rows_the_page_says_so() -> None:
    rows = [row for row in ROWS if row.subset == "train"]
    page = read_page(render(replace(baseline_inputs(rows), gate=gate_of(baseline_inputs(rows), rows))))
    assert page.headings == SECTIONS
    assert page.lines("1. Headline")["KER"]["baseline"] == "not measured (no clinical row is held out)"
    for heading in SECTIONS[1:5]:
        assert page.texts[heading][1] == "not measured (no clinical row is held out)."
    assert page.texts[""][1] == "Held-out rows: there are none, so that nothing was measured."


@pytest.mark.parametrize(("stage", "action"), [("trained", "keep"), ("forgetting", "forgetting")])
def test_the_decision_is_given_with_its_reasons_and_the_gate(stage: str, action: str) -> None:
    inputs, markdown = page_of(stage)
    page = read_page(markdown)
    verdict, *texts = page.texts["7. Decision"]
    assert verdict.startswith(action)
    assert inputs.decision is not None
    assert texts == [*inputs.decision.reasons, f"Advice: {inputs.decision.advice}", "The gate had been open:"]
    assert [line["holds"] for line in page.tables["7. Decision"][0]] == ["yes"] * 4


def test_a_closed_gate_is_explained() -> None:
    inputs, markdown = page_of("gate_closed")
    page = read_page(markdown)
    assert inputs.gate is not None
    assert page.texts["7. Decision"] == [
        "not_trained: the gate is closed, so nothing was trained. This is a result, not a fault.",
        "The manifest has 360 clinical rows; 500 are needed: 140 too few.",
        f"Advice: {inputs.gate.advice}",
    ]
    rows = page.lines("7. Decision")["clinical rows in the manifest"]
    assert (rows["holds"], rows["found"], rows["required"]) == ("no", "360 rows", "500 or more")


def test_before_the_gate_there_is_no_decision() -> None:
    assert read_page(page_of("baseline")[1]).texts["7. Decision"] == [
        "None yet: the gate has not been evaluated."
    ]
    assert read_page(page_of("gate_open")[1]).texts["7. Decision"][0] == (
        "None yet: the gate is open, and no fine-tuned model has been evaluated."
    )


def test_the_figure_over_all_rows_is_the_published_one_and_labelled_as_such() -> None:
    inputs, markdown = page_of("trained")
    page = read_page(markdown)
    how, counts = page.texts["8. All rows, training rows included"]
    assert "fell by 75 % (39 rows: 20 missed before, 5 after), was measured over all rows, training" in how
    assert "the decision does not use it" in how
    assert "published_clinical 1" in how
    assert (
        counts == "All rows: 327 of 360 terms missed before, 113 of 360 after, a relative change of -65.4 %."
    )
    rates = page.lines("8. All rows, training rows included", 1)
    published = inputs.baseline_published_scores["slices"]["all"]["wer"]
    assert rates["WER, mean of the rows"]["before"] == f"{100 * published['macro']:.1f} % [no interval]"


def test_false_terms_and_substitutions() -> None:
    page = read_page(page_of("trained")[1])
    heard = page.lines(SECTIONS[8])
    assert heard["rows with a false term, general speech"]["before"].startswith("0.0 % [0.0, ")
    assert heard["rows with a false term, general speech"]["after"].startswith("8.3 % [")
    instead = page.lines(SECTIONS[8], 1)
    assert instead["cefazolin"] == {"term": "cefazolin", "heard before": "cefa zolin (5)", "heard after": "-"}
    assert instead["apixaban"]["heard after"] == "(left out) (1)"


def test_provenance_names_models_normalisers_seeds_versions_and_rows() -> None:
    page = read_page(page_of("trained")[1])
    values = {name: line["value"] for name, line in page.lines("10. Provenance").items()}
    assert values["model before"] == "models/untrained.nemo"
    assert values["model after"] == "models/adapted.nemo"
    assert values["normaliser"] == CLINICAL.label
    assert values["published normaliser"] == PUBLISHED.label
    assert values["manifest sha256"] == "9f2c7b1e" * 8
    assert values["seeds"] == "split 42, noise 7, bootstrap 42"
    assert values["versions"] == "nemo_toolkit 3.0.0, torch 2.13.0"
    assert values["cost"] == "not known"
    assert page.lines("10. Provenance", 1)["validation"] == {
        "subset": "validation",
        "drug": "27",
        "procedure": "3",
        "condition": "12",
        "total": "42",
    }


def test_a_page_of_one_model_has_no_columns_for_a_second() -> None:
    for stage in ("baseline", "gate_open", "gate_closed"):
        page = read_page(page_of(stage)[1])
        columns = {column for tables in page.tables.values() for table in tables for column in table[0]}
        assert not [column for column in columns if "after" in column or "change" in column]


def test_long_lists_of_terms_are_cut_with_a_word() -> None:
    text = "the note says {} again"
    terms = [f"drug{'abcdefghij'[n // 26]}{'abcdefghijklmnopqrstuvwxyz'[n % 26]}" for n in range(60)]
    rows = [
        replace(ROWS[1], id=term, term=term, entity_category="drug", text=text.format(term)) for term in terms
    ]
    page = read_page(render(baseline_inputs(rows)))
    assert len(page.tables["5. KER by term, worst first"][0]) == 50
    assert page.texts["5. KER by term, worst first"][-1] == (
        "10 more terms, none of them worse, in results.csv."
    )


@pytest.mark.parametrize(
    "nasty",
    [
        "a|b",
        "back\\slash",
        "**bold**",
        "<script>alert(1)</script>",
        "[link](https://example.org)",
        "`code",
        "&amp;",
        "_name_",
        "two\nlines",
        "$x$",
    ],
)
def test_whatever_was_heard_cannot_break_the_page(nasty: str) -> None:
    changed = deepcopy(page_of("baseline")[0].baseline_scores)
    inputs = replace(page_of("baseline")[0], baseline_scores=changed, provenance={"base": nasty})
    held_out = changed["slices"]["held_out"]
    held_out["substitutions"] = {"cefazolin": [{"heard": nasty, "count": 2}]}
    held_out["by"]["term"] = {nasty: held_out["by"]["term"]["cefazolin"]}
    page = read_page(render(inputs))
    shown = " ".join(nasty.split())
    assert page.headings == SECTIONS
    assert list(page.lines("5. KER by term, worst first")) == [shown]
    assert page.lines(SECTIONS[8], 1)["cefazolin"]["heard by the baseline"] == f"{shown} (2)"
    assert page.lines("10. Provenance")["base"]["value"] == shown


def test_the_figure_is_a_picture_with_a_text_alternative() -> None:
    inputs, _ = page_of("trained")
    png = render_figure(inputs)
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert png == render_figure(inputs)
    assert png != render_figure(page_of("baseline")[0])
    assert figure_description(inputs) == (
        "KER by entity category on held-out rows, with 95 % intervals: condition 83.3 % before and 16.7 % "
        "after; drug 88.9 % before and 3.7 % after; procedure 100.0 % before and 0.0 % after; all terms "
        "88.1 % before and 7.1 % after."
    )
    markdown = render(replace(inputs, figure="ker of cycle2.png"))
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    images = [child for token in tokens for child in token.children or [] if child.type == "image"]
    assert [(image.attrs["src"], image.content) for image in images] == [
        ("ker%20of%20cycle2.png", figure_description(inputs))
    ]


def test_a_figure_without_held_out_rows_is_still_a_picture() -> None:
    inputs = baseline_inputs([row for row in ROWS if row.subset == "train"])
    assert render_figure(inputs).startswith(b"\x89PNG")
    assert figure_description(inputs) == "KER by entity category: not measured, no clinical row is held out."


def test_rendering_is_pure() -> None:
    inputs, markdown = page_of("trained")
    assert render(inputs) == markdown
    assert markdown.endswith("|\n")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"next_scores": None}, "next_published_scores, comparison without next_scores"),
        ({"comparison": None}, "next_scores, next_published_scores without comparison"),
        ({"decision": None}, "a comparison without its decision"),
    ],
)
def test_half_a_page_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(LeaderboardInputsError, match=message):
        replace(page_of("trained")[0], **change)


def test_a_trained_model_behind_a_closed_gate_is_refused() -> None:
    with pytest.raises(LeaderboardInputsError, match="behind a closed gate"):
        replace(page_of("trained")[0], gate=page_of("gate_closed")[0].gate)
