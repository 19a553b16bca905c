"""Error counts: agreement with jiwer, and where a term is in an alignment."""

import random

import jiwer
import pytest

from flywheel.scoring import (
    ErrorCounts,
    character_errors,
    substituted_with,
    sum_counts,
    term_found,
    word_errors,
)
from flywheel.scoring.errors import edits_between, term_stand


def random_pairs(count: int, seed: int) -> list[tuple[str, str]]:
    """Pairs from unrelated to equal, over few words so that alignments have ties, empty texts among them."""
    draw = random.Random(seed)
    vocabulary = ["the", "dose", "of", "cefazolin", "cefa", "zolin", "is", "mg", "a", "given"]
    pairs = []
    for number in range(count):
        reference = draw.choices(vocabulary, k=draw.randint(0, 12))
        hypothesis = list(reference)
        for _ in range(draw.randint(0, 6)):
            place = draw.randint(0, len(hypothesis))
            hypothesis[place : place + draw.randint(0, 2)] = draw.choices(vocabulary, k=draw.randint(0, 2))
        if number % 7 == 0:
            hypothesis = draw.choices(vocabulary, k=draw.randint(0, 12))
        pairs.append((" ".join(reference), " ".join(hypothesis)))
    return [*pairs, ("", ""), ("", "a dose"), ("a dose", "")]


PAIRS = random_pairs(2000, seed=1)


def test_the_random_pairs_hold_empty_strings_on_either_side() -> None:
    assert {(bool(r), bool(h)) for r, h in PAIRS} == {(a, b) for a in (True, False) for b in (True, False)}


def test_word_errors_agree_with_jiwer() -> None:
    for reference, hypothesis in PAIRS:
        counts, theirs = word_errors(reference, hypothesis), jiwer.process_words(reference, hypothesis)
        assert counts.rate == theirs.wer == jiwer.wer(reference, hypothesis)
        assert counts[:3] == (theirs.substitutions, theirs.deletions, theirs.insertions)
        assert counts.reference_length == len(reference.split())


def test_character_errors_agree_with_jiwer() -> None:
    for reference, hypothesis in PAIRS:
        counts, theirs = (
            character_errors(reference, hypothesis),
            jiwer.process_characters(reference, hypothesis),
        )
        assert counts.rate == theirs.cer == jiwer.cer(reference, hypothesis)
        assert counts[:3] == (theirs.substitutions, theirs.deletions, theirs.insertions)


def test_micro_average_agrees_with_jiwer_over_all_pairs() -> None:
    references, hypotheses = map(list, zip(*PAIRS, strict=True))
    assert sum_counts(word_errors(r, h) for r, h in PAIRS).rate == jiwer.wer(references, hypotheses)
    assert sum_counts(character_errors(r, h) for r, h in PAIRS).rate == jiwer.cer(references, hypotheses)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "counts", "rate"),
    [
        ("give cefazolin now", "give cefazolin now", (0, 0, 0, 3), 0.0),
        ("give cefazolin now", "give cefa zolin now", (1, 0, 1, 3), 2 / 3),
        ("give cefazolin now", "give now", (0, 1, 0, 3), 1 / 3),
        ("now", "give it right now please", (0, 0, 4, 1), 4.0),
        ("", "", (0, 0, 0, 0), 0.0),
        ("", "give it", (0, 0, 2, 0), 2.0),
        ("give it", "", (0, 2, 0, 2), 1.0),
    ],
)
def test_word_counts(reference: str, hypothesis: str, counts: tuple[int, ...], rate: float) -> None:
    found = word_errors(reference, hypothesis)
    assert found == ErrorCounts(*counts)
    assert found.rate == pytest.approx(rate)
    assert found.errors == sum(counts[:3])


@pytest.mark.parametrize(
    ("term", "hypothesis", "found"),
    [
        ("cefazolin", "give cefazolin now", True),
        ("cefazolin", "cefazolin", True),
        ("cefazolin", "give cefa zolin now", False),
        ("statin", "give atorvastatin now", False),
        ("popliteal fossa", "in the popliteal fossa", True),
        ("popliteal fossa", "in the fossa popliteal", False),
        ("popliteal fossa", "the popliteal deep fossa", False),
        ("cefazolin", "", False),
    ],
)
def test_term_found(term: str, hypothesis: str, found: bool) -> None:
    assert term_found(term, hypothesis) is found


def test_an_empty_term_is_refused() -> None:
    with pytest.raises(ValueError, match="empty term"):
        term_found("", "anything")


@pytest.mark.parametrize(
    ("term", "reference", "hypothesis", "heard"),
    [
        ("cefazolin", "give cefazolin now", "give cefazolin now", "cefazolin"),
        ("cefazolin", "give cefazolin now", "give cephalexin now", "cephalexin"),
        ("cefazolin", "give cefazolin now", "give cefa zolin now", "cefa zolin"),
        ("cefazolin", "cefazolin now", "sefa so lin now", "sefa so lin"),
        ("cefazolin", "give cefazolin", "give sefa so lin", "sefa so lin"),
        ("cefazolin", "give cefazolin now", "give now", ""),
        ("cefazolin", "give cefazolin now", "", ""),
        ("popliteal fossa", "the popliteal fossa hurts", "the poplar fossa hurts", "poplar fossa"),
        ("popliteal fossa", "the popliteal fossa hurts", "the fossa hurts", "fossa"),
        (
            "popliteal fossa",
            "the popliteal fossa hurts",
            "the popliteal uh fossa hurts",
            "popliteal uh fossa",
        ),
        # A word inserted beside a term that is right is not the term's.
        ("fossa", "the fossa hurts", "the left fossa hurts", "fossa"),
        # Errors elsewhere shift the hypothesis, not the answer.
        ("cefazolin", "please give the cefazolin now", "give the cephalexin right now", "cephalexin right"),
        ("cefazolin", "give the cefazolin now", "now give uh the cephalexin now", "cephalexin"),
        # The first occurrence counts.
        ("now", "now or now", "no or now", "no"),
        ("cefazolin", "give it now", "give cefazolin now", None),
    ],
)
def test_substituted_with(term: str, reference: str, hypothesis: str, heard: str | None) -> None:
    assert substituted_with(term, reference, hypothesis) == heard


def test_errors_of_a_term_and_of_the_rest_add_up() -> None:
    for reference, hypothesis in PAIRS:
        words, heard = reference.split(), hypothesis.split()
        edits = edits_between(words, heard)
        for term in ("cefazolin", "dose of"):
            stand = term_stand(term, words, heard, edits)
            assert (stand is None) == (not term_found(term, reference))
            if stand is None:
                continue
            of_all, of_term = word_errors(reference, hypothesis), stand.counts
            assert all(0 <= part <= whole for part, whole in zip(of_term, of_all, strict=True))
            expected = of_term.reference_length + of_term.insertions - of_term.deletions
            assert len(stand.heard.split()) == expected
            assert f" {stand.heard} ".replace("  ", " ") in f" {hypothesis} "
            assert (stand.heard == term) == (of_term.errors == 0)
