"""Noise: the ratio that was asked for, over the part that is speech, the same for the same seed."""

import numpy as np
import pytest
import soxr

from flywheel.errors import FlywheelError
from flywheel.speech.engines.espeak import SEEN_VOICES, EspeakSynthesizer
from flywheel.speech.noise import CLEAN, NOISE_KINDS, active_speech, mix, snr_db
from flywheel.speech.synthesizer import SAMPLING_RATE, Samples, Utterance

TOLERANCE_DB = 0.1


@pytest.fixture(scope="module")
def speech() -> Samples:
    """A sentence with a pause, quiet enough that no mixture has to be scaled down."""
    utterance = Utterance("she felt well, and was given cefazolin before the operation", SEEN_VOICES[1])
    spoken = EspeakSynthesizer().synthesize(utterance)
    resampled = soxr.resample(spoken.samples, spoken.sampling_rate, SAMPLING_RATE)
    quiet: Samples = (0.1 * resampled / np.abs(resampled).max()).astype(np.float32)
    return quiet


def power_db(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64))))


def speech_power_db(samples: np.ndarray) -> float:
    """Of the 20 ms frames within 35 dB of the loudest, worked out frame by frame."""
    frames = [samples[start : start + 320] for start in range(0, len(samples) - 319, 320)]
    levels = [10 ** (power_db(frame) / 10) if frame.any() else 0.0 for frame in frames]
    loud = [level for level in levels if level > max(levels) / 10**3.5]
    return float(10 * np.log10(np.mean(loud)))


@pytest.mark.parametrize("snr", [-5.0, 0.0, 5.0, 15.0, 30.0])
@pytest.mark.parametrize("kind", NOISE_KINDS)
def test_the_ratio_is_the_one_that_was_asked_for(speech: Samples, kind: str, snr: float) -> None:
    quiet = 0.2 * speech
    noise = mix(quiet, SAMPLING_RATE, snr, kind, seed=7).astype(np.float64) - quiet
    assert speech_power_db(quiet) - power_db(noise) == pytest.approx(snr, abs=TOLERANCE_DB)


@pytest.mark.parametrize("kind", NOISE_KINDS)
def test_pauses_do_not_count_as_speech(speech: Samples, kind: str) -> None:
    # Measured over the whole, two thirds of silence would take 4.8 dB off.
    padded = np.concatenate([speech, np.zeros(2 * len(speech), dtype=np.float32)])
    noise = mix(padded, SAMPLING_RATE, 10.0, kind, seed=7).astype(np.float64) - padded
    assert speech_power_db(speech) - power_db(noise) == pytest.approx(10.0, abs=TOLERANCE_DB)


@pytest.mark.parametrize("kind", NOISE_KINDS)
def test_what_would_clip_is_scaled_down_as_a_whole(speech: Samples, kind: str) -> None:
    loud = mix(9 * speech, SAMPLING_RATE, 0.0, kind, seed=7).astype(np.float64)
    unscaled = 9 * mix(speech, SAMPLING_RATE, 0.0, kind, seed=7).astype(np.float64)
    assert np.abs(unscaled).max() > 1.0, "the case must need scaling"
    assert np.abs(loud).max() == pytest.approx(0.95, abs=1e-4)
    scale = 0.95 / np.abs(unscaled).max()
    assert np.allclose(loud, scale * unscaled, atol=1e-5)


@pytest.mark.parametrize("kind", NOISE_KINDS)
def test_equal_seeds_give_equal_noise_and_others_other_noise(speech: Samples, kind: str) -> None:
    first, again, other = (mix(speech, SAMPLING_RATE, 5.0, kind, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_kinds_sound_different(speech: Samples) -> None:
    noises = [
        mix(speech, SAMPLING_RATE, 5.0, kind, seed=1).astype(np.float64) - speech for kind in NOISE_KINDS
    ]
    assert len(NOISE_KINDS) >= 2
    # Where the energy lies tells the kinds apart: median of the spectrum in Hz.
    medians = []
    for noise in noises:
        energy = np.cumsum(np.abs(np.fft.rfft(noise)) ** 2)
        medians.append(np.searchsorted(energy, energy[-1] / 2) * SAMPLING_RATE / len(noise))
    assert dict(zip(NOISE_KINDS, medians, strict=True))["white"] == pytest.approx(4000, rel=0.1)
    assert min(abs(a - b) for a in medians for b in medians if a is not b) > 30


def test_noise_covers_the_whole_length(speech: Samples) -> None:
    padded = np.concatenate([np.zeros(SAMPLING_RATE, dtype=np.float32), speech])
    for kind in NOISE_KINDS:
        mixed = mix(padded, SAMPLING_RATE, 5.0, kind, seed=3)
        assert mixed.shape == padded.shape
        assert mixed.dtype == np.float32
        tenths = np.split(mixed[: SAMPLING_RATE // 10 * 10], 10)
        assert all(tenth.any() for tenth in tenths), kind


def test_the_speech_itself_is_not_changed(speech: Samples) -> None:
    before = speech.copy()
    mix(speech, SAMPLING_RATE, 5.0, "pink", seed=1)
    assert np.array_equal(speech, before)


@pytest.mark.parametrize("length", [1, 319, SAMPLING_RATE], ids=["one sample", "under a frame", "a second"])
def test_silence_is_refused(length: int) -> None:
    with pytest.raises(FlywheelError, match="noise cannot be mixed into silence"):
        mix(np.zeros(length, dtype=np.float32), SAMPLING_RATE, 5.0, "pink", seed=1)


@pytest.mark.parametrize(
    ("level", "expected"),
    [(CLEAN, None), ("snr_15db", 15.0), ("snr_5db", 5.0), ("snr_0db", 0.0)],
)
def test_a_noise_level_says_its_ratio(level: str, expected: float | None) -> None:
    assert snr_db(level) == expected


@pytest.mark.parametrize(
    "level", ["", "Clean", "snr_15", "15db", "snr_db", "snr_1.5db", "snr_15db ", "snr_15dB"]
)
def test_an_unknown_noise_level_is_refused(level: str) -> None:
    with pytest.raises(FlywheelError) as caught:
        snr_db(level)
    assert str(caught.value) == f"noise level {level!r} is unknown: allowed are 'clean' and 'snr_<n>db'"


def test_active_speech_leaves_pauses_out(speech: Samples) -> None:
    silence = np.zeros(SAMPLING_RATE, dtype=np.float32)
    whole = speech[: len(speech) // 320 * 320]
    joined = np.concatenate([silence, whole, silence])
    assert np.array_equal(active_speech(joined, SAMPLING_RATE), active_speech(whole, SAMPLING_RATE))
    assert 0.3 * len(whole) < len(active_speech(whole, SAMPLING_RATE)) < len(whole)
