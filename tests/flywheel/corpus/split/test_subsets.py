"""The split: nothing leaks, every rule of the methodology holds, and a grown manifest moves nothing."""

import json
import random
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flywheel.corpus.manifest import MEASURED_ONLY, ManifestRow
from flywheel.corpus.split.earlier_decisions import NOTHING_ASSIGNED, Assignments
from flywheel.corpus.split.leaks import sentence_key
from flywheel.corpus.split.subsets import (
    SUBSETS,
    TRAINING_SUBSETS,
    Split,
    SplitError,
    SplitSettings,
    check_leaks,
    split_rows,
    subset_counts,
)
from flywheel.corpus.terms import ENTITY_CATEGORIES
from flywheel.errors import FlywheelError
from flywheel.files.records import plain, record_in, record_text
from flywheel.scoring.slices import HUMAN, UNSEEN_ENGINE

VOICES = ("espeak:en-us+m1", "espeak:en-us+f2", "espeak:en-gb+m3", "espeak:en-gb+f4")
UNSEEN = VOICES[3]
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
SETTINGS = SplitSettings(unseen_voices=(UNSEEN,))

# A busy machine is no reason to fail.
thorough = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def utterance(
    text: str, voice: str, noise: str = "clean", term: str | None = None, category: str | None = None
) -> ManifestRow:
    group = f"{text}|{voice}"
    row_id = f"{text}-{voice}-{noise}".replace(" ", "_").replace(".", "")
    return ManifestRow(
        id=row_id,
        audio_filepath=f"/speech/{row_id}.wav",
        text=text,
        duration=2.5,
        sampling_rate=16000,
        term=term,
        entity_category=category,
        ipa_source="espeak_g2p",
        voice_id=voice,
        noise_level=noise,
        context_type="dictation" if term else None,
        synthesis_group=group,
    )


def clinical(
    category: str,
    terms: Iterable[str],
    contexts: int = 3,
    voices: Sequence[str] = VOICES,
    noises: Sequence[str] = ("clean", "snr_15db"),
) -> list[ManifestRow]:
    return [
        utterance(f"Context {NUMBERS[context]} needs {term} now.", voice, noise, term, category)
        for term in terms
        for context in range(contexts)
        for voice in voices
        for noise in noises
    ]


def general(
    sentences: Iterable[int], voices: Sequence[str] = VOICES[:3], noises: Sequence[str] = ("clean",)
) -> list[ManifestRow]:
    return [
        utterance(f"The ferry number {number} leaves at noon.", voice, noise)
        for number in sentences
        for voice in voices
        for noise in noises
    ]


def terms_of(category: str, count: int, start: int = 0) -> list[str]:
    return [f"{category}term{chr(ord('a') + number)}" for number in range(start, start + count)]


def starter() -> list[ManifestRow]:
    rows = general(range(20))
    for category, count in zip(ENTITY_CATEGORIES, (12, 4, 4, 4, 4, 4), strict=True):
        rows += clinical(category, terms_of(category, count))
    return rows


def subsets_by_id(split: Split) -> dict[str, str | None]:
    return {row.id: row.subset for row in split.rows}


def terms_in(split: Split, *subsets: str) -> set[str]:
    return {row.term for row in split.rows if row.subset in subsets and row.term is not None}


def groups_of(split: Split, category: str) -> set[tuple[str, str]]:
    """Sentence and voice of each synthesis of a category that the fractions are of."""
    learnable = ("train", "development", "validation")
    return {
        (row.text, row.voice_id)
        for row in split.rows
        if row.entity_category == category and row.subset in learnable
    }


def assert_no_leaks(split: Split, earlier: Assignments | None = None) -> None:
    checks = check_leaks(split.rows, unseen_voices=(UNSEEN,), earlier=earlier)
    assert [check for check in checks if not check.passed or check.inherited] == []


@st.composite
def corpora(draw: st.DrawFn) -> list[ManifestRow]:
    """Manifests of every shape: lopsided categories, few terms, few groups, one voice, no general rows."""
    rows = general(range(draw(st.integers(0, 6))), VOICES[: draw(st.integers(1, 3))])
    for category in draw(st.lists(st.sampled_from(ENTITY_CATEGORIES), min_size=1, max_size=2, unique=True)):
        for term in terms_of(category, draw(st.integers(1, 6))):
            voices = VOICES[: draw(st.integers(1, 4))]
            noises = ("clean", "snr_15db")[: draw(st.integers(1, 2))]
            rows += clinical(category, [term], draw(st.integers(1, 4)), voices, noises)
    return [*rows, utterance("The control is here.", VOICES[0]), utterance("The control is here.", UNSEEN)]


