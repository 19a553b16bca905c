"""The speech of the bundled base: nothing of what evaluations keep for themselves."""

from collections import Counter
from pathlib import Path

import pytest
import soundfile

from flywheel.compute.programs.base_corpus import (
    ACCENTS,
    CLEAN_SHARE,
    RATES,
    VARIANTS,
    SpokenSentence,
    spoken_by,
    training_sentences,
    write_spoken,
)
from flywheel.corpus.terms import read_term_seed
from flywheel.files import bundled
from flywheel.files.atomic import read_jsonl
from flywheel.speech.engines.espeak import SEEN_VOICES, UNSEEN_VOICES, EspeakSynthesizer
from flywheel.speech.noise import CLEAN, NOISE_KINDS, snr_db
from flywheel.speech.synthesizer import Utterance, Voice

TERM_WORDS = {word for term in read_term_seed(bundled.path("starter_seed.csv")) for word in term.text.split()}


@pytest.fixture(scope="module")
def training() -> tuple[SpokenSentence, ...]:
    return training_sentences(3000, seed=42, without=TERM_WORDS)


def test_no_word_of_a_starter_term_is_trained(training: tuple[SpokenSentence, ...]) -> None:
    spoken = {word for sentence in training for word in sentence.text.split()}
    assert len(TERM_WORDS) >= 24
    assert not spoken & TERM_WORDS


def test_no_unseen_voice_is_trained(training: tuple[SpokenSentence, ...]) -> None:
    trained = {sentence.take.utterance.voice.name.partition("+")[::2] for sentence in training}
    accents, variants = (set(part) for part in zip(*trained, strict=True))
    for voice in UNSEEN_VOICES:
        accent, _, variant = voice.name.partition("+")
        assert variant not in variants, f"the variant of {voice.voice_id} is trained"
        assert (accent, variant) not in trained
    assert any(voice.name.partition("+")[0] not in accents for voice in UNSEEN_VOICES)


def test_every_accent_and_variant_is_trained_with_all_default_ones_among_them(
    training: tuple[SpokenSentence, ...],
) -> None:
    trained = {sentence.take.utterance.voice.name.partition("+")[::2] for sentence in training}
    accents, variants = (set(part) for part in zip(*trained, strict=True))
    assert (accents, variants) == (set(ACCENTS), set(VARIANTS))
    seen = {voice.name.partition("+")[::2] for voice in SEEN_VOICES}
    assert {accent for accent, _ in seen} <= accents
    assert {variant for _, variant in seen} <= variants


def test_every_accent_and_variant_speaks_and_sounds_its_own_way() -> None:
    espeak = EspeakSynthesizer()
    for names in ([f"{accent}+m3" for accent in ACCENTS], [f"en-us+{variant}" for variant in VARIANTS]):
        spoken = {
            name: espeak.synthesize(Utterance("the doctor saw her", Voice(f"espeak:{name}"))).samples
            for name in names
        }
        assert min(map(len, spoken.values())) > 10_000, "half a second"
        assert len({samples.tobytes() for samples in spoken.values()}) == len(names)


def test_most_is_clean_and_the_rest_has_every_kind_of_noise(training: tuple[SpokenSentence, ...]) -> None:
    levels = Counter(sentence.take.noise_level for sentence in training)
    assert levels[CLEAN] / len(training) == pytest.approx(CLEAN_SHARE, abs=0.05)
    ratios = {snr_db(level) or 0.0 for level in levels if level != CLEAN}
    assert (min(ratios), max(ratios)) == (5.0, 20.0)
    kinds = Counter(sentence.take.noise_kind for sentence in training)
    assert set(kinds) == {None, *NOISE_KINDS}
    rates = {sentence.take.utterance.voice.rate for sentence in training}
    assert (min(rates), max(rates)) == RATES


def test_equal_seeds_give_equal_sentences_however_many(training: tuple[SpokenSentence, ...]) -> None:
    assert training_sentences(40, seed=42, without=TERM_WORDS) == training[:40]
    assert training_sentences(40, seed=43, without=TERM_WORDS) != training[:40]
    assert all(sentence.text == sentence.take.utterance.text for sentence in training)


def test_voices_and_kinds_of_noise_take_turns() -> None:
    texts = [f"sentence {number}" for number in range(9)]
    noisy = spoken_by(texts, UNSEEN_VOICES, "snr_15db")
    assert [sentence.text for sentence in noisy] == texts
    assert [sentence.take.utterance.voice for sentence in noisy[:4]] == [*UNSEEN_VOICES, *UNSEEN_VOICES]
    assert {sentence.take.noise_kind for sentence in noisy} == set(NOISE_KINDS)
    assert {sentence.take.noise_level for sentence in noisy} == {"snr_15db"}
    assert {sentence.take.noise_kind for sentence in spoken_by(texts, UNSEEN_VOICES)} == {None}


def test_the_manifest_holds_every_sentence_and_its_seconds(tmp_path: Path) -> None:
    sentences = spoken_by(["the doctor saw her", "she went home"], UNSEEN_VOICES, "snr_15db")
    manifest = tmp_path / "noisy.jsonl"
    progress: list[tuple[int, int]] = []
    seconds = write_spoken(manifest, sentences, tmp_path / "speech", lambda *done: progress.append(done))
    rows = read_jsonl(manifest)
    assert [row["text"] for row in rows] == [sentence.text for sentence in sentences]
    for row in rows:
        assert row["duration"] == pytest.approx(soundfile.info(row["audio_filepath"]).duration)
        assert row["sampling_rate"] == 16_000
    assert seconds == pytest.approx(sum(row["duration"] for row in rows))
    assert progress[-1] == (2, 2)
