"""From rows and what was heard of them to the terms that are missed."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from flywheel.errors import FlywheelError
from flywheel.files.atomic import write_json
from flywheel.files.records import plain, read_record, record_in, record_text
from flywheel.pronunciation.lexicon import Candidate, Lexicon, Pronunciation
from flywheel.scoring import ScoringError
from flywheel.speech.engines.espeak import reader
from flywheel.speech.synthesizer import Voice
from flywheel.verdict.misses import HeardInstead, MissedTerm, Misses, find_misses
from tests.flywheel.verdict.misses.heard import Heard, manifest, scored

LEXICON = Lexicon(
    (
        Pronunciation("cefazolin", None, "espeak_g2p"),
        Pronunciation("metoprolol", "məˈtoʊpɹəlɔl", "override"),
        Pronunciation(
            "dalteparin", None, "espeak_g2p", candidates=(Candidate("ˌdɔltˈpɛɹən", "suffix -parin"),)
        ),
    )
)
NOISY = "snr_5db"


@pytest.fixture(scope="module")
def phones() -> Iterator[Callable[[str], str]]:
    with reader(Voice("espeak:en-us")) as read:
        yield read


def find(rows: Sequence[Heard], phones: Callable[[str], str], *, trained: bool = True) -> Misses:
    after = scored(rows, base=False) if trained else None
    return find_misses(manifest(rows), LEXICON, scored(rows, base=True), after, phones, model="tiny")


def in_voices(row: Heard, count: int) -> list[Heard]:
    return [replace(row, voice_id=f"espeak:en-us+m{number}") for number in range(1, count + 1)]


def test_what_is_heard_instead_is_counted_the_most_frequent_first(phones: Callable[[str], str]) -> None:
    heard = ["cefa zolin", "cefazolan", "something", "cefazolan", "", "cefa zolin", "safe", "saffron"]
    rows = [
        replace(each, now=now)
        for each, now in zip(in_voices(Heard("cefazolin"), len(heard)), heard, strict=True)
    ]
    (term,) = find(rows, phones).terms
    counts = [(each.text, each.count) for each in term.heard]
    assert counts[:2] == [("cefa zolin", 2), ("cefazolan", 2)]
    assert sorted(counts[2:]) == [("safe", 1), ("saffron", 1), ("something", 1)], "left out is the farthest"
    distances = [each.phone_distance or 0.0 for each in term.heard]
    assert distances[0] == 0.0
    assert distances[:2] == sorted(distances[:2]) and distances[2:] == sorted(distances[2:])
    assert (term.missed, term.n) == (8, 8)


def test_a_term_that_was_left_out_is_as_far_as_can_be(phones: Callable[[str], str]) -> None:
    misses = find([Heard("cefazolin", now="")], phones)
    assert misses.terms[0].heard == (HeardInstead("", 1, 1.0),)
    assert (misses.rows[0].heard, misses.rows[0].phone_distance) == ("", 1.0)


def test_only_rows_that_were_only_measured_on_count(phones: Callable[[str], str]) -> None:
    subsets = ["train", "development", "validation", "unseen_term", "unseen_voice", "unseen_engine", "human"]
    rows = [
        replace(row, subset=subset)
        for row, subset in zip(in_voices(Heard("cefazolin", now="saffron"), 7), subsets, strict=True)
    ]
    rows.append(Heard(None, subset="general", sentence="the bus was late"))
    misses = find(rows, phones)
    assert (misses.terms[0].missed, misses.terms[0].n) == (4, 4)
    assert {row.subset for row in misses.rows} == set(subsets[2:6])


def test_what_is_found_is_no_miss(phones: Callable[[str], str]) -> None:
    rows = in_voices(Heard("cefazolin", before="saffron"), 3)
    assert find(rows, phones) == Misses("tiny", (), ())
    assert find(rows, phones, trained=False).terms[0].missed == 3


def test_a_base_is_told_without_training(phones: Callable[[str], str]) -> None:
    rows = [
        *in_voices(Heard("cefazolin", before="saffron"), 3),
        *in_voices(Heard("cefazolin", subset="train"), 2),
    ]
    before, after = find(rows, phones, trained=False), find([replace(row, now="saf") for row in rows], phones)
    assert "training" not in before.terms[0].why
    assert "after training on 2 rows with it (before: 3 of 3)" in after.terms[0].why
    assert all(row.before == row.hypothesis for row in before.rows)
    assert {(row.hypothesis, row.before) for row in after.rows} == {
        ("the patient was given saf in the evening", "the patient was given saffron in the evening")
    }


def test_the_distance_is_from_what_was_spoken(phones: Callable[[str], str]) -> None:
    """A prescribed pronunciation is the one to compare with, unless the row was spoken before it was prescribed."""
    prescribed = Heard("metoprolol", now="me toe pra lall", ipa_source="override")
    by_rules = replace(prescribed, ipa_source="espeak_g2p", voice_id="espeak:en-us+f1")
    one, other = (find([row], phones).terms[0] for row in (prescribed, by_rules))
    assert (one.ipa, other.ipa) == ("məˈtoʊpɹəlɔl", "ˈmɛtəˌpɹɑlɑl")
    as_prescribed, as_read = one.heard[0].phone_distance, other.heard[0].phone_distance
    assert as_prescribed is not None and as_read is not None and as_prescribed < as_read


def test_what_has_no_phones_has_no_distance(phones: Callable[[str], str]) -> None:
    (term,) = find([Heard("cefazolin", now="cthulhu")], phones).terms
    assert term.heard == (HeardInstead("cthulhu", 1, None),)
    assert "phone distance" not in term.why


@pytest.mark.parametrize(
    ("rows", "cause"),
    [
        pytest.param(
            [*in_voices(Heard("cefazolin"), 6), *in_voices(Heard("cefazolin", "saf", noise_level=NOISY), 6)],
            "noise",
            id="clean rows are found",
        ),
        pytest.param(
            [
                *in_voices(Heard("metoprolol", ipa_source="override"), 6),
                *in_voices(Heard("metoprolol", now="meter pole", sentence="stop {} now"), 6),
            ],
            "pronunciation",
            id="found where it is prescribed",
        ),
        pytest.param(
            [
                *in_voices(Heard("cefazolin", now="saf"), 6),
                *in_voices(Heard("cefazolin", subset="human", ipa_source="recording", sentence="give {}"), 6),
            ],
            "pronunciation",
            id="found where people say it",
        ),
        pytest.param(
            in_voices(Heard("dalteparin", now="dalty purrin"), 6),
            "pronunciation",
            id="heard as spoken where the lexicon proposes otherwise",
        ),
        pytest.param(
            [
                *in_voices(Heard("cefazolin", now="saf", subset="unseen_term"), 12),
                *in_voices(Heard("metoprolol", ipa_source="override", subset="unseen_term"), 12),
            ],
            "pronunciation",
            id="other terms are found where they are prescribed",
        ),
        pytest.param(in_voices(Heard("cefazolin", now="saf"), 6), "model", id="nothing tells"),
        pytest.param(
            in_voices(Heard("metoprolol", now="saf", ipa_source="override"), 6),
            "model",
            id="it is prescribed",
        ),
    ],
)
def test_the_cause_comes_from_the_rows(
    rows: Sequence[Heard], cause: str, phones: Callable[[str], str]
) -> None:
    (term,) = find(rows, phones).terms
    assert (term.cause, term.why[-1]) == (cause, ".")


def test_another_term_of_the_seed_in_its_place_is_said(phones: Callable[[str], str]) -> None:
    rows = [*in_voices(Heard("cefazolin", now="metoprolol"), 2), Heard("metoprolol")]
    assert "in 2 rows it writes `metoprolol`, another term of the seed" in find(rows, phones).terms[0].why


def test_terms_stand_worst_first(phones: Callable[[str], str]) -> None:
    def rows(term: str, missed: int, n: int) -> list[Heard]:
        return [
            replace(row, now="saf" if place < missed else None)
            for place, row in enumerate(in_voices(Heard(term), n))
        ]

    found = find(
        [
            *rows("cefazolin", 1, 4),
            *rows("metoprolol", 2, 2),
            *rows("apixaban", 3, 3),
            *rows("ferritin", 1, 4),
        ],
        phones,
    )
    assert [(term.term, term.missed, term.n) for term in found.terms] == [
        *(("apixaban", 3, 3), ("metoprolol", 2, 2), ("cefazolin", 1, 4), ("ferritin", 1, 4)),
    ]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("drop after", r"1 rows were heard by the base alone: .*; transcribe the same rows with both models"),
        ("drop before", r"1 rows were not heard by the base: "),
        ("drop manifest", r"1 rows are not in the manifest: .*; give the rows scored"),
        ("no split", r"3 rows have another subset in the manifest: .*; give the rows after the split"),
    ],
)
def test_rows_that_do_not_belong_together_are_refused(
    change: str, problem: str, phones: Callable[[str], str]
) -> None:
    rows = in_voices(Heard("cefazolin", now="saf"), 3)
    whole, before, after = manifest(rows), scored(rows, base=True), scored(rows, base=False)
    if change == "no split":
        whole = [row.model_copy(update={"subset": None}) for row in whole]
    elif change == "drop manifest":
        whole.pop()
    else:
        (after if change == "drop after" else before).pop()
    with pytest.raises(ScoringError, match=problem):
        find_misses(whole, LEXICON, before, after, phones)


def test_misses_go_into_json_and_come_back(phones: Callable[[str], str]) -> None:
    misses = find([Heard("cefazolin", now="cthulhu"), Heard("metoprolol", now="")], phones)
    assert len(misses.terms) == len(misses.rows) == 2
    assert record_in(record_text(misses), Misses, "misses", "look again") == misses


@pytest.mark.parametrize(
    "spoilt", [{}, {"model": "m", "terms": [{}], "rows": []}, {"model": "m", "terms": 3}]
)
def test_what_is_no_misses_file_is_refused(spoilt: dict[str, object]) -> None:
    with pytest.raises(FlywheelError, match=r"misses: .*(missing|found 3).*; look again"):
        record_in(json.dumps(spoilt), Misses, "misses", "look again")


def test_a_term_of_another_version_is_refused(tmp_path: Path) -> None:
    term = MissedTerm("cefazolin", "drug", "espeak_g2p", "ˈsɛfəˌzɑlɪn", 1, 2, (), "model", "Because.")
    values = plain(Misses("m", (term,), ()))
    values["terms"][0]["colour"] = "red"
    write_json(tmp_path / "misses.json", values)
    with pytest.raises(
        FlywheelError, match=r"terms\.0\.colour: found 'red'.*; materialise leaderboard again"
    ):
        read_record(tmp_path / "misses.json", Misses)
