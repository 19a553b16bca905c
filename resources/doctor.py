"""What each compute backend needs, and whether it is there: `make doctor`, or `python -m resources.compute.doctor`.

One line for each thing, nothing is started. The exit status is 1 where the backend that is chosen lacks something;
it is looked at even if only others are asked for.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from flywheel.errors import FlywheelError
from resources.compute import BACKENDS
from resources.compute.resource import BACKEND_VARIABLE, Compute
from resources.data_folder import DataFolder
from resources.readiness import Finding


def examine(compute: Compute, name: str) -> tuple[Finding, ...]:
    """What the backend `name` needs; options that are wrong are a finding, too."""
    try:
        return compute.connect(name).readiness()
    except FlywheelError as error:
        return (Finding("options", False, str(error)),)


def lines(name: str, findings: Sequence[Finding]) -> Iterator[str]:
    """One for each finding, however many its detail has."""
    for finding in findings:
        said = " ".join(f"{finding.what}: {finding.detail}".split())
        yield f"{name:7} {'ok     ' if finding.ok else 'MISSING'} {said}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(
        prog="resources.compute.doctor", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "backends", nargs="*", metavar="BACKEND", help=f"of {', '.join(BACKENDS)}; default all"
    )
    asked = parser.parse_args(arguments).backends or list(BACKENDS)
    if wrong := [name for name in asked if name not in BACKENDS]:
        parser.error(f"unknown backend {', '.join(wrong)}; allowed are {', '.join(BACKENDS)}")
    chosen = os.environ.get(BACKEND_VARIABLE) or "local"
    names = list(dict.fromkeys([*asked, chosen]))
    compute = Compute(data=DataFolder())
    with ThreadPoolExecutor() as looks:
        found = dict(zip(names, looks.map(lambda name: examine(compute, name), names), strict=True))
    for name, findings in found.items():
        print("\n".join(lines(name, findings)), flush=True)
    lacking = [finding.what for finding in found[chosen] if not finding.ok]
    print(f"chosen: {chosen}, " + (f"which lacks {', '.join(lacking)}" if lacking else "ready"))
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main())