class TestEveryCorpus:
    """Properties that hold whatever the manifest is like."""

    @given(corpora(), st.integers(0, 3))
    @thorough
    def test_nothing_leaks_and_every_row_has_a_subset(self, rows: list[ManifestRow], seed: int) -> None:
        split = split_rows(rows, replace(SETTINGS, seed=seed))
        assert [row.model_copy(update={"subset": None}) for row in split.rows] == rows
        assert {row.subset for row in split.rows} <= set(SUBSETS)
        assert_no_leaks(split)

    @given(corpora(), st.randoms(use_true_random=False))
    @thorough
    def test_the_order_of_the_rows_does_not_count(
        self, rows: list[ManifestRow], order: random.Random
    ) -> None:
        split = split_rows(rows, SETTINGS)
        shuffled = list(rows)
        order.shuffle(shuffled)
        again = split_rows(shuffled, SETTINGS)
        assert subsets_by_id(again) == subsets_by_id(split)
        assert (again.warnings, again.assignments) == (split.warnings, split.assignments)
        assert [row.id for row in again.rows] == [row.id for row in shuffled]

    @given(corpora(), st.sampled_from([0.1, 0.2, 0.3]))
    @thorough
    def test_the_fractions_hold_in_every_category(self, rows: list[ManifestRow], fraction: float) -> None:
        split = split_rows(rows, replace(SETTINGS, validation_fraction=fraction))
        groups = subset_counts(split.rows, "groups")
        for category in ENTITY_CATEGORIES:
            train, development, validation = (
                groups[name][category] for name in ("train", "development", "validation")
            )
            seen = train + development + validation
            sizes = Counter(text for text, _ in groups_of(split, category))
            # A whole sentence more or less, whichever is nearer; of two, one that can be spared is held out.
            nearest = max(sizes.values(), default=0) / 2 + 0.5
            if len(sizes) >= 2:
                assert validation >= 1
                assert abs(validation - fraction * seen) <= nearest or validation in sizes.values()
            else:
                assert validation == 0
            if seen >= 1:
                assert train >= 1
                assert development <= 0.1 * (train + development) + nearest

    @given(corpora())
    @thorough
    def test_a_seen_term_with_two_sentences_keeps_one_in_train(self, rows: list[ManifestRow]) -> None:
        split = split_rows(rows, SETTINGS)
        texts: dict[str, set[str]] = defaultdict(set)
        for row in split.rows:
            if row.term is not None and row.subset in ("train", "development", "validation"):
                texts[row.term].add(row.text)
        assert {term for term, said in texts.items() if len(said) >= 2} <= terms_in(split, "train")

    @given(corpora())
    @thorough
    def test_a_sentence_stands_on_one_side_in_all_its_seen_voices(self, rows: list[ManifestRow]) -> None:
        sides: dict[str, set[str | None]] = defaultdict(set)
        for row in split_rows(rows, SETTINGS).rows:
            if row.subset in ("train", "development", "validation"):
                sides[sentence_key(row.text)].add(row.subset)
        assert {text: on for text, on in sides.items() if len(on) > 1} == {}

    @given(corpora())
    @thorough
    def test_terms_are_held_out_where_there_are_three(self, rows: list[ManifestRow]) -> None:
        split = split_rows(rows, SETTINGS)
        unseen = terms_in(split, "unseen_term")
        for category in ENTITY_CATEGORIES:
            terms = {row.term for row in rows if row.entity_category == category}
            held = len(terms & unseen)
            assert held == (max(1, int(0.15 * len(terms) + 0.5)) if len(terms) >= 3 else 0)
            few = f"unseen terms: none of {category}, "
            assert any(warning.startswith(few) for warning in split.warnings) == (len(terms) in (1, 2))

    @given(corpora(), corpora())
    @thorough
    def test_growing_moves_nothing_and_leaks_nothing(
        self, first: list[ManifestRow], more: list[ManifestRow]
    ) -> None:
        known = {row.id for row in first}
        grown = first + [row for row in more if row.id not in known]
        before = split_rows(first, SETTINGS)
        after = split_rows(grown, SETTINGS, earlier=before.assignments)
        assert subsets_by_id(before).items() <= subsets_by_id(after).items()
        assert_no_leaks(after, before.assignments)
        assert split_rows(grown, SETTINGS, earlier=after.assignments).rows == after.rows


class TestStarterCorpus:
    """The rules on a corpus of the shape that is shipped."""

    split = split_rows(starter(), SETTINGS)

    def test_there_is_nothing_to_warn_of(self) -> None:
        assert self.split.warnings == ()

    def test_every_subset_has_the_rows_it_should(self) -> None:
        rows = self.split.counts
        assert {name: table["total"] for name, table in rows.items()} == {
            "train": 312,
            "development": 42,
            "validation": 96,
            "unseen_term": 168,
            "unseen_voice": 150,
            "general": 36,
            "replay": 24,
        }
        terms = subset_counts(self.split.rows, "terms")
        assert [terms["unseen_term"][category] for category in ENTITY_CATEGORIES] == [2, 1, 1, 1, 1, 1]
        assert [terms["train"][category] for category in ENTITY_CATEGORIES] == [10, 3, 3, 3, 3, 3]
        assert rows["unseen_voice"]["drug"] == 10 * 3 * 2
        assert rows["train"]["general"] == rows["replay"]["drug"] == 0

    def test_terms_take_turns_so_that_many_are_measured_and_none_has_little_to_learn_from(self) -> None:
        held_out = {(row.term, row.text) for row in self.split.subset("validation")}
        apart = held_out | {(row.term, row.text) for row in self.split.subset("development")}
        for category, seen in (("drug", 10), ("procedure", 3)):
            drawn = Counter(term for term, _ in held_out if term is not None and term.startswith(category))
            assert len(drawn) == min(seen, drawn.total())
            given = Counter(term for term, _ in apart if term is not None and term.startswith(category))
            assert max(given.values()) - (min(given.values()) if len(given) == seen else 0) <= 1

    def test_unseen_terms_are_unseen_in_all_voices(self) -> None:
        spoken_by = {row.voice_id for row in self.split.subset("unseen_term")}
        assert spoken_by == set(VOICES)
        assert not terms_in(self.split, "unseen_term") & terms_in(
            self.split, "train", "unseen_voice", "validation"
        )

    def test_general_sentences_stand_on_one_side_in_all_their_rows(self) -> None:
        sides: dict[str, set[str | None]] = defaultdict(set)
        for row in self.split.rows:
            if row.term is None:
                sides[row.text].add(row.subset)
        assert Counter(next(iter(side)) for side in sides.values() if len(side) == 1) == {
            "replay": 8,
            "general": 12,
        }

    def test_another_seed_is_another_split_of_the_same_size(self) -> None:
        other = split_rows(starter(), replace(SETTINGS, seed=43))
        assert other.counts["unseen_term"] == self.split.counts["unseen_term"]
        assert subsets_by_id(other) != subsets_by_id(self.split)
        assert terms_in(other, "unseen_term") != terms_in(self.split, "unseen_term")

    def test_the_split_is_the_same_in_another_process_with_another_hash_seed(self) -> None:
        program = (
            "import json, sys\n"
            "from flywheel.corpus.manifest import ManifestRow\n"
            "from flywheel.files.records import record_text\n"
            "from flywheel.corpus.split.subsets import SplitSettings, split_rows\n"
            "rows = [ManifestRow.model_validate(row) for row in json.load(sys.stdin)]\n"
            f"split = split_rows(rows, SplitSettings(unseen_voices=({UNSEEN!r},)))\n"
            "print(record_text(split.assignments))"
        )
        given_rows = json.dumps([row.model_dump() for row in reversed(starter())])
        for hash_seed in ("1", "77"):
            done = subprocess.run(
                [sys.executable, "-c", program],
                input=given_rows,
                env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(sys.path)},
                capture_output=True,
                text=True,
                check=True,
            )
            assert done.stdout.rstrip() == record_text(self.split.assignments)

    def test_the_split_never_changes_unnoticed(self) -> None:
        """Another ranking would train on what promoted models were measured with, unless it is pinned."""
        groups = json.dumps(plain(self.split.assignments.groups))
        assert sorted(terms_in(self.split, "unseen_term")) == [
            "anatomytermc",
            "conditiontermd",
            "drugtermb",
            "drugterml",
            "labtermd",
            "proceduretermd",
            "roletermb",
        ]
        assert sha256(groups.encode()).hexdigest()[:16] == "39ba0e159b1d0063"


