"""Data folders in which cycles name audio: manifests that are real, audio that is a few bytes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from flywheel.corpus.manifest import ManifestRow, write_manifest
from flywheel.files.cycles import CycleFolder

ESPEAK, HUME, TEAM = "espeak:en-us+m3", "hume:Ava Song", "recording:s01"


def name(word: str) -> str:
    """The content hash that stands for a word here."""
    return sha256(word.encode()).hexdigest()


@dataclass(frozen=True)
class Row:
    """One row: what it sounds like, who speaks, and the speech without noise that it was mixed from."""

    sound: str
    voice: str = ESPEAK
    mixed_from: str = ""


@dataclass(frozen=True)
class Case:
    """A data folder and what of its audio is to go.

    Args:
        cycles: the rows of each cycle's manifest, from cycle 1 on; None for a cycle without one.
        removed: the sounds that go where the newest `keep` cycles keep theirs.
        lacking: sounds that are not in the cache, though a manifest names them.
        unnamed: further sounds in the cache.
    """

    cycles: Sequence[Sequence[Row] | None]
    removed: set[str]
    keep: int = 1
    paid: bool = False
    lacking: set[str] = field(default_factory=set)
    unnamed: set[str] = field(default_factory=set)


def built(data: Path, case: Case) -> Path:
    """The data folder of a case; every sound is a file of its own size."""
    speech = data / "speech"
    speech.mkdir(parents=True)
    sounds = set(case.unnamed)
    for number, rows in enumerate(case.cycles, start=1):
        folder = CycleFolder(data, f"cycle{number}")
        folder.root.mkdir(parents=True)
        if rows is not None:
            write_manifest(folder.manifest, [manifest_row(speech, row) for row in rows])
            sounds |= {sound for row in rows for sound in (row.sound, row.mixed_from) if sound}
    for sound in sounds - case.lacking:
        (speech / f"{name(sound)}.wav").write_bytes(b"RIFF" + sound.encode())
    return data


def manifest_row(speech: Path, row: Row) -> ManifestRow:
    return ManifestRow(
        id=name(row.sound),
        audio_filepath=str(speech / f"{name(row.sound)}.wav"),
        text="the bus was late",
        duration=1.0,
        sampling_rate=16000,
        ipa_source="espeak_g2p",
        voice_id=row.voice,
        noise_level="snr_5db" if row.mixed_from else "clean",
        synthesis_group=name(row.mixed_from or row.sound),
    )
