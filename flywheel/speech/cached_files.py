"""Which files of the audio cache are whole: known by the hash of what they held when they were made.

    data/speech/contents.jsonl      one JSON object a file: its name and SHA-256; only ever appended to

A power cut may leave a file of the right length that is all zeros, and its header says nothing of that. A file that no
line names, of before there were any, counts as whole where it can be read and is not silent.
"""

import json
import os
from collections.abc import Collection, Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile

from flywheel.errors import FlywheelError
from flywheel.files.atomic import read_json_lines_of_log, sha256_of_file

__all__ = ["CONTENTS", "note_files", "whole_files"]

CONTENTS = "contents.jsonl"


def whole_files(cache: Path, files: Iterable[Path]) -> frozenset[Path]:
    """Those of `files` that are there and hold what they held when they were made."""
    noted = _noted(cache)
    return frozenset(path for path in files if path.is_file() and _is_whole(path, noted.get(path.name)))


def note_files(cache: Path, files: Collection[Path]) -> None:
    """Note what `files` hold now, those that are not noted like that already."""
    noted = _noted(cache)
    found = {path.name: _content(path) for path in files}
    lines = [
        json.dumps({"file": name, "sha256": content}) + "\n"
        for name, content in found.items()
        if noted.get(name) != content
    ]
    if lines:
        with (cache / CONTENTS).open("a", encoding="utf-8") as log:
            log.write("".join(lines))
            log.flush()
            os.fsync(log.fileno())


def _noted(cache: Path) -> dict[str, str]:
    """The SHA-256 of each file that is noted; the last line about a file counts."""
    noted: dict[str, str] = {}
    for line in read_json_lines_of_log(cache / CONTENTS):
        if not (isinstance(line.get("file"), str) and isinstance(line.get("sha256"), str)):
            raise FlywheelError(
                f"{cache / CONTENTS}: found {line}; allowed: lines with file and sha256; remove it"
            )
        noted[line["file"]] = line["sha256"]
    return noted


def _is_whole(path: Path, noted: str | None) -> bool:
    if noted is not None:
        return _content(path) == noted
    try:
        samples, _rate = soundfile.read(path, dtype="int16")
    except soundfile.LibsndfileError:
        return False
    return bool(np.any(samples))


def _content(path: Path) -> str:
    found = path.stat()
    return _hashed(path, found.st_size, found.st_mtime_ns, found.st_ino)


@lru_cache(maxsize=1 << 17)
def _hashed(path: Path, _size: int, _changed: int, _inode: int) -> str:
    return sha256_of_file(path)