class TestSmallCorpora:
    @pytest.mark.parametrize(
        ("groups", "expected"),
        [
            (1, {"train": 1}),
            (2, {"train": 1, "validation": 1}),
            (3, {"train": 2, "validation": 1}),
            (5, {"train": 4, "validation": 1}),
            (7, {"train": 5, "validation": 1, "development": 1}),
            (10, {"train": 7, "validation": 2, "development": 1}),
        ],
    )
    def test_a_category_is_divided_by_sentences(self, groups: int, expected: dict[str, int]) -> None:
        rows = clinical("lab", ["troponin"], contexts=groups, voices=VOICES[:1])
        split = split_rows(rows, SplitSettings())
        counts = subset_counts(split.rows, "groups")
        assert {name: table["lab"] for name, table in counts.items() if table["lab"]} == expected
        alone = "validation: nothing of lab, its only sentence goes to train"
        assert (alone in split.warnings) == (groups == 1)

    def test_one_sentence_in_several_voices_is_not_held_out_against_itself(self) -> None:
        split = split_rows(clinical("lab", ["troponin"], contexts=1, voices=VOICES[:3]), SplitSettings())
        assert {row.subset for row in split.rows} == {"train"}
        assert "validation: nothing of lab, its only sentence goes to train" in split.warnings

    @pytest.mark.parametrize("order", [1, -1])
    def test_a_sentence_about_two_terms_stands_on_one_side(self, order: int) -> None:
        text = "Give aspirin for the troponin now."
        both = [
            utterance(text, VOICES[0], "clean", "aspirin", "drug"),
            utterance(text, VOICES[1], "clean", "troponin", "lab"),
            utterance(text, VOICES[2]),
        ]
        rows = both + clinical("drug", ["aspirin"], 4) + clinical("lab", ["troponin"], 4) + general(range(5))
        for seed in range(12):
            split = split_rows(rows[::order], replace(SETTINGS, unseen_term_fraction=0, seed=seed))
            clinical_sides = {subsets_by_id(split)[row.id] for row in both[:2]}
            assert len(clinical_sides) == 1
            trained = clinical_sides <= set(TRAINING_SUBSETS)
            assert subsets_by_id(split)[both[2].id] == ("replay" if trained else "general")
            assert_no_leaks(split)

    def test_terms_with_one_group_each_give_some_up_and_it_is_said(self) -> None:
        rows = clinical("role", ["intensivist", "perfusionist"], contexts=1, voices=VOICES[:1])
        split = split_rows(rows, SplitSettings())
        assert subset_counts(split.rows, "terms")["train"]["role"] == 1
        (validated,) = terms_in(split, "validation")
        assert f"train: no row about {validated}, though not held out as unseen" in split.warnings

    def test_what_is_missing_is_said(self) -> None:
        split = split_rows(clinical("drug", ["a", "b"], voices=VOICES[:1]), SplitSettings())
        assert split.warnings == (
            "unseen voices: none, so nothing is measured on a new voice",
            "unseen terms: none of drug, it has 2 terms of 3 needed",
            "general: no control sentences, so forgetting cannot be measured",
        )

    def test_general_speech_alone_has_nothing_to_learn(self) -> None:
        split = split_rows(general(range(5)), SplitSettings())
        assert split.counts["replay"]["total"] == 6
        assert "train: no rows about a term, so no term can be learned" in split.warnings

    @pytest.mark.parametrize(
        ("sentences", "fraction", "replayed"),
        [(1, 0.6, 0), (2, 0.6, 1), (2, 0.01, 1), (2, 0.99, 1), (5, 0.6, 3), (5, 0.0, 0), (5, 1.0, 5)],
    )
    def test_the_control_gets_its_sentences_first(
        self, sentences: int, fraction: float, replayed: int
    ) -> None:
        split = split_rows(general(range(sentences), VOICES[:1]), SplitSettings(replay_fraction=fraction))
        assert split.counts["replay"]["total"] == replayed
        assert split.counts["general"]["total"] == sentences - replayed

    def test_a_fraction_of_zero_switches_off(self) -> None:
        split = split_rows(starter(), replace(SETTINGS, unseen_term_fraction=0, development_fraction=0))
        assert split.counts["unseen_term"]["total"] == split.counts["development"]["total"] == 0


