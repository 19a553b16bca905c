"""Before and after on the same rows."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from scipy import stats

from flywheel.errors import FlywheelError
from flywheel.files.records import plain, record_in
from flywheel.scoring import (
    CLINICAL,
    PUBLISHED,
    Comparison,
    RateChange,
    RowScore,
    ScoringError,
    Transcript,
    compare,
    holm,
    score_rows,
    wilson,
)
from flywheel.scoring.slices import HUMAN

TERMS = [
    f"{first}{second}" for first in ("cefa", "metro", "apixa", "vanco") for second in ("zolin", "lol", "ban")
]


def transcript(number: int, found: bool, **changes: Any) -> Transcript:
    term = TERMS[number % len(TERMS)]
    row = Transcript(
        id=f"r{number}",
        text=f"please give {term} now",
        pred_text=f"please give {term if found else 'something'} now",
        ipa_source="espeak_g2p",
        voice_id="espeak:en-us+m3",
        noise_level="clean",
        synthesis_group=f"g{number}",
        subset="validation",
        term=term,
        entity_category="drug" if number % 2 else "lab",
        context_type="dictation",
    )
    return replace(row, **changes)


def general(number: int, pred_text: str) -> Transcript:
    text = f"bring the blanket to room {number}"
    row = transcript(number, True, term=None, entity_category=None, context_type=None, subset="general")
    return replace(row, id=f"general{number}", text=text, pred_text=pred_text.format(number))


def scored(outcomes: Sequence[bool], **changes: Any) -> list[RowScore]:
    return score_rows([transcript(n, found, **changes) for n, found in enumerate(outcomes)], CLINICAL)


# 48 rows: 36 missed before; of these 30 are mended, of the 12 that were found 2 break.
BEFORE = [n % 4 == 0 for n in range(48)]
AFTER = [n not in (0, 16, 1, 5, 9, 13, 17, 21) for n in range(48)]


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    baseline = [
        *scored(BEFORE),
        *score_rows([general(n, "bring the blanket to room {}") for n in range(9)], CLINICAL),
    ]
    after = [
        *scored(AFTER),
        *score_rows([general(n, "bring a blanket to room {}") for n in range(9)], CLINICAL),
    ]
    return compare(baseline, list(reversed(after)), priority_categories=["drug"])


def test_keyword_change(comparison: Comparison) -> None:
    change = comparison.slices["held_out"].ker
    assert change is not None
    assert (change.before, change.after) == (wilson(36, 48), wilson(8, 48))
    assert (change.mended, change.broken) == (30, 2)
    assert change.p == pytest.approx(stats.binomtest(2, 32).pvalue)
    assert change.absolute_drop.value == pytest.approx(28 / 48)
    assert change.relative_drop is not None and change.relative_drop.value == pytest.approx(28 / 36)
    for drop in (change.absolute_drop, change.relative_drop):
        assert drop.low is not None and drop.high is not None
        assert 0 < drop.low < drop.value < drop.high <= 1
        assert drop.n == 48


def test_priority_categories_only(comparison: Comparison) -> None:
    change = comparison.priority_ker
    assert change is not None and change == comparison.slices["held_out"].priority_ker
    # Odd rows are drugs: none was found before, and six are missed after.
    assert (change.before, change.after) == (wilson(24, 24), wilson(6, 24))
    assert (change.mended, change.broken) == (18, 0)
    assert change.p == pytest.approx(2 * 0.5**18)


def test_rates(comparison: Comparison) -> None:
    held_out = comparison.slices["held_out"]
    assert held_out.rows == 48
    assert held_out.wer.before.value == pytest.approx(36 / (48 * 4))
    assert held_out.wer.difference.value == pytest.approx(-28 / (48 * 4))
    assert held_out.ser.difference.value == pytest.approx(-28 / 48)
    assert held_out.ser.before == wilson(36, 48)
    for change in (held_out.wer, held_out.cer, held_out.ser):
        assert change.difference.high is not None and change.difference.high < 0
        assert change.difference.value == pytest.approx(change.after.value - change.before.value)


def test_forgetting_shows_in_general_speech(comparison: Comparison) -> None:
    change = comparison.general_wer
    assert change is not None
    assert (change.before.value, change.after.value) == (0, pytest.approx(1 / 6))
    # Every sentence lost the same word: there is nothing to be unsure of.
    assert (change.difference.low, change.difference.high) == (pytest.approx(1 / 6), pytest.approx(1 / 6))
    assert (comparison.slices["general"].ker, comparison.slices["general"].priority_ker) == (None, None)


def test_slices_without_rows_are_absent(comparison: Comparison) -> None:
    assert list(comparison.slices) == ["held_out", "all", "general"]
    without_general = compare(scored(BEFORE), scored(AFTER), priority_categories=["role"])
    assert without_general.general_wer is None
    assert without_general.priority_ker is None
    unsplit = compare(scored(BEFORE, subset=None), scored(AFTER, subset=None), priority_categories=["drug"])
    assert unsplit.priority_ker is None and list(unsplit.slices) == ["all"]


def test_nothing_changed() -> None:
    change = compare(scored(BEFORE), scored(BEFORE), priority_categories=["drug"]).slices["held_out"].ker
    assert change is not None and change.relative_drop is not None
    assert (change.mended, change.broken, change.p) == (0, 0, 1.0)
    assert (change.absolute_drop.value, change.absolute_drop.low, change.absolute_drop.high) == (0, 0, 0)
    assert change.relative_drop.value == 0


def test_of_no_miss_there_is_no_relative_drop() -> None:
    everything = [True] * 48
    change = compare(scored(everything), scored(AFTER), priority_categories=["drug"]).slices["held_out"].ker
    assert change is not None
    assert change.relative_drop is None
    assert change.absolute_drop.value == pytest.approx(-8 / 48)


def test_one_term_gives_no_bounds() -> None:
    same_term = {"term": "cefazolin", "text": "please give cefazolin now"}
    pair = (
        scored([False] * 8, **same_term),
        scored([True] * 4, **same_term) + scored([False] * 8, **same_term)[4:],
    )
    change = compare(*pair, priority_categories=["drug"]).slices["held_out"].ker
    assert change is not None
    assert (change.absolute_drop.low, change.absolute_drop.high) == (None, None)


def test_improvement_is_the_share_of_resamples_that_fell(comparison: Comparison) -> None:
    held_out = comparison.slices["held_out"]
    assert held_out.ker is not None
    changes = (held_out.wer, held_out.cer, held_out.ser, held_out.ker)
    assert [change.improvement for change in changes] == [1, 1, 1, 1]
    # General speech got worse in every sentence.
    assert comparison.slices["general"].wer.improvement == 0


@pytest.mark.parametrize(
    ("mends", "breaks", "least", "most"), [(9, 3, 0.9, 1), (5, 5, 0.3, 0.7), (3, 9, 0, 0.1)]
)
def test_improvement_is_less_sure_the_more_terms_got_worse(
    mends: int, breaks: int, least: float, most: float
) -> None:
    # Of the twelve terms some get better in all their rows, and others worse.
    before = scored([n % 12 >= mends for n in range(48)])
    after = scored([n % 12 < 12 - breaks for n in range(48)])
    change = compare(before, after, priority_categories=["drug"]).slices["held_out"].ker
    assert change is not None and change.improvement is not None
    assert least <= change.improvement <= most


def test_without_a_change_improvement_is_a_tie() -> None:
    change = compare(scored(BEFORE), scored(BEFORE), priority_categories=["drug"]).slices["held_out"]
    assert change.wer.improvement == 0.5
    assert change.ker is not None and change.ker.improvement == 0.5


def by_voices(outcomes: Sequence[bool], voices: int) -> list[RowScore]:
    rows = [transcript(n, found, voice_id=f"espeak:v{n // 12 % voices}") for n, found in enumerate(outcomes)]
    return score_rows(rows, CLINICAL)


def test_the_same_difference_by_voice() -> None:
    # All terms alike, but two of eight voices are not understood any better: the voices are less sure than the terms.
    before, after = [False] * 96, [n // 12 >= 2 for n in range(96)]
    held_out = compare(by_voices(before, 8), by_voices(after, 8), priority_categories=["drug"]).slices[
        "held_out"
    ]
    assert held_out.ker is not None
    for change, drop in ((held_out.wer, -1), (held_out.ser, -1), (held_out.ker, 1)):
        clustered = change.difference if isinstance(change, RateChange) else change.absolute_drop
        by_voice = change.by_voice
        assert by_voice is not None and by_voice.value == clustered.value and by_voice.value * drop > 0
        assert by_voice.low is not None and by_voice.high is not None
        assert clustered.low is not None and clustered.high is not None
        assert by_voice.low < clustered.low <= clustered.high < by_voice.high


def test_few_voices_give_no_difference_by_voice() -> None:
    held_out = compare(by_voices(BEFORE, 5), by_voices(AFTER, 5), priority_categories=["drug"]).slices[
        "held_out"
    ]
    assert held_out.ker is not None
    assert (held_out.wer.by_voice, held_out.ser.by_voice, held_out.ker.by_voice) == (None, None, None)
    assert held_out.wer.difference.low is not None


def test_human_speech_is_clustered_by_its_speakers() -> None:
    def by_speakers(outcomes: Sequence[bool]) -> list[RowScore]:
        rows = [
            transcript(
                n, found, subset=HUMAN, voice_id=f"p{n % 8}", text=f"now {n} please give {TERMS[n % 12]} now"
            )
            for n, found in enumerate(outcomes)
        ]
        return score_rows(rows, CLINICAL)

    human = compare(by_speakers(BEFORE), by_speakers(AFTER), priority_categories=["drug"]).slices[HUMAN]
    assert human.ker is not None and human.ker.by_voice == human.ker.absolute_drop
    assert human.wer.by_voice == human.wer.difference and human.wer.difference.low is not None


def test_the_ker_of_each_category_with_p_corrected_over_them(comparison: Comparison) -> None:
    held_out = comparison.slices["held_out"]
    assert list(held_out.by_category) == ["drug", "lab"]
    drug, lab = held_out.by_category.values()
    # Six terms each: just enough for an interval.
    assert drug == replace(held_out.priority_ker, p_holm=drug.p_holm)
    assert (lab.before, lab.mended, lab.broken) == (wilson(12, 24), 12, 2)
    assert (drug.p_holm, lab.p_holm) == holm([drug.p, lab.p])
    assert drug.p_holm == 2 * drug.p and lab.p_holm == lab.p
    assert held_out.ker is not None and held_out.ker.p_holm is None
    assert comparison.slices["general"].by_category == {}


def read(values: Any) -> Comparison:
    return record_in(json.dumps(values, allow_nan=False), Comparison, "comparison", "compare again")


def test_a_comparison_of_an_earlier_version_is_read_with_what_it_lacks_absent(comparison: Comparison) -> None:
    def without_later_fields(values: Any) -> Any:
        later = ("by_voice", "improvement", "p_holm", "by_category")
        if isinstance(values, dict):
            return {name: without_later_fields(value) for name, value in values.items() if name not in later}
        return values

    earlier = read(without_later_fields(plain(comparison)))
    held_out = earlier.slices["held_out"]
    assert held_out.by_category == {} and held_out.ker is not None
    assert (held_out.wer.by_voice, held_out.wer.improvement) == (None, None)
    assert (held_out.ker.by_voice, held_out.ker.improvement, held_out.ker.p_holm) == (None, None, None)
    assert held_out.ker.p == comparison.slices["held_out"].ker.p  # type: ignore[union-attr]
    assert earlier.general_wer is not None and earlier.general_wer.after == comparison.general_wer.after  # type: ignore[union-attr]


def test_the_same_seed_gives_the_same_bounds() -> None:
    pair = (scored(BEFORE), scored(AFTER))
    first = compare(*pair, priority_categories=["drug"], seed=1)
    assert first == compare(*pair, priority_categories=["drug"], seed=1)
    assert first != compare(*pair, priority_categories=["drug"], seed=2)


def test_the_order_of_the_rows_changes_nothing() -> None:
    baseline, after = scored(BEFORE), scored(AFTER)
    first = compare(baseline, after, priority_categories=["drug"])
    assert first == compare(baseline[::-1], after, priority_categories=["drug"])


def test_survives_json(comparison: Comparison) -> None:
    assert read(plain(comparison)) == comparison


@pytest.mark.parametrize(
    "broken", [{}, {"normalizer": "x", "priority_categories": [], "slices": {"all": {}}}]
)
def test_a_broken_file_says_so(broken: dict[str, Any]) -> None:
    with pytest.raises(FlywheelError, match=r"comparison: .*missing.*compare again"):
        read(broken)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            scored(BEFORE),
            scored(AFTER)[:-1],
            "1 ids are only in the baseline: 'r47'; transcribe the same rows",
        ),
        (scored(BEFORE)[2:], scored(AFTER), "2 ids are only in the later eval: 'r0', 'r1'"),
        (
            scored(BEFORE),
            scored(AFTER, subset="train"),
            "48 ids differ in reference, term or subset: 'r0'.*43 more",
        ),
        (scored(BEFORE), scored(AFTER, text="please give it now"), "48 ids differ in reference"),
        (scored(BEFORE) * 2, scored(AFTER), "an id occurs more than once"),
        ([], scored(AFTER), "one side has no rows"),
        ([], [], "one side has no rows"),
        (
            scored(BEFORE),
            score_rows([transcript(n, True) for n in range(48)], PUBLISHED),
            f"scored with {CLINICAL.label} and {PUBLISHED.label}",
        ),
    ],
)
def test_what_cannot_be_paired_is_named(before: list[RowScore], after: list[RowScore], message: str) -> None:
    with pytest.raises(ScoringError, match=message):
        compare(before, after, priority_categories=["drug"])
