"""WAV files as they come over a network: whole, or refused."""

import io
import struct

import numpy as np
import pytest
import soundfile

from flywheel.speech.purchasing.wav import BrokenWav, decoded_wav

SAMPLES = np.sin(np.arange(4800) / 10, dtype=np.float32) / 2


def wav_of(samples: np.ndarray, rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


WAV = wav_of(SAMPLES, 48_000)


def test_a_whole_file_is_decoded_at_its_own_rate() -> None:
    audio = decoded_wav(WAV)
    assert audio.sampling_rate == 48_000
    assert audio.samples.shape == SAMPLES.shape
    assert np.abs(audio.samples - SAMPLES).max() < 1e-4


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF])
def test_a_file_that_was_written_as_it_came_has_no_length(length: int) -> None:
    place = WAV.index(b"data") + 4
    streamed = WAV[:place] + struct.pack("<I", length) + WAV[place + 4 :]
    assert len(decoded_wav(streamed).samples) == len(SAMPLES)


def test_other_chunks_are_passed_over() -> None:
    place = WAV.index(b"data")
    tagged = WAV[:place] + b"LIST" + struct.pack("<I", 3) + b"abc\0" + WAV[place:]
    assert len(decoded_wav(tagged).samples) == len(SAMPLES)


@pytest.mark.parametrize(
    ("wav", "said"),
    [
        pytest.param(WAV[: len(WAV) // 2], f"it is cut off: {len(WAV) // 2} of {len(WAV)} bytes", id="half"),
        pytest.param(WAV[:-1], f"it is cut off: {len(WAV) - 1} of {len(WAV)} bytes", id="a byte less"),
        pytest.param(WAV[:30], "it is cut off: it ends in its header", id="in the header"),
        pytest.param(b"", "it is not a WAV file", id="nothing"),
        pytest.param(b"ID3" + bytes(100), "it is not a WAV file", id="MP3"),
        pytest.param(wav_of(np.stack([SAMPLES, SAMPLES], 1), 48_000), "it has 2 channels", id="stereo"),
        pytest.param(WAV[:20] + b"\xff\xff" + WAV[22:], "it cannot be decoded", id="unknown coding"),
    ],
)
def test_what_is_not_whole_is_refused(wav: bytes, said: str) -> None:
    with pytest.raises(BrokenWav) as caught:
        decoded_wav(wav)
    assert str(caught.value).startswith(said)
