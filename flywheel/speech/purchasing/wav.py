"""WAV files that came over a network: decoded, or refused where they are not whole."""

import io
import struct

import numpy as np
import soundfile

from flywheel.speech.synthesizer import Waveform

__all__ = ["BrokenWav", "decoded_wav"]

_UNKNOWN_LENGTHS = (0, 0xFFFFFFFF)
"""What stands for the length in the header of a file that was written while its audio came."""


class BrokenWav(ValueError):
    """Bytes that are no whole mono WAV file; the message says what is wrong with `it`."""


def decoded_wav(wav: bytes) -> Waveform:
    """The audio of a mono WAV file; `BrokenWav` where it is none, or is shorter than its header says.

    The decoding library itself takes a file that was cut off for a shorter one.
    """
    whole = _whole(wav)
    try:
        samples, rate = soundfile.read(io.BytesIO(whole), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise BrokenWav(f"it cannot be decoded: {error}") from None
    if samples.shape[1] != 1:
        raise BrokenWav(f"it has {samples.shape[1]} channels where 1 was expected")
    return Waveform(np.ascontiguousarray(samples[:, 0]), rate)


def _whole(wav: bytes) -> bytes:
    """`wav` as it is, or with the length of its audio filled in where the header leaves it open."""
    if wav[:4] != b"RIFF" or wav[8:12] != b"WAVE":
        raise BrokenWav("it is not a WAV file")
    place = 12
    while place + 8 <= len(wav):
        chunk, size = struct.unpack_from("<4sI", wav, place)
        begin = place + 8
        if chunk == b"data":
            if size in _UNKNOWN_LENGTHS:
                return wav[: place + 4] + struct.pack("<I", len(wav) - begin) + wav[begin:]
            if begin + size > len(wav):
                raise BrokenWav(f"it is cut off: {len(wav)} of {begin + size} bytes")
            return wav
        place = begin + size + size % 2  # chunks begin at even places
    raise BrokenWav("it is cut off: it ends in its header")
