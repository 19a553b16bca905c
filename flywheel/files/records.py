"""Records: frozen dataclasses that one step of a cycle writes as JSON, and others read back as the same type.

write_record(folder.gate, decision)
decision = read_record(folder.gate, GateDecision)

There is no other way from such a value to a file and back: the type is the description of the file.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

from flywheel.errors import FlywheelError
from flywheel.files.atomic import read_text, write_json
from flywheel.files.cycles import made_by

if TYPE_CHECKING:
    from pydantic import TypeAdapter
    from pydantic_core import ErrorDetails

__all__ = ["Json", "plain", "read_record", "record_in", "record_text", "write_record"]

Json: TypeAlias = "str | int | float | bool | Sequence[Json] | Mapping[str, Json] | None"
"""What JSON can hold."""

Record = TypeVar("Record")
_NAMED = 3


def write_record(path: Path, value: object) -> None:
    """Write `value` to `path` as JSON, whole or not at all."""
    write_json(path, plain(value))


def read_record(path: Path, kind: type[Record]) -> Record:
    """The value of type `kind` that `write_record` wrote to `path`.

    Raises:
        FlywheelError: there is no such file, or it is no such record: of another version, edited or damaged. The
            message names each field with what was found and what is allowed, and the asset that writes the file.
    """
    again = f"materialise {made_by(path)} again" if made_by(path) else "make it again"
    try:
        text = read_text(path)
    except FlywheelError as error:
        raise FlywheelError(f"{error}; {again}") from None
    return record_in(text, kind, str(path), again)


def record_text(value: object) -> str:
    """`value` as one line of JSON; `record_in` is the inverse."""
    return json.dumps(plain(value), ensure_ascii=False, allow_nan=False)


def record_in(text: str, kind: type[Record], name: str, advice: str) -> Record:
    """The value of type `kind` in a text of JSON.

    Args:
        text: as `write_record` and `record_text` make it.
        kind: a dataclass, or a tuple or table of such.
        name: of the text, for messages.
        advice: what to do about a text that is no such record, for messages.

    Raises:
        FlywheelError: it is no such record.
    """
    # A graph is loaded without it, and so are the programs of jobs that only write.
    from pydantic import ValidationError

    try:
        return cast("Record", _adapter(cast("Any", kind)).validate_json(text, strict=True, extra="forbid"))
    except ValidationError as error:
        found = error.errors(include_url=False)
    wrong = "; ".join(map(_problem, found[:_NAMED]))
    more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    raise FlywheelError(f"{name}: {wrong}{more}; {advice}")


def plain(value: Any) -> Any:
    """A value as JSON holds it: dataclasses as tables, paths as texts.

    A field that is None and may be left out is left out: what was not measured is absent, never 0.
    """
    if is_dataclass(value):
        of_fields = ((each, getattr(value, each.name)) for each in fields(value))
        return {
            each.name: plain(found)
            for each, found in of_fields
            if found is not None or each.default is MISSING
        }
    if isinstance(value, Mapping):
        return {str(name): plain(found) for name, found in value.items()}
    if isinstance(value, list | tuple):
        return [plain(found) for found in value]
    return str(value) if isinstance(value, Path) else value


@cache
def _adapter(kind: Any) -> "TypeAdapter[Any]":
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _problem(error: "ErrorDetails") -> str:
    where = ".".join(map(str, error["loc"]))
    match error["type"]:
        case "json_invalid":
            said = "not JSON: " + error["msg"].removeprefix("Invalid JSON: ")
        case "missing" | "missing_argument":
            said = "missing"
        case "unexpected_keyword_argument" | "extra_forbidden":
            said = f"found {_shown(error['input'])}, which is unknown"
        case "value_error":
            said = error["msg"].removeprefix("Value error, ")
        case _:
            allowed = error["msg"].removeprefix("Input should be ")
            said = f"found {_shown(error['input'])}; allowed: {allowed}"
    return f"{where}: {said}" if where else said


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
