"""The second count by jiwer: silent where it agrees, and loud wherever a number is not that of the texts."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flywheel.recognisers.evaluation import read_scored_rows, read_scores
from flywheel.scoring import CLINICAL, RowScore, Scores, Transcript, score_rows, summarise
from flywheel.scoring.alignment import alignment_text
from flywheel.scoring.audit import audited
from tests.cycle_on_disk import baseline_cycle

SAID = {"general": "bring a blanket to the room", "validation": "give cefazolin 5 mg, now"}
HEARD = ("bring blanket to a room", "", "give cefa zolin 50 mg now please", "give cefazolin 5 mg now")


def rows() -> list[RowScore]:
    """Errors of every kind, a row heard empty, and one of which nothing is said."""
    said = [(subset, text, heard) for subset, text in SAID.items() for heard in HEARD]
    transcripts = [
        Transcript(
            id=f"{subset}{number}",
            text=text,
            pred_text=heard,
            subset=subset,
            term="cefazolin" if subset == "validation" else None,
            entity_category="drug" if subset == "validation" else None,
        )
        for number, (subset, text, heard) in enumerate([*said, ("general", "...", "one two")])
    ]
    return score_rows(transcripts, CLINICAL)


def scores(scored: list[RowScore]) -> Scores:
    return summarise(scored, model="tiny", normalizer=CLINICAL)


def test_the_counts_of_scoring_are_jiwers() -> None:
    scored = rows()
    audit = audited(scores(scored), scored)
    assert audit.differences == ()
    assert (audit.slices, audit.rows) == (3, 4 + 4 + 5), "held out, all, general"


def test_a_slice_without_a_word_in_its_references_agrees_too() -> None:
    scored = score_rows([Transcript("a", "...", "one two", subset="general")], CLINICAL)
    assert audited(scores(scored), scored).differences == ()


@pytest.mark.parametrize(
    ("rate", "change", "said"),
    [
        ("wer", {"value": 0.25}, "general, WER: 0.25 ("),
        ("wer", {"substitutions": 0}, "general, WER: "),
        ("cer", {"insertions": 1}, "general, CER: "),
        ("cer", {"reference_length": 1}, " in 1) here, "),
    ],
)
def test_a_number_that_is_not_that_of_the_texts_is_a_difference(
    rate: str, change: dict[str, Any], said: str
) -> None:
    scored = rows()
    honest = scores(scored)
    general = honest.slices["general"]
    spoilt = replace(general, **{rate: replace(getattr(general, rate), **change)})
    (difference,) = audited(replace(honest, slices={**honest.slices, "general": spoilt}), scored).differences
    assert said in difference and difference.endswith("by jiwer")


def test_a_table_that_lacks_a_row_is_a_difference() -> None:
    scored = rows()
    found = audited(scores(scored), scored[1:]).differences
    assert found == ("general: the scores are of 5 rows, the table holds 4",)


def test_a_cycles_files_agree(tmp_path: Path) -> None:
    folder = baseline_cycle(tmp_path, page=False).baseline
    audit = audited(read_scores(folder), read_scored_rows(folder))
    assert audit.differences == () and audit.slices == len(read_scores(folder).slices)


def test_an_alignment_reads_as_jiwer_shows_it() -> None:
    (row,) = score_rows([Transcript("a", "Give cefazolin now.", "give cefa zolin")], CLINICAL)
    assert alignment_text(row).splitlines() == [
        "REF: give cefazolin   now",
        "HYP: give      cefa zolin",
        "                  S     S",
    ]
