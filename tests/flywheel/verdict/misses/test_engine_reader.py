"""The engine's reading of many texts is the one that it would speak."""

import pytest

from flywheel.speech.engines.espeak import SEEN_VOICES, EspeakSynthesizer, reader
from flywheel.speech.synthesizer import SynthesisError, Voice

TEXTS = (
    *("troponin", "tropen in", "lct 8 dee h droge ness", "meter of the in a", "0.5 mg"),
    *("necrotizing fasciitis", "the quick, brown fox. and another clause", "naïve façade"),
)


@pytest.mark.parametrize("voice", SEEN_VOICES, ids=lambda voice: voice.voice_id)
def test_it_reads_what_it_speaks(voice: Voice) -> None:
    spoken = [EspeakSynthesizer().spoken_ipa(text, voice) for text in TEXTS]
    with reader(voice) as read:
        assert [read(text) for text in TEXTS] == spoken


def test_nothing_is_read_from_nothing_and_what_it_read_before_does_not_matter() -> None:
    with reader(Voice("espeak:en-us")) as read:
        assert [read(text) for text in ("", " ", "...")] == ["", "", ""]
        assert read("troponin") == read("troponin") == "ˈtɹɑpəˌnɪn"
        with pytest.raises(SynthesisError, match="none of the project's IPA"):
            read("cthulhu")
        assert read("troponin") == "ˈtɹɑpəˌnɪn"


def test_an_unknown_voice_is_refused() -> None:
    with pytest.raises(SynthesisError, match="no voice 'espeak:klingon'"), reader(Voice("espeak:klingon")):
        pass
