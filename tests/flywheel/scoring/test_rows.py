"""One utterance scored, and the results table."""

import csv
import gc
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from flywheel.errors import FlywheelError
from flywheel.files.cycles import EvalFolder
from flywheel.scoring import (
    CLINICAL,
    NO_DOSES,
    PUBLISHED,
    DoseErrors,
    ErrorCounts,
    Normalizer,
    RowScore,
    ScoringError,
    Transcript,
    read_rows,
    score_rows,
    summarise,
    write_rows,
)
from flywheel.scoring.row_table import COLUMNS
from flywheel.scoring.slices import HUMAN


def transcript(text: str, pred_text: str, term: str | None = None, row_id: str = "r1") -> Transcript:
    return Transcript(
        id=row_id,
        text=text,
        pred_text=pred_text,
        ipa_source="espeak_g2p",
        voice_id="espeak:en-us+m3",
        noise_level="clean",
        synthesis_group="g1",
        subset="validation" if term else "general",
        term=term,
        entity_category="drug" if term else None,
        context_type="dictation" if term else None,
    )


def score(text: str, pred_text: str, term: str | None = None, seeded: tuple[str, ...] = ()) -> RowScore:
    return score_rows([transcript(text, pred_text, term)], CLINICAL, seeded)[0]


def test_a_row_without_error() -> None:
    row = score(
        "Give 0.5 mg of cefazolin now.", "give zero point five milligrams of cefazolin now", "cefazolin"
    )
    assert row.reference == row.hypothesis == "give 0.5 mg of cefazolin now"
    assert row.words == ErrorCounts(0, 0, 0, 6)
    assert row.characters == ErrorCounts(0, 0, 0, 28)
    assert (row.term_missed, row.heard, row.sentence_wrong) == (False, None, False)
    assert row.term_words == ErrorCounts(0, 0, 0, 1)
    assert row.other_words == ErrorCounts(0, 0, 0, 5)
    assert (row.true_terms, row.false_insertions) == (1, ())
    assert row.normalizer == CLINICAL.label


def test_a_split_term_is_missed_and_its_errors_are_its_own() -> None:
    row = score("give cefazolin right now", "give cefa zolin write now", "cefazolin")
    assert (row.term_missed, row.heard, row.sentence_wrong) == (True, "cefa zolin", True)
    assert row.words == ErrorCounts(2, 0, 1, 4)
    assert row.term_words == ErrorCounts(1, 0, 1, 1)
    assert row.other_words == ErrorCounts(1, 0, 0, 3)
    assert (row.true_terms, row.false_insertions) == (0, ())


@pytest.mark.parametrize(
    ("text", "pred_text", "expected"),
    [
        ("Give 5 mg now.", "give five milligrams now", DoseErrors(1, 0, 0, 0, 0, 0)),
        ("Give 0.5 mg now.", "give 5 mg now", DoseErrors(1, 1, 1, 0, 0, 0)),
        ("Give 5 mg now.", "give 5 mcg now", DoseErrors(1, 0, 0, 1, 0, 0)),
        ("Give 5 mg now.", "give it now", DoseErrors(1, 0, 0, 0, 1, 0)),
        ("Give it now.", "give 5 mg now", DoseErrors(0, 0, 0, 0, 0, 1)),
        ("Give it now.", "give it soon", NO_DOSES),
        ("Give it now.", "give it now", NO_DOSES),
    ],
)
def test_what_became_of_a_dose(text: str, pred_text: str, expected: DoseErrors) -> None:
    assert score(text, pred_text).doses == expected


def test_a_dose_that_the_normaliser_spoils_is_not_counted() -> None:
    (row,) = score_rows([transcript("give 0.5 mg now", "give 5 mg now")], PUBLISHED)
    assert row.reference == "give 05 mg now"
    assert row.doses is None


def test_a_person_speaks_and_fails_as_one() -> None:
    said = transcript("give cefazolin now", "give it now", "cefazolin")
    greeting = transcript("good morning", "good evening")
    rows = score_rows(
        [said, greeting, *(replace(row, subset=HUMAN, voice_id="anna") for row in (said, greeting))], CLINICAL
    )
    assert [row.cluster for row in rows] == [
        "term cefazolin",
        "sentence good morning",
        "speaker anna",
        "speaker anna",
    ]


def test_people_of_whom_nobody_says_who_they_are_carry_no_interval() -> None:
    said = [
        transcript(f"give cefazolin {n} mg now", "give it now", "cefazolin", f"r{n}") for n in range(2, 20)
    ]
    nameless = score_rows([replace(row, subset=HUMAN, voice_id=None) for row in said], CLINICAL)
    wer = summarise(nameless, model="tiny", normalizer=CLINICAL).slices["human"].wer
    assert (wer.low, wer.high, wer.n) == (None, None, 18)


