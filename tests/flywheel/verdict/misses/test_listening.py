"""Which rows are listened to first: the worst, of many terms."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from flywheel.pronunciation.lexicon import Lexicon
from flywheel.verdict.misses import RowToHear, find_misses
from flywheel.verdict.misses.listening import ROWS_KEPT
from tests.flywheel.verdict.misses.heard import Heard, manifest, scored

PHONES = {"cefazolin": "ˈsɛfəˌzɑlɪn", "saf": "sæf", "cefazolan": "ˈsɛfəzɑˌlæn", "x": "k"}


def to_hear(rows: Sequence[Heard]) -> tuple[RowToHear, ...]:
    scores = scored(rows, base=True), scored(rows, base=False)
    return find_misses(manifest(rows), Lexicon(()), *scores, lambda text: PHONES.get(text, "ə")).rows


def test_the_worst_is_heard_first() -> None:
    clean_both = Heard("cefazolin", now="saf", before="saf", sentence="first {}")
    clean_both_near = Heard("cefazolin", now="cefazolan", before="saf", sentence="second {}")
    clean_broken = Heard("cefazolin", now="saf", sentence="third {}")
    noisy = Heard("cefazolin", now="", before="", noise_level="snr_5db", sentence="fourth {}")
    found = Heard("cefazolin", before="saf", sentence="fifth {}")
    rows = [found, noisy, clean_broken, clean_both_near, clean_both]
    assert [row.reference.split()[0] for row in to_hear(rows)] == ["first", "second", "third", "fourth"]


def test_a_row_of_which_hardly_a_word_was_heard_comes_last() -> None:
    mumbled = Heard("cefazolin", now="x", before="x", mumbled=True, sentence="first {} of all")
    noisy = Heard("cefazolin", now="saf", noise_level="snr_5db", sentence="second {} of all")
    assert [row.reference.split()[0] for row in to_hear([mumbled, noisy])] == ["second", "first"]


def test_a_row_carries_what_a_listener_needs() -> None:
    heard = Heard("cefazolin", now="saf", before="x", subset="unseen_voice", noise_level="snr_5db")
    (row,) = to_hear([heard])
    assert row == RowToHear(
        id=heard.row.id,
        term="cefazolin",
        subset="unseen_voice",
        voice_id="espeak:en-us+m3",
        noise_level="snr_5db",
        ipa_source="espeak_g2p",
        reference="the patient was given cefazolin in the evening",
        hypothesis="the patient was given saf in the evening",
        before="the patient was given x in the evening",
        heard="saf",
        phone_distance=row.phone_distance,
        audio_filepath=f"/speech/{heard.row.id}.wav",
    )
    assert row.phone_distance is not None and 0.5 < row.phone_distance < 1


def test_terms_take_turns_of_two() -> None:
    many = [Heard("cefazolin", now="saf", before="saf", sentence=f"{number} of {{}}") for number in range(7)]
    few = [Heard("ferritin", now="cefazolan", sentence=f"{number} of {{}}") for number in range(3)]
    terms = [row.term for row in to_hear([*few, *many])]
    expected = ["cefazolin"] * 2 + ["ferritin"] * 2 + ["cefazolin"] * 2 + ["ferritin"] + ["cefazolin"] * 3
    assert terms == expected


def test_other_speech_comes_before_the_same_speech_in_other_noise() -> None:
    row = Heard("cefazolin", now="saf", before="saf", sentence="first {}")
    other = replace(row, now="cefazolan", noise_level="snr_5db", sentence="second {}")
    rows = [row, replace(row, noise_level="snr_15db"), replace(row, noise_level="snr_5db"), other]
    assert [row.reference.split()[0] for row in to_hear(rows)] == ["first", "second", "first", "first"]


def test_no_more_are_kept_than_a_person_listens_to() -> None:
    terms = [f"term{chr(97 + number)}" for number in range(26)]
    rows = [Heard(term, now="saf", sentence=f"{number} {{}}") for term in terms for number in range(3)]
    counts = Counter(row.term for row in to_hear(rows))
    assert sum(counts.values()) == ROWS_KEPT == 40
    assert set(counts.values()) == {2}


def test_the_order_does_not_depend_on_that_of_the_rows() -> None:
    rows = [Heard("cefazolin", now="saf", sentence=f"{number} {{}}") for number in range(9)]
    assert to_hear(rows) == to_hear(rows[::-1])
