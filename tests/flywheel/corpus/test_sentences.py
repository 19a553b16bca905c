"""Sentences: the bundled wording, how terms get theirs, and what stays when a seed grows."""

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import pytest

from flywheel.corpus.general_english import general_english
from flywheel.corpus.sentences import (
    Carrier,
    GeneralSentence,
    Sentence,
    SentenceError,
    compose_sentences,
    read_carriers,
    read_general_sentences,
    read_sentences,
    write_sentences,
)
from flywheel.corpus.terms import CONTEXT_TYPES, ENTITY_CATEGORIES, Term, read_term_seed
from flywheel.errors import FlywheelError
from flywheel.files import bundled
from flywheel.files.atomic import read_json
from flywheel.scoring.term_matching import TermFinder

SEED = read_term_seed(bundled.path("starter_seed.csv"))
SEED_WORDS = {word for term in SEED for word in term.text.split()}
CARRIERS = read_carriers()
CELLS = [(category, context) for category in ENTITY_CATEGORIES for context in CONTEXT_TYPES]


def by_term(sentences: Sequence[Sentence]) -> dict[str | None, list[Sentence]]:
    grouped: dict[str | None, list[Sentence]] = {}
    for sentence in sentences:
        grouped.setdefault(sentence.term, []).append(sentence)
    return grouped


def frames(sentences: Sequence[Sentence]) -> tuple[str, ...]:
    """The carriers that a term's sentences were made of."""
    return tuple(f" {sentence.text} ".replace(f" {sentence.term} ", " {term} ") for sentence in sentences)


def cell_carriers(cell: tuple[str, str]) -> list[Carrier]:
    return [carrier for carrier in CARRIERS if (carrier.entity_category, carrier.context_type) == cell]


def drugs(count: int) -> list[Term]:
    return [Term(f"drug{'abcdefghij'[n // 10]}{'abcdefghij'[n % 10]}", "drug") for n in range(count)]


# The bundled wording


def test_every_cell_has_at_least_six_different_carriers() -> None:
    different = {carrier.sentence: (carrier.entity_category, carrier.context_type) for carrier in CARRIERS}
    assert len(different) == len(CARRIERS)
    counts = Counter(different.values())
    assert [cell for cell in CELLS if counts[cell] < 6] == []


def test_the_gap_stands_at_the_start_the_middle_and_the_end_of_carriers() -> None:
    places = Counter()
    for carrier in CARRIERS:
        words = carrier.sentence.split()
        place = words.index("{term}")
        places["start" if place <= 1 else "end" if place >= len(words) - 2 else "middle"] += 1
    assert min(places.values()) > len(CARRIERS) / 8
    assert len(places) == 3


def test_bundled_wording_holds_no_word_of_a_starter_term() -> None:
    spoken = [carrier.sentence for carrier in CARRIERS]
    spoken += [sentence.text for sentence in read_general_sentences()]
    assert {word for text in spoken for word in text.split()} & SEED_WORDS == set()


def test_general_sentences_are_600_different_ones_in_two_wordings() -> None:
    sentences = read_general_sentences()
    assert Counter(sentence.wording for sentence in sentences) == {"clinical": 300, "everyday": 300}
    assert len({sentence.text for sentence in sentences}) == 600
    assert {sentence.text for sentence in sentences}.isdisjoint(carrier.sentence for carrier in CARRIERS)


def test_general_sentences_of_earlier_cycles_stay_as_they_were_and_come_first() -> None:
    first = "\n".join(sentence.text for sentence in read_general_sentences()[:300])
    assert hashlib.sha256(first.encode()).hexdigest()[:16] == "efb395b05fe503df"


def test_the_bundled_base_was_trained_on_no_general_sentence() -> None:
    recipe = read_json(bundled.path("base_model_card.json"))["recipe"]
    trained = set(islice(general_english(seed=recipe["seed"], without=SEED_WORDS), recipe["sentences"]))
    assert len(trained) > 0.9 * recipe["sentences"]
    assert {sentence.text for sentence in read_general_sentences()} & trained == set()


# Composition


def test_each_term_has_one_sentence_a_context_in_seed_order() -> None:
    sentences = compose_sentences(SEED, CARRIERS)
    found = [(sentence.term, sentence.entity_category, sentence.context_type) for sentence in sentences]
    assert found == [(term.text, term.entity_category, context) for term in SEED for context in CONTEXT_TYPES]


def test_a_sentence_holds_its_own_term_once_no_other_and_8_to_30_words() -> None:
    names = [term.text for term in SEED]
    for sentence in compose_sentences(SEED, CARRIERS):
        assert sentence.term is not None
        assert TermFinder(names).found_in(sentence.text) == (sentence.term,)
        assert f" {sentence.text} ".count(f" {sentence.term} ") == 1
        assert 8 <= len(sentence.text.replace(sentence.term, "term").split()) <= 30


