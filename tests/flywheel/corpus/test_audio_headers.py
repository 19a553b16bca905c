"""The audio pre-flight: every fault that would make NeMo drop a row or misread it, in real files."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from flywheel.corpus.audio_headers import AudioError, check_audio, read_wav_header
from flywheel.corpus.manifest import ManifestRow
from flywheel.errors import FlywheelError


def row(path: str | Path, duration: float = 1.0) -> ManifestRow:
    return ManifestRow(
        id=Path(path).stem,
        audio_filepath=str(path),
        text="The ferry leaves at noon.",
        duration=duration,
        sampling_rate=16000,
        ipa_source="espeak_g2p",
        voice_id="espeak:en-us+m3",
        noise_level="clean",
        synthesis_group=Path(path).stem,
    )


def tone(
    path: Path,
    seconds: float = 1.0,
    rate: int = 16000,
    channels: int = 1,
    subtype: str = "PCM_16",
    form: str = "WAV",
) -> Path:
    moments = np.arange(round(seconds * rate)) / rate
    samples = 0.3 * np.sin(2 * np.pi * 440 * moments)
    soundfile.write(path, np.column_stack([samples] * channels), rate, subtype=subtype, format=form)
    return path


def cut(path: Path, size: int) -> None:
    tone(path)
    os.truncate(path, size)


def with_claimed_bytes(path: Path, claimed: int) -> None:
    """As a recorder leaves it that was killed before it came back to the header."""
    data = bytearray(tone(path).read_bytes())
    position = data.index(b"data") + 4
    data[position : position + 4] = struct.pack("<I", claimed)
    path.write_bytes(bytes(data))


def problems_of(*rows: ManifestRow, root: Path | None = None, max_duration: float = 20.0) -> tuple[str, ...]:
    with pytest.raises(AudioError) as caught:
        check_audio(rows, root=root, max_duration=max_duration)
    return caught.value.problems


@pytest.mark.parametrize(
    ("form", "seconds", "stated"),
    [
        ("WAV", 1.0, 1.0),
        ("WAVEX", 1.0, 1.0),
        ("WAV", 1.0, 1.01),
        ("WAV", 1.0, 0.99),
        ("WAV", 0.1, 0.1),
        ("WAV", 20.0, 20.0),
        ("WAV", 1.00003, 1.0),
    ],
)
def test_good_audio_passes(tmp_path: Path, form: str, seconds: float, stated: float) -> None:
    check_audio([row(tone(tmp_path / "a.wav", seconds, form=form), stated)])


def test_chunks_before_and_after_the_samples_are_passed_over(tmp_path: Path) -> None:
    path = tone(tmp_path / "a.wav")
    data = path.read_bytes()
    note = b"LIST" + struct.pack("<I", 5) + b"INFO!\0"
    path.write_bytes(data[:12] + note + data[12:] + note)
    check_audio([row(path)])


FAULTS: list[tuple[Callable[[Path], object], str]] = [
    (lambda path: None, "found no such file; allowed: a WAV file"),
    (lambda path: path.mkdir(), "found is a directory; allowed: a readable WAV file"),
    (lambda path: path.touch(), "found an empty file; allowed: a WAV file"),
    (
        lambda path: path.write_text("no audio here"),
        "found a file that starts with b'no audio her', not with RIFF",
    ),
    (lambda path: tone(path, form="FLAC"), "found a file that starts with b'fLaC"),
    (lambda path: tone(path, channels=2), "found 2 channels; allowed: 1 (mono)"),
    (lambda path: tone(path, rate=8000), "found 8000 Hz; allowed: 16000 Hz"),
    (lambda path: tone(path, rate=44100), "found 44100 Hz; allowed: 16000 Hz"),
    (lambda path: tone(path, subtype="PCM_24"), "found 24-bit PCM; allowed: 16-bit PCM"),
    (lambda path: tone(path, subtype="PCM_U8"), "found 8-bit PCM; allowed: 16-bit PCM"),
    (lambda path: tone(path, subtype="FLOAT"), "found 32-bit floating point; allowed: 16-bit PCM"),
    (lambda path: tone(path, subtype="ULAW"), "found 8-bit mu-law; allowed: 16-bit PCM"),
    (lambda path: tone(path, subtype="PCM_24", form="WAVEX"), "found 24-bit PCM; allowed: 16-bit PCM"),
    (
        lambda path: cut(path, 20_044),
        "found 20000 of the 32000 bytes of samples that its header claims; allowed: a whole",
    ),
    (lambda path: cut(path, 44), "found 0 of the 32000 bytes of samples that its header claims"),
    (lambda path: cut(path, 30), "found a WAV header without samples"),
    (lambda path: cut(path, 7), "found a file that starts with b'RIFF"),
    (lambda path: with_claimed_bytes(path, 0xFFFFFFFF), "found 32000 of the 4294967295 bytes of samples"),
    (
        lambda path: tone(path, seconds=0.985),
        "found 0.985 s; allowed: the manifest's 1.000 s, give or take 10 ms",
    ),
    (
        lambda path: tone(path, seconds=1.015),
        "found 1.015 s; allowed: the manifest's 1.000 s, give or take 10 ms",
    ),
]


@pytest.mark.parametrize(("make", "fault"), FAULTS)
def test_a_fault_is_named_with_its_row_and_file(
    tmp_path: Path, make: Callable[[Path], object], fault: str
) -> None:
    path = tmp_path / "a.wav"
    make(path)
    (problem,) = problems_of(row(path))
    assert problem.startswith(f"row a ({path}): {fault}")


@pytest.mark.parametrize(
    "make", [lambda path: tone(path, seconds=0), lambda path: with_claimed_bytes(path, 0)]
)
def test_audio_without_samples_is_refused(tmp_path: Path, make: Callable[[Path], object]) -> None:
    path = tmp_path / "a.wav"
    make(path)
    assert "found 0.000 s; allowed: the manifest's 1.000 s" in problems_of(row(path))[0]


@pytest.mark.parametrize(("seconds", "limit"), [(0.09, 20.0), (20.01, 20.0), (1.2, 1.0)])
def test_audio_that_the_trainer_would_drop_is_refused(tmp_path: Path, seconds: float, limit: float) -> None:
    path = tone(tmp_path / "a.wav", seconds)
    (problem,) = problems_of(row(path, seconds), max_duration=limit)
    assert problem.endswith(f"found {seconds:.3f} s; allowed: 0.1 to {limit:g} s, NeMo drops the rest")


def test_all_faults_of_all_rows_come_in_one_report_in_row_order(tmp_path: Path) -> None:
    rows = [
        row(tone(tmp_path / "good.wav")),
        row(tone(tmp_path / "bad.wav", 0.5, rate=8000, channels=2, subtype="PCM_24")),
        row(tmp_path / "absent.wav"),
        *[row(tone(tmp_path / f"good{number}.wav")) for number in range(20)],
        row(tone(tmp_path / "short.wav", 0.5)),
    ]
    problems = problems_of(*rows)
    assert [problem.split(" ")[1] for problem in problems] == ["bad"] * 4 + ["absent", "short"]
    with pytest.raises(AudioError, match="audio of 24 rows: 6 problems"):
        check_audio(rows)


def test_relative_paths_start_at_the_root(tmp_path: Path) -> None:
    (tmp_path / "speech").mkdir()
    tone(tmp_path / "speech" / "a.wav")
    check_audio([row("speech/a.wav")], root=tmp_path)
    (problem,) = problems_of(row("a.wav"), root=tmp_path)
    assert str(tmp_path / "a.wav") in problem


def test_no_rows_are_no_problem() -> None:
    check_audio([])


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("rate", [8000, 16000, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_header_says_what_soundfile_says(tmp_path: Path, subtype: str, rate: int, channels: int) -> None:
    path = tone(tmp_path / "a.wav", 0.75, rate, channels, subtype)
    header, info = read_wav_header(path), soundfile.info(path)
    assert (header.sampling_rate, header.channels) == (info.samplerate, info.channels)
    assert header.duration == pytest.approx(info.duration)
    assert header.claimed_bytes == header.present_bytes


def test_samples_before_their_format_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF\x24\0\0\0WAVEdata" + struct.pack("<I", 4) + b"\0\0\0\0")
    with pytest.raises(FlywheelError, match="before their format"):
        read_wav_header(path)
