"""The configuration of the runs that nobody starts by hand: what a person would put into the launchpad."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flywheel.errors import FlywheelError

__all__ = ["RUN_CONFIG", "run_config"]

RUN_CONFIG = "FLYWHEEL_RUN_CONFIG"


def run_config() -> Mapping[str, Any]:
    """What stands in the YAML or JSON file that `FLYWHEEL_RUN_CONFIG` names; empty where it names none.

    Raises:
        FlywheelError: the file cannot be read, is neither, or holds something else than settings by name.
    """
    import yaml  # type: ignore[import-untyped]

    given = os.environ.get(RUN_CONFIG)
    if not given:
        return {}
    path = Path(given).absolute()
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise FlywheelError(f"{path}: {reason}; {RUN_CONFIG} names a YAML or JSON file") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise FlywheelError(f"{path}{line}: neither YAML nor JSON: {problem}") from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise FlywheelError(
            f"{path}: found a {type(found).__name__}; allowed: settings by name, e.g. "
            "ops: {gate: {config: {minimum_rows: 200}}}"
        )
    return found
