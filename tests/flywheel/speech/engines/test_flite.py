"""flite by its command: what is asked of it, what it is not trusted with, and how it fails. What it says is tried for
real in `tests/real/test_flite.py`."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from flywheel.pronunciation.prescriptions import Prescription
from flywheel.speech.engines.flite import VOICES, FliteSynthesizer, is_installed
from flywheel.speech.synthesizer import SynthesisError, Utterance, Voice
from tests.flite_command import install

SLT = Voice("flite:slt", rate=150)
TEXT = "the patient was given cefazolin before the operation"


@pytest.fixture
def flite(tmp_path: Path) -> FliteSynthesizer:
    return FliteSynthesizer(str(install(tmp_path)))


def test_it_is_a_synthesizer_with_a_version_and_the_voices_of_its_build(flite: FliteSynthesizer) -> None:
    assert (flite.name, flite.version) == ("flite", "2.2-current/1")
    assert flite.voices == VOICES, "those of 8 kHz, and those that tell the time, are left out"
    assert {voice.engine for voice in VOICES} == {"flite"}


def test_a_build_with_fewer_voices_has_fewer(tmp_path: Path) -> None:
    small = FliteSynthesizer(str(install(tmp_path, voices="kal slt")))
    assert [voice.voice_id for voice in small.voices] == ["flite:slt"]
    with pytest.raises(SynthesisError, match="no voice 'flite:awb'; allowed, of this build: flite:slt"):
        small.synthesize(Utterance(TEXT, Voice("flite:awb")))


def test_it_speaks_at_16_khz_and_at_the_pace_asked_for(flite: FliteSynthesizer) -> None:
    spoken = flite.synthesize(Utterance(TEXT, SLT))
    assert (spoken.sampling_rate, spoken.samples.dtype) == (16_000, np.float32)
    assert 0.1 < float(np.abs(spoken.samples).max()) <= 1.0
    slower = flite.synthesize(Utterance(TEXT, Voice("flite:slt", rate=120)))
    assert slower.seconds / spoken.seconds == pytest.approx(150 / 120, rel=0.01)
    assert not np.array_equal(
        flite.synthesize(Utterance(TEXT, Voice("flite:rms", 150))).samples, spoken.samples
    )


def test_a_text_is_no_option_and_no_command(flite: FliteSynthesizer, tmp_path: Path) -> None:
    for text in ("-lv and more", "--version of it", f"$(touch {tmp_path}/x) `touch {tmp_path}/x` ; touch x"):
        assert flite.synthesize(Utterance(text, SLT)).seconds > 1, text
    assert not (tmp_path / "x").exists()


def test_a_worker_process_gets_a_copy(flite: FliteSynthesizer) -> None:
    assert flite.version
    copy = pickle.loads(pickle.dumps(flite))
    assert copy == flite
    assert np.array_equal(
        copy.synthesize(Utterance("hello", SLT)).samples, flite.synthesize(Utterance("hello", SLT)).samples
    )


@pytest.mark.parametrize(
    ("utterance", "said"),
    [
        (Utterance(TEXT, Voice("flite:nobody")), "flite has no voice 'flite:nobody'; allowed, of this build: "),
        (Utterance(TEXT, Voice("flite:http://example.org/x.flitevox")), "flite has no voice 'flite:http:"),
        (Utterance(TEXT, Voice("espeak:slt")), "flite has no voice 'espeak:slt'"),
        (Utterance(TEXT, Voice("flite:slt", pitch=60)), "flite, pitch: found 60; allowed: 50"),
        (
            Utterance(TEXT, SLT, (Prescription("cefazolin", "sɪˈfæzəlɪn"),)),
            "flite cannot speak prescribed pronunciations: found some for cefazolin; allowed: none",
        ),
        (Utterance("ménière's disease", SLT), "flite reads ASCII only: found \"ménière's disease\""),
    ],
    ids=["voice", "address", "engine", "pitch", "pronunciation", "accents"],
)  # fmt: skip
def test_what_it_would_speak_otherwise_than_asked_is_refused(
    flite: FliteSynthesizer, utterance: Utterance, said: str
) -> None:
    with pytest.raises(SynthesisError) as caught:
        flite.synthesize(utterance)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("mood", "said"),
    [
        ("asleep", "took longer than 0.5 s"),
        ("broken", "ended with 139"),
        ("mute", f"spoke nothing of {TEXT!r}: cst_wave_save: can't open file"),
        ("stranger", "-lv: found 'usage: flite TEXT'; allowed: a list of voices"),
    ],
)
def test_a_command_that_fails_is_told_from_one_that_speaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mood: str, said: str
) -> None:
    monkeypatch.setenv("FLITE_MOOD", mood)
    flite = FliteSynthesizer(str(install(tmp_path)), timeout=0.5 if mood == "asleep" else 60.0)
    with pytest.raises(SynthesisError) as caught:
        flite.synthesize(Utterance(TEXT, SLT))
    assert said in str(caught.value)


def test_a_command_of_another_kind_has_no_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLITE_MOOD", "stranger")
    with pytest.raises(SynthesisError, match="--version: found 'flite: a small simple speech synthesizer'"):
        _ = FliteSynthesizer(str(install(tmp_path))).version


def test_without_the_command_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not is_installed()
    with pytest.raises(
        SynthesisError, match=r"there is no command 'flite'; install it, e\.g\. `apt-get install flite`"
    ):
        _ = FliteSynthesizer().version
    install(tmp_path)
    assert is_installed()
    (tmp_path / "flite").write_text("no program at all")
    with pytest.raises(SynthesisError, match="flite could not be started: Exec format error"):
        _ = FliteSynthesizer().version
