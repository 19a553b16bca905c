"""What every audio file of a manifest is like, from its header, before a job is spent on it.

NeMo drops a row whose audio it cannot use without failing, so training "works" on fewer rows.
"""

import os
import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from flywheel.corpus.manifest import ManifestRow, Seconds
from flywheel.errors import FlywheelError, Problems

__all__ = [
    "MAX_DURATION",
    "MIN_DURATION",
    "AudioError",
    "WavHeader",
    "check_audio",
    "read_wav_header",
    "wav_faults",
]

MIN_DURATION: Seconds = 0.1
MAX_DURATION: Seconds = 20.0
"""`min_duration` and `max_duration` of NeMo's stock fine-tuning configuration: it drops rows outside."""

_DURATION_TOLERANCE: Seconds = 0.010
_SAMPLING_RATE = 16_000
_PCM, _EXTENSIBLE = 0x0001, 0xFFFE
_FORMAT_NAMES = {0x0002: "ADPCM", 0x0003: "floating point", 0x0006: "A-law", 0x0007: "mu-law"}
# Files may lie on a network disk, where a header is a round trip; on a local one threads change nothing.
_READERS = 8


class AudioError(Problems):
    """Audio that cannot be used: every problem of every row."""


class _NotWavError(FlywheelError):
    """A file that is no readable WAV; the message says what it is instead."""


@dataclass(frozen=True, slots=True)
class WavHeader:
    """What a WAV file says of itself, and how much of it is there.

    Args:
        encoding: format tag; 1 is PCM.
        channels: 1 is mono.
        sampling_rate: Hz.
        bits: of one sample of one channel.
        claimed_bytes: of samples, as the header says.
        present_bytes: of samples, as the file holds; fewer where it was cut off.
    """

    encoding: int
    channels: int
    sampling_rate: int
    bits: int
    claimed_bytes: int
    present_bytes: int

    @property
    def duration(self) -> Seconds:
        """Of the samples that are there."""
        bytes_per_second = self.sampling_rate * self.channels * self.bits // 8
        return self.present_bytes / bytes_per_second if bytes_per_second else 0.0


def check_audio(
    rows: Sequence[ManifestRow],
    *,
    root: Path | None = None,
    min_duration: Seconds = MIN_DURATION,
    max_duration: Seconds = MAX_DURATION,
) -> None:
    """Read the header of every row's audio: a whole 16 kHz mono 16-bit PCM WAV of the row's duration.

    Args:
        rows: whose `audio_filepath` is absolute, or relative to `root`.
        root: where relative paths start, as a rule the manifest's folder; None is the working directory.
        min_duration, max_duration: the trainer would drop a row outside.

    Raises:
        AudioError: all problems of all rows, in row order, each with the row's id and file.
    """
    paths = [Path(row.audio_filepath) if root is None else root / row.audio_filepath for row in rows]
    with ThreadPoolExecutor(max_workers=_READERS) as readers:
        faults_by_row = readers.map(
            lambda row, path: wav_faults(path, row.duration, min_duration, max_duration), rows, paths
        )
        problems = [
            f"row {row.id} ({path}): {fault}"
            for row, path, faults in zip(rows, paths, faults_by_row, strict=True)
            for fault in faults
        ]
    if problems:
        raise AudioError(f"audio of {len(rows)} rows", problems)


def wav_faults(
    path: Path,
    expected: Seconds | None = None,
    min_duration: Seconds = MIN_DURATION,
    max_duration: Seconds = MAX_DURATION,
) -> tuple[str, ...]:
    """What is wrong with one file, from its header: ``found ...; allowed: ...`` each; empty where nothing is.

    Args:
        path: the file.
        expected: its duration as a manifest has it; None where nothing is claimed.
        min_duration, max_duration: the trainer would drop a row outside.
    """
    try:
        header = read_wav_header(path)
    except FileNotFoundError:
        return ("found no such file; allowed: a WAV file; synthesise the row again or mend the path",)
    except OSError as error:
        return (f"found {(error.strerror or type(error).__name__).lower()}; allowed: a readable WAV file",)
    except _NotWavError as error:
        return (f"{error}; allowed: a WAV file",)
    return (*_format_faults(header), *_length_faults(header, expected, min_duration, max_duration))


def read_wav_header(path: Path) -> WavHeader:
    """The header of a WAV file; no samples are read.

    Raises:
        OSError: the file is not there, or may not be read.
        FlywheelError: it is not a WAV file; the message says what was found.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(12)
        if not start:
            raise _NotWavError("found an empty file")
        if start[:4] != b"RIFF" or start[8:] != b"WAVE":
            raise _NotWavError(f"found a file that starts with {start!r}, not with RIFF....WAVE")
        sound_format: bytes | None = None
        for name, claimed, position in _chunks(file, size):
            if name == b"fmt ":
                sound_format = file.read(min(claimed, 40))
            elif name == b"data":
                if sound_format is None or len(sound_format) < 16:
                    raise _NotWavError("found a WAV file whose samples come before their format")
                return _header(sound_format, claimed, min(claimed, size - position))
    raise _NotWavError("found a WAV header without samples: the file was cut off before them")


def _chunks(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int, int]]:
    """(name, claimed bytes, position of the first) of each RIFF chunk; the file stands at that position."""
    position = 12
    while position + 8 <= size:
        file.seek(position)
        name, claimed = struct.unpack("<4sI", file.read(8))
        yield name, claimed, position + 8
        # Chunks are padded to whole words.
        position += 8 + claimed + claimed % 2


def _header(sound_format: bytes, claimed_bytes: int, present_bytes: int) -> WavHeader:
    encoding, channels, sampling_rate, _, _, bits = struct.unpack_from("<HHIIHH", sound_format)
    if encoding == _EXTENSIBLE and len(sound_format) >= 26:
        # The extensible form keeps the format tag in the first two bytes of its sub-format.
        (encoding,) = struct.unpack_from("<H", sound_format, 24)
    return WavHeader(encoding, channels, sampling_rate, bits, claimed_bytes, present_bytes)


def _format_faults(header: WavHeader) -> Iterator[str]:
    if header.encoding != _PCM or header.bits != 16:
        unnamed = f"encoding {header.encoding:#06x}"
        encoding = "PCM" if header.encoding == _PCM else _FORMAT_NAMES.get(header.encoding, unnamed)
        yield f"found {header.bits}-bit {encoding}; allowed: 16-bit PCM"
    if header.channels != 1:
        yield f"found {header.channels} channels; allowed: 1 (mono)"
    if header.sampling_rate != _SAMPLING_RATE:
        yield f"found {header.sampling_rate} Hz; allowed: {_SAMPLING_RATE} Hz"


def _length_faults(
    header: WavHeader, expected: Seconds | None, min_duration: Seconds, max_duration: Seconds
) -> Iterator[str]:
    if header.present_bytes < header.claimed_bytes:
        counts = (
            f"{header.present_bytes} of the {header.claimed_bytes} bytes of samples that its header claims"
        )
        yield f"found {counts}; allowed: a whole file, this one was cut off"
        return
    duration = header.duration
    # Half a sample of slack: the manifest's seconds are decimal, the file's are samples.
    if expected is not None and abs(duration - expected) > _DURATION_TOLERANCE + 0.5 / _SAMPLING_RATE:
        allowed = f"the manifest's {expected:.3f} s, give or take {_DURATION_TOLERANCE * 1000:.0f} ms"
        yield f"found {duration:.3f} s; allowed: {allowed}"
    if not min_duration <= duration <= max_duration:
        yield f"found {duration:.3f} s; allowed: {min_duration:g} to {max_duration:g} s, NeMo drops the rest"