class TestWordsThatTravel:
    """A term may be said by rows that are not about it."""

    def test_a_term_that_other_rows_say_is_not_held_out(self) -> None:
        rows = clinical("drug", ["metformin", "metformin hydrochloride", "aspirin"], voices=VOICES[:1])
        rows += [utterance("She bought Aspirin-free tea.", VOICES[0])]
        for seed in range(10):
            split = split_rows(rows, SplitSettings(seed=seed))
            assert terms_in(split, "unseen_term") == {"metformin hydrochloride"}
            assert_no_leaks(split)

    def test_a_category_in_which_all_are_said_elsewhere_holds_out_none_and_says_so(self) -> None:
        rows = clinical("role", ["nurse", "charge nurse", "night charge nurse"], voices=VOICES[:1])
        rows += [utterance("The night charge nurse sings.", VOICES[0])]
        split = split_rows(rows, SplitSettings())
        assert terms_in(split, "unseen_term") == set()
        assert any(warning.startswith("unseen terms: 0 of role instead of 1, ") for warning in split.warnings)

    def test_new_rows_that_say_an_unseen_term_are_not_trained_on(self) -> None:
        first = split_rows(clinical("drug", ["aspirin", "heparin", "warfarin"]), SETTINGS)
        (unseen,) = terms_in(first, "unseen_term")
        seen = min(terms_in(first, "train"))
        unstamped = [row.model_copy(update={"subset": None}) for row in first.rows]
        around = clinical("drug", [f"{unseen} sodium"])
        text = f"Never give {seen} with {unseen}."
        beside = [utterance(text, voice, "clean", seen, "drug") for voice in VOICES]
        idle = [utterance(f"He misspelled {unseen}.", VOICES[0]), utterance("He slept.", VOICES[0])]
        split = split_rows(unstamped + around + beside + idle, SETTINGS, earlier=first.assignments)
        where = subsets_by_id(split)
        assert {where[row.id] for row in around} == {"unseen_term"}
        assert [where[row.id] for row in beside] == ["validation"] * 3 + ["unseen_voice"]
        assert where[idle[0].id] == "general"
        assert (
            split.warnings.count(
                f"validation: {text!r} ({seen}) is not trained on, it says the unseen {unseen}"
            )
            == 1
        )
        assert_no_leaks(split, first.assignments)

    def test_a_sentence_is_its_words(self) -> None:
        assert sentence_key("He said: 'No.'") == sentence_key("he  said no") == "he said no"


class TestUnseenVoices:
    def test_a_general_sentence_in_an_unseen_voice_is_the_controls(self) -> None:
        rows = general(range(10)) + general(range(4), [UNSEEN])
        split = split_rows(rows + clinical("drug", ["a", "b"]), SETTINGS)
        where = {row.text: row.subset for row in split.rows if row.term is None}
        assert {where[row.text] for row in general(range(4))} == {"general"}
        assert Counter(where.values()) == {"replay": 4, "general": 6}

    def test_too_few_sentences_for_replay_are_said(self) -> None:
        split = split_rows(general(range(10)) + general(range(7), [UNSEEN]), SETTINGS)
        assert split.counts["replay"]["total"] == 9
        assert (
            "replay: 3 of 10 sentences instead of 4, 7 are spoken in an unseen voice or say an unseen term"
            in split.warnings
        )

    @pytest.mark.parametrize(
        ("unseen", "problem"),
        [
            (
                ("espeak:en-us+m9",),
                "unseen_voices: found espeak:en-us+m9, which no row is spoken in; allowed: espeak:en-gb+f4",
            ),
            (
                VOICES,
                f"unseen_voices: found all voices ({', '.join(sorted(VOICES))}); allowed: some, not all",
            ),
        ],
    )
    def test_voices_that_cannot_be_held_out_are_refused(self, unseen: tuple[str, ...], problem: str) -> None:
        with pytest.raises(SplitError) as caught:
            split_rows(starter(), SplitSettings(unseen_voices=unseen))
        assert [line[: len(problem)] for line in caught.value.problems] == [problem]

    def test_a_voice_that_no_row_is_spoken_in_is_said(self) -> None:
        split = split_rows(starter(), SplitSettings(unseen_voices=(UNSEEN, "espeak:en-us+m9")))
        assert split.warnings == ("unseen voices: no row is spoken in espeak:en-us+m9",)
        assert split.assignments.voices["espeak:en-us+m9"] == "unseen"
        assert_no_leaks(split)

    def test_a_voice_that_was_trained_on_cannot_become_unseen(self) -> None:
        first = split_rows(starter(), SplitSettings())
        with pytest.raises(SplitError, match="found 'espeak:en-gb\\+f4', trained on in an earlier cycle"):
            split_rows(starter(), SETTINGS, earlier=first.assignments)

    def test_a_voice_that_was_unseen_stays_so(self) -> None:
        first = split_rows(starter(), SETTINGS)
        grown = starter() + clinical("drug", terms_of("drug", 3, start=12))
        split = split_rows(grown, SplitSettings(), earlier=first.assignments)
        assert f"unseen voices: {UNSEEN} stay unseen, as in an earlier cycle" in split.warnings
        assert_no_leaks(split, first.assignments)

    def test_a_replayed_sentence_cannot_be_spoken_in_an_unseen_voice_later(self) -> None:
        first = split_rows(starter(), SETTINGS)
        text = first.subset("replay")[0].text
        late = utterance(text, UNSEEN)
        with pytest.raises(SplitError) as caught:
            split_rows([*starter(), late], SETTINGS, earlier=first.assignments)
        (problem,) = caught.value.problems
        assert problem.startswith(
            f"row {late.id}, voice_id: found the unseen voice '{UNSEEN}' on a sentence trained on"
        )


