"""`scores.json`: what a slice holds, what is absent, and that the numbers are those of the rows."""

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jiwer
import pytest

from flywheel.corpus.manifest import SUBSETS
from flywheel.errors import FlywheelError
from flywheel.files.records import plain
from flywheel.scoring import (
    CLINICAL,
    LEAST_CLUSTERS,
    PUBLISHED,
    SLICES,
    DoseErrors,
    RowScore,
    ScoringError,
    Transcript,
    keyword_error_rate,
    score_rows,
    slice_rows,
    slices_of,
    summarise,
    wilson,
)
from flywheel.scoring.slices import HUMAN

CLINICAL_SLICES = tuple(name for name in SLICES if name != "general")
TERMS = {
    **{"cefazolin": "drug", "apixaban": "drug", "bronchoscopy": "procedure", "ferritin": "lab"},
    **{"metoprolol": "drug", "thoracentesis": "procedure", "sodium": "lab", "femur": "anatomy"},
}
CARRIERS = ("please give the {} now", "we talked about {} this morning", "the note on {} is not signed")


def clinical(number: int, **changes: Any) -> Transcript:
    term = list(TERMS)[number % len(TERMS)]
    text = CARRIERS[number % len(CARRIERS)].format(term)
    row = Transcript(
        id=f"r{number}",
        text=text,
        pred_text=text,
        ipa_source=("override", "espeak_g2p")[number % 2],
        voice_id=f"espeak:v{number % 7}",
        noise_level=("clean", "snr_15db")[number % 2],
        synthesis_group=f"g{number}",
        subset="validation",
        term=term,
        entity_category=TERMS[term],
        context_type="dictation",
    )
    return replace(row, **changes)


def general(number: int, **changes: Any) -> Transcript:
    row = clinical(number, term=None, entity_category=None, context_type=None, subset="general")
    text = f"please bring blanket kind {'abcde'[number % 5]} to the room"
    return replace(row, **({"id": f"general{number}", "text": text, "pred_text": text} | changes))


CLINICAL_SUBSETS = (
    *("train", "development", "validation", "unseen_term", "unseen_voice", "unseen_engine"),
    HUMAN,
)


