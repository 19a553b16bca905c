"""What decides how Hume speaks, without Hume."""

from dataclasses import replace

import pytest

from flywheel.errors import FlywheelError
from flywheel.pronunciation.prescriptions import Prescription
from flywheel.speech.audio_cache import render
from flywheel.speech.synthesizer import Utterance, Voice
from flywheel.speech.take import Take
from resources.speech.hume import SEEN_VOICES, UNSEEN_VOICES, HumeSynthesizer, HumeVoice

HUME = HumeSynthesizer()
VOICE = SEEN_VOICES[0]
UTTERANCE = Utterance("give cefazolin now", VOICE)


def test_eight_voices_in_styles_of_their_own() -> None:
    voices = (*SEEN_VOICES, *UNSEEN_VOICES)
    assert (len(SEEN_VOICES), len(UNSEEN_VOICES)) == (6, 2)
    assert len({voice.voice_id for voice in voices}) == len({voice.description for voice in voices}) == 8
    assert {(voice.engine, voice.provider) for voice in voices} == {("hume", "HUME_AI")}
    assert all(voice.description for voice in voices)


@pytest.mark.parametrize(
    "other",
    [
        replace(VOICE, voice_id="hume:Kora"),
        replace(VOICE, provider="CUSTOM_VOICE"),
        replace(VOICE, description="a hurried clinician"),
        replace(VOICE, speed=1.1),
    ],
    ids=["name", "provider", "description", "speed"],
)
def test_whatever_a_voice_is_told_is_part_of_the_key(other: HumeVoice) -> None:
    assert Take(replace(UTTERANCE, voice=other)).key(HUME) != Take(UTTERANCE).key(HUME)


def test_how_it_is_bought_is_not_part_of_the_key() -> None:
    hasty = HumeSynthesizer(concurrency=9, requests_per_minute=0, timeout=1, consent="YES")
    assert Take(UTTERANCE).key(hasty) == Take(UTTERANCE).key(HUME)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"speed": 0.7}, "hume:Ava Song, speed: found 0.7; allowed: 0.75 to 1.5"),
        ({"speed": 1.6}, "found 1.6"),
        ({"description": "a" * 101}, "hume:Ava Song, description: found 101 characters; allowed: 100"),
    ],
)
def test_a_voice_is_told_nothing_that_makes_it_unstable(changes: dict[str, object], said: str) -> None:
    with pytest.raises(FlywheelError, match=said):
        replace(VOICE, **changes)


def test_a_pronunciation_is_written_into_the_text() -> None:
    prescribed = replace(UTTERANCE, prescribed=(Prescription("cefazolin", "sɛfəˈzoʊlɪn"),))
    assert HUME.text_sent(prescribed) == "give sef-uh-ZOH-lin now"
    assert HUME.text_sent(UTTERANCE) == "give cefazolin now"


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "HUME_API_KEY is not set. Set it, or choose the embedded engine with FLYWHEEL_SPEECH=espeak"),
        ({"HUME_API_KEY": "my key\n"}, "HUME_API_KEY is no key: it holds spaces"),
        ({"HUME_API_KEY": "k", "FLYWHEEL_HUME_URL": "api.hume.ai"}, "FLYWHEEL_HUME_URL is not an address"),
        (
            {"HUME_API_KEY": "k", "FLYWHEEL_HUME_URL": "http://u:p@host"},
            "FLYWHEEL_HUME_URL is not an address",
        ),
    ],
)
def test_without_a_key_or_an_address_it_says_what_to_do(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    said: str,
) -> None:
    for name in ("HUME_API_KEY", "FLYWHEEL_HUME_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(FlywheelError) as caught:
        render([Take(UTTERANCE)], tmp_path_factory.mktemp("speech"), replace(HUME, consent="YES"))
    assert said in str(caught.value)
    assert "my key" not in str(caught.value)
    assert "u:p" not in str(caught.value)


def test_another_engines_voice_has_no_settings_and_is_told_apart() -> None:
    assert Take(Utterance("give cefazolin now", Voice("hume:Ava Song"))).key(HUME) != Take(UTTERANCE).key(
        HUME
    )
