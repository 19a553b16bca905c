"""The lines of any NeMo manifest, with what is wrong with each: `audio_filepath`, `text` and `duration` are asked for.

What these three may hold is the manifest's own rule, `corpus.manifest.ManifestRow`; what a line does not say is
filled in with something that passes, so that the rule can be asked about the rest.
"""

import json
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

from pydantic import ValidationError

from flywheel.corpus.manifest import ManifestRow, described
from flywheel.errors import FlywheelError

__all__ = ["LocatedProblem", "ManifestLine", "plain_problems", "read_lines", "row_of"]

LocatedProblem: TypeAlias = tuple[int, str]
"""A line, from 1, and what is wrong there; line 0 is the file."""

_ASKED_FOR = ("audio_filepath", "text", "duration")


@dataclass(frozen=True, slots=True)
class ManifestLine:
    """One row as it was written: its line, from 1, and its fields."""

    number: int
    fields: Mapping[str, Any]


def read_lines(path: Path) -> tuple[list[ManifestLine], list[LocatedProblem]]:
    """The rows of a manifest, and the lines that are none.

    Raises:
        FlywheelError: there is no such file.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise FlywheelError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise FlywheelError(f"{path}: a folder; a file is needed") from None
    lines: list[ManifestLine] = []
    problems: list[LocatedProblem] = []
    for number, raw in enumerate(data.removesuffix(b"\n").split(b"\n") if data else [], start=1):
        fields = _fields(raw)
        if isinstance(fields, str):
            problems.append((number, f"line {number}: {fields}"))
        else:
            lines.append(ManifestLine(number, fields))
    if not data:
        problems.append((0, "file: found no rows; allowed: one JSON object a line, at least one"))
    return lines, problems


def _fields(raw: bytes) -> dict[str, Any] | str:
    """The fields of a line, or what is wrong with it."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"found the byte 0x{raw[error.start]:02x} at byte {error.start + 1}; allowed: UTF-8"
    if text.startswith("\ufeff"):
        return "found a byte-order mark; allowed: UTF-8 without one"
    if not text.strip():
        return "found a blank line, at which NeMo's reader stops; allowed: one JSON object"
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return f"not JSON ({_reason(error)}); allowed: one JSON object"
    return (
        value if isinstance(value, dict) else f"found a JSON {type(value).__name__}; allowed: one JSON object"
    )


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg.lower()} at character {error.colno}"
    return str(error) or type(error).__name__


def plain_problems(lines: Sequence[ManifestLine]) -> list[LocatedProblem]:
    """What is wrong with the three fields that NeMo needs, and audio that is there twice."""
    problems = [problem for line in lines for problem in _row_problems(line)]
    first_line: dict[tuple[str, Any], int] = {}
    for line in lines:
        path = line.fields.get("audio_filepath")
        if not isinstance(path, str):
            continue
        # Several segments of one file are several rows.
        first = first_line.setdefault((posixpath.normpath(path), line.fields.get("offset")), line.number)
        if first != line.number:
            found = f"{path!r} again, first in line {first}"
            problems.append(
                (line.number, f"line {line.number}, audio_filepath: found {found}; allowed: each once")
            )
    return problems


def _row_problems(line: ManifestLine) -> Iterator[LocatedProblem]:
    try:
        row_of(line.fields, key="row", keep=_ASKED_FOR)
    except ValidationError as error:
        for problem in described(error):
            yield line.number, f"line {line.number}, {problem}"


def row_of(fields: Mapping[str, Any], *, key: str, keep: Iterable[str]) -> ManifestRow:
    """A row that has the fields in `keep` from a line, and elsewhere something that passes.

    Args:
        fields: of the line.
        key: what the row is called where neither its id nor its audio says so.
        keep: the fields to take over, where the line has them; of the three that NeMo needs one that is missing
            stays missing.

    Raises:
        ValidationError: pydantic's, about the fields that were taken over.
    """
    kept = {name: fields[name] for name in keep if fields.get(name) is not None}
    path = kept.get("audio_filepath")
    stem = PurePosixPath(path).stem if isinstance(path, str) else ""
    stand_ins = {
        "id": stem or key,
        "sampling_rate": 16000,
        "ipa_source": "override",
        "voice_id": "unknown",
        "noise_level": "clean",
        "synthesis_group": key,
    }
    return ManifestRow.model_validate(stand_ins | kept)
