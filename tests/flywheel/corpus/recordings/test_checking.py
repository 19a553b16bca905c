"""What a dropped recording has to be like: each reason against one, in a real file and a real line."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from flywheel.corpus.audio_headers import check_audio
from flywheel.corpus.manifest import ManifestRow
from flywheel.corpus.recordings import FIELDS
from tests.drop_folder import HUMAN, SYNTHETIC, Drop, sounds


@pytest.fixture
def drop(tmp_path: Path) -> Drop:
    return Drop(tmp_path)


def reasons(drop: Drop, *lines: Mapping[str, Any] | str) -> tuple[str, ...]:
    """Those of the only line that is in quarantine."""
    drop.manifest(*lines)
    taken = drop.take_in()
    assert (taken.rows, taken.joined) == ((), 0)
    (quarantined,) = taken.quarantined
    assert (quarantined.manifest, quarantined.line) == ("manifest.jsonl", 1)
    return quarantined.reasons


def joined(drop: Drop, line: Mapping[str, Any]) -> ManifestRow:
    drop.manifest(line)
    taken = drop.take_in()
    assert taken.quarantined == ()
    (row,) = taken.rows
    return row


def test_a_synthetic_recording_becomes_a_row_of_the_manifest(drop: Drop) -> None:
    row = joined(drop, drop.recording("a.wav", 1, duration=3.0))
    assert row.model_dump(exclude={"id", "audio_filepath", "synthesis_group"}, exclude_none=True) == {
        "text": SYNTHETIC["text"],
        "duration": 3.0,
        "sampling_rate": 16000,
        "term": "cefazolin",
        "entity_category": "drug",
        "ipa_source": "recording",
        "voice_id": "recording:voice-1",
        "noise_level": "clean",
        "context_type": "dictation",
    }
    check_audio([row])


def test_a_persons_recording_is_held_out_from_the_start(drop: Drop) -> None:
    row = joined(drop, drop.recording("a.wav", 1, HUMAN))
    assert (row.subset, row.voice_id) == ("human", "recording:nurse-1")


def test_general_speech_needs_no_term(drop: Drop) -> None:
    says = {"text": "We walked along the river.", "speaker": "voice-1", "source": "synthetic"}
    row = joined(drop, drop.recording("deep/er/a.wav", 1, says))
    assert not row.is_clinical


def test_the_copy_has_the_samples_and_nothing_else_of_the_original(drop: Drop) -> None:
    line = drop.recording("a.wav", 1)
    original = drop.root / "a.wav"
    with soundfile.SoundFile(original, "r+") as file:
        file.artist = "somebody's name"
    before = original.read_bytes()
    assert b"somebody's name" in before
    row = joined(drop, line)
    copy = Path(row.audio_filepath)
    assert (copy.parent, copy.stem) == (drop.speech.resolve(), row.id)
    assert b"somebody's name" not in copy.read_bytes()
    np.testing.assert_array_equal(
        soundfile.read(copy, dtype="int16")[0], soundfile.read(original, dtype="int16")[0]
    )
    assert original.read_bytes() == before


SAYS: dict[str, tuple[dict[str, Any], str]] = {
    "no speaker": ({"speaker": None}, "speaker: found nothing; allowed: a code of lower case letters"),
    "a name": ({"speaker": "Dr. Example"}, "speaker: found 'Dr. Example'; allowed: a code"),
    "no source": ({"source": None}, "source: found nothing; allowed: synthetic or human"),
    "another source": ({"source": "phone"}, "source: found 'phone'; allowed: synthetic or human"),
    "no consent": (
        {"source": "human", "consent": None},
        "consent: found nothing, no consent stated; allowed: true",
    ),
    "consent in words": (
        {"source": "human", "consent": "yes"},
        "consent: found 'yes', no consent stated; allowed: true",
    ),
    "consent refused": ({"consent": False}, "consent: found False, no consent stated; allowed: true"),
    "no text": ({"text": None}, "text: found None; allowed: what is said, not empty"),
    "empty text": ({"text": " "}, "text: found ' ', which is empty"),
    "smart quotes": (
        {"text": "the patient’s cefazolin was given"},
        "text: found the smart quote U+2019 right single quotation mark at character 12",
    ),
    "another term": (
        {"term": "metoprolol"},
        "term: found 'metoprolol', which does not stand in the text",
    ),
    "a term in parts": (
        {"term": "cefazolin incision"},
        "term: found 'cefazolin incision', which does not stand in the text",
    ),
    "a term in capitals": ({"term": "Cefazolin"}, "term: found 'Cefazolin', not lower case words"),
    "no category": (
        {"entity_category": None},
        "context_type: found context_type and term without entity_category",
    ),
    "another category": (
        {"entity_category": "food"},
        "entity_category: found 'food'; allowed: drug, procedure",
    ),
    "no context": (
        {"context_type": None},
        "context_type: found entity_category and term without context_type",
    ),
    "another context": (
        {"context_type": "phone call"},
        "context_type: found 'phone call'; allowed: dictation",
    ),
    "another noise": ({"noise_level": "loud"}, "noise_level: found 'loud'; allowed: clean or snr_<n>db"),
    "duration in words": ({"duration": "3 s"}, "duration: found '3 s'; allowed: a finite number of seconds"),
    "duration nobody has": ({"duration": 10**400}, "duration: found 1000"),
    "another duration": ({"duration": 2.5}, "audio: found 3.000 s; allowed: the manifest's 2.500 s"),
    "another's folder": (
        {"audio_filepath": "../../etc/a.wav"},
        "audio_filepath: found '../../etc/a.wav'; allowed: the path of a .wav file in the drop folder",
    ),
    "an absolute path": ({"audio_filepath": "/etc/a.wav"}, "audio_filepath: found '/etc/a.wav'; allowed"),
    "another format": (
        {"audio_filepath": "a.mp3"},
        "audio_filepath: found 'a.mp3'; allowed: the path of a .wav",
    ),
    "no path": ({"audio_filepath": None}, "audio_filepath: found nothing; allowed"),
    "no file": ({"audio_filepath": "b.wav"}, "audio: found no such file; allowed: the WAV file b.wav"),
}


@pytest.mark.parametrize(("change", "reason"), SAYS.values(), ids=SAYS)
def test_what_a_line_says_is_checked(drop: Drop, change: Mapping[str, Any], reason: str) -> None:
    (found,) = reasons(drop, drop.recording("a.wav", 1) | change)
    assert found.startswith(reason), found


LINES = {
    "not JSON": ("{'text': 1}\n", "line: found what is not JSON ("),
    "a list": ("[1]\n", "line: found list; allowed: one JSON object"),
    "a byte-order mark": ("\ufeff{}\n", "line: found what is not JSON (Unexpected UTF-8 BOM"),
    "said twice": (
        '{"source": "human", "source": "synthetic"}\n',
        "source: found twice in the line; allowed: once",
    ),
}


@pytest.mark.parametrize(("line", "reason"), LINES.values(), ids=LINES)
def test_a_line_that_is_none_is_quarantined(drop: Drop, line: str, reason: str) -> None:
    (found,) = reasons(drop, line)
    assert found.startswith(reason), found


def test_a_line_that_is_not_utf_8_is_quarantined(drop: Drop) -> None:
    drop.manifest("").write_bytes('{"text": "café"}\n'.encode("latin-1"))
    (quarantined,) = drop.take_in().quarantined
    assert quarantined.reasons[0].startswith("line: found the byte 0xe9 at byte 14; allowed")


def stereo(rate: int) -> np.ndarray:
    return np.column_stack([sounds(1, rate=rate)] * 2)


AUDIO: dict[str, tuple[Callable[[Drop], Path], tuple[str, ...]]] = {
    "a recorder's own": (
        lambda drop: drop.wav("a.wav", stereo(48_000), 48_000, "PCM_24"),
        (
            "audio: found 24-bit PCM; allowed: 16-bit PCM",
            "audio: found 2 channels; allowed: 1 (mono)",
            "audio: found 48000 Hz; allowed: 16000 Hz",
            "to do: ffmpeg -i a.wav -ar 16000 -ac 1 -c:a pcm_s16le a.16k.wav, and name the new file",
        ),
    ),
    "a CD's rate": (
        lambda drop: drop.wav("a.wav", sounds(1, rate=44_100), 44_100),
        ("audio: found 44100 Hz; allowed: 16000 Hz", "to do: ffmpeg -i a.wav"),
    ),
    "floating point": (
        lambda drop: drop.wav("a.wav", sounds(1), subtype="FLOAT"),
        ("audio: found 32-bit floating point; allowed: 16-bit PCM", "to do: ffmpeg"),
    ),
    "too long": (
        lambda drop: drop.wav("a.wav", sounds(1, 20.5)),
        ("audio: found 20.500 s; allowed: 0.1 to 20 s, NeMo drops the rest",),
    ),
    "too short": (
        lambda drop: drop.wav("a.wav", sounds(1, 0.05)),
        ("audio: found 0.050 s; allowed: 0.1 to 20 s",),
    ),
    "silent": (
        lambda drop: drop.wav("a.wav", sounds(1) * 1e-3),
        ("audio: silent: RMS 0.0000",),
    ),
    "clipped": (
        lambda drop: drop.wav("a.wav", np.clip(sounds(1) * 40, -1, 1)),
        ("audio: clipped: ",),
    ),
    "cut off by the speaker": (
        lambda drop: drop.wav("a.wav", sounds(1)[:24_000] * 2),
        ("audio: truncated: still at ",),
    ),
    "too fast": (lambda drop: drop.wav("a.wav", sounds(1, 0.9)), ("audio: truncated: 8 words in 0.90 s",)),
    "cut off on the way": (
        lambda drop: shortened(drop.wav("a.wav", 1), 50_000),
        ("audio: found 49956 of the 96000 bytes of samples that its header claims",),
    ),
    "a text": (
        lambda drop: written(drop.root / "a.wav", b"not a sound"),
        ("audio: found a file that starts with",),
    ),
    "empty": (
        lambda drop: written(drop.root / "a.wav", b""),
        ("audio: found an empty file; allowed: a WAV file",),
    ),
}


def shortened(path: Path, size: int) -> Path:
    os.truncate(path, size)
    return path


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(("make", "expected"), AUDIO.values(), ids=AUDIO)
def test_audio_is_checked(drop: Drop, make: Callable[[Drop], Path], expected: tuple[str, ...]) -> None:
    make(drop)
    found = reasons(drop, {"audio_filepath": "a.wav", **SYNTHETIC})
    assert all(reason.startswith(start) for reason, start in zip(found, expected, strict=False)), found
    assert len(found) - ("not with RIFF" in found[0]) == len(expected), found


def test_everything_that_is_wrong_is_said_at_once(drop: Drop) -> None:
    drop.wav("a.wav", sounds(1, rate=44_100), 44_100)
    says = {"audio_filepath": "a.wav", **HUMAN, "speaker": "", "consent": False, "term": "aspirin"}
    found = reasons(drop, says)
    assert [reason.partition(":")[0] for reason in found] == ["speaker", "consent", "term", "audio", "to do"]


def test_a_noisy_recording_may_be_loud_when_it_ends(drop: Drop) -> None:
    noise = 0.1 * np.random.default_rng(1).standard_normal(48_000).astype(np.float32)
    drop.wav("a.wav", noise)
    line = {"audio_filepath": "a.wav", **SYNTHETIC}
    assert reasons(drop, line)[0].startswith("audio: truncated: still at")
    assert joined(drop, line | {"noise_level": "snr_5db"}).noise_level == "snr_5db"


def test_fields_that_nobody_reads_are_named_once(drop: Drop) -> None:
    lines = [drop.recording(f"{seed}.wav", seed, microphone="boom", room=seed) for seed in (1, 2)]
    drop.manifest(*lines)
    taken = drop.take_in()
    assert (taken.joined, taken.ignored_fields) == (2, ("microphone", "room"))
    assert not set(taken.ignored_fields) & set(FIELDS)


def test_the_same_line_is_the_same_recording_wherever_it_lies(tmp_path: Path) -> None:
    here, there = Drop(tmp_path / "here"), Drop(tmp_path / "there")
    first = joined(here, here.recording("a.wav", 1))
    second = joined(there, json.loads(json.dumps(there.recording("b.wav", 1, room="2"))))
    assert first.id == second.id
    other = joined(there, there.recording("b.wav", 1, speaker="voice-2"))
    assert (other.id != first.id, other.synthesis_group) == (True, first.synthesis_group)
