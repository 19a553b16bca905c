"""What every backend is made from, and its own options: from the run's configuration and the environment."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from flywheel.compute.job import Seconds
from flywheel.errors import Problems
from resources.compute.leases import Leases

__all__ = ["Settings", "read_options"]

Options = TypeVar("Options")

_KINDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a backend is made from.

    Args:
        work_root: the folder for workspaces, e.g. ``data/work``.
        leases: where it notes what it makes.
        run_id: the Dagster run that it serves; empty outside Dagster.
        grace: seconds between TERM and KILL.
        keep_failed: leave the workspace of a failed job where it is, where the backend can.
        consent: ``YES`` where the user agreed to pay.
        options: the backend's own, by name: see `read_options`.
    """

    work_root: Path
    leases: Leases
    run_id: str = ""
    grace: Seconds = 10.0
    keep_failed: bool = False
    consent: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


def read_options(kind: type[Options], backend: str, given: Mapping[str, Any]) -> Options:
    """An options dataclass of a backend from `given`, else from the environment, else its defaults.

    The field ``gpu`` of the backend ``modal`` is read from ``FLYWHEEL_MODAL_GPU``. Text is converted to the type
    of the field's default. Raises `Problems` for unknown names and for values that are not of the type.
    """
    known = {each.name: each.default for each in fields(kind)}  # type: ignore[arg-type]
    problems = [
        f"{name}: unknown; allowed are {', '.join(known)}" for name in sorted(given) if name not in known
    ]
    values: dict[str, Any] = {}
    for name, default in known.items():
        variable = f"FLYWHEEL_{backend}_{name}".upper()
        found = given[name] if name in given else os.environ.get(variable)
        if found is None:
            continue
        try:
            values[name] = _converted(found, type(default))
        except (ValueError, KeyError, TypeError):
            problems.append(
                f"{name} (or {variable}): found {found!r}, {_KINDS[type(default)]} is needed, as {default!r}"
            )
    if problems:
        raise Problems(f"options of the backend {backend}", problems)
    return kind(**values)


def _converted(found: Any, kind: type) -> Any:
    if kind is bool:
        return _WORDS[str(found).lower()]
    if isinstance(found, bool) or not isinstance(found, (str, int, float)):
        raise TypeError
    if kind is str and isinstance(found, float):
        raise TypeError  # 3.10 would have become 3.1
    if kind is int and isinstance(found, float) and not found.is_integer():
        raise ValueError
    value = kind(found)
    if kind is float and not math.isfinite(value):
        raise ValueError
    return value
