"""Who speaks what: the casting of sentences, and the manifest it becomes."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import soundfile

from flywheel.corpus.manifest import clinical_rows_by_category, read_manifest, write_manifest
from flywheel.corpus.plan import (
    Casting,
    PlannedRow,
    SecondEngine,
    dropped_rows,
    engines_of,
    manifest_rows,
    plan_rows,
    read_dropped,
    speak,
    write_dropped,
)
from flywheel.corpus.sentences import Sentence, compose_sentences, read_carriers
from flywheel.corpus.terms import read_term_seed
from flywheel.errors import FlywheelError
from flywheel.files import bundled
from flywheel.pronunciation.lexicon import Lexicon, Pronunciation
from flywheel.scoring.slices import UNSEEN_ENGINE
from flywheel.speech.audio_cache import SpeechRefused
from flywheel.speech.engines.espeak import SEEN_VOICES, UNSEEN_VOICES, EspeakSynthesizer
from flywheel.speech.noise import CLEAN, NOISE_KINDS
from flywheel.speech.synthesizer import SynthesisError, Utterance, Voice, Waveform

CASTING = Casting(SEEN_VOICES, UNSEEN_VOICES)


def plan(sentences: Sequence[Sentence], casting: Casting = CASTING) -> tuple[PlannedRow, ...]:
    """The rows of sentences whose terms are all left to the engine."""
    terms = {sentence.term for sentence in sentences if sentence.term is not None}
    lexicon = Lexicon(tuple(Pronunciation(term, None, "espeak_g2p") for term in sorted(terms)))
    return plan_rows(sentences, casting, lexicon)


SEEN = {voice.voice_id for voice in SEEN_VOICES}
UNSEEN = {voice.voice_id for voice in UNSEEN_VOICES}
GENERAL = tuple(Sentence(f"the patient in room {n} slept well and asks for water") for n in range(40))
VOICE = SEEN_VOICES[0]


@pytest.fixture(scope="module")
def clinical() -> tuple[Sentence, ...]:
    return compose_sentences(read_term_seed(bundled.path("starter_seed.csv")), read_carriers())


@pytest.fixture(scope="module")
def planned(clinical: tuple[Sentence, ...]) -> tuple[PlannedRow, ...]:
    return plan((*clinical, *GENERAL))


def voices_of(rows: list[PlannedRow]) -> list[str]:
    return [row.take.utterance.voice.voice_id for row in rows]


def by_sentence(rows: tuple[PlannedRow, ...]) -> dict[Sentence, list[PlannedRow]]:
    found: dict[Sentence, list[PlannedRow]] = {}
    for row in rows:
        found.setdefault(row.sentence, []).append(row)
    return found


def test_rows_stay_as_they_are_when_sentences_are_added(clinical: tuple[Sentence, ...]) -> None:
    before = plan(clinical[:20])
    after = plan((*clinical[:20], *GENERAL, *clinical[20:]))
    assert after[: len(before)] == before
    assert set(plan(clinical[::-1])) == set(plan(clinical))


def test_no_two_rows_sound_the_same(planned: tuple[PlannedRow, ...]) -> None:
    assert len({row.take for row in planned}) == len(planned)
    espeak = EspeakSynthesizer()
    assert len({row.take.key(espeak) for row in planned}) == len(planned)


def test_every_clinical_sentence_has_three_seen_voices_and_an_unseen_one_clean_and_noisy(
    planned: tuple[PlannedRow, ...], clinical: tuple[Sentence, ...]
) -> None:
    rows = by_sentence(planned)
    for sentence in clinical:
        voices = Counter(voices_of(rows[sentence]))
        assert set(voices.values()) == {2}
        assert len(set(voices) & SEEN) == 3
        assert len(set(voices) & UNSEEN) == 1
        for voice in voices:
            levels = [row.take.noise_level for row in rows[sentence] if voices_of([row]) == [voice]]
            assert levels.count(CLEAN) == 1, (sentence, voice)


def test_general_sentences_are_spoken_by_seen_voices_only(planned: tuple[PlannedRow, ...]) -> None:
    rows = by_sentence(planned)
    for sentence in GENERAL:
        assert len(set(voices_of(rows[sentence]))) == len(rows[sentence]) == 1
        assert set(voices_of(rows[sentence])) <= SEEN
    levels = {row.take.noise_level for sentence in GENERAL for row in rows[sentence]}
    assert levels == {CLEAN, "snr_15db"}


def test_voices_noises_and_levels_are_spread_over_the_sentences(
    planned: tuple[PlannedRow, ...], clinical: tuple[Sentence, ...]
) -> None:
    rows = [row for row in planned if row.sentence.term is not None]
    voices = Counter(voices_of(rows))
    assert set(voices) == SEEN | UNSEEN
    fair = len(clinical) * 2 * 3 / len(SEEN)
    assert all(0.5 * fair < voices[voice] < 1.5 * fair for voice in SEEN), voices
    noisy = [row.take for row in rows if row.take.noise_kind is not None]
    assert {take.noise_kind for take in noisy} == set(NOISE_KINDS)
    levels = Counter(take.noise_level for take in noisy)
    assert set(levels) == {"snr_15db", "snr_5db"}
    # Two of the three entries are 15 dB.
    assert levels["snr_15db"] / len(noisy) == pytest.approx(2 / 3, abs=0.1)


@pytest.mark.parametrize("count", range(1, 18))
def test_a_sentence_is_never_spoken_twice_by_one_voice(count: int) -> None:
    seen = tuple(Voice(f"espeak:en-us+v{number}") for number in range(count))
    casting = Casting(seen, UNSEEN_VOICES, seen_per_sentence=count, seen_per_general=count)
    for sentence in (Sentence("give cefazolin now", "dictation", "cefazolin", "drug"), GENERAL[0]):
        voices = set(voices_of(list(plan([sentence], casting)))) & {voice.voice_id for voice in seen}
        assert len(voices) == count


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param(
            {"unseen_voices": (VOICE,)},
            f"voices cannot be both seen and unseen: {VOICE.voice_id}",
            id="a voice on both sides",
        ),
        pytest.param(
            {"unseen_voices": (Voice(VOICE.voice_id, rate=199),)},
            f"voices cannot be both seen and unseen: {VOICE.voice_id}",
            id="a voice on both sides at another rate",
        ),
        pytest.param({"seen_voices": (VOICE,)}, "seen_voices: 3 for each sentence are wanted, 1 are given"),
        pytest.param({"unseen_voices": ()}, "unseen_voices: 1 for each sentence are wanted, 0 are given"),
        pytest.param({"seen_per_sentence": 0}, "seen_voices: 0 for each sentence are wanted, 8 are given"),
        pytest.param(
            {"unseen_per_sentence": 3}, "unseen_voices: 3 for each sentence are wanted, 2 are given"
        ),
        pytest.param({"seen_per_general": 9}, "seen_voices: 9 for each sentence are wanted, 8 are given"),
        pytest.param({"seen_voices": (VOICE,) * 3}, VOICE.voice_id, id="a voice twice"),
        pytest.param({"noise_levels": ()}, "noise_levels", id="no noise level"),
        pytest.param({"noise_levels": (CLEAN,)}, "noise_levels", id="clean as noise"),
        pytest.param({"noise_levels": ("snr_5db", CLEAN)}, "noise_levels", id="clean among noise"),
        pytest.param({"noise_levels": ("snr_5",)}, "snr_<n>db", id="unknown noise level"),
    ],
)
def test_a_casting_that_cannot_be_filled_is_refused(changes: dict[str, Any], said: str) -> None:
    given = {"seen_voices": SEEN_VOICES, "unseen_voices": UNSEEN_VOICES, **changes}
    with pytest.raises(FlywheelError) as caught:
        Casting(**given)
    assert said in str(caught.value)


def test_the_manifest_says_what_was_spoken(tmp_path: Path) -> None:
    sentence = Sentence("please give cefazolin before the operation", "dictation", "cefazolin", "drug")
    espeak = EspeakSynthesizer()
    planned = plan([sentence, GENERAL[0]])
    engines = engines_of(espeak, None)
    rendering = speak(planned, tmp_path / "speech", engines, workers=1, on_progress=lambda done, total: None)
    rows = manifest_rows(planned, rendering, tmp_path / "speech", engines)
    write_manifest(tmp_path / "manifest.jsonl", rows)
    assert read_manifest(tmp_path / "manifest.jsonl") == rows
    for planned_row, row in zip(planned, rows, strict=True):
        path = Path(row.audio_filepath)
        assert path.is_absolute()
        assert path.stem == row.id
        assert row.duration == pytest.approx(soundfile.info(path).duration)
        assert (row.text, row.term) == (planned_row.sentence.text, planned_row.sentence.term)
        assert row.ipa_source == "espeak_g2p"
        assert row.voice_id == planned_row.take.utterance.voice.voice_id
        assert row.noise_level == planned_row.take.noise_level
        assert row.subset is None
    clinical = rows[:8]
    assert list(Counter(row.synthesis_group for row in clinical).values()) == [2] * 4
    assert {row.entity_category for row in clinical} == {"drug"}
    assert {row.context_type for row in rows[8:]} == {None}


class Choosy(EspeakSynthesizer):
    """espeak, which does not speak one of the words."""

    def synthesize(self, utterance: Utterance) -> Waveform:
        if "cefazolin" in utterance.text:
            raise SynthesisError("not that word")
        return super().synthesize(utterance)


def test_dropped_rows_are_listed_and_not_in_the_manifest(tmp_path: Path) -> None:
    clinical = Sentence("please give cefazolin before the operation", "dictation", "cefazolin", "drug")
    planned = plan([clinical, GENERAL[0]])
    cache, listed, choosy = tmp_path / "speech", tmp_path / "dropped.jsonl", Choosy()
    engines = engines_of(choosy, None)
    rendering = speak(
        planned, cache, engines, workers=1, on_progress=lambda done, total: None, allowed_drops=8
    )
    dropped = dropped_rows(planned, rendering, engines)
    assert [row.id for row in dropped] == [row.take.key(choosy) for row in planned[:8]]
    assert {(row.text, row.term, row.reason) for row in dropped} == {
        (clinical.text, "cefazolin", "not that word")
    }
    assert Counter(row.noise_level == CLEAN for row in dropped) == {True: 4, False: 4}
    assert len({row.voice_id for row in dropped}) == 4
    write_dropped(listed, dropped)
    assert read_dropped(listed) == dropped

    rows = manifest_rows(planned, rendering, cache, engines)
    assert [row.term for row in rows] == [None]
    write_dropped(listed, ())
    assert not listed.exists()
    assert read_dropped(listed) == ()


def test_a_list_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dropped.jsonl").write_text('{"row": 1}\n')
    with pytest.raises(FlywheelError, match=r"dropped\.jsonl: not a list of dropped rows"):
        read_dropped(tmp_path / "dropped.jsonl")


class Brass:
    """Another engine: espeak under a name of its own, an octave apart, which shares no file with it."""

    name = "brass"
    version = "1"

    def synthesize(self, utterance: Utterance) -> Waveform:
        voice = Voice(f"espeak:{utterance.voice.name}", utterance.voice.rate)
        return EspeakSynthesizer().synthesize(Utterance(utterance.text, voice, utterance.prescribed))


BRASS_VOICES = (Voice("brass:en-us+m8"), Voice("brass:en-us+f4"), Voice("brass:en-gb+adam"))
BRASS = SecondEngine(Brass(), BRASS_VOICES, speaks_ipa=False)
PRESCRIBED = Lexicon(
    (
        Pronunciation("cefazolin", "sɪˈfæzəlɪn", "override"),
        Pronunciation("ferritin", None, "espeak_g2p"),
    )
)
OF_TWO_TERMS = tuple(
    Sentence(f"{begun} {term} {end}", context, term, category)
    for term, category in (("cefazolin", "drug"), ("ferritin", "lab"))
    for begun, end, context in (
        ("they spoke about", "again this morning", "handoff"),
        ("please look at", "before the round", "dictation"),
    )
)


class TestSecondEngine:
    """Another synthesiser speaks one sentence of each term, and nothing else changes."""

    def second_rows(self, planned: Sequence[PlannedRow]) -> list[PlannedRow]:
        return [row for row in planned if row.subset is not None]

    def test_it_speaks_one_sentence_of_each_term_clean_and_noisy(
        self, clinical: tuple[Sentence, ...]
    ) -> None:
        rows = self.second_rows(with_brass((*clinical, *GENERAL)))
        assert len(rows) == 2 * len({sentence.term for sentence in clinical}) == 64
        assert {row.subset for row in rows} == {UNSEEN_ENGINE}
        assert {row.engine for row in rows} == {"brass"}
        assert {row.ipa_source for row in rows} == {"brass_g2p"}
        of_term = Counter(row.sentence.term for row in rows)
        assert set(of_term.values()) == {2}
        assert Counter(row.take.noise_level == CLEAN for row in rows) == {True: 32, False: 32}
        assert {row.take.utterance.voice for row in rows} == set(BRASS_VOICES)
        assert len({row.sentence.context_type for row in rows}) == 4, "not always a term's first sentence"

    def test_without_its_rows_the_plan_is_what_it_is_without_it(self, clinical: tuple[Sentence, ...]) -> None:
        sentences = (*clinical, *GENERAL)
        assert tuple(row for row in with_brass(sentences) if row.subset is None) == plan(sentences)

    def test_its_rows_stay_when_terms_are_added(self, clinical: tuple[Sentence, ...]) -> None:
        few = self.second_rows(with_brass(clinical[:40]))
        many = self.second_rows(with_brass((*clinical[40:], *GENERAL, *clinical[:40])))
        assert set(few) < set(many)

    @pytest.mark.parametrize(
        ("speaks_ipa", "source", "prescribed"), [(False, "brass_g2p", []), (True, "override", ["cefazolin"])]
    )
    def test_a_prescribed_pronunciation_is_followed_where_it_can_be(
        self, speaks_ipa: bool, source: str, prescribed: list[str]
    ) -> None:
        second = SecondEngine(Brass(), BRASS_VOICES, speaks_ipa)
        rows = self.second_rows(plan_rows(OF_TWO_TERMS, CASTING, PRESCRIBED, second))
        by_term = {row.sentence.term: row for row in rows}
        cefazolin = by_term["cefazolin"]
        assert cefazolin.ipa_source == source
        assert [each.words for each in cefazolin.take.utterance.prescribed] == prescribed
        assert by_term["ferritin"].ipa_source == "brass_g2p", "not the corpus engine's"

    def test_its_rows_reach_the_manifest(self, tmp_path: Path) -> None:
        cache = tmp_path / "speech"
        espeak = EspeakSynthesizer()
        planned = plan_rows(OF_TWO_TERMS, CASTING, PRESCRIBED, BRASS)
        progress: list[tuple[int, int]] = []
        engines = engines_of(espeak, BRASS)
        rendering = speak(planned, cache, engines, workers=1, on_progress=lambda *done: progress.append(done))
        rows = manifest_rows(planned, rendering, cache, engines)
        assert [done for done, _ in progress] == sorted(done for done, _ in progress)
        assert progress[-1] == (len(planned), len(planned))
        assert {total for _, total in progress} == {len(planned)}

        write_manifest(tmp_path / "manifest.jsonl", rows)
        assert read_manifest(tmp_path / "manifest.jsonl") == rows
        second = [row for row in rows if row.is_measured_only]
        assert len(second) == 4
        assert {(row.subset, row.engine, row.ipa_source) for row in second} == {
            (UNSEEN_ENGINE, "brass", "brass_g2p")
        }
        per_term = 2 * 4 * 2
        assert clinical_rows_by_category(rows) == {"drug": per_term, "lab": per_term}, (
            "the gate counts no others"
        )
        assert len({row.synthesis_group for row in second}) == 2

    def test_rows_that_it_cannot_speak_count_among_all_drops(self, tmp_path: Path) -> None:
        class_of_its_own = SecondEngine(Mute(), (Voice("mute:a"),), speaks_ipa=False)
        planned = plan_rows(OF_TWO_TERMS[:2], CASTING, PRESCRIBED, class_of_its_own)
        engines = engines_of(EspeakSynthesizer(), class_of_its_own)
        with pytest.raises(SpeechRefused, match="in voice mute:a: not a word"):
            speak(planned, tmp_path, engines, workers=1, on_progress=lambda done, total: None)

    def test_it_is_another_one(self) -> None:
        espeak = EspeakSynthesizer()
        same = SecondEngine(espeak, SEEN_VOICES, speaks_ipa=True)
        with pytest.raises(
            FlywheelError, match="second engine: found 'espeak', which speaks the corpus itself"
        ):
            engines_of(espeak, same)
        for voices, found in (((), "none"), (SEEN_VOICES[:1], SEEN_VOICES[0].voice_id)):
            with pytest.raises(FlywheelError) as caught:
                SecondEngine(Brass(), voices, speaks_ipa=False)
            assert f"second engine 'brass': found the voices {found}; allowed: one or more of its own" in str(
                caught.value
            )


class Mute:
    """An engine that is there and says nothing."""

    name = "mute"
    version = "1"

    def synthesize(self, utterance: Utterance) -> Waveform:
        raise SynthesisError("not a word")


def with_brass(sentences: Sequence[Sentence]) -> tuple[PlannedRow, ...]:
    terms = {sentence.term for sentence in sentences if sentence.term is not None}
    lexicon = Lexicon(tuple(Pronunciation(term, None, "espeak_g2p") for term in sorted(terms)))
    return plan_rows(sentences, CASTING, lexicon, BRASS)