def test_a_terms_contexts_differ() -> None:
    for sentences in by_term(compose_sentences(SEED, CARRIERS)).values():
        assert len({sentence.text for sentence in sentences}) == len(CONTEXT_TYPES)


def test_known_terms_get_these_sentences_on_every_machine() -> None:
    texts = [sentence.text for sentence in compose_sentences(SEED, CARRIERS)]
    assert texts[:4] == [
        "cefazolin was started on admission and tolerated without any side effects",
        "she threw up after breakfast so her cefazolin was held this morning",
        "plan is to increase cefazolin slowly and repeat blood work next week",
        "her mother had a bad reaction to cefazolin many years ago",
    ]


def test_no_two_terms_share_all_carriers_as_long_as_there_are_combinations() -> None:
    # Two carriers a cell give 16 combinations, so that 16 terms collide often by their own hash.
    few = [carrier for cell in CELLS for carrier in cell_carriers(cell)[:2]]
    used = [frames(sentences) for sentences in by_term(compose_sentences(drugs(16), few)).values()]
    assert len(set(used)) == 16


def test_beyond_the_combinations_each_is_used_twice_before_any_three_times() -> None:
    few = [carrier for cell in CELLS for carrier in cell_carriers(cell)[:2]]
    used = [frames(sentences) for sentences in by_term(compose_sentences(drugs(32), few)).values()]
    assert set(Counter(used).values()) == {2}
    assert len(set(used)) == 16


def test_the_order_of_seed_and_carriers_changes_no_sentence() -> None:
    terms, carriers = list(SEED), list(CARRIERS)
    random.Random(1).shuffle(terms)
    random.Random(2).shuffle(carriers)
    assert by_term(compose_sentences(terms, carriers)) == by_term(compose_sentences(SEED, CARRIERS))


def test_a_carrier_that_holds_a_term_is_not_used() -> None:
    terms = [*drugs(30), Term("blood pressure", "condition"), Term("pharmacy", "role")]
    names = [term.text for term in terms]
    assert any(TermFinder(names).found_in(carrier.sentence) for carrier in CARRIERS)
    for sentence in compose_sentences(terms, CARRIERS):
        assert TermFinder(names).found_in(sentence.text) == (sentence.term,)


def test_a_category_without_a_usable_carrier_is_refused_by_cell() -> None:
    only = [carrier for carrier in CARRIERS if carrier.context_type != "history"]
    only.append(Carrier("drug", "history", "she took {term} before the blood pressure went up"))
    with pytest.raises(SentenceError) as refused:
        compose_sentences([*drugs(1), Term("blood pressure", "lab")], only)
    assert refused.value.problems == (
        "drug, history: found 1 carriers, 1 of which hold one of the terms; allowed: at least one without "
        "a term; add a carrier to the carriers file",
    )


# A seed that grows


def test_appended_inserted_and_reordered_terms_leave_earlier_sentences_as_they_were() -> None:
    # Two carriers a cell: without `earlier`, new terms would push old ones off their combinations.
    few = [carrier for cell in CELLS for carrier in cell_carriers(cell)[:2]]
    old = drugs(15)[::2]
    first = compose_sentences(old, few)
    grown = drugs(15)
    random.Random(3).shuffle(grown)
    second = compose_sentences(grown, few, earlier=first)
    kept, after = by_term(first), by_term(second)
    assert {term: after[term] for term in kept} == kept
    assert [sentence.term for sentence in second[::4]] == [term.text for term in grown]
    assert len({frames(sentences) for sentences in after.values()}) == len(grown)
    assert by_term(compose_sentences(grown, few)) != after


def test_removed_terms_are_left_out_and_the_others_stay() -> None:
    first = compose_sentences(SEED, CARRIERS)
    assert compose_sentences(SEED[3:], CARRIERS, earlier=first) == first[12:]
    assert compose_sentences(SEED[3:], [], earlier=first) == first[12:]


def test_earlier_sentences_stay_when_their_carriers_are_gone() -> None:
    first = compose_sentences(SEED, CARRIERS)
    others = [carrier for cell in CELLS for carrier in cell_carriers(cell)[3:]]
    second = compose_sentences([*SEED, Term("heparin", "drug")], others, earlier=first)
    assert second[: len(first)] == first
    assert set(frames(second[-4:])) <= {f" {carrier.sentence} " for carrier in others}


