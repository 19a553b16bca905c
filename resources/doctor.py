"""What a cycle needs, of this machine and of each service, and whether it is there: `make doctor`, or
`python -m resources.doctor`.

One line for each thing. Nothing is started and nothing is paid for: a key is tried with a call that is free. The exit
status is 1 where something is missing that a run cannot do without, of the machine, of a service that is switched on
or of the compute backend that is chosen; these are looked at even if only others are asked for.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from flywheel.errors import FlywheelError
from resources import machine
from resources.compute import BACKENDS
from resources.compute.resource import Compute
from resources.data_folder import DataFolder
from resources.dictionary import Dictionary
from resources.object_store.resource import ObjectStore
from resources.readiness import Finding
from resources.speech.resource import Speech
from resources.tracking.resource import Tracking

__all__ = ["Look", "lines", "look", "looks"]

Look = Callable[[], tuple[Finding, ...]]
SERVICES = ("machine", "speech", "dictionary", "tracking", "bucket")


def looks(
    compute: Compute, voices: Speech, dictionary: Dictionary, tracking: Tracking, store: ObjectStore
) -> dict[str, Look]:
    """How to look at each thing that a cycle, so configured, needs: the machine, the services, its backend."""
    chosen = compute.chosen
    return {
        "machine": partial(machine.readiness, compute.data),
        "speech": voices.readiness,
        "dictionary": dictionary.readiness,
        "tracking": tracking.readiness,
        "bucket": store.readiness,
        chosen: partial(backend_readiness, compute, chosen),
    }


def backend_readiness(compute: Compute, name: str) -> tuple[Finding, ...]:
    """What the backend `name` needs."""
    return compute.connect(name).readiness()


def look(at: Mapping[str, Look]) -> dict[str, tuple[Finding, ...]]:
    """Look at all of them side by side; options that are wrong are a finding, too."""

    def found(each: Look) -> tuple[Finding, ...]:
        try:
            return each()
        except FlywheelError as error:
            return (Finding("options", False, str(error)),)

    with ThreadPoolExecutor() as threads:
        return dict(zip(at, threads.map(found, at.values()), strict=True))


def lines(name: str, findings: Sequence[Finding]) -> Iterator[str]:
    """One for each finding, however many its detail has."""
    for finding in findings:
        state = "ok" if finding.ok else "MISSING" if finding.needed else "warning"
        said = " ".join(f"{finding.what}: {finding.detail}".split())
        yield f"{name:10} {state:7} {said}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; see the module's docstring."""
    allowed = (*SERVICES, *BACKENDS)
    parser = argparse.ArgumentParser(prog="resources.doctor", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("what", nargs="*", metavar="WHAT", help=f"of {', '.join(allowed)}; default all")
    asked = parser.parse_args(arguments).what or list(allowed)
    if wrong := [name for name in asked if name not in allowed]:
        parser.error(f"unknown: {', '.join(wrong)}; allowed are {', '.join(allowed)}")
    data = DataFolder()
    compute = Compute(data=data)
    chosen = looks(compute, Speech(), Dictionary(data=data), Tracking(data=data), ObjectStore())
    others = {
        name: partial(backend_readiness, compute, name)
        for name in BACKENDS
        if name in asked and name not in chosen
    }
    found = look({**chosen, **others})
    for name in (*SERVICES, *BACKENDS, *(found.keys() - set(allowed))):
        if name in found:
            print("\n".join(lines(name, found[name])), flush=True)
    lacking = [f"{name} {each.what}" for name in chosen for each in found[name] if each.stops]
    print("missing: " + ", ".join(lacking) if lacking else "ready: a cycle has what it needs")
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main())
