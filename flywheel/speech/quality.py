"""Audio that must not enter a corpus: silent, clipped, truncated, not finite or at the wrong rate."""

import numpy as np

from flywheel.speech.noise import active_speech
from flywheel.speech.synthesizer import SAMPLING_RATE, Waveform

_SILENT_RMS = 10 ** (-60 / 20)
_CLIPPED_FRACTION = 0.001
_FASTEST_WORDS_A_SECOND = 7.0
_TAIL_SECONDS = 0.005
_TAIL_PEAK = 0.1


def audio_faults(audio: Waveform, words: int, *, noisy: bool = False) -> list[str]:
    """What is wrong with a recording of `words` words; empty where nothing is.

    In a `noisy` one the noise itself may be loud when it ends.

    - rate: other than 16 000 Hz;
    - not finite: samples that are NaN or infinite;
    - silent: RMS of the active part below -60 dB of full scale;
    - clipped: more than one sample in a thousand at full scale;
    - truncated: more than 7 words a second, or speech still loud in the last 5 ms.
    """
    if audio.sampling_rate != SAMPLING_RATE:
        return [f"wrong rate: {audio.sampling_rate} Hz, allowed is {SAMPLING_RATE} Hz"]
    if len(audio.samples) == 0:
        return ["silent: it has no samples"]
    not_finite = int(np.count_nonzero(~np.isfinite(audio.samples)))
    if not_finite:
        return [f"not finite: {not_finite} of {len(audio.samples)} samples are NaN or infinite"]
    faults = []
    active = active_speech(audio.samples, audio.sampling_rate)
    rms = float(np.sqrt(np.mean(np.square(active, dtype=np.float64))))
    if rms < _SILENT_RMS:
        faults.append(f"silent: RMS {rms:.6f} of full scale, at least {_SILENT_RMS:.3f} is needed")
    clipped = float(np.mean(np.abs(audio.samples) >= 0.999))
    if clipped > _CLIPPED_FRACTION:
        faults.append(
            f"clipped: {clipped:.1%} of the samples at full scale, allowed is {_CLIPPED_FRACTION:.1%}"
        )
    if words / audio.seconds > _FASTEST_WORDS_A_SECOND:
        faults.append(f"truncated: {words} words in {audio.seconds:.2f} s")
    tail = audio.samples[-int(_TAIL_SECONDS * audio.sampling_rate) :]
    if not noisy and rms >= _SILENT_RMS and float(np.abs(tail).max()) > _TAIL_PEAK:
        faults.append(f"truncated: still at {float(np.abs(tail).max()):.2f} of full scale when it ends")
    return faults