def corpus(count: int = 560, seed: int = 3) -> list[Transcript]:
    """Rows of all subsets; about a third of the terms is missed, in one of three ways."""
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        row = clinical(number, subset=CLINICAL_SUBSETS[number // 10 % len(CLINICAL_SUBSETS)])
        wrong = ("", "some thing", "sea lion")[draw.randrange(3)]
        if row.term and draw.random() < 0.35:
            row = replace(row, pred_text=" ".join(row.text.replace(row.term, wrong).split()))
        if draw.random() < 0.3:
            row = replace(row, pred_text=row.pred_text.replace("the", "a"))
        rows.append(row)
    rows += [
        general(n, pred_text="please bring cefazolin to the room") if n % 9 == 0 else general(n)
        for n in range(40)
    ]
    return [*rows, *(general(n, id=f"replay{n}", subset="replay") for n in range(100, 110))]


def summary(rows: Sequence[RowScore], seed: int = 42) -> dict[str, Any]:
    """The scores as `scores.json` holds them."""
    return plain(summarise(rows, model="tiny", normalizer=CLINICAL, seed=seed))


@pytest.fixture(scope="module")
def rows() -> list[RowScore]:
    return score_rows(corpus(), CLINICAL)


@pytest.fixture(scope="module")
def scores(rows: list[RowScore]) -> dict[str, Any]:
    return summary(rows)


def test_the_frame(rows: list[RowScore], scores: dict[str, Any]) -> None:
    assert scores["model"] == "tiny"
    assert scores["normalizer"] == {"name": "flywheel_clinical", "version": "2"}
    assert list(scores["slices"]) == list(SLICES)
    assert (scores["rows"], scores["rows_in_no_slice"]) == (len(rows), 10)


def test_it_is_json_without_nan(scores: dict[str, Any]) -> None:
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores


def test_the_same_rows_and_seed_give_the_same_scores(rows: list[RowScore], scores: dict[str, Any]) -> None:
    assert summary(rows) == scores
    assert summary(rows, seed=43) != scores


def test_the_order_of_the_rows_changes_nothing(rows: list[RowScore], scores: dict[str, Any]) -> None:
    shuffled = random.Random(5).sample(rows, k=len(rows))
    assert summary(shuffled) == scores


@pytest.mark.parametrize("name", SLICES)
def test_rates_are_those_of_the_rows(rows: list[RowScore], scores: dict[str, Any], name: str) -> None:
    members, found = slice_rows(rows, name), scores["slices"][name]
    references, hypotheses = [row.reference for row in members], [row.hypothesis for row in members]
    words = jiwer.process_words(references, hypotheses)
    assert found["rows"] == found["wer"]["n"] == found["cer"]["n"] == found["ser"]["n"] == len(members)
    assert found["wer"]["value"] == pytest.approx(words.wer)
    assert found["wer"]["macro"] == pytest.approx(
        sum(jiwer.wer(r, h) for r, h in zip(references, hypotheses, strict=True)) / len(members)
    )
    counts = [
        found["wer"][field] for field in ("substitutions", "deletions", "insertions", "reference_length")
    ]
    assert counts == [words.substitutions, words.deletions, words.insertions, sum(map(len, words.references))]
    assert found["cer"]["value"] == pytest.approx(jiwer.cer(references, hypotheses))
    assert found["cer"]["reference_length"] == sum(map(len, references))
    wrong = sum(r != h for r, h in zip(references, hypotheses, strict=True))
    assert {k: found["ser"][k] for k in ("value", "low", "high", "n")} == plain(wilson(wrong, len(members)))


@pytest.mark.parametrize("name", CLINICAL_SLICES)
def test_ker_and_its_breakdowns(rows: list[RowScore], scores: dict[str, Any], name: str) -> None:
    members, found = slice_rows(rows, name), scores["slices"][name]
    missed = [row.transcript.term not in row.hypothesis.split() for row in members]
    assert found["ker"] == plain(wilson(sum(missed), len(members)))
    for field, levels in found["by"].items():
        assert set(levels) == {getattr(row.transcript, field) for row in members}
        assert sum(level["ker"]["n"] for level in levels.values()) == len(members)
        for value, level in levels.items():
            of_level = [row for row in members if getattr(row.transcript, field) == value]
            ker = keyword_error_rate(of_level)
            assert ker is not None and level["ker"] == plain(ker)
            expected = jiwer.wer([r.reference for r in of_level], [r.hypothesis for r in of_level])
            assert level["wer"]["value"] == pytest.approx(expected)
    assert set(found["by"]) == {
        *("entity_category", "ipa_source", "noise_level", "term", "voice_id", "context_type"),
    }


def test_what_general_speech_does_not_have_is_absent(scores: dict[str, Any]) -> None:
    found = scores["slices"]["general"]
    assert set(found["by"]) == {"ipa_source", "noise_level", "voice_id"}
    assert all(set(level) == {"wer"} for levels in found["by"].values() for level in levels.values())
    clinical_only = {"ker", "wer_term_words", "wer_other_words", "rows_without_term_in_text", "substitutions"}
    assert clinical_only.isdisjoint(found)


def test_false_insertions_and_precision(rows: list[RowScore], scores: dict[str, Any]) -> None:
    found = scores["slices"]["general"]["false_insertions"]
    expected = wilson(5, 40)
    assert found == {"count": 5, "value": 5 / 40, "low": expected.low, "high": expected.high, "n": 40}
    assert scores["slices"]["general"]["keyword_precision"]["value"] == 0
    held_out = scores["slices"]["held_out"]
    right = sum(not row.term_missed for row in slice_rows(rows, "held_out"))
    assert held_out["keyword_precision"] == plain(wilson(right, right))
    assert held_out["false_insertions"]["count"] == 0


def test_precision_is_absent_where_no_term_was_said() -> None:
    found = summary(score_rows([general(1)], CLINICAL, ["cefazolin"]))["slices"]["general"]
    assert "keyword_precision" not in found
    assert found["false_insertions"]["count"] == 0


def test_term_words_and_other_words(rows: list[RowScore], scores: dict[str, Any]) -> None:
    for name in CLINICAL_SLICES:
        members, found = slice_rows(rows, name), scores["slices"][name]
        of_terms = [row.term_words for row in members if row.term_words]
        of_others = [row.other_words for row in members if row.other_words]
        assert len(of_terms) == len(members) and found["rows_without_term_in_text"] == 0
        for field, counts in (("wer_term_words", of_terms), ("wer_other_words", of_others)):
            micro = sum(c.errors for c in counts) / sum(c.reference_length for c in counts)
            assert found[field]["value"] == pytest.approx(micro)
        assert found["wer_term_words"]["value"] > found["wer_other_words"]["value"]


def test_substitutions_are_the_most_frequent_renderings_first() -> None:
    said = ["sefa"] * 3 + ["cefa zolin"] * 4 + [""] * 2 + ["cefazolin"] * 5
    rows = [
        clinical(len(TERMS) * n, text="give cefazolin now", pred_text=" ".join(f"give {heard} now".split()))
        for n, heard in enumerate(said)
    ]
    assert {row.term for row in rows} == {"cefazolin"}
    found = summary(score_rows(rows, CLINICAL))["slices"]["held_out"]
    assert found["substitutions"] == {
        "cefazolin": [
            {"heard": "cefa zolin", "count": 4},
            {"heard": "sefa", "count": 3},
            {"heard": "", "count": 2},
        ]
    }


def test_without_misses_there_are_no_substitutions() -> None:
    assert "substitutions" not in summary(score_rows([clinical(1)], CLINICAL))["slices"]["held_out"]


def test_a_term_outside_its_text_is_missed_and_counted() -> None:
    rows = [clinical(0, text="give it now", pred_text="give it now"), clinical(1)]
    found = summary(score_rows(rows, CLINICAL))["slices"]["held_out"]
    assert found["rows_without_term_in_text"] == 1
    assert found["ker"]["value"] == 0.5
    assert found["wer_term_words"]["n"] == 1


@pytest.mark.parametrize("terms", [1, 5, 6, 8])
def test_clusters_are_terms_and_fewer_than_six_give_no_bounds(terms: int) -> None:
    # Every row of the first term is wrong, and of no other.
    rows = [clinical(number) for number in range(6 * len(TERMS)) if number % len(TERMS) < terms]
    rows = [replace(row, pred_text="no") if row.term == "cefazolin" else row for row in rows]
    wer = summary(score_rows(rows, CLINICAL))["slices"]["held_out"]["wer"]
    if terms < LEAST_CLUSTERS:
        assert (wer["low"], wer["high"]) == (None, None) and wer["value"] > 0
    else:
        assert wer["low"] < wer["value"] < wer["high"]


@pytest.mark.parametrize("speakers", [2, 7])
def test_clusters_of_human_speech_are_its_speakers(speakers: int) -> None:
    rows = [clinical(number, subset=HUMAN, voice_id=f"p{number % speakers}") for number in range(80)]
    rows += [general(number, subset=HUMAN, voice_id=f"p{number % speakers}") for number in range(20)]
    # One speaker is never understood.
    rows = [replace(row, pred_text="no") if row.voice_id == "p0" else row for row in rows]
    scored = score_rows(rows, CLINICAL)
    assert {row.cluster for row in scored} == {f"speaker p{number}" for number in range(speakers)}
    wer = summary(scored)["slices"][HUMAN]["wer"]
    if speakers < LEAST_CLUSTERS:
        assert (wer["low"], wer["high"]) == (None, None)
    else:
        assert wer["low"] == 0 and wer["high"] > 0.4


def test_quantities_of_a_slice_are_counted_and_their_rate_has_its_interval() -> None:
    said = ["Give 5 mg now.", "Give 2.5 mg now.", "Give 10 mL now.", "It is 20 units and 3 tablets."]
    heard = ["give 5 mg now", "give 25 mg now", "give 10 mg now", "it is 20 units and 7 days"]
    rows = score_rows(
        [
            general(n, text=text, pred_text=pred)
            for n, (text, pred) in enumerate(zip(said, heard, strict=True))
        ],
        CLINICAL,
    )
    total = DoseErrors(*(sum(column) for column in zip(*(row.doses or () for row in rows), strict=True)))
    assert total.quantities == 5 and total.tenfold == 1
    not_right = total.wrong_value + total.wrong_unit + total.missing
    rate = wilson(not_right, 5)
    assert summary(rows)["slices"]["general"]["doses"] == {
        **total._asdict(),
        "rate": plain(rate),
    }


def test_doses_are_absent_where_nobody_said_any_and_where_they_cannot_be_read(scores: dict[str, Any]) -> None:
    assert all("doses" not in found for found in scores["slices"].values())
    row = general(1, text="give 0.5 mg", pred_text="give 5 mg")
    assert "doses" in summary(score_rows([row], CLINICAL))["slices"]["general"]
    published = score_rows([row], PUBLISHED)
    assert published[0].doses is None
    assert summarise(published, model="tiny", normalizer=PUBLISHED).slices["general"].doses is None


def test_empty_slices_are_absent() -> None:
    assert list(summary(score_rows([general(1)], CLINICAL))["slices"]) == ["general"]
    assert list(summary(score_rows([clinical(1, subset="unseen_voice")], CLINICAL))["slices"]) == [
        *("all", "unseen_voice")
    ]


def test_an_empty_reference_counts_its_insertions() -> None:
    rows = [general(1, pred_text="give it"), general(2)]
    rows = [replace(rows[0], text="..."), rows[1]]
    wer = summary(score_rows(rows, CLINICAL))["slices"]["general"]["wer"]
    assert (wer["value"], wer["macro"], wer["insertions"]) == (2 / 8, 1.0, 2)
    only_empty = summary(score_rows(rows[:1], CLINICAL))["slices"]["general"]["wer"]
    assert (only_empty["value"], only_empty["low"], only_empty["reference_length"]) == (2.0, None, 0)


def test_the_published_normaliser_gives_its_own_scores() -> None:
    row = clinical(0, text="give co-trimoxazole 0.5 mg", pred_text="give co trimoxazole 0.5 mg")
    ours = summary(score_rows([row], CLINICAL))["slices"]["held_out"]
    rows = score_rows([row], PUBLISHED)
    theirs = summarise(rows, model="tiny", normalizer=PUBLISHED)
    assert ours["wer"]["value"] == 0
    assert theirs.slices["held_out"].wer.value > 0
    assert theirs.normalizer.name == "published_clinical"
    with pytest.raises(ScoringError, match=f"{PUBLISHED.label}.*{CLINICAL.label}"):
        summarise(rows, model="tiny", normalizer=CLINICAL)


@pytest.mark.parametrize(
    ("subset", "of_clinical", "of_general"),
    [
        ("train", ("train", "all"), ()),
        ("development", ("train", "all"), ()),
        ("validation", ("held_out", "all"), None),
        ("unseen_term", ("unseen_term", "all"), None),
        ("unseen_voice", ("unseen_voice", "all"), None),
        ("general", None, ("general",)),
        ("replay", None, ()),
        (HUMAN, ("human",), ("human",)),
        (None, ("all",), ()),
        ("test", None, None),
    ],
)
def test_slices_of_subsets(
    subset: str | None, of_clinical: tuple[str, ...] | None, of_general: tuple[str, ...] | None
) -> None:
    for row, expected in ((clinical(1), of_clinical), (general(1), of_general)):
        (scored,) = score_rows([replace(row, subset=subset)], CLINICAL)
        if expected is not None:
            assert slices_of(scored.transcript) == expected
        else:
            with pytest.raises(ScoringError, match=f"subset is '{subset}'; allowed: "):
                slices_of(scored.transcript)


def test_every_subset_of_the_split_has_a_slice_or_is_left_out_knowingly() -> None:
    for subset in SUBSETS:
        row = general(1) if subset in ("general", "replay") else clinical(1)
        slices_of(replace(row, subset=subset))


def test_nothing_scored_is_an_error() -> None:
    with pytest.raises(ScoringError, match="no scored rows"):
        summary([])


def test_an_unknown_slice_lists_the_known_ones() -> None:
    with pytest.raises(FlywheelError, match=r"'heldout'.*held_out, train"):
        slice_rows([], "heldout")


def test_ker_of_no_clinical_row_is_none() -> None:
    assert keyword_error_rate(score_rows([general(1)], CLINICAL)) is None