class TestGrowth:
    first = split_rows(starter(), SETTINGS)

    def grow(self, rows: Sequence[ManifestRow]) -> Split:
        return split_rows([*starter(), *rows], SETTINGS, earlier=self.first.assignments)

    def test_new_terms_are_divided_by_the_same_fractions(self) -> None:
        split = self.grow(clinical("drug", terms_of("drug", 8, start=12)) + general(range(20, 30)))
        groups, terms = subset_counts(split.rows, "groups"), subset_counts(split.rows, "terms")
        assert terms["unseen_term"]["drug"] == 3
        seen = sum(groups[name]["drug"] for name in ("train", "development", "validation"))
        assert abs(groups["validation"]["drug"] - 0.2 * seen) <= 1.5, "three voices a sentence"
        learned = seen - groups["validation"]["drug"]
        assert abs(groups["development"]["drug"] - 0.1 * learned) <= 1.5
        assert len({row.text for row in split.subset("replay")}) == 12
        assert split.warnings == ()

    def test_a_new_noise_level_joins_its_synthesis(self) -> None:
        noisy = [
            utterance(row.text, row.voice_id, "snr_5db", row.term, row.entity_category)
            for row in starter()
            if row.noise_level == "clean"
        ]
        split = self.grow(noisy)
        before = {row.synthesis_group: row.subset for row in self.first.rows}
        assert {row.synthesis_group: row.subset for row in split.rows} == before
        assert split.assignments == self.first.assignments

    def test_what_left_the_manifest_comes_back_to_where_it_was(self) -> None:
        without = [row for row in starter() if row.entity_category != "lab" and "ferry" not in row.text]
        between = split_rows(without, SETTINGS, earlier=self.first.assignments)
        again = split_rows(starter(), replace(SETTINGS, seed=7), earlier=between.assignments)
        assert again.rows == self.first.rows

    def test_a_category_that_grows_to_three_terms_holds_out_a_new_one(self) -> None:
        small = clinical("drug", ["a", "b"])
        first = split_rows(small, SETTINGS)
        split = split_rows(small + clinical("drug", ["c"]), SETTINGS, earlier=first.assignments)
        assert terms_in(split, "unseen_term") == {"c"}

    def test_a_category_that_shrinks_keeps_its_unseen_term_and_is_not_complained_of(self) -> None:
        rows = clinical("drug", ["a", "b", "c"])
        first = split_rows(rows, SETTINGS)
        (unseen,) = terms_in(first, "unseen_term")
        kept = [row for row in rows if row.term in (unseen, min({"a", "b", "c"} - {unseen}))]
        split = split_rows(kept, SETTINGS, earlier=first.assignments)
        assert terms_in(split, "unseen_term") == {unseen}
        assert not any(warning.startswith("unseen terms") for warning in split.warnings)

    def test_a_new_name_around_an_unseen_term_does_not_take_the_place_of_another(self) -> None:
        first = clinical("drug", terms_of("drug", 3))
        for seed in range(20):
            options = SplitSettings(unseen_term_fraction=0.4, seed=seed)
            before = split_rows(first, options)
            (unseen,) = terms_in(before, "unseen_term")
            new = clinical("drug", [f"{unseen} sodium", *terms_of("drug", 3, start=3)])
            split = split_rows(first + new, options, earlier=before.assignments)
            assert len(terms_in(split, "unseen_term")) == 3
            assert {unseen, f"{unseen} sodium"} < terms_in(split, "unseen_term")

    def test_a_category_whose_training_rows_left_keeps_the_next_one_for_training(self) -> None:
        old, new = clinical("lab", ["troponin", "ferritin"], contexts=1, voices=VOICES[:1], noises=("clean",))
        earlier = replace(
            NOTHING_ASSIGNED, terms={"troponin": "seen"}, groups={old.synthesis_group: "development"}
        )
        split = split_rows([old, new], SplitSettings(), earlier=earlier)
        assert subsets_by_id(split) == {old.id: "development", new.id: "train"}

    def test_the_assignments_survive_their_file(self) -> None:
        assert read(record_text(self.first.assignments)) == self.first.assignments

    @pytest.mark.parametrize(
        ("value", "problems"),
        [
            (None, ["found None; allowed: an object"]),
            ({"terms": {}}, ["voices: missing", "groups: missing", "sentences: missing"]),
            ({"terms": {}, "voices": {}, "groups": {}, "sentences": []}, ["sentences: found []"]),
            (
                {"terms": {"a": "train"}, "voices": {}, "groups": {"g": "held_out"}, "sentences": {"s": "x"}},
                [
                    "terms, 'a': found 'train'; allowed: seen, unseen",
                    "groups, 'g': found 'held_out'; allowed: train, development",
                    "sentences, 's': found 'x'; allowed: general, replay, train, development, validation",
                ],
            ),
        ],
    )
    def test_assignments_that_cannot_be_read_are_refused(self, value: object, problems: list[str]) -> None:
        with pytest.raises(FlywheelError) as caught:
            read(json.dumps(value))
        for problem in problems:
            assert problem in str(caught.value)


def read(text: str) -> Assignments:
    return record_in(text, Assignments, "assignments", "split again")


def people(count: int = 6, voice: str = "recording:nurse-1") -> list[ManifestRow]:
    """A person's recordings: of a term that is trained on, of one that nobody else says, and of none."""
    said = [("drug", terms_of("drug", 1)[0]), ("drug", "fluconazole"), (None, None)]
    rows = []
    for number in range(count):
        category, term = said[number % len(said)]
        text = f"Bed {NUMBERS[number]} had {term or 'a visitor'} again."
        row = utterance(text, voice, term=term, category=category)
        rows.append(row.model_copy(update={"subset": HUMAN, "ipa_source": "recording"}))
    return rows


