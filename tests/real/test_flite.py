"""flite itself, Debian's package: what it says can be used as the speech of an engine that nothing was trained on."""

from pathlib import Path

import numpy as np
import pytest

from flywheel.corpus.plan import Casting, SecondEngine, engines_of, manifest_rows, plan_rows, speak
from flywheel.corpus.sentences import compose_sentences, read_carriers
from flywheel.corpus.terms import read_term_seed
from flywheel.files import bundled
from flywheel.pronunciation.lexicon import Lexicon, Pronunciation
from flywheel.scoring.slices import UNSEEN_ENGINE
from flywheel.speech.engines import espeak
from flywheel.speech.engines.flite import VOICES, FliteSynthesizer, is_installed
from flywheel.speech.synthesis_workers import corpus_samples
from flywheel.speech.synthesizer import SynthesisError, Utterance, Voice
from loopback.apt import install

pytestmark = pytest.mark.real

SEED = read_term_seed(bundled.path("starter_seed.csv"))
SENTENCES = compose_sentences(SEED, read_carriers())


@pytest.fixture(scope="module")
def flite() -> FliteSynthesizer:
    if not is_installed():
        install("flite")
    return FliteSynthesizer()


def test_it_says_its_version_and_its_voices(flite: FliteSynthesizer) -> None:
    assert flite.version.partition("/")[0].startswith("2."), flite.version
    assert flite.voices == VOICES


@pytest.mark.parametrize("voice", VOICES, ids=lambda voice: voice.name)
def test_every_voice_speaks_faultless_audio_at_about_its_pace(flite: FliteSynthesizer, voice: Voice) -> None:
    words = seconds = 0.0
    for sentence in SENTENCES[::8]:
        utterance = Utterance(sentence.text, voice)
        spoken = flite.synthesize(utterance)
        assert spoken.sampling_rate == 16_000
        assert corpus_samples(spoken, utterance)[1] == []
        words, seconds = words + len(sentence.text.split()), seconds + spoken.seconds
    assert words / seconds * 60 == pytest.approx(voice.rate, rel=0.1)


def test_equal_utterances_are_equal_and_voices_differ(flite: FliteSynthesizer) -> None:
    text = SENTENCES[0].text
    spoken = {voice.name: flite.synthesize(Utterance(text, voice)).samples for voice in VOICES}
    again = FliteSynthesizer().synthesize(Utterance(text, VOICES[0])).samples
    assert np.array_equal(again, spoken[VOICES[0].name])
    assert len({samples.tobytes() for samples in spoken.values()}) == len(VOICES)


def test_a_voice_that_it_would_replace_by_another_is_refused(flite: FliteSynthesizer) -> None:
    with pytest.raises(SynthesisError, match="flite has no voice 'flite:nobody'"):
        flite.synthesize(Utterance("hello there", Voice("flite:nobody")))


def test_it_speaks_second_in_a_corpus_and_what_was_spoken_is_not_spoken_again(
    flite: FliteSynthesizer, tmp_path: Path
) -> None:
    sentences = SENTENCES[:24]
    terms = sorted({str(sentence.term) for sentence in sentences})
    lexicon = Lexicon(
        (
            Pronunciation(terms[0], "əˈpɪksəbæn", "override"),
            *(Pronunciation(term, None, "espeak_g2p") for term in terms[1:]),
        )
    )
    second = SecondEngine(flite, flite.voices, speaks_ipa=False)
    engines = engines_of(espeak.EspeakSynthesizer(), second)
    casting = Casting(espeak.SEEN_VOICES, espeak.UNSEEN_VOICES)
    planned = plan_rows(sentences, casting, lexicon, second)
    rendering = speak(planned, tmp_path, engines, on_progress=lambda done, total: None)
    rows = [
        row for row in manifest_rows(planned, rendering, tmp_path, engines) if row.subset == UNSEEN_ENGINE
    ]
    assert sorted({row.term for row in rows if row.term}) == terms
    assert len(rows) == 2 * len(terms)
    assert {row.ipa_source for row in rows} == {"flite_g2p"}, "a prescribed pronunciation is not followed"
    assert rendering.synthesised == 24 * 4 + len(terms)
    again = speak(planned, tmp_path, engines, on_progress=lambda done, total: None)
    assert (again.synthesised, again.cache_hits) == (0, len(planned))
