"""The audio of the rows to listen to, small enough to stand in the page itself."""

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from flywheel.scoring.slices import HUMAN
from flywheel.verdict.misses import Misses, RowToHear

__all__ = ["AUDIO_BYTES", "ROWS_TO_HEAR", "Player", "players_of"]

ROWS_TO_HEAR = 24
"""Rows on a page: a person listens to so many, and hardly to more."""

AUDIO_BYTES = 2_000_000
"""What the audio of a page may take up, as it is written there. A page of 24 rows usually has a third of that."""

_SCALE = 0.5  # of libsndfile's compression, from 0 to 1: about 32 kbit/s of speech at 16 kHz


@dataclass(frozen=True, slots=True)
class Player:
    """A row to listen to, with its audio.

    Args:
        audio: a `data:` URL; None where there is none.
        why_not: why there is none; empty where there is one.
    """

    row: RowToHear
    audio: str | None
    why_not: str = ""


def players_of(
    misses: Misses, *, limit: int = ROWS_TO_HEAR, audio_bytes: int = AUDIO_BYTES
) -> tuple[Player, ...]:
    """The first `limit` rows, which are the worst, each with its audio or with the reason why it has none.

    A recording of a person never leaves its place: whoever has the page would have the voice.
    """
    return tuple(_players(misses.rows[:limit], audio_bytes))


def _players(rows: Sequence[RowToHear], audio_bytes: int) -> Iterator[Player]:
    left = audio_bytes
    for row in rows:
        if row.subset == HUMAN:
            yield Player(row, None, "a person's recording is not copied into a page")
            continue
        path = Path(row.audio_filepath)
        try:
            url = _data_url(path)
        except (soundfile.LibsndfileError, OSError) as error:
            why = "cannot be read" if path.exists() else "is not on this machine"
            detail = f": {error}" if path.exists() else ""
            yield Player(row, None, f"the audio {why} ({path.name}{detail})")
            continue
        if len(url) > left:
            yield Player(row, None, f"left out to keep the page small ({path.name})")
            continue
        left -= len(url)
        yield Player(row, url)


def _data_url(path: Path) -> str:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    encoded = io.BytesIO()
    mono = np.ascontiguousarray(samples.mean(axis=1))
    if "MP3" in soundfile.available_formats():
        kind = "mpeg"
        soundfile.write(
            encoded, mono, rate, format="MP3", subtype="MPEG_LAYER_III",
            bitrate_mode="VARIABLE", compression_level=_SCALE,
        )  # fmt: skip
    else:  # a libsndfile of the system's that was built without it
        kind = "flac"
        soundfile.write(encoded, mono, rate, format="FLAC", subtype="PCM_16")
    return f"data:audio/{kind};base64,{base64.b64encode(encoded.getvalue()).decode()}"
