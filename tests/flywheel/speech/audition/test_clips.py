"""Clips, spoken for real: what is prescribed is heard, and what cannot be spoken holds nobody up."""

from pathlib import Path

import pytest
import soundfile

from flywheel.pronunciation.lexicon import Candidate, Lexicon, Pronunciation
from flywheel.pronunciation.prescriptions import Prescription
from flywheel.speech.audio_cache import SpeechRefused
from flywheel.speech.audition.clips import Speaker, plan_clips, publish_clips, speak_clips
from flywheel.speech.engines.espeak import SEEN_VOICES, EspeakSynthesizer

LEXICON = Lexicon(
    (
        Pronunciation("crohn's disease", None, "espeak_g2p"),
        Pronunciation(
            "vancomycin",
            None,
            "espeak_g2p",
            candidates=(Candidate("ˌvæŋkəˈmaɪsən", "clinical suffix -mycin"),),
        ),
        Pronunciation("vancomycin trough", None, "espeak_g2p"),
        Pronunciation("trough", "tɹɔf", "override", is_term=False),
    )
)


@pytest.fixture
def speaker(tmp_path: Path) -> Speaker:
    return Speaker(EspeakSynthesizer(), SEEN_VOICES[0], tmp_path / "speech")


def test_each_pronunciation_is_heard_once_in_the_first_voice(speaker: Speaker) -> None:
    heard = plan_clips(LEXICON, speaker, with_candidates=True)
    utterances = [clip.take.utterance for each in heard for clip in (each.clip, *each.candidates)]
    assert [(each.text, each.prescribed) for each in utterances] == [
        ("crohn's disease.", ()),
        ("vancomycin.", ()),
        ("vancomycin.", (Prescription("vancomycin", "ˌvæŋkəˈmaɪsən"),)),
        ("vancomycin trough.", (Prescription("trough", "tɹɔf"),)),
        ("trough.", (Prescription("trough", "tɹɔf"),)),
    ]
    assert {each.voice for each in utterances} == {SEEN_VOICES[0]}
    assert [each.clip.ipa for each in heard] == ["", "", "vancomycin /tɹɔf/", "tɹɔf"]
    assert heard[0].clip.file.startswith("crohn-s-disease-")


def test_candidates_are_not_spoken_where_nobody_wants_it(speaker: Speaker) -> None:
    assert not any(each.candidates for each in plan_clips(LEXICON, speaker, with_candidates=False))


def test_clips_lie_beside_the_page_and_earlier_ones_do_not(speaker: Speaker, tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    heard = plan_clips(LEXICON, speaker, with_candidates=True)
    assert speak_clips(heard, speaker) == {}
    publish_clips(heard, speaker, folder)
    files = {clip.file for each in heard for clip in (each.clip, *each.candidates)}
    assert {path.name for path in folder.iterdir()} == files
    for file in files:
        assert 0.3 < soundfile.info(folder / file).duration < 5
    candidate, own = heard[1].candidates[0].file, heard[1].clip.file
    assert (folder / candidate).read_bytes() != (folder / own).read_bytes()
    publish_clips(heard[:1], speaker, folder)
    assert {path.name for path in folder.iterdir()} == {heard[0].clip.file}


def test_a_word_that_cannot_be_spoken_has_no_clip_and_a_reason(speaker: Speaker, tmp_path: Path) -> None:
    mute = Pronunciation("-", None, "espeak_g2p", is_term=False)
    heard = plan_clips(Lexicon((*LEXICON.entries[:1], mute)), speaker, with_candidates=True)
    faults = speak_clips(heard, speaker)
    assert list(faults) == [heard[1].clip.file]
    assert "silent" in faults[heard[1].clip.file]
    publish_clips(heard, speaker, tmp_path / "clips", without=faults)
    assert [path.name for path in (tmp_path / "clips").iterdir()] == [heard[0].clip.file]


def test_an_engine_that_speaks_nothing_is_an_error(speaker: Speaker) -> None:
    mute = Pronunciation("-", None, "espeak_g2p", is_term=False)
    with pytest.raises(SpeechRefused, match="silent"):
        speak_clips(plan_clips(Lexicon((mute,)), speaker, with_candidates=True), speaker)


def test_no_entry_needs_no_clip(speaker: Speaker, tmp_path: Path) -> None:
    assert speak_clips((), speaker) == {}
    publish_clips((), speaker, tmp_path / "clips")
