"""Reads a run's `.wandb` file: W&B's records in the framing of LevelDB's log, as its client wrote them."""

import json
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record

_BLOCK = 32768
_HEADER = struct.Struct("<IHB")
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


def records(file: Path) -> Iterator[Record]:
    """Every record, in order; a file that is cut off, or framed otherwise, fails."""
    data = file.read_bytes()
    assert data[:4] == b":W&B", "a file of W&B's"
    place, whole, is_begun = 7, b"", False  # a block's last bytes may begin a record and hold none of it
    while place < len(data):
        left = _BLOCK - place % _BLOCK
        if left < _HEADER.size:
            place += left
            continue
        _checksum, length, kind = _HEADER.unpack_from(data, place)
        place += _HEADER.size
        part = data[place : place + length]
        assert len(part) == length and kind in (_FULL, _FIRST, _MIDDLE, _LAST)
        assert is_begun == (kind in (_MIDDLE, _LAST))
        is_begun = kind in (_FIRST, _MIDDLE)
        place += length
        whole += part
        if kind in (_FULL, _LAST):
            record = Record()
            record.ParseFromString(whole)
            whole = b""
            yield record
    assert not is_begun


def history(file: Path) -> list[dict[str, Any]]:
    """The rows that were logged, without the client's own figures."""
    rows = [values(each.history.item) for each in records(file) if each.HasField("history")]
    return [{name: row[name] for name in row if not name.startswith("_")} for row in rows]


def values(items: Sequence[Any]) -> dict[str, Any]:
    """Values by name, nested where the client nests them; floats as they were."""
    found: dict[str, Any] = {}
    for item in items:
        *above, name = item.nested_key or [item.key]
        within = found
        for each in above:
            within = within.setdefault(each, {})
        within[name] = json.loads(item.value_json)
    return found