def test_a_term_that_was_left_out() -> None:
    row = score("give cefazolin now", "give now", "cefazolin")
    assert (row.term_missed, row.heard) == (True, "")


def test_a_general_row_has_no_term() -> None:
    row = score("bring a blanket", "bring the blanket")
    assert (row.term_missed, row.term_words, row.other_words, row.heard) == (None, None, None, None)
    assert row.cluster == "sentence bring a blanket"


@pytest.mark.parametrize(
    ("text", "pred_text", "true_terms", "false_insertions"),
    [
        ("bring a blanket", "bring a cefazolin", 0, ("cefazolin",)),
        ("give cefazolin", "give cefazolin and apixaban", 1, ("apixaban",)),
        ("give cefazolin", "give co trimoxazole and apixaban", 0, ("apixaban", "co-trimoxazole")),
        ("type 2 diabetes", "type two diabetes", 2, ()),
        ("diabetes", "type two diabetes", 1, ("type two diabetes",)),
        ("bring a blanket", "bring a cefa zolin", 0, ()),
        ("bring a blanket", "apixaban apixaban", 0, ("apixaban",)),
    ],
)
def test_seeded_terms_in_the_hypothesis(
    text: str, pred_text: str, true_terms: int, false_insertions: tuple[str, ...]
) -> None:
    seeded = ("cefazolin", "apixaban", "co-trimoxazole", "diabetes", "type two diabetes")
    row = score(text, pred_text, seeded=seeded)
    assert (row.true_terms, row.false_insertions) == (true_terms, false_insertions)


def test_terms_of_the_rows_count_as_seeded() -> None:
    first, second = score_rows(
        [
            transcript("give cefazolin", "give apixaban", "cefazolin"),
            transcript("apixaban", "apixaban", "apixaban"),
        ],
        CLINICAL,
    )
    assert first.false_insertions == ("apixaban",)
    assert second.true_terms == 1


def test_the_normaliser_decides_what_is_an_error() -> None:
    row = transcript("give co-trimoxazole", "give co trimoxazole", "co-trimoxazole")
    assert score_rows([row], CLINICAL)[0].term_missed is False
    assert score_rows([row], PUBLISHED)[0].term_missed is True


def test_a_term_that_its_sentence_does_not_hold_has_no_place() -> None:
    row = score("give the antibiotic", "give the antibiotic", "cefazolin")
    assert (row.term_missed, row.term_words, row.other_words, row.heard) == (True, None, None, None)


def test_a_term_of_which_nothing_is_left_is_refused() -> None:
    with pytest.raises(ScoringError, match=r"term '\?\?': nothing is left of it"):
        score_rows([transcript("give it", "give it", "??")], CLINICAL)


def test_results_have_a_line_a_row(tmp_path: Path) -> None:
    scores = score_rows(
        [
            transcript("give cefazolin, now", "give cefa zolin now", "cefazolin", "a"),
            transcript("bring a blanket", 'bring "a" cefazolin', None, "b"),
        ],
        CLINICAL,
    )
    path = tmp_path / "baseline" / "results.csv"
    write_rows(path.with_name("rows.parquet"), path, scores)
    with path.open(encoding="utf-8", newline="") as file:
        clinical, general = csv.DictReader(file)
    assert clinical["id"] == "a"
    assert clinical["normalizer"] == CLINICAL.label
    assert clinical["text"] == "give cefazolin, now"
    assert clinical["hypothesis"] == clinical["pred_text"] == "give cefa zolin now"
    measured = {field: float(clinical[field]) for field in ("ker", "wer", "cer", "ser")}
    assert measured == {"ker": 1, "wer": 2 / 3, "cer": 1 / 18, "ser": 1}
    counts = ("substitutions", "deletions", "insertions", "reference_words", "term_word_errors", "term_words")
    assert [clinical[field] for field in counts] == ["1", "0", "1", "3", "2", "1"]
    assert (clinical["heard"], clinical["false_insertions"]) == ("cefa zolin", "")
    # What a row does not have is empty, never 0.
    assert [clinical[f"doses_{name}"] for name in DoseErrors._fields] == ["0"] * 6
    absent = ("term", "entity_category", "context_type", "ker", "term_word_errors", "term_words", "heard")
    assert [general[field] for field in absent] == [""] * len(absent)
    assert (general["pred_text"], general["false_insertions"]) == ('bring "a" cefazolin', "cefazolin")


