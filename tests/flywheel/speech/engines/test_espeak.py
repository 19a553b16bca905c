"""The embedded synthesiser: equal utterances are equal, voices differ, unknown ones are refused."""

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soxr

from flywheel.corpus.sentences import BUNDLED_CARRIERS, read_carriers
from flywheel.errors import FlywheelError
from flywheel.pronunciation.prescriptions import Prescription
from flywheel.speech.engines.espeak import SEEN_VOICES, UNSEEN_VOICES, EspeakSynthesizer
from flywheel.speech.quality import audio_faults
from flywheel.speech.synthesizer import SAMPLING_RATE, SynthesisError, Utterance, Voice, Waveform

REPOSITORY = Path(__file__).parents[3]
TEXT = "the patient was given cefazolin before the operation"
VOICES = SEEN_VOICES + UNSEEN_VOICES

# Ends by a signal of its own where the library crashes, so each voice is tried in a process apart.
SPEAK_ONCE = """
import hashlib, sys
from flywheel.speech.engines.espeak import EspeakSynthesizer
from flywheel.speech.synthesizer import SynthesisError, Utterance, Voice
synthesizer = EspeakSynthesizer()
try:
    for text in sys.argv[2:]:
        spoken = synthesizer.synthesize(Utterance(text, Voice(sys.argv[1])))
    print(hashlib.sha256(spoken.samples.tobytes()).hexdigest())
except SynthesisError as error:
    print("refused:", error)
"""


@pytest.fixture(scope="module")
def espeak() -> EspeakSynthesizer:
    return EspeakSynthesizer()


def speak(espeak: EspeakSynthesizer, text: str, voice: Voice) -> Waveform:
    return espeak.synthesize(Utterance(text, voice))


