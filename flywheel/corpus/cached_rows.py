"""Rows whose audio lies in the content-addressed cache, in a file that names it relative to itself: a data folder that
moves as a whole still finds it."""

import os
from collections.abc import Iterable
from pathlib import Path

from flywheel.corpus.manifest import ManifestRow, read_manifest, write_manifest

__all__ = ["read_cached_rows", "write_cached_rows"]


def write_cached_rows(path: Path, rows: Iterable[ManifestRow], speech: Path) -> None:
    """Write a manifest of rows whose audio is `speech/<id>.wav`."""
    inside = Path(os.path.relpath(speech, path.parent))
    write_manifest(path, [row.with_audio_filepath(str(inside / f"{row.id}.wav")) for row in rows])


def read_cached_rows(path: Path, speech: Path) -> tuple[ManifestRow, ...]:
    """The rows that `write_cached_rows` wrote, with absolute paths into `speech`.

    Raises `ManifestError` where the file is missing or damaged.
    """
    root = speech.resolve()
    return tuple(
        row.with_audio_filepath(str(root / f"{row.id}.wav")) for row in read_manifest(path, allow_empty=True)
    )