def test_a_term_whose_category_changed_is_composed_anew() -> None:
    first = compose_sentences([Term("ferritin", "drug"), Term("troponin", "lab")], CARRIERS)
    second = compose_sentences([Term("ferritin", "lab"), Term("troponin", "lab")], CARRIERS, earlier=first)
    assert {sentence.entity_category for sentence in second} == {"lab"}
    assert second[4:] == first[4:]
    lab_carriers = {f" {carrier.sentence} " for carrier in CARRIERS if carrier.entity_category == "lab"}
    assert set(frames(second[:4])) <= lab_carriers


def test_general_sentences_of_an_earlier_cycle_are_left_out() -> None:
    first = compose_sentences(SEED, CARRIERS)
    earlier = [Sentence("the dog ran after the man who brought the mail"), *first]
    assert compose_sentences(SEED, CARRIERS, earlier=earlier) == first


@pytest.mark.parametrize(
    ("broken", "found"),
    [
        (lambda sentences: sentences[:3], "dictation, handoff, chart_note"),
        (lambda sentences: (*sentences, sentences[0]), "dictation, handoff, chart_note, history, dictation"),
        (lambda sentences: (*sentences[:3], Sentence("x", None, "cefazolin", "drug")),
         "dictation, handoff, chart_note, None"),
    ],
    ids=["one missing", "one twice", "one without a context"],
)  # fmt: skip
def test_earlier_sentences_that_are_not_one_a_context_are_refused(
    broken: Callable[[tuple[Sentence, ...]], tuple[Sentence, ...]], found: str
) -> None:
    earlier = broken(compose_sentences(SEED[:1], CARRIERS))
    with pytest.raises(SentenceError) as refused:
        compose_sentences(SEED, CARRIERS, earlier=earlier)
    assert refused.value.problems == (
        f"'cefazolin', context_type: found {found}; allowed: dictation, handoff, chart_note, history, "
        "each once",
    )


# Files of one's own


def write_carriers(folder: Path, extra: str = "", skip: str = "") -> Path:
    """Four carriers for every cell, less any that holds `skip`, then `extra` in line 98."""
    lines = ["entity_category,context_type,sentence"]
    numbers = ("first", "second", "third", "fourth")
    for category, context in CELLS:
        for number in numbers:
            words = (
                f"the {number} sentence about {{term}} in {context.replace('_', ' ')} for {category} cases"
            )
            lines.append(f"{category},{context},{words}")
    path = folder / "carriers.csv"
    text = "\n".join(line for line in lines if not skip or skip not in line)
    path.write_text(f"{text}\n{extra}", encoding="utf-8")
    return path


def test_carriers_of_ones_own_are_read_in_file_order(tmp_path: Path) -> None:
    carriers = read_carriers(write_carriers(tmp_path))
    assert len(carriers) == 96
    assert carriers[0] == Carrier(
        "drug", "dictation", "the first sentence about {term} in dictation for drug cases"
    )
    assert (
        carriers[0].with_term("ferritin") == "the first sentence about ferritin in dictation for drug cases"
    )


GAP = "allowed: {term} once, as a word of its own"
PLAIN = "lower case letters a to z, one space between words, ' inside a word, no other punctuation"
REFUSED_CARRIERS = [
    ("drugs,history,he took {term} for two years in the past",
     "line 98, entity_category: found 'drugs'; allowed: drug, procedure, anatomy, condition, lab, role"),
    ("drug,story,he took {term} for two years in the past",
     "line 98, context_type: found 'story'; allowed: dictation, handoff, chart_note, history"),
    ("drug,history,he took the pills for two years in the past",
     f"line 98, sentence: found 'he took the pills for two years in the past'; {GAP}"),
    ("drug,history,he took {term} and {term} for two years",
     f"line 98, sentence: found 'he took {{term}} and {{term}} for two years'; {GAP}"),
    ("drug,history,he said that {term}'s effect was good for him",
     f"line 98, sentence: found \"he said that {{term}}'s effect was good for him\"; {GAP}"),
    ("drug,history,he was once given a {term} in the past",
     "line 98, sentence: found 'a' before {term}; allowed: no 'a' or 'an' before the gap; "
     "it is wrong for a term that begins with the other kind of sound"),
    ("drug,history,he took {term} for years",
     "line 98, sentence: found 5 words; allowed: 8 to 30 words"),
    ("drug,history,he took {term}" + " for years and" * 10,
     "line 98, sentence: found 33 words; allowed: 8 to 30 words"),
    ("drug,history,he took {term} 2 times a day for years",
     "line 98, sentence: found 'he took term 2 times a day for years'; "
     f"allowed: {PLAIN}; write numbers and abbreviations as they are spoken"),
    ("drug,history,He took {term} two times a day for years.",
     "line 98, sentence: found 'He took term two times a day for years.'; "
     f"allowed: {PLAIN}; write numbers and abbreviations as they are spoken"),
    ("drug,history,the first sentence about {term} in dictation for drug cases",
     "line 98, sentence: found the duplicate 'the first sentence about {term} in dictation for drug cases'; "
     "allowed: each sentence once; first seen in line 2"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "message"), REFUSED_CARRIERS, ids=[row[:50] for row, _ in REFUSED_CARRIERS])
