"""Section 9: what is still missed, why, and what to listen to; and terms that nobody said."""

from dataclasses import replace

import pytest

from flywheel.report.leaderboard import render
from flywheel.verdict.misses import HeardInstead, MissedTerm, Misses, RowToHear
from tests.leaderboard_page import WRONG, page_of, read_page


def missed(term: str, *heard: tuple[str, int, float | None], cause: str = "model") -> MissedTerm:
    return MissedTerm(
        term=term,
        entity_category="drug",
        ipa_source="espeak_g2p",
        ipa="ˈsɛfəzəlɪn",
        missed=3,
        n=16,
        heard=tuple(HeardInstead(*each) for each in heard),
        cause=cause,  # type: ignore[arg-type]
        why="Missed in 3 of 16 rows; the engine speaks `sɛf|ə` with *stars*.",
    )


def row_to_hear(number: int) -> RowToHear:
    return RowToHear(
        id=f"r{number}",
        term="cefazolin",
        subset="unseen_voice",
        voice_id="espeak:en-us+f5",
        noise_level="snr_5db",
        ipa_source="espeak_g2p",
        reference="please review cefazolin",
        hypothesis="please review cefa zolin",
        before="please review safe a line",
        heard="" if number else "cefa zolin",
        phone_distance=None if number else 0.02,
        audio_filepath=f"../../speech/{number}.wav",
    )


def with_misses(*terms: MissedTerm, rows: int = 2) -> str:
    misses = Misses("models/adapted.nemo", terms, tuple(map(row_to_hear, range(rows))))
    return render(replace(page_of("trained")[0], misses=misses))


def test_missed_terms_have_what_was_heard_its_distance_and_a_cause() -> None:
    heard = ("cefa zolin", 2, 0.02), ("", 1, None), ("cefalin", 1, 0.2), ("safe a line", 1, 0.4)
    page = read_page(with_misses(missed("cefazolin", *heard), missed("apixaban", cause="pronunciation")))
    assert page.tables[WRONG][0] == [
        {
            "term": "cefazolin",
            "missed": "3 of 16",
            "heard instead (times; distance)": "cefa zolin (2; 0.02), (left out) (1), cefalin (1; 0.20), ...",
            "cause": "model",
            "why": "Missed in 3 of 16 rows; the engine speaks sɛf|ə with *stars*.",
        },
        {
            "term": "apixaban",
            "missed": "3 of 16",
            "heard instead (times; distance)": "",
            "cause": "pronunciation",
            "why": "Missed in 3 of 16 rows; the engine speaks sɛf|ə with *stars*.",
        },
    ]
    assert page.texts[WRONG][0] == (
        "Missed at least once: 2 terms. What would help: listening, and correcting the pronunciation by an override "
        "(1 term); more training rows with the term (1 term)."
    )


def test_rows_to_listen_to_are_named_with_their_files() -> None:
    page = read_page(with_misses(missed("cefazolin"), rows=12))
    rows = page.tables[WRONG][1]
    assert len(rows) == 10
    assert rows[0] == {
        "": "1",
        "term": "cefazolin",
        "heard in its place": "cefa zolin",
        "distance": "0.02",
        "rows": "unseen voice",
        "voice": "espeak:en-us+f5",
        "noise": "snr_5db",
        "file in the data folder": "../../speech/0.wav",
    }
    assert (rows[1]["heard in its place"], rows[1]["distance"]) == ("(left out)", "-")
    assert "Listen to these 10 rows first:" in page.texts[WRONG]


def test_long_lists_are_cut_with_a_word() -> None:
    page = read_page(with_misses(*(missed(f"drug{number}") for number in range(11))))
    assert len(page.tables[WRONG][0]) == 8
    assert "3 more terms, none of them worse, in misses.json." in page.texts[WRONG]


def test_where_nothing_was_missed_the_page_says_so() -> None:
    assert read_page(with_misses(rows=0)).texts[WRONG][0] == (
        "No term was missed on the rows that were never trained on."
    )


def test_a_cycle_without_causes_shows_what_was_heard_instead() -> None:
    page = read_page(page_of("trained")[1])
    instead = page.lines(WRONG)
    assert instead["cefazolin"] == {"term": "cefazolin", "heard before": "cefa zolin (5)", "heard after": "-"}
    assert instead["apixaban"]["heard after"] == "(left out) (1)"


@pytest.mark.parametrize("markdown", [page_of("trained")[1], with_misses(missed("cefazolin"))])
def test_terms_that_nobody_said_are_counted(markdown: str) -> None:
    page = read_page(markdown)
    (heard,) = [
        {line["terms heard"]: line for line in table}
        for table in page.tables[WRONG]
        if "terms heard" in table[0]
    ]
    assert heard["rows with a false term, general speech"]["before"].startswith("0.0 % [0.0, ")
    assert heard["rows with a false term, general speech"]["after"].startswith("4.2 % [")
