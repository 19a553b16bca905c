"""What a cycle needs, of this machine and of each service, and whether it is there.

Nothing is started and nothing is paid for: a key is tried with a call that is free.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from flywheel.errors import FlywheelError
from resources import machine
from resources.compute.resource import Compute
from resources.dictionary import Dictionary
from resources.object_store.resource import ObjectStore
from resources.readiness import Finding
from resources.speech.resource import Speech
from resources.tracking.resource import Tracking

__all__ = ["SERVICES", "Look", "backend_readiness", "lines", "look", "looks"]

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