def test_a_refused_carrier_names_line_field_value_and_what_is_allowed(
    tmp_path: Path, row: str, message: str
) -> None:
    with pytest.raises(SentenceError) as refused:
        read_carriers(write_carriers(tmp_path, row))
    assert refused.value.problems == (message,)


def test_a_cell_with_fewer_than_four_carriers_is_named(tmp_path: Path) -> None:
    with pytest.raises(SentenceError) as refused:
        read_carriers(write_carriers(tmp_path, skip="third sentence about {term} in handoff for lab"))
    assert refused.value.problems == (
        "lab, handoff: found 3 carriers; allowed: 4 different carriers or more for each category and context",
    )


def test_a_carriers_file_with_the_wrong_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "carriers.csv"
    path.write_text("category,context,sentence\n", encoding="utf-8")
    with pytest.raises(SentenceError, match="allowed: 'entity_category,context_type,sentence'") as refused:
        read_carriers(path)
    assert len(refused.value.problems) == 1


def test_general_sentences_of_ones_own_are_read_in_file_order(tmp_path: Path) -> None:
    path = tmp_path / "general.csv"
    path.write_text("wording,sentence\neveryday,the dog doesn't like our new neighbor\n", encoding="utf-8")
    assert read_general_sentences(path) == (
        GeneralSentence("the dog doesn't like our new neighbor", "everyday"),
    )


def test_all_problems_of_a_general_file_come_in_one_report(tmp_path: Path) -> None:
    path = tmp_path / "general.csv"
    rows = [
        "wording,sentence",
        "everyday,the dog ran after the man",
        "casual,the cat sat on the mat today",
        "everyday,the dog ran",
        "everyday,the dog ran after the man",
        "clinical,give 2 pills every day to the man",
        "clinical," + "very " * 14 + "good",
    ]
    path.write_text("\n".join(rows), encoding="utf-8")
    with pytest.raises(SentenceError) as refused:
        read_general_sentences(path)
    assert refused.value.problems == (
        "line 3, wording: found 'casual'; allowed: clinical, everyday",
        "line 4, sentence: found 3 words; allowed: 6 to 14 words",
        "line 5, sentence: found the duplicate 'the dog ran after the man'; "
        "allowed: each sentence once; first seen in line 2",
        f"line 6, sentence: found 'give 2 pills every day to the man'; allowed: {PLAIN}; "
        "write numbers and abbreviations as they are spoken",
        "line 7, sentence: found 15 words; allowed: 6 to 14 words",
    )


def test_a_general_file_without_sentences_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "general.csv"
    path.write_text("wording,sentence\n", encoding="utf-8")
    with pytest.raises(SentenceError, match="found a header without sentences"):
        read_general_sentences(path)


# Sentences on disk


def test_sentences_survive_writing_and_reading(tmp_path: Path) -> None:
    sentences = (*compose_sentences(SEED, CARRIERS), Sentence("the dog ran after the man"))
    path = tmp_path / "sentences.jsonl"
    write_sentences(path, sentences)
    assert read_sentences(path) == sentences
    assert path.read_text(encoding="utf-8").splitlines()[-1] == '{"text": "the dog ran after the man"}'


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{}", "row 2, text: found None; allowed: a sentence"),
        ('{"text": 3}', "row 2, text: found another type than text; allowed: text"),
        ('{"text": "x", "voice": "y"}',
         "row 2: found the fields voice; allowed: text, context_type, term, entity_category"),
        ('{"text": "x", "term": "y"}',
         "row 2: found only term; allowed: all of context_type, term, entity_category, or none"),
        ('{"text": "x", "term": "y", "context_type": "letter", "entity_category": "drug"}',
         "row 2, context_type: found 'letter'; allowed: dictation, handoff, chart_note, history"),
    ],
)  # fmt: skip
def test_a_row_that_is_no_sentence_is_refused(tmp_path: Path, line: str, problem: str) -> None:
    path = tmp_path / "sentences.jsonl"
    path.write_text('{"text": "the dog ran after the man"}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(SentenceError) as refused:
        read_sentences(path)
    assert refused.value.problems == (problem,)
    assert isinstance(refused.value, FlywheelError)
