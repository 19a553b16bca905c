"""Noise at a stated signal-to-noise ratio, seeded, of several kinds."""

import re
from collections.abc import Callable
from types import MappingProxyType

import numpy as np

from flywheel.errors import FlywheelError
from flywheel.speech.synthesizer import Samples

CLEAN = "clean"
VERSION = 1
"""Raised whenever the same seed would give other noise: it is part of a noisy file's content key."""

_FRAME_SECONDS = 0.02
_ACTIVE_RANGE_DB = 35.0
_PEAK_LIMIT = 0.95


def snr_db(noise_level: str) -> float | None:
    """The SNR of a noise level in dB: ``snr_15db`` gives 15.0, ``clean`` gives None.

    Raises `FlywheelError` for anything else.
    """
    if noise_level == CLEAN:
        return None
    match = re.fullmatch(r"snr_(\d+)db", noise_level)
    if match is None:
        raise FlywheelError(f"noise level {noise_level!r} is unknown: allowed are 'clean' and 'snr_<n>db'")
    return float(match[1])


def active_speech(samples: Samples, sampling_rate: int) -> Samples:
    """The samples of all 20 ms frames within 35 dB of the loudest one, joined: pauses do not count as speech."""
    size = int(_FRAME_SECONDS * sampling_rate)
    frames = samples[: len(samples) // size * size].reshape(-1, size)
    if len(frames) == 0:
        return samples
    power = np.mean(np.square(frames, dtype=np.float64), axis=1)
    active = power > power.max() * 10 ** (-_ACTIVE_RANGE_DB / 10)
    return frames[active].reshape(-1) if active.any() else samples


def mix(speech: Samples, sampling_rate: int, snr: float, kind: str, seed: int) -> Samples:
    """`speech` with noise added over its whole length, at `snr` dB over the speech-active part.

    Speech power is measured over the active frames, noise power over the whole. The sum is scaled down
    where it would clip, which leaves the ratio as it is. Silence is refused with `FlywheelError`: it has
    no ratio.
    """
    speech_power = float(np.mean(np.square(active_speech(speech, sampling_rate), dtype=np.float64)))
    if speech_power == 0.0:
        raise FlywheelError("noise cannot be mixed into silence: the audio has no speech-active part")
    noise = _KINDS[kind](len(speech), sampling_rate, np.random.default_rng(seed))
    noise_power = float(np.mean(np.square(noise)))
    gain = np.sqrt(speech_power / noise_power / 10 ** (snr / 10))
    mixed = speech + gain * noise
    scaled = mixed * min(1.0, _PEAK_LIMIT / float(np.abs(mixed).max()))
    return np.asarray(scaled, dtype=np.float32)


def _shaped(
    length: int,
    sampling_rate: int,
    generator: np.random.Generator,
    amplitude: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """Gaussian noise whose spectrum follows `amplitude` of the frequency in Hz."""
    spectrum = np.fft.rfft(generator.standard_normal(length))
    return np.fft.irfft(spectrum * amplitude(np.fft.rfftfreq(length, 1 / sampling_rate)), n=length)


def _white(length: int, sampling_rate: int, generator: np.random.Generator) -> np.ndarray:
    return generator.standard_normal(length)


def _pink(length: int, sampling_rate: int, generator: np.random.Generator) -> np.ndarray:
    """Power falls by 3 dB an octave, as of ventilation and traffic."""
    return _shaped(length, sampling_rate, generator, lambda hertz: 1 / np.sqrt(np.maximum(hertz, 20.0)))


def _babble(length: int, sampling_rate: int, generator: np.random.Generator) -> np.ndarray:
    """Speech-shaped noise, swelling at syllable rate (4 Hz): people talking further away.

    The long-term spectrum of speech is flat to about 500 Hz and falls by 9 dB an octave above
    [Byrne et al. 1994].
    """
    talk = _shaped(
        length, sampling_rate, generator, lambda hertz: (1 + (hertz / 500) ** 2) ** -0.75 * (hertz > 80)
    )
    swell = _shaped(length, sampling_rate, generator, lambda hertz: np.exp(-(((hertz - 4.0) / 3.0) ** 2)))
    return talk * (1 + 0.5 * np.clip(swell / max(float(swell.std()), 1e-12), -1.8, 1.8))


def _hum(length: int, sampling_rate: int, generator: np.random.Generator) -> np.ndarray:
    """Mains hum of 60 Hz with odd and even harmonics over a little white noise: machines by the bed."""
    seconds = np.arange(length) / sampling_rate
    tones = sum(
        np.sin(2 * np.pi * 60 * harmonic * seconds + generator.uniform(0, 2 * np.pi)) / harmonic
        for harmonic in range(1, 12)
    )
    return tones + 0.3 * generator.standard_normal(length)


_KINDS: MappingProxyType[str, Callable[[int, int, np.random.Generator], np.ndarray]] = MappingProxyType(
    {"pink": _pink, "babble": _babble, "white": _white, "hum": _hum}
)
NOISE_KINDS = tuple(_KINDS)