class TestPeople:
    """Whoever is recorded is only ever measured on."""

    def test_they_move_no_other_row_and_stay_where_they_are(self) -> None:
        alone, together = split_rows(starter(), SETTINGS), split_rows([*starter(), *people()], SETTINGS)
        found = subsets_by_id(together)
        assert {row.id: found.pop(row.id) for row in people()} == {row.id: HUMAN for row in people()}
        assert found == subsets_by_id(alone)
        assert (together.warnings, together.counts[HUMAN]["total"]) == (alone.warnings, 6)
        assert HUMAN not in alone.counts
        assert_no_leaks(together)
        grown = split_rows([*starter(), *people(9)], SETTINGS, earlier=together.assignments)
        assert subsets_by_id(together).items() <= subsets_by_id(grown).items()

    @pytest.mark.parametrize(
        "cloned",
        [
            clinical("drug", terms_of("drug", 4), voices=["recording:nurse-1"]),
            general(range(9), ["recording:nurse-1"]),
        ],
        ids=["clinical", "general"],
    )
    def test_a_voice_of_theirs_trains_nothing_whatever_made_it(self, cloned: list[ManifestRow]) -> None:
        split = split_rows([*starter(), *cloned, *people()], SETTINGS)
        subsets = subsets_of(split, "recording:nurse-1")
        assert len(subsets) > 1 and not subsets & set(TRAINING_SUBSETS)
        assert_no_leaks(split)
        later = split_rows([*starter(), *cloned], SETTINGS, earlier=split.assignments)
        assert not subsets_of(later, "recording:nurse-1") & set(TRAINING_SUBSETS), "without the person, too"

    def test_audio_that_was_held_out_as_a_persons_stays_it_under_another_name(self) -> None:
        first = split_rows([*starter(), *people()], SETTINGS)
        renamed = [
            row.model_copy(update={"voice_id": "recording:voice-9", "subset": None}) for row in people()
        ]
        split = split_rows([*starter(), *renamed], SETTINGS, earlier=first.assignments)
        assert subsets_of(split, "recording:voice-9") == {HUMAN}

    @pytest.mark.parametrize(
        ("earlier", "problem"),
        [
            (
                replace(NOTHING_ASSIGNED, voices={"recording:nurse-1": "seen"}),
                "human speech: found the voice 'recording:nurse-1', trained on in an earlier cycle",
            ),
            (
                replace(NOTHING_ASSIGNED, groups={people()[0].synthesis_group: "development"}),
                f"row {people()[0].id}: found human speech whose audio was in development in an earlier cycle",
            ),
        ],
    )
    def test_who_was_trained_on_is_refused(self, earlier: Assignments, problem: str) -> None:
        with pytest.raises(SplitError) as caught:
            split_rows([*starter(), *people()], SETTINGS, earlier=earlier)
        assert [found.partition(";")[0] for found in caught.value.problems] == [problem]

    def test_people_alone_are_a_split_without_training(self) -> None:
        split = split_rows(people(), SplitSettings())
        assert {row.subset for row in split.rows} == {HUMAN}
        assert "train: no rows about a term, so no term can be learned" in split.warnings


def by_the_second_engine(count: int = 4, voice: str = "flite:slt") -> list[ManifestRow]:
    """A second synthesiser's rows: sentences of the corpus, about terms that are trained on and one that is not."""
    said = clinical("drug", terms_of("drug", 12), 1, VOICES[:1])[:count]
    return [
        utterance(row.text, voice, row.noise_level, row.term, row.entity_category).with_subset(UNSEEN_ENGINE)
        for row in said
    ]


class TestSecondEngine:
    """A second synthesiser is only ever measured on."""

    def test_it_moves_no_other_row_and_stays_where_it_is(self) -> None:
        second = by_the_second_engine(24)
        alone, together = split_rows(starter(), SETTINGS), split_rows([*second, *starter()], SETTINGS)
        found = subsets_by_id(together)
        assert {row.id: found.pop(row.id) for row in second} == {row.id: UNSEEN_ENGINE for row in second}
        assert found == subsets_by_id(alone)
        assert (together.warnings, together.counts[UNSEEN_ENGINE]["total"]) == (alone.warnings, 24)
        assert UNSEEN_ENGINE not in alone.counts
        assert_no_leaks(together)

    def test_it_stays_unseen_when_it_is_gone_and_comes_back(self) -> None:
        first = split_rows([*starter(), *by_the_second_engine(2)], SETTINGS)
        without = split_rows(starter(), SETTINGS, earlier=first.assignments)
        assert subsets_by_id(without).items() <= subsets_by_id(first).items()
        stored = read(record_text(without.assignments))
        back = split_rows([*starter(), *by_the_second_engine(6)], SETTINGS, earlier=stored)
        assert subsets_by_id(first).items() <= subsets_by_id(back).items()
        assert_no_leaks(back, stored)

    def test_an_engine_that_trained_cannot_be_the_unseen_one(self) -> None:
        first = split_rows(starter(), SETTINGS)
        second = by_the_second_engine(2, "espeak:en-us+m8")
        with pytest.raises(SplitError) as caught:
            split_rows([*clinical("drug", ["a", "b"], voices=["hume:x"]), *second], SplitSettings(),
                       earlier=first.assignments)  # fmt: skip
        assert caught.value.problems == (
            "unseen engine: found 'espeak', trained on in an earlier cycle; allowed: another second engine, or none",
        )

    @pytest.mark.parametrize("now", [True, False], ids=["in this cycle", "in an earlier one"])
    def test_the_unseen_engine_cannot_speak_the_corpus(self, now: bool) -> None:
        second = by_the_second_engine(2, "espeak:en-us+m8")
        hume = clinical("drug", ["a", "b"], voices=["hume:x"])
        earlier = None if now else split_rows([*hume, *second], SplitSettings()).assignments
        with pytest.raises(SplitError) as caught:
            split_rows([*starter(), *(second if now else [])], SETTINGS, earlier=earlier)
        assert caught.value.problems == (
            "engine: found rows spoken by 'espeak', the second engine of this or an earlier cycle, which must stay "
            "unseen; allowed: another engine for the corpus, or a new data folder",
        )