def spoken_elsewhere(voice_id: str, *texts: str) -> str:
    """What another process printed after speaking `texts`; empty where it crashed."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", SPEAK_ONCE, voice_id, *texts]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60).stdout.strip()


def sha256_of(audio: Waveform) -> str:
    return hashlib.sha256(audio.samples.tobytes()).hexdigest()


@pytest.mark.parametrize("voice", VOICES, ids=lambda voice: voice.voice_id)
def test_an_utterance_is_the_same_to_the_last_sample_whatever_was_spoken_before(
    espeak: EspeakSynthesizer, voice: Voice
) -> None:
    first = speak(EspeakSynthesizer(), TEXT, voice)
    for other in (VOICES[-1], VOICES[0]):
        speak(espeak, "a completely different sentence that ends elsewhere", other)
    again = speak(espeak, TEXT, voice)
    assert again.sampling_rate == first.sampling_rate
    assert np.array_equal(again.samples, first.samples)


BREATHY = ("espeak:en-gb+f2", "espeak:en-us-nyc+f3", "espeak:en-us+f5", "espeak:en-us+caleb")
"""Voices with breath or with the Klatt synthesiser: espeak-ng draws their noise at random, and would seed
that by the second."""


def test_an_utterance_is_the_same_at_another_time_and_in_another_process(espeak: EspeakSynthesizer) -> None:
    here = {voice: sha256_of(speak(espeak, TEXT, Voice(voice))) for voice in BREATHY}
    time.sleep(1.1)
    later = {voice: sha256_of(speak(espeak, TEXT, Voice(voice))) for voice in BREATHY}
    assert later == here
    elsewhere = {voice: spoken_elsewhere(voice, "something else", TEXT) for voice in BREATHY}
    assert elsewhere == here


def test_a_voice_without_breath_is_the_same_in_another_process(espeak: EspeakSynthesizer) -> None:
    voice = Voice("espeak:en-us+m3")
    here = speak(espeak, TEXT, voice)
    assert spoken_elsewhere(voice.voice_id, "something else first", TEXT) == sha256_of(here)


def test_every_default_voice_speaks_and_none_sounds_like_another(espeak: EspeakSynthesizer) -> None:
    # At one rate and pitch, so that only accent and variant can tell them apart.
    audio = [speak(espeak, TEXT, Voice(voice.voice_id)) for voice in VOICES]
    for voice, waveform in zip(VOICES, audio, strict=True):
        samples = soxr.resample(waveform.samples, waveform.sampling_rate, SAMPLING_RATE)
        assert audio_faults(Waveform(samples, SAMPLING_RATE), len(TEXT.split())) == [], voice
    assert len({sha256_of(waveform) for waveform in audio}) == len(VOICES)


@pytest.mark.parametrize("voice", VOICES, ids=lambda voice: voice.voice_id)
def test_a_variant_is_heard(espeak: EspeakSynthesizer, voice: Voice) -> None:
    plain = Voice(voice.voice_id.partition("+")[0], voice.rate, voice.pitch)
    assert sha256_of(speak(espeak, TEXT, voice)) != sha256_of(speak(espeak, TEXT, plain))


def test_there_are_enough_voices_and_each_has_an_accent_and_a_variant_of_its_own() -> None:
    assert len(SEEN_VOICES) >= 8
    assert len(UNSEEN_VOICES) >= 1
    names = [voice.name.partition("+")[::2] for voice in VOICES]
    assert len(set(names)) == len(VOICES)
    assert len({variant for _, variant in names}) == len(VOICES)
    seen_accents = {voice.name.partition("+")[0] for voice in SEEN_VOICES}
    assert any(voice.name.partition("+")[0] not in seen_accents for voice in UNSEEN_VOICES)


def test_rate_and_pitch_are_heard(espeak: EspeakSynthesizer) -> None:
    voice_id = "espeak:en-us+m3"
    slow, fast = (speak(espeak, TEXT, Voice(voice_id, rate=rate)) for rate in (140, 190))
    assert fast.seconds < 0.85 * slow.seconds
    low, high = (speak(espeak, TEXT, Voice(voice_id, pitch=pitch)) for pitch in (30, 70))
    assert sha256_of(low) != sha256_of(high)


def test_no_default_voice_clips(espeak: EspeakSynthesizer) -> None:
    peaks = {voice.voice_id: np.abs(speak(espeak, TEXT, voice).samples).max() for voice in VOICES}
    assert max(peaks.values()) < 0.999, peaks


@pytest.mark.parametrize(
    "voice_id",
    [
        pytest.param("espeak:xx-yy+m3", id="unknown accent"),
        pytest.param("espeak:en-us+m99", id="unknown variant"),
        pytest.param("espeak:en-us+M3", id="variant in the wrong case"),
        pytest.param("espeak:en-us+m3+f1", id="two variants"),
        pytest.param("espeak:xx-yy", id="unknown accent alone"),
        pytest.param("espeak:", id="no name"),
        pytest.param("en-us+m3", id="no engine"),
        pytest.param("hume:en-us+m3", id="voice of another engine"),
        pytest.param("espeak:+m3", id="variant without an accent"),
        pytest.param("espeak:m3", id="variant as an accent"),
        pytest.param("espeak:en-us+", id="empty variant"),
        pytest.param("espeak:en-US+m3", id="accent in another case"),
        pytest.param("espeak:gmw/en-US+m3", id="file as an accent"),
        pytest.param("espeak:en-us+../!v/m3", id="path as a variant"),
    ],
)
def test_a_voice_that_espeak_does_not_have_is_refused(voice_id: str) -> None:
    said = spoken_elsewhere(voice_id, TEXT)
    assert said.startswith(f"refused: espeak-ng has no voice {voice_id!r}: allowed is espeak:<accent>")


@pytest.mark.parametrize("voice", VOICES, ids=lambda voice: voice.voice_id)
def test_a_word_prescribed_as_it_is_spoken_anyway_changes_no_sample(
    espeak: EspeakSynthesizer, voice: Voice
) -> None:
    for text in (
        "sam",
        "give sam the evening dose, then wait.",
        "(sam) is on 5 mg/day; is sam?",
        'the "sam" [sam] of sam/tim: 5% sam',
    ):
        plain = speak(espeak, text, voice)
        prescribed = espeak.synthesize(Utterance(text, voice, (Prescription("sam", "ˈsæm"),)))
        assert np.array_equal(prescribed.samples, plain.samples), text


@pytest.mark.parametrize("voice", VOICES[:2] + VOICES[4:9:2], ids=lambda voice: voice.voice_id)
def test_a_prescribed_word_leaves_the_other_words_of_its_sentence_as_they_were(
    espeak: EspeakSynthesizer, voice: Voice
) -> None:
    term, ipa = "metoprolol", "mɛˈtoʊpɹəˌlɔl"
    own, *_ = espeak.reported_phonemes(Utterance(term, voice))
    for carrier in read_carriers(BUNDLED_CARRIERS)[::9]:
        text = carrier.with_term(term)
        words = espeak.reported_phonemes(Utterance(text, voice))
        expected = tuple(ipa if word == own else word for word in words)
        assert expected != words
        assert espeak.reported_phonemes(Utterance(text, voice, (Prescription(term, ipa),))) == expected


@pytest.mark.parametrize(
    "text",
    [
        "take [[d'Oks]] with cefazolin",
        "take [[d'Oks with cefazolin",
        "[[[cefazolin]]] and ]] more",
        "cefazolin [[",
    ],
)
def test_brackets_in_a_text_are_no_phonemes(espeak: EspeakSynthesizer, text: str) -> None:
    voice, prescribed = VOICES[0], (Prescription("cefazolin", "sɪˈfæzələn"),)
    plain = espeak.reported_phonemes(Utterance(text, voice))
    spoken = espeak.reported_phonemes(Utterance(text, voice, prescribed))
    own = espeak.spoken_ipa("cefazolin", voice)
    assert spoken == tuple("sɪˈfæzələn" if word == own else word for word in plain)


def test_a_text_too_long_to_be_spoken_with_phonemes_is_refused(espeak: EspeakSynthesizer) -> None:
    text = " ".join(["cefazolin"] * 40)
    prescribed = (Prescription("cefazolin", "sɪˈfæzələn"),)
    with pytest.raises(SynthesisError, match=r"too long .* allowed are 700; make it two sentences"):
        espeak.synthesize(Utterance(text, VOICES[0], prescribed))
    shorter = Utterance(" ".join(["cefazolin"] * 20), VOICES[0], prescribed)
    assert espeak.reported_phonemes(shorter) == ("sɪˈfæzələn",) * 20


def test_the_engines_own_pronunciation_is_told_in_the_projects_ipa(espeak: EspeakSynthesizer) -> None:
    american, british = VOICES[0], VOICES[2]
    assert espeak.spoken_ipa("insulin glargine", american) == "ˈɪnsəˌlɪn ˈɡlɑɹdʒɪn"
    assert espeak.spoken_ipa("insulin glargine", british) == "ˈɪnsjuˌlɪn ˈɡlɑdʒɪn"


def test_a_refusal_is_an_error_the_user_can_mend(espeak: EspeakSynthesizer) -> None:
    with pytest.raises(FlywheelError, match=r"e\.g\. espeak:en-us\+m3"):
        speak(espeak, TEXT, Voice("espeak:atlantean+m3"))


def test_the_version_names_the_library(espeak: EspeakSynthesizer) -> None:
    library, _, settings = espeak.version.partition("/")
    assert library.count(".") >= 1
    assert settings.isdigit()
