"""Go back to an earlier model.

python -m flywheel.cli.rollback                       # to the promotion before the current one
python -m flywheel.cli.rollback --to cycle2 --reason "worse on the ward"
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from flywheel.errors import FlywheelError
from flywheel.recognisers.registry import Registry


def main(arguments: Sequence[str] | None = None) -> None:
    """Append a rollback to the registry and say which model is current now."""
    parser = argparse.ArgumentParser(prog="flywheel.cli.rollback", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--to", help="a cycle, or the beginning of a model's SHA-256")
    parser.add_argument("--reason", default="", help="kept in the registry")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("FLYWHEEL_DATA", "data")))
    options = parser.parse_args(arguments)
    registry = Registry(options.data / "models")
    try:
        entry = registry.rollback(options.to, reason=options.reason)
    except FlywheelError as error:
        raise SystemExit(f"error: {error}") from None
    print(
        f"current model: {entry.model} of {entry.cycle}"
        if entry.model
        else "no promoted model: the base again"
    )


if __name__ == "__main__":
    main()
