"""Files that are either whole or not there: every write goes beside its target, then replaces it."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flywheel.errors import FlywheelError


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """A temporary path beside `target` (same suffix), moved onto it when the block ends without error.

    Whatever ends the block otherwise, a kill or a power cut included, leaves `target` as it was.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.stem}.", suffix=target.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        # Else the rename may reach the disk before the content does, and a power cut leave a file of zeros.
        _sync(temporary)
        temporary.replace(target)
        _sync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Have the disk hold a file's content, or a folder's names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(target: Path, text: str) -> None:
    """Write `text` as UTF-8 with line feeds, whole or not at all."""
    with atomic_path(target) as path:
        path.write_text(text, encoding="utf-8", newline="\n")


def write_bytes(target: Path, content: bytes) -> None:
    """Write `content`, whole or not at all."""
    with atomic_path(target) as path:
        path.write_bytes(content)


def write_json(target: Path, value: Any) -> None:
    """Write one JSON document, indented and with a final line feed. NaN is refused: it is not JSON."""
    write_text(target, json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The JSON document in `path`; a file that is missing, broken or not UTF-8 is a `FlywheelError` naming it."""
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise FlywheelError(f"{path}:{error.lineno}: not JSON: {error.msg}") from None


def write_jsonl(target: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one compact JSON object a line."""
    lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    write_text(target, "".join(lines))


def iterate_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON Lines file, one after the other, so that a file of any length needs the memory of a line.

    Blank lines are skipped; a broken line, or a file that is missing or not UTF-8, is a `FlywheelError`, raised where
    the reading comes to it.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise FlywheelError(f"{path}: no such file") from None
    with file:
        for number, line in enumerate(file, start=1):
            try:
                text = line.decode("utf-8").strip()
            except UnicodeDecodeError as error:
                found = line[error.start]
                problem = f"{path}:{number}: not UTF-8: byte 0x{found:02x}; save it as UTF-8"
                raise FlywheelError(problem) from None
            if not text:
                continue
            try:
                row = json.loads(text)
            except json.JSONDecodeError as error:
                raise FlywheelError(f"{path}:{number}: not JSON: {error.msg}") from None
            if not isinstance(row, dict):
                problem = f"{path}:{number}: a JSON object is expected, found {type(row).__name__}"
                raise FlywheelError(problem)
            yield row


def read_json_lines_of_log(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a log that is only appended to; a last line that a kill cut off is left out. Of no file, none."""
    if not path.is_file():
        return
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    for place, line in enumerate(lines):
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            if place == len(lines) - 1:
                return
            raise FlywheelError(f"{path}:{place + 1}: not JSON: {error.msg}") from None
        if isinstance(value, dict):
            yield value


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON Lines file, all at once; raises as `iterate_jsonl` does."""
    return list(iterate_jsonl(path))


def read_text(path: Path) -> str:
    """The text of `path`; a file that is missing or not UTF-8 is a `FlywheelError` naming it."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FlywheelError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        found = error.object[error.start]
        raise FlywheelError(f"{path}:{line}: not UTF-8: byte 0x{found:02x}; save it as UTF-8") from None


def sha256_of_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