def split_by_voice() -> Assignments:
    """What a cycle decided when single syntheses were drawn, not sentences: one voice of each first context is held
    out, another one picks the checkpoint."""
    sides = {VOICES[0]: "validation", VOICES[1]: "development"}
    groups = {
        row.synthesis_group: sides.get(row.voice_id, "train") if "one" in row.text else "train"
        for row in clinical("drug", terms_of("drug", 3), 2, VOICES[:3])
    }
    terms = dict.fromkeys(terms_of("drug", 3), "seen")
    return replace(NOTHING_ASSIGNED, terms=terms, voices=dict.fromkeys(VOICES[:3], "seen"), groups=groups)


class TestCyclesThatWereSplitByVoice:
    """Their rows stay, though a sentence then stands on both sides; it is said, and nothing new does so."""

    earlier = split_by_voice()
    old = clinical("drug", terms_of("drug", 3), 2, VOICES[:3])
    options = SplitSettings(unseen_term_fraction=0)

    def test_their_rows_stay_and_it_is_said(self) -> None:
        split = split_rows(self.old, self.options, earlier=self.earlier)
        assert {row.synthesis_group: row.subset for row in split.rows} == self.earlier.groups
        assert (
            "validation: 3 of 3 held-out syntheses say a sentence that training says in another voice; an earlier "
            "cycle was split by voice, and its rows stay where they are"
        ) in split.warnings
        by_name = {check.name: check for check in check_leaks(split.rows, earlier=self.earlier)}
        held_out = by_name["held_out_sentences_not_trained"]
        assert (held_out.passed, len(held_out.inherited), held_out.checked) == (True, 6, 6)
        assert len(by_name["development_sentences_not_learned"].inherited) == 6
        assert all(check.passed for check in by_name.values())

    def test_without_that_history_the_same_rows_leak(self) -> None:
        split = split_rows(self.old, self.options, earlier=self.earlier)
        by_name = {check.name: check for check in check_leaks(split.rows)}
        assert len(by_name["held_out_sentences_not_trained"].leaks) == 6

    def test_a_new_voice_joins_training_and_new_sentences_are_held_out_whole(self) -> None:
        new_voice = clinical("drug", terms_of("drug", 3), 1, ["espeak:en-us+m7"])
        new_terms = clinical("drug", terms_of("drug", 6, start=3), 4, VOICES[:3])
        rows = [*self.old, *new_voice, *new_terms]
        split = split_rows(rows, self.options, earlier=self.earlier)
        where = subsets_by_id(split)
        assert {where[row.id] for row in new_voice} == {"train"}
        new = {row.text: where[row.id] for row in new_terms}
        assert all(where[row.id] == new[row.text] for row in new_terms)
        assert "validation" in new.values()
        checks = check_leaks(split.rows, earlier=self.earlier)
        assert [check.name for check in checks if not check.passed] == []
        later = split_rows(rows, self.options, earlier=split.assignments)
        assert later.rows == split.rows
        assert all(check.passed for check in check_leaks(later.rows, earlier=split.assignments))

    def test_another_engine_finds_each_sentence_where_it_was(self) -> None:
        """Sentences are remembered, not only syntheses: the corpus may be spoken anew by another engine."""
        first = split_rows(starter(), SETTINGS)
        spoken = [
            utterance(
                row.text,
                row.voice_id.replace("espeak", "hume"),
                row.noise_level,
                row.term,
                row.entity_category,
            )
            for row in starter()
        ]
        split = split_rows(spoken, replace(SETTINGS, unseen_voices=(UNSEEN.replace("espeak", "hume"),), seed=7),
                           earlier=first.assignments)  # fmt: skip
        assert [row.subset for row in split.rows] == [row.subset for row in first.rows]
        assert all(check.passed for check in check_leaks(split.rows, earlier=first.assignments))


def subsets_of(split: Split, voice: str) -> set[str | None]:
    return {row.subset for row in split.rows if row.voice_id == voice}


class TestRefusals:
    @pytest.mark.parametrize(
        ("fractions", "problems"),
        [
            ({"validation_fraction": 0.0}, ["validation_fraction: found 0; allowed: above 0"]),
            ({"validation_fraction": 0.6}, ["validation_fraction: found 0.6; allowed: 0 to 0.5"]),
            ({"replay_fraction": float("nan")}, ["replay_fraction: found nan; allowed: 0 to 1"]),
            (
                {"development_fraction": -0.1, "unseen_term_fraction": 2.0},
                ["development_fraction: found -0.1; allowed: 0 to 0.5", "unseen_term_fraction: found 2.0"],
            ),
        ],
    )
    def test_fractions_out_of_range(self, fractions: Mapping[str, float], problems: list[str]) -> None:
        with pytest.raises(SplitError) as caught:
            SplitSettings(**fractions)  # type: ignore[arg-type]
        found = caught.value.problems
        assert [line[: len(start)] for line, start in zip(found, problems, strict=True)] == problems

    def test_no_rows(self) -> None:
        with pytest.raises(SplitError, match="found no rows"):
            split_rows([], SplitSettings())

    def test_rows_that_contradict_each_other(self) -> None:
        row = starter()[0]
        with pytest.raises(SplitError, match=r"row 2, id: found .* again, first in row 1"):
            split_rows([row, row], SplitSettings())


CLEAN = split_rows(starter(), SETTINGS).rows
FIRST = {
    name: next(row for row in CLEAN if row.subset == name) for name in SUBSETS if name not in MEASURED_ONLY
}


def spoiled(row: ManifestRow, **changes: object) -> list[ManifestRow]:
    """The clean rows with `row` changed; `model_copy` lets pass what validation would not."""
    return [other.model_copy(update=changes) if other.id == row.id else other for other in CLEAN]


