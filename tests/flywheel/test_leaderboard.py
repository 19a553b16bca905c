"""The leaderboard: pages rendered from hypotheses that were really scored and compared, then read back."""

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
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
    categories = [row.entity_category for row in rows if row.entity_category]
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
