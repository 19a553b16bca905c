"""General English: the same for a seed, of the lengths asked for, never with an excluded word."""

import random
import re
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from flywheel.corpus.general_english import expand, frequent_words, general_english, read_grammar
from flywheel.corpus.terms import read_term_seed
from flywheel.errors import FlywheelError
from flywheel.files import bundled

TERM_WORDS = {word for term in read_term_seed(bundled.path("starter_seed.csv")) for word in term.text.split()}


def sentences(count: int, **options: object) -> list[str]:
    given = {"seed": 1, "without": (), **options}
    return list(islice(general_english(**given), count))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("without", "share"),
    [
        pytest.param(TERM_WORDS, 0.6, id="the starter seed's words"),
        pytest.param({"the", "patient", "and", "of"}, 0.6, id="words that every source likes"),
        pytest.param({"the", "a", "to", "pain"}, 1.0, id="grammar alone"),
        pytest.param({"the", "a", "to", "pain"}, 0.0, id="frequent words alone"),
    ],
)
def test_an_excluded_word_never_occurs(without: set[str], share: float) -> None:
    spoken = {word for text in sentences(1500, without=without, grammar_share=share) for word in text.split()}
    assert not spoken & without
    assert len(spoken) > 200


def test_excluded_words_would_occur_otherwise() -> None:
    spoken = {word for text in sentences(1500) for word in text.split()}
    assert {"the", "a", "to", "pain", "patient"} <= spoken


def test_a_seed_gives_one_stream_and_another_seed_another() -> None:
    assert sentences(300, seed=7) == sentences(300, seed=7)
    assert sentences(300, seed=7)[:50] == sentences(50, seed=7)
    assert not set(sentences(50, seed=7)) & set(sentences(50, seed=8))


@pytest.mark.parametrize(
    "words",
    [
        range(4, 17),
        range(6, 9),
        range(9, 10),
        range(12, 17),
    ],
    ids=str,
)
@pytest.mark.parametrize("share", [0.0, 0.6])
def test_lengths_are_those_asked_for(words: range, share: float) -> None:
    lengths = {len(text.split()) for text in sentences(400, words=words, grammar_share=share)}
    assert lengths <= set(words)
    assert lengths >= set(words[:4])


def test_sentences_are_lower_case_words_of_letters() -> None:
    for text in sentences(1500):
        assert re.fullmatch(r"[a-z]+(?:['-][a-z]+)*(?: [a-z]+(?:['-][a-z]+)*)*", text), text


def test_sentences_hardly_repeat() -> None:
    assert max(Counter(sentences(2000)).values()) <= 5
    assert len(set(sentences(2000))) > 1900


def test_frequent_words_come_in_order_without_those_excluded() -> None:
    words = frequent_words(2000, {"and"})
    assert words.index("the") < words.index("patient")
    assert "and" not in words
    assert len(set(words)) == len(words)
    assert 1000 < len(words) <= 2000
    assert all(word in ("a", "i") or re.fullmatch(r"[a-z]{2,14}", word) for word in words)


def test_every_rule_of_the_bundled_grammar_expands_to_words() -> None:
    grammar = read_grammar()
    generator = random.Random(3)
    for rule in grammar:
        assert not re.search(r"[{}|:]", expand(grammar, generator, rule)), rule


ALLOWED = "allowed are a to z, apostrophe, hyphen, space and {SLOTS}"
BRACES = "SENTENCE holds '{', SENTENCE holds '}'"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SENTENCE: {WHO} sleeps\n", "no rule for WHO"),
        ("SENTENCE: {WHO} {DID}\n# a comment\n", "no rule for DID, WHO"),
        ("WHO: she | he\n", "no rule for SENTENCE"),
        ("SENTENCE: {WHO} sleeps\nWHO: she |班\n", f"WHO holds '班'; {ALLOWED}"),
        (
            "SENTENCE: she slept 3 Hours | {who}\n",
            f"SENTENCE holds '3', SENTENCE holds 'H', {BRACES}; {ALLOWED}",
        ),
    ],
)
def test_a_wrong_grammar_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "grammar.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FlywheelError) as caught:
        read_grammar(path)
    assert str(caught.value) == f"{path}: {said}"


def test_a_grammar_may_go_over_lines(tmp_path: Path) -> None:
    path = tmp_path / "grammar.txt"
    path.write_text("# rules\nSENTENCE: {WHO} sleeps\n  | {WHO} wakes\n\nWHO: she | he\n")
    assert read_grammar(path) == {"SENTENCE": ("{WHO} sleeps", "{WHO} wakes"), "WHO": ("she", "he")}
