"""Which audio must not enter a corpus, each fault made from real speech."""

from collections.abc import Callable

import numpy as np
import pytest
import soxr

from flywheel.speech.engines.espeak import SEEN_VOICES, EspeakSynthesizer
from flywheel.speech.quality import audio_faults
from flywheel.speech.synthesizer import SAMPLING_RATE, Samples, Utterance, Waveform

TEXT = "the patient was given cefazolin before the operation"
WORDS = len(TEXT.split())


@pytest.fixture(scope="module")
def speech() -> Samples:
    spoken = EspeakSynthesizer().synthesize(Utterance(TEXT, SEEN_VOICES[0]))
    resampled: Samples = soxr.resample(spoken.samples, spoken.sampling_rate, SAMPLING_RATE)
    return resampled


def loudest_at(samples: Samples) -> int:
    return int(np.argmax(np.abs(samples)))


GOOD: dict[str, Callable[[Samples], Samples]] = {
    "as spoken": lambda speech: speech,
    "with long pauses around it": lambda speech: np.pad(speech, 3 * SAMPLING_RATE),
    "quiet": lambda speech: 0.02 * speech,
    "loud, its peak at full scale": lambda speech: speech / np.abs(speech).max(),
    "a recording that fades out": lambda speech: np.concatenate([speech, 0.05 * speech[:800]]),
}

BAD: dict[str, tuple[Callable[[Samples], Samples], str]] = {
    "all zeros": (np.zeros_like, "silent: RMS 0.000000 of full scale, at least 0.001 is needed"),
    "speech at -80 dB": (lambda speech: 1e-4 * speech / np.abs(speech).max(), "silent: RMS 0.0000"),
    "no samples": (lambda speech: speech[:0], "silent: it has no samples"),
    "amplified tenfold": (lambda speech: np.clip(20 * speech, -1, 1), "clipped: "),
    "beyond full scale": (lambda speech: 20 * speech, "clipped: "),
    "cut where it is loudest": (
        lambda speech: (0.9 * speech / np.abs(speech).max())[: loudest_at(speech) + 1],
        "truncated: still at 0.90 of full scale when it ends",
    ),
    "the first half second": (
        lambda speech: speech[: SAMPLING_RATE // 2],
        f"truncated: {WORDS} words in 0.50 s",
    ),
}


@pytest.mark.parametrize("change", GOOD.values(), ids=GOOD.keys())
def test_good_audio_has_no_fault(speech: Samples, change: Callable[[Samples], Samples]) -> None:
    assert audio_faults(Waveform(change(speech), SAMPLING_RATE), WORDS) == []


@pytest.mark.parametrize(("change", "said"), BAD.values(), ids=BAD.keys())
def test_a_fault_is_named(speech: Samples, change: Callable[[Samples], Samples], said: str) -> None:
    faults = audio_faults(Waveform(change(speech), SAMPLING_RATE), WORDS)
    assert any(fault.startswith(said) for fault in faults), faults


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100])
def test_another_rate_is_a_fault(speech: Samples, rate: int) -> None:
    found = audio_faults(Waveform(speech, rate), WORDS)
    assert found == [f"wrong rate: {rate} Hz, allowed is 16000 Hz"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_no_numbers_are_a_fault(speech: Samples, value: float) -> None:
    broken = speech.copy()
    broken[1000:1010] = value
    [fault] = audio_faults(Waveform(broken, SAMPLING_RATE), WORDS)
    assert fault == f"not finite: 10 of {len(speech)} samples are NaN or infinite"


@pytest.mark.parametrize(("share", "faulty"), [(0.0008, False), (0.0015, True)])
def test_a_few_samples_at_full_scale_are_no_clipping(speech: Samples, share: float, faulty: bool) -> None:
    samples = speech.copy()
    samples[1000 : 1000 + round(share * len(samples))] = 1.0
    faults = audio_faults(Waveform(samples, SAMPLING_RATE), WORDS)
    assert any("clipped" in fault for fault in faults) is faulty


def test_several_faults_are_all_named(speech: Samples) -> None:
    faults = audio_faults(Waveform(np.full(1600, 1.0, dtype=np.float32), SAMPLING_RATE), WORDS)
    assert [fault.partition(":")[0] for fault in faults] == ["clipped", "truncated", "truncated"]