def written(tmp_path: Path, rows: Sequence[RowScore]) -> str:
    """`results.csv` of some rows."""
    write_rows(tmp_path / "rows.parquet", tmp_path / "results.csv", rows)
    return (tmp_path / "results.csv").read_bytes().decode()


def test_results_lines_end_with_a_line_feed(tmp_path: Path) -> None:
    text = written(tmp_path, score_rows([transcript("one", "two")], CLINICAL))
    assert text.count("\n") == 2 and text.endswith("\n") and "\r" not in text


def test_doses_that_cannot_be_read_are_empty_in_the_results(tmp_path: Path) -> None:
    header, line = written(
        tmp_path, score_rows([transcript("give 0.5 mg", "give 5 mg")], PUBLISHED)
    ).splitlines()
    row = dict(zip(*csv.reader([header, line]), strict=True))
    assert [row[f"doses_{name}"] for name in DoseErrors._fields] == [""] * 6


@pytest.mark.parametrize("normalizer", [CLINICAL, PUBLISHED])
def test_rows_come_back_from_their_table_as_they_were_scored(tmp_path: Path, normalizer: Normalizer) -> None:
    """Found and missed, left out, not in the text, with doses and without a term; and a row of next to nothing."""
    rows = score_rows(
        [
            transcript("Give cefazolin 5 mg, now.", "give cefa zolin 50 mg now", "cefazolin", "a"),
            transcript("stop apixaban", "stop", "apixaban", "b"),
            transcript("give the antibiotic", "give apixaban and cefazolin", "cefazolin", "c"),
            transcript("bring a blanket", 'bring "a" cefazolin', None, "d"),
            Transcript(id="e", text="one", pred_text=""),
        ],
        normalizer,
    )
    written(tmp_path, rows)
    assert read_rows(tmp_path / "rows.parquet") == rows


def test_the_tables_columns_are_those_that_are_described(tmp_path: Path) -> None:
    rows = score_rows([transcript("give cefazolin", "give it", "cefazolin")], CLINICAL)
    header = written(tmp_path, rows).splitlines()[0].split(",")
    frame = pd.read_parquet(tmp_path / "rows.parquet")
    assert header == list(frame.columns) == list(COLUMNS)
    assert all(column.meaning for column in COLUMNS.values())
    assert frame.loc[0, ["ker", "substitutions", "reference_words"]].tolist() == [1, 1, 2]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.unlink(), "no such file"),
        (lambda path: path.write_bytes(path.read_bytes()[:400]), "not a table of rows"),
        (lambda path: path.write_bytes(b""), "not a table of rows"),
        (
            lambda path: pd.read_parquet(path).drop(columns=["heard"]).to_parquet(path),
            "found no column heard",
        ),
    ],
)
def test_a_table_that_cannot_be_read_names_what_writes_it(
    tmp_path: Path, spoil: Callable[[Path], None], said: str
) -> None:
    path = EvalFolder(tmp_path / "next").scored_rows
    write_rows(path, path.with_name("results.csv"), score_rows([transcript("one", "two")], CLINICAL))
    spoil(path)
    with pytest.raises(
        FlywheelError, match=rf"rows\.parquet: {said}.*; materialise next_eval again"
    ) as caught:
        read_rows(path)
    assert "\n" not in str(caught.value)


def test_texts_met_before_are_scored_like_any_other() -> None:
    """A hypothesis may be another row's reference, its own, or its own but for what normalising takes away."""
    said = "give cefazolin 5 mg now"
    heard = [said, "Give cefazolin 5 mg, now!", "stop apixaban now", "give apixaban now"]
    rows = [transcript("stop apixaban now", "stop apixaban now", "apixaban", "other")]
    rows += [transcript(said, text, "cefazolin", str(n)) for n, text in enumerate(heard)]
    for row, together in zip(rows, score_rows(rows, CLINICAL), strict=True):
        assert score_rows([row], CLINICAL, ["cefazolin", "apixaban"]) == [together]


@pytest.mark.parametrize("enabled", [True, False])
def test_scoring_leaves_the_search_for_cycles_as_it_was(enabled: bool) -> None:
    was_enabled = gc.isenabled()
    try:
        gc.enable() if enabled else gc.disable()
        score_rows([transcript("give it", "give it")], CLINICAL)
        with pytest.raises(ScoringError):
            score_rows([transcript("give it", "give it", "??")], CLINICAL)
        with pytest.raises(ScoringError):
            summarise([], model="tiny", normalizer=CLINICAL)
        assert gc.isenabled() == enabled
    finally:
        gc.enable() if was_enabled else gc.disable()
