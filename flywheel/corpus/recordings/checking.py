"""One line of a drop folder, checked like a row of our own: what it says, and the audio it names."""

import json
import math
import posixpath
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
import soundfile
from pydantic import ValidationError

from flywheel.corpus.audio_headers import wav_faults
from flywheel.corpus.manifest import ManifestRow, Seconds, described
from flywheel.corpus.recordings.lines import SPEAKER, DropFolder, Line
from flywheel.corpus.terms import RECORDING
from flywheel.scoring.slices import HUMAN
from flywheel.speech.noise import CLEAN
from flywheel.speech.quality import audio_faults
from flywheel.speech.synthesizer import SAMPLING_RATE, Samples, Waveform

__all__ = ["FIELDS", "SOURCES", "VOICE", "Checked", "check_line"]

FIELDS: Final = (
    *("audio_filepath", "text", "speaker", "source", "consent", "term", "entity_category", "context_type"),
    *("noise_level", "duration"),
)
"""What a line may say; anything else is left unread."""

SOURCES: Final = ("synthetic", HUMAN)
VOICE: Final = "recording:"
"""What stands before a speaker's code in a `voice_id`."""

_SAID: Final = ("text", "term", "entity_category", "context_type", "noise_level")
"""The fields that are a row's own."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a line came to: a row with its `samples`, or `reasons` against it, or why it is `left_alone` for now.

    Args:
        line: where it stands.
        audio: the file it names, relative to the drop folder; empty where it names none.
        reasons: everything that is wrong with it.
        left_alone: empty, or what shows that somebody is still writing.
        ignored: names of fields that nobody reads.
        speaker: code of the speaker; empty where the line has none that could be one.
        row: with the path of a copy that need not exist yet; its `synthesis_group` is the SHA-256 of the samples.
        samples: of the audio, in -1 to 1; they give the file's own 16-bit values back.
    """

    line: Line
    audio: str = ""
    reasons: tuple[str, ...] = ()
    left_alone: str = ""
    ignored: tuple[str, ...] = ()
    speaker: str = ""
    row: ManifestRow | None = None
    samples: Samples | None = None


def check_line(line: Line, drop: DropFolder, speech: Path) -> Checked:
    """Read one line and its audio; the row's copy would lie in `speech`. Nothing is written.

    The id of a row is the SHA-256 of its samples and of all it says of them, so that a line that is put right is a
    recording of its own, and the same line is the same recording wherever it lies.
    """
    if not line.ended:
        return Checked(line, left_alone="its last line has no line end")
    values, problem = _parsed(line.content)
    if problem:
        return Checked(line, reasons=(problem,))
    speaker = _code(values.get("speaker"))
    ignored = tuple(sorted(values.keys() - set(FIELDS)))
    audio, problem = _audio_named(values.get("audio_filepath"), line, drop)
    reasons = [*([problem] if problem else []), *_wrong_says(values)]
    heard = _heard(drop, audio, values) if audio else _Heard()
    if heard.left_alone:
        return Checked(line, audio, left_alone=heard.left_alone, ignored=ignored)
    reasons += heard.faults
    if reasons or heard.samples is None:
        return Checked(line, audio, tuple(reasons), ignored=ignored, speaker=speaker)
    row = _row(values, heard.samples, speech)
    return Checked(line, audio, ignored=ignored, speaker=speaker, row=row, samples=heard.samples)


def _parsed(content: bytes) -> tuple[Mapping[str, Any], str]:
    """The object of a line, or what is wrong with it."""
    allowed = "allowed: one JSON object in UTF-8, without a byte-order mark"
    pairs: list[tuple[str, Any]] = []

    def noted(found: list[tuple[str, Any]]) -> dict[str, Any]:
        pairs[:] = found  # of the outermost object in the end
        return dict(found)

    try:
        value = json.loads(content.decode("utf-8"), object_pairs_hook=noted)
    except UnicodeDecodeError as error:
        return {}, f"line: found the byte 0x{content[error.start]:02x} at byte {error.start + 1}; {allowed}"
    except (ValueError, RecursionError) as error:
        return {}, f"line: found what is not JSON ({error or type(error).__name__}); {allowed}"
    if not isinstance(value, dict):
        return {}, f"line: found {type(value).__name__}; {allowed}"
    if twice := [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]:
        return {}, f"{', '.join(twice)}: found twice in the line; allowed: once"
    return value, ""


def _code(speaker: object) -> str:
    return speaker if isinstance(speaker, str) and SPEAKER.fullmatch(speaker) else ""


