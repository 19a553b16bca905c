"""Our numbers beside those of implementations that share no code with ours: jiwer, kaldialign, scipy."""

import itertools
import math
import random

import jiwer
import numpy as np
import pytest
from kaldialign import bootstrap_wer_ci
from scipy.stats import binomtest

from flywheel.scoring import (
    CLINICAL,
    ErrorCounts,
    Estimate,
    Transcript,
    character_errors,
    cluster_bootstrap,
    holm,
    mcnemar_exact,
    paired_bootstrap,
    score_rows,
    sum_counts,
    summarise,
    wilson,
    word_errors,
)

WORDS = (
    "give",
    "the",
    "cefazolin",
    "before",
    "surgery",
    "at",
    "seven",
    "hold",
    "apixaban",
    "tonight",
    "and",
    "watch",
)


def heard(reference: str, draw: random.Random, error_rate: float) -> str:
    """The reference with words wrong, missing and added, each word by itself."""
    words = []
    for word in reference.split():
        kind = draw.choice(("wrong", "missing", "added")) if draw.random() < error_rate else "right"
        words += {"wrong": [word[::-1]], "missing": [], "added": [word, "um"], "right": [word]}[kind]
    return " ".join(words)


@pytest.fixture(scope="module")
def texts() -> tuple[list[str], list[str], list[str]]:
    """800 references, and what two systems heard: the second is a little better."""
    draw = random.Random(11)
    references = [" ".join(draw.choices(WORDS, k=draw.randint(4, 20))) for _ in range(800)]
    first = [heard(text, draw, 0.150) for text in references]
    return references, first, [heard(text, draw, 0.140) for text in references]


def counted(references: list[str], hypotheses: list[str]) -> list[ErrorCounts]:
    return [word_errors(one, other) for one, other in zip(references, hypotheses, strict=True)]


def test_wer_and_cer_of_whole_slices_agree_with_jiwer(texts: tuple[list[str], list[str], list[str]]) -> None:
    references, hypotheses, _ = texts
    rows = [
        Transcript(id=str(number), text=text, pred_text=other, subset="general", voice_id=f"v{number % 9}")
        for number, (text, other) in enumerate(zip(references, hypotheses, strict=True))
    ]
    scored = score_rows(rows, CLINICAL)
    found = summarise(scored, model="tiny", normalizer=CLINICAL).slices["general"]
    normalized = [row.reference for row in scored], [row.hypothesis for row in scored]
    assert found.wer.value == pytest.approx(jiwer.wer(*normalized), abs=1e-12)
    assert found.cer.value == pytest.approx(jiwer.cer(*normalized), abs=1e-12)
    theirs = jiwer.process_words(*normalized)
    ours = [found.wer.substitutions, found.wer.deletions, found.wer.insertions]
    assert ours == [theirs.substitutions, theirs.deletions, theirs.insertions]
    characters = sum_counts(map(character_errors, *normalized))
    theirs_by_character = jiwer.process_characters(*normalized)
    assert characters.errors == (
        theirs_by_character.substitutions + theirs_by_character.deletions + theirs_by_character.insertions
    )


def half_width(estimate: Estimate) -> float:
    assert estimate.low is not None and estimate.high is not None
    return (estimate.high - estimate.low) / 2


def test_an_unclustered_interval_agrees_with_kaldialign(
    texts: tuple[list[str], list[str], list[str]],
) -> None:
    references, hypotheses, _ = texts
    counts = counted(references, hypotheses)
    ours = cluster_bootstrap(
        [count.errors for count in counts],
        [count.reference_length for count in counts],
        range(len(counts)),
        resamples=10_000,
    )
    theirs = bootstrap_wer_ci(
        [text.split() for text in references], [text.split() for text in hypotheses], replications=10_000
    )
    # Theirs is the mean of the resamples and 1.96 of their standard deviations. With 10 000 each, our bounds have
    # a Monte-Carlo error of 0.027 standard deviations, so that our half width has one of 1.0 %; theirs 0.7 %.
    assert half_width(ours) == pytest.approx(theirs["ci95"], rel=0.03)
    assert ours.value == pytest.approx(theirs["wer"], abs=0.05 * theirs["ci95"])
    assert (ours.low, ours.high) == pytest.approx(
        (theirs["ci95min"], theirs["ci95max"]), abs=0.08 * theirs["ci95"]
    )


def test_the_probability_of_improvement_agrees_with_kaldialign(
    texts: tuple[list[str], list[str], list[str]],
) -> None:
    references, first, second = texts
    before, after = counted(references, first), counted(references, second)
    ours = paired_bootstrap(
        [count.errors for count in before],
        [count.errors for count in after],
        [count.reference_length for count in before],
        range(len(before)),
        resamples=10_000,
    )
    theirs = bootstrap_wer_ci(
        *([text.split() for text in side] for side in (references, first, second)), replications=10_000
    )
    assert ours.improvement is not None and 0.55 < ours.improvement < 0.95
    # Two shares of 10 000 resamples differ by 0.006 (one standard deviation) by chance, and by half of the ties,
    # which are one in two hundred: we count a tie as half an improvement.
    assert ours.improvement == pytest.approx(theirs["p_s2_improv_over_s1"], abs=0.02)
    assert ours.after.value == pytest.approx(theirs["system2"]["wer"], abs=0.05 * theirs["system2"]["ci95"])


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_wilson_agrees_with_scipy(confidence: float) -> None:
    for n in (1, 2, 7, 48, 1000):
        for successes in {0, 1, n // 3, n - 1, n}:
            estimate = wilson(successes, n, confidence)
            theirs = binomtest(successes, n).proportion_ci(confidence, method="wilson")
            assert (estimate.low, estimate.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_mcnemar_agrees_with_scipy() -> None:
    for mended, broken in itertools.product((0, 1, 2, 5, 12, 40, 300), repeat=2):
        changed = mended + broken
        theirs = binomtest(mended, changed, 0.5).pvalue if changed else 1.0
        assert mcnemar_exact(mended, broken) == pytest.approx(theirs, abs=1e-9)


def test_holm_is_the_closed_test_of_bonferronis() -> None:
    """A hypothesis is rejected where each set of hypotheses that it belongs to is, each by Bonferroni's rule."""
    draw = np.random.default_rng(5)
    for count in (1, 2, 6, 9):
        for p_values in (draw.random(count), draw.random(count) ** 4, np.full(count, 0.03), np.ones(count)):
            closed = np.zeros(count)
            for chosen in itertools.product((False, True), repeat=count):
                members = np.array(chosen)
                if members.any():
                    bonferroni = min(1.0, members.sum() * p_values[members].min())
                    closed[members] = np.maximum(closed[members], bonferroni)
            assert holm(p_values.tolist()) == pytest.approx(closed, abs=1e-9)


def test_closed_forms() -> None:
    # Wilson at 0 of n reaches up to z**2 / (n + z**2).
    z = 1.959963984540054
    assert wilson(0, 20).high == pytest.approx(z**2 / (20 + z**2), abs=1e-9)
    # Each row its own cluster: the standard error of a share p of n is sqrt(p * (1 - p) / n).
    estimate = cluster_bootstrap([1, 0] * 500, [1] * 1000, range(1000), resamples=20_000)
    assert half_width(estimate) == pytest.approx(z * math.sqrt(0.25 / 1000), rel=0.03)
