"""Takes: what they are named after, and which noise they get."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from flywheel.pronunciation.prescriptions import Prescription
from flywheel.speech.noise import CLEAN, NOISE_KINDS
from flywheel.speech.synthesizer import Utterance, Voice, Waveform
from flywheel.speech.take import Take, with_noise

UTTERANCE = Utterance("give cefazolin now", Voice("espeak:en-us+m3"))
CLEAN_TAKE = Take(UTTERANCE)
NOISY_TAKE = Take(UTTERANCE, "snr_15db", "pink")


@dataclass(frozen=True)
class SilentEngine:
    """An engine that is only asked for its name and version here."""

    name: str = "espeak"
    version: str = "1.52.0/1"

    def synthesize(self, utterance: Utterance) -> Waveform:
        raise NotImplementedError


ENGINE = SilentEngine()


@pytest.mark.parametrize(
    ("level", "kind"),
    [(CLEAN, "pink"), ("snr_15db", None)],
    ids=["clean with a kind of noise", "noise of no kind"],
)
def test_level_and_kind_go_together(level: str, kind: str | None) -> None:
    with pytest.raises(ValueError, match="does not go with noise kind"):
        Take(UTTERANCE, level, kind)


def test_takes_of_one_utterance_share_a_synthesis() -> None:
    groups = {take.synthesis_group(ENGINE) for take in with_noise(UTTERANCE, (CLEAN, "snr_15db", "snr_5db"))}
    assert len(groups) == 1
    assert CLEAN_TAKE.key(ENGINE) == CLEAN_TAKE.synthesis_group(ENGINE)


OTHERS = {
    "text": (Take(replace(UTTERANCE, text="give cefazolin later")), ENGINE),
    "voice": (Take(replace(UTTERANCE, voice=Voice("espeak:en-us+m1"))), ENGINE),
    "rate": (Take(replace(UTTERANCE, voice=Voice("espeak:en-us+m3", rate=150))), ENGINE),
    "pitch": (Take(replace(UTTERANCE, voice=Voice("espeak:en-us+m3", pitch=60))), ENGINE),
    "pronunciation": (Take(replace(UTTERANCE, prescribed=(Prescription("cefazolin", "sɛfæzəlin"),))), ENGINE),
    "engine": (CLEAN_TAKE, SilentEngine(name="flite")),
    "version of the engine": (CLEAN_TAKE, SilentEngine(version="1.53.0/1")),
    "noise": (NOISY_TAKE, ENGINE),
}


@pytest.mark.parametrize(("other", "engine"), OTHERS.values(), ids=OTHERS.keys())
def test_what_sounds_different_has_another_key(other: Take, engine: SilentEngine) -> None:
    assert other.key(engine) != CLEAN_TAKE.key(ENGINE)


@pytest.mark.parametrize(
    "other", [replace(NOISY_TAKE, noise_level="snr_5db"), replace(NOISY_TAKE, noise_kind="babble")]
)
def test_other_noise_has_another_key(other: Take) -> None:
    assert other.key(ENGINE) != NOISY_TAKE.key(ENGINE)
    assert other.synthesis_group(ENGINE) == NOISY_TAKE.synthesis_group(ENGINE)


def test_the_file_is_named_by_the_key(tmp_path: Path) -> None:
    path = NOISY_TAKE.path(tmp_path, ENGINE)
    assert path == tmp_path / f"{NOISY_TAKE.key(ENGINE)}.wav"
    assert len(path.stem) == 64
    assert NOISY_TAKE.path(tmp_path, SilentEngine()) == path


def test_with_noise_gives_a_take_a_level_in_order() -> None:
    takes = with_noise(UTTERANCE, ("snr_15db", CLEAN, "snr_5db"))
    assert [take.noise_level for take in takes] == ["snr_15db", CLEAN, "snr_5db"]
    assert takes[1] == CLEAN_TAKE
    assert with_noise(UTTERANCE, ("snr_15db", CLEAN, "snr_5db")) == takes


def test_the_kinds_of_noise_are_spread_over_texts_and_voices() -> None:
    kinds = Counter(
        with_noise(Utterance(f"give dose number {number}", Voice(voice)), ("snr_5db",))[0].noise_kind
        for number in range(100)
        for voice in ("espeak:en-us+m3", "espeak:en-gb+f2")
    )
    assert set(kinds) == set(NOISE_KINDS)
    assert min(kinds.values()) > 25, "200 takes, four kinds: about 50 of each are expected"
    one_voice = {
        with_noise(Utterance(f"text {n}", UTTERANCE.voice), ("snr_5db",))[0].noise_kind for n in range(40)
    }
    one_text = {
        with_noise(replace(UTTERANCE, voice=Voice(f"espeak:{n}")), ("snr_5db",))[0].noise_kind
        for n in range(40)
    }
    assert len(one_voice) >= 2
    assert len(one_text) >= 2