def _audio_named(value: object, line: Line, drop: DropFolder) -> tuple[str, str]:
    """The path of the audio relative to the drop folder, or what is wrong with it."""
    allowed = "allowed: the path of a .wav file in the drop folder, relative to this manifest"
    if value is None:
        return "", f"audio_filepath: found nothing; {allowed}"
    if not isinstance(value, str) or not value.lower().endswith(".wav") or "\0" in value:
        return "", f"audio_filepath: found {value!r:.100}; {allowed}"
    path = posixpath.normpath(posixpath.join(posixpath.dirname(line.file), value))
    if posixpath.isabs(path) or path.startswith("../"):
        return "", f"audio_filepath: found {value!r:.100}; {allowed}"
    return path, ""


def _wrong_says(values: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with what a line says."""
    if not _code(values.get("speaker")):
        yield (
            f"speaker: found {_shown(values.get('speaker'))}; allowed: a code of lower case letters, digits and "
            "_ . - that is nobody's name"
        )
    source, consent = values.get("source"), values.get("consent")
    if source not in SOURCES:
        yield f"source: found {_shown(source)}; allowed: {' or '.join(SOURCES)}"
    if (source == HUMAN or consent is not None) and consent is not True:
        found = _shown(consent)
        yield f"consent: found {found}, no consent stated; allowed: true, where the speaker has given it"
    duration = values.get("duration")
    if duration is not None and _seconds(duration) is None:
        yield f"duration: found {duration!r:.100}; allowed: a finite number of seconds above 0, or nothing"
    try:
        row = _row_values(values, "unknown", 1.0)
        ManifestRow.model_validate({**row, "id": "unknown", "audio_filepath": "unknown.wav"})
    except ValidationError as error:
        yield from described(error)


def _seconds(value: object) -> Seconds | None:
    """`value` as a duration, or None where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        seconds = float(value)
    except OverflowError:  # of an integer with hundreds of digits
        return None
    return seconds if math.isfinite(seconds) and seconds > 0 else None


def _shown(value: object) -> str:
    return "nothing" if value is None else f"{value!r:.100}"


@dataclass(frozen=True, slots=True)
class _Heard:
    """The audio of a line: its samples, or what is wrong with it, or why it is left alone."""

    samples: Samples | None = None
    faults: tuple[str, ...] = ()
    left_alone: str = ""


def _heard(drop: DropFolder, audio: str, values: Mapping[str, Any]) -> _Heard:
    path = drop.root / audio
    writing = _Heard(left_alone=f"{audio} is being written")
    try:
        if drop.is_being_written(path):
            return writing
        before = path.stat()
        faults = wav_faults(path, _seconds(values.get("duration")))
        if faults:
            return _Heard(faults=(*(f"audio: {fault}" for fault in faults), *_conversion(faults, audio)))
        samples, rate = soundfile.read(path, dtype="float32")
        after = path.stat()
    except FileNotFoundError:
        return _Heard(faults=(f"audio: found no such file; allowed: the WAV file {audio}",))
    except (soundfile.LibsndfileError, OSError) as error:
        found = getattr(error, "strerror", None) or error
        return _Heard(faults=(f"audio: found {found}; allowed: a readable WAV file",))
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        return writing
    text, noisy = values.get("text"), values.get("noise_level") not in (None, CLEAN)
    words = len(text.split()) if isinstance(text, str) else 0
    wrong = audio_faults(Waveform(samples, rate), words, noisy=noisy)
    return _Heard(samples, tuple(f"audio: {fault}" for fault in wrong))


def _conversion(faults: tuple[str, ...], audio: str) -> Iterator[str]:
    """How a file of another format becomes one of ours."""
    if any(word in fault for fault in faults for word in ("Hz; ", "channels; ", "bit ", "not with RIFF")):
        source, target = shlex.quote(audio), shlex.quote(f"{audio[:-4]}.16k.wav")
        yield (
            f"to do: ffmpeg -i {source} -ar {SAMPLING_RATE} -ac 1 -c:a pcm_s16le {target}, and name the new file "
            "in audio_filepath"
        )


def _row(values: Mapping[str, Any], samples: Samples, speech: Path) -> ManifestRow:
    audio_sha256 = sha256(np.round(samples * 32768).astype("<i2").tobytes()).hexdigest()
    row = _row_values(values, audio_sha256, len(samples) / SAMPLING_RATE)
    row_id = sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()
    path = str(speech.resolve() / f"{row_id}.wav")
    return ManifestRow.model_validate({**row, "id": row_id, "audio_filepath": path})


def _row_values(values: Mapping[str, Any], audio_sha256: str, seconds: Seconds) -> dict[str, Any]:
    """The fields of a manifest's row, but for its id and path."""
    row: dict[str, Any] = {name: values[name] for name in _SAID if values.get(name) is not None}
    if values.get("source") == HUMAN:
        row["subset"] = HUMAN
    return {
        "text": values.get("text"),
        "noise_level": CLEAN,
        **row,
        "duration": seconds,
        "sampling_rate": SAMPLING_RATE,
        "ipa_source": RECORDING,
        "voice_id": f"{VOICE}{_code(values.get('speaker')) or 'unknown'}",
        "synthesis_group": audio_sha256,
    }