class TestLeakChecks:
    NAMES = (
        "one_subset_a_row",
        "id_on_one_side",
        "audio_on_one_side",
        "synthesis_group_on_one_side",
        "unseen_terms_not_trained",
        "unseen_terms_not_in_training_text",
        "unseen_voices_not_trained",
        "unseen_engine_not_trained",
        "held_out_sentences_not_trained",
        "development_sentences_not_learned",
        "control_sentences_not_trained",
        "human_voices_not_trained",
    )

    def test_a_clean_split_passes_and_says_how_much_was_checked(self) -> None:
        checks = check_leaks(CLEAN)
        assert tuple(check.name for check in checks) == self.NAMES
        assert all(check.passed for check in checks)
        training = sum(row.subset in TRAINING_SUBSETS for row in CLEAN)
        held_out, development = (
            sum(row.subset == name for row in CLEAN) for name in ("validation", "development")
        )
        assert [check.checked for check in checks] == [
            *[len(CLEAN)] * 4,
            *[training] * 4,
            *(held_out, development, training, training),
        ]

    @pytest.mark.parametrize(
        ("rows", "failing"),
        [
            (spoiled(FIRST["train"], subset=None), {"one_subset_a_row", "synthesis_group_on_one_side"}),
            (spoiled(FIRST["train"], id=FIRST["validation"].id), {"id_on_one_side"}),
            (
                spoiled(
                    FIRST["train"], audio_filepath=FIRST["general"].audio_filepath.replace("/sp", "/x/../sp")
                ),
                {"audio_on_one_side"},
            ),
            (
                spoiled(FIRST["train"], synthesis_group=FIRST["validation"].synthesis_group),
                {"synthesis_group_on_one_side"},
            ),
            (
                spoiled(FIRST["development"], subset="train"),
                {"synthesis_group_on_one_side", "development_sentences_not_learned"},
            ),
            (
                [*CLEAN, utterance(FIRST["validation"].text.upper(), "espeak:new").with_subset("replay")],
                {"held_out_sentences_not_trained"},
            ),
            (
                [*CLEAN, utterance(FIRST["validation"].text, "espeak:new").with_subset("development")],
                {"held_out_sentences_not_trained"},
            ),
            (
                [*CLEAN, *by_the_second_engine(1), utterance("A word.", "flite:kal16").with_subset("train")],
                {"unseen_engine_not_trained"},
            ),
            (
                [
                    row.model_copy(update={"subset": "train"}) if row.voice_id == VOICES[0] else row
                    for row in CLEAN
                ],
                {
                    "unseen_terms_not_trained",
                    "unseen_terms_not_in_training_text",
                    "held_out_sentences_not_trained",
                    "development_sentences_not_learned",
                    "control_sentences_not_trained",
                },
            ),
            (
                spoiled(FIRST["replay"], text=f"A {FIRST['unseen_term'].term}-like thing."),
                {"unseen_terms_not_in_training_text"},
            ),
            (
                [*CLEAN, *people(), utterance("A clone.", "recording:nurse-1").with_subset("train")],
                {"human_voices_not_trained"},
            ),
            (
                [*CLEAN, *people(), people()[0].model_copy(update={"subset": "train"})],
                {
                    *("id_on_one_side", "audio_on_one_side", "synthesis_group_on_one_side"),
                    "human_voices_not_trained",
                },
            ),
            (
                [*CLEAN, utterance("Another ferry.", UNSEEN).with_subset("replay")],
                {"unseen_voices_not_trained"},
            ),
            (
                [
                    *CLEAN,
                    utterance(FIRST["general"].text.upper(), VOICES[0], "snr_5db").with_subset("replay"),
                ],
                {"control_sentences_not_trained"},
            ),
        ],
    )
    def test_a_leak_is_found_by_its_check(self, rows: list[ManifestRow], failing: Collection[str]) -> None:
        failed = [check for check in check_leaks(rows) if not check.passed]
        assert {check.name for check in failed} == failing
        assert all(len(check.leaks) >= 1 for check in failed)

    def test_a_leak_names_the_rows_and_their_subsets(self) -> None:
        copy = FIRST["validation"].model_copy(update={"subset": "train"})
        check = next(c for c in check_leaks([*CLEAN, copy]) if c.name == "id_on_one_side")
        assert check.leaks == (f"{copy.id}: train (row {copy.id}), validation (row {copy.id})",)

    def test_equal_bytes_under_different_names_are_found(self) -> None:
        digests = {row.id: row.id for row in CLEAN}
        assert check_leaks(CLEAN, audio_sha256=digests)[-1].passed
        digests[FIRST["train"].id] = digests[FIRST["validation"].id]
        check = check_leaks(CLEAN, audio_sha256=digests)[-1]
        assert (check.name, check.passed, check.checked) == ("audio_content_on_one_side", False, len(CLEAN))
        assert check_leaks(CLEAN, audio_sha256={})[-1].checked == 0

    def test_a_configured_unseen_voice_is_looked_for_even_without_rows_of_its_own(self) -> None:
        rows = [row for row in CLEAN if row.subset == "train"]
        by_name = {check.name: check for check in check_leaks(rows, unseen_voices=[VOICES[0]])}
        assert not by_name["unseen_voices_not_trained"].passed

    def test_a_row_that_moved_since_an_earlier_cycle_is_found(self) -> None:
        groups = {row.synthesis_group: str(row.subset) for row in CLEAN}
        assert check_leaks(CLEAN, earlier=replace(NOTHING_ASSIGNED, groups=groups))[-1].passed
        groups[FIRST["train"].synthesis_group] = "validation"
        check = check_leaks(CLEAN, earlier=replace(NOTHING_ASSIGNED, groups=groups))[-1]
        assert check.name == "earlier_rows_stayed"
        assert check.leaks[0] == f"row {FIRST['train'].id}: train, was validation"


def test_counts_have_all_subsets_and_columns() -> None:
    counts = subset_counts([])
    always = [subset for subset in SUBSETS if subset not in MEASURED_ONLY]
    assert list(counts) == always, "absent where nobody spoke"
    assert all(list(table) == [*ENTITY_CATEGORIES, "general", "total"] for table in counts.values())
    assert all(set(table.values()) == {0} for table in counts.values())
